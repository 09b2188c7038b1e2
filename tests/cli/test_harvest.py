"""``gmi harvest``, ``gmi pack check``, and what ``gmi rank`` says of a file, end to end."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY, make_specification, picture, write_image_folder
from headers import SD1, write
from PIL import PngImagePlugin

from lib_gmi import encoders
from lib_gmi.cli.main import main
from lib_gmi.library.catalogue import Library
from lib_gmi.library.packs import PackAbout, write_pack
from lib_gmi.records.prompts import default_prompt_set
from lib_gmi.records.specification import PromptSetRef


@pytest.fixture(autouse=True)
def no_text_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one takes seconds to load."""
    monkeypatch.setattr(encoders, "optional_text_encoder", lambda: None)


def made(path: Path, number: int, model: str) -> Path:
    """An image that names its checkpoint."""
    info = PngImagePlugin.PngInfo()
    settings = f"Steps: 20, Sampler: Euler, CFG scale: 7, Seed: {number}, Model: {model}"
    info.add_text("parameters", f"subject {number}\n{settings}")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(1, number, 300).save(path, pnginfo=info)
    return path


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A folder with one checkpoint."""
    (tmp_path / "models").mkdir()
    write(tmp_path / "models" / "mine.safetensors", SD1)
    return tmp_path / "models"


def harvest(tmp_path: Path, checkpoints: Path, *options: str) -> int:
    return main(
        [
            *("harvest", str(tmp_path / "images"), "--checkpoints", str(checkpoints)),
            *("--encoder", "test/tiny", *options),
        ]
    )


def test_harvest_builds_what_has_enough(
    tmp_path: Path, checkpoints: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(9):
        made(tmp_path / "images" / f"{number}.png", number, "mine")
    made(tmp_path / "images" / "other.png", 50, "yours")

    assert harvest(tmp_path, checkpoints, "--look") == 0
    assert Library(library_folder).entries() == []
    assert harvest(tmp_path, checkpoints) == 0

    printed = capsys.readouterr().out
    assert "9 samples" in printed
    assert "1 yours" in printed
    (entry,) = Library(library_folder).entries()
    assert entry.title == "mine"
    assert entry.samples == 9


def test_harvest_in_json(
    tmp_path: Path, checkpoints: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "images" / "1.png", 1, "mine")
    assert harvest(tmp_path, checkpoints, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"] == 1
    assert found["checkpoints"][0]["missing"] == 7
    assert found["checkpoints"][0]["samples"] == 0


@pytest.mark.skipif(os.name == "nt", reason="making links needs a right that few have")
def test_checkpoints_in_real_folders(
    tmp_path: Path, checkpoints: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dead links, pipes and folders with odd names are passed over; linked folders count once."""
    (tmp_path / "disk").mkdir()
    write(tmp_path / "disk" / "far.safetensors", SD1)
    (checkpoints / "disk").symlink_to(tmp_path / "disk")
    (checkpoints / "round").symlink_to(checkpoints)
    (checkpoints / "gone.safetensors").symlink_to(tmp_path / "unplugged" / "gone.safetensors")
    (checkpoints / "notes.ckpt").mkdir()
    os.mkfifo(checkpoints / "pipe.ckpt")
    for number in range(9):
        made(tmp_path / "images" / f"{number}.png", number, "far")
    os.mkfifo(tmp_path / "images" / "pipe.png")
    assert harvest(tmp_path, checkpoints, "--look", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == 9
    assert [row["name"] for row in told["checkpoints"]] == ["disk/far.safetensors"]


@pytest.mark.parametrize("missing", ["images", "models"])
def test_folders_that_are_not_there_are_named(
    missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in {"images", "models"} - {missing}:
        (tmp_path / name).mkdir()
    assert harvest(tmp_path, tmp_path / "models") == 2
    assert missing in capsys.readouterr().err


def test_what_a_file_says_comes_before_the_ranking(
    tmp_path: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_image_folder(tmp_path / "folder", ("Alpha", "Beta"))
    assert main(["build", str(folder), "--encoder", "test/tiny"]) == 0
    query = made(tmp_path / "query.png", 77, "Beta")
    capsys.readouterr()
    assert main(["rank", str(query)]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "Made with Beta, according to the file."
    assert any("Alpha" in line for line in rest)
    assert main(["rank", str(made(query, 77, "Gamma")), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["made_with"]
    assert said[0]["sentence"].endswith("it is not in the library.")


def test_a_pack_is_checked_with_images_of_its_prompts(
    tmp_path: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = default_prompt_set()
    reference = PromptSetRef(prompts.name, prompts.version, prompts.hash, len(prompts))
    entries = []
    for number, letter in enumerate("abc"):
        made_anew = make_specification(letter, prompts=8, seed=number, prompt_set=reference)
        candidate = replace(made_anew.candidate, identity=f"sha256:{letter * 64}")
        ids = prompts.ids[:8]
        entries.append(replace(made_anew, candidate=candidate, prompt_ids=ids, encoder_id=TINY))
    file = tmp_path / "three.gmipack"
    write_pack(file, entries, PackAbout("three", "ann"))
    assert main(["pack", "import", str(file)]) == 0
    capsys.readouterr()

    assert main(["pack", "check", "three", "b"]) == 0
    task = capsys.readouterr().out
    assert prompts.prompts[0].text in task
    images = [str(made(tmp_path / f"{n}.png", n, "b")) for n in range(3)]
    assert main(["pack", "check", "three", "b", "--images", *images, "--json"]) in (0, 1)
    assert 0 < json.loads(capsys.readouterr().out)["p_value"] <= 1
    assert main(["pack", "check", "three", "b", "--images", images[0]]) == 2
    assert main(["pack", "check", "three", "nobody"]) == 2
    assert "holds no 'nobody'" in capsys.readouterr().err
