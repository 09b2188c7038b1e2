"""A stand-in for a running host, and for its queue.

No image model runs here: a checkpoint is a small file whose header names a style, and what it
"generates" is :func:`conftest.picture` in that style. Everything else is as in a real host: files
in folders, identities and facts read from them, presets, settings of the user, a queue that holds
the jobs until their turn comes, and an interruption that is an exception of the host's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from conftest import TINY, picture, prompt_set
from PIL import Image

from lib_gmi.base.errors import HostError
from lib_gmi.checkpoints.file_index import FileIndex
from lib_gmi.checkpoints.overrides import Overrides, apply
from lib_gmi.checkpoints.presets import Preset, find
from lib_gmi.interrogators import DEFAULT_ORDER
from lib_gmi.library.catalogue import Library
from lib_gmi.records.prompts import PromptSet
from lib_gmi.records.protocols import Candidate, GenerationRequest, GenerationSettings
from lib_gmi.routes.api import Api
from lib_gmi.service.build_state import BuildState
from lib_gmi.service.builds import Builds
from lib_gmi.service.checks import Checks
from lib_gmi.service.jobs import Job
from lib_gmi.service.service import Service, ServiceOptions

_UNET = "model.diffusion_model."
_COMPLETE = ("first_stage_model.decoder.conv_in.weight", "cond_stage_model.transformer.weight")
#: Tensors by what a file is; shapes where they matter.
_TENSORS: dict[str, dict[str, list[int]]] = {
    **{
        architecture: {
            f"{_UNET}input_blocks.0.0.weight": [320, 4, 3, 3],
            f"{_UNET}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": [640, context],
            **{name: [1] for name in _COMPLETE},
        }
        for architecture, context in (("sd1", 768), ("sd2", 1024), ("sdxl", 2048))
    },
    "vae": {"decoder.conv_in.weight": [512, 4, 3, 3]},
}

BLACK = "black"


class InterruptedByUser(Exception):  # noqa: N818  hosts name theirs as they like
    """What this host raises out of a running job when the user interrupts it."""


def write_checkpoint(path: Path, style: int | str = 0, architecture: str = "sd1") -> Path:
    """A file that this host "generates" with; files of one style and architecture are equal.

    Args:
        path: its folders are created.
        style: of its pictures, or :data:`BLACK`.
        architecture: what its tensors say: sd1, sd2, sdxl, or vae, which is no checkpoint.
    """
    header = {"__metadata__": {"style": str(style)}} | {
        name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 2]}
        for name, shape in _TENSORS[architecture].items()
    }
    raw = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + b"\0\0")
    return path


class StandInHost:
    """See the module's docstring.

    Args:
        models: the folder of its checkpoints.
        folder: where settings and caches are kept.

    Attributes:
        unloadable: names of checkpoints that cannot be loaded, and why.
        black: (name, prompt id) of images that come out black.
        before_drawing: called with each request, while its image is being generated.
        asked: (name, prompt id) of every request, in order.
        loaded: names of checkpoints in the order in which they were loaded.
        hashes: better identities that the host has found out.
        order: of interrogators, as the user chose it.
        interrogator: of the host, if it has one.
    """

    name = "stand-in"

    def __init__(self, models: Path, folder: Path) -> None:
        self.models = models
        self.files = FileIndex(folder / "files.json")
        self.overrides = Overrides(folder / "settings.json")
        self.unloadable: dict[str, str] = {}
        self.black: set[tuple[str, str]] = set()
        self.before_drawing: Callable[[Candidate, GenerationRequest], None] = lambda c, r: None
        self.asked: list[tuple[str, str]] = []
        self.loaded: list[str] = []
        self.hashes: dict[str, str] = {}
        self.order: Callable[[], Sequence[str]] = lambda: DEFAULT_ORDER
        self.interrogator: Callable[[Image.Image], str] = lambda image: ""
        self._interrupt = False

    def list_checkpoints(self) -> list[Candidate]:
        found = [self._candidate(path) for path in sorted(self.models.rglob("*.safetensors"))]
        self.files.save()
        return found

    def _candidate(self, path: Path) -> Candidate:
        name = path.relative_to(self.models).as_posix()
        facts = self.files.facts(path)
        return Candidate(
            name.removesuffix(".safetensors"),
            self.files.identity(path),
            name,
            path,
            path.stat().st_size,
            facts.architecture,
            unsupported=facts.unsupported,
        )

    def preset(self, candidate: Candidate) -> Preset:
        if candidate.path is None:
            raise HostError(f"{candidate.title}: is not installed.")
        return find(self.files.facts(candidate.path), candidate.path)

    def choices(self) -> dict[str, list[str]]:
        return {"samplers": ["euler", "dpmpp_2m"], "schedulers": ["normal", "karras"]}

    def image_folders(self) -> list[Path]:
        """See :meth:`.service.InstalledHost.image_folders`."""
        return []

    def preview_folders(self) -> list[Path]:
        """See :meth:`.service.InstalledHost.preview_folders`."""
        return []

    def hashed(self) -> dict[str, str]:
        return dict(self.hashes)

    def default_settings(self, candidate: Candidate) -> GenerationSettings:
        changes = self.overrides.get(candidate.identity)
        return apply(self.preset(candidate).settings, changes)

    @contextmanager
    def session(self, candidate: Candidate) -> Iterator[StandInSession]:
        self.loaded.append(candidate.name)
        if candidate.name in self.unloadable:
            raise HostError(f"{candidate.title}: {self.unloadable[candidate.name]}")
        yield StandInSession(self, candidate)

    def switch(self, candidate: Candidate) -> None:
        raise HostError("This host has no current checkpoint.")

    def current(self) -> Candidate | None:
        return None

    def interrupt(self) -> None:
        """The user presses the host's own button for it."""
        self._interrupt = True

    def interrupted(self) -> bool:
        return self._interrupt

    def begin(self) -> None:
        """A job begins: an interruption that came too late for the last one is forgotten."""
        self._interrupt = False

    def stop_if_interrupted(self) -> None:
        """What the host does in every step of its sampler."""
        if self._interrupt:
            self._interrupt = False
            raise InterruptedByUser


@dataclass
class StandInSession:
    """A checkpoint that the stand-in has "loaded"."""

    host: StandInHost
    candidate: Candidate
    prepared: list[str] = field(default_factory=list)

    def prepare(self, requests: Sequence[GenerationRequest], settings: GenerationSettings) -> None:
        self.prepared.extend(request.prompt_id for request in requests)

    def generate(self, request: GenerationRequest, settings: GenerationSettings) -> Image.Image:
        assert request.prompt_id in self.prepared
        self.host.asked.append((self.candidate.name, request.prompt_id))
        self.host.before_drawing(self.candidate, request)
        self.host.stop_if_interrupted()
        assert self.candidate.path is not None
        style = self.host.files.facts(self.candidate.path).metadata["style"]
        if self.host.asked[-1] in self.host.black:
            style = BLACK
        return drawn(style, request.seed)


def drawn(style: int | str, seed: int) -> Image.Image:
    """What a checkpoint of this style makes of the prompt with this seed."""
    return Image.new("RGB", (32, 32)) if style == BLACK else picture(int(style), seed)


@dataclass
class StandInQueue:
    """The host's queue; a test decides when the next job's turn has come.

    Attributes:
        host: that is interrupted.
        work: does a job: :meth:`lib_gmi.service.builds.Builds.run`.
        waiting: jobs that have not begun.
        running: the job that has.
        done: jobs that ended, in order.
        errors: what escaped from them; the host shows it to the user and goes on.
    """

    host: StandInHost
    work: Callable[[Job], object]
    waiting: list[Job] = field(default_factory=list)
    running: Job | None = None
    done: list[Job] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def submit(self, jobs: Sequence[Job]) -> None:
        self.waiting.extend(jobs)

    def withdraw(self) -> None:
        self.waiting.clear()

    def interrupt(self) -> None:
        if self.running is not None:
            self.host.interrupt()

    def pending(self) -> int:
        return len(self.waiting) + (self.running is not None)

    def run_next(self) -> Job:
        """Run the job whose turn it is."""
        job = self.running = self.waiting.pop(0)
        try:
            self.work(job)
        except Exception as error:
            self.errors.append(error)
        finally:
            self.running = None
            self.done.append(job)
        return job

    def run_all(self) -> None:
        """Run until nothing is waiting."""
        while self.waiting:
            self.run_next()


@dataclass
class Running:
    """A running host with everything that its faces share.

    Attributes:
        told: what was shown of the build, oldest first.
        moved: names of the snapshots that were announced.
    """

    host: StandInHost
    queue: StandInQueue
    service: Service
    builds: Builds
    api: Api
    told: list[BuildState]
    moved: list[str]

    @property
    def library(self) -> Library:
        return self.service.library

    def build(self, names: Sequence[str] | None = None, limit: int | None = None) -> None:
        """Start a build, and run it to its end."""
        self.builds.start(names, limit)
        self.queue.run_all()

    def states(self) -> dict[str, str]:
        """State by name."""
        return {s.candidate.name: s.state for s in self.service.states.all()}

    def samples(self) -> dict[str, int]:
        """Number of samples by name."""
        return {s.candidate.name: s.samples for s in self.service.states.all()}

    def install(self, name: str, style: int | str = 0, architecture: str = "sd1") -> str:
        """Put a checkpoint into the host's folder; returns its name."""
        write_checkpoint(self.host.models / name, style, architecture)
        return name


@dataclass(frozen=True)
class Wanted:
    """What differs from test to test.

    Attributes:
        encoder: of images.
        on_advance: told of snapshots, besides :attr:`Running.moved`.
        background: see :class:`.ServiceOptions`.
        waited: see :class:`.Builds`.
        queue_of: makes the host's queue.
        checks_told: of every outcome of a spot check.
    """

    encoder: str = TINY
    on_advance: Callable[[str], None] = lambda name: None
    background: Callable[[Callable[[], None]], Callable[[], None]] = lambda work: work
    waited: Callable[[], float] = lambda: 0.0
    queue_of: Callable[[StandInHost, Callable[[Job], object]], Any] = StandInQueue
    checks_told: Callable[[dict[str, Any]], None] = lambda outcome: None


def start(
    models: Path,
    folder: Path,
    prompts: int | PromptSet = 6,
    **wanted: Any,
) -> Running:
    """Start the host; starting it again on the same folders is a restart.

    Args:
        models: the folder of its checkpoints.
        folder: of the library.
        prompts: of the prompt set, or how many.
        wanted: see :class:`Wanted`.
    """
    chosen = Wanted(**wanted)
    models.mkdir(parents=True, exist_ok=True)
    host = StandInHost(models, folder)
    queue = chosen.queue_of(host, lambda job: builds.run(job))  # noqa: PLW0108
    words = prompt_set(prompts) if isinstance(prompts, int) else prompts
    told: list[BuildState] = []
    moved: list[str] = []

    def advanced(name: str) -> None:
        moved.append(name)
        chosen.on_advance(name)

    options = ServiceOptions(
        order=lambda: host.order(),  # noqa: PLW0108
        interrogator=lambda image: host.interrogator(image),  # noqa: PLW0108
        on_advance=advanced,
        background=chosen.background,
    )
    service = Service(host, Library(folder), words, chosen.encoder, options=options)
    builds = Builds(
        service,
        queue,
        lambda state: told.append(replace(state, problems=[*state.problems])),
        waited=chosen.waited,
    )
    api = Api(service, builds, Checks(service, notify=chosen.checks_told))
    return Running(host, queue, service, builds, api, told, moved)
