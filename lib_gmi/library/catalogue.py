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
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import LibraryError, SchemaVersionError, SpecificationError
from ..base.files import (
    STALE_AFTER,
    TEMPORARY_PREFIX,
    TooLargeError,
    read_regular,
    replace_file,
    sync_folder,
    write_atomic,
)
from ..base.locks import LOCK_TIMEOUT, Lock
from ..base.one_reading import OneReading
from ..base.text import natural
from ..records.protocols import Exclusion
from ..records.specification import MAX_BYTES, Specification, read_settings, suspect_reason
from .removed import DAMAGED, REMOVED, Limits, limits_from_environment, stamp, tidy
from .samples import SampleStore

if TYPE_CHECKING:
    from ..records.protocols import GenerationSettings

SUFFIX = ".safetensors"
#: Nanoseconds between two ticks of the coarsest clock of a file system, which is FAT's.
COARSE_TICK = 2_000_000_000


@dataclass(frozen=True)
class Entry:
    """One specification as the catalogue knows it, without its arrays."""

    file: str
    content_hash: str
    described: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """What its file, and the folder of its samples, are called."""
        return Path(self.file).stem

    @property
    def title(self) -> str:
        return str(self.described["candidate"]["title"])

    @property
    def identity(self) -> str:
        return str(self.described["candidate"]["identity"])

    @property
    def samples(self) -> int:
        return len(self.described["prompt_ids"])

    @property
    def prompt_set_size(self) -> int:
        return int(self.described["prompt_set"]["size"])

    @property
    def prompt_set_hash(self) -> str:
        return str(self.described["prompt_set"]["hash"])

    @property
    def encoder_id(self) -> str:
        return str(self.described["encoder_id"])

    @property
    def done(self) -> frozenset[str]:
        """Prompt ids that need not be generated again, those of broken samples included."""
        broken = {str(rejection["prompt_id"]) for rejection in self.described["rejected"]}
        return frozenset(broken.union(self.described["prompt_ids"]))

    @property
    def finished(self) -> int:
        """How many those are."""
        return len(self.done)

    @property
    def suspect(self) -> str | None:
        """See :attr:`.Specification.suspect`."""
        return suspect_reason([str(row["reason"]) for row in self.described["rejected"]])

    @property
    def settings(self) -> GenerationSettings:
        """That its samples were generated with."""
        return read_settings(self.described["settings"])

    @property
    def updated(self) -> float:
        """Unix time of the last change, in seconds."""
        return float(self.described["updated"])

    @property
    def texts(self) -> Mapping[str, str]:
        """See :attr:`.Specification.texts`."""
        return dict(self.described.get("texts", {}))

    @property
    def provenance(self) -> Mapping[str, Any]:
        """See :attr:`.Specification.provenance`."""
        return dict(self.described.get("provenance", {}))


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
        self._kept_aside = kept_aside
        try:
            is_file = self.folder.exists() and not self.folder.is_dir()
        except OSError as error:
            raise LibraryError(f"{self.folder}: {error.strerror or error}.") from None
        if is_file:
            raise LibraryError(f"{self.folder}: is not a folder. Name a folder for the library.")
        self.samples = SampleStore(self.folder / "samples")
        #: By file name. Only ever replaced entry by entry or as a whole: threads need no lock.
        self._loaded: dict[str, tuple[str, Specification]] = {}
        #: Stamps of all files, and what was in them. Replaced as a whole.
        self._scanned: tuple[dict[str, list[int]], _Found] | None = None
        self._request: OneReading[_Found] = OneReading()
        advice = "Choose another folder with --library or GMI_LIBRARY."
        self._file_lock = Lock(self.folder / ".lock", self.folder, advice=advice)
        self._locks = 0  # that this thread holds, one in another

    @property
    def specifications_folder(self) -> Path:
        return self.folder / "specifications"

    def entries(self) -> list[Entry]:
        """What is there, by title, without reading arrays. Unreadable files are left out.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        return self.look()[0]

    def look(self) -> tuple[list[Entry], list[Exclusion]]:
        """:meth:`entries`, and the files that could not be read just now, with the reason.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        entries, problems = self._found()
        return list(entries), list(problems)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it lasts, this thread looks at the folder once; what it writes itself, it sees."""
        with self._request.lasting():
            yield

    def fingerprint(self) -> str:
        """Changes whenever any specification does. Fitted state is keyed by it."""
        return _fingerprint({entry.file: entry.content_hash for entry in self._found()[0]})

    def get(self, key: str) -> Specification | None:
        """The specification with this :attr:`~.Specification.key`, or ``None``.

        A damaged file counts as absent: it is set aside, and building starts that one anew.
        """
        return self._get(self._path(key))

    def read(self, entry: Entry) -> Specification:
        """The specification of an entry, as it is stored now.

        Raises:
            LibraryError: the file is gone or cannot be read.
            SpecificationError: it is damaged.
        """
        try:
            return self._read(self.specifications_folder / entry.file)[1]
        except FileNotFoundError:
            raise LibraryError(f"{entry.title}: its specification is gone.") from None

    def snapshot(self) -> Snapshot:
        """Read every specification. Damaged files are set aside; they never stop the others."""
        entries, problems = self.look()
        found: dict[str, tuple[str, Specification]] = {}
        for entry in entries:
            path = self.specifications_folder / entry.file
            try:
                found[entry.file] = self._read(path, entry.content_hash)
            except FileNotFoundError:
                continue  # removed by another process since
            except (SchemaVersionError, LibraryError) as error:
                problems.append(Exclusion(entry.title, str(error)))
            except SpecificationError as error:
                problems.append(Exclusion(entry.title, self._set_aside(path, error)))
        self._loaded = dict(found)
        specifications = (specification for _, specification in found.values())
        ordered = sorted(specifications, key=lambda s: (s.candidate.title.casefold(), s.key))
        # of the bytes that were read, not of what may lie there by now
        fingerprint = _fingerprint(
            {name: content_hash for name, (content_hash, _) in found.items()}
        )
        return Snapshot(tuple(ordered), tuple(problems), fingerprint)

    def add(self, specification: Specification) -> None:
        """Store a specification in place of the one with the same key, if any.

        Raises:
            LibraryError: it cannot be written; what was there before is unchanged.
            SpecificationError: it could not be read again, for instance because of its texts.
        """
        with self._lock():
            self._write(specification)

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

        with self._lock():
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
        with self._lock():
            changed = change(self.get(key))
            self._write(changed)
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
        with self._lock():
            for entry in self.entries():
                if entry.identity != old:
                    continue
                path = self.specifications_folder / entry.file
                specification = self._get(path)
                if specification is None:
                    continue  # damaged, or gone by now
                candidate = replace(specification.candidate, identity=new)
                renamed = replace(specification, candidate=candidate)
                stored = self.get(renamed.key)
                self._write(renamed if stored is None else stored.merged(renamed))
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
        with self._lock():
            for entry in entries:
                target = self._free_name(self.folder / REMOVED, entry.file)
                self._move(self.specifications_folder / entry.file, target)
                samples = self._free_name(self.folder / REMOVED, Path(entry.file).stem)
                self.samples.move(Path(entry.file).stem, samples)
                stamp(target)
                stamp(samples)
                moved.append(target)
        self.tidy()
        return moved

    def tidy(self) -> list[str]:
        """Delete what was set aside long ago, or is too much; returns names.

        Raises:
            LibraryError: another process keeps the library busy.
        """
        if self.read_only or not any((self.folder / name).is_dir() for name in (REMOVED, DAMAGED)):
            return []
        with self._lock():
            return tidy(self.folder, self._kept_aside())

    def verify(self) -> VerifyReport:
        """Read every file whole, ignoring all caches; damaged ones are set aside.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        good, damaged, unreadable = [], [], []
        self._loaded, self._scanned = {}, None
        self._request.forget()
        for path in self._files():
            try:
                good.append(self._read(path)[1].candidate.title)
            except FileNotFoundError:
                continue
            except (SchemaVersionError, LibraryError) as error:
                unreadable.append(Exclusion(path.name, str(error)))
            except SpecificationError as error:
                damaged.append(Exclusion(path.name, self._set_aside(path, error)))
        if not self.read_only:
            with contextlib.suppress(OSError):
                (self.folder / "catalogue.json").unlink()
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
        with contextlib.suppress(LibraryError, OSError), self._lock():
            write_atomic(folder / name, data)
            older = [path for path in folder.iterdir() if path.name != name]
            # the new one stays even if the clock was set back, and all others look newer
            older.sort(key=lambda path: -path.stat().st_mtime_ns)
            for path in older[_KEPT_FITTED - 1 :]:
                path.unlink()

    # -- files ------------------------------------------------------------------------------------

    def _path(self, key: str) -> Path:
        return self.specifications_folder / _file_name(key)

    def _files(self) -> list[Path]:
        try:
            return sorted(
                path
                for path in self.specifications_folder.iterdir()
                if path.suffix == SUFFIX and not path.name.startswith(".")
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LibraryError(
                f"{self.folder}: cannot be listed ({error.strerror or error})."
            ) from None

    def _get(self, path: Path) -> Specification | None:
        """See :meth:`get`."""
        for _ in range(2):  # setting a damaged file aside can bring a good one to light
            try:
                return self._read(path)[1]
            except FileNotFoundError:
                return None
            except SchemaVersionError:
                raise
            except SpecificationError as error:
                self._set_aside(path, error)
        return None

    def _read(self, path: Path, content_hash: str | None = None) -> tuple[str, Specification]:
        """A specification by path, and the hash of the bytes that it was read from; both from
        memory if the content is known to be the same."""
        cached = self._loaded.get(path.name)
        if cached is not None and content_hash is not None and cached[0] == content_hash:
            return cached
        data = _read_bytes(path)
        read = self._loaded[path.name] = (_hash(data), self._parse(path, data))
        return read

    def _parse(self, path: Path, data: bytes) -> Specification:
        specification = Specification.from_bytes(data, str(path))
        if path.name != _file_name(specification.key):
            # a copy under another name would pass for another candidate's specification
            raise SpecificationError(f"{path}: does not belong under this file name.")
        return specification

    def _write(self, specification: Specification) -> None:
        path = self._path(specification.key)
        try:
            data = specification.to_bytes()
        except UnicodeEncodeError:  # a file's name can hold bytes that are no text
            title = specification.candidate.title.encode("utf-8", "replace").decode()
            raise SpecificationError(
                f"{title}: its name, or another of its texts, cannot be stored. Rename the file."
            ) from None
        Specification.from_bytes(data, str(path))  # never store what cannot be read again
        before = _changed(path)
        for _ in range(2):  # a drive that renames by copying can stop halfway and not say so
            write_atomic(path, data)
            with contextlib.suppress(OSError):
                if path.read_bytes() == data:
                    break
        else:
            raise LibraryError(
                f"{path}: was written, but the drive returns something else. Choose another "
                "folder with --library or GMI_LIBRARY."
            )
        now = _changed(path)
        if before is not None and now is not None and now <= before:
            # the clock was set back, or has not ticked yet: others know a file by its time
            with contextlib.suppress(OSError):
                os.utime(path, ns=(now, before + COARSE_TICK))

    def _set_aside(self, path: Path, error: SpecificationError) -> str:
        """Move a damaged file out of the way, with its reason; never delete it.

        Returns:
            What happened, for people.
        """
        self._loaded.pop(path.name, None)
        if self.read_only:
            return str(error)
        try:
            with self._lock():
                try:
                    # another process may have put a good one there since
                    self._parse(path, _read_bytes(path))
                    return f"{error} (replaced by another process since)"
                except FileNotFoundError:
                    return str(error)
                except SpecificationError:
                    target = self._free_name(self.folder / DAMAGED, path.name)
                    self._move(path, target)
                    stamp(target)
                    self._rescue(path)
            write_atomic(target.with_name(target.name + ".txt"), f"{error}\n".encode())
            self.tidy()
        except LibraryError as trouble:
            return f"{error} ({trouble})"
        return f"set aside in {target.parent.name}/: {error}"

    def _move(self, source: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(source, target)
            sync_folder(target.parent)
            sync_folder(source.parent)
        except OSError as error:
            raise LibraryError(
                f"{source}: cannot be moved to {target} ({error.strerror or error})."
            ) from None

    def _free_name(self, folder: Path, name: str) -> Path:
        target, number = folder / name, 1
        while target.exists():
            target = folder / f"{name}.{number}"
            number += 1
        return target

    def _rescue(self, path: Path) -> None:
        """Put into the place of a lost file what an interrupted write of it left, if it is whole.

        Some network drives rename by copying, or by deleting first what is replaced: interrupted,
        they leave the content under its temporary name alone.
        """
        whole: list[tuple[int, Path]] = []
        for temporary in path.parent.glob(f"{TEMPORARY_PREFIX}*"):
            with contextlib.suppress(OSError, LibraryError, SpecificationError):
                whole.append((len(self._parse(path, _read_bytes(temporary))), temporary))
        if whole:
            self._move(max(whole)[1], path)

    def _clean_up(self) -> None:
        """Remove what a crash left half-written. Called under the lock, so nobody is writing it."""
        left = list(self.specifications_folder.glob(f"{TEMPORARY_PREFIX}*"))
        if left:
            self._scan()  # may set damaged files aside, in whose place the whole ones go
        for path in left:
            with contextlib.suppress(OSError, LibraryError, SpecificationError):
                target = self._path(Specification.from_bytes(_read_bytes(path)).key)
                if not target.exists():
                    self._move(path, target)
        for folder in (self.folder, self.samples.folder):
            for path in folder.glob(f"*/{TEMPORARY_PREFIX}*"):
                with contextlib.suppress(OSError):
                    path.unlink()
        for path in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
            with contextlib.suppress(OSError):
                # not all that is written here is written under this lock
                if abs(time.time() - path.stat().st_mtime) > STALE_AFTER:
                    path.unlink()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        if self.read_only:
            raise LibraryError(f"{self.folder}: this library is read-only.")
        with self._file_lock.held(LOCK_TIMEOUT):
            self._locks += 1
            try:
                if self._locks == 1:
                    with contextlib.suppress(OSError, LibraryError):
                        self._clean_up()
                yield
            finally:
                self._locks -= 1
                self._request.forget()

    # -- catalogue --------------------------------------------------------------------------------

    def _found(self) -> _Found:
        """What is there, by title; nothing is opened where no file has changed."""
        if self._locks:  # somebody is writing, perhaps this thread
            return self._looked()
        return self._request.get(self._looked)

    def _looked(self) -> _Found:
        stamps: dict[str, list[int]] = {}
        for path in self._files():
            with contextlib.suppress(OSError):
                stamps[path.name] = _stamp(path)
        known = self._scanned
        if known is not None and known[0] == stamps:
            return known[1]
        entries, problems = self._scan()
        entries.sort(key=lambda entry: (natural(entry.title), entry.file))
        found = entries, problems
        # what cannot be read today may be tomorrow, with nothing to tell by
        self._scanned = None if problems else (stamps, found)
        return found

    def _scan(self) -> tuple[list[Entry], list[Exclusion]]:
        """Entries from the catalogue where size and time still match, from the files otherwise."""
        known = self._read_catalogue()
        fresh: dict[str, dict[str, Any]] = {}
        entries, excluded = [], []
        for path in self._files():
            try:
                row, stamp = known.get(path.name), _stamp(path)
                if row is None or row["stamp"] != stamp:
                    data = _read_bytes(path)
                    # The whole file is checked here once, so that what is listed can be ranked.
                    specification = self._parse(path, data)
                    row = {
                        "stamp": stamp,
                        "hash": _hash(data),
                        "described": specification.describe(),
                    }
                    self._loaded[path.name] = (row["hash"], specification)
                fresh[path.name] = row
                entries.append(Entry(path.name, row["hash"], row["described"]))
            except FileNotFoundError:
                continue
            except OSError as error:
                reason = f"{path}: cannot be read ({error.strerror or error})."
                excluded.append(Exclusion(path.name, reason))
            except (SchemaVersionError, LibraryError) as error:
                excluded.append(Exclusion(path.name, str(error)))
            except SpecificationError as error:
                excluded.append(Exclusion(path.name, self._set_aside(path, error)))
        if fresh != known:
            self._write_catalogue(fresh)
        return entries, excluded

    def _read_catalogue(self) -> dict[str, dict[str, Any]]:
        try:
            data = json.loads(read_regular(self.folder / "catalogue.json"))
            if data["version"] != _CATALOGUE_VERSION or data["digest"] != _digest(data["files"]):
                return {}
            return dict(data["files"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}  # only a cache

    def _write_catalogue(self, rows: Mapping[str, Any]) -> None:
        if self.read_only:
            return
        catalogue = {"version": _CATALOGUE_VERSION, "digest": _digest(rows), "files": rows}
        data = json.dumps(catalogue).encode()
        with contextlib.suppress(LibraryError):
            write_atomic(self.folder / "catalogue.json", data)


_Found = tuple[list[Entry], list[Exclusion]]
_CATALOGUE_VERSION = 3
#: States of a library that was changed back and forth, of several encoders, with and without prior.
_KEPT_FITTED = 12
#: Bytes of one of them: a thousand models take a tenth of this.
_MAX_FITTED = 4 << 30


def _fingerprint(hashes: Mapping[str, str]) -> str:
    lines = [f"{name} {hashes[name]}\n" for name in sorted(hashes)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest(rows: Any) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def stem(key: str) -> str:
    """What the files of a specification are called, by its :attr:`~.Specification.key`."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _file_name(key: str) -> str:
    return stem(key) + SUFFIX


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    # every write makes a new file, so the inode tells writes of one instant apart
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _changed(path: Path) -> int | None:
    """When a file was changed, in nanoseconds; ``None`` without one."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _read_bytes(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        raise
    except TooLargeError:
        raise SpecificationError(f"{path}: is too large for a specification.") from None
    except OSError as error:
        # Not damage: the file stays where it is, permissions or the drive may come back.
        raise LibraryError(f"{path}: cannot be read ({error.strerror or error}).") from None
