"""The checkpoints that the user marked, by name, in one JSON file of the library."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from .files import write_atomic


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
        if self._names is None:
            self._names = self._read()
        return self._names

    def _read(self) -> frozenset[str]:
        try:
            found = json.loads(self._path.read_bytes())["names"]
            return frozenset(name for name in found if isinstance(name, str))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return frozenset()

    def set(self, name: str, marked: bool) -> None:
        """Mark a checkpoint, or take the mark away.

        Raises:
            LibraryError: the file cannot be written; it is as it was.
        """
        with self._lock:
            stored = self._read()  # another process may have marked some
            names = stored | {name} if marked else stored - {name}
            data = json.dumps({"names": sorted(names)}, indent=1, ensure_ascii=False)
            write_atomic(self._path, data.encode())
            self._names = names
