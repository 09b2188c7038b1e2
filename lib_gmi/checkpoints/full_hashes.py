"""Whole hashes of checkpoint files for a host that knows none itself.

Packs name checkpoints by the SHA-256 of their file. Reading every file whole would take minutes, so
only those are read whose size is that of a file in a pack, once, and what was read is remembered.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ..base.errors import HostError
from ..base.json_file import JsonFile
from ..base.text import last_part
from ..records.protocols import Candidate
from .identity import full_identity, quick_identity

_QUICK, _FULL = re.compile("quick:[0-9a-f]{32}"), re.compile("sha256:[0-9a-f]{64}")


class FullHashes:
    """See the module's docstring. All methods may be called from any thread.

    Args:
        cache: a JSON file that keeps hashes between processes; safe to delete.
    """

    def __init__(self, cache: Path) -> None:
        self._cache: JsonFile[dict[str, str]] = JsonFile(cache, _checked, dict, indent=0)
        self._lock = threading.Lock()

    def known(self) -> dict[str, str]:
        """``quick:…`` → ``sha256:…`` of the files that were read."""
        with self._lock:
            return dict(self._known)

    def read(
        self, candidates: Sequence[Candidate], sizes: Collection[int], titles: Collection[str] = ()
    ) -> int:
        """Read the files of these sizes that are not known yet, each as a whole.

        Args:
            candidates: of the host; others than files with a quick identity are left alone.
            sizes: in bytes.
            titles: files that are called so come first: they are most likely the ones.

        Returns:
            How many were read.
        """
        known, read = self.known(), 0
        for candidate in sorted(candidates, key=lambda c: last_part(c.title) not in titles):
            quick, path = candidate.identity, candidate.path
            if path is None or candidate.size not in sizes or quick in known:
                continue
            if not _QUICK.fullmatch(quick):
                continue
            try:
                full = full_identity(path)
                if quick_identity(path) != quick:
                    continue  # it was replaced meanwhile
            except HostError:
                continue  # it is gone; who asks for it is told
            known[quick] = full
            read += 1
            with self._lock:
                self._known[quick] = full
                self._cache.keep(self._known)
        return read

    @cached_property
    def _known(self) -> dict[str, str]:
        return self._cache.cached()


def _checked(rows: dict[str, Any]) -> dict[str, str]:
    return {
        quick: full
        for quick, full in rows.items()
        if isinstance(full, str) and _QUICK.fullmatch(quick) and _FULL.fullmatch(full)
    }
