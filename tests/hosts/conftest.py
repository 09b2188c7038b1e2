"""Real hosts, where there are any: ``GMI_COMFYUI_DIR`` and ``GMI_COMFYUI_PYTHON`` name one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from comfyui_server import DIR_VARIABLE, PYTHON_VARIABLE, ComfyServer
from mini_checkpoint import write_mini

#: Of the checkpoints that the tests begin with.
MINIS = ("mini-1.safetensors", "mini-2.safetensors", "styles/mini-3.safetensors")


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


def install(server: ComfyServer, checkpoint: Path, name: str) -> None:
    """Put a checkpoint into ComfyUI's folder, without copying half a gigabyte."""
    target = server.checkpoints / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    os.link(checkpoint, target)


def quick_settings(server: ComfyServer, name: str, side: int = 64, steps: int = 2) -> None:
    """Make a checkpoint's samples small and quick, through the route that people's edits take."""
    settings = {"width": side, "height": side, "steps": steps, "cfg": 1.0}
    settings |= {"sampler": "euler", "scheduler": "normal"}
    row = server.gmi("settings", {"name": name, "settings": settings})
    assert row["edited"]
