"""Is what a pack says of a checkpoint true of the file that is installed?

A few of the pack's prompts are generated anew with the installed checkpoint. If the pack is right,
these images are no further from its specification than held-out samples of any candidate are from
theirs, under the learned kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import RankingError
from .comparable import MIN_PROMPTS
from .findings import leave_one_prompt_out
from .kernels import LearnedKernel, Prior

if TYPE_CHECKING:
    from ..records.protocols import FloatArray
    from .stack import Stack

#: Images that a spot check generates.
IMAGES = 3
#: Below this p-value a pack's entry is not believed.
DOUBTFUL = 0.01
_DRAWS = 4999
_MIN_CANDIDATES = 3


@dataclass(frozen=True)
class SpotCheck:
    """The outcome of a spot check.

    Attributes:
        title: of the checkpoint.
        p_value: how often images of the right checkpoint would lie at least so far from it.
        nearest: title of the candidate that the images are nearest to.
        images: how many there were.
    """

    title: str
    p_value: float
    nearest: str
    images: int

    @property
    def doubtful(self) -> bool:
        return self.p_value < DOUBTFUL

    @property
    def sentence(self) -> str:
        """For people."""
        p = f"p = {self.p_value:.3f}"
        if self.doubtful:
            other = "" if self.nearest == self.title else f"; they look like {self.nearest}"
            return (
                f"{self.title}: the pack does not fit the installed file ({p}){other}. Remove the "
                "pack, or build this checkpoint yourself."
            )
        return f"{self.title}: nothing speaks against the pack ({p}, {self.images} images)."


def columns_to_check(stack: Stack, row: int, images: int = IMAGES) -> list[int]:
    """Prompts of a candidate to generate again: spread over those that it has.

    Raises:
        RankingError: it has too few, or there are too few candidates to compare with.
    """
    columns = np.flatnonzero(stack.mask[row] & stack.shared)
    if len(columns) < MIN_PROMPTS + images or len(stack.candidates) < _MIN_CANDIDATES:
        raise RankingError(
            f"{stack.candidates[row].title}: there is too little to compare with. A spot check "
            f"needs {_MIN_CANDIDATES} candidates with specifications, and {MIN_PROMPTS + images} "
            "shared prompts of this one."
        )
    places = np.linspace(0, len(columns) - 1, images).round().astype(int)
    return [int(column) for column in columns[places]]


def spot_check(
    stack: Stack,
    row: int,
    columns: Sequence[int],
    features: FloatArray,
    prior: Prior | None = None,
    null: FloatArray | None = None,
) -> SpotCheck:
    """Compare new images of some prompts with what is stored.

    The statistic is the mean over the images of s_m minus the mean score of all candidates, with a
    kernel that has not seen these prompts. Its null distribution comes from leave-one-prompt-out:
    the same of every candidate's own held-out samples, as many at a time, drawn at random
    (a Monte Carlo test: p = (1 + #{null ≥ observed}) / (1 + draws); Davison & Hinkley 1997, §4.2).

    Args:
        stack: everything comparable, the pack's entry included.
        row: of the candidate in question.
        columns: the prompts that were generated anew.
        features: raw features of the new images, ``[n, d]``, in the order of ``columns``.
        prior: of the encoder.
        null: :func:`null_distribution` of the stack, if it is known already.
    """
    kernel = LearnedKernel.fit(stack.without_prompts(columns), prior)
    scores = kernel.scores(features, None)
    observed = float(_excess(scores)[:, row].mean())
    if null is None:
        null = null_distribution(stack, len(features), prior)
    p_value = (1 + int((null >= observed).sum())) / (1 + len(null))
    nearest = stack.candidates[int(scores.mean(axis=0).argmin())].title
    return SpotCheck(stack.candidates[row].title, p_value, nearest, len(features))


def null_distribution(stack: Stack, images: int, prior: Prior | None = None) -> FloatArray:
    """The statistic of :func:`spot_check` where the pack is right, ``[draws]``."""
    held_out, _ = leave_one_prompt_out(stack, lambda part: [LearnedKernel.fit(part, prior)])
    rng = np.random.default_rng(0)
    own = [_excess(rows)[:, m] for m, rows in enumerate(held_out[0])]
    own = [values[np.isfinite(values)] for values in own]
    own = [values for values in own if len(values)]
    drawn = [rng.choice(own[rng.integers(len(own))], images).mean() for _ in range(_DRAWS)]
    return np.asarray(drawn, dtype=np.float32)


def _excess(scores: FloatArray) -> FloatArray:
    """What does not depend on the image: scores ``[..., M]`` less their mean."""
    return np.asarray(scores - scores.mean(axis=-1, keepdims=True), dtype=np.float32)
