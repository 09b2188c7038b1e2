"""Small stacks of specifications, and the equations written out literally."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lib_gmi.encoders import registry
from lib_gmi.encoders.info import Block, EncoderInfo
from lib_gmi.ranking.stack import Stack
from lib_gmi.records.protocols import Encoder
from lib_gmi.records.specification import CandidateRef

Array = NDArray[np.float32]


def _not_for_images(device: str) -> Encoder:
    raise AssertionError("this encoder only names features that a test made up")


def register(name: str, blocks: tuple[Block, ...], gamma: float = 1.0) -> str:
    """Register features of a test's own making once; returns the encoder id."""
    info = EncoderInfo(
        name, "test", blocks[-1].stop, blocks, gamma, "made up by a test", _not_for_images
    )
    if name not in [known.name for known in registry.images()]:
        registry.add(info)
    return info.id


CIRCLE = register("test/circle", (Block("point", 0, 2),))
RANDOM = register("test/random", (Block("a", 0, 12), Block("b", 12, 40)), gamma=0.7)


def make_stack(
    features: Array,
    encoder_id: str,
    prompts: Array | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Stack:
    """A stack out of features ``[M, N, d]``."""
    candidates, count = features.shape[:2]
    return Stack(
        candidates=tuple(
            CandidateRef(f"id:{i}", f"candidate {i}", f"c{i}") for i in range(candidates)
        ),
        prompt_ids=tuple(f"prompt-{i}" for i in range(count)),
        features=features.astype(np.float32),
        mask=np.ones((candidates, count), bool) if mask is None else mask,
        prompt_embeddings=None if prompts is None else prompts.astype(np.float32),
        encoder_id=encoder_id,
        text_encoder_id=None if prompts is None else "test/text",
        prompt_set_size=count,
    )


def random_stack(
    candidates: int = 5,
    prompts: int = 10,
    style: float = 1.0,
    content: float = 3.0,
    seed: int = 0,
    text: bool = True,
) -> Stack:
    """Features that are content of the prompt + style of the candidate + noise.

    Content varies in a few directions only, as it does in images; style and noise in all of them.
    """
    rng = np.random.default_rng(seed)
    dim, topics = 40, 6
    features = (
        content * rng.standard_normal((1, prompts, topics)) @ rng.standard_normal((topics, dim))
        + style * rng.standard_normal((candidates, 1, dim))
        + rng.standard_normal((candidates, prompts, dim))
    )
    embeddings = rng.standard_normal((prompts, 8))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return make_stack(features, RANDOM, embeddings if text else None)


def circle_stack() -> tuple[Stack, Array]:
    """Example 2.1 of arXiv 2412.12232, with the prompts on a symmetric grid.

    Both generators fill the circle evenly, so their image distributions coincide. They agree on
    prompts p > 0 and mirror each other on p < 0.
    """
    grid = (np.arange(20) + 0.5) / 20
    prompts = np.concatenate([-grid[::-1], grid])
    features = np.stack([np.stack([circle(g, p) for p in prompts]) for g in (0, 1)])
    embeddings = np.stack([circle(0, p) for p in prompts])
    return make_stack(features, CIRCLE, embeddings), prompts.astype(np.float32)


def circle(generator: int, p: float) -> Array:
    """The image that a generator makes of prompt p; generator 0's is also p's embedding."""
    angle = math.pi * (p if generator == 0 or p >= 0 else -1 - p)
    return np.array([math.cos(angle), math.sin(angle)], dtype=np.float32)


# -- literal transcriptions, one loop per sum -----------------------------------------------------


def kernel(a: Sequence[float], b: Sequence[float], gamma: float) -> float:
    """k(a, b) = exp(−γ‖a − b‖²)."""
    return math.exp(-gamma * sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)))


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """cos(a, b)."""
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    length_a = math.sqrt(sum(float(x) ** 2 for x in a))
    length_b = math.sqrt(sum(float(y) ** 2 for y in b))
    return dot / (length_a * length_b)


def squared_distance_in_rkhs(
    samples: Sequence[Sequence[float]],
    weights: Sequence[float],
    query: Sequence[float],
    gamma: float,
) -> float:
    """‖ (1/N) Σ_i w_i k(z_i, ·) − k(z_τ, ·) ‖², every inner product on its own."""
    n = len(samples)
    total = kernel(query, query, gamma)
    for i in range(n):
        total -= 2 / n * weights[i] * kernel(samples[i], query, gamma)
        for j in range(n):
            total += weights[i] * weights[j] * kernel(samples[i], samples[j], gamma) / n**2
    return total
