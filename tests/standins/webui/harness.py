"""Fixtures for tests of the AUTOMATIC1111 face: a stand-in for its web UI that lasts for one test.

Test modules load it with ``pytest_plugins``.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, prompt_set, words_encoder
from standins.webui.webui import ALPHA, BETA, GAMMA, PATIENCE, SMALL, WebUI

STANDINS = Path(__file__).resolve().parent
#: Prompts of the prompt set: two passes.
PROMPTS = 6


def _ours(name: str) -> bool:
    first = name.partition(".")[0]
    if first in (
        "modules",
        "modules_forge",
        "gradio",
        "launch",
        "standin_forge",
        "standin_reforge",
    ):
        return True
    return name == "lib_gmi.a1111.script"  # derives from a class of the web UI


@contextmanager
def _imitated(folder: Path, monkeypatch: pytest.MonkeyPatch, *paths: Path) -> Iterator[WebUI]:
    from lib_gmi.a1111 import pace, runtime
    from lib_gmi.service.service import Service

    def without() -> None:
        for name in [name for name in sys.modules if _ours(name)]:
            del sys.modules[name]

    def tiny(host: Any, library: Any, chosen: Any, encoder: str, options: Any) -> Any:
        prompts, encoder = chosen or prompt_set(PROMPTS), TINY.partition("@")[0]
        return Service(host, library, prompts, encoder, options=options)

    before = {name: module for name, module in sys.modules.items() if _ours(name)}
    without()
    monkeypatch.setenv("GMI_STANDIN_WEBUI", str(folder))
    for path in (STANDINS / "a1111", *paths):
        monkeypatch.syspath_prepend(str(path))
    monkeypatch.setattr(runtime, "Service", tiny)
    monkeypatch.setattr(runtime, "_runtime", None)
    monkeypatch.setattr(runtime, "Background", lambda work: work)  # in the thread of the jobs
    monkeypatch.setattr(pace, "_per_step_and_pixel", None)
    monkeypatch.setattr("lib_gmi.service.samples.optional_text_encoder", words_encoder)
    try:
        yield WebUI(folder, monkeypatch)
    finally:
        running = runtime._runtime
        if running is not None:
            running.builds.cancel()
            running.queue.join(PATIENCE)
        without()
        sys.modules.update(before)


@pytest.fixture
def empty_webui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebUI]:
    """An imitated web UI without checkpoints, and this extension's runtime with tiny encoders."""
    with _imitated(tmp_path / "webui", monkeypatch) as found:
        yield found


@pytest.fixture
def webui(empty_webui: WebUI) -> WebUI:
    """An imitated web UI with three checkpoints, of which the user has loaded the first."""
    for style, name in enumerate((ALPHA, BETA, GAMMA), 1):
        empty_webui.add(name, style)
        empty_webui.change(name, **SMALL)
    empty_webui.choose(ALPHA)
    empty_webui.seen.loads.clear()
    empty_webui.seen.vaes.clear()
    return empty_webui


@pytest.fixture
def reforge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebUI]:
    """The same as reForge, of which the user has loaded the first checkpoint."""
    with _imitated(tmp_path / "webui", monkeypatch, STANDINS / "reforge") as found:
        importlib.import_module("standin_reforge").become_reforge()
        for style, name in enumerate((ALPHA, BETA, GAMMA), 1):
            found.add(name, style)
            found.change(name, **SMALL)
        found.choose(ALPHA)
        found.seen.loads.clear()
        yield found


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebUI]:
    """The same as Forge: nothing is loaded yet, and models live in a thread of their own."""
    with _imitated(tmp_path / "webui", monkeypatch, STANDINS / "forge") as found:
        import modules

        modules.__path__.append(str(STANDINS / "forge" / "modules"))
        importlib.import_module("standin_forge").become_forge()
        main_thread = importlib.import_module("modules_forge.main_thread")
        main_entry = importlib.import_module("modules_forge.main_entry")
        for style, name in enumerate((ALPHA, BETA, GAMMA), 1):
            found.add(name, style)
            found.change(name, **SMALL)
        thread = threading.Thread(target=main_thread.loop, daemon=True)
        thread.start()
        main_entry.checkpoint_change(found.info(ALPHA).title, save=False)
        yield found
        running = found.runtime
        running.builds.cancel()
        running.queue.join(PATIENCE)
        main_thread._stopped.set()
        thread.join(PATIENCE)
