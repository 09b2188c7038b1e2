"""The one service of a running web UI, made when something first needs it."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from ..base.background import Background
from ..base.errors import HostError, StoppedError
from ..base.paths import library_folder_in
from ..hosts.a1111 import JOB, A1111Host
from ..interrogators import parse_order
from ..library.catalogue import Library
from ..records.prompts import PromptSet
from ..routes.api import Api
from ..service.build_state import RUNNING
from ..service.builds import Builds
from ..service.jobs import Job
from ..service.politeness import Politeness
from ..service.service import Service, ServiceOptions
from ..service.worker import WorkerQueue
from . import interrogator, options


@dataclass(frozen=True)
class Runtime:
    """What the tab, the routes and the scripts share."""

    host: A1111Host
    service: Service
    queue: WorkerQueue
    builds: Builds
    api: Api
    politeness: Politeness


_lock = threading.Lock()
_runtime: Runtime | None = None


def runtime() -> Runtime:
    """The runtime of this process. Loads no model.

    Raises:
        GMIError: the library's folder or the prompt set cannot be used.
    """
    global _runtime  # noqa: PLW0603  one process is one web UI
    with _lock:
        if _runtime is None:
            _runtime = _make()
        return _runtime


def library_folder() -> Path:
    """From the settings, ``$GMI_LIBRARY``, or ``gmi`` in the web UI's data folder."""
    from modules import paths_internal

    return options.chosen().library or library_folder_in(paths_internal.data_path)


def _make() -> Runtime:
    chosen = options.chosen()
    library = Library(library_folder(), kept_aside=lambda: options.chosen().kept_aside)
    host = A1111Host(library.folder, sidecars=lambda: options.chosen().sidecars)
    prompt_set = None if chosen.prompt_set is None else PromptSet.load(chosen.prompt_set)
    wanted = ServiceOptions(
        device=chosen.device,
        keep_samples=lambda: _keeps_samples(library),
        order=lambda: parse_order(options.chosen().interrogators),
        interrogator=interrogator.interrogate,
        background=Background,
    )
    service = Service(host, library, prompt_set, chosen.encoder, options=wanted)
    politeness = Politeness(
        lambda: not host.working and somebody_works(),
        lambda: options.chosen().idle_minutes * 60,
    )

    def wait_for_turn() -> None:
        if not politeness.wait(lambda: builds.state().state == RUNNING and not host.interrupted()):
            raise StoppedError

    def work(job: Job) -> None:
        host.begin()
        try:
            host.calculate_hash(job.name)
            service.candidates.settle()
        except HostError:
            pass  # the build finds out as well, and reports it
        except Exception:  # of a cache, a disk: whether a build can go on, it finds out by itself
            logging.exception("Find Best Model: a checkpoint could not be hashed")
        host.before_image = wait_for_turn
        try:
            builds.run(job)
        finally:
            host.before_image = lambda: None

    queue = WorkerQueue(
        work,
        stop=host.interrupt,
        gate=politeness.look,
        before=politeness.hurry,  # who asks for a build wants it now
        after=host.put_back,
    )
    builds = Builds(
        service,
        queue,
        waiting_for=lambda: queue.waiting_for or politeness.look(),
        waited=lambda: host.waited,
    )
    return Runtime(host, service, queue, builds, Api(service, builds), politeness)


def _keeps_samples(library: Library) -> bool:
    chosen = options.chosen()
    return chosen.keep_samples and library.samples.has_room(chosen.samples_limit)


def somebody_works() -> bool:
    """Whether the web UI is busy with something that is not ours."""
    from modules import call_queue, shared

    job, lock = str(shared.state.job or ""), getattr(call_queue.queue_lock, "_lock", None)
    if lock is None:
        return job not in ("", JOB)
    # a job that failed may leave its name behind; only training goes on without the lock
    return bool(lock.locked()) or job.startswith("train")


def running() -> Runtime | None:
    """The runtime, if anything has needed it yet."""
    return _runtime
