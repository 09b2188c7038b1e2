"""Beyond the paper: library size, specification size, calibration, conformal coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lib_gmi.ranking.calibration import COVERAGE, calibration_error, softmax
from lib_gmi.ranking.kernels import Params

from .bench import EVERYTHING, LEARNED, WEIGHTED, mean_of, rates
from .scores import all_tasks, by_name, learned_with, score_table

if TYPE_CHECKING:
    from lib_gmi.ranking.stack import Stack
    from lib_gmi.records.protocols import FloatArray

    from ..dataset import Split
    from .bench import Bench
    from .scores import Fit

SIZES = (8, 16, 32, 63)
PROMPT_COUNTS = (4, 8, 12, 16, 20)
BINS = 10


def by_candidates(bench: Bench, draws: int = 8) -> list[dict[str, Any]]:
    """Accuracy against the number of candidates, drawn at random and fitted by themselves."""
    everything = bench.group(EVERYTHING).stack
    count = len(everything.candidates)
    rng = np.random.default_rng(0)
    rows = []
    for size in sorted({min(size, count) for size in SIZES}):
        repeats = 1 if size == count else draws
        drawn = [np.sort(rng.choice(count, size, replace=False)) for _ in range(repeats)]
        for entrant in (WEIGHTED, LEARNED):
            if not bench.can(entrant):
                continue
            fit = learned_with(Params()) if entrant == LEARNED else by_name(entrant.name)
            found: dict[int, list[dict[str, float]]] = {}
            for chosen in drawn:
                stack = everything.take(chosen)
                splits = bench.features.splits
                table = score_table(stack, fit, entrant.prompt, splits=splits)
                _add(found, stack, table, splits)
            head = {"method": entrant.name, "candidates": size}
            rows += [{**head, "images": n, **mean_of(r)} for n, r in found.items()]
    return rows


def by_specification_images(bench: Bench, draws: int = 6) -> list[dict[str, Any]]:
    """Accuracy against the number of specification images: so many of the fold's, at random."""
    rows = []
    for group in map(bench.group, bench.rows):
        for entrant in (WEIGHTED, LEARNED):
            if not bench.can(entrant):
                continue
            fit = learned_with(Params()) if entrant == LEARNED else by_name(entrant.name)
            largest = min(len(split.specs) for split in group.splits)
            for count in sorted({min(c, largest) for c in PROMPT_COUNTS}):
                found: dict[int, list[dict[str, float]]] = {}
                for draw in range(1 if count == largest else draws):
                    rng = np.random.default_rng(draw)

                    def some(
                        stack: Stack,
                        count: int = count,
                        rng: np.random.Generator = rng,
                        fit: Fit = fit,
                    ) -> Any:
                        chosen = rng.permutation(len(stack.prompt_ids))[:count]
                        return fit(stack.with_prompts(np.sort(chosen)))

                    table = score_table(group.stack, some, entrant.prompt, splits=group.splits)
                    _add(found, group.stack, table, group.splits)
                head = {"method": entrant.name, "models": group.name, "prompts": count}
                rows += [{**head, "images": n, **mean_of(r)} for n, r in found.items()]
    return rows


def _add(
    found: dict[int, list[dict[str, float]]], stack: Stack, table: FloatArray, splits: list[Split]
) -> None:
    for images in (1, 4):
        tasks = all_tasks(stack.mask, images, splits)
        if len(tasks):
            found.setdefault(images, []).append(rates(tasks, table))


def calibration(bench: Bench) -> list[dict[str, Any]]:
    """Calibration curves and conformal sets of ``learned``, folds pooled.

    Temperature and conformal floor of each fold come from leave-one-prompt-out on its
    specifications alone. A bin has the mean probability of the first candidate and how often it was
    the right one.
    """
    rows = []
    for group in map(bench.group, bench.rows):
        table = bench.table(group, LEARNED)
        assert group.tuned is not None
        for images in (1, 4):
            tasks = group.tasks(images)
            pooled = tasks.pooled(table)
            probabilities, inside, sizes = [], [], []
            hits = tasks.ranks(table) <= 1
            known = np.zeros(len(tasks), dtype=bool)
            for fold, calibrations in enumerate(group.tuned.calibrations):
                chosen = np.flatnonzero(tasks.folds == fold)
                if images not in calibrations or not len(chosen):
                    continue
                known[chosen] = True
                p = softmax(pooled[chosen], calibrations[images].temperature)
                members = p >= calibrations[images].conformal_floor
                probabilities.append(p)
                inside.append(members[np.arange(len(chosen)), tasks.truth[chosen]])
                sizes.append(np.maximum(members.sum(axis=1), 1))
            if not probabilities:
                continue
            p, right = np.concatenate(probabilities), hits[known]
            rows.append(
                {
                    "models": group.name,
                    "images": images,
                    "error": calibration_error(p, right),
                    "bins": _bins(p.max(axis=1), right),
                    "wanted_coverage": COVERAGE,
                    "coverage": float(np.concatenate(inside).mean()),
                    "set_size": float(np.concatenate(sizes).mean()),
                    "candidates": len(group.rows),
                    "queries": int(known.sum()),
                }
            )
    return rows


def _bins(confidence: Any, hits: Any) -> list[dict[str, float]]:
    """Ten equal-width bins of the first candidate's probability; empty ones are left out."""
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "probability": float(confidence[index == k].mean()),
            "right": float(hits[index == k].mean()),
            "queries": int((index == k).sum()),
        }
        for k in range(BINS)
        if (index == k).any()
    ]
