"""A folder of images as arrays, and the tasks of the protocol ``sd-samples-5fold``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from lib_gmi.ranking.stack import Stack

if TYPE_CHECKING:
    from lib_gmi.ranking.rkme import BoolArray

#: The SD-family models of sd-samples, the nearest thing to the paper's sixteen.
SD18 = frozenset(
    {
        "sdxl-base-v10-vaefix",
        "tempest-by-vlad-0.1",
        "icbinpXL_v6",
        "PrometheusV1",
        "Epicrealismxl_Hades",
        "juggernautXL_juggXIByRundiffusion",
        "juggernautXL_ragnarokBy",
        "AnythingXL_xl",
        "pony-edgFromZero_v20",
        "sdxlYamersAnime_stageAnima",
        "dreamshaperXL_alpha2Xl10",
        "perfectdeliberate_XL",
        "segmind_Segmind-Vega",
        "playgroundai_playground-v2-1024px-aesthetic",
        "playground-v2.5-1024px-aesthetic.fp16",
        "stabilityai_stable-cascade",
        "stabilityai_stable-diffusion-3.5-large",
        "stabilityai_stable-diffusion-3.5-medium",
    }
)
FOLDS = 5
MAX_SUBSETS = 20


@dataclass(frozen=True)
class Split:
    """Which prompts (by column) build the specifications and which are queries."""

    specs: tuple[int, ...]
    queries: tuple[int, ...]
    seed: int


def five_folds(prompts: int) -> list[Split]:
    """Fold k's queries are every fifth prompt starting at k."""
    everything = range(prompts)
    return [
        Split(
            tuple(i for i in everything if i % FOLDS != k),
            tuple(i for i in everything if i % FOLDS == k),
            seed=k,
        )
        for k in range(min(FOLDS, prompts))
    ]


def tasks(mask: BoolArray, split: Split, images: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(candidate, positions in ``split.queries``) of every task with so many images.

    Every subset of a candidate's queries where there are at most 20, else 20 drawn with a fixed
    seed; with one image, every query.
    """
    rng = np.random.default_rng(split.seed)
    for candidate in range(len(mask)):
        present = [p for p, column in enumerate(split.queries) if mask[candidate, column]]
        count = comb(len(present), images)
        if images == 1 or count <= MAX_SUBSETS:
            subsets = list(combinations(present, images))
        else:
            chosen = sorted(rng.choice(count, MAX_SUBSETS, replace=False).tolist())
            subsets = [_combination(present, images, index) for index in chosen]
        for subset in subsets:
            yield candidate, subset


def _combination(items: Sequence[int], size: int, index: int) -> tuple[int, ...]:
    """Number ``index`` of ``combinations(items, size)``, without listing the others."""
    chosen: list[int] = []
    for position, item in enumerate(items):
        if len(chosen) == size:
            break
        with_item = comb(len(items) - position - 1, size - len(chosen) - 1)
        if index < with_item:
            chosen.append(item)
        else:
            index -= with_item
    return tuple(chosen)


def sd18(stack: Stack) -> Stack | None:
    """The 18 SD-family models, or ``None`` where the folder does not have all of them."""
    rows = [i for i, c in enumerate(stack.candidates) if c.title in SD18]
    return stack.take(rows) if len(rows) == len(SD18) else None
