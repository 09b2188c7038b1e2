"""AUTOMATIC1111's web UI and its forks: callbacks, scripts, settings, and the build queue."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

TITLE = "Find Best Model"
_UNSUPPORTED = (
    f"{TITLE}: SD.Next is not supported, so this extension adds nothing to it. It works in "
    "AUTOMATIC1111, Forge, reForge and ComfyUI."
)


def start() -> type[Any] | None:
    """Register everything with the web UI. Called each time that it loads its scripts.

    Returns:
        The class of our script, which the web UI looks for in the file that calls this; ``None``
        where the web UI is not supported, and nothing was registered.
    """
    if importlib.util.find_spec("modules.sd_checkpoint") is not None:
        # SD.Next loads the scripts of such extensions, but it generates with pipelines of
        # diffusers: neither its checkpoints nor its options are those of the web UI that it came
        # from. It logs each line that a script prints while it is loaded; its logger's own lines
        # are taken apart there, and those of other loggers are shown nowhere.
        print(_UNSUPPORTED)
        return None
    from modules import script_callbacks

    from . import options
    from .script import BestCheckpointScript

    for register, callback in (
        (script_callbacks.on_ui_settings, options.register),
        (script_callbacks.on_ui_tabs, _tabs),
        (script_callbacks.on_before_ui, _before_ui),
        (script_callbacks.on_app_started, _app_started),
        (script_callbacks.on_script_unloaded, _unloaded),
    ):
        register(_harmless(callback))
    return BestCheckpointScript


def _harmless(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Trouble of ours must not keep the web UI from starting."""

    @wraps(callback)
    def guarded(*arguments: Any) -> Any:
        try:
            return callback(*arguments)
        except Exception:
            logging.exception("%s: %s failed", TITLE, callback.__name__)
            return None

    return guarded


def _tabs() -> list[tuple[Any, str, str]]:
    from ..ui.tab import build
    from .bridge import WebUIBridge

    return [(build(WebUIBridge()), TITLE, "gmi")]


def _before_ui() -> None:
    from . import xyz

    xyz.register()


def _app_started(demo: Any, app: Any) -> None:
    from . import routes

    routes.register(app)


def _unloaded() -> None:
    """The user reloads the page's scripts: a build goes on when they ask for it."""
    from .runtime import running

    if (now := running()) is not None:
        now.builds.pause()
