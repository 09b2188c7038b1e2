"""Real hosts, where there are any.

``GMI_COMFYUI_DIR`` and ``GMI_COMFYUI_PYTHON`` name a ComfyUI; the like with ``A1111``, ``FORGE``
and ``REFORGE`` name web UIs. What takes the fixture ``webui`` runs in every one that is named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from comfyui_server import ComfyServer
from environments import chromium
from host_server import MINIS, HostServer, install, quick_settings
from mini_checkpoint import write_mini
from webui_server import WEB_UIS, WebUIServer, install_mini

_Host = TypeVar("_Host", bound=HostServer)


@pytest.fixture(scope="session")
def minis(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four synthetic checkpoints."""
    folder = tmp_path_factory.mktemp("minis")
    return [write_mini(folder / f"mini-{n}.safetensors", n) for n in (1, 2, 3, 4)]


def _with_minis(
    host: type[_Host], put: Callable[[_Host, Path, str], object], request: pytest.FixtureRequest
) -> _Host:
    """A host with three checkpoints, not started yet; skips where there is no such host."""
    if reason := host.missing():
        pytest.skip(reason)
    # not arguments of the fixtures: checkpoints take a while to write, and nobody may want them
    folders: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    paths: list[Path] = request.getfixturevalue("minis")
    server = host(folders.mktemp("host"))
    for name, path in zip(MINIS, paths, strict=False):
        put(server, path, name)
    return server


@pytest.fixture(scope="module")
def comfyui(request: pytest.FixtureRequest) -> Iterator[ComfyServer]:
    """A running ComfyUI with three checkpoints of small, quick settings."""
    server = _with_minis(ComfyServer, install, request)
    with server.running():
        for name in MINIS:
            quick_settings(server, name)
        yield server


@pytest.fixture(scope="module", params=WEB_UIS.values(), ids=WEB_UIS.keys())
def webui(request: pytest.FixtureRequest) -> Iterator[WebUIServer]:
    """A running web UI with three checkpoints of small, quick settings: each in its turn."""
    server = _with_minis(request.param, install_mini, request)
    with server.running():
        server.set_options(gmi_pause_while_i_work=False)
        for name in MINIS:
            quick_settings(server, name)
        yield server


@pytest.fixture(scope="module")  # for longer, other tests could not run an event loop
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium(), args=arguments)
        yield opened
        opened.close()
