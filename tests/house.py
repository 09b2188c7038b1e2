"""What the modules of ``lib_gmi`` import of each other, read off their sources."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "lib_gmi"


def modules() -> dict[str, Path]:
    """Files by dotted name; a package's ``__init__.py`` has the package's name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> dict[str, set[str]]:
    """The modules that each one imports, also inside functions and for types only.

    A package's own ``__init__.py``, which hands on its modules' names, counts as imported only by
    what takes a name from it.
    """
    known = modules()
    return {name: _imported(name, path, known) for name, path in known.items()}


def room(module: str) -> str:
    """The package right below ``lib_gmi`` that a module stands in; empty for ``lib_gmi`` itself."""
    return module.split(".")[1] if "." in module else ""


def circles() -> list[list[str]]:
    """Groups of modules that import each other, directly or through others (Tarjan 1972)."""
    arrows, numbers, lowest = imports(), dict[str, int](), dict[str, int]()
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for target in sorted(arrows[name]):
            if target not in numbers:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in stack:
                lowest[name] = min(lowest[name], numbers[target])
        if lowest[name] == numbers[name]:
            circle = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for name in arrows:
        if name not in numbers:
            visit(name)
    return found


def _imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        source = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            found.add(inner if inner in known else source)
    return found - {name}
