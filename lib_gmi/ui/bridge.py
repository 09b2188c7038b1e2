"""What a program lends to the tab.

The tab ranks, shows and builds by itself, through :class:`..routes.api.Api`. Everything that
touches the program around it goes through here, so that the same tab runs in AUTOMATIC1111, in its
forks, and alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..routes.api import Api

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Abilities:
    """What the program around the tab can do; the tab shows no button that does nothing.

    Attributes:
        load: make a checkpoint the current one.
        build: generate samples.
        compare: generate one image with each of several checkpoints.
        send: put a prompt and settings into txt2img.
        interrogate: describe an image in words.
        preview: show a picture of each checkpoint that lies beside its file.
    """

    load: bool = False
    build: bool = False
    compare: bool = False
    send: bool = False
    interrogate: bool = False
    preview: bool = False


@dataclass(frozen=True)
class Preferences:
    """What the user chose in the program's settings.

    Attributes:
        blur: samples are blurred until they are pointed at.
    """

    blur: bool = True


class Bridge(Protocol):
    """See the module's docstring. Everything raises ``GMIError`` with a message for people."""

    abilities: Abilities

    @property
    def program(self) -> str:
        """Its name, for sentences: "AUTOMATIC1111"."""

    @property
    def api(self) -> Api:
        """What every face asks."""

    def preferences(self) -> Preferences:
        """As they are now."""

    def current(self) -> str | None:
        """Name of the checkpoint that is loaded, if any."""

    def load(self, name: str) -> None:
        """Load a checkpoint and verify that it was loaded.

        Raises:
            HostError: it is gone, or something else was loaded.
        """

    def title_of(self, name: str) -> str | None:
        """How the program's own list of checkpoints calls one, if it has such a list."""

    def compare(self, names: Sequence[str], prompt: str, seed: int) -> list[Image.Image]:
        """One image of each checkpoint, in this order, with settings that suit it.

        What was loaded before is loaded again afterwards. Waits for the program's queue.

        Raises:
            HostError: a checkpoint cannot generate.
        """

    def prompt_of(self, image: Image.Image) -> str | None:
        """The prompt that an image's own metadata names, without the rest of its settings."""

    def infotext(self, name: str, prompt: str, negative: str = "") -> str:
        """A prompt with the settings that suit a checkpoint, in the form that txt2img reads.

        Args:
            name: of the checkpoint.
            prompt: in words.
            negative: takes the place of the negative prompt that suits the checkpoint.
        """

    def preview_exists(self, name: str) -> bool:
        """Whether a picture lies beside a checkpoint's file already."""

    def make_preview(self, name: str) -> None:
        """Put a checkpoint's best sample beside its file, where there is no picture yet.

        Raises:
            HostError: there is one, there is no sample, or it cannot be written.
        """

    def undo_preview(self, name: str) -> None:
        """Take away what :meth:`make_preview` made.

        Raises:
            HostError: the picture is not one that was made here, or it cannot be removed.
        """

    def connect_send(self, button: Any, text: Any) -> None:
        """Let a (hidden) gradio button paste the infotext of a (hidden) textbox into txt2img."""

    def waiting_for(self) -> str | None:
        """Why a running build does nothing at the moment ("waiting until …"), or ``None``."""

    def build_now(self) -> None:
        """Do not wait for the user to be idle, for as long as this build runs."""

    def seconds_per_sample(self) -> float | None:
        """A rough guess from what this machine is, for before the first sample was generated."""
