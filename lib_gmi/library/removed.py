"""What was set aside: removed specifications with their samples, removed packs, damaged files.

It is there for those who change their minds, so it is kept for a while and up to a size: what was
set aside first goes first.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ..base.text import number_of

#: Folders of a library.
REMOVED, DAMAGED = "removed", "damaged"
#: Where a host has no settings page of ours.
DAYS_VARIABLE, SIZE_VARIABLE = "GMI_REMOVED_DAYS", "GMI_REMOVED_MB"
_DAY = 24 * 3600.0


@dataclass(frozen=True)
class Limits:
    """How long and how much is kept.

    Attributes:
        days: since it was set aside; 0 for ever.
        megabytes: of all of it; 0 for any.
    """

    days: float = 90.0
    megabytes: float = 500.0

    @classmethod
    def of(cls, days: object, megabytes: object) -> Limits:
        """Of what people wrote; the usual ones where that is no number or is negative."""
        usual = cls()
        return cls(_limit(days, usual.days), _limit(megabytes, usual.megabytes))


def limits_from_environment() -> Limits:
    """By ``$GMI_REMOVED_DAYS`` and ``$GMI_REMOVED_MB``."""
    return Limits.of(os.environ.get(DAYS_VARIABLE), os.environ.get(SIZE_VARIABLE))


def touch(path: Path) -> None:
    """Remember that a file or folder is set aside now: moving it keeps its older time."""
    with contextlib.suppress(OSError):
        os.utime(path)


def tidy(library: Path, limits: Limits) -> list[str]:
    """Delete what is over the limits; returns names. Whoever calls holds the library's lock.

    What cannot be deleted stays, and so does what another program put there with a time to come.
    """
    found = []
    for folder in (REMOVED, DAMAGED):
        with contextlib.suppress(OSError):
            for entry in os.scandir(library / folder):
                with contextlib.suppress(OSError):
                    set_aside = entry.stat(follow_symlinks=False).st_mtime
                    found.append((set_aside, _size(Path(entry.path)), Path(entry.path)))
    found.sort(reverse=True)
    gone, total, now = [], 0, time.time()
    for set_aside, size, path in found:
        total += size
        too_old = limits.days > 0 and now - set_aside > limits.days * _DAY
        if (too_old or 0 < limits.megabytes * 1e6 < total) and _delete(path):
            total -= size
            gone.append(path.name)
    return gone


def _size(path: Path) -> int:
    """Bytes of a file, or of everything in a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(
        Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names
    )


def _delete(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True


def _limit(value: object, usual: float) -> float:
    number = number_of(value)
    return usual if number is None or not 0 <= number < float("inf") else number
