"""The use cases: what every face (command line, tab, nodes, routes) calls."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import MissingExtraError
from ..base.images import open_image, through_codec
from ..base.paths import data_folder
from ..encoders import TEXT_DEFAULT, load, load_text, named, registry
from ..encoders.base import BaseTextEncoder
from ..library.catalogue import Library
from ..records.protocols import Progress
from ..submitting.submit import Builder, BuildSummary
from . import fitted as fitting
from .fitted import FittedLibrary, Lent, Selection
from .identify import Ranking, as_it_fits, identify, requirement
from .kernels import load_prior

if TYPE_CHECKING:
    from PIL import Image

    from ..records.prompts import PromptSet
    from ..records.protocols import Candidate, Encoder, FloatArray, Host, TextEncoder


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
    lent: Lent | None = None,
) -> FittedLibrary:
    """A library with its fitted state, fitted now if it changed since. See :func:`.fitted.fit`.

    Args:
        library: the specifications.
        encoder: name or id; by default the one most specifications were built with.
        use_prior: steady a small library with what the embedded models say about the encoder.
        progress: told while fitting.
        selection: of the specifications; by default all.
        lent: what takes part besides.
    """
    encoder_id = None if encoder is None else registry.info(named(encoder)).id
    prior = load_prior if use_prior else None
    return fitting.fit(library, encoder_id, prior, progress, selection, lent)


#: Images whose features are remembered.
_REMEMBERED = 32


class Identifier:
    """A fitted library with its encoders at hand, for any number of queries."""

    def __init__(self, library: FittedLibrary, device: str = "cpu") -> None:
        self.library = library
        self.encoder: Encoder = _Remembering(
            load(library.stack.encoder_id, device), library.stack.codec
        )

    def renamed(self, names: Mapping[str, str]) -> Identifier:
        """The same with better identities of candidates, by those before."""
        other = copy.copy(self)
        other.library = self.library.with_identities(names)
        return other

    def features(self, images: Sequence[Image.Image]) -> FloatArray:
        """Raw features of query images as :meth:`rank` sees them, ``[n, d]``.

        Raises:
            ImageError: an image cannot be used.
        """
        return as_it_fits(self.library, requirement(images, self.encoder)).features

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
        ``titles``: today's of all that are installed, by identity.

        Raises:
            ImageError: an image cannot be read.
            MissingExtraError: a prompt is given and the text encoder is not installed.
            RankingError: the method cannot run.
        """
        opened = [open_image(image) if isinstance(image, Path) else image for image in images]
        text_encoder = None
        prompt = (prompt or "").strip() or None
        if prompt and self.library.stack.text_encoder_id is not None:
            text_encoder = load_text(self.library.stack.text_encoder_id)
        wanted = requirement(opened, self.encoder, "source", prompt, text_encoder)
        library = self.library.with_titles(titles) if titles else self.library
        ranking = identify(library, wanted, method, only, titles or ())
        note = None
        if prompt and isinstance(text_encoder, BaseTextEncoder):
            note = text_encoder.note(prompt)
        if note is None:
            return ranking
        return replace(ranking, notes=(*ranking.notes, note))


class _Remembering:
    """Sends images through a codec and an encoder, and remembers the last few.

    People ask about the same image again and again: with another filter, method or prompt.
    """

    def __init__(self, encoder: Encoder, codec: str) -> None:
        self.id, self.dim = encoder.id, encoder.dim
        self._encoder, self._codec = encoder, codec
        self._known: dict[str, FloatArray] = {}

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """See :class:`.protocols.Encoder`."""
        keys = [_pixel_hash(image) for image in images]
        known = dict(self._known)  # other threads may ask at the same time
        new = {k: i for k, i in zip(keys, images, strict=True) if k not in known}
        if new:
            pixels = [through_codec(image, self._codec) for image in new.values()]
            known.update(zip(new, self._encoder.encode_images(pixels), strict=True))
            self._known = dict(list(known.items())[-_REMEMBERED:])
        return np.stack([known[key] for key in keys])


def _pixel_hash(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def optional_text_encoder() -> TextEncoder | None:
    """The default text encoder, or ``None`` where its package is not installed."""
    try:
        return load_text(TEXT_DEFAULT)
    except MissingExtraError:
        return None


def embedded_library() -> Library:
    """The specifications of 63 public models that ship with this program (read-only)."""
    return Library(data_folder() / "embedded", read_only=True)
