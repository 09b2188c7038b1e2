"""What starts and stops real hosts, with a stand-in for a host that never answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from host_server import HostServer

FOLDER, PYTHON = "GMI_SILENT_HOST_DIR", "GMI_SILENT_HOST_PYTHON"
SILENT = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"


class SilentHost(HostServer):
    """A process that starts and says nothing but its number."""

    title = "silent host"
    dir_variable, python_variable = FOLDER, PYTHON
    extensions_folder, checkpoints_folder, other_folders = "extensions", "checkpoints", ()
    library_folder = "gmi"

    def arguments(self, port: int) -> list[str]:
        return ["-c", SILENT]

    def wait_until_started(self) -> None:
        self.wait(lambda: self.said("\n"), "the process did not start")
        raise KeyboardInterrupt


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell whether a process is there")
def test_a_start_that_fails_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv(PYTHON, sys.executable)
    host = SilentHost(tmp_path)

    with pytest.raises(KeyboardInterrupt):
        host.start()

    with pytest.raises(ProcessLookupError):
        os.kill(int(host.text()), 0)
