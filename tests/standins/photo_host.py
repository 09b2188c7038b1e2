"""A stand-in host whose images are worth looking at, with everything that a tab can ask of one.

Real checkpoints cannot be had offline, and random weights make noise. Here a checkpoint is a small
file whose header names a filter, and what it "generates" is a photograph that ships with
scikit-image, seen through that filter. It serves the browser tests and the screenshots:

    python -m standins.photo_host --port 7860       with tests/ on the path
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any

from PIL import Image

from lib_gmi.base.background import Background
from lib_gmi.base.errors import HostError, StoppedError
from lib_gmi.library.catalogue import Library
from lib_gmi.metadata import prompt_of
from lib_gmi.records.protocols import Candidate, GenerationRequest, GenerationSettings
from lib_gmi.routes.api import Api
from lib_gmi.service.builds import Builds
from lib_gmi.service.jobs import Job
from lib_gmi.service.service import Service, ServiceOptions
from lib_gmi.service.worker import WorkerQueue
from lib_gmi.submitting.recorder import BASE_SEED
from lib_gmi.ui.bridge import Abilities, Bridge, Preferences
from standins.colours import ColourSpace
from standins.host import StandInHost, write_checkpoint
from standins.photo_filters import drawn, prompt_set

#: File name → style; "XL" in a name makes it an SDXL file.
CHECKPOINTS = {
    "painterly/watercolourDreams_v7.safetensors": "watercolour",
    "painterly/oilImpasto_v30.safetensors": "oil",
    "drawn/inkSketch_v12.safetensors": "ink",
    "drawn/halftonePop_v4.safetensors": "halftone",
    "drawn/comicBold_v2.safetensors": "comic",
    "neonNoirXL_v10.safetensors": "neon",
    "blueprintXL_v3.safetensors": "blueprint",
    "pixelWorlds_v4.safetensors": "pixels",
    "analogFilm_v15.safetensors": "film",
    "cleanStudio_v5.safetensors": "studio",
    "cleanStudio_v5_pruned.safetensors": "studio-again",
    "daylightXL_base.safetensors": "plain",
}
#: Installed as well, and not built at first.
NOT_BUILT = {"softDream_v2.safetensors": "dream", "nightfallXL_turbo.safetensors": "night"}
UNSUPPORTED = "vae/kl-f8-anime2.safetensors"
#: What nobody should call a checkpoint, and some will.
HOSTILE = {
    "<img src=x onerror=window.hostile=1>.safetensors": "sepia",
    "\"><svg onload=window.hostile=2>'`${window.hostile=3}&lt;b&gt;.safetensors": "cyanotype",
}


_SIZES = {"sd1": 2_132_625_644, "sdxl": 6_938_041_050}


class PhotoHost(StandInHost):
    """See the module's docstring.

    Attributes:
        delay: seconds that an image takes besides its drawing.
        loading: seconds that loading takes.
    """

    name = "photographs"

    def __init__(self, models: Path, folder: Path, delay: float = 0.0, loading: float = 0.0):
        super().__init__(models, folder)
        self.delay, self.loading = delay, loading
        self._current: str | None = None
        self._one = threading.RLock()  # it draws or loads one at a time

    def image_folders(self) -> list[Path]:
        """Where it would save images: a folder that is there only if somebody made it."""
        outputs = self.models.parent / "outputs"
        return [outputs] if outputs.is_dir() else []

    def list_checkpoints(self) -> list[Candidate]:
        # as large as such files are; these have a header alone
        found = super().list_checkpoints()
        return [replace(c, size=_SIZES.get(c.architecture or "", c.size)) for c in found]

    @contextmanager
    def session(self, candidate: Candidate) -> Iterator[PhotoSession]:
        with self._one:
            yield PhotoSession(self, candidate)

    def switch(self, candidate: Candidate) -> None:
        if candidate.unsupported is not None:
            raise HostError(f"{candidate.title}: {candidate.unsupported}")
        with self._one:
            time.sleep(self.loading)
            self._current = candidate.name

    def current(self) -> Candidate | None:
        found = (c for c in self.list_checkpoints() if c.name == self._current)
        return next(found, None)

    def draw(self, candidate: Candidate, number: int) -> Image.Image:
        """An image of a photograph; it can be interrupted while it waits.

        It takes as long as a file ``held`` lies beside the models: a test that looks at a running
        build must not race it.
        """
        assert candidate.path is not None
        held = self.models.parent / "held"
        until = time.monotonic() + self.delay
        while True:
            if self.interrupted():
                self._interrupt = False
                raise StoppedError
            left = until - time.monotonic()
            if left <= 0 and not held.exists():
                break
            time.sleep(min(max(left, 0.005), 0.02))
        return drawn(self.files.facts(candidate.path).metadata["style"], number)


class SlowColours(ColourSpace):
    """Search by a stand-in encoder that takes so long for each image."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def encode_images(self, images: Sequence[Image.Image]) -> Any:
        time.sleep(self.seconds * len(images))
        return super().encode_images(images)


@dataclass
class PhotoSession:
    """A checkpoint that the host has loaded."""

    host: PhotoHost
    candidate: Candidate

    def prepare(self, requests: Sequence[GenerationRequest], settings: GenerationSettings) -> None:
        return None

    def generate(self, request: GenerationRequest, settings: GenerationSettings) -> Image.Image:
        return self.host.draw(self.candidate, request.seed - BASE_SEED)


@dataclass
class PhotoBridge:
    """See :class:`lib_gmi.ui.bridge.Bridge`; what is sent goes into a text box of its own."""

    api: Api
    host: PhotoHost
    abilities: Abilities = Abilities(  # noqa: RUF009  it never changes
        load=True, build=True, compare=True, send=True, interrogate=True, preview=True
    )
    program: str = "the stand-in"
    blur: bool = False
    _previews: set[str] = field(default_factory=set)

    def preferences(self) -> Preferences:
        return Preferences(blur=self.blur)

    def current(self) -> str | None:
        found = self.host.current()
        return None if found is None else found.name

    def load(self, name: str) -> None:
        self.host.switch(self.api.service.candidates.installed(name))

    def compare(self, names: Sequence[str], prompt: str, seed: int) -> list[Image.Image]:
        words = [known.text for known in self.api.service.prompt_set.prompts]
        number = words.index(prompt) if prompt in words else seed % 1000
        return [
            self.host.draw(c, number)
            for c in self.api.service.candidates.all_installed(list(names))
        ]

    def prompt_of(self, image: Image.Image) -> str | None:
        return prompt_of(image)

    @staticmethod
    def interrogate(image: Image.Image) -> str:
        return "a photograph, seen through a filter"

    def infotext(self, name: str, prompt: str, negative: str = "") -> str:
        return f"{prompt} | {negative}"

    def preview_exists(self, name: str) -> bool:
        return name in self._previews

    def make_preview(self, name: str) -> None:
        self._previews.add(name)

    def undo_preview(self, name: str) -> None:
        self._previews.discard(name)

    def connect_send(self, button: Any, text: Any) -> None:
        import gradio as gr

        gr.Textbox("my own", elem_id="txt2img_neg_prompt")
        sent = gr.Textbox(elem_id="txt2img_prompt")
        button.click(lambda infotext: infotext, [text], [sent], api_name=False)

    def title_of(self, name: str) -> str | None:
        return None

    def waiting_for(self) -> str | None:
        return None

    def build_now(self) -> None:
        return None

    def seconds_per_sample(self) -> float | None:
        return 2.5


class HandedOn:
    """An event as Forge hands it on: its signature names no option, and ``_js`` is still known."""

    def __init__(self, event: Any) -> None:
        self.event = event

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if "_js" in kwargs:
            kwargs["js"] = kwargs.pop("_js")
        return self.event(*args, **kwargs)


def hand_events_on() -> None:
    """Let gradio's buttons have events as in Forge."""
    import gradio as gr

    make = gr.Button.__init__

    @wraps(make)  # gradio reads off its signature what the page is told of a button
    def made(button: Any, *args: Any, **kwargs: Any) -> None:
        make(button, *args, **kwargs)
        button.click = HandedOn(button.click)

    gr.Button.__init__ = made


@dataclass
class Photos:
    """The running host with everything that its faces share."""

    host: PhotoHost
    queue: WorkerQueue
    service: Service
    builds: Builds
    bridge: PhotoBridge

    def build(self, names: Sequence[str], limit: int) -> None:
        """Build, and wait until that is done and answers have followed."""
        self.builds.start(list(names), limit)
        self.queue.join()
        self.service.snapshots.advance()


def install(models: Path, checkpoints: dict[str, str]) -> None:
    """Write checkpoint files."""
    for name, style in checkpoints.items():
        write_checkpoint(models / name, style, "sdxl" if "XL" in name else "sd1")


def start(folder: Path, delay: float = 0.0, loading: float = 0.0) -> Photos:
    """Start the host on a folder; starting it again there is a restart.

    Args:
        folder: has, or gets, ``models`` and ``library``.
        delay: seconds that an image takes besides its drawing.
        loading: seconds that loading takes.
    """
    library = Library(folder / "library")
    host = PhotoHost(folder / "models", library.folder, delay, loading)
    host.models.mkdir(parents=True, exist_ok=True)

    def work(job: Job) -> None:
        host.begin()
        builds.run(job)

    options = ServiceOptions(interrogator=PhotoBridge.interrogate, background=Background)
    service = Service(host, library, prompt_set(), options=options)
    queue = WorkerQueue(work, stop=host.interrupt)
    builds = Builds(service, queue)
    return Photos(host, queue, service, builds, PhotoBridge(Api(service, builds), host))


def furnish(folder: Path, samples: int = 4, hostile: bool = False) -> None:
    """Fill a folder with checkpoints and a library that is worth looking at."""
    chosen = {**CHECKPOINTS, **(HOSTILE if hostile else {})}
    install(folder / "models", {**chosen, **NOT_BUILT})
    write_checkpoint(folder / "models" / UNSUPPORTED, "vae", "vae")
    start(folder).build(list(chosen), samples)


def query(name: str, number: int = 18) -> Image.Image:
    """What a checkpoint makes of a photograph that no specification holds."""
    return drawn({**CHECKPOINTS, **NOT_BUILT, **HOSTILE}[name], number)


def main() -> None:
    """Serve the tab."""
    from lib_gmi.standalone.desktop import of_library
    from lib_gmi.standalone.server import serve

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int)
    parser.add_argument("--folder", type=Path, help="kept; by default a new one each time")
    parser.add_argument("--samples", type=int, default=4, help="of each checkpoint, if not there")
    parser.add_argument("--delay", type=float, default=0.3, help="seconds an image takes")
    parser.add_argument("--loading", type=float, default=0.5, help="seconds loading takes")
    parser.add_argument("--alone", action="store_true", help="no host: what ships with the program")
    parser.add_argument("--hostile", action="store_true", help="also names that are an attack")
    parser.add_argument("--blur", action="store_true")
    parser.add_argument("--handed-on", action="store_true", help=HandedOn.__doc__)
    parser.add_argument("--colours", type=float, metavar="SECONDS", help=SlowColours.__doc__)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    bridge: Bridge
    if arguments.alone:
        bridge = of_library(Library(folder / "library"))
    else:
        if not (folder / "models").is_dir():
            furnish(folder, arguments.samples, arguments.hostile)
        bridge = photos = start(folder, arguments.delay, arguments.loading).bridge
        photos.blur = arguments.blur
        if arguments.colours is not None:
            bridge.api.searches.load = lambda: SlowColours(arguments.colours)
    bridge.api.service.snapshots.advance()
    if arguments.handed_on:
        hand_events_on()
    page = serve(bridge, arguments.port)
    print(json.dumps({"address": page.address, "folder": str(folder)}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
