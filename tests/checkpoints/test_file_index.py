"""Files are read once, and again when they are replaced; a bad cache costs nothing but time."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from standins.host import write_checkpoint

from lib_gmi.base import json_file
from lib_gmi.base.errors import HostError, LibraryError
from lib_gmi.checkpoints import file_index
from lib_gmi.checkpoints.file_index import FileIndex
from lib_gmi.checkpoints.header import inspect
from lib_gmi.checkpoints.identity import quick_identity


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "library" / "files.json"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were really read, in order."""
    names: list[str] = []

    def reading(path: Path) -> str:
        names.append(path.name)
        return quick_identity(path)

    monkeypatch.setattr(file_index, "quick_identity", reading)
    return names


def test_a_file_is_read_once_even_over_restarts(
    tmp_path: Path, cache: Path, read: list[str]
) -> None:
    path = write_checkpoint(tmp_path / "a.safetensors", 1)
    for _ in range(2):
        index = FileIndex(cache)
        assert index.identity(path) == index.identity(path) == quick_identity(path)
        index.save()
    assert read == ["a.safetensors"]
    cache.unlink()
    FileIndex(cache).identity(path)
    assert read == ["a.safetensors"] * 2, "the cache is safe to delete"


def test_facts_are_those_of_the_file(tmp_path: Path, cache: Path) -> None:
    index = FileIndex(cache)
    for architecture in ("sd1", "sdxl", "vae"):
        path = write_checkpoint(tmp_path / f"{architecture}.safetensors", 1, architecture)
        assert index.facts(path) == inspect(path)
        assert index.facts(path) is index.facts(path), "looked at once"


def test_a_replaced_file_is_read_again(tmp_path: Path, cache: Path) -> None:
    path = write_checkpoint(tmp_path / "a.safetensors", 1, "sd1")
    index = FileIndex(cache)
    first = index.identity(path)
    assert index.facts(path).architecture == "sd1"
    write_checkpoint(path, 1, "sdxl")
    assert index.identity(path) == quick_identity(path) != first
    assert index.facts(path).architecture == "sdxl"


def test_a_file_of_the_same_size_and_time_moved_into_its_place_is_read_again(
    tmp_path: Path, cache: Path
) -> None:
    """What tools do that keep a file's time: they write a new file and rename it."""
    path = write_checkpoint(tmp_path / "a.safetensors", 1)
    other = write_checkpoint(tmp_path / "b.safetensors", 2)
    for each in (path, other):
        os.utime(each, ns=(1, 1))
    assert path.stat().st_size == other.stat().st_size
    index = FileIndex(cache)
    first = index.identity(path)
    assert index.facts(path).metadata["style"] == "1"
    other.replace(path)
    assert index.identity(path) != first
    assert index.facts(path).metadata["style"] == "2"


def test_a_missing_file_is_an_error_now_and_none_when_it_is_back(
    tmp_path: Path, cache: Path
) -> None:
    path = tmp_path / "a.safetensors"
    index = FileIndex(cache)
    with pytest.raises(HostError, match=r"a\.safetensors"):
        index.identity(path)
    assert index.facts(path).unsupported is not None
    write_checkpoint(path, 1)
    assert index.identity(path) == quick_identity(path)
    assert index.facts(path).unsupported is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"text"',
        b"[" * 100_000,
        b'{"%s": 5}',
        b'{"%s": [5]}',
        b'{"%s": [[1, 2, 3], "quick:wrong", 4]}',
        b'{"%s": [["x"], "quick:wrong"]}',
        b'{"%s": [[1e999], "quick:wrong"]}',
        b'{"%s": [[1, 2, 3], "quick:wrong"]}',
    ],
    ids=range(14),
)
def test_a_damaged_cache_is_as_good_as_none(tmp_path: Path, cache: Path, content: bytes) -> None:
    path = write_checkpoint(tmp_path / "a.safetensors", 1)
    cache.parent.mkdir()
    cache.write_bytes(content.replace(b"%s", str(path).encode()))
    index = FileIndex(cache)
    assert index.identity(path) == quick_identity(path)
    index.save()
    assert FileIndex(cache).identity(path) == quick_identity(path)
    assert list(json.loads(cache.read_bytes())) == [str(path)]


def test_nothing_is_written_where_nothing_is_new(tmp_path: Path, cache: Path) -> None:
    index = FileIndex(cache)
    index.save()
    assert not cache.exists()
    index.identity(write_checkpoint(tmp_path / "a.safetensors", 1))
    index.save()
    cache.unlink()
    index.save()
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_no_trouble(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise LibraryError(f"{path}: cannot be written (the disk is full).")

    monkeypatch.setattr(json_file, "write_atomic", full)
    path = write_checkpoint(tmp_path / "a.safetensors", 1)
    index = FileIndex(cache)
    index.identity(path)
    index.save()
    assert index.identity(path) == quick_identity(path)


def test_a_cache_can_be_written_while_another_thread_finds_new_files(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request of the front end lists the files, each in a thread of its own."""
    index = FileIndex(cache)
    paths = [write_checkpoint(tmp_path / f"{n}.safetensors", n) for n in range(3)]
    index.identity(paths[0])
    index.identity(paths[1])

    add = threading.Thread(target=lambda: index.identity(paths[2]))
    write_text = json.encoder.encode_basestring_ascii

    def in_between(text: str) -> str:
        if not add.ident:
            add.start()
            add.join(0.2)
        return write_text(text)

    monkeypatch.setattr(json.encoder, "encode_basestring_ascii", in_between)
    index.save()
    if not add.ident:
        add.start()
    add.join(20)
    monkeypatch.undo()
    index.save()
    assert set(json.loads(cache.read_bytes())) == {str(path) for path in paths}
