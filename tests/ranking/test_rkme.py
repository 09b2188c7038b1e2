"""Eq. 2, 3 and 9 against literal transcriptions, Example 2.1, and reduced sets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from support import (
    CIRCLE,
    RANDOM,
    circle,
    circle_stack,
    cosine,
    kernel,
    make_stack,
    random_stack,
    squared_distance_in_rkhs,
)

from benchmarks.papers.herding import rbf, reduced_set
from lib_gmi.base.errors import RankingError
from lib_gmi.encoders import registry
from lib_gmi.ranking import rkme
from lib_gmi.ranking.methods import METHODS, RKME, method
from lib_gmi.ranking.normalised import Normalizer


def test_the_kernel_is_the_literal_one() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 5, 3))
    expected = [[[kernel(x, y, 0.3) for y in b[i]] for x in a[i]] for i in range(2)]
    assert rbf(a.astype(np.float32), b.astype(np.float32), 0.3) == pytest.approx(
        np.array(expected), abs=1e-6
    )


def test_weights_are_cosines_and_a_zero_vector_has_none() -> None:
    rng = np.random.default_rng(1)
    prompts, query = rng.standard_normal((6, 4)), rng.standard_normal(4)
    prompts[2] = 0
    expected = [0.0 if i == 2 else cosine(p, query) for i, p in enumerate(prompts)]
    assert rkme.prompt_weights(prompts.astype(np.float32), query.astype(np.float32)) == (
        pytest.approx(np.array(expected), abs=1e-6)
    )


@pytest.mark.parametrize("name", ["rkme-clip", "weighted-rkme", "rkme-concat"])
@pytest.mark.parametrize("missing", [False, True])
def test_methods_equal_the_loops(name: str, missing: bool) -> None:
    """All candidates and queries at once give what one candidate and one query give by hand."""
    stack = random_stack(candidates=4, prompts=6)
    assert stack.prompt_embeddings is not None
    mask = np.ones((4, 6), bool)
    if missing:
        mask[1, 3:] = False
        mask[2, 0] = False
    stack = make_stack(
        np.where(mask[:, :, None], stack.features, 0), RANDOM, stack.prompt_embeddings, mask
    )
    info = registry.info(RANDOM)
    normalizer = Normalizer.fit(stack.features[mask], info.blocks)
    rng = np.random.default_rng(2)
    queries = rng.standard_normal((3, 40)).astype(np.float32)
    prompts = rng.standard_normal((3, 8)).astype(np.float32)

    got = METHODS[name].fit(stack, None, None).scores(queries, prompts)

    for q in range(3):
        z_query = normalizer.transform(queries[q : q + 1])[0]
        for m in range(4):
            rows = np.flatnonzero(mask[m])
            samples = list(normalizer.transform(stack.features[m, rows]))
            query = z_query
            weights = [1.0] * len(rows)
            if name == "weighted-rkme":
                weights = [cosine(stack.prompt_embeddings[i], prompts[q]) for i in rows]
            if name == "rkme-concat":
                texts = stack.prompt_embeddings[rows]
                pairs = zip(samples, texts, strict=True)
                samples = [np.concatenate([z, t]) / np.sqrt(2) for z, t in pairs]
                query = np.concatenate([z_query, prompts[q]]) / np.sqrt(2)
            expected = squared_distance_in_rkhs(samples, weights, query, info.gamma)
            assert got[q, m] == pytest.approx(expected, abs=2e-5)


def test_a_candidate_without_samples_comes_last() -> None:
    gram, cross = np.ones((2, 3, 3), np.float32), np.ones((1, 2, 3), np.float32)
    mask = np.array([[True, True, True], [False, False, False]])
    scores = rkme.scores(gram, cross, np.ones((1, 3), np.float32), mask)
    assert scores[0, 0] == pytest.approx(0)
    assert scores[0, 1] == np.inf


@pytest.mark.parametrize("p", np.linspace(-0.47, -0.03, 12))
def test_example_2_1_needs_the_prompts(p: float) -> None:
    """Unweighted, the two generators cannot be told apart; weighted by prompts they can."""
    stack, _ = circle_stack()
    query, prompt = circle(0, p)[None], circle(0, p)[None]
    unweighted = RKME("rkme-clip", stack).scores(query, prompt)[0]
    weighted = RKME("weighted-rkme", stack, weighted=True).scores(query, prompt)[0]
    assert unweighted[0] == pytest.approx(unweighted[1], abs=1e-5)
    assert weighted[0] < weighted[1] - 1e-3


def test_example_2_1_on_positive_prompts_is_a_tie() -> None:
    stack, _ = circle_stack()
    weighted = RKME("weighted-rkme", stack, weighted=True)
    one, other = weighted.scores(circle(0, 0.25)[None], circle(0, 0.25)[None])[0]
    # the generators agree there, but the far side of the circle still has a small say
    assert abs(one - other) < 0.1 * abs(one)


def test_methods_say_what_they_lack() -> None:
    without_text = random_stack(text=False)
    with pytest.raises(RankingError, match="needs embedded prompts"):
        METHODS["weighted-rkme"].fit(without_text, None, None)
    with pytest.raises(RankingError, match="needs a prompt"):
        METHODS["weighted-rkme"].fit(random_stack(), None, None).scores(
            np.zeros((1, 40), np.float32), None
        )
    with pytest.raises(RankingError, match="--encoder pixels/32x32"):
        METHODS["rkme-basic"].fit(random_stack(), None, None)
    with pytest.raises(RankingError, match="Did you mean weighted-rkme"):
        method("weigthed-rkme")


def test_download_ranks_by_popularity_whatever_the_query() -> None:
    stack = random_stack(candidates=3)
    from dataclasses import replace

    ranks = [2, None, 0]
    candidates = tuple(
        replace(c, popularity=r) for c, r in zip(stack.candidates, ranks, strict=True)
    )
    fitted = METHODS["download"].fit(replace(stack, candidates=candidates), None, None)
    scores = fitted.scores(np.zeros((2, 40), np.float32), None)
    assert scores.argsort(axis=1).tolist() == [[2, 0, 1], [2, 0, 1]]


def test_a_reduced_set_approximates_the_mean_better_than_chance() -> None:
    rng = np.random.default_rng(3)
    features = rng.standard_normal((30, 5)).astype(np.float32)
    full = rbf(features, features, 0.2)

    def discrepancy(chosen: np.ndarray) -> float:
        part = full[np.ix_(chosen, chosen)].mean()
        return float(full.mean() - 2 * full[chosen].mean() + part)

    chosen = reduced_set(features, 8, 0.2)
    by_chance = [discrepancy(rng.choice(30, 8, replace=False)) for _ in range(200)]
    assert len(set(chosen.tolist())) == 8
    assert discrepancy(chosen) < np.quantile(by_chance, 0.05)


def test_a_reduced_set_of_one_is_the_most_central_sample() -> None:
    features = np.array([[0.0], [0.1], [5.0]], np.float32)
    assert reduced_set(features, 1, 0.5).tolist() == [0] or reduced_set(
        features, 1, 0.5
    ).tolist() == [1]


def test_reduced_sets_grow_by_prefix_and_use_every_sample_in_the_end() -> None:
    rng = np.random.default_rng(4)
    features = rng.standard_normal((7, 3)).astype(np.float32)
    prompts = rng.standard_normal((7, 2)).astype(np.float32)
    sets = [reduced_set(features, k, 0.5, prompts).tolist() for k in range(1, 8)]
    for shorter, longer in pairwise(sets):
        assert longer[: len(shorter)] == shorter
    assert sorted(sets[-1]) == list(range(7))
    with pytest.raises(ValueError, match=r"1\.\.7"):
        reduced_set(features, 8, 0.5)


def test_the_circle_really_is_the_same_distribution() -> None:
    """Otherwise the example would prove nothing."""
    stack, _ = circle_stack()
    assert stack.encoder_id == CIRCLE
    one, other = (sorted(map(tuple, np.round(f, 4).tolist())) for f in stack.features)
    assert np.allclose(one, other, atol=1e-3)
