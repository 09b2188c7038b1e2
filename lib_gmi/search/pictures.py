"""Pictures of images in indexed folders, for faces: asked for by name, never by a free path.

A picture is only given of a file that is in the index of a folder that the host's configuration
names. It is made anew, small, and without anything that the file says about itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qs, urlencode

from ..base.images import open_image, small_webp
from .folder_images import FolderImages
from .index import FolderIndex, indexed_folders

#: Pixels of the longer side.
SIDE = 512
#: Of the address, after the prefix of all routes.
ROUTE = "search/picture"
_QUALITY = 82


class FolderPictures:
    """Finds the files. For any thread.

    Args:
        home: the library's folder, which has the indexes.
    """

    def __init__(self, home: Path) -> None:
        self._home, self._lock = home, Lock()
        #: By place of an index: its stamp, and names of its images. No vectors: those are large.
        self._names: dict[Path, tuple[object, frozenset[str]]] = {}

    def find(self, folder: str, file: str, folders: Sequence[Path]) -> Path | None:
        """The file of a picture, with all links followed; ``None`` for anything that is not shown.

        Args:
            folder: as the host's configuration calls it.
            file: below it, with ``/`` between folders.
            folders: that the host's configuration names now.
        """
        named = {str(each): each for each in folders}.get(folder)
        if named is None or not _plain(file):
            return None
        path = named.absolute() / file
        indexes = indexed_folders(self._home, allowed=folders)
        if not any(self._holds(index, path) for index in indexes):
            return None
        real, home = os.path.realpath(path), os.path.realpath(named)
        inside = os.path.commonpath([real, home]) == home if _same_drive(real, home) else False
        return Path(real) if inside and os.path.isfile(real) else None  # noqa: PTH113

    def _holds(self, index: FolderIndex, path: Path) -> bool:
        if not path.is_relative_to(index.folder):
            return False
        name = path.relative_to(index.folder).as_posix()
        with self._lock:
            stamp, names = self._names.get(index.place, (None, frozenset()))
            if name not in names and (now := index.stamp()) != stamp:
                names = frozenset(row["path"] for row in FolderImages(index).descriptions())
                self._names[index.place] = (now, names)
            return name in names


def picture_query(file: str, folders: Sequence[Path]) -> str | None:
    """How a file is asked for: ``folder=…&file=…``; ``None`` if it is in none of these folders."""
    path = Path(file)
    for folder in folders:
        home = folder.absolute()
        if path.is_relative_to(home):
            names = {"folder": str(folder), "file": path.relative_to(home).as_posix()}
            return urlencode(names, errors="surrogateescape")
    return None


def names_in(query: str) -> tuple[str, str]:
    """Folder and file of what :func:`picture_query` made; two empty texts for anything else."""
    found = parse_qs(query, errors="surrogateescape")
    return "".join(found.get("folder", [])[:1]), "".join(found.get("file", [])[:1])


def small_copy(path: Path, side: int = SIDE) -> bytes:
    """A WebP of an image, upright, its longer side at most ``side`` pixels.

    Raises:
        ImageError: the file is gone, or no image.
    """
    return small_webp(open_image(path), side, _QUALITY)


def _plain(file: str) -> bool:
    """Whether a name can only mean something below a folder."""
    strange = "\\" in file or "\0" in file or os.path.isabs(file) or Path(file).drive  # noqa: PTH117
    return not strange and all(part not in ("", ".", "..") for part in file.split("/"))


def _same_drive(one: str, other: str) -> bool:
    return os.path.splitdrive(one)[0].casefold() == os.path.splitdrive(other)[0].casefold()
