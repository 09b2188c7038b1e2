"""How the page writes figures, intervals, p-values and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def figure(value: float) -> str:
    """A share as the page and the README write it: three digits, no leading zero."""
    text = f"{value:.3f}"
    return text.removeprefix("0") if 0 <= value < 1 else text


def signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{abs(value):.3f}".replace("0.", ".", 1)


def interval(ends: Sequence[float], digits: int = 3) -> str:
    low, high = (f"{end:.{digits}f}".replace("-", "−") for end in ends)
    return f"{low} to {high}"


def p_value(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, with a newline at the end."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def groups(rows: Sequence[Row], *keys: str) -> list[tuple[tuple[Any, ...], list[Row]]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(found.items())


def name_of(row: Row) -> str:
    name = str(row["method"])
    return f"*{name}*" if row.get("kind", "method") != "method" else name


def images_of(count: int) -> str:
    return "one image" if count == 1 else f"{count} images"


def models_of(name: str, count: int | None = None) -> str:
    if name == "all":
        return "All models" if count is None else f"All {count} models"
    return f"{name} models"
