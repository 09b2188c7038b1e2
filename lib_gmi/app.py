"""The use cases: what every face (command line, tab, nodes, routes) calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import fitted as fitting
from .encoders import TEXT_DEFAULT, load, load_text, registry
from .errors import MissingExtraError
from .fitted import FittedLibrary, Selection
from .identify import Ranking, identify, requirement
from .images import open_image
from .kernels import load_prior
from .library import Library
from .paths import data_folder
from .protocols import Progress
from .submit import Builder, BuildSummary

if TYPE_CHECKING:
    from PIL import Image

    from .prompts import PromptSet
    from .protocols import Candidate, Encoder, Host, TextEncoder


def build(
    host: Host,
    prompt_set: PromptSet,
    library: Library,
    encoder: str,
    candidates: Sequence[Candidate] | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> BuildSummary:
    """Build the specifications that are missing. See :class:`.submit.Builder`."""
    builder = Builder(host, prompt_set, library, load(encoder), optional_text_encoder(), progress)
    return builder.build(candidates, limit)


def open_fitted(
    library: Library,
    encoder: str | None = None,
    use_prior: bool = True,
    progress: Progress | None = None,
    selection: Selection | None = None,
) -> FittedLibrary:
    """A library with its fitted state, fitted now if it changed since. See :func:`.fitted.fit`.

    Args:
        library: the specifications.
        encoder: name or id; by default the one most specifications were built with.
        use_prior: steady a small library with what the embedded models say about the encoder.
        progress: told while fitting.
        selection: of the specifications; by default all.
    """
    encoder_id = None if encoder is None else registry.info(encoder).id
    prior = load_prior if use_prior else None
    return fitting.fit(library, encoder_id, prior, progress, selection)


class Identifier:
    """A fitted library with its encoders at hand, for any number of queries."""

    def __init__(self, library: FittedLibrary, device: str = "cpu") -> None:
        self.library = library
        self.encoder: Encoder = load(library.stack.encoder_id, device)

    def rank(
        self,
        images: Sequence[Image.Image | Path],
        prompt: str | None = None,
        method: str = "auto",
        only: Collection[str] | None = None,
        titles: Mapping[str, str] | None = None,
    ) -> Ranking:
        """Rank the library's candidates for example images and an optional prompt.

        ``only``: identities of the candidates to rank, see :func:`.identify.identify`.
        ``titles``: today's, by identity, where they may have changed since the build.

        Raises:
            ImageError: an image cannot be read.
            MissingExtraError: a prompt is given and the text encoder is not installed.
            RankingError: the method cannot run.
        """
        opened = [open_image(image) if isinstance(image, Path) else image for image in images]
        text_encoder = None
        if prompt and self.library.stack.text_encoder_id is not None:
            text_encoder = load_text(self.library.stack.text_encoder_id)
        wanted = requirement(opened, self.encoder, self.library.stack.codec, prompt, text_encoder)
        library = self.library.with_titles(titles) if titles else self.library
        return identify(library, wanted, method, only)


def optional_text_encoder() -> TextEncoder | None:
    """The default text encoder, or ``None`` where its package is not installed."""
    try:
        return load_text(TEXT_DEFAULT)
    except MissingExtraError:
        return None


def embedded_library() -> Library:
    """The specifications of 63 public models that ship with this program (read-only)."""
    return Library(data_folder() / "embedded", read_only=True)
