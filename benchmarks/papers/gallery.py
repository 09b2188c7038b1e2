"""Fig. 4 and 5: queries, each method's pick, and the pick's samples that speak most for it.

Written to a folder of the user's, never into the repository: images may not be redistributable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib_gmi.base.errors import RankingError

from .bench import CLIP, LEARNED, WEIGHTED, Entrant
from .figures import _pyplot
from .scores import GIVEN, by_name

if TYPE_CHECKING:
    from .bench import Bench, Group

#: Samples shown of each pick.
SAMPLES = 2


def gallery(bench: Bench, folder: Path, queries: int = 8, seed: int = 0) -> list[Path]:
    """Draw some queries, one picture for each group of models.

    Args:
        bench: where the images come from.
        folder: where the pictures go.
        queries: rows of a picture, drawn at random over folds and models.
        seed: of the draw.

    Raises:
        RankingError: the folder is this project's ``docs``.
    """
    if (folder.resolve() / "results.md").exists():
        raise RankingError(
            f"{folder}: galleries hold other people's images; choose another folder."
        )
    plt = _pyplot()
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    written = []
    for name in bench.rows:
        group = bench.group(name)
        entrants = [e for e in (CLIP, WEIGHTED, LEARNED) if bench.can(e)]
        tasks = group.tasks(1)
        chosen = np.sort(rng.choice(len(tasks), min(queries, len(tasks)), replace=False))
        wide = 1 + len(entrants) * SAMPLES
        figure, axes = plt.subplots(
            len(chosen), wide, figsize=(1.5 * wide, 1.75 * len(chosen)), squeeze=False
        )
        for axis in axes.flat:
            axis.axis("off")
        for row, task in enumerate(chosen):
            _row(bench, group, axes[row], entrants, int(task))
        path = folder / f"gallery-{name.replace(' ', '-').lower()}.png"
        figure.savefig(path, dpi=90, bbox_inches="tight")
        plt.close(figure)
        written.append(path)
    return written


def _row(
    bench: Bench, group: Group, axes: Sequence[Any], entrants: Sequence[Entrant], task: int
) -> None:
    """One query with every method's pick."""
    tasks, stack = group.tasks(1), group.stack
    truth, column = int(tasks.truth[task]), int(tasks.members[task, 0])
    split = group.splits[int(tasks.folds[task])]
    _show(bench, axes[0], group.rows[truth], column, f"query of\n{stack.candidates[truth].title}")
    specifications = stack.with_prompts(split.specs)
    features = stack.features[[truth], column]
    for index, entrant in enumerate(entrants):
        text = stack.embeddings_of(np.asarray([truth]), column) if entrant.prompt == GIVEN else None
        fitted = by_name(entrant.name)(specifications)
        pick = int(fitted.scores(features, text)[0].argmin())
        mark = "✓" if pick == truth else "✗"
        strength = fitted.evidence(features, text, pick)
        for place, sample in enumerate(np.argsort(-strength, kind="stable")[:SAMPLES]):
            title = (
                f"{mark} {entrant.name}\n{stack.candidates[pick].title[:24]}" if not place else ""
            )
            axis = axes[1 + index * SAMPLES + place]
            _show(bench, axis, group.rows[pick], split.specs[int(sample)], title)


def _show(bench: Bench, axis: Any, row: int, column: int, title: str) -> None:
    image = bench.features.image(row, column)
    image.thumbnail((160, 160))
    axis.imshow(np.asarray(image))
    axis.set_title(title, fontsize=6)
