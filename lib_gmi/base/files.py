"""Files that survive a crash, a full disk and a second process."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import LibraryError
from .stamps import write_stamp

TEMPORARY_PREFIX = ".writing-"
#: Seconds after which a temporary file is nobody's any more, however much clocks may differ.
STALE_AFTER = 86_400.0
#: More than any cache or list of ours takes; what is larger is not what it is called.
MAX_STATE = 1 << 30


class NotRegularError(OSError):
    """A folder, pipe, socket or device stands where a file should."""


class TooLargeError(OSError):
    """A file is larger than what is looked for can be."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, and never anything else: opening a pipe waits for a writer, and
    devices may have no end.

    Raises:
        NotRegularError: it is something else.
        OSError: it cannot be opened.
    """
    _refuse_other(path, path.stat().st_mode)  # before it is opened: a tape would rewind
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    try:
        _refuse_other(path, os.fstat(handle).st_mode)  # it may have been exchanged since
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, limit: int = MAX_STATE) -> bytes:
    """A whole file of at most ``limit`` bytes: the one way in which files are read that others,
    or an accident, may have put into a folder.

    Raises:
        NotRegularError: it is a folder, a pipe or a device.
        TooLargeError: it is larger, or does not end where it says.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = bytearray()
        while len(data) <= limit and size <= limit:
            # what it says, and a little more to see that this is all of it
            part = file.read(max(size - len(data), 0) + 4096)
            if not part:
                return bytes(data)
            data += part
    raise TooLargeError(errno.EFBIG, f"is larger than {limit >> 20} MB", str(path))


def _refuse_other(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise NotRegularError(errno.EISDIR, "is a folder", str(path))
    if not stat.S_ISREG(mode):
        raise NotRegularError(errno.EINVAL, "is not a file", str(path))


def walk(
    folder: Path, closed: Callable[[OSError], object] = lambda error: None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders from here on down, each once, with the names of their folders and files.

    Links to folders are followed, after all that is really here; those that lead in a circle, or
    to what was seen already, are passed over. So are dead links, pipes and devices. A folder that
    is called like a file is a folder. Whoever asks may shorten the list of folders.

    Args:
        folder: where to begin.
        closed: told of each folder that cannot be listed.
    """
    seen: set[tuple[int, int] | str] = set()
    waiting, linked = [folder], list[Path]()
    while waiting or linked:
        place = waiting.pop() if waiting else linked.pop(0)
        mark = _mark(place)
        if mark in seen:
            continue
        seen.add(mark)
        below, files = [], []
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):  # a dead link, or one that leads to itself
                        if entry.is_dir():
                            below.append(entry.name)
                        elif entry.is_file():
                            files.append(entry.name)
        except OSError as error:
            closed(error)
            continue
        below.sort()
        files.sort()
        yield place, below, files
        links = [name for name in below if os.path.islink(place / name)]  # noqa: PTH114
        linked += [place / name for name in links]
        waiting += [place / name for name in reversed(below) if name not in set(links)]


def _mark(folder: Path) -> tuple[int, int] | str:
    """What is the same for all names of a folder."""
    with contextlib.suppress(OSError):
        status = folder.stat()
        if status.st_ino:  # some network drives of Windows know no such number
            return status.st_dev, status.st_ino
    return os.path.realpath(folder)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file as a whole, or leave it as it was.

    The new content is written under a temporary name in the same folder, flushed to the disk and
    read back; only then does it take the place of the old file.

    Raises:
        LibraryError: the disk is full, the folder is not writable, or the disk returned other
            bytes than were written. The old file is untouched; where a drive that renames by
            copying stopped halfway, the new content is kept under its temporary name.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(TEMPORARY_PREFIX + uuid.uuid4().hex)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if temporary.read_bytes() != data:
            raise OSError(errno.EIO, "the disk returned other bytes than were written")
        before = _stamp(path)
        try:
            replace_file(temporary, path)
        except OSError as error:
            if _stamp(path) == before:
                raise
            kept, temporary = temporary, None
            raise LibraryError(
                f"{path}: the drive stopped halfway through replacing it "
                f"({error.strerror or error}). The new content is in {kept.name} beside it."
            ) from error
        temporary = None
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise LibraryError(
            f"{path}: cannot be written ({reason}). What was there before is unchanged."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
    with contextlib.suppress(OSError):
        sync_folder(path.parent)  # the new content is in place, whatever becomes of this


def _stamp(path: Path) -> list[int] | None:
    try:
        return write_stamp(path)
    except OSError:
        return None


def free_name(wanted: Path) -> Path:
    """This path, or else with the first number behind it that nothing has."""
    free, number = wanted, 1
    while free.exists():
        free = wanted.with_name(f"{wanted.name}.{number}")
        number += 1
    return free


def move_file(source: Path, target: Path) -> None:
    """Move a file or folder to another folder of the same drive, durably.

    Raises:
        OSError: it cannot be moved.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(source, target)
    sync_folder(target.parent)
    sync_folder(source.parent)


def replace_file(source: Path, target: Path) -> None:
    """``os.replace``, patient with Windows, where a file that somebody reads cannot be replaced."""
    for attempt in range(20):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if os.name != "nt" or attempt == 19:
                raise
            time.sleep(0.1)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable. Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a folder; the rename itself was atomic.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
