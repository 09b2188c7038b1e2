"""The command line from end to end: what it prints, where it prints it, and how it exits."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from conftest import SOURCE_ROOT, WORDS, make_specification, picture, write_image_folder

from lib_gmi.base.errors import MissingExtraError
from lib_gmi.base.paths import data_folder, default_library_folder
from lib_gmi.cli.main import main
from lib_gmi.encoders import load_text
from lib_gmi.library.catalogue import Library
from lib_gmi.ranking import identify
from lib_gmi.records.specification_file import to_bytes
from lib_gmi.submitting import submit

CANDIDATES = ("Alpha", "Beta", "Gamma", "Delta")
ON_POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows allows no such file names")


@pytest.fixture(autouse=True)
def no_text_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one takes seconds to load; tests that need one take the tiny one."""
    monkeypatch.setattr(submit, "optional_text_encoder", lambda: None)


@pytest.fixture
def text_encoder(monkeypatch: pytest.MonkeyPatch, no_text_encoder: None) -> None:
    """Builds embed their prompts."""
    monkeypatch.setattr(submit, "optional_text_encoder", lambda: load_text(WORDS))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four candidates with pictures of six prompts; nobody writes to it."""
    return write_image_folder(tmp_path_factory.mktemp("folder"), CANDIDATES)


@pytest.fixture(scope="module")
def built_once(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of these pictures."""
    folder = tmp_path_factory.mktemp("built") / "library"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submit, "optional_text_encoder", lambda: load_text(WORDS))
        assert main(["build", str(images), "--encoder", "test/tiny", "--library", str(folder)]) == 0
    return folder


@pytest.fixture
def built(built_once: Path, library_folder: Path) -> Path:
    """A copy of it in the place where commands look for the library."""
    shutil.copytree(built_once, library_folder)
    return library_folder


@pytest.fixture
def query(tmp_path: Path) -> Path:
    """A picture in the manner of Gamma of something that is in no specification."""
    path = tmp_path / "query.png"
    picture(CANDIDATES.index("Gamma"), 77).save(path)
    return path


def build(folder: Path, *options: str) -> int:
    """``gmi build`` with the tiny encoder."""
    return main(["build", str(folder), "--encoder", "test/tiny", *options])


def strict_json(text: str) -> Any:
    """JSON as everybody reads it, without NaN."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def assert_refused(capsys: pytest.CaptureFixture[str], argv: list[str], *words: str) -> None:
    """Exit code 2 and one message on stderr: no traceback, nothing on stdout."""
    capsys.readouterr()
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gmi: ")
    assert captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err


# -- build ----------------------------------------------------------------------------------------


def test_build_makes_a_library_that_can_be_ranked(
    images: Path, query: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(images) == 0
    captured = capsys.readouterr()
    assert "24 samples encoded" in captured.out
    assert "complete: 4, partial: 0" in captured.out
    assert captured.err == "", "a log gets no progress bar"
    assert main(["rank", str(query)]) == 0
    assert build(images) == 0
    assert "0 samples encoded" in capsys.readouterr().out


def test_build_in_json(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(images, "--json", "--candidates", "*a", "--exclude", "p05") == 0
    summary = strict_json(capsys.readouterr().out)
    assert summary["samples"] == 20
    assert summary["complete"] == ["Alpha", "Beta", "Delta", "Gamma"]
    assert (summary["unavailable"], summary["cancelled"], summary["failed"]) == (4, False, [])


def test_build_only_some_candidates_and_prompts(
    images: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(images, "--candidates", "[AB]*", "--limit", "4") == 0
    entries = Library(library_folder).entries()
    assert [(entry.title, entry.samples) for entry in entries] == [("Alpha", 4), ("Beta", 4)]


@pytest.mark.parametrize("limit", ["1", "3"])
def test_a_build_that_is_too_short_to_rank_is_a_build_all_the_same(
    images: Path, limit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(images, "--limit", limit) == 0
    captured = capsys.readouterr()
    assert f"{4 * int(limit)} samples encoded" in captured.out
    assert captured.err == ""


def test_build_names_images_that_cannot_be_read_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_image_folder(tmp_path / "folder", CANDIDATES)
    (folder / "images" / "Beta" / "p02.png").write_bytes(b"damaged")
    assert build(folder) == 1
    captured = capsys.readouterr()
    assert "unreadable: Beta: " in captured.out
    assert "p02.png" in captured.out
    assert "23 samples encoded" in captured.out


def test_build_says_who_failed_and_exits_with_1(
    built: Path, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A specification of a newer version of the program is no reason to give up the others."""
    (entry,) = Library(built).find("Beta")
    path = built / "specifications" / entry.file
    with monkeypatch.context() as patch:
        patch.setattr("lib_gmi.records.specification_file.SCHEMA", (9, 0))
        specification = next(
            s for s in Library(built).snapshot().specifications if s.candidate.title == "Beta"
        )
        path.write_bytes(to_bytes(specification))
    assert build(images) == 1
    captured = capsys.readouterr()
    assert "failed: Beta: " in captured.out
    assert "newer version" in captured.out
    assert "complete: 3" in captured.out


def test_images_that_changed_are_encoded_anew_when_asked(
    tmp_path: Path, library_folder: Path
) -> None:
    folder = write_image_folder(tmp_path / "folder", CANDIDATES)
    assert build(folder) == 0
    before = Library(library_folder).fingerprint()
    picture(7, 7).save(folder / "images" / "Beta" / "p02.png")
    assert build(folder) == 0
    assert Library(library_folder).fingerprint() == before
    assert build(folder, "--rebuild", "--candidates", "Beta") == 0
    assert Library(library_folder).fingerprint() != before
    assert len(Library(library_folder).entries()) == 4
    assert len(list((library_folder / "removed").iterdir())) == 1


def test_an_interrupted_build_exits_with_130_and_says_what_is_kept(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **kwargs: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(submit, "build", interrupt)
    assert build(images) == 130
    captured = capsys.readouterr()
    assert "What was finished is kept" in captured.err
    assert "Traceback" not in captured.err


def test_the_default_encoder_builds_and_ranks(
    tmp_path: Path, query: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The only build with the real network."""
    folder = write_image_folder(tmp_path / "folder", ["Beta", "Gamma"], prompts=4)
    picture(1, 77).save(query)
    assert main(["build", str(folder)]) == 0
    assert main(["rank", str(query), "--json", "--method", "rkme-clip"]) == 0
    ranking = strict_json(capsys.readouterr().out.partition("\n{")[2].join(("{", "")))
    assert [row["title"] for row in ranking["candidates"]] == ["Gamma", "Beta"]


# -- rank -----------------------------------------------------------------------------------------


def test_rank_one_image(built: Path, query: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", str(query)]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert "Gamma" in lines[0], "the verdict comes first"
    table = lines[lines.index(next(line for line in lines if line.startswith("#"))) + 2 :][:4]
    assert table[0].split()[:2] == ["1", "Gamma"]
    assert {line.split()[1] for line in table} == set(CANDIDATES)
    assert "6/6" in table[0]
    assert "Method: " in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("method", ["auto", "learned", "rkme-clip", "download"])
def test_rank_in_json(
    built: Path, query: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rank", str(query), "--json", "--method", method, "--top", "3"]) == 0
    ranking = strict_json(capsys.readouterr().out)
    assert [row["rank"] for row in ranking["candidates"]] == [1, 2, 3]
    scores = [row["score"] for row in ranking["candidates"]]
    assert scores == sorted(scores)
    if method != "download":
        assert ranking["candidates"][0]["title"] == "Gamma"
        assert ranking["candidates"][0]["identity"] == "folder:Gamma"
    assert ranking["method"] == (method if method != "auto" else ranking["method"])


def test_several_images_are_examples_of_one_wish(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for content in (70, 71, 72):
        paths.append(tmp_path / f"{content}.png")
        picture(CANDIDATES.index("Beta"), content).save(paths[-1])
    assert main(["rank", *map(str, paths), "--json"]) == 0
    ranking = strict_json(capsys.readouterr().out)
    assert ranking["candidates"][0]["title"] == "Beta"
    assert len(ranking["candidates"]) == 4


def test_a_prompt_adds_the_papers_score(
    built: Path, query: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = ["--prompt", "picture number 3"]
    assert main(["rank", str(query), *prompt, "--method", "learned"]) == 0
    assert "weighted RKME" in capsys.readouterr().out
    assert main(["rank", str(query), *prompt, "--method", "weighted-rkme", "--json"]) == 0
    ranking = strict_json(capsys.readouterr().out)
    best = ranking["candidates"][0]
    assert best["title"] == "Gamma"
    assert best["weighted_rkme"] == pytest.approx(best["score"])


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """A folder with a picture of Alpha's, one of Delta's, and one that is damaged."""
    folder = tmp_path / "queries"
    folder.mkdir()
    picture(0, 80).save(folder / "a.png")
    (folder / "broken.png").write_bytes(b"damaged")
    picture(3, 81).save(folder / "d.png")
    return folder


def test_a_folder_is_ranked_image_by_image_as_csv(
    built: Path, queries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rank", str(queries), "--top", "2"]) == 1, "one image could not be read"
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(Path(row["image"]).name, row["rank"]) for row in rows] == [
        ("a.png", "1"),
        ("a.png", "2"),
        ("broken.png", ""),
        ("d.png", "1"),
        ("d.png", "2"),
    ]
    assert [row["checkpoint"] for row in rows if row["rank"] == "1"] == ["Alpha", "Delta"]
    assert "broken.png" in rows[2]["error"]
    assert all(0 <= float(row["probability"]) <= 1 for row in rows if row["rank"])


def test_a_folder_is_ranked_image_by_image_as_json(
    built: Path, queries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (queries / "broken.png").unlink()
    assert main(["rank", str(queries), "--json"]) == 0
    rows = strict_json(capsys.readouterr().out)
    assert [row["candidates"][0]["title"] for row in rows] == ["Alpha", "Delta"]


def test_no_cell_of_the_csv_is_taken_for_a_formula(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = ("=1+1", "+2", "-3", "@SUM(A1)")
    assert build(write_image_folder(tmp_path / "folder", hostile)) == 0
    (tmp_path / "queries").mkdir()
    monkeypatch.chdir(tmp_path / "queries")
    for name in hostile:
        picture(0, 9).save(f"{name}.png")
    Path("=broken.png").write_bytes(b"damaged")
    capsys.readouterr()
    assert main(["rank", "."]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["checkpoint"] for row in rows} == {f"'{name}" for name in hostile} | {""}
    for row in rows:
        for column in ("image", "checkpoint", "error"):
            assert row[column][:1] not in ("=", "+", "-", "@", "\t", "\r")


@pytest.mark.parametrize("candidates", [1, 2])
def test_a_library_too_small_for_probabilities_claims_none_but_ranks(
    tmp_path: Path, query: Path, candidates: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_image_folder(tmp_path / "folder", CANDIDATES[:candidates], prompts=4)
    assert build(folder) == 0
    assert main(["rank", str(query)]) == 0
    assert main(["rank", str(query), "--json"]) == 0
    out = capsys.readouterr().out
    ranking = strict_json(out[out.index("\n{") :])
    assert len(ranking["candidates"]) == candidates
    if candidates == 1:
        assert ranking["candidates"][0]["probability"] is None
        assert "no probability is claimed" in ranking["verdict"]


def test_who_cannot_be_ranked_is_named(
    built: Path, query: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Library(built).add(make_specification("Newcomer", prompts=2, dim=30))
    assert main(["rank", str(query)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "Not ranked" in line]
    assert line.startswith("Not ranked: Newcomer: ")
    assert line.endswith("4 are needed")


def test_a_prompt_that_cannot_be_used_is_not_ignored_silently(
    images: Path, query: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(images) == 0
    assert main(["rank", str(query), "--prompt", "a cat"]) == 0
    assert "The prompt was not used" in capsys.readouterr().out


# -- library --------------------------------------------------------------------------------------


def test_library_list(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["library", "list"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[2:6]] == sorted(CANDIDATES)
    assert "6/6" in out
    assert f"4 specifications in {built}" in out
    assert main(["library", "list", "--json"]) == 0
    rows = strict_json(capsys.readouterr().out)
    assert [row["candidate"]["title"] for row in rows] == sorted(CANDIDATES)
    assert all(row["encoder_id"] == "test/tiny@v1" for row in rows)


def test_library_list_of_nothing_says_how_to_begin(
    library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["library", "list"]) == 0
    assert "gmi build" in capsys.readouterr().out
    assert main(["library", "list", "--json"]) == 0
    assert strict_json(capsys.readouterr().out) == []
    assert not library_folder.exists()


@pytest.mark.parametrize("others", [True, False])
def test_library_list_names_damaged_files_and_exits_with_1(
    built: Path, others: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *rest = sorted((built / "specifications").glob("*.safetensors"))
    first.write_bytes(b"damaged")
    for path in rest if not others else []:
        path.unlink()
    assert main(["library", "list"]) == 1
    captured = capsys.readouterr()
    assert first.name in captured.err
    assert "set aside" in captured.err
    assert ("3 specifications" in captured.out) == others


def test_library_verify(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["library", "verify"]) == 0
    assert capsys.readouterr().out == "4 specifications are good.\n"
    first = next((built / "specifications").glob("*.safetensors"))
    first.write_bytes(b"damaged")
    assert main(["library", "verify"]) == 1
    out = capsys.readouterr().out
    assert "3 specifications are good" in out
    assert f"set aside in damaged/: {first.name}" in out
    assert main(["library", "verify", "--json"]) == 0
    report = strict_json(capsys.readouterr().out)
    assert len(report["good"]) == 3
    assert report["damaged"] == report["unreadable"] == []


@pytest.mark.parametrize("name", ["Beta", "folder:Beta"])
def test_library_remove(built: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["library", "remove", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Beta → ")
    assert Path(out.strip().partition(" → ")[2]).parent == built / "removed"
    assert [e.title for e in Library(built).entries()] == ["Alpha", "Delta", "Gamma"]


def test_library_remove_names_twice_removes_once(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["library", "remove", "Beta", "folder:Beta", "--json"]) == 0
    (moved,) = strict_json(capsys.readouterr().out)
    assert Path(moved).exists()


def test_library_remove_touches_nothing_if_one_name_is_unknown(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(capsys, ["library", "remove", "Beta", "Omega"], "'Omega'", "gmi library list")
    assert len(Library(built).entries()) == 4


def test_library_duplicates_finds_none_among_different_candidates(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["library", "duplicates"]) == 0
    assert capsys.readouterr().out == "All 4 candidates can be told apart.\n"
    assert main(["library", "duplicates", "--json"]) == 0
    assert strict_json(capsys.readouterr().out) == []


def test_library_duplicates_finds_a_copy_under_another_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_image_folder(tmp_path / "folder", CANDIDATES, prompts=12)
    shutil.copytree(folder / "images" / "Beta", folder / "images" / "Beta-v2")
    assert build(folder) == 0
    capsys.readouterr()
    assert main(["library", "duplicates"]) == 0
    assert capsys.readouterr().out == "These 2 are nearly the same: Beta, Beta-v2\n"


# -- encoders, demo -------------------------------------------------------------------------------


def test_encoders_lists_encoders_and_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoders"]) == 0
    out = capsys.readouterr().out
    for name in ("style/efficientnet-lite0", "pixels/32x32", "weighted-rkme", "learned"):
        assert name in out
    assert main(["encoders", "--json"]) == 0
    listed = strict_json(capsys.readouterr().out)
    assert {"encoders", "text_encoders", "methods"} <= set(listed)
    assert "rkme-basic" in [method["name"] for method in listed["methods"]]


def test_demo_ranks_public_models_for_an_image_and_writes_nothing(
    query: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real network on one image."""
    before = sorted(path.name for path in data_folder().rglob("*"))
    assert main(["demo", str(query), "--top", "5"]) == 0
    out = capsys.readouterr().out
    assert "Which of 62 models makes images like" in out
    assert "query.png" in out
    assert (
        len([line for line in out.splitlines() if line[:2] in ("1 ", "2 ", "3 ", "4 ", "5 ")]) == 5
    )
    assert sorted(path.name for path in data_folder().rglob("*")) == before
    assert not library_folder.exists()


# -- errors ---------------------------------------------------------------------------------------


def test_a_missing_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(capsys, ["build", str(tmp_path / "nowhere")], "nowhere", "images")


def test_a_folder_without_prompts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder" / "images").mkdir(parents=True)
    assert_refused(capsys, ["build", str(tmp_path / "folder")], "prompts.json")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--encoder", "pixels/31x31"], ["'pixels/31x31'", "Did you mean pixels/32x32"]),
        (["--encoder", "pixels/32x32@old"], ["another version"]),
        (["--encoder", "?"], ["Known: ", "style/efficientnet-lite0"]),
        (["--candidates", "Z*"], ["'Z*'", "there are 4"]),
        (["--exclude", "p99"], ["'p99'"]),
    ],
)
def test_build_refuses_what_it_does_not_know(
    images: Path,
    library_folder: Path,
    options: list[str],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert_refused(capsys, ["build", str(images), *options], *words)
    assert not library_folder.exists()


def test_ranking_without_a_library_says_how_to_build_one(
    query: Path, library_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["rank", str(query)], ["library", "duplicates"]):
        assert_refused(capsys, command, str(library_folder), "gmi build")
    assert not library_folder.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "wieghted-rkme"], ["'wieghted-rkme'", "Did you mean weighted-rkme"]),
        (["--method", "?"], ["Known: auto, learned"]),
        (["--method", "rkme-basic"], ["pixels/32x32", "gmi build --encoder"]),
        (["--method", "weighted-rkme"], ["needs a prompt"]),
        (["--method", "rkme-concat", "--prompt", " "], ["needs a prompt"]),
        (["--encoder", "pixels/32x32"], ["none of 4", "test/tiny@v1"]),
    ],
)
def test_rank_refuses_what_it_cannot_do(
    built: Path,
    query: Path,
    options: list[str],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert_refused(capsys, ["rank", str(query), *options], *words)


@pytest.mark.parametrize("method", ["weighted-rkme", "rkme-concat"])
def test_methods_that_need_prompts_say_what_to_install_if_the_library_has_none(
    images: Path, query: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(images) == 0
    command = ["rank", str(query), "--prompt", "a cat", "--method", method]
    assert_refused(capsys, command, "needs embedded prompts", "Install")


def test_a_prompt_without_the_text_encoder_says_what_to_install(
    built: Path, query: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> NoReturn:
        raise MissingExtraError("pip install the-text-encoder")

    monkeypatch.setattr(identify, "load_text", missing)
    assert_refused(capsys, ["rank", str(query), "--prompt", "a cat"], "pip install")


def test_images_that_cannot_be_ranked_are_named(
    built: Path, tmp_path: Path, query: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"damaged")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert_refused(capsys, ["rank", str(broken)], "broken.png")
    assert_refused(capsys, ["rank", str(query), str(broken)], "broken.png")
    assert_refused(capsys, ["rank", str(tmp_path / "nowhere.png")], "nowhere.png", "no such file")
    assert_refused(capsys, ["rank", str(empty)], "empty", "no images")
    assert_refused(capsys, ["rank", str(empty), str(query)], "not both")


def test_the_demo_names_an_image_that_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"damaged")
    assert main(["demo", str(tmp_path / "broken.png")]) == 2
    assert "broken.png" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["library", "list"], ["library", "verify"], ["rank", "x.png"]])
def test_a_library_that_is_a_file_is_refused(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert_refused(capsys, [*command, "--library", str(tmp_path / "file")], "not a folder")


@ON_POSIX
def test_a_library_in_nobodys_home_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GMI_LIBRARY", "~nobody-of-this-name/library")
    assert_refused(capsys, ["library", "list"], "GMI_LIBRARY", "~nobody-of-this-name")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["rank"],
        ["build"],
        ["library"],
        ["frobnicate"],
        ["rank", "x.png", "--top", "0"],
        ["build", "x", "--limit", "-1"],
        ["build", "x", "--limit", "many"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_shows_the_usage(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: gmi" in capsys.readouterr().err


# -- terminals ------------------------------------------------------------------------------------


@ON_POSIX
def test_no_control_character_of_a_title_reaches_the_terminal(
    tmp_path: Path, query: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of checkpoints come from the internet."""
    hostile = ("\x1b[31mAlpha\n#fake", "Be\x9bta\n#fake", "Gam\rma\n#fake", "\u202eDelta")
    folder = write_image_folder(tmp_path / "folder", hostile, prompts=12)
    shutil.copytree(folder / "images" / hostile[0], folder / "images" / "\x1b[32mcopy")
    (folder / "images" / hostile[1] / "p11.png").write_bytes(b"damaged")
    (folder / "images" / "\x1b[0m").mkdir()
    assert build(folder) == 1
    assert main(["rank", str(query), "--method", "learned"]) == 0
    assert main(["library", "list"]) == 0
    assert main(["library", "duplicates"]) == 0
    assert main(["library", "remove", hostile[0]]) == 0
    captured = capsys.readouterr()
    lines = captured.out.split("\n") + captured.err.split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    assert [line for line in lines if line.startswith("#fake")] == [], "nor a line of its own"


@ON_POSIX
def test_no_control_character_of_a_file_name_reaches_the_terminal_in_an_error(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "\x1b[31mred.png"
    path.write_bytes(b"damaged")
    assert main(["rank", str(path)]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("command", [["encoders"], ["library", "list"], ["rank"]])
def test_terminals_that_know_few_characters_get_what_they_can_show(
    built: Path,
    query: Path,
    command: list[str],
    encoding: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows writes redirected output in the code page of the country."""
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding=encoding))
    assert main([*command, str(query)] if command == ["rank"] else command) == 0
    sys.stdout.flush()
    assert len(output.getvalue().splitlines()) > 5


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_an_image_whose_name_is_no_text_can_be_ranked(
    built: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = tmp_path / "queries"
    folder.mkdir()
    picture(0, 9).save(folder / os.fsdecode(b"caf\xe9.png"), "PNG")
    assert main(["rank", str(folder), "--top", "1"]) == 0
    assert b"Alpha" in capsysbinary.readouterr().out


# -- the program as it is installed ---------------------------------------------------------------


def test_the_default_library_is_where_the_environment_says(
    library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_library_folder() == library_folder
    monkeypatch.delenv("GMI_LIBRARY")
    assert default_library_folder().name == "library"
    assert "gmi" in default_library_folder().parts


def test_the_command_line_starts_without_loading_torch() -> None:
    code = (
        "import sys\nfrom lib_gmi.cli.main import main\n"
        "main(['encoders', '--json'])\nassert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCE_ROOT), *sys.path))}
    finished = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_help_names_every_command() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCE_ROOT), *sys.path))}
    finished = subprocess.run(
        [sys.executable, "-m", "lib_gmi.cli", "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0
    assert finished.stderr == ""
    for command in ("build", "rank", "library", "demo", "encoders"):
        assert command in finished.stdout
