"""What a checkpoint is: quick to tell, the same for the same content, another for another."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from lib_gmi.base.errors import HostError
from lib_gmi.checkpoints import identity as module
from lib_gmi.checkpoints.identity import full_identity, quick_identity

MEGABYTE = 1 << 20


def checkpoint(path: Path, size: int, header: dict[str, object] | None = None) -> Path:
    """A sparse file with a safetensors header: big without taking space."""
    text = json.dumps(header or {"__metadata__": {"title": "Alpha"}}).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(size)
    return path


def test_identities_name_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"content")
    assert full_identity(path) == "sha256:" + hashlib.sha256(b"content").hexdigest()
    kind, _, digits = quick_identity(path).partition(":")
    assert kind == "quick"
    assert len(digits) == 32
    assert set(digits) <= set("0123456789abcdef")


@pytest.mark.parametrize("size", [0, 1, 8, 1000, 65_536, 300_000])
def test_the_same_content_is_the_same_checkpoint_wherever_it_lies(
    tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    first.write_bytes(content)
    second.write_bytes(content)
    os.utime(second, (1, 1))
    assert quick_identity(first) == quick_identity(second)
    assert full_identity(first) == full_identity(second)


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("size", [1, 100, 65_537, 700_000, MEGABYTE])
def test_a_changed_byte_anywhere_in_a_small_file_changes_it(
    tmp_path: Path, size: int, suffix: str
) -> None:
    content = bytearray(os.urandom(size))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    before = quick_identity(path)
    for position in sorted({0, size // 7, size // 3, size // 2, size * 4 // 5, size - 1}):
        content[position] ^= 1
        path.write_bytes(content)
        assert quick_identity(path) != before, f"byte {position} of {size}"
        content[position] ^= 1
    path.write_bytes(content)
    assert quick_identity(path) == before


def test_a_longer_file_is_another_checkpoint_even_if_only_zeros_were_added(
    tmp_path: Path,
) -> None:
    sizes = (100 * MEGABYTE, 100 * MEGABYTE + 1, 101 * MEGABYTE)
    found = {quick_identity(checkpoint(tmp_path / f"{s}.safetensors", s)) for s in sizes}
    assert len(found) == 3


def test_a_changed_header_of_a_big_file_changes_it(tmp_path: Path) -> None:
    """Far behind the first block: headers of merged checkpoints are long."""
    size = 5000 * MEGABYTE
    layers = {f"layer.{i}": {"dtype": "F16", "shape": [i]} for i in range(20_000)}
    changed = {**layers, "layer.15000": {"dtype": "F16", "shape": [15_001]}}
    first = checkpoint(tmp_path / "a.safetensors", size, layers)
    second = checkpoint(tmp_path / "b.safetensors", size, changed)
    assert first.stat().st_size == second.stat().st_size
    assert quick_identity(first) != quick_identity(second)


def test_changed_weights_in_a_big_file_change_it_where_they_are_sampled(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.safetensors", 5000 * MEGABYTE)
    before = quick_identity(path)
    with path.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"x")
    assert quick_identity(path) != before


@pytest.mark.parametrize("prefix", [b"\xff" * 8, (1 << 40).to_bytes(8, "little"), bytes(8), b"abc"])
def test_a_file_that_lies_about_its_header_still_has_an_identity(
    tmp_path: Path, prefix: bytes
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(prefix)
    assert quick_identity(path).startswith("quick:")


def test_a_big_file_is_told_apart_by_reading_less_than_two_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(tmp_path / "a.safetensors", 7000 * MEGABYTE)
    read = 0
    original = module.open_regular

    class CountingFile:
        def __init__(self, path: Path) -> None:
            self.file = original(path)

        def __enter__(self) -> CountingFile:
            return self

        def __exit__(self, *exc: object) -> None:
            self.file.close()

        def seek(self, offset: int) -> int:
            return int(self.file.seek(offset))

        def read(self, size: int = -1) -> bytes:
            nonlocal read
            data = bytes(self.file.read(size))
            read += len(data)
            return data

    monkeypatch.setattr(module, "open_regular", CountingFile)
    quick_identity(path)
    assert 65_536 < read < 2 * MEGABYTE


def test_the_full_identity_tells_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(bytes(40 * MEGABYTE))
    reports: list[tuple[int, int, str]] = []

    class Progress:
        def update(self, done: int, total: int, message: str = "") -> None:
            reports.append((done, total, message))

    full_identity(path, Progress())
    total = 40 * MEGABYTE
    assert [done for done, *_ in reports] == [16 * MEGABYTE, 32 * MEGABYTE, total]
    assert all(report[1:] == (total, "a.ckpt") for report in reports)


@pytest.mark.parametrize("identity", [quick_identity, full_identity])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, identity: object) -> None:
    assert callable(identity)
    with pytest.raises(HostError, match="nowhere"):
        identity(tmp_path / "nowhere.safetensors")
    with pytest.raises(HostError, match="cannot be read"):
        identity(tmp_path)
