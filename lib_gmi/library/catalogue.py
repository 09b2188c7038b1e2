"""The library: all specifications on this machine, as a folder and as stacked arrays.

    <library>/
      specifications/<hash>.safetensors   one file a specification
      samples/<hash>/                     small copies of its samples
      damaged/                            files that could not be read, each beside its reason
      removed/                            what the user removed; both for a while, see :mod:`.aside`
      fitted/                             fitted state, keyed by the library's fingerprint
      catalogue.json                      a cache of what is there; safe to delete
      .lock                               held while a process writes

Writes are crash-safe and locked between processes; reads need no lock, because files are only ever
replaced as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..base.errors import LibraryError, SchemaVersionError, SpecificationError
from ..base.files import free_name, read_regular, write_atomic
from ..records.protocols import Exclusion
from ..records.specification import Specification
from .entries import Entry, stem
from .removed import REMOVED, Limits, limits_from_environment, touch
from .samples import SampleStore
from .scan import Scan
from .store import Store, Stored


@dataclass(frozen=True)
class Snapshot:
    """Everything readable in a library at one moment.

    Attributes:
        specifications: by title.
        excluded: what could not be read, and why.
        fingerprint: changes whenever any of the specifications does.
    """

    specifications: tuple[Specification, ...]
    excluded: tuple[Exclusion, ...]
    fingerprint: str


@dataclass(frozen=True)
class VerifyReport:
    """What :meth:`Library.verify` found: titles that are good, files that are damaged (and set
    aside now), and files that were left alone because they are unreadable or of a newer version."""

    good: tuple[str, ...]
    damaged: tuple[Exclusion, ...]
    unreadable: tuple[Exclusion, ...]


class Library:
    """A folder of specifications.

    Args:
        folder: created on the first write.
        read_only: never write, move or lock anything, not even to set damaged files aside.
        kept_aside: how long and how much of what was removed or is damaged is kept.

    Raises:
        LibraryError: the path exists and is not a folder.
    """

    def __init__(
        self,
        folder: Path | str,
        read_only: bool = False,
        kept_aside: Callable[[], Limits] = limits_from_environment,
    ) -> None:
        self.folder = Path(folder)
        self.read_only = read_only
        try:
            is_file = self.folder.exists() and not self.folder.is_dir()
        except OSError as error:
            raise LibraryError(f"{self.folder}: {error.strerror or error}.") from None
        if is_file:
            raise LibraryError(f"{self.folder}: is not a folder. Name a folder for the library.")
        self.samples = SampleStore(self.folder / "samples")
        self._store = Store(self.folder, read_only, kept_aside)
        self._scan = Scan(self._store)

    @property
    def specifications_folder(self) -> Path:
        return self._store.folder

    def entries(self) -> list[Entry]:
        """What is there, by title, without reading arrays. Unreadable files are left out.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        return list(self._scan.found().entries)

    def look(self) -> tuple[list[Entry], list[Exclusion]]:
        """:meth:`entries`, and the files that could not be read just now, with the reason.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        found = self._scan.found()
        return list(found.entries), list(found.problems)

    def locked(self) -> AbstractContextManager[None]:
        """While it lasts, nobody else writes.

        Raises:
            LibraryError: the library is read-only, not writable, or another process is busy.
        """
        return self._store.locked()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it lasts, this thread looks at the folder once; what it writes itself, it sees."""
        with self._store.request.lasting():
            yield

    def fingerprint(self) -> str:
        """Changes whenever any specification does. Fitted state is keyed by it."""
        return _fingerprint(
            {entry.file: entry.content_hash for entry in self._scan.found().entries}
        )

    def get(self, key: str) -> Specification | None:
        """The specification with this :attr:`~.Specification.key`, or ``None``.

        A damaged file counts as absent: it is set aside, and building starts that one anew.
        """
        return self._store.get(self._store.path(key))

    def read(self, entry: Entry) -> Specification:
        """The specification of an entry, as it is stored now.

        Raises:
            LibraryError: the file is gone or cannot be read.
            SpecificationError: it is damaged.
        """
        try:
            return self._store.read(self._store.folder / entry.file).specification
        except FileNotFoundError:
            raise LibraryError(f"{entry.title}: its specification is gone.") from None

    def snapshot(self) -> Snapshot:
        """Read every specification. Damaged files are set aside; they never stop the others."""
        entries, problems = self.look()
        found: dict[str, Stored] = {}
        for entry in entries:
            path = self._store.folder / entry.file
            try:
                found[entry.file] = self._store.read(path, entry.content_hash)
            except FileNotFoundError:
                continue  # removed by another process since
            except (SchemaVersionError, LibraryError) as error:
                problems.append(Exclusion(entry.title, str(error)))
            except SpecificationError as error:
                problems.append(Exclusion(entry.title, self._store.set_aside(path, error)))
        self._store.remember(dict(found))
        specifications = (stored.specification for stored in found.values())
        ordered = sorted(specifications, key=lambda s: (s.candidate.title.casefold(), s.key))
        # of the bytes that were read, not of what may lie there by now
        fingerprint = _fingerprint({name: s.content_hash for name, s in found.items()})
        return Snapshot(tuple(ordered), tuple(problems), fingerprint)

    def add(self, specification: Specification) -> None:
        """Store a specification in place of the one with the same key, if any.

        Raises:
            LibraryError: it cannot be written; what was there before is unchanged.
            SpecificationError: it could not be read again, for instance because of its texts.
        """
        with self.locked():
            self._store.write(specification)

    def extend(
        self, specification: Specification, copies: Mapping[tuple[str, int], bytes] | None = None
    ) -> Specification:
        """Add the rows of a specification to what is stored under its key; returns the union.

        Two processes that build the same library at once lose nothing of each other's work.

        Args:
            specification: the new rows.
            copies: the samples that they were made from, by prompt id and seed.

        Raises:
            LibraryError: it cannot be written; what was there before is unchanged.
        """

        def join(stored: Specification | None) -> Specification:
            return specification if stored is None else stored.merged(specification)

        with self.locked():
            for (prompt_id, seed), data in (copies or {}).items():
                self.samples.write(stem(specification.key), prompt_id, seed, data)
            return self.update(specification.key, join)

    def update(
        self, key: str, change: Callable[[Specification | None], Specification]
    ) -> Specification:
        """Read, change and write one specification while nobody else can.

        Args:
            key: of the specification.
            change: what is stored (or ``None``) → what shall be stored, under the same key.

        Raises:
            LibraryError: it cannot be written; what was there before is unchanged.
        """
        with self.locked():
            changed = change(self.get(key))
            self._store.write(changed)
        return changed

    def reidentify(self, old: str, new: str) -> int:
        """Give specifications a better identity, once a checkpoint's full hash is known.

        Args:
            old: for instance ``quick:…``.
            new: for instance ``sha256:…`` of the same file.

        Returns:
            How many specifications there were under the old identity.

        Raises:
            LibraryError: a file cannot be written; the old one is still there.
        """
        moved = 0
        with self.locked():
            for entry in self.entries():
                if entry.identity != old:
                    continue
                path = self._store.folder / entry.file
                specification = self._store.get(path)
                if specification is None:
                    continue  # damaged, or gone by now
                candidate = replace(specification.candidate, identity=new)
                renamed = replace(specification, candidate=candidate)
                stored = self.get(renamed.key)
                self._store.write(renamed if stored is None else stored.merged(renamed))
                self.samples.move(path.stem, self.samples.folder / stem(renamed.key))
                try:
                    path.unlink()
                except OSError as error:  # both are there; the next time ends it
                    raise LibraryError(
                        f"{path}: cannot be removed ({error.strerror or error})."
                    ) from None
                moved += 1
        return moved

    def find(self, name: str) -> list[Entry]:
        """Entries with this title or identity, or else whose hash begins like this.

        Of a hash at least six digits are needed.

        Raises:
            LibraryError: the digits fit several candidates.
        """
        entries = self.entries()
        exact = [entry for entry in entries if name in (entry.title, entry.identity)]
        if exact or len(name) < 6:
            return exact
        hashed = ("sha256", "quick")
        near = [
            entry
            for entry in entries
            if entry.identity.partition(":")[0] in hashed
            and entry.identity.partition(":")[2].startswith(name.lower())
        ]
        if len({entry.identity for entry in near}) > 1:
            titles = ", ".join(sorted({entry.title for entry in near}))
            raise LibraryError(f"'{name}' fits several candidates: {titles}. Give more digits.")
        return near

    def remove(self, entries: Iterable[Entry]) -> list[Path]:
        """Move specifications to ``removed/``; returns where they are now.

        Raises:
            LibraryError: a file cannot be moved.
        """
        moved = []
        with self.locked():
            for entry in entries:
                target = free_name(self.folder / REMOVED / entry.file)
                self._store.move(self._store.folder / entry.file, target)
                samples = free_name(self.folder / REMOVED / entry.stem)
                self.samples.move(entry.stem, samples)
                touch(target)
                touch(samples)
                moved.append(target)
        self.tidy()
        return moved

    def tidy(self) -> list[str]:
        """Delete what was set aside long ago, or is too much; returns names.

        Raises:
            LibraryError: another process keeps the library busy.
        """
        return self._store.tidy()

    def verify(self) -> VerifyReport:
        """Read every file whole, ignoring all caches; damaged ones are set aside.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        good, damaged, unreadable = [], [], []
        self._store.remember({})
        self._scan.forget()
        for path in self._store.paths():
            try:
                good.append(self._store.read(path).specification.candidate.title)
            except FileNotFoundError:
                continue
            except (SchemaVersionError, LibraryError) as error:
                unreadable.append(Exclusion(path.name, str(error)))
            except SpecificationError as error:
                damaged.append(Exclusion(path.name, self._store.set_aside(path, error)))
        return VerifyReport(tuple(sorted(good)), tuple(damaged), tuple(unreadable))

    def read_fitted(self, name: str) -> bytes | None:
        """Fitted state stored by :meth:`write_fitted`, or ``None``."""
        try:
            return read_regular(self.folder / "fitted" / name, _MAX_FITTED)
        except OSError:
            return None

    def write_fitted(self, name: str, data: bytes) -> None:
        """Store fitted state; of older ones the newest few are kept.

        Fitted state can always be fitted again, so a library that cannot be written is no error.
        """
        if self.read_only:
            return
        folder = self.folder / "fitted"
        with contextlib.suppress(LibraryError, OSError), self.locked():
            write_atomic(folder / name, data)
            older = [path for path in folder.iterdir() if path.name != name]
            # the new one stays even if the clock was set back, and all others look newer
            older.sort(key=lambda path: -path.stat().st_mtime_ns)
            for path in older[_KEPT_FITTED - 1 :]:
                path.unlink()


#: States of a library that was changed back and forth, of several encoders, with and without prior.
_KEPT_FITTED = 12
#: Bytes of one of them: a thousand models take a tenth of this.
_MAX_FITTED = 4 << 30


def _fingerprint(hashes: Mapping[str, str]) -> str:
    lines = [f"{name} {hashes[name]}\n" for name in sorted(hashes)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
