"""The checkpoints that the user marked, by name, in one JSON file of the library."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ..base.json_file import DAMAGED, JsonFile


class Favourites:
    """See the module's docstring.

    Args:
        path: the file, created on the first change.
    """

    def __init__(self, path: Path) -> None:
        self._file = JsonFile(path, _names, frozenset, _plain, indent=1)
        self._lock = threading.Lock()
        self._names: frozenset[str] | None = None

    def names(self) -> frozenset[str]:
        """Names that are marked; none where the file cannot be read."""
        if self._names is not None:
            return self._names
        with self._lock:  # or what was read before a change could take its place
            try:
                self._names = self._names or self._file.read()
            except (OSError, *DAMAGED):
                return frozenset()  # and the next time may be better
            return self._names

    def set(self, name: str, marked: bool) -> None:
        """Mark a checkpoint, or take the mark away.

        Raises:
            LibraryError: the file cannot be read or written; it is as it was.
        """
        with self._lock:  # another process may have marked some
            self._names = self._file.change(
                lambda stored: stored | {name} if marked else stored - {name}
            )


def _names(found: dict[str, Any]) -> frozenset[str]:
    if not isinstance(found["names"], list):
        raise TypeError("the names are no list")
    return frozenset(name for name in found["names"] if isinstance(name, str))


def _plain(names: frozenset[str]) -> dict[str, list[str]]:
    return {"names": sorted(names)}
