"""What all tables share: the groups of models, their score tables (computed once), and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib_gmi.base.errors import RankingError
from lib_gmi.encoders import DEFAULT
from lib_gmi.ranking.methods import METHODS, PIXELS

from ..dataset import SD18, Split
from . import bounds
from .features import Features
from .scores import GIVEN, GUESSED, WITHHELD, Tuned, all_tasks, by_name, score_table
from .statistics import DRAWS, Resampling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lib_gmi.ranking.rkme import IntArray
    from lib_gmi.ranking.stack import Stack
    from lib_gmi.records.protocols import FloatArray

    from .scores import Tasks

TOPS = range(1, 9)
#: The names of groups of models in every table.
FAMILY, EVERYTHING = "18 SD", "all"


@dataclass(frozen=True)
class Entrant:
    """One row of Table 1: a method and what it is told of the query's prompt.

    Attributes:
        name: of the method, as in the paper, or of the bound.
        prompt: ``true``, ``guessed`` (from the image alone) or ``none``.
        kind: ``method``, ``bound`` or ``upper bound``.
    """

    name: str
    prompt: str
    kind: str = "method"

    @property
    def key(self) -> str:
        return f"{self.name} [{self.prompt}]"


LEARNED = Entrant("learned", WITHHELD)
WEIGHTED = Entrant("weighted-rkme", GIVEN)
CLIP = Entrant("rkme-clip", WITHHELD)
#: In the order of the paper's Table 1; the bounds come after them.
ENTRANTS = (
    Entrant("download", WITHHELD),
    Entrant("rkme-basic", WITHHELD),
    CLIP,
    Entrant("rkme-concat", GUESSED),
    Entrant("rkme-concat", GIVEN),
    Entrant("weighted-rkme", GUESSED),
    WEIGHTED,
    LEARNED,
    Entrant(bounds.RANDOM, WITHHELD, "bound"),
    Entrant(bounds.ONE_HOT, GIVEN, "bound"),
    Entrant(bounds.CENTROID, GIVEN, "upper bound"),
    Entrant(bounds.OWN_MEANS, GIVEN, "upper bound"),
)


@dataclass(eq=False)
class Group:
    """Some models, ranked among themselves.

    Attributes:
        name: ``18 SD`` or ``all``.
        stack: their features by the benchmark's encoder.
        rows: their positions among the folder's candidates.
        splits: which prompts build specifications and which are queries.
        tables: score tables by :attr:`Entrant.key`.
        tuned: what leave-one-prompt-out chose for ``learned``, once it has run.
    """

    name: str
    stack: Stack
    rows: tuple[int, ...]
    splits: list[Split]
    tables: dict[str, FloatArray] = field(default_factory=dict)
    tuned: Tuned | None = None
    _tasks: dict[int, Tasks] = field(default_factory=dict)
    _resamplings: dict[int, Resampling] = field(default_factory=dict)

    def tasks(self, images: int) -> Tasks:
        """The protocol's tasks with so many images."""
        if images not in self._tasks:
            self._tasks[images] = all_tasks(self.stack.mask, images, self.splits)
        return self._tasks[images]

    def resampling(self, images: int, draws: int) -> Resampling:
        """Draws for those tasks, the same for every method."""
        if images not in self._resamplings:
            prompts = self.stack.mask.shape[1]
            self._resamplings[images] = Resampling(self.tasks(images), prompts, draws)
        return self._resamplings[images]


class Bench:
    """A folder of images, ready for tables.

    Args:
        folder: in one of the layouts of :mod:`.source`.
        cache: for features; ``None`` keeps them in memory.
        encoder: of all methods but ``rkme-basic``.
        draws: of the bootstrap.
        quiet: print no progress.
        jobs: processes that encode; see :class:`.features.Features`.

    Raises:
        RankingError: fewer than two models.
    """

    def __init__(
        self,
        folder: Path,
        cache: Path | None = None,
        encoder: str = DEFAULT,
        draws: int = DRAWS,
        quiet: bool = False,
        jobs: int = 1,
    ) -> None:
        self.features = Features(folder, cache, quiet, jobs)
        self.encoder = encoder
        self.draws = draws
        self._groups: dict[str, Group] = {}
        candidates = self.features.candidates
        if len(candidates) < 2:
            raise RankingError(f"{folder}: at least two models are needed to rank anything.")
        family = tuple(i for i, c in enumerate(candidates) if c.title in SD18)
        self.rows: dict[str, tuple[int, ...]] = {EVERYTHING: tuple(range(len(candidates)))}
        if len(family) == len(SD18) and len(family) < len(candidates):
            self.rows = {FAMILY: family, **self.rows}

    @property
    def main(self) -> str:
        """The group that the smaller studies use."""
        return next(iter(self.rows))

    def group(self, name: str) -> Group:
        """A group of models by name; its features are read on first use."""
        if name not in self._groups:
            rows = self.rows[name]
            stack = self.features.stack(self.encoder, rows=rows)
            self._groups[name] = Group(name, stack, rows, self.features.splits)
        return self._groups[name]

    def can(self, entrant: Entrant) -> bool:
        """Whether there is a text encoder, if it needs one."""
        known = METHODS.get(entrant.name)
        wants = entrant.name == bounds.ONE_HOT or (known is not None and known.needs_prompt)
        return not wants or self.features.prompt_embeddings() is not None

    def table(self, group: Group, entrant: Entrant) -> FloatArray:
        """The score table of a row of Table 1, computed on first use."""
        if entrant.key not in group.tables:
            group.tables[entrant.key] = self._compute(group, entrant)
        return group.tables[entrant.key]

    def _compute(self, group: Group, entrant: Entrant) -> FloatArray:
        stack = group.stack
        if entrant.name == bounds.RANDOM:
            raise RankingError("Chance has no scores; its figures are exact.")
        if entrant.name == bounds.ONE_HOT:
            return score_table(stack, bounds.OneHot, splits=group.splits)
        if entrant.name == bounds.CENTROID:
            return bounds.same_prompt_centroid(stack, group.splits)
        if entrant.name == bounds.OWN_MEANS:
            return bounds.centred_on_own_means(stack, group.splits)
        if entrant.name == "learned":
            group.tuned = Tuned.new()
            return score_table(stack, group.tuned, WITHHELD, splits=group.splits)
        if entrant.name == "rkme-basic":
            stack = self.features.stack(PIXELS, rows=group.rows)
        return score_table(stack, by_name(entrant.name), entrant.prompt, splits=group.splits)

    def row(self, group: Group, entrant: Entrant, images: int) -> dict[str, Any]:
        """One row: top-1 to top-8 and mean rank, with intervals for top-1, top-4 and rank."""
        head = {
            "method": entrant.name,
            "prompt": entrant.prompt,
            "kind": entrant.kind,
            "models": group.name,
            "candidates": len(group.rows),
            "images": images,
        }
        if entrant.name == bounds.RANDOM:
            return {**head, **chance(len(group.rows))}
        ranks = group.tasks(images).ranks(self.table(group, entrant))
        return {**head, **summary(ranks, group.resampling(images, self.draws))}


def chance(candidates: int) -> dict[str, Any]:
    """The exact figures of guessing."""
    tops = {f"top{k}": min(1.0, k / candidates) for k in TOPS}
    return {**tops, "rank": (candidates + 1) / 2}


def summary(ranks: IntArray, resampling: Resampling) -> dict[str, Any]:
    """Figures of ranks ``[T]``, with 95 % intervals over tasks and over prompts."""
    values = measures(ranks)
    names = [*(f"top{k}" for k in TOPS), "rank"]
    row: dict[str, Any] = dict(zip(names, values.mean(axis=0).tolist(), strict=True))
    row["tasks"] = len(ranks)
    shown = {name: index for index, name in enumerate(names) if name in ("top1", "top4", "rank")}
    for key, estimate in (("tasks", resampling.over_tasks), ("prompts", resampling.over_prompts)):
        row[f"ci_{key}"] = {
            name: [_within(name, end) for end in estimate(values[:, i]).interval]
            for name, i in shown.items()
        }
    return row


def _within(name: str, value: float) -> float:
    """No share lies outside of 0 and 1, no rank before 1: normal quantiles do not know that."""
    return max(1.0, value) if name == "rank" else min(max(0.0, value), 1.0)


def measures(ranks: IntArray) -> NDArray[np.float64]:
    """Hits at 1 to 8 and the rank of each task, ``[T, 9]``."""
    hits = ranks[:, None] <= np.asarray(TOPS)
    return np.concatenate([hits, ranks[:, None]], axis=1).astype(np.float64)


def rates(tasks: Tasks, table: FloatArray) -> dict[str, float]:
    """Top-1, top-4 and mean rank alone, for the smaller studies."""
    ranks = tasks.ranks(table)
    return {
        "top1": float((ranks <= 1).mean()),
        "top4": float((ranks <= 4).mean()),
        "rank": float(ranks.mean()),
    }


def mean_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over several draws, and top-1's deviation between them."""
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    spread = float(np.std([row["top1"] for row in rows], ddof=1)) if len(rows) > 1 else 0.0
    return {**mean, "top1_deviation": spread, "draws": len(rows)}
