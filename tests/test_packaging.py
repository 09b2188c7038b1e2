"""What ships where: dependencies, the registry's package, example workflows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))
HOSTS_OWN = ("torch", "torchvision", "transformers", "numpy", "pillow", "safetensors", "gradio")


def project() -> dict[str, Any]:
    """pyproject.toml."""
    if sys.version_info < (3, 11):
        pytest.skip("tomllib is part of Python 3.11 and later")
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def test_a_host_installs_nothing_that_it_ships_itself() -> None:
    wanted = project()["project"]["dependencies"]

    assert wanted == (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    names = {re.split(r"[<>=!~\[ ]", line)[0].lower() for line in wanted}
    assert not names & set(HOSTS_OWN)
    assert names == set(wanted), "a pin could change what a host ships"


def test_the_registry_knows_the_extension() -> None:
    data = project()

    assert "comfyui" not in data["project"]["name"].lower()
    told = data["tool"]["comfy"]
    assert {"PublisherId", "DisplayName", "Icon", "Banner", "requires-comfyui"} <= set(told)
    assert data["project"]["urls"]["Repository"].startswith("https://github.com/")
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", data["project"]["version"])
    for picture in ("Icon", "Banner"):
        assert told[picture].endswith((".svg", ".png", ".jpg", ".gif"))
        assert (ROOT / told[picture].partition("/main/")[2]).is_file()


def test_the_registrys_banner_is_21_to_9_and_its_icon_square() -> None:
    for name, ratio in (("banner", 21 / 9), ("icon", 1)):
        text = (ROOT / "docs" / "images" / f"{name}.svg").read_text(encoding="utf-8")
        sides = re.search(r' width="([0-9]+)" height="([0-9]+)"', text)
        assert sides is not None
        width, height = map(int, sides.groups())
        assert width / height == pytest.approx(ratio)


def test_classifiers_are_those_that_the_registry_reads() -> None:
    """Of an unknown one, it forgets all others of its kind."""
    classifiers = project()["project"]["classifiers"]
    systems = [row for row in classifiers if row.startswith("Operating System :: ")]
    assert systems == ["Operating System :: OS Independent"]
    accelerators = {
        row.removeprefix("Environment :: ") for row in classifiers if "Environment" in row
    }
    known = {"GPU :: NVIDIA CUDA", "GPU :: AMD ROCm", "GPU :: Intel Arc", "GPU :: Apple Metal"}
    assert accelerators == known | {"NPU :: Huawei Ascend"}


def test_the_registry_leaves_out_what_users_do_not_need() -> None:
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    ignored = {line.strip("/") for line in lines if line and not line.startswith("#")}

    assert {"tests", "benchmarks", "docs"} <= ignored
    needed = {"lib_gmi", "web", "locales", "example_workflows", "__init__.py", "requirements.txt"}
    assert not needed & ignored
    for name in ignored | needed:
        assert name == ".github" or (ROOT / name).exists(), name


def test_there_is_never_a_package_called_scripts() -> None:
    """In AUTOMATIC1111 one such file of any extension breaks all of them."""
    assert not (ROOT / "scripts" / "__init__.py").exists()


def test_nothing_runs_pip_or_evaluates_text() -> None:
    """The registry refuses both."""
    forbidden = re.compile(r"(?<![.\w])(eval|exec)\(|subprocess|os\.system")
    found = [
        path.name
        for path in (ROOT / "lib_gmi").rglob("*.py")
        if forbidden.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_there_are_five_example_workflows() -> None:
    assert {path.stem for path in EXAMPLES} == {
        "auto-switch",
        "compare-top-k",
        "find-best-model",
        "img2img-with-best-model",
        "search-samples",
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_workflow_is_whole_and_has_a_picture(path: Path) -> None:
    workflow = json.loads(path.read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in workflow["nodes"]}

    assert any(node["type"].startswith("GMI_") for node in nodes.values())
    for number, source, slot, target, place, _ in workflow["links"]:
        assert number in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][place]["link"] == number
    with Image.open(path.with_suffix(".jpg")) as picture:
        assert picture.format == "JPEG"
        assert picture.width >= 600
    assert str(Path.home()) not in path.read_text(encoding="utf-8")


def test_every_file_that_python_imports_is_shipped() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    tracked = set(listed.stdout.splitlines())
    for path in (ROOT / "lib_gmi").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in tracked, path


def test_the_licences_of_bundled_data_are_shipped() -> None:
    """As package data, in the wheel's list of licences, and for what each of them is."""
    texts = {
        path.stem: path.read_text(encoding="utf-8")
        for path in (ROOT / "lib_gmi" / "data" / "licences").glob("*.txt")
    }
    said = {
        "sd-samples": ("MIT License", "embedded/"),
        "torchvision": ("BSD 3-Clause", "labels/"),
        "wordnet": ("Princeton University", "labels/"),
        "timm": ("Apache License", "labels/"),
    }
    assert texts.keys() == said.keys()
    for name, parts in said.items():
        assert all(part in texts[name] for part in parts), name
    data = project()
    assert "data/**/*" in data["tool"]["setuptools"]["package-data"]["lib_gmi"]
    assert "lib_gmi/data/licences/*.txt" in data["project"]["license-files"]
    bundled = {path.name for path in (ROOT / "lib_gmi" / "data").iterdir() if path.is_dir()}
    assert bundled == {"embedded", "labels", "licences", "priors", "prompts"}, "name its licence"


def test_addresses_of_the_project_are_one() -> None:
    """A placeholder, said to be one, that nothing but the description of the package names."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    address = project()["project"]["urls"]["Homepage"]
    owner_and_name = address.removeprefix("https://github.com/")
    assert "Placeholders" in text.partition("[project.urls]")[0].splitlines()[-1]
    addresses = [*project()["project"]["urls"].values(), *project()["tool"]["comfy"].values()]
    assert all(owner_and_name in each for each in addresses if "://" in each)
    for folder, kind in (("lib_gmi", "py"), ("web", "js"), ("javascript", "js")):
        for path in (ROOT / folder).rglob(f"*.{kind}"):
            assert owner_and_name.partition("/")[0] not in path.read_text(encoding="utf-8"), path
