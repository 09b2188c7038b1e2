"""``gmi pack`` from end to end: what it prints, and how it exits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import make_specification, picture
from pack_files import ABOUT, forged, good_pack, sha256, shared

from lib_gmi.base.images import stored_copy
from lib_gmi.checkpoints.identity import quick_identity
from lib_gmi.cli.main import main
from lib_gmi.library.catalogue import Library
from lib_gmi.library.packs import Packs, read_pack
from lib_gmi.records.protocols import GenerationSettings


@pytest.fixture
def library(library_folder: Path) -> Library:
    """A library of two checkpoints that can be shared."""
    library = Library(library_folder)
    for number in (1, 2):
        library.add(shared(number))
    return library


@pytest.fixture
def pack_file(tmp_path: Path) -> Path:
    """A pack of checkpoints 2 and 3."""
    path = tmp_path / "others.gmipack"
    good_pack(path, 3)
    return path


def output(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed since the last look; nothing else may have been said."""
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def test_export_import_list_remove_and_undo(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.gmipack"
    options = ["--title", "Mine", "--author", "Ada", "--licence", "CC0-1.0"]
    assert main(["pack", "export", str(path.with_suffix("")), *options]) == 0
    text = output(capsys)
    assert "2 specifications of 2 checkpoints" in text
    assert "which checkpoints these are (hash and name)" in text
    assert "Prompts that are not this program's own: it tells their ids and embeddings." in text
    pack = read_pack(path)
    assert (pack.about.title, pack.about.author, pack.about.licence) == ("Mine", "Ada", "CC0-1.0")

    other = ["--library", str(tmp_path / "other")]
    assert main(["pack", "import", str(path), *other]) == 0
    text = output(capsys)
    assert "imported “Mine” by Ada: 2 specifications" in text
    assert "licence: CC0-1.0" in text
    assert f"to undo: gmi pack remove {pack.id[:8]}" in text
    assert main(["pack", "import", str(path), *other]) == 0
    assert "is installed already; nothing was changed" in output(capsys)

    assert main(["pack", "verify", *other]) == 0
    assert output(capsys) == "good: Mine: 2 specifications\n"
    assert main(["pack", "list", *other]) == 0
    text = output(capsys)
    for cell in ("Mine", "Ada", "CC0-1.0", "0/2", pack.id[:8]):
        assert cell in text

    assert main(["pack", "remove", "Mine", *other]) == 0
    text = output(capsys)
    assert "“Mine” by Ada → " in text
    kept = next((tmp_path / "other" / "removed").iterdir())
    assert f'to undo: gmi pack import "{kept}"' in text
    assert main(["pack", "import", str(kept), *other]) == 0
    assert "imported “Mine”" in output(capsys)


def test_an_import_says_that_what_the_user_built_counts_first(
    library: Library, pack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", "import", str(pack_file)]) == 0
    text = output(capsys)
    assert "2 of its checkpoints are in your library; what you built counts first" in text
    assert "more: https://example.org/pack" in text


def test_an_export_replaces_no_file_unless_told_to(
    library: Library, pack_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pack_file.read_bytes()
    assert main(["pack", "export", str(pack_file)]) == 2
    assert "exists. Choose another name, or add --force" in capsys.readouterr().err
    assert pack_file.read_bytes() == before
    assert main(["pack", "export", str(pack_file), "--force"]) == 0
    assert read_pack(pack_file).about.title == "2 checkpoints"


def test_some_checkpoints_are_exported_by_name(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.gmipack"
    assert main(["pack", "export", str(path), "model-2"]) == 0
    assert [s.candidate.identity for s in read_pack(path).specifications] == [sha256(2)]
    assert main(["pack", "export", str(tmp_path / "none"), "model-9"]) == 2
    assert "'model-9' is not in the library" in capsys.readouterr().err


def test_quick_identities_are_left_out_with_what_to_do_or_hashed(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    file = models / "new.safetensors"
    file.write_bytes(bytes(range(256)) * 9)
    settings = GenerationSettings(codec="webp90-512")
    specification = make_specification("new", settings=settings)
    candidate = replace(
        specification.candidate, identity=quick_identity(file), size=file.stat().st_size
    )
    copies = {("p01", 1001): stored_copy(picture(1, 1, 300), "webp90-512")}
    library.extend(replace(specification, candidate=candidate), copies)

    assert main(["pack", "export", str(tmp_path / "a.gmipack")]) == 1
    text = output(capsys)
    assert "left out: new: is known by a quick hash only" in text
    assert "--hash" in text

    path = tmp_path / "b.gmipack"
    options = ["--hash", str(models), "--thumbnails"]
    assert main(["pack", "export", str(path), *options]) == 0
    assert "It shows 1 sample as small pictures." in output(capsys)
    full = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    pack = read_pack(path)
    (found,) = [s for s in pack.specifications if s.candidate.title == "new"]
    assert found.candidate.identity == full
    assert set(pack.thumbnails[found.key]) == {("p01", 1001)}
    assert [e.identity for e in library.find("new")] == [candidate.identity]


def test_with_nothing_to_export_the_reasons_are_given(
    library_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", "export", str(tmp_path / "a")]) == 2
    assert "There is nothing to export." in capsys.readouterr().err
    library = Library(library_folder)
    specification = make_specification()
    named = replace(specification.candidate, identity="recipe:Mine")
    library.add(replace(specification, candidate=named))
    assert main(["pack", "export", str(tmp_path / "a")]) == 2
    assert "is a workflow of yours; export with --recipes" in capsys.readouterr().err
    assert main(["pack", "export", str(tmp_path / "a"), "--recipes"]) == 0


def test_the_embedded_models_are_a_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "first.gmipack"
    assert main(["pack", "export", str(path), "--embedded", "--licence", "MIT", "--json"]) == 0
    told = json.loads(output(capsys))
    assert (told["specifications"], told["excluded"]) == (63, [])
    assert main(["pack", "import", str(path), "--json"]) == 0
    (row,) = json.loads(output(capsys))
    assert {c["page"] for c in row["checkpoints"]} == {None}
    assert main(["pack", "list", "--pages"]) == 0
    assert output(capsys).count("no file known") == 63


def test_the_list_tells_what_is_installed_and_where_to_find_the_rest(
    tmp_path: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    content = b"weights" * 100
    (models / "renamed.safetensors").write_bytes(content)
    identity = "sha256:" + hashlib.sha256(content).hexdigest()
    path = tmp_path / "a.gmipack"
    good_pack(path, 2)

    def change(manifest: dict[str, Any], _: object) -> None:
        manifest["entries"][0]["candidate"].update(identity=identity, size=len(content))

    path.write_bytes(forged(path, change))
    assert main(["pack", "import", str(path)]) == 0
    output(capsys)
    assert main(["pack", "list", "--pages", "--checkpoints", str(models)]) == 0
    text = output(capsys)
    assert "1/2" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("model-")}
    assert "not installed" not in lines["model-1"]
    assert "not installed" in lines["model-2"]
    assert "https://civitai.com/search/models?query=0000000000" in lines["model-2"]


def test_damaged_packs_are_told_with_another_exit_code(
    pack_file: Path, tmp_path: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.gmipack"
    bad.write_bytes(pack_file.read_bytes()[:-1])
    assert main(["pack", "verify", str(pack_file), str(bad)]) == 1
    text = output(capsys)
    assert f"good: {pack_file}: 3 specifications" in text
    assert f"damaged: {bad}: bad.gmipack: is cut short" in text

    assert main(["pack", "import", str(bad)]) == 2
    assert "gmi: bad.gmipack: is cut short" in capsys.readouterr().err
    assert main(["pack", "import", str(bad), str(pack_file)]) == 1
    printed = capsys.readouterr()
    assert "bad.gmipack: is cut short" in printed.err
    assert "imported “Some checkpoints”" in printed.out

    (info,) = Packs(Library(library_folder)).installed()
    (info.folder / "pack.json").write_text("{}", encoding="utf-8")
    assert main(["pack", "verify"]) == 1
    assert "damaged: " in output(capsys)
    assert main(["pack", "list"]) == 1
    assert "is damaged. Import the pack again." in capsys.readouterr().err


def test_without_packs_it_says_how_to_get_one(
    library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", "list"]) == 0
    assert "Import one with: gmi pack import FILE" in output(capsys)
    assert main(["pack", "verify"]) == 0
    assert output(capsys) == "No pack is installed.\n"
    assert main(["pack", "remove", "nothing"]) == 2
    assert "There is no pack 'nothing'. See gmi pack list." in capsys.readouterr().err
    assert main(["pack", "verify", "nothing"]) == 2
    assert "There is no file of that name either." in capsys.readouterr().err
    assert not (library_folder / "packs").exists() or not list((library_folder / "packs").glob("*"))


def test_a_title_with_html_is_printed_as_it_is_and_json_is_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.gmipack"
    good_pack(path, 1, replace(ABOUT, title="<b>=cmd|x"))
    assert main(["pack", "import", str(path)]) == 0
    assert "“<b>=cmd|x”" in output(capsys)
    assert main(["pack", "list", "--json"]) == 0
    (row,) = json.loads(output(capsys))
    assert row["title"] == "<b>=cmd|x"
    assert row["licence"] == "CC0-1.0"
    assert row["checkpoints"][0]["installed"] is False
    assert main(["pack", "verify", "--json"]) == 0
    assert json.loads(output(capsys)) == [
        {"name": "<b>=cmd|x", "problem": None, "specifications": 1}
    ]
    assert main(["pack", "remove", "<b>=cmd|x", "--json"]) == 0
    assert len(json.loads(output(capsys))) == 1
