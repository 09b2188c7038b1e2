"""Real hosts, where there are any.

``GMI_COMFYUI_DIR`` and ``GMI_COMFYUI_PYTHON`` name a ComfyUI, ``GMI_A1111_DIR`` and
``GMI_A1111_PYTHON`` an AUTOMATIC1111 web UI.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import a1111_server
from a1111_server import A1111Server
from comfyui_server import (
    DIR_VARIABLE,
    MINIS,
    PYTHON_VARIABLE,
    ComfyServer,
    install,
    quick_settings,
)
from mini_checkpoint import write_mini


@pytest.fixture(scope="session")
def minis(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four synthetic checkpoints."""
    folder = tmp_path_factory.mktemp("minis")
    return [write_mini(folder / f"mini-{n}.safetensors", n) for n in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def comfyui(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ComfyServer]:
    """A running ComfyUI with three checkpoints of small, quick settings."""
    for variable in (DIR_VARIABLE, PYTHON_VARIABLE):
        if not os.environ.get(variable):
            pytest.skip(f"no real ComfyUI: {variable} is not set")
    paths: list[Path] = request.getfixturevalue("minis")
    server = ComfyServer(tmp_path_factory.mktemp("comfyui"))
    for name, path in zip(MINIS, paths, strict=False):
        install(server, path, name)
    server.start()
    for name in MINIS:
        quick_settings(server, name)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def a1111(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[A1111Server]:
    """A running web UI with three checkpoints of small, quick settings."""
    for variable in (a1111_server.DIR_VARIABLE, a1111_server.PYTHON_VARIABLE):
        if not os.environ.get(variable):
            pytest.skip(f"no real AUTOMATIC1111 web UI: {variable} is not set")
    paths: list[Path] = request.getfixturevalue("minis")
    server = A1111Server(tmp_path_factory.mktemp("a1111"))
    for name, path in zip(a1111_server.MINIS, paths, strict=False):
        a1111_server.install_mini(server, path, name)
    server.start()
    server.set_options(gmi_pause_while_i_work=False)
    for name in a1111_server.MINIS:
        a1111_server.quick_settings(server, name)
    yield server
    server.stop()
