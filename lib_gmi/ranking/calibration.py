"""From scores to probabilities, and how far to trust them.

Everything here is fitted on held-out prompts of the library itself (leave-one-prompt-out), never on
query images. It therefore holds for images like the library's; for foreign images it is a guide.

Held-out scores are an array ``[M, N, M]``: entry (m, i, c) is the score of candidate c for the
sample that candidate m made of prompt i, when prompt i was left out of the fit. Rows of samples
that do not exist are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..records.protocols import FloatArray
    from .rkme import BoolArray, IntArray

T = TypeVar("T")

#: Temperatures are fitted for 1 to 5 query images; more are treated like 5.
MAX_IMAGES = 5
#: Share of the library's own held-out samples that may be called foreign.
FOREIGN_RATE = 0.01
#: The conformal sets hold the true candidate at least this often.
COVERAGE = 0.9

#: Below this rate of telling two candidates apart (see :func:`near_duplicates`) they are a group.
NEAR_RATE = 0.7
#: With fewer held-out prompts nothing is called a near-duplicate.
NEAR_MIN_PROMPTS = 8

_SUBSETS = 20
_BINS = 10


@dataclass(frozen=True)
class Calibration:
    """What held-out samples of a library say about its scores, for one number of images.

    Attributes:
        temperature: T in p = softmax(−s/T).
        top1: share of held-out queries whose own candidate came first; ties count against.
        top4: … came among the first four.
        mean_rank: its mean rank, 1 is best.
        calibration_error: expected calibration error of the top-1 probability, in [0, 1].
        conformal_floor: candidates with at least this probability form the conformal set.
        queries: held-out queries this was fitted on.
    """

    temperature: float
    top1: float
    top4: float
    mean_rank: float
    calibration_error: float
    conformal_floor: float
    queries: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        queries = int(data["queries"])
        numbers = {k: float(v) for k, v in data.items() if k != "queries"}
        return cls(**numbers, queries=queries)


def calibrate(held_out: FloatArray, images: int = 1) -> Calibration | None:
    """Fit a calibration to held-out scores ``[M, N, M]`` for queries of so many images.

    Returns ``None`` where no probability can be claimed: fewer than two candidates, or no
    candidate with ``images`` held-out samples.
    """
    scores, truth = held_out_queries(held_out, images)
    if held_out.shape[-1] < 2 or len(scores) == 0:
        return None
    temperature = fit_temperature(scores, truth)
    probabilities = softmax(scores, temperature)
    ranks = rank_of_truth(scores, truth)
    own = probabilities[np.arange(len(truth)), truth]
    # Split conformal prediction with 1 − p as the nonconformity (Sadinle et al. 2019).
    level = min(1.0, np.ceil((len(own) + 1) * COVERAGE) / len(own))
    return Calibration(
        temperature=temperature,
        top1=float((ranks <= 1).mean()),
        top4=float((ranks <= 4).mean()),
        mean_rank=float(ranks.mean()),
        calibration_error=calibration_error(probabilities, ranks <= 1),
        conformal_floor=float(1 - np.quantile(1 - own, level, method="higher")),
        queries=len(truth),
    )


def foreign_threshold(novelty: FloatArray, images: int = 1) -> float | None:
    """The novelty (its mean over so many images) that 99 % of held-out queries stay below.

    Args:
        novelty: of held-out samples, ``[M, H]``; NaN where there is none.
        images: per query.
    """
    queries, _ = held_out_queries(novelty[:, :, None], images)
    return float(np.quantile(queries, 1 - FOREIGN_RATE)) if len(queries) else None


def log_loss(held_out: FloatArray) -> FloatArray:
    """−log p of the true candidate for each held-out sample, at the best temperature, ``[M, H]``.

    NaN where there is no sample.
    """
    scores, truth = held_out_queries(held_out, 1)
    loss = np.full(held_out.shape[:2], np.nan, dtype=np.float32)
    if len(scores) == 0:
        return loss
    probabilities = softmax(scores, fit_temperature(scores, truth))
    own = probabilities[np.arange(len(truth)), truth]
    loss[np.isfinite(held_out).all(axis=2)] = -np.log(np.maximum(own, 1e-12))
    return loss


def near_duplicates(held_out: FloatArray) -> list[tuple[int, ...]]:
    """Groups of candidates that the library cannot tell apart.

    Two candidates are near-duplicates if held-out samples of both find the right one of the two so
    rarely that the true rate is below 70 % with 95 % confidence (one-sided Wilson bound; guessing
    finds 50 %, and a tie finds nothing). A distance between fitted candidates would not do: the
    kernel has learned to pull exactly these samples apart.

    Args:
        held_out: scores ``[M, H, M]``.

    Returns:
        Groups of at least two candidates, by index; every member is near to every other.
    """
    if held_out.shape[1] < NEAR_MIN_PROMPTS:
        return []
    candidates = np.arange(len(held_out))
    own = held_out[candidates, :, candidates]
    present = np.isfinite(own)
    wins = ((own[:, :, None] < held_out) & present[:, :, None]).sum(axis=1)
    counts = present.sum(axis=1)
    trials = np.maximum(counts[:, None] + counts[None, :], 1)
    near = _wilson_upper((wins + wins.T) / trials, trials) < NEAR_RATE
    groups: list[tuple[int, ...]] = []
    grouped: set[int] = set()
    for first in candidates.tolist():
        if first in grouped:
            continue
        members = [first]
        for other in range(first + 1, len(near)):
            # complete linkage: chains of pairs do not make a group
            if other not in grouped and near[other, members].all():
                members.append(other)
        if len(members) > 1:
            groups.append(tuple(members))
            grouped.update(members)
    return groups


def _wilson_upper(rate: NDArray[Any], trials: NDArray[Any]) -> NDArray[Any]:
    """Upper end of the one-sided 95 % Wilson interval of a rate."""
    z = 1.645
    spread = z * np.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    return np.asarray((rate + z**2 / (2 * trials) + spread) / (1 + z**2 / trials))


def held_out_queries(held_out: FloatArray, images: int) -> tuple[FloatArray, IntArray]:
    """Held-out queries of ``images`` samples of one candidate each.

    The score of several images is the mean of their scores (see :mod:`.methods`). Of each
    candidate all subsets are taken where there are at most 20, otherwise 20 drawn with a fixed
    seed; with one image, all samples.

    Returns:
        Scores ``[q, M]`` and the true candidates ``[q]``.
    """
    rng = np.random.default_rng(0)
    rows: list[FloatArray] = []
    truth: list[int] = []
    for candidate, own in enumerate(held_out):
        present = np.flatnonzero(np.isfinite(own).all(axis=1))
        if len(present) < images:
            continue
        for chosen in _subsets(present, images, rng):
            rows.append(own[chosen].mean(axis=0))
            truth.append(candidate)
    width = held_out.shape[-1]
    return np.reshape(rows, (len(rows), width)).astype(np.float32), np.asarray(truth, np.int64)


def _subsets(items: IntArray, size: int, rng: np.random.Generator) -> list[IntArray]:
    if size == 1:
        return [items[i : i + 1] for i in range(len(items))]
    if len(items) <= 7 and len(everything := list(combinations(items, size))) <= _SUBSETS:
        return [np.asarray(subset) for subset in everything]
    return [rng.choice(items, size, replace=False) for _ in range(_SUBSETS)]


def softmax(scores: FloatArray, temperature: float) -> FloatArray:
    """p = softmax(−s/T) over the last axis; candidates with infinite scores get 0."""
    with np.errstate(invalid="ignore"):
        logits = -(scores - scores.min(axis=-1, keepdims=True)) / temperature
    logits = np.where(np.isfinite(scores), logits, -np.inf)
    weights = np.exp(logits)
    total = weights.sum(axis=-1, keepdims=True)
    return np.asarray(weights / np.where(total > 0, total, 1), dtype=np.float32)


def fit_temperature(scores: FloatArray, truth: IntArray) -> float:
    """The T that maximises the likelihood of the true candidates, by a search over log T.

    One failure that did not happen is counted in (the typical query, answered by its runner-up), as
    in Laplace's rule of succession: a library whose held-out samples are all found is no reason to
    be certain for ever.

    Args:
        scores: ``[q, M]``, lower is better.
        truth: ``[q]``.
    """
    shifted = (scores - scores.min(axis=1, keepdims=True)).astype(np.float64)
    typical = np.sort(shifted, axis=1).mean(axis=0)
    shifted = np.concatenate([shifted, typical[None]])
    spread = float(shifted.std()) or 1.0
    own = np.append(shifted[np.arange(len(truth)), truth], typical[min(1, len(typical) - 1)])

    def loss(log_temperature: float) -> float:
        t = np.exp(log_temperature)
        return float(np.mean(own / t + np.log(np.exp(-shifted / t).sum(axis=1))))

    low, high = np.log(spread) - 9.0, np.log(spread) + 9.0
    for _ in range(4):  # the loss is convex in 1/T, so a shrinking grid cannot miss the minimum
        grid = np.linspace(low, high, 25)
        best = int(np.argmin([loss(x) for x in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 24)]
    return float(np.exp((low + high) / 2))


def rank_of_truth(scores: FloatArray, truth: IntArray) -> IntArray:
    """The rank of the true candidate, 1 is best; ties count against it. ``[q, M], [q] → [q]``."""
    own = scores[np.arange(len(truth)), truth][:, None]
    return np.asarray((scores <= own).sum(axis=1), dtype=np.int64)


def calibration_error(probabilities: FloatArray, hits: BoolArray | NDArray[Any]) -> float:
    """Expected calibration error of the top-1 probability over ten equal-width bins.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), Eq. 3.
    """
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    error = 0.0
    for index in range(_BINS):
        inside = bins == index
        if inside.any():
            gap = abs(float(confidence[inside].mean()) - float(np.mean(hits[inside])))
            error += gap * float(inside.mean())
    return error


def for_images(known: Sequence[T | None], images: int) -> T | None:
    """What is known for a number of query images, or for the next smaller one that exists.

    Args:
        known: for 1, 2, … images.
        images: how many there are.
    """
    return next((one for one in reversed(known[:images]) if one is not None), None)
