"""Chromium, and the tab on each generation of gradio with the stand-in host of photographs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environments import GENERATIONS, Program, chromium, unavailable
from standins import photo_host

from .tabs import WINNER, Site, Tab, opened


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints and a library, made once."""
    folder = tmp_path_factory.mktemp("photographs")
    photo_host.furnish(folder, 4, hostile=True)
    return folder


@pytest.fixture(scope="module", params=GENERATIONS)
def site(
    request: pytest.FixtureRequest, furnished: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The tab on one generation of gradio, with a library of its own."""
    chromium()  # before a server is started for nothing
    folder = tmp_path_factory.mktemp("site") / "photographs"
    shutil.copytree(furnished, folder)
    options = ("--folder", str(folder), "--delay", "0.25", "--loading", "0.3")
    program = Program(request.param, "standins.photo_host", *options)
    yield Site(request.param, program.told["address"], folder)
    program.stop()


@pytest.fixture(scope="module")
def forge_like_site(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The tab on Forge's gradio, whose events are handed on as Forge does it."""
    chromium()
    folder = tmp_path_factory.mktemp("site") / "photographs"
    shutil.copytree(furnished, folder)
    program = Program("4", "standins.photo_host", "--folder", str(folder), "--handed-on")
    yield Site("4", program.told["address"], folder)
    program.stop()


@pytest.fixture
def first_site(tmp_path: Path) -> Iterator[Site]:
    """The tab of a host that has two checkpoints, and has built nothing yet."""
    chromium()
    photo_host.install(tmp_path / "models", photo_host.NOT_BUILT)
    program = Program(
        "newest", "standins.photo_host", "--folder", str(tmp_path), "--delay", "0.1", "--blur"
    )
    yield Site("newest", program.told["address"], tmp_path)
    program.stop()


@pytest.fixture
def lone_site(tmp_path: Path) -> Iterator[Site]:
    """The tab alone, with the models that ship with the program."""
    chromium()
    program = Program("newest", "standins.photo_host", "--folder", str(tmp_path), "--alone")
    yield Site("newest", program.told["address"], tmp_path)
    program.stop()


@pytest.fixture(scope="module")  # for longer, other tests could not run an event loop
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("no browser: playwright is not installed")
    arguments = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium(), args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any, site: Site) -> Iterator[Tab]:
    """The tab in a page of its own."""
    with opened(browser, site) as found:
        yield found


@pytest.fixture(scope="session")
def liked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that one of the checkpoints would make."""
    path = tmp_path_factory.mktemp("liked") / "liked.png"
    photo_host.query(WINNER).save(path)
    return path
