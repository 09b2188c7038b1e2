"""What was removed or is damaged is kept for a while and up to a size."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from conftest import make_specification

from lib_gmi.library.catalogue import Library
from lib_gmi.library.removed import Limits, limits_from_environment, tidy

DAY = 24 * 3600


def put(path: Path, days: float, size: int = 1000) -> Path:
    """Something that was set aside so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    old, new = put(tmp_path / "removed" / "a", 91), put(tmp_path / "damaged" / "b", 89)

    assert tidy(tmp_path, Limits(90, 0)) == ["a"]
    assert (old.exists(), new.exists()) == (False, True)
    assert tidy(tmp_path, Limits(0, 0)) == []


def test_the_oldest_go_until_the_rest_fits(tmp_path: Path) -> None:
    for days, name in enumerate("abcd"):
        put(tmp_path / "removed" / name, days, 400_000)

    assert tidy(tmp_path, Limits(0, 1)) == ["c", "d"]
    assert sorted(path.name for path in (tmp_path / "removed").iterdir()) == ["a", "b"]


def test_folders_go_whole_and_links_alone(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside", 0)
    folder = tmp_path / "removed" / "samples"
    inside = put(folder / "one.webp", 100)
    os.utime(folder, (0, 0))
    (tmp_path / "removed" / "link").symlink_to(outside)
    os.utime(tmp_path / "removed" / "link", (0, 0), follow_symlinks=False)

    assert sorted(tidy(tmp_path, Limits(90, 0))) == ["link", "samples"]
    assert not inside.exists()
    assert outside.exists()


def test_days_count_from_the_removal(tmp_path: Path) -> None:
    library = Library(tmp_path, kept_aside=lambda: Limits(1, 0))
    library.add(make_specification())
    (entry,) = library.find("Alpha")
    os.utime(library.specifications_folder / entry.file, (0, 0))
    before = put(tmp_path / "damaged" / "old", 2)

    (moved,) = Library(tmp_path, kept_aside=lambda: Limits(1, 0)).remove([entry])

    assert moved.exists()
    assert not before.exists()


def test_a_library_that_is_only_read_keeps_everything(tmp_path: Path) -> None:
    file = put(tmp_path / "removed" / "old", 1000)

    assert Library(tmp_path, read_only=True, kept_aside=lambda: Limits(1, 1)).tidy() == []
    assert file.exists()


@pytest.mark.parametrize(
    ("days", "megabytes", "limits"),
    [
        (None, None, Limits()),
        ("7", "0", Limits(7, 0)),
        ("never", "-1", Limits()),
        ("nan", "inf", Limits()),
    ],
)
def test_limits_of_the_environment(
    days: str | None, megabytes: str | None, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("GMI_REMOVED_DAYS", days), ("GMI_REMOVED_MB", megabytes)):
        if value is not None:
            monkeypatch.setenv(name, value)

    assert limits_from_environment() == limits
