"""What was used last, as much of it as fits into so many bytes.

A cache that counts its values is bounded by nothing: eight images are eight megabytes or eight
hundred.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values by key, the ones that were used longest ago forgotten first. For any thread.

    Args:
        limit: bytes of all values together. A value that is larger by itself is not remembered.
        size: bytes of a value.
    """

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self.limit = limit
        self._size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """The value, which counts as used now; ``None`` if it is not remembered."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Remember a value, and forget others for it."""
        with self._lock:
            if key in self._values:
                self._held -= self._size(self._values.pop(key))
            if (size := self._size(value)) > self.limit:
                return
            self._values[key] = value
            self._held += size
            while self._held > self.limit:
                self._held -= self._size(self._values.popitem(last=False)[1])

    @property
    def held(self) -> int:
        """Bytes that are remembered now."""
        return self._held
