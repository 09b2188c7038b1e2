"""How sure a figure is, and whether a difference is one.

Confidence intervals are percentile bootstraps (Efron 1979), 95 %. Over *tasks*: tasks are drawn
with replacement, as if they were independent. Over *prompts*: prompts are drawn, and a task counts as
often as the product of its prompts' draws (the pigeonhole bootstrap, Owen 2007). Images of one
prompt are alike, so the second is the wider and more honest one.

Differences are paired: two methods answer the same tasks. Their interval and p-value come from the
bootstrap over prompts; for one image McNemar's exact test (1947) is given beside it, which takes
tasks for independent. Holm's procedure (1979) corrects for the number of comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .scores import Tasks

    FloatMatrix = NDArray[np.float64]

DRAWS = 2000
LEVEL = 0.95


class Bootstrap:
    """Draws of tasks and of prompts, the same for everything that is compared.

    Args:
        tasks: T of them.
        prompts: N.
        draws: B.
        seed: of the draws.
    """

    def __init__(self, tasks: Tasks, prompts: int, draws: int = DRAWS, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        count = len(tasks)
        self._by_task = rng.multinomial(count, np.full(count, 1 / count), draws).astype(np.float32)
        drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts), draws).astype(np.float32)
        weights = np.ones((draws, count), dtype=np.float32)
        for column in tasks.members.T:
            weights *= drawn[:, column]
        self._by_prompt = weights

    def over_tasks(self, values: NDArray[Any]) -> FloatMatrix:
        """The mean of values ``[T]`` or ``[T, K]`` in each draw, ``[B]`` or ``[B, K]``."""
        return _means(self._by_task, values)

    def over_prompts(self, values: NDArray[Any]) -> FloatMatrix:
        """The same with prompts drawn."""
        return _means(self._by_prompt, values)


def _means(weights: NDArray[np.float32], values: NDArray[Any]) -> FloatMatrix:
    total = weights.sum(axis=1, dtype=np.float64)
    kept = total > 0  # a draw can miss every pair of prompts that makes a task
    sums = weights[kept].astype(np.float64) @ np.asarray(values, dtype=np.float64)
    return np.asarray((sums.T / total[kept]).T)


def interval(draws: FloatMatrix, level: float = LEVEL) -> tuple[float, float]:
    """The middle of the draws ``[B]`` that holds a share ``level`` of them."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_p(draws: FloatMatrix) -> float:
    """Two-sided p-value of a difference of zero, from draws of the difference ``[B]``.

    Never below 1/B: more cannot be told from so many draws.
    """
    below, above = float((draws <= 0).mean()), float((draws >= 0).mean())
    return min(1.0, max(2 * min(below, above), 1 / len(draws)))


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
