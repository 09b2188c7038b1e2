"""Reduced sets of samples, chosen by kernel herding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lib_gmi.ranking.rkme import prompt_weights, rbf_of_products

if TYPE_CHECKING:
    from lib_gmi.ranking.rkme import IntArray
    from lib_gmi.records.protocols import FloatArray


def rbf(a: FloatArray, b: FloatArray, gamma: float) -> FloatArray:
    """The RBF kernel between two sets, batched.

    Args:
        a: ``[..., n, d]``.
        b: ``[..., m, d]``.
        gamma: γ > 0, in 1/units of the features squared.

    Returns:
        ``[..., n, m]`` with values in (0, 1].
    """
    squares_a = np.einsum("...nd,...nd->...n", a, a)[..., :, None]
    squares_b = np.einsum("...md,...md->...m", b, b)[..., None, :]
    return rbf_of_products(a @ np.swapaxes(b, -1, -2), squares_a, squares_b, gamma)


def reduced_set(
    features: FloatArray,
    size: int,
    gamma: float,
    embeddings: FloatArray | None = None,
) -> IntArray:
    """Choose the (prompt, image) pairs that stand for all of them, by kernel herding.

    Chen, Welling & Smola, "Super-Samples from Kernel Herding" (UAI 2010), restricted to the
    samples themselves and without repetition. With prompt embeddings the kernel on pairs is
    ``k(z, z′) · (1 + cos(q, q′)) / 2``, so that the prompts are covered as well.

    Args:
        features: ``[N, d]``.
        size: how many to choose, 1 ≤ size ≤ N.
        gamma: of the RBF kernel.
        embeddings: of the prompts, ``[N, t]``.

    Returns:
        Indices ``[size]``, in the order of choice: each prefix is a good smaller set.

    Raises:
        ValueError: ``size`` is out of range.
    """
    count = len(features)
    if not 1 <= size <= count:
        raise ValueError(f"size is {size}, but must lie in 1..{count}")
    kernel = rbf(features, features, gamma)
    if embeddings is not None:
        cosines = np.stack([prompt_weights(embeddings, row) for row in embeddings])
        kernel = (kernel * (1 + cosines) / 2).astype(np.float32)
    potential = kernel.mean(axis=1)
    taken = np.zeros(count, dtype=np.float32)
    chosen: list[int] = []
    for step in range(size):
        gain = potential - taken / (step + 1)
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
        taken += kernel[:, chosen[-1]]
    return np.asarray(chosen, dtype=np.int64)
