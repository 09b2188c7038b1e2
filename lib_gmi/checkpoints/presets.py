"""Which settings suit a checkpoint, and what the user changed about them.

Everything that is known about architectures, families and accelerations is data, not code: see
``data/presets.json`` and ``docs/presets.md``. This module reads the evidence (the file's own
metadata, sidecar files, the file's name), finds the rows and lays them over each other.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..base.errors import GMIError
from ..base.files import read_regular, replace_file, write_atomic
from ..base.locks import LOCK_TIMEOUT, Lock
from ..base.paths import data_folder
from ..records.protocols import GenerationSettings
from .file_index import stamp
from .header import CheckpointFacts

#: How the pixels of a sample go to the encoder, so that saved queries compare (see :mod:`.images`).
CODEC = "webp90-512"
#: A sidecar is a few kilobytes, with all examples and comments a few hundred.
MAX_SIDECAR = 1 << 20
MAX_EVIDENCE_TEXT = 300
#: ``4step`` and the like are believed up to here.
MAX_NAMED_STEPS = 16
MAX_TEXT = 2000


class PresetError(GMIError):
    """A setting is out of range, or the file that holds the user's settings cannot be used."""


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
    if acceleration is None and _is_schnell(facts, family):
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
    return GenerationSettings(
        width=width,
        height=height,
        steps=row["steps"],
        cfg=row["cfg"],
        sampler=row["sampler"],
        scheduler=row["scheduler"],
        clip_skip=row["clip_skip"],
        vae=row["vae"],
        dialect=row["dialect"],
        negative=row["negative"] or "",
        codec=CODEC,
        extra={**row["extra"], **prefix},
    )


def _is_schnell(facts: CheckpointFacts, family: str | None) -> bool:
    undistilled = facts.architecture == "flux" and not facts.guidance_distilled
    return undistilled and family != "flux-dedistilled"


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
        data = _read_sidecar(sidecar)
        source = f"the sidecar {_printable(sidecar.name)}"
        for field in where["fields"]:
            yield _Evidence(source, _lookup(data, field))
        for field in where["shared_fields"]:
            yield _Evidence(source, _lookup(data, field), shared=True)


def _read_sidecar(path: Path) -> Any:
    """Its JSON, or ``None``: others write these files, and nobody promised that they are good."""
    try:
        return json.loads(read_regular(path, MAX_SIDECAR))
    except (OSError, ValueError, RecursionError):
        return None


def _lookup(data: Any, field: str) -> str:
    """The text at ``outer.inner`` of nested objects, or ``""``."""
    for key in field.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return _printable(data[:MAX_EVIDENCE_TEXT]) if isinstance(data, str) else ""


def _printable(text: str) -> str:
    """File names and JSON can hold half characters, which no file and no page can show."""
    return text.encode("utf-8", "replace").decode()


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
                because.append(f"{label}: {item.source} says so ('{_printable(item.text)}')")
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


# -- the user's own settings ----------------------------------------------------------------------

_WHOLE = {"width": (64, 2048), "height": (64, 2048), "steps": (1, 150), "clip_skip": (1, 12)}
_NUMBERS = {"cfg": (0.0, 30.0), "guidance": (0.0, 30.0), "shift": (0.0, 30.0)}
_TEXTS = ("sampler", "scheduler", "vae", "dialect", "prefix", "negative")
_EXTRA = ("prefix", "guidance", "shift")


def validate(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a user, each checked.

    Raises:
        PresetError: a setting is unknown, of the wrong type or out of range; the message names it.
    """
    if not isinstance(overrides, Mapping):
        raise PresetError("The settings of a checkpoint have to be an object with their names.")
    return {key: _valid(key, value) for key, value in overrides.items()}


def _valid(key: str, value: Any) -> Any:
    if key in _WHOLE or key in _NUMBERS:
        return _valid_number(key, value)
    if key not in _TEXTS:
        known = ", ".join((*_WHOLE, *_NUMBERS, *_TEXTS))
        raise PresetError(f"There is no setting '{_printable(str(key)[:100])}'. There are {known}.")
    if not isinstance(value, str) or len(value) > MAX_TEXT or _printable(value) != value:
        raise PresetError(f"'{key}' has to be a text of at most {MAX_TEXT} characters.")
    if not value.strip() and key not in ("prefix", "negative"):
        raise PresetError(f"'{key}' is empty. Leave it out to keep what suits the checkpoint.")
    return value


def _valid_number(key: str, value: Any) -> int | float:
    whole = key in _WHOLE
    low, high = _WHOLE[key] if whole else _NUMBERS[key]
    kinds = (int,) if whole else (int, float)
    # not isinstance, because True is an int; NaN is in no range
    if type(value) not in kinds or not low <= value <= high:
        sort = "a whole number" if whole else "a number"
        raise PresetError(f"'{key}' has to be {sort} from {low:g} to {high:g}.")
    if key in ("width", "height") and value % 8:
        raise PresetError(f"'{key}' has to be a multiple of 8.")
    return int(value) if whole else float(value)


def apply(settings: GenerationSettings, overrides: Mapping[str, Any]) -> GenerationSettings:
    """The settings with the user's in their place.

    Raises:
        PresetError: see :func:`validate`.
    """
    valid = validate(overrides)
    extra = {**settings.extra, **{key: valid.pop(key) for key in _EXTRA if key in valid}}
    if not extra.get("prefix"):  # as a preset without one: equal settings have to be equal
        extra.pop("prefix", None)
    return replace(settings, **valid, extra=extra)


class Overrides:
    """What the user changed, by the identity of the checkpoint, in one JSON file.

    Args:
        path: the file, created on the first write; normally ``settings.json`` in the library.

    Attributes:
        notices: sentences about what had to be set aside, for the user to see.
    """

    VERSION = 1

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.notices: list[str] = []
        #: The file as :meth:`get` read it, and its stamp before. Never changed, only replaced.
        self._known: tuple[list[int], dict[str, Any]] | None = None
        self._lock = Lock(self.path.with_name(f".{self.path.name}.lock"), self.path, PresetError)

    def get(self, identity: str) -> Mapping[str, Any]:
        """The settings of a checkpoint, checked; empty if there are none.

        Raises:
            PresetError: the file cannot be read, or what it says of this checkpoint is not valid.
        """
        now = stamp(self.path)
        known = self._known
        if known is None or known[0] != now or not now:
            known = self._known = now, self._load()
        try:
            return validate(known[1]["checkpoints"].get(identity, {}))
        except PresetError as error:
            raise PresetError(f"{self.path}: at '{identity}': {error}") from None

    def set(self, identity: str, mapping: Mapping[str, Any] | None) -> None:
        """Store the settings of a checkpoint in place of those before; ``None`` forgets them.

        Raises:
            PresetError: a setting is not valid (nothing is stored), or the file cannot be read.
            LibraryError: the file cannot be written; what was there before is unchanged.
        """
        if not identity or _printable(identity) != identity:
            raise PresetError("Settings need the identity of a checkpoint to be stored under.")
        valid = validate(mapping) if mapping else {}
        with self._lock.held(LOCK_TIMEOUT):
            data = self._load()
            data["checkpoints"].pop(identity, None)
            if valid:
                data["checkpoints"][identity] = valid
            write_atomic(self.path, json.dumps(data, indent=2, sort_keys=True).encode())

    def move(self, old: str, new: str) -> None:
        """Give settings to the better identity of the same file, unless that has its own.

        Raises:
            PresetError: the file cannot be read or written by us now.
            LibraryError: the file cannot be written; what was there before is unchanged.
        """
        if old not in self._load()["checkpoints"]:
            return
        with self._lock.held(LOCK_TIMEOUT):
            data = self._load()
            known = data["checkpoints"]
            if old in known:
                known.setdefault(new, known.pop(old))
                write_atomic(self.path, json.dumps(data, indent=2, sort_keys=True).encode())

    def apply(
        self, settings: GenerationSettings, overrides: Mapping[str, Any]
    ) -> GenerationSettings:
        """See :func:`apply`."""
        return apply(settings, overrides)

    def _load(self) -> dict[str, Any]:
        """The whole file; empty if there is none or it was damaged and has been set aside."""
        try:
            return self._parse(read_regular(self.path))
        except FileNotFoundError:
            return self._empty()
        except OSError as error:
            raise PresetError(f"{self.path}: cannot be read ({error.strerror or error}).") from None
        except (ValueError, RecursionError):
            return self._set_aside()

    def _empty(self) -> dict[str, Any]:
        return {"version": self.VERSION, "checkpoints": {}}

    def _parse(self, raw: bytes) -> dict[str, Any]:
        data = json.loads(raw)
        if not isinstance(data, dict) or type(data.get("version")) is not int:
            raise ValueError("no version")
        if data["version"] > self.VERSION:
            raise PresetError(
                f"{self.path}: was written by a newer version of this program. Update it."
            )
        if not isinstance(data.get("checkpoints"), dict):
            raise ValueError("no checkpoints")
        return data

    def _set_aside(self) -> dict[str, Any]:
        """Move a damaged file out of the way, unless another process has put a good one there."""
        with self._lock.held(LOCK_TIMEOUT):
            try:
                return self._parse(read_regular(self.path))
            except FileNotFoundError:
                return self._empty()
            except (ValueError, RecursionError):
                pass
            except OSError as error:
                raise PresetError(
                    f"{self.path}: cannot be read ({error.strerror or error})."
                ) from None
            target = self._free_name()
            try:
                replace_file(self.path, target)
            except OSError as error:
                raise PresetError(
                    f"{self.path}: is damaged, and cannot be moved to {target.name} "
                    f"({error.strerror or error}). Mend or move it."
                ) from None
        self.notices.append(
            f"{self.path}: was damaged and is now {target.name}; settings of your own begin anew."
        )
        return self._empty()

    def _free_name(self) -> Path:
        number = 1
        while (target := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        return target
