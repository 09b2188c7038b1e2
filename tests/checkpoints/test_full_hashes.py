"""Whole hashes are read where a pack needs them, once, and nowhere else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lib_gmi.checkpoints import full_hashes
from lib_gmi.checkpoints.full_hashes import FullHashes
from lib_gmi.checkpoints.identity import quick_identity
from lib_gmi.records.protocols import Candidate


def candidate(path: Path, content: bytes) -> Candidate:
    path.write_bytes(content)
    return Candidate(path.stem, quick_identity(path), path.name, path, len(content))


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_only_files_of_these_sizes_are_read_and_each_once(tmp_path: Path) -> None:
    one = candidate(tmp_path / "one.safetensors", b"1234567")
    other = candidate(tmp_path / "other.safetensors", b"12345678")
    hashes = FullHashes(tmp_path / "hashes.json")

    assert hashes.read([one, other], {7}) == 1
    assert hashes.known() == {one.identity: sha256(b"1234567")}
    assert hashes.read([one, other], {7}) == 0
    assert FullHashes(tmp_path / "hashes.json").known() == hashes.known()


def test_what_is_called_like_a_packs_entry_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [candidate(tmp_path / f"{name}.safetensors", name.encode()) for name in "abc"]
    read: list[str] = []

    def watched(path: Path) -> str:
        read.append(path.stem)
        return sha256(path.read_bytes())

    monkeypatch.setattr(full_hashes, "full_identity", watched)
    FullHashes(tmp_path / "hashes.json").read(rows, {1}, {"c"})
    assert read == ["c", "a", "b"]


def test_a_file_that_is_gone_or_replaced_meanwhile_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = candidate(tmp_path / "gone.safetensors", b"gone")
    replaced = candidate(tmp_path / "replaced.safetensors", b"old!")
    assert gone.path is not None
    gone.path.unlink()

    def slow(path: Path) -> str:
        path.write_bytes(b"new!")
        return sha256(b"old!")

    hashes = FullHashes(tmp_path / "hashes.json")
    assert hashes.read([gone], {4}) == 0
    monkeypatch.setattr(full_hashes, "full_identity", slow)
    assert hashes.read([replaced], {4}) == 0
    assert hashes.known() == {}


def test_of_a_cache_that_others_wrote_only_hashes_are_believed(tmp_path: Path) -> None:
    cache = tmp_path / "hashes.json"
    quick, full = "quick:" + "a" * 32, sha256(b"x")
    cache.write_text(json.dumps({quick: full, "quick:b": full, "quick:" + "c" * 32: "../x"}))
    assert FullHashes(cache).known() == {quick: full}
    for broken in ("[1]", "{", "null", '"x"'):
        cache.write_text(broken)
        assert FullHashes(cache).known() == {}
