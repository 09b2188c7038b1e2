"""Files beside an image or a checkpoint that say where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import a1111, civitai, comfyui, flat
from .making import Making
from .values import MAX_JSON, loads, mapping

_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif")
#: What is appended to the name without its suffix, the most telling first.
_JSON = (".swarm.json", ".civitai.info", ".metadata.json", ".cm-info.json", ".json")


def read(path: Path) -> Making | None:
    """See :func:`lib_gmi.metadata.sidecar_making`.

    Raises:
        OSError: a file is there and cannot be read.
    """
    beside = [path.with_name(path.stem + suffix) for suffix in _JSON]
    beside.append(path.with_name(path.name + ".json"))
    for file in beside:
        making = _of_json(loads(_text(file)))
        if making is not None:
            return making
    if path.suffix.lower() in _IMAGES:
        text = _text(path.with_suffix(".txt"))
        # beside images of a training set stand captions, which are no making
        if text is not None and ("Steps: " in text or "Negative prompt:" in text):
            return flat.of_text(text) or a1111.read(text)
    return None


def _text(file: Path) -> str | None:
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        content = opened.read(MAX_JSON + 1)
    return content.decode("utf-8-sig", "replace") if len(content) <= MAX_JSON else None


def _of_json(data: Any) -> Making | None:
    if not isinstance(data, dict):
        return None
    meta = mapping(data.get("meta"))
    # the API wraps it once more
    making = flat.of_json(data) or flat.SITE.read(mapping(meta.get("meta")) or meta or data)
    return (
        making or comfyui.of_json(data) or flat.FOOOCUS.read(data) or civitai.version_making(data)
    )
