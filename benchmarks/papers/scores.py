"""Methods over the five folds: scores, tasks and ranks.

A *score table* is an array ``[M, N, M]``: entry (m, i, c) is the score of candidate c for the image
that model m made of prompt i, by a method that was fitted without prompt i. Rows of images that do
not exist are NaN. The score of several images is the mean of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lib_gmi.encoders import registry
from lib_gmi.ranking import kernels, methods
from lib_gmi.ranking.findings import findings
from lib_gmi.ranking.fitted import FittedLibrary
from lib_gmi.ranking.kernels import TAU_IMAGE, LearnedKernel, Params
from lib_gmi.ranking.normalised import Normalizer

from ..dataset import Split, five_folds, tasks

if TYPE_CHECKING:
    from lib_gmi.encoders.info import Block
    from lib_gmi.ranking.calibration import Calibration
    from lib_gmi.ranking.methods import FittedMethod
    from lib_gmi.ranking.rkme import BoolArray, IntArray
    from lib_gmi.ranking.stack import Stack
    from lib_gmi.records.protocols import FloatArray

Fit = Callable[["Stack"], "FittedMethod"]
#: By number of images.
Calibrations = dict[int, "Calibration"]

GIVEN, WITHHELD, GUESSED = "true", "none", "guessed"


@dataclass(frozen=True, eq=False)
class Tasks:
    """Tasks of n images each.

    Attributes:
        truth: the model that made the images, ``[T]``.
        members: the images' prompts by column, ``[T, n]``.
        folds: the fold of each task, ``[T]``.
    """

    truth: IntArray
    members: IntArray
    folds: IntArray

    def __len__(self) -> int:
        return len(self.truth)

    def pooled(self, table: FloatArray) -> FloatArray:
        """The score of every candidate for every task, ``[T, M]``."""
        return np.asarray(table[self.truth[:, None], self.members].mean(axis=1))

    def ranks(self, table: FloatArray) -> IntArray:
        """The rank of the right model, 1 is best; ties count against the method. ``[T]``."""
        pooled = self.pooled(table)
        own = pooled[np.arange(len(self)), self.truth][:, None]
        return np.asarray((pooled <= own).sum(axis=1), dtype=np.int64)


def all_tasks(mask: BoolArray, images: int, splits: Sequence[Split] | None = None) -> Tasks:
    """Every task of the protocol with so many images; see :func:`..dataset.tasks`."""
    truth, members, folds = [], [], []
    for fold, split in enumerate(splits or five_folds(mask.shape[1])):
        for candidate, positions in tasks(mask, split, images):
            truth.append(candidate)
            members.append([split.queries[p] for p in positions])
            folds.append(fold)
    return Tasks(
        np.asarray(truth, dtype=np.int64),
        np.asarray(members, dtype=np.int64).reshape(-1, images),
        np.asarray(folds, dtype=np.int64),
    )


def score_table(
    stack: Stack,
    fit: Fit,
    prompt: str = GIVEN,
    queries: Stack | None = None,
    splits: Sequence[Split] | None = None,
) -> FloatArray:
    """Fit on each fold's specifications and score its queries, ``[M, N, M]``.

    Args:
        stack: all images of the ranked candidates.
        fit: specifications → fitted method.
        prompt: ``true``: the method is told the query's prompt; ``none``: it is not;
            ``guessed``: it is told a pseudo-prompt made from the image alone, see
            :class:`PromptGuess`.
        queries: images to rank instead of the stack's own, for instance changed copies.
        splits: five folds by default.
    """
    asked = queries or stack
    candidates, prompts = stack.mask.shape
    table = np.full((candidates, prompts, candidates), np.nan, dtype=np.float32)
    for split in splits or five_folds(prompts):
        specifications = stack.with_prompts(split.specs)
        fitted = fit(specifications)
        guess = PromptGuess(specifications) if prompt == GUESSED else None
        for column in split.queries:
            rows = np.flatnonzero(asked.mask[:, column])
            features = asked.features[rows, column]
            text = stack.embeddings_of(rows, column) if prompt == GIVEN else None
            if guess is not None:
                text = guess.embeddings(features)
            table[rows, column] = fitted.scores(features, text)
    return table


class PromptGuess:
    """A pseudo-prompt without a captioner: what the image looks most like, in words.

    q̂ = Σ_j a_j q_j with a = softmax_j(cos(z, z̄_j)/τ_I): the mixture of the specifications' prompts
    whose images resemble the query.
    """

    def __init__(self, specifications: Stack) -> None:
        assert specifications.prompt_embeddings is not None
        self._embeddings = specifications.prompt_embeddings
        blocks = registry.info(specifications.encoder_id).blocks
        mask = specifications.mask
        self._normalizer = Normalizer.fit(specifications.features[mask], blocks)
        samples = self._normalizer.transform(specifications.features) * mask[:, :, None]
        means = samples.sum(axis=0) / np.maximum(mask.sum(axis=0), 1)[:, None]
        self._means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)

    def embeddings(self, features: FloatArray) -> FloatArray:
        """Raw features ``[n, d]`` → embeddings of unit length ``[n, t]``."""
        logits = self._normalizer.transform(features) @ self._means.T / TAU_IMAGE
        focus = np.exp(logits - logits.max(axis=1, keepdims=True))
        mixed = (focus / focus.sum(axis=1, keepdims=True)) @ self._embeddings
        return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), dtype=np.float32)


def by_name(name: str) -> Fit:
    """A method with its defaults: nothing is tuned."""
    method = methods.method(name)
    return lambda stack: method.fit(stack, None, None)


def learned_with(params: Params) -> Fit:
    """The learned kernel with fixed hyperparameters."""
    return lambda stack: LearnedKernel.fit(stack, None, params)


def fit_tuned(name: str, stack: Stack) -> tuple[FittedMethod, Calibrations]:
    """A method fitted to specifications, and its calibrations.

    Hyperparameters and calibrations of the learned kernel come from leave-one-prompt-out on these
    specifications; the other methods have none.
    """
    if name != "learned":
        return methods.method(name).fit(stack, None, None), {}
    found = findings(stack, contestants=())
    report = found.reports.get(name)
    calibrations = () if report is None else report.calibrations
    known = {n: c for n, c in enumerate(calibrations, 1) if c is not None}
    return FittedLibrary(stack, found).method(name), known


@dataclass(eq=False)
class Tuned:
    """``learned`` with everything chosen by leave-one-prompt-out, as a :data:`Fit`.

    Attributes:
        calibrations: of each fold, in order.
        params: chosen in each fold.
    """

    calibrations: list[Calibrations]
    params: list[Params]

    @classmethod
    def new(cls) -> Tuned:
        return cls([], [])

    def __call__(self, stack: Stack) -> FittedMethod:
        fitted, calibrations = fit_tuned("learned", stack)
        assert isinstance(fitted, LearnedKernel)
        self.calibrations.append(calibrations)
        self.params.append(fitted.params)
        return fitted


# -- variants of an encoder, for ablations --------------------------------------------------------


def with_blocks(stack: Stack, kept: Sequence[Block]) -> Stack:
    """The stack with some kinds of features only."""
    columns = np.concatenate([np.arange(b.start, b.stop) for b in kept])
    edges = np.cumsum([0, *(b.stop - b.start for b in kept)]).tolist()
    blocks = tuple(
        replace(b, start=start, stop=stop)
        for b, start, stop in zip(kept, edges[:-1], edges[1:], strict=True)
    )
    names = "+".join(b.name for b in kept)
    encoder = _derived(stack.encoder_id, f"only {names}", blocks=blocks, dim=len(columns))
    return replace(stack, features=stack.features[..., columns], encoder_id=encoder)


def with_gamma(stack: Stack, gamma: float) -> Stack:
    """The stack with another γ for the methods that have one."""
    return replace(stack, encoder_id=_derived(stack.encoder_id, f"gamma {gamma:g}", gamma=gamma))


def _derived(
    encoder_id: str,
    what: str,
    blocks: tuple[Block, ...] | None = None,
    dim: int | None = None,
    gamma: float | None = None,
) -> str:
    """Register a variant of an encoder once, for this process; returns its id."""
    info = registry.info(encoder_id)
    variant = replace(
        info,
        name=f"{info.name} ({what})",
        blocks=info.blocks if blocks is None else blocks,
        dim=info.dim if dim is None else dim,
        gamma=info.gamma if gamma is None else gamma,
    )
    if all(known.id != variant.id for known in registry.images()):
        registry.add(variant)
    return variant.id


@contextmanager
def temperatures(image: float, text: float) -> Iterator[None]:
    """Other τ_I and τ_T of the learned kernel's attention; infinity takes a term out."""
    before = kernels.TAU_IMAGE, kernels.TAU_TEXT
    kernels.TAU_IMAGE, kernels.TAU_TEXT = image, text
    try:
        yield
    finally:
        kernels.TAU_IMAGE, kernels.TAU_TEXT = before
