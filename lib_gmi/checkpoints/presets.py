"""Which settings suit a checkpoint.

Everything that is known about architectures, families and accelerations is data, not code: see
``data/presets.json`` and ``docs/presets.md``. This module reads the evidence (the file's own
metadata, sidecar files, the file's name), finds the rows and lays them over each other.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..base.json_file import read_json
from ..base.paths import data_folder
from ..base.text import printable
from ..records.protocols import GenerationSettings
from .architectures import CheckpointFacts

#: How the pixels of a sample go to the encoder, so that saved queries compare (see :mod:`.images`).
CODEC = "webp90-512"
#: A sidecar is a few kilobytes, with all examples and comments a few hundred.
MAX_SIDECAR = 1 << 20
MAX_EVIDENCE_TEXT = 300
#: ``4step`` and the like are believed up to here.
MAX_NAMED_STEPS = 16
#: Fields of settings that the table calls by the same names.
_SAME = ("steps", "cfg", "sampler", "scheduler", "clip_skip", "vae", "dialect")


@dataclass(frozen=True)
class Preset:
    """What suits a checkpoint.

    Attributes:
        architecture: a row of the table's ``architectures``; ``"unknown"`` if it is.
        family: a row of ``families``, or ``None``.
        acceleration: a row of ``accelerations``, or ``None``.
        settings: what to generate with. ``extra`` may hold ``prefix`` (goes before every prompt),
            ``guidance``, ``shift``, and ``prediction`` (``"v"``).
        because: a sentence for each thing that was recognised.
    """

    architecture: str
    family: str | None
    acceleration: str | None
    settings: GenerationSettings
    because: tuple[str, ...] = ()


@cache
def table() -> dict[str, Any]:
    """``data/presets.json``. Not to be changed."""
    path = data_folder() / "presets.json"
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def find(facts: CheckpointFacts, path: Path, sidecars: bool = True) -> Preset:
    """The settings that suit a checkpoint. Never raises because of what lies beside it.

    Args:
        facts: what :func:`.checkpoints.inspect` says of the file.
        path: the file. Its name is evidence, and the sidecars lie beside it.
        sidecars: whether to read them.
    """
    evidence = _evidence(facts, path, sidecars)
    because: list[str] = []

    architecture = facts.architecture or ""
    if architecture in table()["architectures"]:
        because.append(f"{architecture}: the file's tensors say so")
    else:
        architecture = _recognise("architectures", evidence, None, because) or "unknown"
    family = _recognise("families", evidence, architecture, because)
    prediction = facts.prediction
    if prediction is not None:
        because.append(f"{prediction}-prediction: the file says so")
    else:
        prediction = _recognise("predictions", evidence, architecture, because)
    acceleration = _recognise("accelerations", evidence, architecture, because)
    undistilled = facts.architecture == "flux" and not facts.guidance_distilled
    if acceleration is None and undistilled and family != "flux-dedistilled":
        acceleration = "schnell"
        because.append("schnell: it is a Flux without guidance, the file's tensors say")
    row = merge(architecture, family, prediction, acceleration)
    if row.get("steps_from_name"):
        row["steps"] = _named_steps(evidence, because) or row["steps"]
    return Preset(architecture, family, acceleration, _settings(row), tuple(because))


def merge(
    architecture: str,
    family: str | None = None,
    prediction: str | None = None,
    acceleration: str | None = None,
) -> dict[str, Any]:
    """The rows of the table laid over each other in this order; all settings of the result."""
    merged = dict(table()["defaults"])
    for group, name in (
        ("architectures", architecture),
        ("families", family),
        ("predictions", prediction),
        ("accelerations", acceleration),
    ):
        if name is None:
            continue
        row = table()[group][name]
        for layer in (row, row.get("by_architecture", {}).get(architecture, {})):
            extra = {**merged["extra"], **layer.get("extra", {})}
            merged |= {key: value for key, value in layer.items() if key != "by_architecture"}
            merged["extra"] = {key: value for key, value in extra.items() if value is not None}
    return merged


def _settings(row: Mapping[str, Any]) -> GenerationSettings:
    width, height = row["size"]
    prefix = {"prefix": row["prefix"]} if row["prefix"] else {}
    negative, extra = row["negative"] or "", {**row["extra"], **prefix}
    same = {name: row[name] for name in _SAME}
    return GenerationSettings(width, height, **same, negative=negative, codec=CODEC, extra=extra)


# -- evidence -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Evidence:
    """A text that may tell what a checkpoint is.

    Attributes:
        source: who says so, for people.
        text: what is said.
        shared: it is about all versions of a model, of which some are accelerated and others not.
    """

    source: str
    text: str
    shared: bool = False

    @property
    def words(self) -> list[str]:
        return split_words(self.text)


def _evidence(facts: CheckpointFacts, path: Path, sidecars: bool) -> list[_Evidence]:
    """Everything that is said about a checkpoint, the most reliable first."""
    where = table()["evidence"]
    own = [
        _Evidence("the file's own metadata", facts.metadata.get(key, "")[:MAX_EVIDENCE_TEXT])
        for key in where["metadata"]
    ]
    found = list(_read_sidecars(path)) if sidecars else []
    name = _Evidence("the file's name", path.stem)
    first, last = [e for e in found if not e.shared], [e for e in found if e.shared]
    return [evidence for evidence in (*own, *first, name, *last) if evidence.text]


def _read_sidecars(path: Path) -> Iterator[_Evidence]:
    where = table()["evidence"]
    for suffix in where["sidecars"]:
        sidecar = path.with_name(path.stem + suffix)
        data = read_json(sidecar, MAX_SIDECAR)
        source = f"the sidecar {printable(sidecar.name)}"
        for field in where["fields"]:
            yield _Evidence(source, _lookup(data, field))
        for field in where["shared_fields"]:
            yield _Evidence(source, _lookup(data, field), shared=True)


def _lookup(data: Any, field: str) -> str:
    """The text at ``outer.inner`` of nested objects, or ``""``."""
    for key in field.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return printable(data[:MAX_EVIDENCE_TEXT]) if isinstance(data, str) else ""


# -- rules ----------------------------------------------------------------------------------------

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def split_words(text: str) -> list[str]:
    """Lower-case words of a name, cut at signs, digits and capitals.

    ``"dreamshaperXL_v21TurboDPMSDE"`` → ``dreamshaper xl v 21 turbo dpmsde``
    """
    return [word.lower() for word in _WORD.findall(text)]


def _recognise(
    group: str, evidence: Sequence[_Evidence], architecture: str | None, because: list[str]
) -> str | None:
    """The first rule that fits the most reliable evidence; the reason is added to ``because``."""
    for item in evidence:
        if item.shared and group not in ("architectures", "families"):
            continue
        words = item.words
        for rule in table()["recognise"][group]:
            allowed = rule.get("architectures")
            if allowed and architecture not in allowed:
                continue
            if _fits(rule, words):
                name = str(rule["is"])
                label = f"{name}-prediction" if group == "predictions" else name
                because.append(f"{label}: {item.source} says so ('{printable(item.text)}')")
                return name
    return None


def _fits(rule: Mapping[str, Any], words: Sequence[str]) -> bool:
    """Whether a rule of the table fits a text's words; the table explains the keys."""
    words = _without(words, rule.get("except", ()))
    starts = {"".join(words[:count]) for count in range(1, len(words) + 1)}
    return (
        any(_runs(words, word) for word in rule.get("words", ()))
        or any(start > 0 for word in rule.get("inside", ()) for start, _ in _runs(words, word))
        or any(part in word for part in rule.get("anywhere", ()) for word in words)
        or any(start in starts for start in rule.get("starts", ()))
    )


def _runs(words: Sequence[str], sought: str) -> list[tuple[int, int]]:
    """Where words in a row, joined, make up the sought one: ``v pred`` makes up ``vpred``."""
    found = []
    for start in range(len(words)):
        joined = ""
        for end in range(start, len(words)):
            joined += words[end]
            if joined == sought:
                found.append((start, end + 1))
            if not sought.startswith(joined):
                break
    return found


def _without(words: Sequence[str], exceptions: Iterable[str]) -> list[str]:
    """The words, with an empty one in place of each that belongs to an exception."""
    kept = list(words)
    for exception in exceptions:
        for start, end in _runs(words, exception):
            kept[start:end] = [""] * (end - start)
    return kept


def _named_steps(evidence: Sequence[_Evidence], because: list[str]) -> int | None:
    """The 8 of ``Hyper-SDXL-8steps``."""
    for item in evidence:
        words = item.words
        for number, unit in itertools.pairwise(words):
            # longer numbers are dates and versions, and no one is served by a single step
            if unit not in ("step", "steps") or not number.isdigit() or len(number) > 2:
                continue
            if not item.shared and 2 <= int(number) <= MAX_NAMED_STEPS:
                because.append(f"{number} steps: {item.source} says so")
                return int(number)
    return None
