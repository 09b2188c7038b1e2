"""Whether a file is still the one that was read: its size and times, in three degrees of care.

What is remembered of a file is stored beside such a stamp, so none of them may change its form.
"""

from __future__ import annotations

import time
from pathlib import Path

#: FAT knows the time of a change to two seconds, other coarse clocks to one.
_COARSE_TICK = 2.0


def time_stamp(path: Path) -> str:
    """Size and time of the last change. A hard link, or a copy that kept its time, is the same.

    Raises:
        OSError: the file is gone or cannot be asked.
    """
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def write_stamp(path: Path) -> list[int]:
    """Size, time and inode: tells two files apart that :func:`.files.write_atomic` put in the same
    place within one tick of the clock.

    Raises:
        OSError: the file is gone or cannot be asked.
    """
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def strict_stamp(path: Path) -> list[int]:
    """What changes however others replace or write to a file; empty if that cannot be told."""
    try:
        status = path.stat()
    except OSError:
        return []
    seconds, rest = divmod(status.st_mtime_ns, 10**9)
    if not rest and abs(time.time() - seconds) <= _COARSE_TICK:
        return []  # of a coarse clock, and what is written before its next tick looks the same
    # The time of change in the narrow sense (st_ctime) cannot be set by those who unpack and copy
    # files; on Windows it is the time of creation, which does no harm.
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]
