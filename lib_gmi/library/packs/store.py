"""Packs that were imported: beside the user's own specifications, never among them.

    <library>/packs/
      <pack id>/
        pack.json                           the manifest
        specifications/<hash>.safetensors   one file a specification
        samples/<hash>/                     thumbnails, if the pack had any
      .importing-<random>/                  what a crash left; cleared by the next import
      .lock                                 held while a pack is imported or removed

A pack appears as a whole, by one rename, and goes the same way: to ``<library>/removed/``.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ...base.errors import LibraryError, PackError
from ...base.files import free_name, move_file
from ...base.locks import Lock
from ...records.protocols import Exclusion
from ..removed import REMOVED, touch
from .folder import (
    FolderState,
    PackedSpecification,
    PackInfo,
    folder_state,
    read_folder,
    read_info,
    write_folder,
)
from .pack import Pack, read_pack

if TYPE_CHECKING:
    from ..catalogue import Library

_TEMPORARY = ".importing-"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        pack: as it is installed now.
        new: whether it was not there before; if not, nothing was changed.
        repaired: whether a damaged copy was replaced; that is kept in ``damaged/``.
    """

    pack: PackInfo
    new: bool
    repaired: bool = False


@dataclass(frozen=True)
class PackCheck:
    """Whether a pack is good.

    Attributes:
        name: what was checked.
        problem: what is wrong with it, or ``None``.
        specifications: how many it holds.
    """

    name: str
    problem: str | None
    specifications: int = 0


class Packs:
    """The packs of a library. All methods may be called from any thread.

    Args:
        library: that they lie beside.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.folder = library.folder / "packs"
        self._known: dict[str, tuple[FolderState, PackInfo]] = {}
        advice = "Choose another folder with --library or GMI_LIBRARY."
        self._lock = Lock(self.folder / ".lock", self.folder, advice=advice)

    # -- reading ----------------------------------------------------------------------------------

    def installed(self) -> list[PackInfo]:
        """By title; damaged ones say so themselves.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        found = {}
        for folder in self._folders():
            state = folder_state(folder)
            known = self._known.get(folder.name)
            if known is None or not state or known[0] != state:
                known = state, read_info(folder)
            found[folder.name] = known
        self._known = found
        infos = (info for _, info in found.values())
        return sorted(infos, key=lambda info: (info.about.title.casefold(), info.id))

    def specifications(self) -> list[PackedSpecification]:
        """Of all packs, whatever the user has built. See :func:`.folder.visible`.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        return self.look()[0]

    def look(self) -> tuple[list[PackedSpecification], list[Exclusion]]:
        """:meth:`specifications`, and what could not be read, with the reason.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        contents = [info.contents for info in self.installed()]
        found = [packed for good, _ in contents for packed in good]
        return found, [problem for _, bad in contents for problem in bad]

    def fingerprint(self) -> str:
        """Changes whenever an installed pack comes or goes or one of its files changes."""
        states = [(folder.name, folder_state(folder)) for folder in self._folders()]
        return hashlib.sha256(repr(states).encode()).hexdigest()

    def find(self, name: str) -> PackInfo:
        """An installed pack by its title, its id, or at least six digits of that.

        Raises:
            PackError: there is none, or several.
        """
        infos = self.installed()
        exact = [info for info in infos if name in (info.id, info.about.title)]
        near = [info for info in infos if len(name) >= 6 and info.id.startswith(name.lower())]
        found = exact or near
        if not found:
            raise PackError(f"There is no pack '{name}'. See gmi pack list.")
        if len(found) > 1:
            ids = ", ".join(info.id for info in found)
            raise PackError(f"'{name}' fits several packs: {ids}. Give one of these.")
        return found[0]

    def verify(self, target: Path | PackInfo) -> PackCheck:
        """Read a pack as a whole: a file, a folder that was removed, or one that is installed."""
        name = str(target) if isinstance(target, Path) else target.about.title
        try:
            if isinstance(target, PackInfo):
                pack = read_folder(target.folder)
                if pack.id != target.folder.name:
                    raise PackError(f"{target.folder}: is not called like the pack in it.")
            else:
                pack = _read(target)
        except PackError as error:
            return PackCheck(name, str(error))
        return PackCheck(name, None, len(pack.specifications))

    def _folders(self) -> list[Path]:
        try:
            return sorted(
                path for path in self.folder.iterdir() if _ID.fullmatch(path.name) and path.is_dir()
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LibraryError(
                f"{self.folder}: cannot be listed ({error.strerror or error})."
            ) from None

    def files(self) -> tuple[set[int], set[str]]:
        """Sizes in bytes, and titles without folders, of what packs know by a file's hash."""
        if not self.folder.is_dir():
            return set(), set()
        entries = [entry for info in self.installed() for entry in info.entries]
        hashed = [entry for entry in entries if entry.identity.startswith("sha256:")]
        sizes = {entry.size for entry in hashed if entry.size}
        return sizes, {PurePosixPath(entry.title).name for entry in hashed}

    # -- changes ----------------------------------------------------------------------------------

    def import_file(self, path: Path) -> ImportReport:
        """Add a pack, as a whole or not at all. The user's own specifications are not touched.

        Args:
            path: a pack's file, or the folder of one that was removed.

        Raises:
            LibraryError: the library is read-only, or another process keeps it busy.
            PackError: the file is no pack, damaged or altered, or the library cannot be written;
                nothing was changed.
        """
        pack = _read(path)
        pack_id = pack.id
        target = self.folder / pack_id
        with self._exclusive():
            self._clean_up()
            damaged = target.exists() and self.verify(read_info(target)).problem is not None
            if target.exists() and not damaged:
                return ImportReport(read_info(target), new=False)
            temporary = self.folder / (_TEMPORARY + uuid.uuid4().hex)
            try:
                write_folder(temporary, pack)
                del pack  # it is large, and what is read next is as large again
                read_folder(temporary)  # what is put in place can be used
                with self.library.locked():
                    if damaged:
                        aside = self._free_name("damaged", pack_id)
                        move_file(target, aside)
                    move_file(temporary, target)
            except (LibraryError, OSError) as error:
                reason = str(error) if isinstance(error, LibraryError) else error.strerror or error
                raise PackError(f"{path.name}: was not imported ({reason})") from error
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return ImportReport(read_info(target), new=True, repaired=damaged)

    def remove(self, pack_id: str) -> Path:
        """Take a pack out; returns the folder where it is kept, which can be imported again.

        Args:
            pack_id: see :meth:`find`.

        Raises:
            LibraryError: the library is read-only, or another process keeps it busy.
            PackError: there is no such pack, or it cannot be moved.
        """
        with self._exclusive():
            self._clean_up()
            info = self.find(pack_id)
            target = self._free_name(REMOVED, info.id)
            try:
                with self.library.locked():
                    move_file(info.folder, target)
                    touch(target)
                self.library.tidy()
            except OSError as error:
                raise PackError(
                    f"{info.folder}: cannot be moved to {target} ({error.strerror or error}). "
                    "Close what uses it and try again."
                ) from None
        return target

    def _free_name(self, folder: str, pack_id: str) -> Path:
        return free_name(self.library.folder / folder / f"pack-{pack_id}")

    def _clean_up(self) -> None:
        """Remove what a crash left half-written. Called under the lock: nobody is writing it."""
        for path in self.folder.glob(_TEMPORARY + "*"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Nobody else imports or removes. The library's own lock is for milliseconds only, and
        a large pack takes longer, so that one is taken for the renames alone."""
        if self.library.read_only:
            raise LibraryError(f"{self.library.folder}: this library is read-only.")
        with self._lock.held():
            yield


def _read(path: Path) -> Pack:
    return read_folder(path) if path.is_dir() else read_pack(path)
