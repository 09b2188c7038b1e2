"""Marks that survive restarts, other processes, and files that somebody else wrote."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lib_gmi.base.errors import LibraryError
from lib_gmi.library.favourites import Favourites

NAMES = ("a.safetensors", "folder/ü 灯 <b>.safetensors")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library" / "favourites.json"


def test_nothing_is_marked_and_nothing_is_written_at_first(path: Path) -> None:
    assert Favourites(path).names() == frozenset()
    assert not path.parent.exists()


def test_marks_survive_a_restart(path: Path) -> None:
    favourites = Favourites(path)
    for name in NAMES:
        favourites.set(name, True)
    favourites.set(NAMES[0], True)
    assert favourites.names() == Favourites(path).names() == frozenset(NAMES)
    favourites.set(NAMES[0], False)
    favourites.set("never marked", False)
    assert favourites.names() == Favourites(path).names() == {NAMES[1]}


def test_marks_of_another_process_are_kept(path: Path) -> None:
    first, second = Favourites(path), Favourites(path)
    assert first.names() == second.names() == frozenset()
    first.set("a", True)
    second.set("b", True)
    assert second.names() == Favourites(path).names() == {"a", "b"}
    first.set("a", False)
    assert first.names() == Favourites(path).names() == {"b"}


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"", set()),
        (b"{", set()),
        (b"null", set()),
        (b"[]", set()),
        (b'{"names": null}', set()),
        (b'{"names": ["a", 1, null, {"b": 2}, "c"]}', {"a", "c"}),
        (b"\xff\xfe", set()),
        (b"[" * 100_000, set()),
    ],
)
def test_files_that_somebody_else_wrote(path: Path, content: bytes, names: set[str]) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert Favourites(path).names() == names
    Favourites(path).set("new", True)
    assert Favourites(path).names() == names | {"new"}


def test_a_file_that_cannot_be_written_changes_nothing(path: Path) -> None:
    favourites = Favourites(path)
    favourites.set("a", True)
    before = path.read_bytes()
    path.unlink()
    path.mkdir()
    with pytest.raises(LibraryError, match=r"favourites\.json"):
        favourites.set("b", True)
    assert favourites.names() == {"a"}
    path.rmdir()
    path.write_bytes(before)
    assert Favourites(path).names() == {"a"}


def test_threads_do_not_lose_each_others_marks(path: Path) -> None:
    favourites = Favourites(path)
    wanted = [f"{number}" for number in range(16)]
    threads = [threading.Thread(target=favourites.set, args=(name, True)) for name in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert favourites.names() == Favourites(path).names() == set(wanted)
    assert json.loads(path.read_text(encoding="utf-8"))["names"] == sorted(wanted)
