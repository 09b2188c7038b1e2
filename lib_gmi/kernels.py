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

from .encoders import registry
from .errors import RankingError
from .paths import data_folder

if TYPE_CHECKING:
    from .encoders.registry import Block
    from .protocols import FloatArray
    from .rkme import BoolArray
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
#: Discriminants with less of the largest one's strength than this are rounding errors.
_NEGLIGIBLE = 1e-5


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


class Precision:
    """P = (FᵀF + μI)⁻¹ without forming it where the rows of F are fewer than its columns.

    Args:
        rows: F, ``[n, d]``.
        mu: μ > 0.
        gram: :func:`gram_of` the rows, if it is known already.
    """

    def __init__(self, rows: FloatArray, mu: float, gram: FloatArray | None = None) -> None:
        import torch  # numpy alone has no solver that reuses a Cholesky factor

        self.rows = rows
        self.mu = mu
        self._dual = len(rows) < rows.shape[1]
        if gram is None:
            gram = gram_of(rows)
        shifted = gram + mu * np.eye(len(gram), dtype=np.float32)
        self._factor = torch.linalg.cholesky(torch.from_numpy(shifted))

    def apply(self, x: FloatArray) -> FloatArray:
        """Px for each row, ``[k, d] → [k, d]``."""
        if not self._dual:
            return self._solve(x)
        inner = self._solve(np.ascontiguousarray(x @ self.rows.T))
        return np.asarray((x - inner @ self.rows) / self.mu, dtype=np.float32)

    def _solve(self, x: FloatArray) -> FloatArray:
        import torch

        solved = torch.cholesky_solve(torch.from_numpy(x).T, self._factor)
        return np.asarray(solved.T.numpy(), dtype=np.float32)

    def quadratic(self, x: FloatArray) -> FloatArray:
        """xᵀPx for each row, ``[k, d] → [k]``."""
        return np.asarray(np.einsum("kd,kd->k", x, self.apply(x)), dtype=np.float32)


def gram_of(rows: FloatArray) -> FloatArray:
    """The smaller of FFᵀ and FᵀF, ``[min(n, d), min(n, d)]``."""
    return np.asarray(rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows)


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
        samples: FloatArray,
        additive: _Additive,
        precision: Precision | None,
    ) -> None:
        self.params = params
        self.normalizer = normalizer
        self._stack = stack
        self._additive = additive
        self._precision = precision
        mask, counts = stack.mask, stack.counts
        effects = additive.effects
        solved = effects if precision is None else precision.apply(effects)
        # ‖P^{1/2}(x − c)‖² only differs between candidates inside the span of P^{1/2}·effects.
        # An orthonormal basis of that span is (effects·P·effectsᵀ)^{-1/2}·effects·P^{1/2}.
        strengths, vectors = np.linalg.eigh((solved @ effects.T).astype(np.float64))
        kept = strengths > _NEGLIGIBLE * max(float(strengths[-1]), 1e-30)
        basis = (vectors[:, kept] / np.sqrt(strengths[kept])).T
        self._projection = np.ascontiguousarray((basis @ solved).astype(np.float32))
        self._candidates = (effects @ self._projection.T).astype(np.float32)
        centred = additive.centred(samples, mask)
        # as one product: candidate by candidate takes many times as long
        flat = centred.reshape(-1, centred.shape[-1]) @ self._projection.T
        self._samples = np.asarray(flat.reshape(*mask.shape, -1), dtype=np.float32)
        noise = self._sampling_noise(mask & stack.shared)
        self._noise = float(noise.sum())
        means_noise = np.tile(noise, (len(mask), 1))
        if stack.own is not None:  # what they show adds to the noise of own prompts
            own = mask & stack.own
            share = (own.sum(axis=1) / np.maximum(counts, 1))[:, None]
            means_noise += share * (self._own_noise(own, noise) - noise)
        means_noise /= np.maximum(counts, 1)[:, None]
        share_kept = self._kept_share(means_noise)
        self._drawn = np.asarray(share_kept * self._candidates, dtype=np.float32)
        # An average of few samples lies too far out; without this, short specifications starve.
        squares = np.square(self._drawn) - np.square(share_kept) * means_noise
        self._constant = np.asarray(squares.sum(axis=1), dtype=np.float32)
        if params.attention > 0:
            self._prepare_attention(centred, mask)

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
        additive = _Additive.fit(samples, stack.mask, stack.shared)
        shared: dict[float, tuple[FloatArray, FloatArray] | None] = {}
        precisions: dict[tuple[float, float], Precision | None] = {}
        fitted = []
        for params in grid:
            if params.attention not in shared:
                rows = _errors(samples, additive, stack, params.attention, prior)
                if rows is None:
                    shared[params.attention] = None
                else:
                    shared[params.attention] = (rows, gram_of(rows))
            known, way = shared[params.attention], (params.attention, params.shrinkage)
            if way not in precisions:
                precisions[way] = None
                if known is not None:
                    mu = params.shrinkage / known[0].shape[1]
                    precisions[way] = Precision(known[0], mu, known[1])
            fitted.append(cls(stack, params, normalizer, samples, additive, precisions[way]))
        return fitted

    def scores(self, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
        """Squared distances ``[n, M]`` for raw features ``[n, d]``; see :mod:`.methods`."""
        query = self.normalizer.transform(features)
        if self.params.attention > 0:
            return self._attentive_scores(query, prompts)
        projected = (query - self._additive.centre) @ self._projection.T
        squares = np.einsum("nr,nr->n", projected, projected)[:, None]
        return np.asarray(squares - 2 * projected @ self._drawn.T + self._constant)

    def novelty(self, features: FloatArray) -> FloatArray:
        """How unlike anything in the library an image is, ``[n, d] → [n]``.

        The part of ‖P^{1/2}(z − z̄)‖² that lies outside the space in which candidates differ.
        """
        centred = self.normalizer.transform(features) - self._additive.centre
        whole = (
            np.einsum("nd,nd->n", centred, centred)
            if self._precision is None
            else self._precision.quadratic(centred)
        )
        inside = np.square(centred @ self._projection.T).sum(axis=1)
        return np.asarray(np.maximum(whole - inside, 0), dtype=np.float32)

    def evidence(
        self, features: FloatArray, prompts: FloatArray | None, candidate: int
    ) -> FloatArray:
        """⟨φ(z), φ(z_{m,i} − z̄_i)⟩ for each sample of a candidate, ``[N]``."""
        query = (self.normalizer.transform(features) - self._additive.centre).mean(axis=0)
        strength = self._samples[candidate] @ (self._projection @ query)
        return np.where(self._stack.mask[candidate], strength, -np.inf).astype(np.float32)

    def fisher_ratios(self) -> FloatArray:
        """How well each prompt's samples tell the candidates apart, ``[N]``; NaN where unknown.

        Σ_m ‖b_i e_m‖² / Σ_m ‖φ(z_{m,i} − z̄_i) − b_i e_m‖²: the variance that a candidate's effect
        explains against what it does not (Fisher 1936), with e_m from its other prompts and b_i by
        least squares. A prompt is known if three quarters of the candidates have it.
        """
        mask = self._stack.mask & self._stack.shared
        counts = mask.sum(axis=1)
        totals = np.einsum("mnr,mn->mr", self._samples, mask.astype(np.float32))
        ratios = np.full(mask.shape[1], np.nan, dtype=np.float32)
        for column in range(mask.shape[1]):
            rows = np.flatnonzero(mask[:, column] & (counts > 1))
            if len(rows) < max(3, 0.75 * len(mask)):
                continue
            samples = self._samples[rows, column]
            effects = (totals[rows] - samples) / (counts[rows] - 1)[:, None]
            energy = float(np.square(effects).sum())
            slope = max(float((samples * effects).sum()) / max(energy, 1e-30), 0.0)
            rest = float(np.square(samples - slope * effects).sum())
            ratios[column] = slope * slope * energy / max(rest, 1e-30)
        return ratios

    def to_tensors(self) -> dict[str, FloatArray]:
        """What scoring needs, as arrays for safetensors; :func:`scores_from_tensors` reads it."""
        if self.params.attention > 0:
            raise RankingError("Only the state of a kernel with attention 0 can be saved.")
        return {
            "mean": self.normalizer.mean,
            "deviation": self.normalizer.deviation,
            "centre": self._additive.centre,
            "projection": self._projection,
            "candidates": self._drawn,
            "constant": self._constant,
        }

    def _kept_share(self, noise: FloatArray) -> FloatArray:
        """How much of the candidates' means is kept in each direction, ``[r]``, in 0..1.

        B/(B + κV): B is the variance between candidates and V that of a mean of samples. With
        κ = 1 that is the posterior mean of a normal model (Efron & Morris 1973), as in
        probabilistic discriminant analysis (Ioffe 2006). V is what the samples show that P was
        fitted to, so it is too small for others, and κ makes up for it. It is the same for all
        candidates: those with few samples, or with prompts of their own, would else be drawn so
        far that they are hardly ever the answer (``benchmarks/own_prompts.py``).

        Args:
            noise: V by candidate, ``[M, r]``.
        """
        count, directions = self._candidates.shape
        if self.params.pull == 0 or count < 2:
            return np.ones(directions, dtype=np.float32)
        usual = np.maximum(noise.mean(axis=0), 0)
        total = np.square(self._candidates).sum(axis=0) / (count - 1)
        between = np.maximum(total - usual, 0)
        doubt = self.params.pull * usual
        share = between / np.maximum(between + doubt, 1e-30)
        return np.where(doubt > 0, share, 1.0).astype(np.float32)

    def _sampling_noise(self, mask: BoolArray) -> FloatArray:
        """Variance of one sample around its candidate's mean, by direction, ``[r]``."""
        # the additive model's parameters
        known = int(mask.any(axis=1).sum()) + int(mask.any(axis=0).sum()) - 1
        free = int(mask.sum()) - known
        if free < 1:
            return np.zeros(self._candidates.shape[1], dtype=np.float32)
        residuals = (self._samples - self._candidates[:, None])[mask]
        return np.asarray(np.square(residuals).sum(axis=0) / free, dtype=np.float32)

    def _own_noise(self, own: BoolArray, shared: FloatArray) -> FloatArray:
        """The same of samples of own prompts: nothing but the candidates' means is known there."""
        free = int(own.sum()) - int(own.any(axis=1).sum())
        if free < 1:
            return shared
        totals = (self._samples * own[:, :, None]).sum(axis=1)
        means = totals / np.maximum(own.sum(axis=1), 1)[:, None]
        squares = np.square((self._samples - means[:, None])[own])
        return np.asarray(squares.sum(axis=0) / free, dtype=np.float32)

    # -- ρ > 0: the candidates' representation follows the query -----------------------------------

    def _prepare_attention(self, centred: FloatArray, mask: BoolArray) -> None:
        flat = centred.reshape(-1, centred.shape[-1])
        solved = flat if self._precision is None else self._precision.apply(flat)
        self._solved = solved.reshape(centred.shape)
        self._gram = self._solved @ centred.transpose(0, 2, 1)
        self._presence = mask.astype(np.float32)

    def _attentive_scores(self, query: FloatArray, prompts: FloatArray | None) -> FloatArray:
        weights = _weights(query, prompts, self._additive, self._stack, self.params.attention)
        missing = query - weights @ self._additive.prompts
        outside = (
            np.einsum("nd,nd->n", missing, missing)
            if self._precision is None
            else self._precision.quadratic(missing)
        )
        present = weights[:, None, :] * self._presence
        present /= np.maximum(present.sum(axis=2, keepdims=True), 1e-12)
        linear = np.einsum("qmi,mid,qd->qm", present, self._solved, missing, optimize=True)
        gram = self._gram @ present.transpose(1, 2, 0)
        quadratic = np.einsum("qmi,miq->qm", present, gram)
        bias = self._noise * np.square(present).sum(axis=2)
        return np.asarray(outside[:, None] - 2 * linear + quadratic - bias, dtype=np.float32)


def scores_from_tensors(
    tensors: Mapping[str, FloatArray], blocks: tuple[Block, ...], features: FloatArray
) -> FloatArray:
    """:meth:`LearnedKernel.scores` from saved state: ``[n, d] → [n, M]``."""
    normalizer = Normalizer(tensors["mean"], tensors["deviation"], blocks)
    centred = normalizer.transform(features) - tensors["centre"]
    projected = centred @ tensors["projection"].T
    squares = np.einsum("nr,nr->n", projected, projected)[:, None]
    return np.asarray(squares - 2 * projected @ tensors["candidates"].T + tensors["constant"])


@dataclass(frozen=True, eq=False)
class _Additive:
    """z_{m,i} = centre + prompt_i + effect_m + residual, by alternating least squares.

    With every sample present this is plain means. Where samples are missing, it keeps a candidate
    from being taken for what its few prompts happen to show.

    Attributes:
        prompts: z̄_i, ``[N, d]``.
        centre: their mean, ``[d]``.
        effects: of the candidates, ``[M, d]``; they add up to zero.
    """

    prompts: FloatArray
    centre: FloatArray
    effects: FloatArray

    @classmethod
    def fit(cls, samples: FloatArray, mask: BoolArray, shared: BoolArray) -> _Additive:
        """Fit to normalised samples ``[M, N, d]``; zero where ``mask`` is false.

        A prompt that only one candidate has says nothing about what it shows: its effect cannot be
        told from the candidate's. Columns of own prompts (not ``shared``, ``[N]``) therefore have
        none, and a candidate's own samples are averaged as they are. That is sound with ρ = 0,
        because P plays down whatever varies with the content (``benchmarks/own_prompts.py``).
        """
        effects, prompts = cls._alternate(samples[:, shared], mask[:, shared])
        centre = prompts.mean(axis=0) if len(prompts) else np.zeros(samples.shape[-1])
        if not shared.all():
            own: BoolArray = np.asarray(mask & ~shared)
            counts = own.sum(axis=1)
            totals = np.einsum("mnd,mn->md", samples, own.astype(np.float32))
            rest = mask.sum(axis=1) - counts
            means = (totals + rest[:, None] * (centre + effects)) / (counts + rest)[:, None]
            centre = means.mean(axis=0)
            effects = means - centre
            whole = np.tile(centre, (mask.shape[1], 1))
            whole[shared] = prompts
            prompts = whole
        return cls(
            np.asarray(prompts, dtype=np.float32),
            np.asarray(centre, dtype=np.float32),
            np.asarray(effects, dtype=np.float32),
        )

    @staticmethod
    def _alternate(samples: FloatArray, mask: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Effects of candidates ``[M, d]`` and of prompts ``[N, d]``."""
        presence = mask.astype(np.float32)
        per_candidate = np.maximum(presence.sum(axis=1), 1)[:, None]
        per_prompt = np.maximum(presence.sum(axis=0), 1)[:, None]
        sums_candidate = samples.sum(axis=1)
        sums_prompt = samples.sum(axis=0)
        effects: FloatArray = np.zeros_like(sums_candidate)
        prompts: FloatArray = np.asarray(sums_prompt / per_prompt, dtype=np.float32)
        present = np.asarray(mask.any(axis=1))
        complete = bool(np.all(mask[present]))
        for _ in range(1 if complete else 30):
            shifts = (sums_candidate - presence @ prompts) / per_candidate
            if present.any():
                shifts = (shifts - shifts[present].mean(axis=0)) * present[:, None]
            effects = np.asarray(shifts, dtype=np.float32)
            rest = (sums_prompt - presence.T @ effects) / per_prompt
            prompts = np.asarray(rest, dtype=np.float32)
        return effects, prompts

    def centred(self, samples: FloatArray, mask: BoolArray) -> FloatArray:
        """z_{m,i} − z̄_i, ``[M, N, d]``; zero where missing."""
        return np.asarray((samples - self.prompts) * mask[:, :, None], dtype=np.float32)


def _errors(
    samples: FloatArray,
    additive: _Additive,
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
        rows = _attentive_errors(samples, additive, stack, attention)
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
    samples: FloatArray, additive: _Additive, stack: Stack, attention: float
) -> FloatArray:
    mask = stack.mask
    embeddings = stack.prompt_embeddings
    centred = additive.centred(samples, mask)
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
    additive: _Additive,
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
