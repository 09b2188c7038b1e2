"""What a name, a hash or a version in an image means among the checkpoints that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_gmi.metadata import CheckpointMention, Making
from lib_gmi.metadata.mentions import Installed, made_with
from lib_gmi.records.protocols import Candidate


def candidate(name: str, identity: str = "", folder: Path | None = None) -> Candidate:
    path = None if folder is None else folder / name
    return Candidate(Path(name).stem, identity or f"quick:{name}", name, path, 1)


def found(installed: list[Candidate], **mention: object) -> str | None:
    one = Installed(installed).find(CheckpointMention(**mention))  # type: ignore[arg-type]
    return None if one is None else one.name


@pytest.mark.parametrize(
    "name", ["XL/mine", "XL\\mine.safetensors", "xl/MINE.ckpt", "C:\\models\\mine.safetensors"]
)
@pytest.mark.parametrize("lies", ["mine.safetensors", "SD/mine.safetensors"])
def test_a_file_that_alone_has_the_name_is_meant_whatever_its_folder(name: str, lies: str) -> None:
    assert found([candidate(lies), candidate("yours.safetensors")], name=name) == lies


def test_folders_tell_files_of_one_name_apart() -> None:
    both = [candidate("a/SD15/dream.safetensors"), candidate("a/XL/dream.safetensors")]
    assert found(both, name="XL/dream") == "a/XL/dream.safetensors"
    assert found(both, name="dream") is None
    assert found(both, name="Other/dream") is None
    assert len(Installed(both).meant(CheckpointMention("dream"))) == 2
    copies = [candidate("SD15/dream.ckpt", "quick:1"), candidate("XL/dream.ckpt", "quick:1")]
    assert found(copies, name="dream") == "SD15/dream.ckpt"


def test_dots_that_begin_no_suffix_belong_to_the_name() -> None:
    files = [candidate("dream_v1.5.safetensors"), candidate("dream_v1.ckpt")]
    assert found(files, name="x/dream_v1.5") == "dream_v1.5.safetensors"
    assert found(files, name="x/dream_v1.6") is None


def test_a_hash_still_goes_before_a_name() -> None:
    known = candidate("mine.safetensors", "sha256:" + "ab" * 32)
    assert found([known], name="other", hashes=("ab" * 5,)) == "mine.safetensors"
    assert found([known], name="XL/mine", hashes=("cd" * 5,)) is None


def test_civitais_version_beside_a_checkpoint(tmp_path: Path) -> None:
    beside = {"id": 987, "modelId": 4, "model": {"name": "H", "type": "Checkpoint"}, "files": []}
    (tmp_path / "copy.civitai.info").write_text(json.dumps(beside))
    files = [candidate(name, folder=tmp_path) for name in ("copy.ckpt", "other.ckpt")]
    assert found(files, version_id=987) == "copy.ckpt"
    assert found(files, version_id=988) is None
    (tmp_path / "other.civitai.info").write_text(json.dumps(beside))
    assert found(files, version_id=987) is None, "two files say that they are it"


def sentence(making: Making, *files: Candidate) -> list[str]:
    return [said.sentence for said in made_with([making], Installed(files))]


def test_what_is_said() -> None:
    both = [candidate("SD15/dream.ckpt"), candidate("XL/dream.ckpt")]
    named = Making("a1111", checkpoint=CheckpointMention("dream"))
    assert sentence(named, *both) == [
        "Made with dream, according to the file; several checkpoints of yours have this name."
    ]
    edited = Making("comfyui", checkpoint=CheckpointMention("a"), processes=frozenset({"edit"}))
    assert sentence(edited, candidate("a.ckpt")) == [
        "Another picture, edited with a, according to the file."
    ]
    version = Making("civitai", checkpoint=CheckpointMention(version_id=7))
    assert sentence(version) == ["Made with civitai:7, according to the file; it is not installed."]
    drawn = Making("comfyui", processes=frozenset({"service"}), made_by="OpenAIDalle3")
    assert sentence(drawn, candidate("a.ckpt")) == [
        "Made by a service (OpenAIDalle3), according to the file: not from a checkpoint of yours."
    ]
    assert sentence(Making("camera", made_by="FUJIFILM X-T5")) == [
        "A photograph (FUJIFILM X-T5), according to the file: not from a checkpoint of yours."
    ]
    assert sentence(Making("comfyui", processes=frozenset({"several"}))) == []
