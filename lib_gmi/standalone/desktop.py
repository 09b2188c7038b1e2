"""What the tab talks to when it is alone: :class:`..ui.bridge.Bridge` without a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.background import Background
from ..base.errors import HostError
from ..checkpoints.overrides import Overrides
from ..library.catalogue import Library
from ..library.embedded import embedded_library
from ..metadata import prompt_of
from ..routes.api import Api
from ..service.build_state import BuildState
from ..service.builds import Builds
from ..service.service import Service, ServiceOptions
from ..service.states import CheckpointState
from ..service.worker import WorkerQueue
from ..ui.bridge import Abilities, Preferences
from .hosts import CANNOT_BUILD, FolderSamples, ImageFolder, ListedLibrary

if TYPE_CHECKING:
    from PIL import Image

_NO_PROGRAM = "There is no program here that could do this."


@dataclass
class Desktop:
    """The tab alone. See :class:`..ui.bridge.Bridge`.

    Attributes:
        program: for sentences.
        abilities: ranks; builds where there is a folder of images.
        api: of the service.
        about: what is ranked, in a sentence.
    """

    api: Api
    abilities: Abilities
    about: str
    program: str = "Find Best Model"

    def preferences(self) -> Preferences:
        # nobody generated these images by surprise
        return Preferences(blur=False)

    def current(self) -> str | None:
        return None

    def load(self, name: str) -> None:
        raise HostError(_NO_PROGRAM)

    def compare(self, names: Sequence[str], prompt: str, seed: int) -> list[Image.Image]:
        raise HostError(_NO_PROGRAM)

    def prompt_of(self, image: Image.Image) -> str | None:
        return prompt_of(image)

    def infotext(self, name: str, prompt: str, negative: str = "") -> str:
        return prompt

    def preview_exists(self, name: str) -> bool:
        return False

    def make_preview(self, name: str) -> None:
        raise HostError(_NO_PROGRAM)

    def undo_preview(self, name: str) -> None:
        raise HostError(_NO_PROGRAM)

    def connect_send(self, button: Any, text: Any) -> None:
        return None

    def title_of(self, name: str) -> str | None:
        return None

    def waiting_for(self) -> str | None:
        return None

    def build_now(self) -> None:
        return None

    def seconds_per_sample(self) -> float | None:
        return None


class _NoBuilds(Builds):
    """Builds of a host that cannot generate: nothing is missing, and nothing can be started.

    Nothing is stored of them: a program's build may wait in this library.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(service, WorkerQueue(lambda job: None), stored=False)

    def start(self, names: Sequence[str] | None, limit: int | None) -> BuildState:
        raise HostError(CANNOT_BUILD)

    def resume(self) -> BuildState:
        raise HostError(CANNOT_BUILD)

    def missing(self, state: CheckpointState, limit: int | None) -> int:
        return 0


class _LookingApi(Api):
    """An API that removes nothing for the sake of a build that cannot be."""

    def rebuild(self, body: Mapping[str, Any]) -> dict[str, Any]:
        raise HostError(CANNOT_BUILD)

    def set_settings(self, body: Mapping[str, Any]) -> dict[str, Any]:
        raise HostError(CANNOT_BUILD)


def of_folder(folder: Path, library: Library) -> Desktop:
    """The tab for a folder of images: builds from it, and ranks what is in it.

    Raises:
        HostError: the folder has no ``images``.
        PromptSetError: ``prompts.json`` is missing or malformed.
    """
    host = ImageFolder(folder, Overrides(library.folder / "folder-settings.json"))
    options = ServiceOptions(samples=FolderSamples, background=Background)
    service = Service(host, library, host.prompt_set, options=options)
    queue = WorkerQueue(lambda job: builds.run(job))  # noqa: PLW0108  they are made below
    builds = Builds(service, queue)
    service.snapshots.advance_soon()
    return Desktop(Api(service, builds), Abilities(build=True), f"the images in {host.folder}")


def of_library(library: Library) -> Desktop:
    """The tab for a library alone, or for the models that ship with this program if it is empty.

    Raises:
        LibraryError: the library cannot be read.
        RankingError: it has nothing that this program can rank.
    """
    empty, home = not library.entries(), library.folder
    about = f"your library in {home}"
    if empty:
        about = "the models that ship with this program, because your library is empty"
        library = embedded_library()  # nobody's to write to
    host = ListedLibrary(library, Overrides(home / "settings.json"))
    options = ServiceOptions(shipped=empty, background=Background)
    service = Service(host, library, host.prompt_set, host.encoder, home, options)
    return Desktop(_LookingApi(service, _NoBuilds(service)), Abilities(), about)
