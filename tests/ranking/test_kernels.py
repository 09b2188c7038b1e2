"""The learned kernel against its definition, on small, missing and degenerate libraries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import RANDOM, circle, circle_stack, make_stack, random_stack, register

from lib_gmi.base.errors import RankingError
from lib_gmi.encoders import registry
from lib_gmi.encoders.info import Block
from lib_gmi.ranking.discriminants import Precision, Scatter
from lib_gmi.ranking.kernels import LearnedKernel, Params, Prior, scores_from_tensors
from lib_gmi.ranking.methods import RKME, FittedMethod
from lib_gmi.ranking.normalised import Normalizer
from lib_gmi.ranking.stack import Stack


def literal_scores(stack: Stack, query: np.ndarray, shrinkage: float) -> np.ndarray:
    """s_m = ‖P^{1/2}(z − mean_i z_{m,i})‖² with P inverted as a whole, for complete stacks."""
    normalizer = Normalizer.fit(stack.features[stack.mask], registry.info(stack.encoder_id).blocks)
    z = normalizer.transform(stack.features).astype(np.float64)
    d = z.shape[-1]
    scatter = np.zeros((d, d))
    for candidate in z:
        for sample in candidate:
            error = sample - candidate.mean(axis=0)
            scatter += np.outer(error, error)
    scatter /= np.trace(scatter)
    precision = np.linalg.inv(scatter + shrinkage / d * np.eye(d))
    x = normalizer.transform(query[None])[0].astype(np.float64)
    return np.array([(x - c.mean(axis=0)) @ precision @ (x - c.mean(axis=0)) for c in z])


@pytest.mark.parametrize("prompts", [4, 30])  # fewer and more rows than features
@pytest.mark.parametrize("shrinkage", [0.3, 1.0])
def test_scores_are_the_literal_ones_up_to_a_constant(prompts: int, shrinkage: float) -> None:
    """What is left out is the same for every candidate: it cannot change the order."""
    stack = random_stack(prompts=prompts)
    fitted = LearnedKernel.fit(stack, None, Params(shrinkage, pull=0.0))
    queries = np.random.default_rng(5).standard_normal((4, 40)).astype(np.float32)
    for query, got in zip(queries, fitted.scores(queries, None), strict=True):
        expected = literal_scores(stack, query, shrinkage)
        assert got - got.mean() == pytest.approx(expected - expected.mean(), abs=0.05, rel=1e-3)


def test_score_and_novelty_add_up_to_the_whole_distance() -> None:
    stack = random_stack(prompts=30)
    fitted = LearnedKernel.fit(stack, None, Params(pull=0.0))
    query = np.random.default_rng(6).standard_normal((1, 40)).astype(np.float32)
    # the bias correction is the same for all candidates where all have every sample
    bias = fitted.space.noise / 30
    whole = fitted.scores(query, None)[0] + bias + fitted.novelty(query)[0]
    assert whole == pytest.approx(literal_scores(stack, query[0], 1.0), rel=1e-3)


@pytest.mark.parametrize("rows", [3, 25])  # dual and primal
def test_precision_is_the_inverse(rows: int) -> None:
    f = np.random.default_rng(7).standard_normal((rows, 10)).astype(np.float32)
    inverse = np.linalg.inv(f.T @ f + 0.5 * np.eye(10))
    x = np.random.default_rng(8).standard_normal((4, 10)).astype(np.float32)
    precision = Precision(Scatter.of(f), 0.5)
    assert precision.apply(x) == pytest.approx(x @ inverse, abs=1e-4)
    assert precision.quadratic(x) == pytest.approx(np.sum(x @ inverse * x, axis=1), abs=1e-3)


def test_it_finds_the_candidate_where_content_drowns_style() -> None:
    """Prompts vary far more than candidates; held-out samples are still found."""
    stack = random_stack(candidates=6, prompts=40, style=1.0, content=5.0)
    seen, unseen = stack.with_prompts(range(30)), stack.with_prompts(range(30, 40))

    def hits(fitted: FittedMethod) -> int:
        answers = [fitted.scores(unseen.features[m], None).argmin(axis=1) for m in range(6)]
        return int((np.array(answers) == np.arange(6)[:, None]).sum())

    learned, unweighted = hits(LearnedKernel.fit(seen)), hits(RKME("rkme-clip", seen))
    assert learned >= 40  # of 60; chance is 10
    assert learned > 1.5 * unweighted


@pytest.mark.parametrize("p", np.linspace(-0.47, -0.1, 8))
@pytest.mark.parametrize("attention", [0.3, 0.5])
def test_example_2_1_with_attention(p: float, attention: float) -> None:
    """Without attention the generators tie, with it the right one is found.

    Towards p = 0 the attention reaches over to p > 0, where the two agree.
    """
    stack, _ = circle_stack()
    query, prompt = circle(0, p)[None], circle(0, p)[None]
    plain = LearnedKernel.fit(stack, None, Params()).scores(query, prompt)[0]
    assert plain[0] == pytest.approx(plain[1], abs=1e-3)
    attentive = LearnedKernel.fit(stack, None, Params(1.0, attention))
    scores = attentive.scores(query, prompt)[0]
    assert scores[0] < scores[1] - 1e-3


def test_little_attention_is_close_to_none() -> None:
    """Both paths compute the same distance, one of them up to the novelty."""
    stack = random_stack(prompts=12)
    queries = np.random.default_rng(9).standard_normal((3, 40)).astype(np.float32)
    prompts = np.tile(stack.prompt_embeddings[0], (3, 1))
    none = LearnedKernel.fit(stack, None, Params(1.0, 0.0, pull=0.0)).scores(queries, None)
    little = LearnedKernel.fit(stack, None, Params(1.0, 1e-6)).scores(queries, prompts)
    none -= none.mean(axis=1, keepdims=True)
    little -= little.mean(axis=1, keepdims=True)
    assert little == pytest.approx(none, rel=0.02, abs=0.2)


def test_missing_samples_do_not_make_a_candidate_look_like_its_prompts() -> None:
    """Of prompts with strong content, each candidate has another half; shares stay fair."""
    stack = random_stack(candidates=8, prompts=24, style=1.0, content=4.0)
    mask = np.ones((8, 24), bool)
    mask[:4, 8:20] = False  # the first four have 8 of 20 samples
    partial = make_stack(
        np.where(mask[:, :, None], stack.features, 0), RANDOM, stack.prompt_embeddings, mask
    ).with_prompts(range(20))
    fitted = LearnedKernel.fit(partial)
    answers = np.concatenate(
        [fitted.scores(stack.features[:, i], None).argmin(axis=1) for i in range(20, 24)]
    )
    share_of_short_ones = (answers < 4).mean()
    assert 0.3 <= share_of_short_ones <= 0.7
    assert (answers == np.tile(np.arange(8), 4)).mean() > 0.6


@pytest.mark.parametrize(("candidates", "prompts"), [(1, 5), (1, 1), (2, 1), (2, 2), (3, 4)])
def test_tiny_libraries_give_finite_scores(candidates: int, prompts: int) -> None:
    stack = random_stack(candidates=candidates, prompts=prompts)
    fitted = LearnedKernel.fit(stack)
    query = np.random.default_rng(10).standard_normal((2, 40)).astype(np.float32)
    assert fitted.scores(query, None).shape == (2, candidates)
    assert np.isfinite(fitted.scores(query, None)).all()
    assert np.isfinite(fitted.novelty(query)).all()
    assert (fitted.novelty(query) >= 0).all()


@pytest.mark.parametrize("attention", [0.0, 0.5])
def test_identical_candidates_tie_and_nothing_breaks(attention: float) -> None:
    one = random_stack(candidates=1, prompts=6)
    features = np.repeat(one.features, 3, axis=0)
    stack = make_stack(features, RANDOM, one.prompt_embeddings)
    fitted = LearnedKernel.fit(stack, None, Params(1.0, attention, pull=0.0))
    scores = fitted.scores(features[0, :1], one.prompt_embeddings[:1])[0]
    assert np.isfinite(scores).all()
    assert scores == pytest.approx(np.full(3, scores[0]), abs=1e-2)


def test_samples_that_never_vary_fall_back_to_the_identity() -> None:
    features = np.repeat(np.random.default_rng(11).standard_normal((3, 1, 40)), 5, axis=1)
    stack = make_stack(features.astype(np.float32), RANDOM)
    scores = LearnedKernel.fit(stack).scores(stack.features[:, 0], None)
    assert np.isfinite(scores).all()
    assert scores.argmin(axis=1).tolist() == [0, 1, 2]


def test_dead_features_do_not_explode() -> None:
    """A channel that is constant in the library says nothing about a query that differs in it."""
    stack = random_stack()
    stack.features[:, :, 3] = 0.25
    fitted = LearnedKernel.fit(stack)
    query = stack.features[2, :1].copy()
    before = fitted.scores(query, None)
    query[0, 3] += 1e-4
    assert fitted.scores(query, None) == pytest.approx(before, rel=0.05, abs=0.5)


def test_saved_state_scores_the_same() -> None:
    stack = random_stack()
    fitted = LearnedKernel.fit(stack)
    query = stack.features[1, :3]
    blocks = registry.info(RANDOM).blocks
    assert scores_from_tensors(fitted.to_tensors(), blocks, query) == pytest.approx(
        fitted.scores(query, None), abs=1e-4
    )
    with pytest.raises(RankingError, match="attention 0"):
        LearnedKernel.fit(stack, None, Params(1.0, 0.5)).to_tensors()


def test_saved_state_keeps_how_much_each_of_joined_encoders_counts() -> None:
    blocks = (Block("a", 0, 12, 0), Block("b", 12, 40, 1))
    rng = np.random.default_rng(0)
    makers = 2 * rng.standard_normal((5, 1, 40))
    name = register("test/joined-balance", blocks)
    stack = make_stack(rng.standard_normal((5, 10, 40)) + makers, name)
    fitted = LearnedKernel.fit(stack, None, Params(balance=(4.0, 1.0)))
    query, tensors = stack.features[0, :3], fitted.to_tensors()
    expected = pytest.approx(fitted.scores(query, None), abs=1e-4)
    assert scores_from_tensors(tensors, blocks, query) == expected
    del tensors["balance"]
    assert scores_from_tensors(tensors, blocks, query) != expected, "it makes a difference"


def test_evidence_is_what_the_samples_add_to_the_score() -> None:
    """s_m = ‖φ(z)‖² − 2·mean(evidence) + const_m, so the more evidence, the lower the score."""
    stack = random_stack(candidates=4, prompts=8)
    fitted = LearnedKernel.fit(stack, None, Params(pull=0.0))
    queries = np.random.default_rng(13).standard_normal((5, 40)).astype(np.float32)
    rest = []
    for query in queries:
        scores = fitted.scores(query[None], None)[0]
        evidence = [fitted.evidence(query[None], None, m).mean() for m in range(4)]
        rest.append(scores + 2 * np.array(evidence))
    relative = np.array(rest) - np.array(rest)[:, :1]
    assert relative == pytest.approx(np.tile(relative[0], (5, 1)), abs=0.05, rel=1e-3)


def test_a_prior_matters_less_the_larger_the_library() -> None:
    rng = np.random.default_rng(12)
    scatter = rng.standard_normal((20, 40)).astype(np.float32)
    scatter /= np.sqrt((scatter**2).sum())
    prior = Prior(np.ones(40, np.float32), scatter, strength=20)

    def change(prompts: int) -> float:
        stack = random_stack(candidates=4, prompts=prompts)
        query = rng.standard_normal((5, 40)).astype(np.float32)
        without = LearnedKernel.fit(stack).scores(query, None)
        with_prior = LearnedKernel.fit(stack, prior).scores(query, None)
        without -= without.mean(axis=1, keepdims=True)
        with_prior -= with_prior.mean(axis=1, keepdims=True)
        return float(np.abs(with_prior - without).mean() / np.abs(without).mean())

    assert change(200) < change(6) / 2


def test_normalised_features_have_unit_length_and_equal_blocks() -> None:
    stack = random_stack()
    blocks = registry.info(RANDOM).blocks
    z = Normalizer.fit(stack.features[stack.mask], blocks).transform(stack.features)
    assert np.linalg.norm(z, axis=-1) == pytest.approx(np.ones(z.shape[:2]), abs=1e-5)
    for block in blocks:
        part = np.linalg.norm(z[..., block.start : block.stop], axis=-1)
        assert part == pytest.approx(np.full(z.shape[:2], 2**-0.5), abs=1e-5)


# -- candidates drawn to the mean; what people do to images ----------------------------------------


def noisy_stack(seed: int = 0, candidates: int = 8, prompts: int = 6) -> Stack:
    """Candidates that differ clearly in one direction, and in all others not at all."""
    stack = random_stack(candidates, prompts, seed=seed)
    rng = np.random.default_rng(seed)
    features = rng.standard_normal(stack.features.shape).astype(np.float32)
    features[:, :, 0] += 3 * np.arange(candidates)[:, None]
    return replace(stack, features=features)


def test_directions_in_which_candidates_do_not_differ_are_forgotten() -> None:
    stack = noisy_stack(prompts=30)
    plain = LearnedKernel.fit(stack, None, Params(pull=0.0))
    drawn = LearnedKernel.fit(stack, None, Params(pull=50.0))
    before, after = plain.candidates, drawn.candidates
    kept = np.linalg.norm(after, axis=0) / np.linalg.norm(before, axis=0)
    assert (kept <= 1 + 1e-6).all()
    assert kept[-1] > 0.7  # eigenvalues ascend: the last direction is the one that counts
    assert kept[:-1].max() < 0.3


def test_without_pull_candidates_stay_where_they_are() -> None:
    stack = noisy_stack()
    fitted = LearnedKernel.fit(stack, None, Params(pull=0.0))
    assert np.array_equal(fitted.candidates, fitted.space.candidates)


def test_choices_of_pull_share_what_is_costly_and_nothing_else() -> None:
    stack = noisy_stack()
    grid = [Params(), Params(pull=5.0), Params(3.0)]
    first, drawn, shrunk = LearnedKernel.fit_grid(stack, None, grid)
    assert first.space is drawn.space
    assert first.space is not shrunk.space
    query = stack.features[:, 0]
    for params, fitted in zip(grid, (first, drawn, shrunk), strict=True):
        alone = LearnedKernel.fit(stack, None, params)
        assert np.array_equal(fitted.scores(query, None), alone.scores(query, None))
        assert np.array_equal(fitted.novelty(query), alone.novelty(query))


def test_all_candidates_are_drawn_alike_however_few_samples_they_have() -> None:
    stack = noisy_stack(prompts=12)
    mask = stack.mask.copy()
    mask[0, 4:] = False
    fitted = LearnedKernel.fit(replace(stack, mask=mask), None, Params(pull=5.0))
    share = fitted.candidates / fitted.space.candidates
    assert 0 < share[0].max() < 1
    assert share == pytest.approx(np.tile(share[0], (8, 1)), abs=1e-4)


def test_what_people_do_to_images_moves_scores_less_when_it_is_known() -> None:
    rng = np.random.default_rng(3)
    stack = random_stack(6, 10, seed=3)
    change = rng.standard_normal(stack.features.shape[-1]).astype(np.float32)
    rows = (change / np.linalg.norm(change))[None]
    plain = LearnedKernel.fit(stack)
    steady = LearnedKernel.fit(stack, Prior(changes=rows))
    query = stack.features[:, 0]
    moved = query + 5 * stack.features.std() * change * plain.normalizer.deviation

    def shift(kernel: LearnedKernel) -> float:
        before, after = kernel.scores(query, None), kernel.scores(moved, None)
        spread = before.std(axis=1, keepdims=True)
        centred = [(s - s.mean(axis=1, keepdims=True)) / spread for s in (before, after)]
        return float(np.abs(centred[1] - centred[0]).mean())

    assert shift(steady) < 0.7 * shift(plain)
