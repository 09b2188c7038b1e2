"""How sure a figure is, and whether a difference is one.

Intervals hold 95 %. Over *tasks*: percentile bootstrap (Efron 1979), tasks drawn with replacement
as if they were independent. Over *prompts*, which is wider and more honest, because images of one
prompt are alike: with one image the percentile bootstrap with whole prompts drawn. With several
images a task has several prompts, and subsets of a fold's few prompts overlap so much that drawing
prompts says little; there the prompts are left out one after the other (the jackknife, Quenouille
1956; Tukey 1958), with normal quantiles. Where a fold would be left without tasks, folds take the
place of prompts.

Differences are paired: two methods answer the same tasks. Their interval and p-value are those over
prompts; for one image McNemar's exact test (1947) is given beside it, which takes tasks for
independent. Holm's procedure (1979) corrects for the number of comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, erfc, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .scores import Tasks

    FloatMatrix = NDArray[np.float64]

DRAWS = 2000
LEVEL = 0.95
_NORMAL = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95 % interval, and the two-sided p-value of its being zero."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high


class Resampling:
    """Draws of tasks and of prompts, the same for everything that is compared.

    Args:
        tasks: T of them.
        prompts: N.
        draws: B.
        seed: of the draws.
    """

    def __init__(self, tasks: Tasks, prompts: int, draws: int = DRAWS, seed: int = 0) -> None:
        self._tasks = tasks
        rng = np.random.default_rng(seed)
        count = len(tasks)
        self._by_task = rng.multinomial(count, np.full(count, 1 / count), draws).astype(np.float32)
        self._by_prompt: NDArray[np.float32] | None = None
        if tasks.members.shape[1] == 1:
            drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts), draws)
            self._by_prompt = drawn[:, tasks.members[:, 0]].astype(np.float32)

    def over_tasks(self, values: NDArray[Any]) -> Estimate:
        """Of the mean of values ``[T]``, as if tasks were independent."""
        return _of_draws(values, _means(self._by_task, values))

    def over_prompts(self, values: NDArray[Any]) -> Estimate:
        """Of the mean of values ``[T]``, with prompts as what is drawn."""
        if self._by_prompt is not None:
            return _of_draws(values, _means(self._by_prompt, values))
        return jackknife(self._tasks, values)


def _means(weights: NDArray[np.float32], values: NDArray[Any]) -> FloatMatrix:
    total = weights.sum(axis=1, dtype=np.float64)
    kept = total > 0  # a draw can miss every prompt that anybody has an image of
    sums = weights[kept] @ np.asarray(values, dtype=np.float32)
    return np.asarray(sums / total[kept], dtype=np.float64)


def _of_draws(values: NDArray[Any], draws: FloatMatrix) -> Estimate:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    below, above = float((draws <= 0).mean()), float((draws >= 0).mean())
    # more than 1/B cannot be told from B draws
    p = min(1.0, max(2 * min(below, above), 1 / len(draws)))
    return Estimate(float(np.mean(values)), float(low), float(high), p)


def jackknife(tasks: Tasks, values: NDArray[Any]) -> Estimate:
    """Of the mean of values ``[T]``, from leaving out one prompt (or fold) after the other.

    A fold keeps its weight when one of its prompts is left out.
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    shifts = []
    for fold in np.unique(tasks.folds):
        inside = tasks.folds == fold
        for prompt in np.unique(tasks.members[inside]):
            left = inside & ~(tasks.members == prompt).any(axis=1)
            if not left.any():
                return _normal(mean, _without_folds(tasks, values))
            shifts.append(inside.mean() * (values[left].mean() - values[inside].mean()))
    return _normal(mean, np.asarray(shifts))


def _without_folds(tasks: Tasks, values: FloatMatrix) -> FloatMatrix:
    folds = np.unique(tasks.folds)
    if len(folds) < 2:
        return np.asarray([np.nan, np.nan])
    return np.asarray([values[tasks.folds != fold].mean() for fold in folds])


def _normal(mean: float, left_out: FloatMatrix) -> Estimate:
    count = len(left_out)
    variance = (count - 1) / count * float(np.square(left_out - left_out.mean()).sum())
    error = sqrt(variance) if np.isfinite(variance) else float("nan")
    if error == 0:
        return Estimate(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    p = erfc(abs(mean) / error / sqrt(2))
    return Estimate(mean, mean - _NORMAL * error, mean + _NORMAL * error, p)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """McNemar's exact two-sided p-value for paired hits ``[T]``."""
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    total = only_first + only_second
    if total == 0:
        return 1.0
    # whole numbers: 0.5**total would vanish beyond a thousand
    tail = sum(comb(total, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**total))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the given order."""
    order = np.argsort(p_values)
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for position, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - position) * p_values[int(index)]))
        corrected[int(index)] = highest
    return corrected
