"""The files of a library's specifications: locked, checked, and kept where they are damaged."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.errors import LibraryError, SchemaVersionError, SpecificationError
from ..base.files import (
    STALE_AFTER,
    TEMPORARY_PREFIX,
    TooLargeError,
    free_name,
    move_file,
    read_regular,
    write_atomic,
)
from ..base.locks import Lock
from ..base.one_reading import OneReading
from ..base.text import printable
from ..records.specification import Specification
from ..records.specification_file import MAX_BYTES, from_bytes, to_bytes
from .entries import stem
from .removed import DAMAGED, REMOVED, Limits, tidy, touch

SUFFIX = ".safetensors"
#: Nanoseconds between two ticks of the coarsest clock of a file system, which is FAT's.
COARSE_TICK = 2_000_000_000


@dataclass(frozen=True, eq=False)
class Stored:
    """A specification and the hash of the bytes that it was read from."""

    content_hash: str
    specification: Specification


class Store:
    """The folder ``specifications`` of a library, and the lock that whoever writes holds.

    Args:
        library: the library's folder.
        read_only: never write, move or lock anything, not even to set damaged files aside.
        kept_aside: how long and how much of what was removed or is damaged is kept.

    Attributes:
        request: what a thread found while a request lasts; forgotten whenever the lock is let go.
    """

    def __init__(self, library: Path, read_only: bool, kept_aside: Callable[[], Limits]) -> None:
        self.library = library
        self.folder = library / "specifications"
        self.read_only = read_only
        self.request: OneReading[Any] = OneReading()
        self._kept_aside = kept_aside
        #: By file name. Only ever replaced entry by entry or as a whole: threads need no lock.
        self._loaded: dict[str, Stored] = {}
        advice = "Choose another folder with --library or GMI_LIBRARY."
        self._lock = Lock(library / ".lock", library, advice=advice)

    @property
    def busy(self) -> bool:
        """Whether somebody in this process is writing, perhaps this thread."""
        return self._lock.depth > 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While it lasts, nobody else writes.

        Raises:
            LibraryError: the library is read-only, not writable, or another process is busy.
        """
        if self.read_only:
            raise LibraryError(f"{self.library}: this library is read-only.")
        with self._lock.held():
            try:
                if self._lock.depth == 1:
                    with contextlib.suppress(OSError, LibraryError):
                        self._clean_up()
                yield
            finally:
                self.request.forget()

    def path(self, key: str) -> Path:
        """Where the specification with this :attr:`~.Specification.key` is, if it is stored."""
        return self.folder / _file_name(key)

    def paths(self) -> list[Path]:
        """All files that are called like specifications, by name.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        try:
            return sorted(
                path
                for path in self.folder.iterdir()
                if path.suffix == SUFFIX and not path.name.startswith(".")
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LibraryError(
                f"{self.library}: cannot be listed ({error.strerror or error})."
            ) from None

    def get(self, path: Path) -> Specification | None:
        """The specification in a file; ``None`` without one, and where it was damaged and has been
        set aside.

        Raises:
            LibraryError: it cannot be read.
            SchemaVersionError: it is of a newer version.
        """
        for _ in range(2):  # setting a damaged file aside can bring a good one to light
            try:
                return self.read(path).specification
            except FileNotFoundError:
                return None
            except SchemaVersionError:
                raise
            except SpecificationError as error:
                self.set_aside(path, error)
        return None

    def read(self, path: Path, content_hash: str | None = None) -> Stored:
        """What a file holds; from memory if its content is known to have this hash.

        Raises:
            FileNotFoundError: there is none.
            LibraryError: it cannot be read.
            SpecificationError: it is damaged.
        """
        cached = self._loaded.get(path.name)
        if cached is not None and content_hash is not None and cached.content_hash == content_hash:
            return cached
        data = _read_bytes(path)
        stored = Stored(hashlib.sha256(data).hexdigest(), self._parse(path, data))
        self._loaded[path.name] = stored
        return stored

    def remember(self, stored: dict[str, Stored]) -> None:
        """Keep only these in memory, by file name."""
        self._loaded = stored

    def _parse(self, path: Path, data: bytes) -> Specification:
        specification = from_bytes(data, str(path))
        if path.name != _file_name(specification.key):
            # a copy under another name would pass for another candidate's specification
            raise SpecificationError(f"{path}: does not belong under this file name.")
        return specification

    def write(self, specification: Specification) -> None:
        """Store a specification. Whoever calls holds the lock.

        Raises:
            LibraryError: it cannot be written; what was there before is unchanged.
            SpecificationError: it could not be read again, for instance because of its texts.
        """
        path = self.path(specification.key)
        try:
            data = to_bytes(specification)
        except UnicodeEncodeError:  # a file's name can hold bytes that are no text
            title = printable(specification.candidate.title)
            raise SpecificationError(
                f"{title}: its name, or another of its texts, cannot be stored. Rename the file."
            ) from None
        from_bytes(data, str(path))  # never store what cannot be read again
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

    def set_aside(self, path: Path, error: SpecificationError) -> str:
        """Move a damaged file out of the way, with its reason; never delete it.

        Returns:
            What happened, for people.
        """
        self._loaded.pop(path.name, None)
        if self.read_only:
            return str(error)
        try:
            with self.locked():
                try:
                    # another process may have put a good one there since
                    self._parse(path, _read_bytes(path))
                    return f"{error} (replaced by another process since)"
                except FileNotFoundError:
                    return str(error)
                except SpecificationError:
                    target = free_name(self.library / DAMAGED / path.name)
                    self.move(path, target)
                    touch(target)
                    self._rescue(path)
            write_atomic(target.with_name(target.name + ".txt"), f"{error}\n".encode())
            self.tidy()
        except LibraryError as trouble:
            return f"{error} ({trouble})"
        return f"set aside in {target.parent.name}/: {error}"

    def move(self, source: Path, target: Path) -> None:
        """Move a file; see :func:`.move_file`.

        Raises:
            LibraryError: it cannot be moved.
        """
        try:
            move_file(source, target)
        except OSError as error:
            raise LibraryError(
                f"{source}: cannot be moved to {target} ({error.strerror or error})."
            ) from None

    def tidy(self) -> list[str]:
        """Delete what was set aside long ago, or is too much; returns names.

        Raises:
            LibraryError: another process keeps the library busy.
        """
        aside = any((self.library / name).is_dir() for name in (REMOVED, DAMAGED))
        if self.read_only or not aside:
            return []
        with self.locked():
            return tidy(self.library, self._kept_aside())

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
            self.move(max(whole)[1], path)

    def _clean_up(self) -> None:
        """Remove what a crash left half-written. Called under the lock, so nobody is writing it."""
        left = list(self.folder.glob(f"{TEMPORARY_PREFIX}*"))
        if left:  # damaged files make room for whole ones
            for path in self.paths():
                with contextlib.suppress(LibraryError, SchemaVersionError):
                    self.get(path)
        for path in left:
            with contextlib.suppress(OSError, LibraryError, SpecificationError):
                target = self.path(from_bytes(_read_bytes(path)).key)
                if not target.exists():
                    self.move(path, target)
        for folder in (self.library, self.library / "samples"):
            for path in folder.glob(f"*/{TEMPORARY_PREFIX}*"):
                with contextlib.suppress(OSError):
                    path.unlink()
        for path in self.library.glob(f"{TEMPORARY_PREFIX}*"):
            with contextlib.suppress(OSError):
                # not all that is written here is written under this lock
                if abs(time.time() - path.stat().st_mtime) > STALE_AFTER:
                    path.unlink()


def _file_name(key: str) -> str:
    return stem(key) + SUFFIX


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
