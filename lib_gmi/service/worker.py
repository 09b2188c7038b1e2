"""A queue of our own for hosts that have none which fits: one thread, one job after another.

A host that others work with as well brings a *gate*: it is asked before every job, and the jobs
wait as long as it says why.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from ..base.errors import StoppedError
from .jobs import Job

#: Seconds between two looks at a gate that is shut.
_PATIENCE = 0.5


class WorkerQueue:
    """See :class:`.jobs.JobQueue`. All methods may be called from any thread.

    Args:
        work: does one job; ends in :meth:`.builds.Builds.run`.
        stop: interrupts the job that is running; the host's own way of doing that.
        gate: why the next job has to wait, in one sentence, or ``None`` when it may run.
        before: called when somebody has asked for jobs.
        after: called when the queue has become empty, in the thread of the jobs.
    """

    def __init__(
        self,
        work: Callable[[Job], object],
        stop: Callable[[], None] = lambda: None,
        gate: Callable[[], str | None] = lambda: None,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._work, self._stop, self._gate = work, stop, gate
        self._before, self._after = before, after
        self._jobs: deque[Job] = deque()
        self._running: Job | None = None
        self._waiting_for: str | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    @property
    def waiting_for(self) -> str | None:
        """Why nothing happens although jobs are queued, or ``None``."""
        with self._changed:
            return self._waiting_for if self._jobs and self._running is None else None

    def submit(self, jobs: Sequence[Job]) -> None:
        self._before()
        with self._changed:
            self._jobs.extend(jobs)
            self._changed.notify_all()
            if self._jobs and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gmi-builds", daemon=True)
                self._thread.start()

    def withdraw(self) -> None:
        with self._changed:
            self._jobs.clear()
            self._changed.notify_all()

    def interrupt(self) -> None:
        with self._changed:
            if self._running is not None:
                self._stop()

    def pending(self) -> int:
        with self._changed:
            return len(self._jobs) + (self._running is not None)

    def hurry(self) -> None:
        """Look at the gate now."""
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the queue is empty; for programs that end, and for tests."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._work(job)
            except StoppedError:
                pass  # whoever stopped it knows
            except Exception:
                logging.exception("Find Best Model: a build stopped")
            finally:
                with self._changed:
                    self._running = None

    def _next(self) -> Job | None:
        """The job whose turn has come; ``None`` ends the thread."""
        while True:
            with self._changed:
                if not self._jobs:
                    idle = True
                else:
                    idle = False
                    self._waiting_for = self._asked()
                    if self._waiting_for is None:
                        self._running = self._jobs.popleft()
                        return self._running
                    self._changed.wait(_PATIENCE)
            if idle:
                self._rest()
                with self._changed:
                    if not self._jobs:
                        self._thread = None
                        return None

    def _asked(self) -> str | None:
        """What the gate says; one that fails, as while a host reloads, is asked again."""
        try:
            return self._gate()
        except Exception:
            logging.exception("Find Best Model: whether a build may go on is not known")
            return "Waiting until the program answers."

    def _rest(self) -> None:
        try:
            self._after()
        except Exception:
            logging.exception("Find Best Model: what follows a build failed")
