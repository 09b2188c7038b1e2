"""JSON files: damage is set aside, and what cannot be read just now is never overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_gmi.base.errors import HostError
from lib_gmi.base.json_file import JsonFile, read_json


def _numbers(found: dict[str, Any]) -> list[int]:
    return [int(number) for number in found["numbers"]]


@pytest.fixture
def file(tmp_path: Path) -> JsonFile[list[int]]:
    path = tmp_path / "below" / "numbers.json"
    return JsonFile(path, _numbers, list, lambda numbers: {"numbers": numbers}, HostError)


def test_a_value_is_read_as_it_was_written(file: JsonFile[list[int]]) -> None:
    assert file.load() == file.cached() == file.read() == []
    file.write([1, 2])
    assert file.load() == [1, 2]
    assert json.loads(file.path.read_bytes()) == {"numbers": [1, 2]}


def test_changes_build_on_what_is_stored_and_none_writes_nothing(
    file: JsonFile[list[int]],
) -> None:
    assert file.change(lambda stored: [*stored, 1]) == [1]
    before = file.path.stat().st_ino
    assert file.change(lambda stored: None) == [1]
    assert file.path.stat().st_ino == before


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff", b"[]", b'{"numbers": ["x"]}', b"[" * 99_999]
)
def test_damage_is_set_aside_where_somebody_asks_for_the_value(
    file: JsonFile[list[int]], damage: bytes
) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(damage)
    assert file.cached() == []
    assert file.path.read_bytes() == damage, "a cache is looked at and left"
    assert file.load() == []
    assert not file.path.exists()
    file.path.write_bytes(damage)
    assert file.change(lambda stored: [*stored, 3]) == [3]
    kept = [file.path.with_name(f"numbers.json.damaged-{number}") for number in (1, 2)]
    assert [path.read_bytes() for path in kept] == [damage, damage]


def test_what_cannot_be_read_is_an_error_and_stays(file: JsonFile[list[int]]) -> None:
    file.path.mkdir(parents=True)
    assert file.cached() == []
    file.keep([1])
    for ask in (file.load, lambda: file.change(lambda stored: [1])):
        with pytest.raises(HostError, match=r"numbers\.json: cannot be read"):
            ask()
    assert file.path.is_dir()


def test_of_foreign_files_only_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert read_json(path) is None
    path.write_bytes(b"[1")
    assert read_json(path) is None
    path.write_bytes(b"[1]")
    assert read_json(path) == [1]
    assert read_json(path, limit=2) is None
