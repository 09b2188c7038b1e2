"""Identity and facts of checkpoint files, read once for each version of a file.

Forty files on a slow disk take seconds to look at. What was read is remembered by path, size and
times of change, so that only new and replaced files are read again.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from ..base.errors import LibraryError
from ..base.files import read_regular, write_atomic
from .header import CheckpointFacts, inspect
from .identity import quick_identity

#: FAT knows the time of a change to two seconds, other coarse clocks to one.
_COARSE_TICK = 2.0
#: What reading somebody else's JSON can raise.
_BAD_CACHE = (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)


class FileIndex:
    """See the module's docstring.

    Args:
        cache: a JSON file that keeps identities between processes; safe to delete.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._identities: dict[str, tuple[list[int], str]] | None = None
        self._facts: dict[str, tuple[list[int], CheckpointFacts]] = {}
        self._changed = False

    def identity(self, path: Path) -> str:
        """See :func:`.identity.quick_identity`.

        Raises:
            HostError: the file cannot be read.
        """
        known = self._known()
        now = stamp(path)
        found = known.get(str(path))
        if found is None or found[0] != now or not now:
            found = known[str(path)] = (now, quick_identity(path))
            self._changed = True
        return found[1]

    def facts(self, path: Path) -> CheckpointFacts:
        """See :func:`.checkpoints.inspect`."""
        now = stamp(path)
        found = self._facts.get(str(path))
        if found is None or found[0] != now or not now:
            found = self._facts[str(path)] = (now, inspect(path))
        return found[1]

    def save(self) -> None:
        """Keep what was read for the next process."""
        if not self._changed:
            return
        self._changed = False  # before the copy: other threads may add to it meanwhile
        rows = dict(self._known())
        with contextlib.suppress(LibraryError):  # only a cache
            write_atomic(self._cache, json.dumps(rows, indent=0).encode())

    def _known(self) -> dict[str, tuple[list[int], str]]:
        if self._identities is None:
            self._identities = {}
            with contextlib.suppress(*_BAD_CACHE):
                rows: dict[str, Any] = json.loads(read_regular(self._cache))
                self._identities = {
                    path: ([int(number) for number in stamp], str(identity))
                    for path, (stamp, identity) in rows.items()
                }
        return self._identities


def stamp(path: Path) -> list[int]:
    """What changes when a file is replaced or written to; empty if that cannot be told."""
    try:
        status = path.stat()
    except OSError:
        return []
    seconds, rest = divmod(status.st_mtime_ns, 10**9)
    if not rest and abs(time.time() - seconds) <= _COARSE_TICK:
        return []  # of a coarse clock, and what is written before its next tick looks the same
    # The time of change in the narrow sense (st_ctime) cannot be set by those who unpack and copy
    # files; on Windows it is the time of creation, which does no harm.
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]
