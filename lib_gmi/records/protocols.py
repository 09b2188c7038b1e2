"""What the core asks of the world: hosts, encoders, interrogators, progress.

The core knows no host and no user interface. It talks to them through the protocols here, and
the small value types that cross those borders live here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Exclusion:
    """A candidate or file that takes no part in the ranking, and why."""

    title: str
    reason: str


#: Identities of candidates that are no file: what a workflow generates with.
RECIPE = "recipe:"


@dataclass(frozen=True)
class Candidate:
    """Whatever is ranked. Today: a checkpoint installed in a host.

    Attributes:
        title: what people see. Titles change (A1111 appends a hash once it is known), so nothing
            is ever keyed on them.
        identity: what the candidate *is*: ``sha256:…`` or, until that is known, ``quick:…``
            (see :mod:`.identity`). Specifications are matched to candidates by it.
        name: the host's stable handle, usually a file name relative to the model folder.
        path: the file, where there is one.
        size: bytes on disk, 0 if unknown.
        architecture: for instance ``"sdxl"``; ``None`` if unknown.
        popularity: position by downloads or the like, smaller is more popular; ``None`` if unknown.
        unsupported: why no specification can be built, or ``None``.
    """

    title: str
    identity: str
    name: str
    path: Path | None = None
    size: int = 0
    architecture: str | None = None
    popularity: int | None = None
    unsupported: str | None = None


@dataclass(frozen=True)
class GenerationSettings:
    """How samples are generated. Stored with each specification, because it decides what they show.

    ``None`` means that the host did not say. ``codec`` names the path of the pixels between the
    generator and the encoder (see :mod:`.images`): a query must go the same way. ``extra`` is the
    host's to use; ``unknown`` keeps what a later version of this program wrote.
    """

    width: int | None = None
    height: int | None = None
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    clip_skip: int | None = None
    vae: str | None = None
    dialect: str = "natural"
    negative: str = ""
    codec: str = "source"
    extra: Mapping[str, Any] = field(default_factory=dict)
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict, with the keys that a later version wrote in their old place."""
        known = asdict(self)
        return {**known.pop("unknown"), **known}


@dataclass(frozen=True)
class GenerationRequest:
    """One image to generate: the prompt as this checkpoint's dialect renders it, and a seed."""

    prompt_id: str
    text: str
    negative: str
    seed: int


class Session(Protocol):
    """A checkpoint that is loaded and can generate."""

    def prepare(self, requests: Sequence[GenerationRequest], settings: GenerationSettings) -> None:
        """Called before the first of ``requests``, with all of them.

        A host does here what is cheaper done once, for instance embed every prompt before the text
        encoder has to make room; a host without such a thing does nothing.
        """

    def generate(self, request: GenerationRequest, settings: GenerationSettings) -> Image.Image:
        """Generate one image.

        Raises:
            HostError: the host refused, or another checkpoint generated.
        """


class Host(Protocol):
    """The program that has the checkpoints and can generate."""

    name: str

    def list_checkpoints(self) -> Sequence[Candidate]:
        """Every installed checkpoint, including those that are unsupported (with the reason)."""

    def default_settings(self, candidate: Candidate) -> GenerationSettings:
        """The settings that suit this candidate."""

    def session(self, candidate: Candidate) -> AbstractContextManager[Session]:
        """Load the candidate for the duration of a ``with`` block, and put back what was loaded.

        Raises:
            HostError: the candidate cannot be loaded.
        """

    def switch(self, candidate: Candidate) -> None:
        """Make the candidate the host's current checkpoint.

        Raises:
            HostError: the host cannot switch, or another checkpoint was loaded.
        """

    def current(self) -> Candidate | None:
        """The checkpoint that the host has loaded, if any."""

    def interrupted(self) -> bool:
        """Whether the user asked to stop. Checked between images."""


class Progress(Protocol):
    """Long work reports here."""

    def update(self, done: int, total: int, message: str = "") -> None:
        """``done`` of ``total`` steps are finished; ``message`` says what is being worked on."""


class SilentProgress:
    """Reports nothing."""

    def update(self, done: int, total: int, message: str = "") -> None:
        return None


@runtime_checkable
class Encoder(Protocol):
    """Image → feature vector.

    ``id`` names the network, its weights and the preprocessing: features of one id are comparable,
    features of different ids never are.
    """

    @property
    def id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Features of n images as float32 ``[n, dim]``, raw (not standardised, not normalised)."""


@runtime_checkable
class TextEncoder(Protocol):
    """Prompt → embedding."""

    @property
    def id(self) -> str: ...

    @property
    def text_dim(self) -> int: ...

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Embeddings of n texts as float32 ``[n, text_dim]``, of unit length."""


@runtime_checkable
class JointEncoder(Protocol):
    """Images and texts → vectors of one space, where a text lies near the images that show it.

    The cosine of the two says how well they fit; images need not have unit length.
    """

    @property
    def id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Vectors of n images as float32 ``[n, dim]``."""

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of n texts as float32 ``[n, dim]``, of unit length."""


@dataclass(frozen=True)
class PseudoPrompt:
    """Text that describes a query image, and where it comes from.

    Attributes:
        source: name of the interrogator; ``library`` for the library's nearest prompt.
        confidence: how probable it is, from 0 to 1; ``None`` if nothing is claimed.
    """

    text: str
    source: str
    confidence: float | None = None


class Interrogator(Protocol):
    """Query image → pseudo-prompt.

    Attributes:
        name: as in the user's order.
        version: changes whenever answers for the same image may; ``None`` if they depend on more
            than the image, so that none may be remembered.
        slow: takes seconds or more, so that it only runs when somebody asks for a description.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str | None: ...

    @property
    def slow(self) -> bool: ...

    def interrogate(
        self,
        image: Image.Image,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> PseudoPrompt | None:
        """Describe one image, or ``None`` where it has nothing to say.

        Args:
            image: RGB, upright.
            progress: told by those that are slow.
            stopped: whether the user asked to stop; a slow one looks between its steps.

        Raises:
            InterrogatorError: it does not work; the message says why.
            InterrogationStoppedError: the user asked to stop.
            MissingExtraError: it needs a package or a model that is not here.
        """
