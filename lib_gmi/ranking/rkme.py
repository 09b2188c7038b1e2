"""Reduced kernel mean embeddings as pure functions over arrays.

The equations are those of Zhou et al., "You Only Submit One Image to Find the Most Suitable
Generative Model" (arXiv 2412.12232); the RKME goes back to Wu et al. (TKDE 2023). With
``k(a, b) = exp(−γ‖a − b‖²)``, samples ``z_i`` of a candidate and a query ``z_τ``:

* Eq. 2, the unweighted score: ``‖ (1/N) Σ_i k(z_i, ·) − k(z_τ, ·) ‖²``;
* Eq. 3, any weights: ``‖ (1/N) Σ_i w_i k(z_i, ·) − k(z_τ, ·) ‖²``;
* Eq. 9, the paper's: Eq. 3 with ``w_i = cos(q_i, q_τ)``, expanded to
  ``(1/N²) wᵀK w − (2/N) wᵀk(z_τ) + k(z_τ, z_τ)``.

Lower is better. Shapes: M candidates, N samples each, d features, t embedding numbers, n query
images. All arrays are float32 unless a docstring says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..records.protocols import FloatArray

    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.int64]


def rbf_of_products(
    products: FloatArray, squares_a: FloatArray, squares_b: FloatArray, gamma: float
) -> FloatArray:
    """The RBF kernel from inner products and squared lengths that broadcast against each other.

    Args:
        products: ⟨a, b⟩.
        squares_a: ‖a‖².
        squares_b: ‖b‖².
        gamma: γ > 0, in 1/units of the features squared.

    Returns:
        Values in (0, 1].
    """
    distances = squares_a + squares_b - 2 * products
    # Rounding can take the distance of a point to itself below zero.
    kernel: FloatArray = np.exp(-gamma * np.maximum(distances, 0), dtype=np.float32)
    return kernel


def prompt_weights(embeddings: FloatArray, query: FloatArray) -> FloatArray:
    """``w_i = cos(q_i, q_τ)`` of Eq. 9.

    Args:
        embeddings: the prompts' ``[..., N, t]``.
        query: the (pseudo-)prompt's ``[t]``.

    Returns:
        ``[..., N]`` in [-1, 1]. A zero vector has cosine 0 with everything.
    """
    lengths = np.linalg.norm(embeddings, axis=-1) * np.linalg.norm(query)
    products = embeddings @ query
    weights = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.asarray(weights, dtype=np.float32)


def scores(gram: FloatArray, cross: FloatArray, weights: FloatArray, mask: BoolArray) -> FloatArray:
    """Eq. 3 for many candidates and query images at once.

    Eq. 2 with weights of one, Eq. 9 with the cosines of :func:`prompt_weights`.

    Args:
        gram: K_m, the kernel among each candidate's samples, ``[M, N, N]``.
        cross: k_m(z_τ), between each query image and the samples, ``[n, M, N]``.
        weights: of the samples for each query image, ``[n, N]`` or ``[n, M, N]``.
        mask: which samples exist, ``[M, N]``. N in the equations is each candidate's own count.

    Returns:
        ``[n, M]``, squared distances in the RKHS; infinite for a candidate without samples.
    """
    counts = mask.sum(axis=1)
    each = weights[:, None, :] if weights.ndim == 2 else weights
    masked = np.where(mask, each, np.float32(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # [M, N, N] @ [M, N, n]: one small matrix product per candidate
        gram_weights = gram @ masked.transpose(1, 2, 0)
        quadratic = np.einsum("qmi,miq->qm", masked, gram_weights) / counts**2
        linear = np.einsum("qmi,qmi->qm", masked, cross) / counts
        result = quadratic - 2 * linear + 1.0  # k(z_τ, z_τ)
    return np.where(counts > 0, result, np.inf).astype(np.float32)
