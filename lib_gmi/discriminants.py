"""Where candidates differ: means of candidates and prompts, the errors around them, and the
directions that tell the candidates apart for those errors.

All features here are normalised ones, see :class:`.kernels.Normalizer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .protocols import FloatArray
    from .rkme import BoolArray
    from .stack import Stack

#: Discriminants with less of the largest one's strength than this are rounding errors.
_NEGLIGIBLE = 1e-5


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
    def fit(cls, samples: FloatArray, mask: BoolArray, shared: BoolArray) -> Additive:
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
        if not self._dual:
            return np.asarray(np.einsum("kd,kd->k", x, self._solve(x)), dtype=np.float32)
        # Px itself, as in apply(), would take a second product with F
        across = np.ascontiguousarray(x @ self.rows.T)
        explained = np.einsum("kn,kn->k", across, self._solve(across))
        return np.asarray((np.einsum("kd,kd->k", x, x) - explained) / self.mu, dtype=np.float32)


def gram_of(rows: FloatArray) -> FloatArray:
    """The smaller of FFᵀ and FᵀF, ``[min(n, d), min(n, d)]``."""
    return np.asarray(rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows)


class Discriminants:
    """The space in which candidates differ for their errors, of r ≤ M − 1 dimensions.

    ‖P^{1/2}(x − c)‖² only differs between candidates inside the span of P^{1/2}·effects. An
    orthonormal basis of that span is (effects·P·effectsᵀ)^{-1/2}·effects·P^{1/2}.

    Args:
        stack: M candidates × N prompts.
        additive: fitted to their samples.
        centred: the samples less their prompts' means, ``[M, N, d]``.
        precision: P; ``None`` for the identity.

    Attributes:
        projection: ``[r, d]``.
        candidates: the effects in this space, ``[M, r]``.
        samples: the centred samples in this space, ``[M, N, r]``.
        noise: variance of one sample around its candidate's mean, summed over directions.
        means_noise: variance of the candidates' means, ``[M, r]``.
    """

    def __init__(
        self, stack: Stack, additive: Additive, centred: FloatArray, precision: Precision | None
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
        # as one product: candidate by candidate takes many times as long
        flat = centred.reshape(-1, centred.shape[-1]) @ self.projection.T
        self.samples = np.asarray(flat.reshape(*mask.shape, -1), dtype=np.float32)
        noise = self._sampling_noise(self._mask)
        self.noise = float(noise.sum())
        counts = np.maximum(stack.counts, 1)[:, None]
        means_noise = np.tile(noise, (len(mask), 1))
        if stack.own is not None:  # what they show adds to the noise of own prompts
            own = mask & stack.own
            share = own.sum(axis=1)[:, None] / counts
            means_noise += share * (self._own_noise(own, noise) - noise)
        self.means_noise = means_noise / counts

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
        """The same of samples of own prompts: nothing but the candidates' means is known there."""
        free = int(own.sum()) - int(own.any(axis=1).sum())
        if free < 1:
            return shared
        totals = (self.samples * own[:, :, None]).sum(axis=1)
        means = totals / np.maximum(own.sum(axis=1), 1)[:, None]
        squares = np.square((self.samples - means[:, None])[own])
        return np.asarray(squares.sum(axis=0) / free, dtype=np.float32)
