"""Defences against what people do to images: how specifications and queries are treated.

A *defence* says two things: whether queries lose plain borders first, and how the method is fitted
to a fold's specifications, given changed copies of specification samples. The program itself trims
borders and ships *known changes*, learned from other models' images; the others are here to be
measured beside it.

Copies are changed by :data:`.changes.COPIES`, never by what queries are put through; the images of
other models by :data:`.changes.USUAL`, as for the file that ships (:mod:`benchmarks.prior`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lib_gmi.encoders import registry
from lib_gmi.ranking.calibration import log_loss
from lib_gmi.ranking.kernels import LearnedKernel, Prior
from lib_gmi.ranking.normalised import Normalizer

if TYPE_CHECKING:
    from lib_gmi.ranking.methods import FittedMethod
    from lib_gmi.ranking.stack import Stack
    from lib_gmi.records.protocols import FloatArray

#: What share of S the differences get; leave-prompts-out chooses. The first is none.
SHARES = (0.0, 0.1, 0.3, 0.6)
#: Directions kept of differences; the prior that ships keeps as many.
_STRONGEST = 128
#: More directions than are wanted make the randomised method exact enough.
_OVERSAMPLED = 32
#: Prompts are left out in so many groups when a share is chosen.
INNER_FOLDS = 4


@dataclass(frozen=True, eq=False)
class Copies:
    """What a defence may know of a fold: nothing of its query prompts.

    Attributes:
        specifications: the samples as they are.
        changed: changed copies of some of the same, one stack for each change.
        others: pairs (as it is, changed) of samples of *other* models, raw ``[n, d]`` each.
    """

    specifications: Stack
    changed: tuple[Stack, ...]
    others: tuple[FloatArray, FloatArray]

    def without(self, columns: Sequence[int]) -> Copies:
        """The same with some prompts left out."""
        return replace(
            self,
            specifications=self.specifications.without_prompts(columns),
            changed=tuple(stack.without_prompts(columns) for stack in self.changed),
        )


@dataclass(frozen=True)
class Defence:
    """See the module's docstring.

    Attributes:
        name: for the table.
        trims: plain borders are cut off the queries.
        fit: copies → fitted method, and the share that it chose (NaN where there is none).
    """

    name: str
    trims: bool
    fit: Callable[[Copies], tuple[FittedMethod, float]]


def undefended(copies: Copies) -> tuple[FittedMethod, float]:
    """The learned kernel as it is."""
    return LearnedKernel.fit(copies.specifications), float("nan")


def copies_as_samples(copies: Copies) -> tuple[FittedMethod, float]:
    """Changed copies are samples like any other: in the means as well as in S."""
    stacks = (copies.specifications, *copies.changed)
    embeddings = copies.specifications.prompt_embeddings
    joined = replace(
        copies.specifications,
        prompt_ids=tuple(f"{p} {k}" for k, s in enumerate(stacks) for p in s.prompt_ids),
        features=np.concatenate([stack.features for stack in stacks], axis=1),
        mask=np.concatenate([stack.mask for stack in stacks], axis=1),
        prompt_embeddings=None
        if embeddings is None
        else np.concatenate([embeddings] * len(stacks)),
    )
    return LearnedKernel.fit(joined), float("nan")


def differences_in_s(copies: Copies) -> tuple[FittedMethod, float]:
    """S also holds the differences between specification samples and their changed copies."""
    return _with_share(copies, _own_differences)


def differences_of_others_in_s(copies: Copies) -> tuple[FittedMethod, float]:
    """S also holds such differences of *other* models: they could ship with the encoder."""
    return _with_share(copies, _others_differences)


def known_changes(copies: Copies) -> tuple[FittedMethod, float]:
    """As the program does it: the prior knows what changes do to features of other models."""
    plain, changed = copies.others
    normalizer = Normalizer.fit(plain, registry.info(copies.specifications.encoder_id).blocks)
    rows = normalizer.transform(changed) - normalizer.transform(plain)
    prior = Prior(changes=_low_rank(rows, _STRONGEST))
    return LearnedKernel.fit(copies.specifications, prior), float("nan")


#: Defences that need models which are not ranked.
FROM_OTHERS = (known_changes, differences_of_others_in_s)
DEFENCES = (
    Defence("none", False, undefended),
    Defence("borders trimmed", True, undefended),
    Defence("known changes", False, known_changes),
    Defence("known changes, borders trimmed", True, known_changes),
    Defence("copies as samples", False, copies_as_samples),
    Defence("differences in S", False, differences_in_s),
    Defence("differences of other models in S", False, differences_of_others_in_s),
    Defence("differences in S, borders trimmed", True, differences_in_s),
)

Differences = Callable[[Copies, Normalizer], "FloatArray"]


def _own_differences(copies: Copies, normalizer: Normalizer) -> FloatArray:
    """Rows of differences in normalised features, ``[n, d]``."""
    plain = normalizer.transform(copies.specifications.features)
    differences = [
        normalizer.transform(stack.features[stack.mask]) - plain[stack.mask]
        for stack in copies.changed
    ]
    return np.concatenate(differences)


def _others_differences(copies: Copies, normalizer: Normalizer) -> FloatArray:
    plain, changed = copies.others
    return normalizer.transform(changed) - normalizer.transform(plain)


def _with_share(copies: Copies, differences: Differences) -> tuple[FittedMethod, float]:
    """Choose the differences' share of S by leaving groups of prompts out, and fit with it.

    The share with the least mean −log p of the right candidate wins, over held-out samples as they
    are and over their changed copies alike.
    """
    losses = np.zeros(len(SHARES))
    prompts = np.arange(len(copies.specifications.prompt_ids))
    for fold in range(INNER_FOLDS):
        held_out = prompts[prompts % INNER_FOLDS == fold]
        if len(held_out) in (0, len(prompts)):
            continue
        part = copies.without(held_out.tolist())
        rows = _fit(part, SHARES, differences)
        for index, fitted in enumerate(rows):
            for stack in (copies.specifications, *copies.changed):
                losses[index] += _loss(fitted, stack, held_out.tolist())
    best = SHARES[int(np.argmin(losses))]
    return _fit(copies, [best], differences)[0], best


def _fit(copies: Copies, shares: Sequence[float], differences: Differences) -> list[LearnedKernel]:
    """The learned kernel with each of these shares; it comes in where a prior would."""
    stack = copies.specifications
    blocks = registry.info(stack.encoder_id).blocks
    normalizer = Normalizer.fit(stack.features[stack.mask], blocks)
    rows = differences(copies, normalizer)
    rows = _low_rank(rows, _STRONGEST)
    samples = int(stack.mask.sum())
    # the floor of the deviations stays what it is without a prior
    reference = np.empty_like(normalizer.deviation)
    for block in blocks:
        inside = slice(block.start, block.stop)
        reference[inside] = np.median(normalizer.deviation[inside])
    fitted = []
    for share in shares:
        strength = share / (1 - share) * samples
        prior = Prior(reference, rows, strength) if share else None
        fitted.append(LearnedKernel.fit(stack, prior))
    return fitted


def _low_rank(rows: FloatArray, rank: int) -> FloatArray:
    """The strongest directions of rows ``[n, d]``, scaled to trace 1."""
    kept = rows
    if len(rows) > rank:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # a randomised method (Halko et al. 2011), the same each time
            _, values, vectors = torch.svd_lowrank(torch.from_numpy(rows), rank + _OVERSAMPLED, 4)
        kept = (values * vectors).T.numpy()[:rank]
    return np.asarray(kept / np.sqrt(np.square(kept).sum()), dtype=np.float32)


def _loss(fitted: LearnedKernel, stack: Stack, columns: Sequence[int]) -> float:
    """Mean −log p of the right candidate for the samples of some prompts."""
    shape = (len(stack.candidates), len(columns), len(stack.candidates))
    scores = np.full(shape, np.nan, dtype=np.float32)
    for position, column in enumerate(columns):
        rows = np.flatnonzero(stack.mask[:, column])
        scores[rows, position] = fitted.scores(stack.features[rows, column], None)
    return float(np.nanmean(log_loss(scores)))
