"""The checkpoints that the user marked, by name, in one JSON file of the library."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from ..base.errors import LibraryError
from ..base.files import read_regular, replace_file, write_atomic
from ..base.locks import locked

#: What a file that somebody else wrote, or half a file, can raise.
_DAMAGED = (ValueError, KeyError, TypeError, RecursionError)


class Favourites:
    """See the module's docstring.

    Args:
        path: the file, created on the first change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._names: frozenset[str] | None = None

    def names(self) -> frozenset[str]:
        """Names that are marked; none where the file cannot be read."""
        if self._names is not None:
            return self._names
        with self._lock:  # or what was read before a change could take its place
            try:
                self._names = self._names or self._read()
            except (OSError, *_DAMAGED):
                return frozenset()  # and the next time may be better
            return self._names

    def _read(self) -> frozenset[str]:
        try:
            found = json.loads(read_regular(self._path))["names"]
        except FileNotFoundError:
            return frozenset()
        if not isinstance(found, list):
            raise TypeError("the names are no list")
        return frozenset(name for name in found if isinstance(name, str))

    def set(self, name: str, marked: bool) -> None:
        """Mark a checkpoint, or take the mark away.

        Raises:
            LibraryError: the file cannot be read or written; it is as it was.
        """
        with self._lock, locked(self._path):
            stored = self._stored()  # another process may have marked some
            names = stored | {name} if marked else stored - {name}
            # ASCII, because names of files can hold bytes that are no text
            write_atomic(self._path, json.dumps({"names": sorted(names)}, indent=1).encode())
            self._names = names

    def _stored(self) -> frozenset[str]:
        """What the file says; none where it was damaged, and is kept under another name now."""
        try:
            return self._read()
        except OSError as error:  # not damage: the drive may come back
            raise LibraryError(
                f"{self._path}: cannot be read ({error.strerror or error})."
            ) from None
        except _DAMAGED:
            number = 1
            while (kept := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
                number += 1
            try:
                replace_file(self._path, kept)
            except OSError as error:
                raise LibraryError(
                    f"{self._path}: is damaged, and cannot be moved to {kept.name} "
                    f"({error.strerror or error})."
                ) from None
            return frozenset()
