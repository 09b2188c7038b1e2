"""JavaScript of both hosts parses: a slip in one file takes everything away with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright", reason="playwright, which brings node, is missing")

ROOT = Path(__file__).resolve().parents[1]
NODE = Path(playwright.__file__).parent / "driver" / "node"
#: The web UIs' are scripts, ComfyUI's are modules.
FILES = [(path, "commonjs") for path in sorted((ROOT / "javascript").glob("*.js"))]
FILES += [(path, "module") for path in sorted((ROOT / "web").rglob("*.js"))]


def problem(source: str, kind: str) -> str:
    """What node says of a source; nothing if it parses."""
    command = [str(NODE), "--check", f"--input-type={kind}", "-"]
    done = subprocess.run(command, check=False, input=source, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr or "node failed"


@pytest.mark.parametrize(("path", "kind"), FILES, ids=lambda value: getattr(value, "name", value))
def test_it_parses(path: Path, kind: str) -> None:
    assert problem(path.read_text(encoding="utf-8"), kind) == ""


def test_what_does_not_parse_is_noticed() -> None:
    assert "SyntaxError" in problem("const a = {;\n", "module")
    assert "SyntaxError" in problem("import { a } from './a.js';\n", "commonjs")
