"""The accuracy benchmark keeps its protocol: folds, subsets, ties, and what it writes."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import accuracy
from benchmarks.accuracy import Tally
from benchmarks.dataset import _combination, five_folds, tasks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four models that tint the same ten pictures in their own colour."""
    rng = np.random.default_rng(0)
    tints = rng.uniform(0.4, 1.0, (4, 3))
    pictures = rng.integers(0, 255, (10, 6, 6, 3))
    for model, tint in enumerate(tints):
        path = tmp_path / "images" / f"model-{model}"
        path.mkdir(parents=True)
        for prompt, picture in enumerate(pictures):
            noisy = picture * tint + rng.normal(0, 4, picture.shape)
            small = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            small.resize((48, 48), Image.Resampling.BICUBIC).save(path / f"p{prompt}.png")
    prompts = [{"id": f"p{i}", "prompt": f"a picture of thing {i}"} for i in range(10)]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    return tmp_path


def run(folder: Path, *options: str) -> list[dict]:
    out = folder / "out.json"
    code = accuracy.main([str(folder), "--encoder", "pixels/32x32", "--json", str(out), *options])
    assert code == 0
    return json.loads(out.read_text())


def test_rows_say_what_they_are(folder: Path) -> None:
    rows = run(folder, "--methods", "learned,rkme-clip,download")
    assert {row["method"] for row in rows} == {"learned", "rkme-clip", "download"}
    assert {row["models"] for row in rows} == {"all"}, "not the 18 SD models, so not called so"
    for row in rows:
        assert set(row) >= {"method", "models", "images", "prompt", "top1", "top4", "rank", "tasks"}
        assert row["images"] in (1, 2), "a fold of ten prompts has two queries"
        assert row["tasks"] == (40 if row["images"] == 1 else 20)
        assert row["top4"] == 1.0
    by = {(r["method"], r["images"], r["prompt"]): r for r in rows}
    assert by["download", 1, "given"]["top1"] == 0.25
    assert by["download", 1, "given"]["rank"] == 2.5
    assert by["learned", 1, "withheld"]["top1"] > 0.8
    assert 0 <= by["learned", 1, "given"]["calibration_error"] <= 1


def test_a_fixed_split_replaces_the_folds(folder: Path) -> None:
    (folder / "specs.txt").write_text("p0\np1\np2\np3\n\np4\n")
    (folder / "queries.txt").write_text("p7\np8\np9\n")
    options = ["--specs", str(folder / "specs.txt"), "--queries", str(folder / "queries.txt")]
    rows = run(folder, "--methods", "rkme-clip", *options)
    assert {(row["images"], row["tasks"]) for row in rows} == {(1, 12), (2, 12), (3, 4)}


@pytest.mark.parametrize(
    ("specs", "queries", "message"),
    [
        ("p0\np1", "p1", "both a specification and a query"),
        ("p0", "nothing", "no prompt 'nothing'"),
    ],
)
def test_a_wrong_split_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], specs: str, queries: str, message: str
) -> None:
    (folder / "s").write_text(specs)
    (folder / "q").write_text(queries)
    options = ["--specs", str(folder / "s"), "--queries", str(folder / "q")]
    arguments = [str(folder), "--encoder", "pixels/32x32", "--methods", "rkme-clip", *options]
    assert accuracy.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_five_folds_never_share_a_prompt_and_cover_all() -> None:
    folds = five_folds(25)
    assert sorted(q for fold in folds for q in fold.queries) == list(range(25))
    for k, fold in enumerate(folds):
        assert fold.queries == tuple(range(k, 25, 5))
        assert not set(fold.specs) & set(fold.queries)
        assert len(fold.specs) == 20


def test_tasks_are_all_subsets_up_to_twenty_and_a_fixed_draw_beyond() -> None:
    fold = five_folds(25)[0]
    everyone = np.ones((2, 25), bool)
    pairs = [positions for m, positions in tasks(everyone, fold, 2) if m == 0]
    assert pairs == list(combinations(range(5), 2))
    wide = five_folds(50)[0]
    mask = np.ones((1, 50), bool)
    drawn = [positions for _, positions in tasks(mask, wide, 3)]
    assert len(drawn) == len(set(drawn)) == 20
    assert drawn == [positions for _, positions in tasks(mask, wide, 3)]
    mask[0, 0] = False
    assert all(0 not in positions for _, positions in tasks(mask, wide, 1))


def test_ties_count_against_the_method() -> None:
    tally = Tally()
    tally.add(np.array([1.0, 1.0, 1.0], np.float32), truth=0, temperature=None)
    assert tally.row()["rank"] == 3


def test_combinations_are_numbered_as_itertools_lists_them() -> None:
    items = [2, 3, 5, 7, 11, 13]
    for size in (1, 2, 3, 6):
        listed = list(combinations(items, size))
        assert [_combination(items, size, i) for i in range(len(listed))] == listed
