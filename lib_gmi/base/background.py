"""One piece of work in the background, as often as needed and never twice at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """Run some work in a thread of its own, and wait for what it returns or raises.

    A thread that asks, such as the one that generates a host's images, has state of its own (of
    torch, of the host) that the work must not meet.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="gmi-apart", daemon=True).start()
    return done.result()


class Background:
    """Runs some work in a thread of its own when asked to.

    Asking while it runs makes it run once more afterwards, however often it was asked meanwhile.

    Args:
        work: what to run. Whatever it raises is logged.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._again = False
        self._running = False

    @property
    def busy(self) -> bool:
        """Whether the work is running or about to."""
        with self._lock:
            return self._running

    def __call__(self) -> None:
        with self._lock:
            self._again = True
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="gmi-background", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._again:
                    self._running = False
                    return
                self._again = False
            try:
                self._work()
            except Exception:
                logging.exception("Find Best Model: work in the background failed")
