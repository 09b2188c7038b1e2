"""Probabilities, conformal sets, near-duplicates and foreign images."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from support import RANDOM, make_stack, random_stack

from lib_gmi.ranking import findings as findings_module
from lib_gmi.ranking.calibration import (
    MAX_IMAGES,
    Calibration,
    calibrate,
    calibration_error,
    fit_temperature,
    for_images,
    foreign_threshold,
    held_out_queries,
    near_duplicates,
    rank_of_truth,
    softmax,
)
from lib_gmi.ranking.findings import findings, leave_one_prompt_out
from lib_gmi.ranking.kernels import LearnedKernel


def drawn_scores(temperature: float, queries: int = 20_000, candidates: int = 6) -> tuple:
    """Scores and truths for which p = softmax(−s/T) holds exactly."""
    rng = np.random.default_rng(0)
    scores = rng.gamma(2.0, 3.0, (queries, candidates)).astype(np.float32)
    p = softmax(scores, temperature)
    draws = rng.random(queries)[:, None]
    return scores, (p.cumsum(axis=1) < draws).sum(axis=1).clip(0, candidates - 1)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 30.0])
def test_the_temperature_is_recovered(temperature: float) -> None:
    scores, truth = drawn_scores(temperature)
    assert fit_temperature(scores, truth) == pytest.approx(temperature, rel=0.15)
    p = softmax(scores, temperature)
    assert calibration_error(p, rank_of_truth(scores, truth) <= 1) < 0.02


def test_a_perfect_record_is_no_certainty() -> None:
    scores = np.tile(np.array([0.0, 5.0, 6.0], np.float32), (50, 1))
    truth = np.zeros(50, np.int64)
    p = softmax(scores[:1], fit_temperature(scores, truth))[0]
    assert 0.95 < p[0] < 0.995


def test_an_overconfident_answer_has_a_large_calibration_error() -> None:
    scores, truth = drawn_scores(5.0)
    hits = rank_of_truth(scores, truth) <= 1
    assert calibration_error(softmax(scores, 0.2), hits) > 0.3


def test_ties_count_against_the_method() -> None:
    scores = np.array([[1.0, 1.0, 2.0], [0.0, 0.0, 0.0]], np.float32)
    assert rank_of_truth(scores, np.array([0, 2])).tolist() == [2, 3]


def test_infinite_scores_get_no_probability() -> None:
    p = softmax(np.array([[1.0, np.inf, 1.0]], np.float32), 1.0)
    assert p.tolist() == [[0.5, 0.0, 0.5]]


def test_conformal_sets_cover_as_often_as_promised() -> None:
    """Fitted on one half of the prompts, nine of ten queries of the other half are covered."""
    stack = random_stack(candidates=8, prompts=40, style=0.6)
    held_out, _ = leave_one_prompt_out(stack, lambda part: [LearnedKernel.fit(part)])
    scores = held_out[0]
    calibration = calibrate(scores[:, ::2])
    assert calibration is not None
    queries, truth = held_out_queries(scores[:, 1::2], 1)
    p = softmax(queries, calibration.temperature)
    covered = p[np.arange(len(truth)), truth] >= calibration.conformal_floor
    assert 0.8 <= covered.mean() <= 0.98


def test_more_images_are_surer() -> None:
    found = findings(random_stack(candidates=8, prompts=20, style=0.4))
    calibrations = found.reports["learned"].calibrations
    assert calibrations[0] is not None
    assert calibrations[4] is not None
    assert calibrations[4].top1 > calibrations[0].top1
    assert for_images(calibrations, 9) is calibrations[4]


def test_nothing_is_claimed_of_one_candidate_or_one_prompt() -> None:
    assert findings(random_stack(candidates=1)).reports == {}
    assert findings(random_stack(prompts=1)).reports == {}
    assert calibrate(np.zeros((1, 5, 1), np.float32)) is None


def test_the_same_candidate_twice_is_a_group_and_others_are_not() -> None:
    """The second has other samples of the same candidate: its own noise, not copies."""
    stack = random_stack(candidates=5, prompts=24, style=1.5)
    rng = np.random.default_rng(1)
    noise = 0.4 * rng.standard_normal((2, 24, 40))
    twins = stack.features[:1] + noise
    joined = make_stack(np.concatenate([stack.features, twins]).astype(np.float32), RANDOM)
    groups = findings(joined, contestants=()).groups
    assert (5, 6) in groups or (0, 5, 6) in groups
    assert all(set(group) <= {0, 5, 6} for group in groups)


def test_copies_are_a_group_although_their_scores_tie() -> None:
    stack = random_stack(candidates=4, prompts=10)
    joined = make_stack(np.concatenate([stack.features, stack.features[1:2]]), RANDOM)
    assert findings(joined, contestants=()).groups == ((1, 4),)


def test_few_prompts_are_no_reason_to_call_candidates_the_same() -> None:
    assert near_duplicates(np.zeros((3, 4, 3), np.float32)) == []


def test_foreign_images_are_recognised_and_own_ones_are_not() -> None:
    stack = random_stack(candidates=6, prompts=24)
    held_out, novelty = leave_one_prompt_out(stack, lambda part: [LearnedKernel.fit(part)])
    assert np.isfinite(held_out).all()
    threshold = foreign_threshold(novelty[0])
    assert threshold is not None
    kernel = LearnedKernel.fit(stack)
    # as large as real samples, but not in the directions in which their content varies
    foreign = 8 * np.random.default_rng(2).standard_normal((20, 40)).astype(np.float32)
    assert (kernel.novelty(foreign) > threshold).mean() > 0.8
    assert (novelty[0] > threshold).mean() < 0.03


def test_missing_samples_are_no_queries() -> None:
    stack = random_stack(candidates=4, prompts=8)
    mask = np.ones((4, 8), bool)
    mask[1, 5:] = False
    features = np.where(mask[:, :, None], stack.features, 0)
    partial = make_stack(features, RANDOM, stack.prompt_embeddings, mask)
    scores, _ = leave_one_prompt_out(partial, lambda part: [LearnedKernel.fit(part)])
    _, truth = held_out_queries(scores[0], 1)
    assert np.bincount(truth).tolist() == [8, 5, 8, 8]


def test_a_report_is_made_while_somebody_holds_every_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As reForge does when it takes a model out, from a thread of its own."""
    held = []
    real = findings_module.calibrate

    def holding(*arguments: Any) -> Calibration | None:
        held.append(gc.get_objects())
        return real(*arguments)

    monkeypatch.setattr(findings_module, "calibrate", holding)

    report = findings_module.report(np.zeros((3, 4, 3), dtype=np.float32))

    assert len(report.calibrations) == len(held) == MAX_IMAGES
