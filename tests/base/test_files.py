"""Files are read as files and as nothing else, and folders are walked without circles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lib_gmi.base.files import (
    NotRegularError,
    TooLargeError,
    open_regular,
    read_regular,
    walk,
)

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither")


def test_a_file_is_read_as_a_whole_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"", b"a", bytes(range(256)) * 100):
        path.write_bytes(content)
        assert read_regular(path, len(content)) == content
    with pytest.raises(TooLargeError):
        read_regular(path, 25_599)


@posix
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "socket"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        import socket

        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    for read in (read_regular, open_regular):
        with pytest.raises(NotRegularError):
            read(path)


@posix
def test_a_file_that_becomes_a_pipe_after_it_was_looked_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    real = os.open

    def exchanged(file: Path, *arguments: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(file, *arguments)

    monkeypatch.setattr(os, "open", exchanged)
    with pytest.raises(NotRegularError):
        read_regular(path)


@posix
def test_a_file_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of /proc say that they are empty."""
    path = tmp_path / "a"
    path.write_bytes(b"a" * 100_000)
    real = os.fstat

    def empty(handle: int) -> os.stat_result:
        status = list(real(handle))
        status[6] = 0
        return os.stat_result(status)

    monkeypatch.setattr(os, "fstat", empty)
    assert len(read_regular(path, 100_000)) == 100_000
    with pytest.raises(TooLargeError):
        read_regular(path, 50_000)


def names(folder: Path) -> list[str]:
    return [
        (place / file).relative_to(folder).as_posix()
        for place, _, files in walk(folder)
        for file in files
    ]


@posix
def test_linked_folders_are_walked_once_and_dead_links_not_at_all(tmp_path: Path) -> None:
    home, disk = tmp_path / "home", tmp_path / "disk"
    for path in (home / "real" / "a", home / "x.ckpt" / "b", disk / "deep" / "c"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a")
    (home / "away").symlink_to(disk)  # before what is here, by name
    (home / "again").symlink_to(home / "real")
    (home / "round").symlink_to(home)
    (disk / "back").symlink_to(home)
    (home / "dead").symlink_to(tmp_path / "nowhere")
    (home / "itself").symlink_to(home / "itself")
    (home / "file").symlink_to(disk / "deep" / "c")
    os.mkfifo(home / "pipe")
    assert names(home) == ["file", "real/a", "x.ckpt/b", "away/deep/c"]


def test_who_walks_may_leave_folders_out(tmp_path: Path) -> None:
    for path in (tmp_path / "in" / "a", tmp_path / "out" / "b"):
        path.parent.mkdir()
        path.write_bytes(b"a")
    found = []
    for _, below, files in walk(tmp_path):
        below[:] = [name for name in below if name != "out"]
        found += files
    assert found == ["a"]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    told: list[OSError] = []
    assert list(walk(tmp_path / "nowhere", told.append)) == []
    assert len(told) == 1
