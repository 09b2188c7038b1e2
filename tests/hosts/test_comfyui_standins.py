"""Whatever the stand-ins for ComfyUI imitate exists in a real ComfyUI, and is called the same way.

Needs a real ComfyUI: ``GMI_COMFYUI_DIR`` names its folder, ``GMI_COMFYUI_PYTHON`` its interpreter.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STANDINS = Path(__file__).resolve().parents[1] / "standins" / "comfyui"
#: Not ComfyUI's: what the stand-ins saw, and the tests' fixtures.
OWN = ("standin", "harness")

#: Prints what is known of each (module, qualified name, kind, detail) on its standard input.
DESCRIBE = """
import importlib, inspect, json, re, sys

try:  # as the real one's main.py begins: it looks at its command line then, and keeps its 'utils'
    import comfy.options
    comfy.options.enable_args_parsing()
    import utils.extra_config
except ImportError:
    pass

def parameters(function):
    return [
        [p.name, p.kind.name, p.default is not p.empty]
        for p in inspect.signature(function).parameters.values()
        if p.name not in ("self", "cls", "s")
    ]

def source(class_):
    known = [c for c in class_.__mro__ if c.__module__ != "builtins"]
    return "".join(inspect.getsource(c) for c in known if not c.__module__.startswith("torch"))

def describe(module, path, kind, detail):
    found = importlib.import_module(module)
    for name in path.split(".") if path else ():
        found = getattr(found, name)
    if kind == "function":
        return parameters(found)
    if kind == "attribute of instances":
        names = rf"(self|{found.__name__})\\.{detail}\\b|^    {detail}\\b"
        return bool(re.search(names, source(found), re.M))
    if kind == "elements":
        return [element for element in detail if element not in found]
    return True

wanted = json.load(sys.stdin)
answers = []
for row in wanted:
    try:
        answers.append(describe(*row))
    except Exception as error:
        answers.append(f"{type(error).__name__}: {error}")
print("ANSWERS" + json.dumps(answers))
"""


def imitated() -> list[tuple[str, str, str, Any]]:
    """Everything public in the stand-ins: module, qualified name, kind, detail."""
    rows = []
    for path in sorted(STANDINS.rglob("*.py")):
        parts = path.relative_to(STANDINS).with_suffix("").parts
        if parts[-1] == "__init__" or parts[0] in OWN:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        rows += [(".".join(parts), *row) for row in _public(tree.body, "")]
    return rows


def _public(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str, Any]]:
    for statement in body:
        if isinstance(statement, ast.Assign):
            names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        else:
            names = [getattr(statement, "name", "_")]
        for name in names:
            if name == "__init__" or not name.startswith("_"):
                yield from _described(statement, prefix + name)


def _described(statement: ast.stmt, path: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(statement, ast.FunctionDef):
        named = [d.id for d in statement.decorator_list if isinstance(d, ast.Name)]
        yield path, "value" if "property" in named else "function", None
    elif isinstance(statement, ast.ClassDef):
        yield path, "class", None
        yield from _public(statement.body, path + ".")
        for name in sorted(_attributes(statement)):
            yield path, "attribute of instances", name
    elif isinstance(statement, ast.Assign):
        yield path, "value", None
        elements = _elements(statement.value)
        if elements:
            yield path, "elements", elements


def _attributes(class_: ast.ClassDef) -> set[str]:
    """Public names that a class's methods assign to ``self``, or to the class by its name."""
    return {
        node.attr
        for node in ast.walk(class_)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("self", class_.name)
        and not node.attr.startswith("_")
    }


def _elements(value: ast.expr) -> list[str]:
    """The texts in a list, a tuple or a set, and the keys of a dict."""
    if isinstance(value, ast.Dict):
        found = value.keys
    elif isinstance(value, ast.List | ast.Tuple | ast.Set):
        found = list(value.elts)
    else:
        return []
    return [e.value for e in found if isinstance(e, ast.Constant) and isinstance(e.value, str)]


def ask(python: str, folder: Path, *arguments: str) -> list[Any]:
    """What is known of everything imitated, in another process."""
    rows = json.dumps(imitated())
    done = subprocess.run(
        [python, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{DESCRIBE}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        input=rows,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS")]
    answers: list[Any] = json.loads(line.removeprefix("ANSWERS"))
    return answers


@pytest.fixture(scope="module")
def real() -> list[Any]:
    """What the real ComfyUI says."""
    for variable in ("GMI_COMFYUI_DIR", "GMI_COMFYUI_PYTHON"):
        if not os.environ.get(variable):
            pytest.skip(f"no real ComfyUI: {variable} is not set")
    folder = Path(os.environ["GMI_COMFYUI_DIR"])
    return ask(os.environ["GMI_COMFYUI_PYTHON"], folder, "--cpu")


@pytest.fixture(scope="module")
def imitation() -> list[Any]:
    """What the stand-ins say."""
    return ask(sys.executable, STANDINS)


def test_the_stand_ins_are_what_their_source_says(imitation: list[Any]) -> None:
    rows = imitated()
    assert len(rows) > 80
    assert ("comfy.sd", "CLIP.clip_layer", "function", None) in rows
    assert ("server", "PromptServer", "attribute of instances", "prompt_queue") in rows
    wrong = [
        f"{row}: {answer}"
        for row, answer in zip(rows, imitation, strict=True)
        if isinstance(answer, str) or answer is False or (row[2] == "elements" and answer)
    ]
    assert wrong == []


def test_every_name_that_is_imitated_exists_in_comfyui(real: list[Any]) -> None:
    wrong = []
    for (module, path, kind, detail), answer in zip(imitated(), real, strict=True):
        name = f"{module}.{path}"
        if isinstance(answer, str):
            wrong.append(f"{name}: {answer}")
        elif kind == "attribute of instances" and not answer:
            wrong.append(f"{name}: instances have no '{detail}'")
        elif kind == "elements" and answer:
            wrong.append(f"{name}: lacks {', '.join(answer)}")
    assert wrong == []


def test_every_function_that_is_imitated_is_called_the_same_way_in_comfyui(
    real: list[Any], imitation: list[Any]
) -> None:
    wrong = []
    for (module, path, kind, _), known, ours in zip(imitated(), real, imitation, strict=True):
        if kind == "function" and not isinstance(known, str):
            wrong += [f"{module}.{path}: {problem}" for problem in differences(ours, known)]
    assert wrong == []


def differences(ours: list[Any], known: list[Any]) -> list[str]:
    """What a call that suits a stand-in could trip over; the real one may take more."""
    names = [name for name, _, _ in ours]
    optional = {name: has_default for name, _, has_default in ours}
    variable = {name for name, kind, _ in known if kind.startswith("VAR_")}
    found = [f"has no '{name}'" for name in names if name not in {row[0] for row in known}]
    shared = [name for name, _, _ in known if name in names]
    if not found and shared != names:
        found.append(f"orders them {', '.join(shared)}")
    for name, _, has_default in known:
        if optional.get(name, True) and not has_default and name not in variable:
            found.append(f"needs '{name}'")
    return found


@pytest.mark.parametrize(
    ("known", "problem"),
    [
        ([["a", "POSITIONAL_OR_KEYWORD", False], ["b", "POSITIONAL_OR_KEYWORD", True]], None),
        ([["b", "POSITIONAL_OR_KEYWORD", True]], "has no 'a'"),
        (
            [["b", "POSITIONAL_OR_KEYWORD", True], ["a", "POSITIONAL_OR_KEYWORD", False]],
            "orders them b, a",
        ),
        (
            [["a", "POSITIONAL_OR_KEYWORD", False], ["b", "POSITIONAL_OR_KEYWORD", False]],
            "needs 'b'",
        ),
        (
            [
                ["a", "POSITIONAL_OR_KEYWORD", False],
                ["b", "POSITIONAL_OR_KEYWORD", True],
                ["c", "KEYWORD_ONLY", False],
            ],
            "needs 'c'",
        ),
        (
            [
                ["a", "POSITIONAL_OR_KEYWORD", False],
                ["b", "POSITIONAL_OR_KEYWORD", True],
                ["c", "KEYWORD_ONLY", True],
                ["more", "VAR_KEYWORD", False],
            ],
            None,
        ),
    ],
)
def test_a_difference_between_two_functions_is_noticed(
    known: list[Any], problem: str | None
) -> None:
    ours = [["a", "POSITIONAL_OR_KEYWORD", False], ["b", "POSITIONAL_OR_KEYWORD", True]]
    assert differences(ours, known) == ([] if problem is None else [problem])
