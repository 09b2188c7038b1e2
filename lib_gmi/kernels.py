"""The learned kernel, and the normalisation that all methods share.

With weights w over the prompts, a candidate's samples z_{m,i} and a query z,

    s_m = ‖ P^{1/2} ( z − Σ_i w_i z_{m,i} ) ‖²,     w_i = (1−ρ)/N + ρ·a_i(z, q),

which is Eq. 3 of arXiv 2412.12232 under a linear kernel instead of the RBF. P is the inverse
covariance of the errors that this very prediction makes on samples of the library, each left out
in turn: with ρ = 0 the scatter of a candidate's samples around their mean, the content included,
so that the directions in which images differ by what they show count for little. The result is
regularised linear discriminant analysis (Fisher 1936; Friedman 1989); see ``docs/method.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .discriminants import Additive, Discriminants, Precision, gram_of
from .encoders import registry
from .errors import RankingError
from .paths import data_folder

if TYPE_CHECKING:
    from .encoders.registry import Block
    from .protocols import FloatArray
    from .stack import Stack

#: Temperatures of the attention a = softmax(cos(z, z̄_j)/τ_I + cos(q_j, q_τ)/τ_T).
TAU_IMAGE = 0.1
TAU_TEXT = 0.2

#: A prior counts as much as so many samples (``benchmarks/prior.py`` measures it).
PRIOR_STRENGTH = 20.0
#: Share of the error covariance that stands for what people do to images before they ask. A few
#: hundredths make a query nearly as easy after a JPEG as before (``benchmarks/robustness.py``).
CHANGES_WEIGHT = 0.03

#: Deviations below this share of the reference count as this share: dead channels say nothing.
_DEVIATION_FLOOR = 0.01


@dataclass(frozen=True, eq=False)
class Normalizer:
    """Raw features → comparable ones: standardised, each kind of unit length, then the whole.

    Attributes:
        mean: ``[d]``, over the library's samples.
        deviation: ``[d]``, floored.
        blocks: the kinds of features.
        balance: how much each of several joined encoders counts; empty for equally.
    """

    mean: FloatArray
    deviation: FloatArray
    blocks: tuple[Block, ...]
    balance: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        rows: FloatArray,
        blocks: tuple[Block, ...],
        reference: FloatArray | None = None,
        balance: tuple[float, ...] = (),
    ) -> Normalizer:
        """Fit to samples ``[n, d]``.

        Args:
            rows: raw features.
            blocks: the encoder's.
            reference: deviations that the encoder's features usually have, ``[d]``. Without one,
                each block's median stands in.
            balance: see the class.
        """
        mean = rows.mean(axis=0)
        deviation = rows.std(axis=0)
        if reference is None:
            reference = np.empty_like(deviation)
            for block in blocks:
                part = deviation[block.start : block.stop]
                usual = float(np.median(part[part > 0])) if (part > 0).any() else 1.0
                reference[block.start : block.stop] = usual
        floored = np.maximum(deviation, _DEVIATION_FLOOR * reference)
        floored[floored == 0] = 1  # constant wherever anybody looked
        return cls(mean.astype(np.float32), floored.astype(np.float32), blocks, balance)

    @cached_property
    def _shares(self) -> FloatArray:
        """Length of each block in a normalised row; their squares add up to 1, ``[blocks]``.

        The blocks of one encoder share its part of the row, however many there are: a joined
        encoder with one kind of features must not drown beside one with seven.
        """
        parts = np.asarray([block.part for block in self.blocks])
        weights = np.ones(parts.max() + 1) if not self.balance else np.asarray(self.balance)
        each = weights[parts] / np.bincount(parts)[parts]
        return np.asarray(np.sqrt(each / each.sum()), dtype=np.float32)

    def transform(self, features: FloatArray) -> FloatArray:
        """Normalise ``[n, d]`` or ``[M, N, d]``; the result has unit length along the last axis."""
        if features.ndim == 2:
            return self._rows(features)
        # candidate by candidate: the temporaries stay small, and in the cache
        normalised = np.empty(features.shape, dtype=np.float32)
        for index, rows in enumerate(features):
            normalised[index] = self._rows(rows)
        return normalised

    def _rows(self, features: FloatArray) -> FloatArray:
        standard = (features - self.mean) / self.deviation
        starts = [block.start for block in self.blocks]
        sizes = [block.stop - block.start for block in self.blocks]
        lengths = np.sqrt(np.add.reduceat(standard * standard, starts, axis=-1))
        scale = self._shares / np.maximum(lengths, 1e-12)
        standard *= np.repeat(scale, sizes, axis=-1)
        return np.asarray(standard, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Prior:
    """What other models' samples say about an encoder: it steadies the fit of a small library.

    Attributes:
        deviation: reference deviations of the raw features, ``[d]``; ``None`` if unknown.
        scatter: rows whose outer products add up to the expected scatter of a candidate's
            samples, in normalised features and with trace 1, ``[r, d]``; ``None`` if unknown.
        strength: worth so many samples; the weight is ``strength / (strength + samples)``.
        changes: rows whose outer products add up to the scatter of what JPEG, WebP, shrinking and
            cropping do to an image's features, likewise, ``[c, d]``; ``None`` if unknown.
    """

    deviation: FloatArray | None = None
    scatter: FloatArray | None = None
    strength: float = PRIOR_STRENGTH
    changes: FloatArray | None = None


@dataclass(frozen=True)
class Params:
    """Hyperparameters of the learned kernel; chosen by leave-one-prompt-out.

    Attributes:
        shrinkage: λ; the isotropic part of the error covariance, relative to its mean eigenvalue.
        attention: ρ in [0, 1]; how far the weights of the prompts follow the query.
        pull: κ ≥ 0; how far candidates are drawn to the mean of all in directions in which they
            differ little for the noise of their samples. Only with ρ = 0.
        balance: of joined encoders, see :class:`Normalizer`; empty for one encoder, and for
            several that count equally.
    """

    shrinkage: float = 1.0
    attention: float = 0.0
    pull: float = 50.0
    balance: tuple[float, ...] = ()


#: What leave-one-prompt-out chooses from; the first is the default.
GRID: tuple[Params, ...] = (
    Params(1.0),
    Params(0.3),
    Params(3.0),
    Params(1.0, pull=5.0),
    Params(1.0, pull=200.0),
    Params(1.0, 0.5),
)
#: How much more one of several joined encoders may count than the others.
_EMPHASIS = 4.0


def grid_for(blocks: Sequence[Block]) -> tuple[Params, ...]:
    """:data:`GRID`, and for joined encoders each of them emphasised as well."""
    parts = 1 + max(block.part for block in blocks)
    if parts < 2:
        return GRID
    emphasised = (
        tuple(_EMPHASIS if part == chosen else 1.0 for part in range(parts))
        for chosen in range(parts)
    )
    return (*GRID, *(Params(balance=balance) for balance in emphasised))


class LearnedKernel:
    """The learned kernel, fitted to M candidates × N prompts. See the module's docstring.

    Scores are squared distances in the space in which candidates differ, of at most M − 1
    dimensions; what lies outside of it is the same for all of them and is what :meth:`novelty`
    measures.
    """

    name = "learned"

    def __init__(
        self,
        stack: Stack,
        params: Params,
        normalizer: Normalizer,
        space: Discriminants,
        centred: FloatArray,
    ) -> None:
        self.params = params
        self.normalizer = normalizer
        self.space = space
        self._stack = stack
        share_kept = space.kept_share(params.pull)
        self._drawn = np.asarray(share_kept * space.candidates, dtype=np.float32)
        # An average of few samples lies too far out; without this, short specifications starve.
        squares = np.square(self._drawn) - np.square(share_kept) * space.means_noise
        self._constant = np.asarray(squares.sum(axis=1), dtype=np.float32)
        if params.attention > 0:
            self._prepare_attention(centred)

    @classmethod
    def fit(
        cls, stack: Stack, prior: Prior | None = None, params: Params | None = None
    ) -> LearnedKernel:
        """Fit to a stack.

        Args:
            stack: the candidates.
            prior: of the encoder.
            params: hyperparameters, by default those that suit most libraries.
        """
        return cls.fit_grid(stack, prior, [params or GRID[0]])[0]

    @classmethod
    def fit_grid(
        cls, stack: Stack, prior: Prior | None, grid: Sequence[Params]
    ) -> list[LearnedKernel]:
        """Fit once per choice of hyperparameters, sharing what they have in common."""
        blocks = registry.info(stack.encoder_id).blocks
        reference = None if prior is None else prior.deviation
        fitted: dict[Params, LearnedKernel] = {}
        for balance in dict.fromkeys(params.balance for params in grid):
            normalizer = Normalizer.fit(stack.features[stack.mask], blocks, reference, balance)
            chosen = [params for params in grid if params.balance == balance]
            kernels = cls._fit_normalised(stack, prior, normalizer, chosen)
            fitted.update(zip(chosen, kernels, strict=True))
        return [fitted[params] for params in grid]

    @classmethod
    def _fit_normalised(
        cls, stack: Stack, prior: Prior | None, normalizer: Normalizer, grid: Sequence[Params]
    ) -> list[LearnedKernel]:
        samples = normalizer.transform(stack.features)
        samples[~stack.mask] = 0
        additive = Additive.fit(samples, stack.mask, stack.shared)
        centred = additive.centred(samples, stack.mask)
        shared: dict[float, tuple[FloatArray, FloatArray] | None] = {}
        spaces: dict[tuple[float, float], Discriminants] = {}
        fitted = []
        for params in grid:
            if params.attention not in shared:
                rows = _errors(samples, centred, additive, stack, params.attention, prior)
                shared[params.attention] = None if rows is None else (rows, gram_of(rows))
            known, way = shared[params.attention], (params.attention, params.shrinkage)
            if way not in spaces:
                precision = None
                if known is not None:
                    mu = params.shrinkage / known[0].shape[1]
                    precision = Precision(known[0], mu, known[1])
                spaces[way] = Discriminants(stack, additive, centred, precision)
            fitted.append(cls(stack, params, normalizer, spaces[way], centred))
        return fitted

    def scores(self, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
        """Squared distances ``[n, M]`` for raw features ``[n, d]``; see :mod:`.methods`."""
        query = self.normalizer.transform(features)
        if self.params.attention > 0:
            return self._attentive_scores(query, prompts)
        projected = (query - self.space.additive.centre) @ self.space.projection.T
        squares = np.einsum("nr,nr->n", projected, projected)[:, None]
        return np.asarray(squares - 2 * projected @ self._drawn.T + self._constant)

    def novelty(self, features: FloatArray) -> FloatArray:
        """How unlike anything in the library an image is, ``[n, d] → [n]``.

        The part of ‖P^{1/2}(z − z̄)‖² that lies outside the space in which candidates differ.
        """
        return self.space.novelty(self.normalizer.transform(features))

    def distance(self, features: FloatArray) -> FloatArray:
        """How far images are from the nearest candidate, ``[n, d] → [n]``."""
        nearest = self.scores(features, None).min(axis=1)
        outside = 0 if self.params.attention > 0 else self.novelty(features)
        return np.asarray(nearest + outside, dtype=np.float32)

    def evidence(
        self, features: FloatArray, prompts: FloatArray | None, candidate: int
    ) -> FloatArray:
        """⟨φ(z), φ(z_{m,i} − z̄_i)⟩ for each sample of a candidate, ``[N]``."""
        query = self.normalizer.transform(features) - self.space.additive.centre
        strength = self.space.samples[candidate] @ (self.space.projection @ query.mean(axis=0))
        return np.where(self._stack.mask[candidate], strength, -np.inf).astype(np.float32)

    def to_tensors(self) -> dict[str, FloatArray]:
        """What scoring needs, as arrays for safetensors; :func:`scores_from_tensors` reads it."""
        if self.params.attention > 0:
            raise RankingError("Only the state of a kernel with attention 0 can be saved.")
        return {
            "mean": self.normalizer.mean,
            "deviation": self.normalizer.deviation,
            "balance": np.asarray(self.normalizer.balance, dtype=np.float32),
            "centre": self.space.additive.centre,
            "projection": self.space.projection,
            "candidates": self._drawn,
            "constant": self._constant,
        }

    # -- ρ > 0: the candidates' representation follows the query -----------------------------------

    def _prepare_attention(self, centred: FloatArray) -> None:
        flat = centred.reshape(-1, centred.shape[-1])
        precision = self.space.precision
        solved = flat if precision is None else precision.apply(flat)
        self._solved = solved.reshape(centred.shape)
        self._gram = self._solved @ centred.transpose(0, 2, 1)
        self._presence = self._stack.mask.astype(np.float32)

    def _attentive_scores(self, query: FloatArray, prompts: FloatArray | None) -> FloatArray:
        additive = self.space.additive
        weights = _weights(query, prompts, additive, self._stack, self.params.attention)
        missing = query - weights @ additive.prompts
        outside = self.space.quadratic(missing)
        present = weights[:, None, :] * self._presence
        present /= np.maximum(present.sum(axis=2, keepdims=True), 1e-12)
        linear = np.einsum("qmi,mid,qd->qm", present, self._solved, missing, optimize=True)
        gram = self._gram @ present.transpose(1, 2, 0)
        quadratic = np.einsum("qmi,miq->qm", present, gram)
        bias = self.space.noise * np.square(present).sum(axis=2)
        return np.asarray(outside[:, None] - 2 * linear + quadratic - bias, dtype=np.float32)


def scores_from_tensors(
    tensors: Mapping[str, FloatArray], blocks: tuple[Block, ...], features: FloatArray
) -> FloatArray:
    """:meth:`LearnedKernel.scores` from saved state: ``[n, d] → [n, M]``."""
    balance = tuple(tensors.get("balance", np.empty(0)).tolist())  # older files have none
    normalizer = Normalizer(tensors["mean"], tensors["deviation"], blocks, balance)
    centred = normalizer.transform(features) - tensors["centre"]
    projected = centred @ tensors["projection"].T
    squares = np.einsum("nr,nr->n", projected, projected)[:, None]
    return np.asarray(squares - 2 * projected @ tensors["candidates"].T + tensors["constant"])


def _errors(
    samples: FloatArray,
    centred: FloatArray,
    additive: Additive,
    stack: Stack,
    attention: float,
    prior: Prior | None,
) -> FloatArray | None:
    """Rows whose outer products add up to the error covariance, with trace 1; ``None`` if it is 0.

    The error of a sample is what is left when it is predicted like a query, from the other
    prompts: z_{m,i} − Σ_{j≠i} w_j z_{m,j}.
    """
    mask = stack.mask
    if attention > 0:
        rows = _attentive_errors(samples, centred, additive, stack, attention)
    else:
        rows = (samples - (additive.centre + additive.effects)[:, None])[mask]
    energy = float(np.einsum("nd,nd->", rows, rows, dtype=np.float64))
    if min(mask.shape) < 2 or energy <= 1e-20 * max(len(rows), 1):
        return None
    parts = [rows / np.sqrt(energy)]
    if prior is not None and prior.scatter is not None:
        share = prior.strength / (prior.strength + len(rows))
        parts = [np.sqrt(1 - share) * parts[0], np.sqrt(share) * prior.scatter]
    if prior is not None and prior.changes is not None:
        parts.append(np.sqrt(CHANGES_WEIGHT) * prior.changes)
    return np.asarray(np.concatenate(parts), dtype=np.float32)


def _attentive_errors(
    samples: FloatArray,
    centred: FloatArray,
    additive: Additive,
    stack: Stack,
    attention: float,
) -> FloatArray:
    mask = stack.mask
    embeddings = stack.prompt_embeddings
    errors = np.zeros_like(samples)
    for column in range(mask.shape[1]):
        rows = np.flatnonzero(mask[:, column])
        query = samples[rows, column]
        text = None if embeddings is None else np.tile(embeddings[column], (len(rows), 1))
        weights = _weights(query, text, additive, stack, attention, left_out=column)
        own = weights * mask[rows]
        own /= np.maximum(own.sum(axis=1, keepdims=True), 1e-12)
        present = centred if len(rows) == len(centred) else centred[rows]
        predicted = weights @ additive.prompts + (own[:, None] @ present)[:, 0]
        errors[rows, column] = query - predicted
    return np.asarray(errors[mask], dtype=np.float32)


def _weights(
    query: FloatArray,
    prompts: FloatArray | None,
    additive: Additive,
    stack: Stack,
    attention: float,
    left_out: int | None = None,
) -> FloatArray:
    """w_i = (1−ρ)/N + ρ·a_i for normalised queries, ``[n, N]``; rows add up to 1."""
    means = additive.prompts
    lengths = np.maximum(np.linalg.norm(means, axis=1), 1e-12)
    logits = query @ (means / lengths[:, None]).T / TAU_IMAGE
    if prompts is not None and stack.prompt_embeddings is not None:
        logits = logits + prompts @ stack.prompt_embeddings.T / TAU_TEXT
    uniform = np.ones(logits.shape[1], dtype=np.float32)
    if left_out is not None:
        logits[:, left_out] = -np.inf
        uniform[left_out] = 0
    logits = logits - logits.max(axis=1, keepdims=True)
    focus = np.exp(logits)
    focus /= focus.sum(axis=1, keepdims=True)
    weights = (1 - attention) * uniform / uniform.sum() + attention * focus
    return np.asarray(weights, dtype=np.float32)


def prior_path(encoder_id: str) -> Path:
    """Where the prior of an encoder is kept, if it has one."""
    return data_folder() / "priors" / (encoder_id.replace("/", "-") + ".safetensors")


def load_prior(encoder_id: str) -> Prior | None:
    """The prior that ships with an encoder, or ``None``."""
    path = prior_path(encoder_id)
    if not path.is_file():
        return None
    from safetensors.numpy import load

    tensors: dict[str, Any] = load(path.read_bytes())
    rows = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    return Prior(**rows)
