"""Real hosts, where there are any: ``GMI_COMFYUI_DIR`` and ``GMI_COMFYUI_PYTHON`` name one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

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
