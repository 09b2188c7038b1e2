"""What Civitai adds: lists of resources, and files beside a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .making import CheckpointMention, Making, Network, distinct, mention, network
from .values import digest, first, items, mapping, whole, word

#: urn:air:sdxl:checkpoint:civitai:101055@128078
_AIR = re.compile(r"(?:urn:)?air:[\w.-]{1,40}:([\w.-]{1,40}):civitai:\d{1,12}@(\d{1,12})\S{0,80}")
#: Kinds of networks, by the names of types of resources.
NETWORKS = {
    "lora": "lora",
    "dora": "lora",
    "locon": "lycoris",
    "lycoris": "lycoris",
    "hypernet": "hypernetwork",
    "hypernetwork": "hypernetwork",
    "embed": "embedding",
    "embedding": "embedding",
    "textualinversion": "embedding",
}
_CHECKPOINTS = ("checkpoint", "model", "checkpoints")
_PROCESSES = {"controlnet": "controlnet", "upscaler": "upscale"}


@dataclass(frozen=True)
class Resources:
    """What a list of resources names."""

    checkpoint: CheckpointMention | None = None
    networks: tuple[Network, ...] = ()
    processes: frozenset[str] = frozenset()


def air(text: Any) -> tuple[str, int] | None:
    """Type and version of Civitai's own kind of resource name."""
    found = _AIR.fullmatch(text) if isinstance(text, str) and len(text) < 300 else None
    version = whole(found[2], 1, 2**53) if found else None
    return (found[1].lower(), version) if found and version else None


def resources(value: Any) -> Resources:
    """``[{"type": "checkpoint", "modelVersionId": 128078}, …]``, in its several dialects.

    Where several checkpoints are named, none is believed.
    """
    checkpoints: list[CheckpointMention] = []
    networks: list[Network | None] = []
    processes: set[str] = set()
    for entry in map(mapping, items(value)):
        kind = str(entry.get("type", "")).lower().replace("_", "")
        version = first(*map(entry.get, ("modelVersionId", "versionId", "model_version_id")))
        resolved = air(entry.get("air"))
        if resolved is not None:
            kind, version = resolved
        version = whole(version, 1, 2**53)
        # the last two are TensorArt's
        name = first(*(word(entry.get(k)) for k in ("modelName", "name", "modelFileName", "label")))
        if kind in _CHECKPOINTS:
            found = mention(name, entry.get("hash"), version_id=version)
            if found is not None and found not in checkpoints:
                checkpoints.append(found)
        elif kind in NETWORKS:
            named = first(name, version and f"civitai:{version}")
            weight = first(entry.get("weight"), entry.get("strength"))
            networks.append(network(NETWORKS[kind], named, weight, entry.get("hash")))
        elif kind in _PROCESSES:
            processes.add(_PROCESSES[kind])
    checkpoint = checkpoints[0] if len(checkpoints) == 1 else None
    return Resources(checkpoint, distinct(networks), frozenset(processes))


def version_making(data: Mapping[str, Any]) -> Making | None:
    """A file beside a model: which version of which model that is, on Civitai.

    Read are the API's answer for a version (``.civitai.info``, ``.json``), with or without
    ``civitai`` around it (LoRA Manager's ``.metadata.json``), and Stability Matrix's
    ``.cm-info.json``.
    """
    outer, data = data, mapping(data.get("civitai")) or data
    model = mapping(data.get("model"))
    kind = str(first(model.get("type"), data.get("ModelType"), "checkpoint")).lower()
    version = first(data.get("VersionId"), data.get("id") if "modelId" in data else None)
    title = first(word(model.get("name")), word(data.get("ModelName")))
    called = first(word(data.get("name")) if model else None, word(data.get("VersionName")))
    name = " ".join(filter(None, (title, called))) or word(outer.get("model_name"))
    hashes = [outer.get("sha256"), mapping(data.get("Hashes")).get("SHA256")]
    files = [mapping(entry) for entry in items(data.get("files"))]
    # several files may be offered, of which the one beside this is not known
    primary = [entry for entry in files if entry.get("primary")] or files
    for entry in primary[:1]:
        of_file = mapping(entry.get("hashes"))
        hashes += [of_file.get(key) for key in ("SHA256", "AutoV2", "AutoV1")]
    if not any(map(digest, hashes)) and whole(version, 1, 2**53) is None:
        return None
    if kind in _CHECKPOINTS:
        return Making("civitai", checkpoint=mention(name, *hashes, version_id=version))
    if kind in NETWORKS:
        sha = next(filter(None, map(digest, hashes)), None)
        named = first(name or None, f"civitai:{version}")
        return Making("civitai", networks=distinct([network(NETWORKS[kind], named, None, sha)]))
    return None
