"""Samples are found again, moved whole, and nothing else in the folder is ever handed out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_gmi.base import files
from lib_gmi.base.errors import LibraryError
from lib_gmi.library.samples import SampleStore

STEM, OTHER_STEM = "0123456789abcdef" * 2, "f" * 32


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    return SampleStore(tmp_path / "library" / "samples")


def test_a_sample_is_found_under_its_prompt_and_seed_and_no_other(store: SampleStore) -> None:
    assert store.find(STEM, "cat", 1000) is None
    path = store.write(STEM, "cat", 1000, b"picture")
    assert path == store.folder / STEM / "cat-1000.webp"
    assert store.find(STEM, "cat", 1000) == path
    assert path.read_bytes() == b"picture"
    for other in ((STEM, "cat", 1001), (STEM, "dog", 1000), (OTHER_STEM, "cat", 1000)):
        assert store.find(*other) is None
    store.write(STEM, "cat", 1000, b"another")
    assert path.read_bytes() == b"another"


ODD_IDS = (
    "",
    ".",
    "..",
    "../../../etc/passwd",
    "a/b",
    "a\\b",
    "C:\\x",
    "Cat",
    "straße",
    "猫",
    "a b",
    "-rf",
    "x\0y",
    "x\ny",
    "a" * 81,
    "caf\udce9",
)


@pytest.mark.parametrize("prompt_id", ODD_IDS, ids=range(len(ODD_IDS)))
def test_a_prompt_id_that_suits_no_file_name_is_kept_all_the_same(
    store: SampleStore, prompt_id: str
) -> None:
    path = store.write(STEM, prompt_id, 1000, b"picture")
    assert path.parent == store.folder / STEM
    assert path.name.isascii()
    assert store.find(STEM, prompt_id, 1000) == path
    assert store.open(path.parent.name, path.name) == path


def test_odd_prompt_ids_do_not_fall_together(store: SampleStore) -> None:
    assert len({store.path(STEM, prompt_id, 1) for prompt_id in ODD_IDS}) == len(ODD_IDS)


@given(st.text(max_size=100), st.integers(0, 2**63))
def test_whatever_can_be_written_can_be_opened_by_its_names(prompt_id: str, seed: int) -> None:
    path = SampleStore(Path("samples")).path(STEM, prompt_id, seed)
    assert path.parent == Path("samples") / STEM
    assert SampleStore(Path("samples")).open(STEM, path.name) is None, "but it is not there"


@pytest.fixture
def library(store: SampleStore) -> Path:
    """A library's folder with a sample, and other files that are nobody's business."""
    store.write(STEM, "cat", 1000, b"picture")
    folder = store.folder.parent
    (folder / "settings.json").write_text("{}")
    (folder / "secret-1000.webp").write_bytes(b"secret")
    (folder / "specifications").mkdir()
    (folder / "specifications" / f"{STEM}.safetensors").write_bytes(b"x")
    (store.folder / "removed").mkdir()
    (store.folder / "removed" / "cat-1000.webp").write_bytes(b"x")
    (store.folder / STEM / "notes.txt").write_text("x")
    (store.folder / STEM / ".writing-0").write_bytes(b"x")
    (store.folder / STEM / "dog-1000.webp").mkdir()
    return folder


@pytest.mark.parametrize(
    ("stem", "file"),
    [
        (STEM, "cat-1001.webp"),
        (STEM, "notes.txt"),
        (STEM, ".writing-0"),
        (STEM, "dog-1000.webp"),  # a folder
        (STEM, ""),
        (STEM, "."),
        (STEM, ".."),
        (STEM, "../../settings.json"),
        (STEM, "../../secret-1000.webp"),
        (STEM, "..\\..\\secret-1000.webp"),
        (STEM, "../" + STEM + "/cat-1000.webp"),
        (STEM, "./cat-1000.webp"),
        (STEM, "cat-1000.webp\n"),
        (STEM, "cat-1000.webp\0"),
        (STEM, "cat-1000.webp/"),
        (STEM, "cat-1000.webp::$DATA"),
        (STEM, "CAT-1000.webp"),
        (STEM, "cat-1000.WEBP"),
        (STEM, "cat-١٠٠٠.webp"),
        (STEM, "/etc/passwd"),
        (STEM.upper(), "cat-1000.webp"),
        (STEM[:-1], "cat-1000.webp"),
        (STEM + "/", "cat-1000.webp"),
        (STEM + "\n", "cat-1000.webp"),
        ("", "cat-1000.webp"),
        (".", "cat-1000.webp"),
        ("..", "secret-1000.webp"),
        ("removed", "cat-1000.webp"),
        ("../specifications", f"{STEM}.safetensors"),
        ("/etc", "passwd"),
        ("~", "cat-1000.webp"),
    ],
)
def test_only_what_the_store_wrote_is_handed_out(library: Path, stem: str, file: str) -> None:
    store = SampleStore(library / "samples")
    assert store.open(stem, file) is None
    assert store.open(STEM, "cat-1000.webp") == library / "samples" / STEM / "cat-1000.webp"


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_links_to_files_elsewhere_are_not_followed(library: Path) -> None:
    store = SampleStore(library / "samples")
    (store.folder / STEM / "bat-1000.webp").symlink_to(library / "settings.json")
    assert store.open(STEM, "bat-1000.webp") is None


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few people make links")
def test_links_to_folders_elsewhere_are_not_followed(library: Path) -> None:
    store = SampleStore(library / "samples")
    (store.folder / OTHER_STEM).symlink_to(library, target_is_directory=True)
    assert store.open(OTHER_STEM, "secret-1000.webp") is None


def test_samples_move_into_what_is_there_already(store: SampleStore, tmp_path: Path) -> None:
    store.write(STEM, "cat", 1, b"new")
    store.write(STEM, "dog", 2, b"dog")
    store.write(OTHER_STEM, "cat", 1, b"old")
    store.write(OTHER_STEM, "bat", 3, b"bat")
    store.move(STEM, store.folder / OTHER_STEM)
    assert not (store.folder / STEM).exists()
    found = {path.name: path.read_bytes() for path in (store.folder / OTHER_STEM).iterdir()}
    assert found == {"cat-1.webp": b"new", "dog-2.webp": b"dog", "bat-3.webp": b"bat"}
    store.move(STEM, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists(), "of nothing, nothing is made"


def test_a_move_that_fails_names_both_places_and_loses_nothing(
    store: SampleStore, tmp_path: Path
) -> None:
    path = store.write(STEM, "cat", 1, b"picture")
    target = tmp_path / "in the way"
    target.write_text("a file")
    with pytest.raises(LibraryError, match="in the way"):
        store.move(STEM, target)
    assert path.read_bytes() == b"picture"


def test_a_sample_that_cannot_be_written_says_so(
    store: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(LibraryError, match="the disk is full"):
        store.write(STEM, "cat", 1, b"picture")
    assert store.find(STEM, "cat", 1) is None
    assert list((store.folder / STEM).iterdir()) == []


def test_the_size_counts_samples_only(store: SampleStore) -> None:
    assert store.size() == 0
    store.write(STEM, "cat", 1, b"12345")
    store.write(OTHER_STEM, "cat", 1, b"123")
    (store.folder / STEM / "notes.txt").write_text("much longer than that")
    assert store.size() == 8
