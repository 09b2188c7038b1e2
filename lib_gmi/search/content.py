"""How well the images of a checkpoint fit a query: scores of a distribution of images.

Lu et al., "Content-Based Search for Deep Generative Models" (arXiv 2210.03116), in a space of
images and texts where all vectors have unit length. With the samples h_i of a checkpoint, their
mean μ and covariance Σ, and a query s, the logarithms of

    Monte Carlo            1/N Σ_i exp(κ h_iᵀs)
    Gaussian density       N(s; μ, Σ)

The two others of the paper measured worse: they are in ``benchmarks/search.py``.

A few dozen samples say little about a covariance of hundreds of directions: Σ is drawn to a
multiple of the identity (Chen et al. 2010, "oracle approximating shrinkage").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..ranking.rkme import IntArray
    from ..records.protocols import FloatArray

#: The scores by name.
SCORES = ("monte-carlo", "density")
#: Directions of a covariance that are kept; fewer samples have fewer.
_MOST_DIRECTIONS = 64
#: A variance smaller than this is a rounding error of unit vectors.
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of M checkpoints, from their samples' vectors in d dimensions.

    Attributes:
        means: μ, ``[M, d]``.
        factors: rows whose outer products add up to the part of Σ that is not isotropic,
            ``[M, r, d]``; zero rows where a checkpoint has fewer. They are orthogonal.
        floors: the isotropic part of Σ, ``[M]``.
    """

    means: FloatArray
    factors: FloatArray
    floors: FloatArray

    @classmethod
    def of(cls, groups: Sequence[FloatArray]) -> Statistics:
        """Of each checkpoint's unit vectors ``[n, d]``, n ≥ 1."""
        dim = groups[0].shape[1]
        most = min(_MOST_DIRECTIONS, max(len(rows) for rows in groups) - 1)
        means = np.stack([rows.mean(axis=0) for rows in groups])
        factors = np.zeros((len(groups), max(most, 1), dim), dtype=np.float32)
        energies = [
            float(np.square(rows - mean).sum() / max(len(rows) - 1, 1))
            for rows, mean in zip(groups, means, strict=True)
        ]
        # one sample has no scatter of its own: it is taken to have the usual one
        known = [e for e, rows in zip(energies, groups, strict=True) if len(rows) > 1]
        usual = float(np.mean(known)) if known else 1.0
        floors = np.empty(len(groups), dtype=np.float32)
        for number, rows in enumerate(groups):
            energy = energies[number] if len(rows) > 1 else usual
            variance = max(energy / dim, _LEAST_VARIANCE)
            kept, floors[number] = _shrunk(rows - means[number], variance, most)
            factors[number, : len(kept)] = kept
        return cls(np.asarray(means, dtype=np.float32), factors, floors)

    def density(self, query: FloatArray) -> FloatArray:
        """log N(s; μ, Σ), ``[M]``, divided by the number of dimensions, which is common to all."""
        dim = len(query)
        centred = query - self.means
        strengths = np.square(self.factors).sum(axis=2)  # eigenvalues of the other part, [M, r]
        floors = self.floors[:, None]
        along = np.square(np.einsum("mrd,md->mr", self.factors, centred))
        # Σ⁻¹ = (1 − Σ_k f_k f_kᵀ / (λ_k + floor)) / floor, with ‖f_k‖² = λ_k
        quadratic = (
            np.square(centred).sum(axis=1) - (along / (strengths + floors)).sum(axis=1)
        ) / self.floors
        determinant = dim * np.log(self.floors) + np.log1p(strengths / floors).sum(axis=1)
        return np.asarray(-(quadratic + determinant) / (2 * dim), dtype=np.float32)


def _shrunk(centred: FloatArray, variance: float, most: int) -> tuple[FloatArray, float]:
    """Factor and isotropic part of a covariance that is drawn to ``variance`` times the identity.

    Args:
        centred: samples less their mean, ``[n, d]``.
        variance: mean of the variances of all directions.
        most: directions to keep; what lies outside of them counts as isotropic.
    """
    count, dim = centred.shape
    if count < 2:
        return np.empty((0, dim), dtype=np.float32), variance
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    values = np.square(singular) / (count - 1)
    share = _oas(values, count, dim)
    kept = values[:most] * (1 - share)
    rest = (1 - share) * float(values[most:].sum()) / dim
    factor = np.sqrt(kept)[:, None] * directions[:most]
    return np.asarray(factor, dtype=np.float32), max(share * variance + rest, _LEAST_VARIANCE)


def _oas(values: NDArray[np.floating], count: int, dim: int) -> float:
    """Chen et al. 2010, eq. 23: how far to draw a covariance with these eigenvalues, in 0..1."""
    trace, squares = float(values.sum()), float(np.square(values).sum())
    above = (1 - 2 / dim) * squares + trace**2
    below = (count + 1 - 2 / dim) * (squares - trace**2 / dim)
    return 1.0 if below <= 0 else min(1.0, above / below)


def monte_carlo(products: FloatArray, starts: IntArray, kappa: float) -> FloatArray:
    """log 1/N Σ exp(κ h_iᵀs), ``[M]``.

    Args:
        products: h_iᵀs of all checkpoints' samples, one after the other, ``[n]``.
        starts: where each begins, ``[M]``; none is empty.
        kappa: κ.
    """
    counts = np.diff(np.append(starts, len(products)))
    tops = np.maximum.reduceat(products, starts)
    powers = np.exp(kappa * (products - np.repeat(tops, counts)))
    sums = np.add.reduceat(powers, starts)
    return np.asarray(kappa * tops + np.log(sums / counts), dtype=np.float32)


def product_of_experts(
    experts: Sequence[tuple[FloatArray, float]],
) -> FloatArray:
    """Weighted sum of log scores, ``[M]``.

    Densities of hundreds of dimensions differ by far more than a kernel's means. Each expert's log
    scores are brought to mean 0 and deviation 1 over the checkpoints first, so that a weight means
    the same for all of them.

    Args:
        experts: log scores ``[M]`` and the weight of each.
    """
    return np.asarray(sum(weight * standard(scores) for scores, weight in experts), np.float32)


def standard(scores: FloatArray) -> FloatArray:
    """Mean 0, deviation 1; all 0 where all are equal."""
    deviation = float(scores.std())
    centred = scores - scores.mean()
    return np.asarray(centred / deviation if deviation > 1e-12 else 0 * centred, dtype=np.float32)
