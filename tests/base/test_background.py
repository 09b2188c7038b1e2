"""Work in the background: never twice at once, and once more if it was asked for meanwhile."""

from __future__ import annotations

import threading

import pytest

from lib_gmi.base.background import Background


def test_asking_often_while_it_runs_makes_it_run_once_more() -> None:
    begun, go_on, done = threading.Semaphore(0), threading.Semaphore(0), []

    def work() -> None:
        begun.release()
        assert go_on.acquire(timeout=20)
        done.append(threading.current_thread())

    background = Background(work)
    assert not background.busy
    background()
    assert begun.acquire(timeout=20)
    for _ in range(5):
        background()
    assert background.busy
    go_on.release()
    assert begun.acquire(timeout=20)
    go_on.release()
    done_twice = wait_until(lambda: not background.busy)

    assert done_twice
    assert len(done) == 2
    assert threading.main_thread() not in done


def test_work_that_fails_is_logged_and_can_be_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs = []

    def work() -> None:
        runs.append(1)
        raise OSError("the drive is gone")

    background = Background(work)
    for expected in (1, 2):
        background()
        assert wait_until(lambda: not background.busy)
        assert len(runs) == expected
    assert caplog.text.count("OSError: the drive is gone\n") == 2


def wait_until(condition: object) -> bool:
    """Whether something becomes true before long."""
    assert callable(condition)
    pause = threading.Event()
    return any(condition() or pause.wait(0.01) for _ in range(2000))
