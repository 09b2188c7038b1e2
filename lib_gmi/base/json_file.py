"""The one way in which small JSON files are kept: checked when they are read, set aside where they
are damaged, locked while they change, and written as a whole."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

from .errors import GMIError, LibraryError
from .files import MAX_STATE, read_regular, replace_file, write_atomic
from .locks import Lock

T = TypeVar("T")

#: What a file that somebody else wrote, or half a file, can raise while it is decoded and checked.
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def read_json(path: Path, limit: int = MAX_STATE) -> Any:
    """What a JSON file of somebody else's says; ``None`` where there is none that can be read."""
    try:
        return json.loads(read_regular(path, limit))
    except (OSError, *DAMAGED):
        return None


class JsonFile(Generic[T]):
    """A value in a JSON file that several threads and processes may read and write.

    What people entered is read with :meth:`load` and written with :meth:`change`, so that nothing
    of it is lost. A cache is read with :meth:`cached` and written with :meth:`keep`, which never
    fail: a damaged cache is as good as none.

    Args:
        path: of the file, created on the first write.
        parse: the decoded file → the value. The file is damaged if this raises one of
            :data:`DAMAGED`; anything else goes through to the caller.
        empty: the value without a file.
        plain: the value → what JSON can hold; by default it is that already.
        error: raised where the file cannot be read, or another process does not let go of it.
        limit: bytes of the file.
        **layout: of :func:`json.dumps`.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[Any], T],
        empty: Callable[[], T],
        plain: Callable[[T], Any] = lambda value: value,
        error: type[GMIError] = LibraryError,
        limit: int = MAX_STATE,
        **layout: Any,
    ) -> None:
        self.path = path
        self._parse, self._empty, self._plain = parse, empty, plain
        self._error, self._limit, self._layout = error, limit, layout
        self._lock = Lock(path.with_name(f".{path.name}.lock"), path, error)

    def read(self) -> T:
        """The value as it is stored; the empty one without a file.

        Raises:
            OSError: the file cannot be read.
            Exception: one of :data:`DAMAGED`: it is damaged.
        """
        try:
            content = read_regular(self.path, self._limit)
        except FileNotFoundError:
            return self._empty()
        return self._parse(json.loads(content))

    def cached(self) -> T:
        """:meth:`read`, and the empty value also where the file is damaged or cannot be read."""
        try:
            return self.read()
        except (OSError, *DAMAGED):
            return self._empty()

    def load(self) -> T:
        """:meth:`read`, and the empty value where the file was damaged and has been set aside.

        Raises:
            GMIError: of the given kind: the file cannot be read, or is damaged and cannot be moved.
        """
        try:
            return self._readable()
        except DAMAGED:
            with self.locked():
                return self._without_damage()

    def write(self, value: T) -> None:
        """Store a value.

        Raises:
            LibraryError: it cannot be written; what was there before is unchanged.
        """
        # ASCII, because names of files can hold bytes that are no text
        write_atomic(self.path, json.dumps(self._plain(value), **self._layout).encode())

    def keep(self, value: T) -> None:
        """Store a value that can be had again: it is no error if it cannot be written."""
        with contextlib.suppress(LibraryError):
            self.write(value)

    def change(self, change: Callable[[T], T | None]) -> T:
        """Read, change and write the value while nobody else can.

        Args:
            change: the stored value → the new one, or ``None`` to leave the file as it is.

        Returns:
            What is stored now.

        Raises:
            GMIError: see :meth:`load`.
            LibraryError: it cannot be written; what was there before is unchanged.
        """
        with self.locked():
            stored = self.load()
            changed = change(stored)
            if changed is None:
                return stored
            self.write(changed)
            return changed

    def locked(self) -> AbstractContextManager[None]:
        """While it lasts, nobody else changes the file.

        Raises:
            GMIError: of the given kind: another process does not let go of it, or the folder is
                not writable.
        """
        return self._lock.held()

    def _readable(self) -> T:
        try:
            return self.read()
        except OSError as error:  # not damage: the drive may come back
            raise self._error(f"{self.path}: cannot be read ({error.strerror or error}).") from None

    def _without_damage(self) -> T:
        """Move a damaged file out of the way, unless another process has put a good one there."""
        with contextlib.suppress(*DAMAGED):
            return self._readable()
        number = 1
        while (target := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        try:
            replace_file(self.path, target)
        except OSError as error:
            raise self._error(
                f"{self.path}: is damaged, and cannot be moved to {target.name} "
                f"({error.strerror or error}). Mend or move it."
            ) from None
        return self._empty()
