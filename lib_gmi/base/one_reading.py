"""What one thread reads once for as long as one request lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class OneReading(threading.local, Generic[T]):
    """Remembers what was read, for its own thread and only inside of :meth:`lasting`.

    An answer is made of many parts that each look at the same thing. What is read once for all of
    them is of one moment, and it does not take many times as long.
    """

    _depth = 0
    _found: T | None = None

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """While it lasts, :meth:`get` reads once."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._found = None

    def get(self, read: Callable[[], T]) -> T:
        """What was read, or what is read now."""
        if not self._depth:
            return read()
        if self._found is None:
            self._found = read()
        return self._found

    def forget(self) -> None:
        """Read anew: this thread has just changed it."""
        self._found = None
