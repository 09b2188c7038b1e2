"""Tables 1 and 4 to 7 of the paper (with Fig. 3 and 6), each as JSON-ready rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lib_gmi.encoders import registry
from lib_gmi.ranking.normalised import Normalizer

from ..own_prompts import PROMPTS, measure
from .bench import CLIP, ENTRANTS, LEARNED, WEIGHTED, measures, rates
from .bounds import RANDOM
from .herding import reduced_set
from .scores import by_name, score_table
from .source import downloads
from .statistics import holm, mcnemar

if TYPE_CHECKING:
    from lib_gmi.ranking.methods import FittedMethod
    from lib_gmi.ranking.rkme import IntArray
    from lib_gmi.ranking.stack import Stack

    from .bench import Bench, Entrant, Group
    from .scores import Fit

#: The methods of the smaller tables.
SHOWN = (CLIP, WEIGHTED, LEARNED)
IMAGES = (1, 2, 3, 4, 5)
SPLITS = 3


def table1(bench: Bench, images: tuple[int, ...] = (1, 4)) -> dict[str, Any]:
    """Table 1 and Fig. 3: every method and bound, and the significance of each difference."""
    rows, differences = [], []
    for name in bench.rows:
        group = bench.group(name)
        entrants = [e for e in ENTRANTS if bench.can(e)]
        for count in images:
            if len(group.tasks(count)):
                rows += [bench.row(group, entrant, count) for entrant in entrants]
                differences += compare(bench, group, entrants, count)
    return {
        "rows": rows,
        "differences": differences,
        "downloads_known": bool(downloads(bench.features.source)),
    }


def compare(
    bench: Bench, group: Group, entrants: list[Entrant], images: int
) -> list[dict[str, Any]]:
    """``learned`` against every other method and bound that has scores, paired by task."""
    tasks, draws = group.tasks(images), group.resampling(images, bench.draws)
    own = tasks.ranks(bench.table(group, LEARNED))
    rows: list[dict[str, Any]] = []
    for other in entrants:
        if other == LEARNED or other.name == RANDOM:
            continue
        theirs = tasks.ranks(bench.table(group, other))
        gain = measures(own) - measures(theirs)
        row: dict[str, Any] = {"against": other.name, "prompt": other.prompt, "kind": other.kind}
        row |= {"models": group.name, "images": images}
        for key, column in (("top1", 0), ("top4", 3), ("rank", 8)):
            estimate = draws.over_prompts(gain[:, column])
            row[key] = estimate.mean
            row[f"{key}_ci"] = estimate.interval
            row[f"{key}_p"] = estimate.p
        if images == 1:
            row["mcnemar_p"] = mcnemar(own <= 1, theirs <= 1)
        rows.append(row)
    for key in ("top1", "top4", "rank"):
        corrected = holm([row[f"{key}_p"] for row in rows])
        for row, value in zip(rows, corrected, strict=True):
            row[f"{key}_p_holm"] = value
    return rows


def table4(bench: Bench) -> list[dict[str, Any]]:
    """One to five query images."""
    return [
        bench.row(group, entrant, images)
        for group in map(bench.group, bench.rows)
        for entrant in SHOWN
        if bench.can(entrant)
        for images in IMAGES
        if len(group.tasks(images))
    ]


def table5(bench: Bench) -> list[dict[str, Any]]:
    """Specifications from one third of the prompts each: every third one starting at 0, 1, 2."""
    third = {p.id: i % SPLITS for i, p in enumerate(bench.features.prompts)}

    def part(specifications: Stack, split: int) -> Stack:
        ids = specifications.prompt_ids
        return specifications.with_prompts([i for i, p in enumerate(ids) if third[p] == split])

    return _by_specification(bench, "split", range(SPLITS), part)


def table6(bench: Bench) -> list[dict[str, Any]]:
    """Reduced sets of 1, 2, 4, …, N samples, chosen by herding for each candidate and fold."""
    largest = min(len(split.specs) for split in bench.features.splits)
    sizes = [2**k for k in range(largest.bit_length()) if 2**k < largest] + [largest]
    known: dict[tuple[int, tuple[str, ...]], IntArray] = {}

    def part(specifications: Stack, size: int) -> Stack:
        key = (len(specifications.candidates), specifications.prompt_ids)
        if key not in known:
            known[key] = herding_order(specifications)
        mask = (known[key] < size) & specifications.mask
        kept = replace(specifications, mask=mask)
        return kept.with_prompts(np.flatnonzero(mask.any(axis=0)))

    return _by_specification(bench, "size", sizes, part)


def herding_order(stack: Stack) -> IntArray:
    """Each sample's position in its candidate's herding order, ``[M, N]``; N where missing.

    Herding sees the samples with their prompts, see :func:`.herding.reduced_set`.
    """
    info = registry.info(stack.encoder_id)
    normalizer = Normalizer.fit(stack.features[stack.mask], info.blocks)
    samples = normalizer.transform(stack.features)
    order = np.full(stack.mask.shape, stack.mask.shape[1], dtype=np.int64)
    for row in range(len(samples)):
        present = np.flatnonzero(stack.mask[row])
        embeddings = stack.prompt_embeddings
        own = None if embeddings is None else embeddings[present]
        chosen = reduced_set(samples[row, present], len(present), info.gamma, own)
        order[row, present[chosen]] = np.arange(len(present))
    return order


def _by_specification(
    bench: Bench, label: str, values: Sequence[int], part: Callable[[Stack, int], Stack]
) -> list[dict[str, Any]]:
    """Rows of a table in which what builds the specifications varies.

    Args:
        bench: where the images come from.
        label: what the rows call the variant.
        values: its values.
        part: a fold's specifications and a value → what is left of them. Queries stay the same.
    """
    rows = []
    for group in map(bench.group, bench.rows):
        for entrant in SHOWN:
            if not bench.can(entrant):
                continue
            whole = by_name(entrant.name)
            for value in values:

                def fit(stack: Stack, value: int = value, whole: Fit = whole) -> FittedMethod:
                    return whole(part(stack, value))

                table = score_table(group.stack, fit, entrant.prompt, splits=group.splits)
                for images in (1, 4):
                    tasks = group.tasks(images)
                    if len(tasks):
                        head = {"method": entrant.name, "models": group.name, "images": images}
                        rows.append({**head, label: value, **rates(tasks, table)})
    return rows


def table7(bench: Bench, draws: int = 2) -> list[dict[str, Any]]:
    """Developer-provided prompts: ten of its own for each candidate, for half of them, for none."""
    rows = []
    for group in map(bench.group, bench.rows):
        if min(len(split.specs) for split in group.splits) < PROMPTS:
            continue
        for entrant in SHOWN:
            if not bench.can(entrant):
                continue
            kinds = ["random"]
            if entrant == LEARNED and group.stack.prompt_embeddings is not None:
                kinds.append("narrow")
            for kind in kinds:
                found = measure(group.stack, kind, entrant.name, draws, group.splits)
                head = {"method": entrant.name, "models": group.name, "own prompts": kind}
                rows.append({**head, **found})
    return rows


def confusion(bench: Bench) -> dict[str, Any]:
    """Fig. 6: who is taken for whom, one image; shares of each model's images."""
    group = bench.group(bench.main)
    tasks = group.tasks(1)
    titles = [c.title for c in group.stack.candidates]
    found: dict[str, Any] = {"models": group.name, "titles": titles, "matrices": {}}
    for entrant in (WEIGHTED, LEARNED):
        if not bench.can(entrant):
            continue
        answers = tasks.pooled(bench.table(group, entrant)).argmin(axis=1)
        counts = np.zeros((len(titles), len(titles)))
        np.add.at(counts, (tasks.truth, answers), 1)
        counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1)
        found["matrices"][entrant.name] = counts.round(4).tolist()
    return found
