"""The one service of a running ComfyUI, made when something first needs it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from ..api import Api, build_json
from ..background import Background
from ..builds import Builds, BuildState
from ..hosts.comfyui import ComfyHost, library_folder
from ..library import Library
from ..samples import limit_from_environment
from ..service import Service
from .queue import ComfyQueue


@dataclass(frozen=True)
class Runtime:
    """What nodes and routes share."""

    host: ComfyHost
    service: Service
    queue: ComfyQueue
    builds: Builds
    api: Api


_lock = threading.Lock()
_runtime: Runtime | None = None


def runtime() -> Runtime:
    """The runtime of this process. Loads no model.

    Raises:
        LibraryError: the library's folder cannot be used.
    """
    global _runtime  # noqa: PLW0603  one process is one ComfyUI
    with _lock:
        if _runtime is None:
            _runtime = _make()
        return _runtime


def _make() -> Runtime:
    library = Library(library_folder())
    host = ComfyHost(library.folder)
    service = Service(host, library)
    service.keep_samples = lambda: library.samples.has_room(limit_from_environment())
    service.advance_soon = Background(service.advance)
    service.on_advance = lambda name: _send("gmi.library", {"snapshot": name})
    queue = ComfyQueue()
    builds = Builds(service, queue, _tell)
    return Runtime(host, service, queue, builds, Api(service, builds))


def _tell(state: BuildState) -> None:
    _send("gmi.build", build_json(state))


def _send(event: str, data: dict[str, Any]) -> None:
    """To every open front end."""
    from server import PromptServer

    PromptServer.instance.send_sync(event, data)
