"""What the methods are held against: bounds that reviewers ask for.

Upper bounds know what no real query can know, and are named so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lib_gmi.encoders import registry
from lib_gmi.ranking import rkme
from lib_gmi.ranking.kernels import LearnedKernel, Params
from lib_gmi.ranking.normalised import Normalizer

from .herding import rbf

if TYPE_CHECKING:
    from lib_gmi.ranking.rkme import IntArray
    from lib_gmi.ranking.stack import Stack
    from lib_gmi.records.protocols import FloatArray

    from ..dataset import Split

ONE_HOT = "one-hot weights at the nearest prompt"
CENTROID = "same-prompt nearest centroid (upper bound)"
OWN_MEANS = "learned, centred on the query prompt's own means (upper bound)"
RANDOM = "random"


class OneHot:
    """Eq. 3 with all the weight on the prompt that is nearest to the query's by its text.

    w_i = N at that prompt and 0 elsewhere: the distance to one sample of each candidate.
    """

    name = ONE_HOT

    def __init__(self, stack: Stack) -> None:
        info = registry.info(stack.encoder_id)
        assert stack.prompt_embeddings is not None
        self._embeddings = stack.prompt_embeddings
        self._mask = stack.mask
        self._gamma = info.gamma
        self._normalizer = Normalizer.fit(stack.features[stack.mask], info.blocks)
        self._samples = self._normalizer.transform(stack.features)

    def scores(self, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
        """See :class:`lib_gmi.ranking.methods.FittedMethod`."""
        assert prompts is not None
        queries = self._normalizer.transform(features)
        rows = []
        for query, prompt in zip(queries, prompts, strict=True):
            nearest = int(np.argmax(rkme.prompt_weights(self._embeddings, prompt)))
            kernel = rbf(query[None], self._samples[:, nearest], self._gamma)[0]
            # k(a, a) = 1; a candidate without a sample of that prompt comes last
            rows.append(np.where(self._mask[:, nearest], 2 - 2 * kernel, np.inf))
        return np.asarray(rows, dtype=np.float32)

    def evidence(
        self, features: FloatArray, prompts: FloatArray | None, candidate: int
    ) -> FloatArray:
        """None is given: this is a bound, not a method to be used."""
        return np.full(self._mask.shape[1], -np.inf, dtype=np.float32)


def same_prompt_centroid(stack: Stack, splits: Sequence[Split]) -> FloatArray:
    """Score table of the nearest centroid, each candidate's being that of the query's prompt.

    The centroid of candidate c is z̄_p + e_c: the mean of all candidates' images of the query's own
    prompt (which no real query comes with), plus what the candidate adds to any prompt, from its
    specification. With one image for each model and prompt there is no other way to know it: the
    candidate's own image of that prompt is the query. ``[M, N, M]``
    """
    blocks = registry.info(stack.encoder_id).blocks
    table = np.full((*stack.mask.shape, len(stack.mask)), np.nan, dtype=np.float32)
    for split in splits:
        specifications = stack.with_prompts(split.specs)
        normalizer = Normalizer.fit(specifications.features[specifications.mask], blocks)
        samples = normalizer.transform(specifications.features)
        means = _means(samples, specifications)
        weights = specifications.mask[:, :, None]
        effects = ((samples - means) * weights).sum(axis=1) / weights.sum(axis=1)
        for column in split.queries:
            rows, queries, centre = _column(stack, normalizer, column)
            table[rows, column] = _squared_distances(queries - centre, effects)
    return table


def centred_on_own_means(stack: Stack, splits: Sequence[Split]) -> FloatArray:
    """Score table of the learned kernel where the query is centred on its own prompt's means."""
    table = np.full((*stack.mask.shape, len(stack.mask)), np.nan, dtype=np.float32)
    for split in splits:
        fitted = LearnedKernel.fit(stack.with_prompts(split.specs), None, Params())
        additive = fitted.space.additive
        for column in split.queries:
            rows, _, centre = _column(stack, fitted.normalizer, column)
            fitted.space.additive = replace(additive, centre=centre)
            table[rows, column] = fitted.scores(stack.features[rows, column], None)
    return table


def _column(
    stack: Stack, normalizer: Normalizer, column: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Who has an image of a prompt, those images normalised, and their mean."""
    rows = np.flatnonzero(stack.mask[:, column])
    queries = normalizer.transform(stack.features[rows, column])
    return rows, queries, np.asarray(queries.mean(axis=0), dtype=np.float32)


def _means(samples: FloatArray, stack: Stack) -> FloatArray:
    present = stack.mask[:, :, None]
    return np.asarray((samples * present).sum(axis=0) / np.maximum(present.sum(axis=0), 1))


def _squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.asarray(squares - 2 * a @ b.T, dtype=np.float32)
