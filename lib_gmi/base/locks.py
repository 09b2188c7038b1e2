"""The one lock between processes: whoever writes something that others write as well takes it.

The operating system's own lock (through filelock) ends with the process that holds it. Where a file
system has none, a file beside it marks who holds the lock, and its holder touches it every few
seconds. What a killed process left there, or what came with a copied folder, is not touched any
more, and is taken away.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import GMIError, LibraryError
from .files import STALE_AFTER, open_regular

if TYPE_CHECKING:
    from filelock import BaseFileLock

#: Seconds to wait for another process that writes. Writes take milliseconds; builds hold no lock.
LOCK_TIMEOUT = 30.0
#: Seconds between two touches of a mark, and after how many without one its holder is gone. Less
#: than is waited for, so that waiting ends.
_TOUCHED_EVERY, _SILENT_AFTER = 4.0, 20.0
_PAUSE = 0.05
#: Bytes of a mark.
_MOST = 4096
#: What systems say where a file cannot be locked.
_NO_LOCKS = frozenset(
    getattr(errno, name)
    for name in ("ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOLCK", "EINVAL")
    if hasattr(errno, name)
)


class _BusyError(Exception):
    """Somebody else holds it."""


class Lock:
    """A lock of threads and processes; who holds it may take it again.

    Args:
        file: is created beside what is locked, and stays.
        subject: what errors name.
        error: raised where it cannot be had.
        advice: what to do where the folder cannot be written.

    Attributes:
        depth: how often it is held just now, by one thread of this process.
    """

    def __init__(
        self,
        file: Path,
        subject: Path,
        error: type[GMIError] = LibraryError,
        advice: str = "",
    ) -> None:
        self._file, self._subject, self._error, self._advice = file, subject, error, advice
        # an old filelock does not keep threads of one process apart
        self._threads = threading.RLock()
        self.depth = 0
        self._native: BaseFileLock | None = None
        self._mark = _Mark(file.with_name(f"{file.name}-held"))

    @contextmanager
    def held(self, timeout: float | None = None) -> Iterator[None]:
        """While it lasts, nobody else holds it.

        Args:
            timeout: seconds to wait for another process; :data:`LOCK_TIMEOUT` by default.

        Raises:
            GMIError: of the given kind: another process does not let go of it, or the folder is
                not writable.
        """
        with self._threads:
            if not self.depth:
                self._take(LOCK_TIMEOUT if timeout is None else timeout)
            self.depth += 1
            try:
                yield
            finally:
                self.depth -= 1
                if not self.depth:
                    self._give()

    def _take(self, timeout: float) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if not self._take_native(timeout):
                self._mark.take(timeout)
        except _BusyError:
            raise self._error(
                f"{self._subject}: another process has been writing for {timeout:.0f} seconds. "
                "Wait for it to finish and try again."
            ) from None
        except OSError as error:
            reason = error.strerror or error
            advice = f" {self._advice}" if self._advice else ""
            raise self._error(f"{self._subject}: is not writable ({reason}).{advice}") from None

    def _take_native(self, timeout: float) -> bool:
        """Whether the system's own lock is held now; ``False`` where there is none."""
        from filelock import FileLock, Timeout

        if not _lockable(self._file):
            return False
        lock = FileLock(str(self._file))
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            raise _BusyError from None
        except NotImplementedError:  # of an old filelock
            return False
        self._native = lock
        return True

    def _give(self) -> None:
        native, self._native = self._native, None
        if native is not None:
            native.release()
        else:
            self._mark.give()


class _Mark:
    """A lock of a file system that has none: the file is there while somebody holds it.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = ""
        self._done = threading.Event()

    def take(self, timeout: float) -> None:
        """Wait for it.

        Raises:
            _BusyError: it is held, and was touched a moment ago.
            OSError: it cannot be written.
        """
        deadline = time.monotonic() + timeout
        seen, since = b"", time.monotonic()
        while not self._create():
            now = self._look()
            if now is None:
                continue  # given back this moment
            if now != seen:
                seen, since = now, time.monotonic()
            if self._left_behind(now) or time.monotonic() - since > _SILENT_AFTER:
                self._take_away(now)
                seen = b""
                continue
            if time.monotonic() > deadline:
                raise _BusyError
            time.sleep(_PAUSE)

    def give(self) -> None:
        """Let others have it."""
        self._done.set()
        with contextlib.suppress(OSError):
            if _read(self._path) == self._content():
                self._path.unlink()

    def _create(self) -> bool:
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        except PermissionError:
            if os.name == "nt" and self._path.exists():  # it is being deleted
                return False
            raise
        self._token = uuid.uuid4().hex
        with os.fdopen(handle, "wb") as file:
            file.write(self._content())
        self._done = threading.Event()
        beat = threading.Thread(target=self._touch, args=(self._done,), daemon=True)
        beat.name = "gmi-lock"
        beat.start()
        return True

    def _touch(self, done: threading.Event) -> None:
        while not done.wait(_TOUCHED_EVERY):
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def _content(self) -> bytes:
        about = {"token": self._token, "machine": _machine(), "process": os.getpid()}
        return json.dumps(about).encode()

    def _look(self) -> bytes | None:
        """What changes whenever somebody touches or writes it; ``None`` where it is gone."""
        try:
            status = self._path.stat()
            return f"{status.st_mtime_ns} ".encode() + _read(self._path)
        except FileNotFoundError:
            return None

    def _left_behind(self, seen: bytes) -> bool:
        """Whether nobody can hold it: its process is gone, or it is of another day."""
        changed, _, content = seen.partition(b" ")
        if abs(time.time() - int(changed) / 1e9) > STALE_AFTER:
            return True
        try:
            about: dict[str, Any] = json.loads(content)
            machine, process = str(about["machine"]), int(about["process"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return False  # perhaps it is being written
        return machine == _machine() and not _runs(process)

    def _take_away(self, seen: bytes) -> None:
        """Delete a mark that nobody holds, and only that one: another who waits may have done so
        already, and hold it now."""
        aside = self._path.with_name(f"{self._path.name}-{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(aside)
            if _read(aside) != seen.partition(b" ")[2]:
                with contextlib.suppress(OSError, NotImplementedError):
                    os.link(aside, self._path)
            aside.unlink()


def _read(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(_MOST)


def _lockable(file: Path) -> bool:
    """Whether the system can lock files here."""
    try:
        import fcntl
    except ImportError:  # Windows locks files everywhere
        return True
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    finally:
        os.close(handle)
    return True


@cache
def _machine() -> str:
    """Where process numbers mean the same."""
    space = ""
    with contextlib.suppress(OSError):  # of containers, which may be called alike
        space = str(Path("/proc/self/ns/pid").stat().st_ino)
    return f"{socket.gethostname()} {space}"


def _runs(process: int) -> bool:
    """Whether there is such a process on this machine; ``True`` where that cannot be told."""
    if os.name == "nt" or process <= 0:
        return True  # there, to ask is to kill
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
