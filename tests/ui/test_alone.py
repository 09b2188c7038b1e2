"""What the tab brings along when it is a page of its own; gradio itself is a stand-in here."""

from __future__ import annotations

import site
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import SOURCE_ROOT

from lib_gmi.base.errors import GMIError
from lib_gmi.ui import compat, tab

FILES = ("style.css", "gmi.js", "gmi_search.js")


class StandInBlocks3:
    def __init__(self, theme: Any = None, css: str | None = None) -> None: ...

    def launch(self, share: bool = False) -> None: ...


class StandInBlocks4:
    def __init__(
        self, theme: Any = None, css: str | None = None, head: str | None = None
    ) -> None: ...

    def launch(self, share: bool = False) -> None: ...


class StandInBlocks6:
    def __init__(self, title: str = "") -> None: ...

    def launch(
        self, theme: Any = None, css: str | None = None, head: str | None = None
    ) -> None: ...


class StandInTheme:
    def __init__(self, font: list[str], font_mono: list[str]) -> None:
        self.fonts = [*font, *font_mono]


def stand_in(monkeypatch: pytest.MonkeyPatch, blocks: type) -> None:
    """A gradio of one generation, as far as the page's arguments need it."""
    modules = {
        name: ModuleType(name)
        for name in ("gradio", "gradio.themes", "gradio.themes.utils", "gradio.themes.utils.fonts")
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    vars(modules["gradio"]).update(Blocks=blocks, themes=modules["gradio.themes"])
    vars(modules["gradio.themes"]).update(Default=StandInTheme)
    vars(modules["gradio.themes.utils.fonts"]).update(Font=lambda name: f"of the machine: {name}")


@pytest.mark.parametrize(
    ("blocks", "made", "launched", "starts"),
    [
        (StandInBlocks3, {"theme", "css"}, set(), True),
        (StandInBlocks4, {"theme", "head"}, set(), False),
        (StandInBlocks6, set(), {"theme", "head"}, False),
    ],
)
def test_style_script_and_fonts_go_where_each_gradio_takes_them(
    monkeypatch: pytest.MonkeyPatch, blocks: type, made: set[str], launched: set[str], starts: bool
) -> None:
    stand_in(monkeypatch, blocks)

    first, later, script = compat.page_arguments(".gmi {}", "run('</script>')")

    assert (set(first), set(later), script is not None) == (made, launched, starts)
    both = first | later
    assert all(font.startswith("of the machine: ") for font in both["theme"].fonts)
    assert "sans-serif" in both["theme"].fonts[2]
    if "head" in both:
        assert both["head"].count("</script>") == 1
        assert "<style>.gmi {}</style>" in both["head"]


def installed(monkeypatch: pytest.MonkeyPatch, environment: Path) -> Path:
    """Let the tab believe that it lies in an environment; returns where a wheel puts its files."""
    monkeypatch.setattr(tab, "__file__", str(environment / "lib" / "lib_gmi" / "ui" / "tab.py"))
    monkeypatch.setattr(sys, "prefix", str(environment))
    monkeypatch.setattr(site, "getuserbase", lambda: str(environment / "nobody"))
    return environment / "share" / "find-best-model"


def test_style_and_script_of_a_wheel_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = installed(monkeypatch, tmp_path)
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(name, encoding="utf-8")
    assert tab.assets() == (FILES[0], "\n".join(FILES[1:]))


def test_missing_style_and_script_are_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = installed(monkeypatch, tmp_path)
    folder.mkdir(parents=True)
    (folder / FILES[0]).write_text("half of it", encoding="utf-8")
    with pytest.raises(GMIError, match="are missing") as caught:
        tab.assets()
    assert str(folder) in str(caught.value)
    with pytest.raises(GMIError, match="are missing"):
        tab.launch_arguments()


def test_the_wheel_has_what_is_looked_for() -> None:
    if sys.version_info < (3, 11):
        pytest.skip("tomllib is part of Python 3.11 and later")
    import tomllib

    with (SOURCE_ROOT / "pyproject.toml").open("rb") as file:
        shipped = tomllib.load(file)["tool"]["setuptools"]["data-files"]
    assert set(shipped) == {"share/find-best-model"}
    (paths,) = shipped.values()
    assert tuple(Path(path).name for path in paths) == FILES
    assert all((SOURCE_ROOT / path).is_file() for path in paths)
    css, script = tab.assets()
    assert css == (SOURCE_ROOT / paths[0]).read_text(encoding="utf-8")
    scripts = [(SOURCE_ROOT / path).read_text(encoding="utf-8") for path in paths[1:]]
    assert script == "\n".join(scripts)
