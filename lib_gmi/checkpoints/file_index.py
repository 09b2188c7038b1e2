"""Identity and facts of checkpoint files, read once for each version of a file.

Forty files on a slow disk take seconds to look at. What was read is remembered by path, size and
times of change, so that only new and replaced files are read again.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from ..base.json_file import JsonFile
from ..base.stamps import strict_stamp
from .architectures import CheckpointFacts
from .header import inspect
from .identity import quick_identity

#: Stamp and identity of a file by its path.
_Identities = dict[str, tuple[list[int], str]]


class FileIndex:
    """See the module's docstring.

    Args:
        cache: a JSON file that keeps identities between processes; safe to delete.
    """

    def __init__(self, cache: Path) -> None:
        self._cache: JsonFile[_Identities] = JsonFile(cache, _identities, dict, indent=0)
        self._facts: dict[str, tuple[list[int], CheckpointFacts]] = {}
        self._changed = False

    def identity(self, path: Path) -> str:
        """See :func:`.identity.quick_identity`.

        Raises:
            HostError: the file cannot be read.
        """
        known = self._known
        now = strict_stamp(path)
        found = known.get(str(path))
        if found is None or found[0] != now or not now:
            found = known[str(path)] = (now, quick_identity(path))
            self._changed = True
        return found[1]

    def facts(self, path: Path) -> CheckpointFacts:
        """See :func:`.checkpoints.inspect`."""
        now = strict_stamp(path)
        found = self._facts.get(str(path))
        if found is None or found[0] != now or not now:
            found = self._facts[str(path)] = (now, inspect(path))
        return found[1]

    def save(self) -> None:
        """Keep what was read for the next process."""
        if not self._changed:
            return
        self._changed = False  # before the copy: other threads may add to it meanwhile
        self._cache.keep(dict(self._known))

    @cached_property
    def _known(self) -> _Identities:
        return self._cache.cached()


def _identities(rows: dict[str, Any]) -> _Identities:
    return {
        path: ([int(number) for number in stamp], str(identity))
        for path, (stamp, identity) in rows.items()
    }
