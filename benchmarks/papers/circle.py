"""Example 2.1 of the paper (its Fig. 2): two generators whose image distributions coincide.

Both draw points of the half circle evenly. For prompts p > 0 they draw the same point; for p < 0
they mirror each other, so a query of such a prompt can be told by nothing but its prompt. The paper
writes p ∈ U(.5, 0); on positive prompts the two coincide, so a minus must have been lost: here
p ∈ U(−.5, 0). The text embedding of p is (cos πp, sin πp), the prompts form a symmetric grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lib_gmi.ranking import rkme

from .herding import rbf

if TYPE_CHECKING:
    from lib_gmi.records.protocols import FloatArray

#: On points of the unit circle.
GAMMA = 1.0


def image(generator: int, p: FloatArray) -> FloatArray:
    """The points that a generator draws for prompts ``[n]``, ``[n, 2]``."""
    angle = np.pi * (p if generator == 0 else np.where(p >= 0, p, -1 - p))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def embedding(p: FloatArray) -> FloatArray:
    """(cos πp, sin πp), ``[n, 2]``."""
    return image(0, p)


def accuracy(weighted: bool, queries: int = 500, grid: int = 20, seed: int = 0) -> float:
    """How often each generator's image finds its generator; ties count as failures.

    Args:
        weighted: Eq. 9; otherwise Eq. 2.
        queries: prompts drawn from U(−.5, 0); each generator draws one image of each.
        grid: prompts of the specifications on each side of 0.
        seed: of the draw.
    """
    half = (np.arange(grid) + 0.5) / grid
    prompts = np.concatenate([-half[::-1], half]).astype(np.float32)
    samples = np.stack([image(0, prompts), image(1, prompts)])
    gram = rbf(samples, samples, GAMMA)
    drawn = np.random.default_rng(seed).uniform(-0.5, 0, queries).astype(np.float32)
    weights = np.ones((queries, len(prompts)), dtype=np.float32)
    if weighted:
        weights = np.stack([rkme.prompt_weights(embedding(prompts), q) for q in embedding(drawn)])
    mask = np.ones(samples.shape[:2], dtype=bool)
    found = []
    for generator in (0, 1):
        asked = image(generator, drawn)
        cross = rbf(np.broadcast_to(asked, (2, *asked.shape)), samples, GAMMA)
        scores = rkme.scores(gram, cross.transpose(1, 0, 2), weights, mask)
        found.append(scores[:, generator] + 1e-6 < scores[:, 1 - generator])
    return float(np.mean(found))


def run() -> dict[str, Any]:
    """Fig. 2's figures."""
    return {"rkme-clip (Eq. 2)": accuracy(False), "weighted-rkme (Eq. 9)": accuracy(True)}
