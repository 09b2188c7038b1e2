"""The README's table of figures, from the report's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_gmi.base.errors import GMIError

from .cells import table

BEGIN = "<!-- figures: python -m benchmarks.paper readme -->"
END = "<!-- /figures -->"
_ROWS = (
    ("random", "none", "by chance"),
    ("weighted-rkme", "true", "the paper's weighted RKME, on our features"),
    ("learned", "none", "**learned kernel** (the default)"),
)


def block(report: Mapping[str, Any]) -> str:
    """The lines between the two markers, with them."""
    rows = report["table1"]["rows"]
    by = {(r["method"], r["prompt"], r["models"], r["images"]): r for r in rows}
    groups = list(dict.fromkeys((r["models"], r["candidates"]) for r in rows))
    columns = [(models, images) for models, _ in groups for images in (1, 4)]
    sizes = dict(groups)
    headers = ["how often the right model comes first / among the first four"]
    for models, images in columns:
        who = f"all {sizes[models]}" if models == "all" else f"{sizes[models]} SD models"
        headers.append(f"{who}, {images} image{'s' if images > 1 else ''}")
    cells = []
    for method, prompt, title in _ROWS:
        line = [title]
        for models, images in columns:
            row = by.get((method, prompt, models, images))
            shown = "" if row is None else f"{_two(row['top1'])} / {_two(row['top4'])}"
            line.append(f"**{shown}**" if method == "learned" and shown else shown)
        cells.append(line)
    return f"{BEGIN}\n\n{table(headers, cells)}\n{END}"


def replaced(text: str, report: Mapping[str, Any]) -> str:
    """A README with today's figures.

    Raises:
        GMIError: it lacks the markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise GMIError(f"The README has no '{BEGIN}' … '{END}' to write the figures between.")
    return before + block(report) + after


def _two(value: float) -> str:
    text = f"{value:.2f}"
    return text.removeprefix("0") if value < 1 else text
