"""What the user changed about the settings of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..base.errors import GMIError
from ..base.json_file import JsonFile
from ..base.stamps import strict_stamp
from ..base.text import printable
from ..records.protocols import GenerationSettings

MAX_TEXT = 2000


class PresetError(GMIError):
    """A setting is out of range, or the file that holds the user's settings cannot be used."""


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
        raise PresetError(f"There is no setting '{printable(str(key)[:100])}'. There are {known}.")
    if not isinstance(value, str) or len(value) > MAX_TEXT or printable(value) != value:
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
    """

    VERSION = 1

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = JsonFile(
            self.path, self._checked, dict, self._plain, PresetError, indent=2, sort_keys=True
        )
        #: The file as :meth:`get` read it, and its stamp before. Never changed, only replaced.
        self._known: tuple[list[int], dict[str, Any]] | None = None

    def get(self, identity: str) -> Mapping[str, Any]:
        """The settings of a checkpoint, checked; empty if there are none.

        Raises:
            PresetError: the file cannot be read, or what it says of this checkpoint is not valid.
        """
        now = strict_stamp(self.path)
        known = self._known
        if known is None or known[0] != now or not now:
            known = self._known = now, self._file.load()
        try:
            return validate(known[1].get(identity, {}))
        except PresetError as error:
            raise PresetError(f"{self.path}: at '{identity}': {error}") from None

    def set(self, identity: str, mapping: Mapping[str, Any] | None) -> None:
        """Store the settings of a checkpoint in place of those before; ``None`` forgets them.

        Raises:
            PresetError: a setting is not valid (nothing is stored), or the file cannot be read.
            LibraryError: the file cannot be written; what was there before is unchanged.
        """
        if not identity or printable(identity) != identity:
            raise PresetError("Settings need the identity of a checkpoint to be stored under.")
        valid = validate(mapping) if mapping else {}

        def put(stored: dict[str, Any]) -> dict[str, Any]:
            others = {key: value for key, value in stored.items() if key != identity}
            return {**others, identity: valid} if valid else others

        self._file.change(put)

    def move(self, old: str, new: str) -> None:
        """Give settings to the better identity of the same file, unless that has its own.

        Raises:
            PresetError: the file cannot be read or written by us now.
            LibraryError: the file cannot be written; what was there before is unchanged.
        """

        def put(stored: dict[str, Any]) -> dict[str, Any] | None:
            if old not in stored:
                return None
            moved = {new: stored[old], **stored}
            del moved[old]
            return moved

        if old in self._file.load():  # most are not, and need no lock
            self._file.change(put)

    def _checked(self, data: Any) -> dict[str, Any]:
        version, checkpoints = data["version"], data["checkpoints"]
        if type(version) is not int:
            raise TypeError("no version")
        if version > self.VERSION:
            raise PresetError(
                f"{self.path}: was written by a newer version of this program. Update it."
            )
        if not isinstance(checkpoints, dict):
            raise TypeError("no checkpoints")
        return checkpoints

    def _plain(self, checkpoints: dict[str, Any]) -> dict[str, Any]:
        return {"version": self.VERSION, "checkpoints": checkpoints}
