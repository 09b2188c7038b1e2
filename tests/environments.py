"""The generations of gradio, each in an environment of its own: ``make gradio-venvs``.

Their interpreters run programs of these tests; ``GMI_GRADIO_3_PYTHON`` and the like name others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]
GENERATIONS = ("3", "4", "newest")
#: Set by the gate: what cannot be run is a failure there.
REQUIRED = "GMI_REQUIRE_BROWSER"
_PATIENCE = 180.0


def unavailable(reason: str) -> NoReturn:
    """Skip, or fail where everything has to run."""
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)


def interpreter(generation: str) -> Path:
    """The Python that has this generation of gradio."""
    variable = f"GMI_GRADIO_{generation.upper()}_PYTHON"
    named = os.environ.get(variable)
    folder = ROOT / f".venv-gradio-{generation}"
    places = [Path(named)] if named else [folder / "bin/python", folder / "Scripts/python.exe"]
    for place in places:
        if place.is_file():
            return place
    unavailable(f"no gradio {generation}: run `make gradio-venvs`, or set {variable}")


def chromium() -> str:
    """The browser's program."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    unavailable("no browser: Chromium is not installed")


class Program:
    """A program of these tests in another environment; its first line of output is JSON.

    Args:
        generation: of gradio.
        module: to run, with ``tests/`` on the path.
        arguments: to it.
    """

    def __init__(self, generation: str, module: str, *arguments: str) -> None:
        command = [str(interpreter(generation)), "-W", "ignore", "-u", "-m", module, *arguments]
        paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
        quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **quiet, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.told: dict[str, Any] = self._first_line()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def _first_line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        late = threading.Timer(_PATIENCE, self.process.kill)
        late.start()
        try:
            for line in self.process.stdout:
                if line.startswith("{"):
                    threading.Thread(target=self.process.stdout.read, daemon=True).start()
                    return dict(json.loads(line))
        finally:
            late.cancel()
        self.stop()
        pytest.fail("the program did not start:\n" + "".join(self.log[-60:]))

    def stop(self) -> None:
        """End it, as closing its window does."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
