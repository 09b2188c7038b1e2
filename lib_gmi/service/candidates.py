"""What can be ranked: the checkpoints of a running host, and the recipes of its library."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..base.errors import RankingError
from ..base.one_reading import OneReading
from ..records.protocols import RECIPE, Candidate, Host

if TYPE_CHECKING:
    from ..checkpoints.overrides import Overrides
    from ..checkpoints.presets import Preset
    from ..library.catalogue import Library


class InstalledHost(Host, Protocol):
    """A host whose checkpoints are files with presets."""

    overrides: Overrides

    def preset(self, candidate: Candidate) -> Preset:
        """What suits a checkpoint, without the user's changes."""

    def choices(self) -> Mapping[str, Any]:
        """What the host offers: ``samplers`` and ``schedulers``.

        And, where it has names of its own for what our settings name, these: ``labels``.
        """

    def hashed(self) -> dict[str, str]:
        """Better identities of files that were known by another one before: old → new."""

    def image_folders(self) -> list[Path]:
        """Where the host keeps the images that it makes."""

    def preview_folders(self) -> list[Path]:
        """Where pictures lie beside checkpoints: of use to a harvest, and nobody's output."""


class Candidates:
    """The candidates of one running program. All methods may be called from any thread.

    Args:
        host: the running host.
        library: its library.
    """

    def __init__(self, host: InstalledHost, library: Library) -> None:
        self.host, self.library = host, library
        self._listing: OneReading[Sequence[Candidate]] = OneReading()
        #: Owned by :meth:`settle`, under its lock.
        self._settled: set[tuple[str, str]] = set()
        self._settling = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it lasts, this thread lists the host's checkpoints once and reads the catalogue
        once: of one request."""
        with self._listing.lasting(), self.library.reading():
            yield

    def checkpoints(self) -> list[Candidate]:
        """The checkpoint files that the host lists, as candidates."""
        return list(self._listing.get(self.host.list_checkpoints))

    def all(self) -> list[Candidate]:
        """The host's checkpoints, then the recipes of the library."""
        return [*self.checkpoints(), *self.recipes()]

    def recipes(self) -> list[Candidate]:
        """Candidates that workflows generate."""
        found = {}
        for entry in self.library.entries():
            if entry.identity.startswith(RECIPE):
                described = entry.described["candidate"]
                found[entry.identity] = Candidate(
                    entry.title, entry.identity, described["name"], architecture="workflow"
                )
        return list(found.values())

    def installed(self, name: str) -> Candidate:
        """A checkpoint of the host by its name.

        Raises:
            RankingError: there is none.
        """
        return self.all_installed([name])[0]

    def all_installed(self, names: Sequence[str]) -> list[Candidate]:
        """Checkpoints of the host by their names.

        Raises:
            RankingError: there is none of a name.
        """
        known = {candidate.name: candidate for candidate in self.checkpoints()}
        for name in names:
            if name not in known:
                raise RankingError(f"'{name}' is not an installed checkpoint.")
        return [known[name] for name in names]

    def settle(self) -> None:
        """Let specifications and settings follow checkpoints whose whole hash has become known.

        Raises:
            LibraryError: a file cannot be written; nothing is lost.
            PresetError: the user's settings cannot be read.
        """
        with self._settling:  # who comes second finds it done, and not half done
            hashed = self.host.hashed()
            if not hashed:
                return
            for old, new in hashed.items() - self._settled:
                self.host.overrides.move(old, new)
                self._settled.add((old, new))
            # also of hashes that were followed before: a job that is running stores under the
            # identity that its checkpoint had when it began
            for old in hashed.keys() & {entry.identity for entry in self.library.entries()}:
                self.library.reidentify(old, hashed[old])


def by_best_identity(candidates: Sequence[Candidate], better: Mapping[str, str]) -> list[Candidate]:
    """Candidates under the better identities (old → new) that a host has learned meanwhile."""
    return [
        replace(c, identity=better[c.identity]) if c.identity in better else c for c in candidates
    ]
