"""How much of the ranking survives what people do to images, without and with defences.

Specifications come from the images as they are, queries from changed copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .bench import WEIGHTED, Group, rates
from .changes import AS_IT_IS, COPIES, QUERIES, USUAL
from .defences import DEFENCES, FROM_OTHERS, Copies, Defence
from .features import TRIMMED
from .scores import WITHHELD, by_name, score_table

if TYPE_CHECKING:
    from lib_gmi.ranking.methods import FittedMethod
    from lib_gmi.ranking.stack import Stack
    from lib_gmi.records.protocols import FloatArray

    from .bench import Bench

#: Every so manyth sample of the ranked models is copied, for each change others.
_THINNED = 2


def begin(bench: Bench) -> None:
    """Start to encode what :func:`robustness` needs, while other sections are computed."""
    features, rows = bench.features, bench.rows[bench.main]
    features.begin(bench.encoder, QUERIES, rows)
    for position, change in enumerate(COPIES):
        features.begin(bench.encoder, [change], rows, _some(position))
    features.begin(bench.encoder, [change + TRIMMED for change in QUERIES], rows)
    features.begin(bench.encoder, USUAL, _outside(bench))


def robustness(bench: Bench) -> dict[str, Any]:
    """Top-1 by change and defence, the fall against the image as it is, and chosen shares."""
    group = bench.group(bench.main)
    queries = {change: _queries(bench, group, change) for change in QUERIES}
    rows = _rows(group, "weighted-rkme", _weighted(bench, group, queries), bench.draws)
    shares: dict[str, list[float]] = {}
    fits: dict[Callable[[Copies], Any], list[FittedMethod]] = {}
    copies = list(_copies(bench, group))
    for defence in DEFENCES:
        if defence.fit in FROM_OTHERS and not len(copies[0].others[0]):
            continue  # there are no other models
        if defence.fit not in fits:  # trimming changes queries alone
            fitted = [defence.fit(fold) for fold in copies]
            fits[defence.fit] = [method for method, _ in fitted]
            shares[defence.name] = [s for _, s in fitted if not np.isnan(s)]
        asked = queries
        if defence.trims:
            asked = {c: _queries(bench, group, c + TRIMMED) for c in QUERIES}
        tables = {c: _table(group, fits[defence.fit], asked[c]) for c in QUERIES}
        rows += _rows(group, "learned", tables, bench.draws, defence)
    return {
        "rows": rows,
        "shares": {name: chosen for name, chosen in shares.items() if chosen},
        "copies": list(COPIES),
        "known": list(USUAL),
    }


def _queries(bench: Bench, group: Group, change: str) -> Stack:
    return bench.features.stack(bench.encoder, change, rows=group.rows)


def _weighted(bench: Bench, group: Group, queries: dict[str, Stack]) -> dict[str, FloatArray]:
    if not bench.can(WEIGHTED):
        return {}
    fit = by_name(WEIGHTED.name)
    return {
        change: score_table(group.stack, fit, WEIGHTED.prompt, stack, group.splits)
        for change, stack in queries.items()
    }


def _table(group: Group, fitted: list[FittedMethod], queries: Stack) -> FloatArray:
    """Score table of methods that are fitted already, one for each fold."""
    remaining = iter(fitted)
    return score_table(group.stack, lambda _: next(remaining), WITHHELD, queries, group.splits)


def _copies(bench: Bench, group: Group) -> list[Copies]:
    """What each fold's defences may know."""
    stack = group.stack
    changed = [
        bench.features.stack(bench.encoder, change, group.rows, _some(position))
        for position, change in enumerate(COPIES)
    ]
    others = _others(bench, _outside(bench))
    folds = []
    for split in group.splits:
        columns = list(split.specs)
        pairs = []
        for plain, copy in others:
            there = copy.mask[:, columns]
            pairs.append((plain.features[:, columns][there], copy.features[:, columns][there]))
        empty = np.zeros((0, stack.features.shape[-1]), dtype=np.float32)
        folds.append(
            Copies(
                stack.with_prompts(columns),
                tuple(copy.with_prompts(columns) for copy in changed),
                (
                    np.concatenate([plain for plain, _ in pairs]) if pairs else empty,
                    np.concatenate([copy for _, copy in pairs]) if pairs else empty,
                ),
            )
        )
    return folds


def _outside(bench: Bench) -> list[int]:
    """Models that are not ranked."""
    ranked = bench.rows[bench.main]
    return [row for row in range(len(bench.features.candidates)) if row not in ranked]


def _others(bench: Bench, rows: list[int]) -> list[tuple[Stack, Stack]]:
    """Samples of other models, as they are and after each change that the prior knows."""
    if not rows:
        return []
    plain = bench.features.stack(bench.encoder, AS_IT_IS, rows)
    return [(plain, bench.features.stack(bench.encoder, change, rows)) for change in USUAL]


def _some(position: int) -> Callable[[int, int], bool]:
    """The samples that are copied with a change, by candidate and prompt."""
    return lambda row, column: (row + column + position) % _THINNED == 0


def _rows(
    group: Group,
    method: str,
    tables: dict[str, FloatArray],
    draws: int,
    defence: Defence = DEFENCES[0],
) -> list[dict[str, Any]]:
    """A row for each change; its fall is paired with the same method's image as it is."""
    tasks = group.tasks(1)
    rows = []
    for change, table in tables.items():
        head = {"method": method, "defence": defence.name, "change": change, "models": group.name}
        row: dict[str, Any] = {**head, **rates(tasks, table)}
        if len(group.tasks(4)):
            row["top1_4"] = rates(group.tasks(4), table)["top1"]
        if change != AS_IT_IS:
            hits = (tasks.ranks(t) <= 1 for t in (tables[AS_IT_IS], table))
            before, after = (h.astype(float) for h in hits)
            fall = group.resampling(1, draws).over_prompts(before - after)
            row |= {"fall": fall.mean, "fall_ci": fall.interval, "fall_p": fall.p}
        rows.append(row)
    return rows
