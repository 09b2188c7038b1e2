"""SD.Next, which is not supported: one line in its log says so, and nothing of ours is in it.

``GMI_SDNEXT_DIR`` names its checkout, ``GMI_SDNEXT_PYTHON`` its interpreter.
"""

from __future__ import annotations

import re
import urllib.error
from collections.abc import Iterator

import pytest
from host_server import HostServer

OURS = "Find Best Model"


class SDNextServer(HostServer):
    """SD.Next on the CPU, without a checkpoint and without a network."""

    title = "SD.Next"
    dir_variable, python_variable = "GMI_SDNEXT_DIR", "GMI_SDNEXT_PYTHON"
    extensions_folder, checkpoints_folder = "extensions", "models/Stable-diffusion"
    other_folders = ()
    library_folder = "gmi"

    def arguments(self, port: int) -> list[str]:
        skipped = "--skip-all --quick --skip-git --skip-torch --skip-requirements --use-cpu all"
        folders = {"data": self.folder, "models": self.folder / "models"}
        folders["extensions"] = self.folder / self.extensions_folder
        named = [part for name, path in folders.items() for part in (f"--{name}-dir", str(path))]
        log = ["--log", str(self.folder / "sdnext.log")]  # by default it lies in the checkout
        return ["-u", "launch.py", *skipped.split(), *named, *log, "--port", str(port)]

    def environment(self) -> dict[str, str]:
        # its console breaks lines where the terminal ends
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        return super().environment() | offline | {"COLUMNS": "500"}

    def wait_until_started(self) -> None:
        self.wait(lambda: self.said("Startup time:"), "SD.Next did not start")


@pytest.fixture(scope="module")
def sdnext(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SDNextServer]:
    """A running one, with this extension installed."""
    if reason := SDNextServer.missing():
        pytest.skip(reason)
    server = SDNextServer(tmp_path_factory.mktemp("sdnext"))
    with server.running():
        yield server


def test_one_line_says_that_it_is_not_supported(sdnext: SDNextServer) -> None:
    said = [line for line in sdnext.text().splitlines() if OURS in line]
    assert len(said) == 1
    assert f"{OURS}: SD.Next is not supported" in said[0]


def test_no_trace_is_of_ours(sdnext: SDNextServer) -> None:
    """It has traces of its own, where packages that it wants are not installed."""
    text = sdnext.text()
    assert not re.search(r"lib_gmi|find-best-model/\S+:\d+|find-best-model/\S+ in ", text)


def test_nothing_is_registered(sdnext: SDNextServer) -> None:
    config = sdnext.content("/config").decode()
    assert OURS not in config
    assert "gmi_" not in config
    with pytest.raises(urllib.error.HTTPError, match="404"):
        sdnext.get("/gmi/v1/library")
    options = sdnext.get("/sdapi/v1/options")
    assert [key for key in options if key.startswith("gmi_")] == []
    scripts = sdnext.get("/sdapi/v1/scripts")
    assert OURS.lower() not in str(scripts).lower()
