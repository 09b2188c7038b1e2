"""How much room the kept samples take, without a look at every file each time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..library.samples import SampleStore


class Kept:
    """Remembers the size of each specification's samples until its folder changes.

    For any thread.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        self._lock = Lock()

    def bytes(self, store: SampleStore) -> int:
        """Of all samples of a library; 0 where none was kept."""
        with self._lock:
            known, self._known = self._known, {}
            with contextlib.suppress(OSError):
                for folder in store.folder.iterdir():
                    with contextlib.suppress(OSError):  # it may be removed at any time
                        changed = folder.stat().st_mtime_ns
                        before = known.get(folder.name)
                        size = before[1] if before and before[0] == changed else _size(folder)
                        self._known[folder.name] = (changed, size)
            return sum(size for _, size in self._known.values())


def _size(folder: Path) -> int:
    with os.scandir(folder) as files:
        return sum(file.stat().st_size for file in files if file.is_file())
