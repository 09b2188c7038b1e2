"""One lock for all who write: with the system's own, and where a file system has none."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest

from lib_gmi.base import locks
from lib_gmi.base.errors import HostError, LibraryError
from lib_gmi.base.locks import Lock

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows locks files everywhere")


@pytest.fixture(params=["native", "marked"])
def drive(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system with locks, and one without."""
    if request.param == "marked":
        without_locks(monkeypatch)
    return str(request.param)


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)


def lock(folder: Path) -> Lock:
    return Lock(folder / ".lock", folder)


def test_who_holds_it_may_take_it_again(drive: str, tmp_path: Path) -> None:
    mine = lock(tmp_path)
    with mine.held(1), mine.held(1):
        pass
    with lock(tmp_path).held(0.2):
        pass


def test_two_locks_of_a_file_exclude_each_other(drive: str, tmp_path: Path) -> None:
    second = lock(tmp_path).held(0.2)
    with lock(tmp_path).held(1), pytest.raises(LibraryError, match="another process"), second:
        pass


def test_forty_threads_take_turns(drive: str, tmp_path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        with lock(tmp_path).held(30):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.001)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1]


def test_errors_are_of_the_kind_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    broken = Lock(tmp_path / "file" / ".lock", tmp_path / "mine", HostError, "Go elsewhere.")
    said = r"mine: is not writable \(.*\)\. Go elsewhere\."
    with pytest.raises(HostError, match=said), broken.held(1):
        pass


def killed_holder(folder: Path) -> None:
    """A process that ends while it holds the lock."""
    child = os.fork()
    if child == 0:
        lock(folder)._take(1)
        os._exit(9)
    os.waitpid(child, 0)


def test_what_a_killed_process_held_is_free(drive: str, tmp_path: Path) -> None:
    killed_holder(tmp_path)
    assert (tmp_path / ".lock-held").exists() == (drive == "marked")
    with lock(tmp_path).held(0.5):
        pass
    assert not (tmp_path / ".lock-held").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"machine": "elsewhere", "process": 1}'])
def test_a_mark_that_nobody_touches_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """Copied with the folder, or left by a process of another machine; clocks may differ."""
    without_locks(monkeypatch)
    monkeypatch.setattr(locks, "_SILENT_AFTER", 0.3)
    mark = tmp_path / ".lock-held"
    mark.write_bytes(content)
    begun = time.monotonic()
    with lock(tmp_path).held(5):
        assert time.monotonic() - begun > 0.3
        assert json.loads(mark.read_bytes())["process"] == os.getpid()
    mark.write_bytes(content)
    os.utime(mark, (1, 1))
    with lock(tmp_path).held(0.1):
        pass
    assert not list(tmp_path.glob("*held*"))


def test_a_mark_that_is_touched_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    monkeypatch.setattr(locks, "_SILENT_AFTER", 0.5)
    monkeypatch.setattr(locks, "_TOUCHED_EVERY", 0.1)
    second = lock(tmp_path).held(1.5)
    with lock(tmp_path).held(1), pytest.raises(LibraryError, match="another process"), second:
        pass


def test_waiting_ends_before_people_are_told_to_wait() -> None:
    assert locks._TOUCHED_EVERY * 3 < locks._SILENT_AFTER < locks.LOCK_TIMEOUT


def test_a_pipe_in_the_marks_place_stops_nobody_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    os.mkfifo(tmp_path / ".lock-held")
    with pytest.raises(LibraryError, match="not writable"), lock(tmp_path).held(1):
        pass
