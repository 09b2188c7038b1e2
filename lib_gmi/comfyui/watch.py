"""Looking again every now and then, in a thread, as long as there is something to look at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

#: Seconds between two looks, and after one that failed.
_PAUSE, _RECOVERY = 0.5, 30.0


class Watch:
    """Calls a function twice a second until it says that it need not be called any more.

    Args:
        look: returns whether to look again.
    """

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False
        self._now = threading.Event()

    def __call__(self) -> None:
        """Begin to look, or go on looking. May be called from any thread, and returns at once."""
        with self._lock:
            self._again = True
            self._now.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gmi-queue", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        more = True
        while True:
            with self._lock:
                if not more and not self._again:
                    self._thread = None
                    return
                self._again = False
            pause = _PAUSE
            try:
                more = self._look()
            except Exception:
                logging.exception("Find Best Model: ComfyUI's queue could not be looked at")
                pause = _RECOVERY
            self._now.wait(pause)
            self._now.clear()
