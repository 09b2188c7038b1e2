"""The one service of a running ComfyUI, made when something first needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..base.background import Background
from ..hosts.comfyui import ComfyHost, library_folder
from ..interrogators import order_from_environment
from ..library.catalogue import Library
from ..library.samples import limit_from_environment
from ..routes.api import Api
from ..routes.rows import build_json
from ..service.build_state import BuildState
from ..service.builds import Builds
from ..service.checks import Checks
from ..service.politeness import Politeness
from ..service.service import Service, ServiceOptions
from .preferences import idle_minutes, kept_aside
from .queue import ComfyQueue, keep_models, somebody_works
from .watch import Watch


@dataclass(frozen=True)
class Runtime:
    """What nodes and routes share."""

    host: ComfyHost
    service: Service
    queue: ComfyQueue
    builds: Builds
    api: Api
    politeness: Politeness

    def rest(self) -> None:
        """After the last job of a build: the models that the user had loaded are loaded again."""
        if self.queue.resting:
            self.host.put_back()


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


def somebody_queues(request: Any) -> Any:
    """For ComfyUI, which asks before it queues a prompt of somebody's; ours do not come this way.

    A job that runs gives way after its image, also to a prompt that nobody sees running.
    """
    if _runtime is not None:
        _runtime.politeness.seen()
    return request


def _make() -> Runtime:
    library = Library(library_folder(), kept_aside=kept_aside)
    host = ComfyHost(library.folder)
    recognise = Background(lambda: _recognise(host, service))

    def advanced(name: str) -> None:
        _send("gmi.library", {"snapshot": name})
        recognise()  # a pack may be new

    options = ServiceOptions(
        keep_samples=lambda: library.samples.has_room(limit_from_environment()),
        order=order_from_environment,
        on_advance=advanced,
        background=Background,
    )
    service = Service(host, library, options=options)
    politeness = Politeness(somebody_works, lambda: idle_minutes() * 60)
    queue = ComfyQueue(
        politeness.look,
        before=politeness.hurry,  # who asks for a build wants it now
        wanted=lambda job: builds.wants(job),  # noqa: PLW0108  they are made below
        watch=Watch(lambda: queue.look()),  # noqa: PLW0108
        told=lambda: _tell(builds.state(), queue.waiting_for),
        keep=keep_models(lambda job: host.has_room(job.name)),
    )
    builds = Builds(
        service,
        queue,
        notify=lambda state: _tell(state, queue.waiting_for),
        waiting_for=lambda: queue.waiting_for,
        yields=queue.yields,
    )
    checks = Checks(
        service,
        submit=queue.submit_check,
        queued=queue.checks,
        compare=_apart,
        notify=lambda outcome: _send("gmi.check", outcome),
    )
    api = Api(service, builds, checks)
    if service.states.packs.folder.is_dir():
        service.snapshots.advance_soon()  # what a pack describes may have been installed since
    return Runtime(host, service, queue, builds, api, politeness)


def _recognise(host: ComfyHost, service: Service) -> None:
    """Find out which files packs describe. In a thread of its own: that can take longer than all
    fits together, and answers need not wait for it."""
    sizes, titles = service.states.packs.files()
    if sizes and host.full_hashes.read(host.list_checkpoints(), sizes, titles):
        service.snapshots.advance()
        _send("gmi.library", {"snapshot": service.snapshots.name})


def _apart(work: Callable[[], None]) -> None:
    """A comparison fits the library several times, which is nothing for the queue's worker."""
    threading.Thread(target=work, name="gmi-check", daemon=True).start()


def _tell(state: BuildState, waiting: str | None) -> None:
    _send("gmi.build", build_json(state, waiting))


def _send(event: str, data: dict[str, Any]) -> None:
    """To every open front end."""
    from server import PromptServer

    PromptServer.instance.send_sync(event, data)
