"""Where candidates differ: means of candidates and prompts, the errors around them, and the
directions that tell the candidates apart for those errors.

All features here are normalised ones, see :mod:`.normalised`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..records.protocols import FloatArray
    from .normalised import Normalised
    from .rkme import BoolArray
    from .stack import Stack

#: Discriminants with less of the largest one's strength than this are rounding errors.
_NEGLIGIBLE = 1e-5
#: A matrix with fewer rows in its half is inverted at once.
_SMALL = 32


@dataclass(frozen=True, eq=False)
class Additive:
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
    def fit(cls, samples: Normalised, stack: Stack) -> Additive:
        """Fit to a stack's normalised samples.

        A prompt that only one candidate has says nothing about what it shows: its effect cannot be
        told from the candidate's. Columns of own prompts therefore have none, and a candidate's own
        samples are averaged as they are. That is sound with ρ = 0, because P plays down whatever
        varies with the content (``benchmarks/own_prompts.py``).
        """
        mask, shared = stack.mask, stack.shared
        own: BoolArray = np.asarray(mask & ~shared)
        size = stack.features.shape[-1]
        of_candidates = np.zeros((len(mask), size), dtype=np.float32)
        of_prompts = np.zeros((int(shared.sum()), size), dtype=np.float32)
        totals = np.zeros((len(mask) if own.any() else 0, size), dtype=np.float32)
        for part, block in samples.blocks():
            common = block if shared.all() else block[:, shared]
            of_candidates[part] = common.sum(axis=1)
            of_prompts += common.sum(axis=0)
            if len(totals):
                totals[part] = np.einsum("mnd,mn->md", block, own[part].astype(np.float32))
        effects, prompts = cls._alternate(of_candidates, of_prompts, mask[:, shared])
        centre = prompts.mean(axis=0) if len(prompts) else np.zeros(size)
        if not shared.all():
            counts = own.sum(axis=1)
            rest = mask.sum(axis=1) - counts
            sums = totals if len(totals) else np.zeros_like(of_candidates)
            means = (sums + rest[:, None] * (centre + effects)) / (counts + rest)[:, None]
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
    def _alternate(
        sums_candidate: FloatArray, sums_prompt: FloatArray, mask: BoolArray
    ) -> tuple[FloatArray, FloatArray]:
        """Effects of candidates ``[M, d]`` and of prompts ``[N, d]``, from sums of samples."""
        presence = mask.astype(np.float32)
        per_candidate = np.maximum(presence.sum(axis=1), 1)[:, None]
        per_prompt = np.maximum(presence.sum(axis=0), 1)[:, None]
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


@dataclass(frozen=True, eq=False)
class Scatter:
    """FᵀF of error rows F ``[n, d]``, without forming it where n < d.

    Attributes:
        rows: F where n < d, else ``None``: nothing but the product is needed then.
        gram: the smaller of FFᵀ and FᵀF.
    """

    rows: FloatArray | None
    gram: FloatArray

    @classmethod
    def of(cls, rows: FloatArray) -> Scatter:
        """Of rows ``[n, d]``."""
        if len(rows) < rows.shape[1]:
            return cls(rows, np.asarray(rows @ rows.T))
        return cls(None, np.asarray(rows.T @ rows))

    @classmethod
    def of_parts(
        cls,
        parts: Iterable[FloatArray],
        shape: tuple[int, int],
        weight: float,
        others: Sequence[FloatArray],
    ) -> Scatter:
        """Of rows that come in parts, and of others beside them.

        Args:
            parts: ``[k, d]`` after ``[k, d]``.
            shape: of all of them together.
            weight: of FᵀF of the parts.
            others: further rows ``[r, d]``, with their weight in them already.
        """
        count, size = shape
        if count + sum(map(len, others)) < size:
            scaled = [np.sqrt(np.float32(weight)) * part for part in parts]
            return cls.of(np.concatenate([*scaled, *others], dtype=np.float32))
        gram = np.zeros((size, size), dtype=np.float32)
        for part in parts:
            gram += part.T @ part
        gram *= np.float32(weight)
        for rows in others:
            gram += rows.T @ rows
        return cls(None, gram)


class Precision:
    """P = (FᵀF + μI)⁻¹.

    Args:
        scatter: of F.
        mu: μ > 0.
    """

    def __init__(self, scatter: Scatter, mu: float) -> None:
        self.rows = scatter.rows
        self.mu = mu
        self._root = scatter.gram.copy()
        self._root[np.diag_indices_from(self._root)] += np.float32(mu)
        _invert_root(self._root)

    def apply(self, x: FloatArray) -> FloatArray:
        """Px for each row, ``[k, d] → [k, d]``."""
        if self.rows is None:
            return np.asarray(x @ self._root.T @ self._root)
        inner = x @ self.rows.T @ self._root.T @ self._root
        return np.asarray((x - inner @ self.rows) / self.mu, dtype=np.float32)

    def quadratic(self, x: FloatArray) -> FloatArray:
        """xᵀPx for each row, ``[k, d] → [k]``."""
        # Px itself, as in apply(), would take a second product with F
        across = (x if self.rows is None else x @ self.rows.T) @ self._root.T
        squares = np.einsum("kn,kn->k", across, across)
        if self.rows is None:
            return np.asarray(squares)
        return np.asarray((np.einsum("kd,kd->k", x, x) - squares) / self.mu, dtype=np.float32)


def _invert_root(matrix: FloatArray) -> None:
    """L⁻¹ in place of a positive definite LLᵀ.

    By halves, which makes nearly all of the work matrix products.
    """
    half = len(matrix) // 2
    if half < _SMALL:
        matrix[:] = np.linalg.inv(np.linalg.cholesky(matrix))
        return
    first, below, last = matrix[:half, :half], matrix[half:, :half], matrix[half:, half:]
    _invert_root(first)
    across = below @ first.T
    last -= across @ across.T
    _invert_root(last)
    np.matmul(last, across @ first, out=below)
    np.negative(below, out=below)
    matrix[:half, half:] = 0


class Discriminants:
    """The space in which candidates differ for their errors, of r ≤ M − 1 dimensions.

    ‖P^{1/2}(x − c)‖² only differs between candidates inside the span of P^{1/2}·effects. An
    orthonormal basis of that span is (effects·P·effectsᵀ)^{-1/2}·effects·P^{1/2}.

    Args:
        stack: M candidates × N prompts.
        additive: fitted to their samples.
        samples: normalised.
        precision: P; ``None`` for the identity.

    Attributes:
        projection: ``[r, d]``.
        candidates: the effects in this space, ``[M, r]``.
        samples: the centred samples in this space, ``[M, N, r]``.
        noise: variance of one sample around its candidate's mean, summed over directions.
        means_noise: variance of the candidates' means, ``[M, r]``.
    """

    def __init__(
        self, stack: Stack, additive: Additive, samples: Normalised, precision: Precision | None
    ) -> None:
        self.additive = additive
        self.precision = precision
        self._mask, mask = stack.mask & stack.shared, stack.mask
        effects = additive.effects
        solved = effects if precision is None else precision.apply(effects)
        strengths, vectors = np.linalg.eigh((solved @ effects.T).astype(np.float64))
        kept = strengths > _NEGLIGIBLE * max(float(strengths[-1]), 1e-30)
        basis = (vectors[:, kept] / np.sqrt(strengths[kept])).T
        self.projection = np.ascontiguousarray((basis @ solved).astype(np.float32))
        self.candidates = (effects @ self.projection.T).astype(np.float32)
        self.samples = self._projected(samples, mask)
        noise = self._sampling_noise(self._mask)
        self.noise = float(noise.sum())
        counts = np.maximum(stack.counts, 1)[:, None]
        means_noise = np.tile(noise, (len(mask), 1))
        if stack.own is not None:  # what they show adds to the noise of own prompts
            own = mask & stack.own
            share = own.sum(axis=1)[:, None] / counts
            means_noise += share * (self._own_noise(own, noise) - noise)
        self.means_noise = means_noise / counts

    def _projected(self, samples: Normalised, mask: BoolArray) -> FloatArray:
        """The samples less their prompts' means, in this space; zero where missing."""
        found = np.empty((*mask.shape, len(self.projection)), dtype=np.float32)
        prompts = self.additive.prompts @ self.projection.T
        for part, block in samples.blocks():
            # as one product: candidate by candidate takes many times as long
            flat = block.reshape(-1, block.shape[-1]) @ self.projection.T
            found[part] = flat.reshape(*block.shape[:2], -1) - prompts
        found[~mask] = 0
        return found

    def novelty(self, query: FloatArray) -> FloatArray:
        """The part of ‖P^{1/2}(z − z̄)‖² that lies outside of this space, ``[n, d] → [n]``."""
        centred = query - self.additive.centre
        inside = np.square(centred @ self.projection.T).sum(axis=1)
        return np.asarray(np.maximum(self.quadratic(centred) - inside, 0), dtype=np.float32)

    def quadratic(self, x: FloatArray) -> FloatArray:
        """xᵀPx for each row, ``[k, d] → [k]``."""
        if self.precision is None:
            return np.asarray(np.einsum("kd,kd->k", x, x))
        return self.precision.quadratic(x)

    def kept_share(self, pull: float) -> FloatArray:
        """How much of the candidates' means is kept in each direction, ``[r]``, in 0..1.

        B/(B + κV): B is the variance between candidates and V that of a mean of samples. With
        κ = 1 that is the posterior mean of a normal model (Efron & Morris 1973), as in
        probabilistic discriminant analysis (Ioffe 2006). V is what the samples show that P was
        fitted to, so it is too small for others, and κ makes up for it. It is the same for all
        candidates: those with few samples, or with prompts of their own, would else be drawn so
        far that they are hardly ever the answer (``benchmarks/own_prompts.py``).

        Args:
            pull: κ.
        """
        count, directions = self.candidates.shape
        if pull == 0 or count < 2:
            return np.ones(directions, dtype=np.float32)
        usual = np.maximum(self.means_noise.mean(axis=0), 0)
        total = np.square(self.candidates).sum(axis=0) / (count - 1)
        between = np.maximum(total - usual, 0)
        doubt = pull * usual
        share = between / np.maximum(between + doubt, 1e-30)
        return np.where(doubt > 0, share, 1.0).astype(np.float32)

    def fisher_ratios(self) -> FloatArray:
        """How well each prompt's samples tell the candidates apart, ``[N]``; NaN where unknown.

        Σ_m ‖b_i e_m‖² / Σ_m ‖φ(z_{m,i} − z̄_i) − b_i e_m‖²: the variance that a candidate's effect
        explains against what it does not (Fisher 1936), with e_m from its other prompts and b_i by
        least squares. A prompt is known if three quarters of the candidates have it.
        """
        mask = self._mask
        counts = mask.sum(axis=1)
        totals = np.einsum("mnr,mn->mr", self.samples, mask.astype(np.float32))
        ratios = np.full(mask.shape[1], np.nan, dtype=np.float32)
        for column in range(mask.shape[1]):
            rows = np.flatnonzero(mask[:, column] & (counts > 1))
            if len(rows) < max(3, 0.75 * len(mask)):
                continue
            samples = self.samples[rows, column]
            effects = (totals[rows] - samples) / (counts[rows] - 1)[:, None]
            energy = float(np.square(effects).sum())
            slope = max(float((samples * effects).sum()) / max(energy, 1e-30), 0.0)
            rest = float(np.square(samples - slope * effects).sum())
            ratios[column] = slope * slope * energy / max(rest, 1e-30)
        return ratios

    def _sampling_noise(self, mask: BoolArray) -> FloatArray:
        """Variance of one sample around its candidate's mean, by direction, ``[r]``."""
        # the additive model's parameters
        known = int(mask.any(axis=1).sum()) + int(mask.any(axis=0).sum()) - 1
        free = int(mask.sum()) - known
        if free < 1:
            return np.zeros(self.candidates.shape[1], dtype=np.float32)
        residuals = (self.samples - self.candidates[:, None])[mask]
        return np.asarray(np.square(residuals).sum(axis=0) / free, dtype=np.float32)

    def _own_noise(self, own: BoolArray, shared: FloatArray) -> FloatArray:
        """Of samples of own prompts, where nothing but the candidates' means is known."""
        free = int(own.sum()) - int(own.any(axis=1).sum())
        if free < 1:
            return shared
        totals = (self.samples * own[:, :, None]).sum(axis=1)
        means = totals / np.maximum(own.sum(axis=1), 1)[:, None]
        squares = np.square((self.samples - means[:, None])[own])
        return np.asarray(squares.sum(axis=0) / free, dtype=np.float32)
