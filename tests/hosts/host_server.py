"""A real host in a process of its own, and what this extension says there over HTTP."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[2]
#: Machines are shared, and real checkpoints are loaded from disk.
PATIENCE = 600.0
#: For a start, which imports torch from a disk that others use as well.
STARTING = 900.0
#: Of the checkpoints that tests begin with.
MINIS = ("mini-1.safetensors", "mini-2.safetensors", "styles/mini-3.safetensors")


class HostServer(ABC):
    """A host on the CPU, with a folder of its own.

    Args:
        folder: the host writes here and nowhere else; so does its log.
        extension: install this repository there.
    """

    #: What the host is called.
    title: ClassVar[str]
    #: Environment variables that name the host's checkout, and its interpreter.
    dir_variable: ClassVar[str]
    python_variable: ClassVar[str]
    #: Where the host looks for extensions and checkpoints, and the rest that it wants to find.
    extensions_folder: ClassVar[str]
    checkpoints_folder: ClassVar[str]
    other_folders: ClassVar[tuple[str, ...]]
    library_folder: ClassVar[str]

    def __init__(self, folder: Path, extension: bool = True) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self.checkpoints = folder / self.checkpoints_folder
        for name in (self.extensions_folder, self.checkpoints_folder, *self.other_folders):
            (folder / name).mkdir(parents=True, exist_ok=True)
        link = folder / self.extensions_folder / "find-best-model"
        if extension and not link.exists():
            link.symlink_to(ROOT, target_is_directory=True)
        #: Of the process's environment, besides ours; they count from the next start on.
        self.variables: dict[str, str] = {}
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._begin = 0

    @classmethod
    def missing(cls) -> str | None:
        """Why there is no such host on this machine; nothing where there is one."""
        for variable in (cls.dir_variable, cls.python_variable):
            if not os.environ.get(variable):
                return f"no real {cls.title}: {variable} is not set"
        return None

    @property
    def library(self) -> Path:
        """The library's folder."""
        return self.folder / self.library_folder

    # -- the process ------------------------------------------------------------------------------

    @abstractmethod
    def arguments(self, port: int) -> list[str]:
        """Of the host's interpreter."""

    def environment(self) -> dict[str, str]:
        """Variables of the process: ours, but for the library that they may name."""
        return {k: v for k, v in os.environ.items() if k != "GMI_LIBRARY"}

    @abstractmethod
    def wait_until_started(self) -> None:
        """Wait until requests are welcome."""

    def start(self) -> None:
        """Start it, and wait until it can be used; what does not get there is stopped again."""
        port = _free_port()
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [os.environ[self.python_variable], *self.arguments(port)],
                cwd=os.environ[self.dir_variable],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment() | self.variables,
            )
        self.address = f"http://127.0.0.1:{port}"
        try:
            self.wait_until_started()
        except BaseException:  # a Ctrl+C as well, in the minutes that this can take
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it as a user does who closes the window."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=60)
        finally:
            process.kill()  # does nothing to one that has ended
            process.wait()

    @contextmanager
    def running(self) -> Iterator[None]:
        """It runs from here to the end of the block, however that ends."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def text(self) -> str:
        """Everything it has logged."""
        return self.log.read_text(errors="replace")

    def said(self, text: str) -> bool:
        """Whether it has logged this since it was started; it must not have ended."""
        self.assert_alive()
        return text.encode() in self.log.read_bytes()[self._begin :]

    def assert_alive(self) -> None:
        """The process has not ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.text()[-3000:]

    def wait(self, condition: Callable[[], Any], otherwise: str, patience: float = PATIENCE) -> Any:
        """Wait until something is true; returns it."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        log = self.text()[-3000:]
        raise AssertionError(f"{otherwise} within {patience:.0f} s. The end of its log:\n{log}")

    # -- HTTP -------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """JSON of a GET request."""
        return json.loads(self.content(path))

    def content(self, path: str) -> bytes:
        """Content of a GET request."""
        with urllib.request.urlopen(self.address + path, timeout=PATIENCE) as answer:
            return bytes(answer.read())

    def status(self, path: str, headers: Mapping[str, str], address: str | None = None) -> int:
        """Status of a GET request, at the server's usual address or at another of its."""
        request = urllib.request.Request((address or self.address) + path, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def post(
        self, path: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of a POST request."""
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else text

    def gmi(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer of a route of ours that is expected to succeed."""
        status, answer = self.post(f"/gmi/v1/{path}", body)
        assert status == 200, answer
        return answer

    # -- this extension ---------------------------------------------------------------------------

    def build_state(self) -> dict[str, Any]:
        """The build as it is now."""
        state: dict[str, Any] = self.get("/gmi/v1/build")
        return state

    def jobs(self) -> list[Any]:
        """Jobs of builds in the host's own queue; none where they do not go through it."""
        return []

    def built(self, state: str = "idle") -> dict[str, Any]:
        """The build, once it is in this state, has no job left, and the answers have followed."""

        def settled() -> dict[str, Any] | None:
            now = self.build_state()
            if now["state"] != state or self.jobs():
                return None
            return None if self.get("/gmi/v1/library")["fitting"] else now

        found: dict[str, Any] = self.wait(settled, f"the build was not {state}")
        return found

    def build(self, limit: int, names: list[str] | None = None) -> dict[str, Any]:
        """Build to the end."""
        self.gmi("build", {"names": names, "limit": limit})
        return self.built()

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the library says of each checkpoint, by name."""
        return {row["name"]: row for row in self.get("/gmi/v1/library")["checkpoints"]}

    def samples(self) -> dict[str, int]:
        """Samples by checkpoint."""
        return {name: row["samples"] for name, row in self.rows().items()}

    def rank(self, image: bytes, **query: Any) -> dict[str, Any]:
        """The ranking for an image."""
        data = base64.b64encode(image).decode()
        ranking: dict[str, Any] = self.gmi("rank", {"images": [data], **query})
        return ranking


def lan_address() -> str | None:
    """An address of this machine that others could reach it by, or ``None``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent; the address is for documentation
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if found.startswith("127.") else found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install(server: HostServer, checkpoint: Path, name: str) -> Path:
    """Put a checkpoint into the host's folder, without copying half a gigabyte."""
    target = server.checkpoints / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    os.link(checkpoint, target)
    return target


def quick_settings(server: HostServer, name: str, side: int = 64, steps: int = 2) -> None:
    """Make a checkpoint's samples small and quick, through the route that people's edits take."""
    settings: dict[str, Any] = {"width": side, "height": side, "steps": steps, "cfg": 1.0}
    settings |= {"sampler": "euler", "scheduler": "normal"}
    assert server.gmi("settings", {"name": name, "settings": settings})["edited"]
