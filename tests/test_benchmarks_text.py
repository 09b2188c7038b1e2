"""The benchmark of texts: what is learned from images never comes from the own ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import write_image_folder

from benchmarks import search, text_image
from benchmarks.text_image import Bench, Seen, read_looks
from lib_gmi.base.vectors import unit
from lib_gmi.encoders import labels


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Classes that fit three prompts, seen by four models with some noise."""
    rng = np.random.default_rng(0)
    truth = np.tile(np.arange(3), 4)
    logits = rng.normal(0, 1, (12, labels.CLASSES)).astype(np.float32)
    for row, prompt in enumerate(truth):
        logits[row, (281, 504, 817)[prompt]] += 12  # tabby, coffee mug, sports car
    prompts = ("a cat", "a mug of coffee", "a red sports car")
    places = labels.softmax(logits)
    return Seen(labels.Looks(logits, logits, places), truth, np.repeat(np.arange(4), 3), prompts)


def test_clear_images_find_their_prompts(seen: Seen) -> None:
    rows = text_image.run(seen)
    assert [row["images"] for row in rows] == [12] * len(rows)
    assert all(row["top1"] == 1.0 for row in rows if "CSLS" not in row["variant"])


def test_the_centre_knows_nothing_of_the_images_own_prompt(seen: Seen) -> None:
    bench = Bench(seen)
    probabilities = seen.looks.probabilities()
    before = bench.centred(probabilities, bench.wordings)
    changed = probabilities.copy()
    own = np.flatnonzero(seen.truth == 0)
    changed[own[1:]] = changed[own[1:], ::-1]
    after = bench.centred(changed, bench.wordings)
    assert after[own[0]] == pytest.approx(before[own[0]], abs=1e-6)
    assert after[1] != pytest.approx(before[1], abs=1e-4), "others' centre does"


def test_what_was_seen_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_image_folder(tmp_path / "images", ["alpha", "beta"], prompts=2)
    kept = tmp_path / "looks.npz"
    first = read_looks(folder, kept)
    (folder / "images" / "alpha" / "p00.png").unlink()
    again = read_looks(folder, kept)
    assert again.looks.places == pytest.approx(first.looks.places)
    assert again.truth.tolist() == [0, 1, 0, 1]
    assert again.candidates.tolist() == [0, 0, 1, 1]
    out = tmp_path / "out.json"
    assert text_image.main([str(folder), "--looks", str(kept), "--json", str(out)]) == 0
    assert "ConSE as published" in capsys.readouterr().out
    assert json.loads(out.read_text())[0]["images"] == 4


def test_precision_over_a_folder_with_prompts_withheld_and_given() -> None:
    """Of vectors that know nothing and prompts that do, only these tell what is meant."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 20)
    tags = [frozenset(("cute", "robot")), frozenset(("old", "tram")), frozenset(("cute", "fox"))]
    prompts = ["a cute robot", "an old tram", "a very cute fox"]

    def encode(texts: Sequence[str]) -> np.ndarray:
        return unit(rng.standard_normal((len(texts), 8)).astype(np.float32))

    vectors = encode([""] * 60)
    rows = search.in_a_folder(vectors, truth, tags, prompts, encode)
    found = {(row["query"], row["prompts"]): row["precision@10"] for row in rows}
    for kind in ("a tag", "the words of a prompt's id"):
        assert found[kind, "given"] == 1
        assert found[kind, "withheld"] < 0.8
    assert [row["queries"] for row in rows] == [5, 5, 3, 3]
