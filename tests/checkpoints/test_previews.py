"""Previews beside checkpoints: only where there is none, and only ours are taken away."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_specification, picture
from PIL import Image

from lib_gmi.base.errors import GMIError, LibraryError
from lib_gmi.checkpoints.previews import Previews, best_sample
from lib_gmi.records.specification import Specification


@pytest.fixture
def previews(tmp_path: Path) -> Previews:
    return Previews(tmp_path / "library" / "previews.json")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "dream.v1.0.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.webp"
    picture(1, 2).save(path)
    return path


def files(checkpoint: Path) -> list[str]:
    return sorted(path.name for path in checkpoint.parent.iterdir())


def test_a_sample_becomes_a_preview_that_the_web_ui_finds(
    previews: Previews, checkpoint: Path, sample: Path
) -> None:
    assert not previews.exists(checkpoint)
    path = previews.make(checkpoint, sample)
    assert path.name == "dream.v1.0.preview.png"
    with Image.open(path) as made, Image.open(sample) as before:
        assert np.array_equal(np.asarray(made), np.asarray(before.convert("RGB")))
    assert previews.exists(checkpoint)
    assert previews.ours(checkpoint)
    assert checkpoint.read_bytes() == b"weights"


@pytest.mark.parametrize(
    "ending",
    [f"{middle}.{kind}" for middle in ("", ".preview") for kind in ("png", "jpg", "jpeg", "webp")]
    + [".gif"],
)
def test_a_preview_that_is_there_is_never_replaced(
    previews: Previews, checkpoint: Path, sample: Path, ending: str
) -> None:
    theirs = checkpoint.with_name(f"dream.v1.0{ending}")
    theirs.write_bytes(b"theirs")
    assert previews.exists(checkpoint)
    assert not previews.ours(checkpoint)
    before = files(checkpoint)
    with pytest.raises(LibraryError, match="has a preview already"):
        previews.make(checkpoint, sample)
    with pytest.raises(LibraryError, match="was not made here"):
        previews.undo(checkpoint)
    assert files(checkpoint) == before
    assert theirs.read_bytes() == b"theirs"


def test_a_preview_that_appears_in_between_is_not_replaced(
    previews: Previews, checkpoint: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Previews, "exists", lambda self, checkpoint: False)
    theirs = checkpoint.with_name("dream.v1.0.preview.png")
    theirs.write_bytes(b"theirs")
    with pytest.raises(LibraryError, match="has a preview already"):
        previews.make(checkpoint, sample)
    assert theirs.read_bytes() == b"theirs"
    with pytest.raises(LibraryError, match="it stays"):
        previews.undo(checkpoint)
    assert theirs.read_bytes() == b"theirs"


def test_undoing_takes_away_what_was_made_and_can_be_done_again(
    previews: Previews, checkpoint: Path, sample: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        previews.make(checkpoint, sample)
        Previews(tmp_path / "library" / "previews.json").undo(checkpoint)  # of a later process
        assert files(checkpoint) == [checkpoint.name]
        with pytest.raises(LibraryError, match="was not made here"):
            previews.undo(checkpoint)
    assert json.loads((tmp_path / "library" / "previews.json").read_text()) == {}


def test_a_preview_that_somebody_changed_stays(
    previews: Previews, checkpoint: Path, sample: Path
) -> None:
    path = previews.make(checkpoint, sample)
    path.write_bytes(path.read_bytes() + b"more")
    assert not previews.ours(checkpoint)
    with pytest.raises(LibraryError, match="was changed since"):
        previews.undo(checkpoint)
    assert path.exists()


def test_a_preview_that_somebody_removed_is_nobodys(
    previews: Previews, checkpoint: Path, sample: Path
) -> None:
    previews.make(checkpoint, sample).unlink()
    assert not previews.ours(checkpoint)
    with pytest.raises(LibraryError, match="was not made here"):
        previews.undo(checkpoint)


def test_what_was_never_made_is_not_ours(previews: Previews, checkpoint: Path) -> None:
    assert not previews.ours(checkpoint)


@pytest.mark.parametrize("record", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"null", b"7"])
def test_a_damaged_record_makes_nothing_ours(
    previews: Previews, checkpoint: Path, sample: Path, tmp_path: Path, record: bytes
) -> None:
    path = previews.make(checkpoint, sample)
    (tmp_path / "library" / "previews.json").write_bytes(record)
    with pytest.raises(LibraryError, match="was not made here"):
        previews.undo(checkpoint)
    assert path.exists()


def test_other_previews_are_remembered(previews: Previews, checkpoint: Path, sample: Path) -> None:
    second = checkpoint.with_name("second.safetensors")
    previews.make(checkpoint, sample)
    previews.make(second, sample)
    previews.undo(checkpoint)
    assert previews.ours(second)


def test_a_sample_that_cannot_be_read_leaves_nothing(
    previews: Previews, checkpoint: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.webp"
    broken.write_bytes(b"RIFF")
    with pytest.raises(GMIError):
        previews.make(checkpoint, broken)
    assert files(checkpoint) == [checkpoint.name]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_says_so(
    previews: Previews, checkpoint: Path, sample: Path
) -> None:
    checkpoint.parent.chmod(0o500)
    try:
        with pytest.raises(LibraryError, match="cannot be written"):
            previews.make(checkpoint, sample)
    finally:
        checkpoint.parent.chmod(0o700)


def test_a_disk_that_is_full_leaves_nothing_half_written(
    previews: Previews, checkpoint: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    real = os.fsync
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        (full if name.endswith(".preview.png") else real)(descriptor)

    if sys.platform != "linux":
        pytest.skip("looks up what is being written")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(LibraryError, match="No space left on device"):
        previews.make(checkpoint, sample)
    assert calls
    assert files(checkpoint) == [checkpoint.name]
    assert not previews.exists(checkpoint)


def specification(features: list[list[float]]) -> Specification:
    array = np.array(features, np.float32).reshape(-1, 3)
    return replace(make_specification(prompts=len(array), dim=3), features=array)


def test_the_best_sample_is_the_one_that_is_most_like_the_others() -> None:
    rows = [[0, 9.0, 5], [1, 0, 5], [2, -1, 5], [9, 1, 5]]
    assert best_sample(specification(rows)) == 1
    stretched = [[a, 1000 * b, c] for a, b, c in rows]
    assert best_sample(specification(stretched)) == 1, "each feature counts alike"
    assert best_sample(specification(rows[:1])) == 0
    assert best_sample(specification([])) is None
