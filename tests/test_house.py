"""The house as docs/architecture.md draws it: who may import whom, and how large a room may be."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from house import PACKAGE, ROOT, circles, imports, modules, room

#: Whom each package may import; whoever needs another one adds it here, and thinks first.
ALLOWED = {
    "base": "",
    "records": "base",
    "metadata": "base records",
    "checkpoints": "base records",
    "encoders": "base records",
    "library": "base records checkpoints encoders",
    "submitting": "base records metadata checkpoints encoders library",
    "ranking": "base records encoders library",
    "interrogators": "base records metadata encoders",
    "search": "base records metadata encoders library ranking",
    "hosts": "base records checkpoints",
    "service": (
        "base records metadata checkpoints encoders library submitting ranking interrogators search"
    ),
    "routes": (
        "base records metadata checkpoints library submitting ranking interrogators search service"
    ),
    "ui": "base records metadata library search service routes",
    "a1111": (
        "base records checkpoints encoders library submitting "
        "ranking interrogators hosts service routes ui"
    ),
    "comfyui": (
        "base records metadata checkpoints library "
        "submitting interrogators search hosts service routes"
    ),
    "standalone": (
        "base records metadata checkpoints encoders library "
        "submitting ranking hosts service routes ui"
    ),
    "cli": (
        "base records metadata checkpoints encoders library "
        "submitting ranking interrogators search hosts service standalone"
    ),
}
LONGEST = 400


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_what_stands_above_it(package: str) -> None:
    taken = {
        (name, target)
        for name, targets in imports().items()
        for target in targets
        if room(name) == package and room(target) not in (package, *ALLOWED[package].split())
    }
    assert taken == {(n, t) for n, t in taken if room(t) == ""}, "not among ALLOWED"


def test_the_table_is_in_order_and_whole() -> None:
    order = list(ALLOWED)
    for place, package in enumerate(order):
        assert set(ALLOWED[package].split()) <= set(order[:place]), package
    assert set(order) == {room(name) for name in modules()} - {""}
    needed = {(room(a), room(b)) for a, targets in imports().items() for b in targets}
    unused = {(p, a) for p in order for a in ALLOWED[p].split() if (p, a) not in needed}
    assert not unused


def test_no_circles() -> None:
    assert circles() == []


def test_no_module_stands_flat() -> None:
    assert [path.name for path in (ROOT / PACKAGE).glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("name", modules())
def test_a_file_can_be_read_in_one_sitting(name: str) -> None:
    assert len(modules()[name].read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_imports_of_our_own_are_relative() -> None:
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert PACKAGE not in {name.partition(".")[0] for name in names}, path


def test_tests_stand_where_what_they_test_does() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    # in a browser; hosts/ is for real hosts, and what needs none of them stands with their faces
    assert folders - {"browser"} <= set(ALLOWED)
    assert set(ALLOWED) - folders == set()


def test_the_drawing_is_of_these_imports() -> None:
    drawing = ROOT / "docs" / "drawing.py"
    subprocess.run([sys.executable, drawing, "--check"], check=True, timeout=60)
