"""Files that survive a crash, a full disk and a second process."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LibraryError

TEMPORARY_PREFIX = ".writing-"
#: Seconds after which a temporary file is nobody's any more, however much clocks may differ.
STALE_AFTER = 86_400.0
#: Seconds to wait for another process that writes the same file.
LOCK_TIMEOUT = 30.0


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


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that ask for it as well from changing a file meanwhile.

    Raises:
        LibraryError: another one does not let go of it, or the folder is not writable.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(path.with_name(f".{path.name}.lock")))
        lock.acquire(timeout=LOCK_TIMEOUT)
    except Timeout:
        raise LibraryError(
            f"{path}: another process has been writing for {LOCK_TIMEOUT:.0f} seconds. "
            "Wait for it to finish and try again."
        ) from None
    except (OSError, NotImplementedError) as error:  # the latter where nothing can be locked
        reason = getattr(error, "strerror", None) or error
        raise LibraryError(f"{path}: is not writable ({reason}).") from None
    try:
        yield
    finally:
        lock.release()


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
