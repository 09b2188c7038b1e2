"""The queue of our own: order, gates, interruption, and jobs that fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from lib_gmi.base.errors import StoppedError
from lib_gmi.service.jobs import Job
from lib_gmi.service.worker import WorkerQueue

PATIENCE = 30.0


@dataclass
class Bench:
    """A queue whose jobs wait until a test lets them go."""

    stop: Callable[[], None] = lambda: None
    gate: Callable[[], str | None] = lambda: None
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    done: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    began: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    emptied: list[int] = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.queue = WorkerQueue(self.work, self.stop, self.gate, self.before, self._emptied)

    def _emptied(self) -> None:
        self.emptied.append(len(self.done))
        self.after()

    def work(self, job: Job) -> None:
        self.began.release()
        assert self.go.acquire(timeout=PATIENCE)
        self.done.append(job.name)
        if self.error is not None:
            raise self.error

    def wait_for_a_job(self) -> None:
        assert self.began.acquire(timeout=PATIENCE)

    def finish(self, jobs: int = 1) -> None:
        """Let jobs go, and wait until the queue is empty."""
        for _ in range(jobs):
            self.go.release()
        self.queue.join(PATIENCE)
        assert self.queue.pending() == 0


@pytest.fixture
def bench() -> Iterator[Bench]:
    found = Bench()
    yield found
    found.queue.withdraw()
    found.finish(20)


def jobs(*names: str) -> list[Job]:
    return [Job(name, 4) for name in names]


def test_jobs_run_one_after_the_other_in_order(bench: Bench) -> None:
    bench.queue.submit(jobs("a", "b"))
    bench.wait_for_a_job()
    bench.queue.submit(jobs("c"))
    assert (bench.queue.pending(), bench.done) == (3, [])
    bench.finish(3)
    assert bench.done == ["a", "b", "c"]
    assert bench.emptied == [3]


def test_an_empty_queue_takes_jobs_again(bench: Bench) -> None:
    for number, name in enumerate("ab", 1):
        bench.queue.submit(jobs(name))
        bench.finish()
        assert len(bench.done) == len(bench.emptied) == number
    assert bench.done == ["a", "b"]


def test_whoever_asks_for_jobs_is_noticed_before_they_run() -> None:
    noticed: list[int] = []
    bench = Bench(before=lambda: noticed.append(bench.queue.pending()))
    bench.queue.submit(jobs("a"))
    bench.queue.submit(jobs("b"))
    assert noticed == [0, 1]
    bench.finish(2)


def test_no_jobs_start_no_thread() -> None:
    queue = WorkerQueue(print)
    queue.submit([])
    queue.join()
    queue.interrupt()
    assert (queue.pending(), queue.waiting_for) == (0, None)


def test_what_is_taken_back_never_runs(bench: Bench) -> None:
    bench.queue.submit(jobs("a", "b", "c"))
    bench.wait_for_a_job()
    bench.queue.withdraw()
    assert bench.queue.pending() == 1
    bench.finish()
    assert bench.done == ["a"]


def test_only_a_job_that_runs_is_interrupted() -> None:
    stopped: list[str] = []
    bench = Bench(stop=lambda: stopped.append("stop"))
    bench.queue.interrupt()
    assert stopped == []
    bench.queue.submit(jobs("a"))
    bench.wait_for_a_job()
    bench.queue.interrupt()
    assert stopped == ["stop"]
    bench.finish()
    bench.queue.interrupt()
    assert stopped == ["stop"]


def test_a_job_that_fails_is_logged_and_the_next_one_runs(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.error = ValueError("no disk")
    bench.queue.submit(jobs("a", "b"))
    bench.finish(2)
    assert bench.done == ["a", "b"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "no disk" in caplog.text


def test_a_job_that_was_stopped_is_nothing_to_report(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.error = StoppedError()
    bench.queue.submit(jobs("a", "b"))
    bench.finish(2)
    assert bench.done == ["a", "b"]
    assert caplog.records == []


def test_trouble_afterwards_is_logged_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    def fail() -> None:
        raise ValueError("no fit")

    bench.after = fail
    for name in "ab":
        bench.queue.submit(jobs(name))
        bench.finish()
    assert bench.done == ["a", "b"]
    assert caplog.text.count("no fit") >= 2


class Gate:
    """Says why nothing may run, and tells when it was asked."""

    def __init__(self) -> None:
        self.reason: str | None = "you are painting"
        self.asked = threading.Semaphore(0)

    def __call__(self) -> str | None:
        self.asked.release()
        return self.reason


def test_jobs_wait_at_a_gate_that_is_shut() -> None:
    gate = Gate()
    bench = Bench(gate=gate)
    bench.queue.submit(jobs("a", "b"))
    assert gate.asked.acquire(timeout=PATIENCE)
    assert gate.asked.acquire(timeout=PATIENCE)  # it looks again by itself
    assert bench.queue.waiting_for == "you are painting"
    assert (bench.queue.pending(), bench.done) == (2, [])
    gate.reason = None
    bench.queue.hurry()
    bench.wait_for_a_job()
    assert bench.queue.waiting_for is None
    gate.reason = "you are painting again"
    bench.go.release()
    assert gate.asked.acquire(timeout=PATIENCE)
    while bench.queue.waiting_for is None:
        assert gate.asked.acquire(timeout=PATIENCE)
    assert bench.queue.waiting_for == "you are painting again"
    assert bench.done == ["a"]
    bench.queue.withdraw()
    bench.finish()
    assert bench.done == ["a"]
    assert bench.queue.waiting_for is None


def test_a_gate_that_fails_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    """As while a host reloads; the thread of the jobs must outlive that."""
    failures = ["'NoneType' has no attribute 'job'"]

    def gate() -> str | None:
        if failures:
            raise AttributeError(failures.pop())
        return None

    bench = Bench(gate=gate)
    bench.queue.submit(jobs("a", "b"))
    bench.finish(2)
    assert bench.done == ["a", "b"]
    assert "'NoneType' has no attribute 'job'" in caplog.text


def test_jobs_that_arrive_while_it_tidies_up_are_not_lost() -> None:
    bench = Bench()
    again = jobs("b")

    def more() -> None:
        bench.queue.submit(again)
        again.clear()

    bench.after = more
    bench.queue.submit(jobs("a"))
    bench.finish(2)
    assert bench.done == ["a", "b"]


def test_many_threads_lose_nothing() -> None:
    done: list[str] = []
    queue = WorkerQueue(lambda job: done.append(job.name))
    threads = [
        threading.Thread(target=queue.submit, args=(jobs(*(f"{t}-{n}" for n in range(50))),))
        for t in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while queue.pending():
        queue.join(PATIENCE)
    assert sorted(done) == sorted(f"{t}-{n}" for t in range(8) for n in range(50))
    for t in range(8):
        assert [name for name in done if name.startswith(f"{t}-")] == [
            f"{t}-{n}" for n in range(50)
        ]
