"""Plain tables that fit the terminal, and bars."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence

from ..base.text import one_line

#: A column is not cut to fewer characters than this before the next one is.
_NARROW = 16


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    shrink: Sequence[int],
    width: int | None = None,
) -> str:
    """Lay out a table that fits the terminal.

    Args:
        headers: one per column.
        rows: cells; columns whose cells all look like numbers are aligned to the right.
        shrink: the columns that may be cut with an ellipsis, in this order.
        width: to fit, by default the terminal's.
    """
    width = width or shutil.get_terminal_size((120, 24)).columns
    clean = [[one_line(cell) for cell in row] for row in rows]
    columns = list(zip(headers, *clean, strict=True))
    widths = [max(map(display_width, column)) for column in columns]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    for column in shrink:
        cut = min(max(excess, 0), max(widths[column] - _NARROW, 0))
        widths[column] -= cut
        excess -= cut
    right = [bool(rows) and all(_is_number(cell) for cell in column[1:]) for column in columns]
    lines = [_line(headers, widths, right), "  ".join("─" * w for w in widths)]
    lines += [_line(row, widths, right) for row in clean]
    return "\n".join(lines)


def bar(share: float, width: int = 12) -> str:
    """A horizontal bar for a share in [0, 1]."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


def display_width(text: str) -> int:
    """Columns that a text takes in a terminal: East Asian wide characters take two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    fitted = []
    for cell, width, to_right in zip(cells, widths, right, strict=True):
        text = _cut(cell, width)
        padding = " " * (width - display_width(text))
        fitted.append(padding + text if to_right else text + padding)
    return "  ".join(fitted).rstrip()


def _cut(text: str, width: int) -> str:
    if display_width(text) <= width:
        return text
    while text and display_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _is_number(cell: str) -> bool:
    return cell.strip("%~ –-/.0123456789") == ""
