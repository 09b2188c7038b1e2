"""An axis of the X/Y/Z plot: the best few checkpoints for an image, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError

if TYPE_CHECKING:
    from ..ranking.results import RankedCandidate
    from ..records.protocols import Candidate

LABEL = "GMI rank"
_MODULES = ("xyz_grid.py", "scripts.xyz_grid")


def register() -> None:
    """Add the axis, if the web UI has the plot and not the axis yet."""
    from modules import scripts

    for data in scripts.scripts_data:
        if data.script_class.__module__ in _MODULES:
            plot = data.module
            if all(option.label != LABEL for option in plot.axis_options):
                plot.axis_options.append(
                    plot.AxisOption(LABEL, int, apply, format_value, confirm, cost=1.0)
                )


def apply(p: Any, rank: int, ranks: Sequence[int]) -> None:
    """Generate this cell with the checkpoint of a rank."""
    from .runtime import runtime

    candidate, _ = _ranked(p)[rank - 1]
    p.override_settings["sd_model_checkpoint"] = runtime().host.title_of(candidate.name)


def format_value(p: Any, option: Any, rank: int) -> str:
    """A cell's caption: rank, checkpoint, probability."""
    candidate, row = _ranked(p)[rank - 1]
    share = "" if row.probability is None else f" ({row.probability:.0%})"
    return f"{rank}. {candidate.title}{share}"


def confirm(p: Any, ranks: Sequence[int]) -> None:
    """Refuse ranks that nobody has, before anything is generated.

    Raises:
        RuntimeError: the web UI shows its message.
    """
    try:
        ranked = _ranked(p)
    except GMIError as error:
        raise RuntimeError(f"{LABEL}: {error}") from error
    for rank in ranks:
        if not 1 <= rank <= len(ranked):
            raise RuntimeError(f"{LABEL}: there are ranks 1 to {len(ranked)}, but not {rank}.")


def _ranked(p: Any) -> list[tuple[Candidate, RankedCandidate]]:
    """For the image of img2img, or else for the one that was ranked last in the tab."""
    from .runtime import runtime

    service = runtime().service
    images = getattr(p, "init_images", None)
    ranking = service.answers.rank(images[:1]) if images else service.answers.last_ranking
    if ranking is None:
        raise GMIError("rank an image in the tab Find Best Model first.")
    return service.answers.ranked_checkpoints(ranking)
