"""Redraws docs/architecture.md from what the modules import: ``make drawing``.

With ``--check`` nothing is written, and a drawing that is out of date is an error.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from house import imports, modules, room  # noqa: E402

PAGE = ROOT / "docs" / "architecture.md"
_BEGIN, _END = "<!-- drawing -->\n", "<!-- end of the drawing -->\n"


def floors(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Packages by how far they stand above what imports nothing, the lowest first."""
    height: dict[str, int] = {}

    def of(package: str) -> int:
        if package not in height:
            height[package] = 1 + max(map(of, arrows[package]), default=-1)
        return height[package]

    top = max(map(of, arrows))
    return [sorted(p for p in arrows if height[p] == floor) for floor in range(top + 1)]


def drawing() -> str:
    """The packages from top to bottom, what lives in each, and whom each one imports."""
    known = modules()
    packages = sorted({room(name) for name in known} - {""})
    pairs = {(room(a), room(b)) for a, targets in imports().items() for b in targets}
    arrows = {p: {b for a, b in pairs if a == p and b not in (p, "")} for p in packages}
    lines = []
    for number, floor in reversed(list(enumerate(floors(arrows), 1))):
        for package in floor:
            about = ast.get_docstring(ast.parse(known[f"lib_gmi.{package}"].read_text("utf-8")))
            first = (about or "").partition("\n\n")[0].replace("\n", " ")
            below = " ".join(sorted(arrows[package])) or "–"
            lines.append(f"| {number} | `{package}/` | {first} | {below} |")
    head = "| floor | package | what lives there | imports |\n|---|---|---|---|\n"
    return head + "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Redraw, or check; see the module's docstring."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    drawn = f"{before}{_BEGIN}{drawing()}{_END}{after}"
    if "--check" not in arguments:
        PAGE.write_text(drawn, encoding="utf-8")
    elif drawn != page:
        sys.stderr.write("docs/architecture.md is out of date; run: make drawing\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
