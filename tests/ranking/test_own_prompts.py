"""Candidates with prompts of their own, stacked and ranked beside those with shared ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import assert_same_specification, make_specification
from support import random_stack

from lib_gmi.base.errors import SpecificationError
from lib_gmi.ranking.findings import findings
from lib_gmi.ranking.fitted import FittedLibrary
from lib_gmi.ranking.kernels import LearnedKernel
from lib_gmi.ranking.methods import RKME
from lib_gmi.ranking.stack import Stack, stack
from lib_gmi.records.specification import OWN_PROMPTS, PromptSetRef, Specification
from lib_gmi.records.specification_file import from_bytes, to_bytes

OWN = PromptSetRef("own prompts", "1", OWN_PROMPTS, 0)


def own_specification(title: str, prompts: int = 6, first: int = 0) -> Specification:
    """Of images that somebody had, with the same ids as everybody's."""
    made = make_specification(title, prompts=prompts, first_prompt=first)
    texts = {prompt_id: f"text of {prompt_id}" for prompt_id in made.prompt_ids}
    return replace(made, prompt_set=OWN, texts=texts)


def mixed(whole: Stack, prompts: int, own: list[int]) -> Stack:
    """The first prompts for everybody but some candidates, which have as many others."""
    width = 2 * prompts
    assert len(whole.prompt_ids) >= width
    mask = np.zeros((len(whole.candidates), width), dtype=bool)
    mask[:, :prompts] = True
    mask[own, :prompts], mask[own, prompts:] = False, True
    features = np.where(mask[:, :, None], whole.features[:, :width], np.float32(0))
    ids = [
        {k: f"own-{k}" for k in range(prompts, width)} if m in own else {} for m in range(len(mask))
    ]
    embeddings = whole.prompt_embeddings
    return replace(
        whole,
        prompt_ids=(*whole.prompt_ids[:prompts], *[""] * prompts),
        features=features,
        mask=mask,
        prompt_embeddings=None
        if embeddings is None
        else np.tile(embeddings[:width], (len(mask), 1, 1)),
        own=np.arange(width) >= prompts,
        own_ids=tuple(ids),
    )


def test_a_file_keeps_the_texts() -> None:
    made = own_specification("a")
    read = from_bytes(to_bytes(made))
    assert_same_specification(read, made)
    assert read.texts == made.texts
    assert read.own_prompts


def test_texts_are_joined() -> None:
    joined = own_specification("a", 3).merged(own_specification("a", 3, first=3))
    assert set(joined.texts) == set(joined.prompt_ids)


@pytest.mark.parametrize("texts", [{"a": 1}, {"a": "x" * 20_000}])
def test_texts_that_are_none_are_refused(texts: dict[str, str]) -> None:
    data = to_bytes(replace(own_specification("a"), texts=texts))
    with pytest.raises(SpecificationError, match="malformed"):
        from_bytes(data)


def test_own_prompts_share_columns_and_keep_their_ids() -> None:
    specifications = [
        make_specification("a", prompts=5),
        own_specification("b", prompts=6),
        own_specification("c", prompts=4),
    ]
    data, excluded = stack(specifications)
    assert excluded == []
    assert data is not None
    assert data.mask.shape == (3, 5 + 6)
    assert data.mask.sum(axis=1).tolist() == [5, 6, 4]
    assert data.own is not None
    assert data.own.tolist() == [False] * 5 + [True] * 6
    assert [data.prompt_id(1, column) for column in range(5, 11)] == list(
        specifications[1].prompt_ids
    )
    assert data.prompt_id(0, 2) == specifications[0].prompt_ids[2]
    for row, specification in enumerate(specifications):
        assert np.array_equal(data.features[row][data.mask[row]], specification.features)


def test_a_candidate_with_both_is_one_candidate() -> None:
    both = [make_specification("a", prompts=5), own_specification("a", prompts=4)]
    data, excluded = stack([*both, make_specification("b", prompts=5)])
    assert excluded == []
    assert data is not None
    assert data.mask.sum(axis=1).tolist() == [9, 5]


def test_own_prompts_alone_can_be_ranked() -> None:
    data, _ = stack([own_specification(title) for title in "abc"])
    assert data is not None
    assert data.shared.sum() == 0
    found = LearnedKernel.fit(data).scores(data.features[1, :2], None)
    assert found.shape == (2, 3)
    assert np.isfinite(found).all()
    assert FittedLibrary(data, findings(data)).nearest_prompt(data.features[0, :1]) is None


def test_another_codec_is_still_another_codec() -> None:
    other = own_specification("b")
    other = replace(other, settings=replace(other.settings, codec="webp50-64"))
    data, excluded = stack([make_specification("a"), make_specification("c"), other])
    assert data is not None
    assert len(data.candidates) == 2
    assert "codec" in excluded[0].reason


def test_parts_of_a_stack_keep_their_ids() -> None:
    data, _ = stack([make_specification("a", prompts=5), own_specification("b", prompts=6)])
    assert data is not None
    part = data.without_prompts([1, 6])
    assert part.prompt_id(1, 4) == data.prompt_id(1, 5)
    assert part.prompt_id(1, 5) == data.prompt_id(1, 7)
    assert data.take([1]).prompt_id(0, 5) == data.prompt_id(1, 5)


@pytest.mark.parametrize("method", [LearnedKernel.fit, lambda data: RKME("rkme-clip", data)])
def test_mixed_candidates_are_found_as_often(method: object) -> None:
    whole = random_stack(candidates=8, prompts=60, style=1.0, content=3.0)
    own = [0, 2, 4, 6]
    assert callable(method)
    unseen = whole.with_prompts(range(40, 60))
    truth = np.arange(8)[:, None]
    hits, answers = {}, None
    for name, data in (("shared", whole.with_prompts(range(20))), ("mixed", mixed(whole, 20, own))):
        fitted = method(data)
        best = np.stack([fitted.scores(unseen.features[m], None).argmin(axis=1) for m in range(8)])
        hits[name], answers = float((best == truth).mean()), best
    assert hits["shared"] > 0.25
    assert hits["mixed"] >= hits["shared"] - 0.1
    assert 0.35 <= np.isin(answers, own).mean() <= 0.65


def test_leaving_out_one_prompt_works_with_own_prompts() -> None:
    whole = random_stack(candidates=6, prompts=24, style=1.5)
    found = findings(mixed(whole, 12, [1, 3, 5]))
    calibration = found.reports["learned"].one_image
    assert calibration is not None
    assert calibration.top1 > 0.5
    assert found.params.attention == 0
    assert "weighted-rkme" in found.reports


def test_the_papers_weights_follow_each_candidates_own_prompts() -> None:
    data = mixed(random_stack(candidates=3, prompts=8, seed=4), 4, [2])
    assert data.prompt_embeddings is not None
    fitted = RKME("weighted-rkme", data, weighted=True)
    query = data.prompt_embeddings[0, 0]
    weights = fitted._weights(1, query[None])
    assert weights.shape == (1, 3, 8)
    scores = fitted.scores(data.features[0, :1], query[None])
    changed = data.prompt_embeddings.copy()
    changed[2, 4:] = -changed[2, 4:]
    other = RKME("weighted-rkme", replace(data, prompt_embeddings=changed), weighted=True)
    moved = other.scores(data.features[0, :1], query[None])
    assert moved[0, :2] == pytest.approx(scores[0, :2])
    assert moved[0, 2] != pytest.approx(scores[0, 2])
