"""``install.py``: the web UI runs it at start-up, and other programs run it as well."""

from __future__ import annotations

import importlib.util
import re
import runpy
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from conftest import SOURCE_ROOT

INSTALL = SOURCE_ROOT / "install.py"


class Launch(ModuleType):
    """A stand-in for the web UI's ``launch``.

    Attributes:
        asked: commands that pip was given.
    """

    def __init__(self, installed: set[str], skip_install: bool = False) -> None:
        super().__init__("launch")
        self.asked: list[str] = []
        self.args = SimpleNamespace(skip_install=skip_install)
        self.is_installed = installed.__contains__
        self.run_pip = lambda command, desc=None, live=False: self.asked.append(command)


def run(monkeypatch: pytest.MonkeyPatch, launch: Any) -> Any:
    """What the web UI does with the file; returns ``launch``."""
    monkeypatch.setitem(sys.modules, "launch", launch)
    runpy.run_path(str(INSTALL), run_name="__main__")
    return launch


def packages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("install", INSTALL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = module.PACKAGES
    return found


def test_what_is_missing_is_installed_and_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = run(monkeypatch, Launch(set()))
    assert len(launch.asked) == len(packages())
    for command in launch.asked:
        assert re.fullmatch(r"install --no-deps [a-z0-9-]+", command), "no version is asked for"


def test_what_is_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, Launch(set(packages()))).asked == []
    (first, *others) = packages()
    launch = run(monkeypatch, Launch(set(others)))
    assert launch.asked == [f"install --no-deps {packages()[first]}"]


def test_who_does_not_want_anything_installed_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, Launch(set(), skip_install=True)).asked == []


def test_an_old_launch_without_arguments_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = Launch(set())
    del launch.args
    assert len(run(monkeypatch, launch).asked) == len(packages())


def test_outside_of_the_web_ui_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI-Manager runs it too."""
    monkeypatch.delitem(sys.modules, "launch", raising=False)
    assert importlib.util.find_spec("launch") is None
    before = set(sys.modules)
    runpy.run_path(str(INSTALL), run_name="__main__")
    assert not {name for name in set(sys.modules) - before if "pip" in name}


@pytest.mark.parametrize("error", [ImportError("x"), SyntaxError("x"), ValueError("x")])
def test_somebody_elses_launch_may_do_what_it_likes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, error: Exception
) -> None:
    monkeypatch.delitem(sys.modules, "launch", raising=False)
    (tmp_path / "launch.py").write_text(f"raise {type(error).__name__}('not yours')")
    monkeypatch.syspath_prepend(str(tmp_path))
    runpy.run_path(str(INSTALL), run_name="__main__")
    run(monkeypatch, ModuleType("launch"))
    half = Launch(set())
    del half.is_installed
    assert run(monkeypatch, half).asked == []


def test_importing_it_installs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = Launch(set())
    monkeypatch.setitem(sys.modules, "launch", launch)
    packages()
    assert launch.asked == []


def test_it_installs_what_the_project_needs_and_no_web_ui_ships() -> None:
    text = (SOURCE_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^dependencies = \[(.*?)\]", text, re.M | re.S)
    assert found is not None
    assert set(packages().values()) == set(re.findall(r'"([^"]+)"', found[1]))
    requirements = (SOURCE_ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert set(packages().values()) <= set(requirements)
