"""Files that survive a crash, a full disk and a second process."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from pathlib import Path

from .errors import LibraryError

TEMPORARY_PREFIX = ".writing-"


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file as a whole, or leave it as it was.

    The new content is written under a temporary name in the same folder, flushed to the disk and
    read back; only then does it take the place of the old file.

    Raises:
        LibraryError: the disk is full, the folder is not writable, or the disk returned other
            bytes than were written. The old file is untouched.
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
        replace_file(temporary, path)
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
