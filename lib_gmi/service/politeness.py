"""Builds that stay out of the way of people.

Between two images a build looks whether somebody else uses the host. If so, it waits until nobody
has for some minutes: a checkpoint that is loaded and unloaded between two images of the user's own
costs them more time than the image.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds between two looks.
_LOOK = 0.5


class Politeness:
    """See the module's docstring. All methods may be called from any thread.

    Args:
        busy: whether somebody else uses the host right now.
        patience: seconds without anybody that a build waits for; 0 for never wait.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        busy: Callable[[], bool],
        patience: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._busy = busy
        self._patience = patience
        self._clock = clock
        self._last: float | None = None
        self._hurried = False
        self._changed = threading.Condition()

    def seen(self) -> None:
        """Somebody has just used the host."""
        with self._changed:
            self._last = self._clock()
            self._hurried = False

    def hurry(self) -> None:
        """Go on now; until somebody uses the host again."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def look(self) -> str | None:
        """Why a build has to wait, in a sentence for people, or ``None``."""
        if self._busy():
            self.seen()
        patience = self._patience()
        with self._changed:
            if self._last is None or self._hurried or patience <= 0:
                return None
            left = self._last + patience - self._clock()
            if left <= 0:
                self._last = None
                return None
        return f"Waiting until you have not generated anything for {_minutes(patience)}."

    def wait(self, wanted: Callable[[], bool]) -> bool:
        """Wait for a build's turn.

        Args:
            wanted: whether the build still wants to go on.

        Returns:
            Whether it does.
        """
        while wanted():
            if self.look() is None:
                return True
            with self._changed:
                self._changed.wait(_LOOK)
        return False


def _minutes(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} seconds"
    return "a minute" if minutes < 1.5 else f"{minutes:.0f} minutes"
