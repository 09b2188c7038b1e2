"""From one generated image to one stored row of a specification.

Every way of building goes through here, whoever generated the image: a build over a host's
checkpoints, or a workflow that hands over one image at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.images import decode_image, stored_copy
from ..records.quality import broken_reason
from ..records.specification import CandidateRef, PromptSetRef, Rejection, Specification

if TYPE_CHECKING:
    from PIL import Image

    from ..library.catalogue import Library
    from ..records.prompts import Prompt, PromptSet
    from ..records.protocols import Candidate, Encoder, FloatArray, GenerationSettings, TextEncoder

#: Every checkpoint draws prompt number i with seed BASE_SEED + i: equal noise makes equal content.
BASE_SEED = 1000


class Recorder:
    """Turns images into rows of specifications, and stores them at once.

    Args:
        prompt_set: that the images were made of.
        library: where the specifications go.
        encoder: image → features.
        text_encoder: embeds the prompts; without it methods that need prompts cannot be used on
            these specifications until they are embedded.
        keep_copies: whether small copies of the samples are kept beside their features.
    """

    def __init__(
        self,
        prompt_set: PromptSet,
        library: Library,
        encoder: Encoder,
        text_encoder: TextEncoder | None = None,
        keep_copies: bool = True,
    ) -> None:
        self.prompt_set = prompt_set
        self.library = library
        self.encoder = encoder
        self.text_encoder = text_encoder
        self.keep_copies = keep_copies
        self._embeddings = embed_prompts(prompt_set, text_encoder)

    def seed(self, prompt: Prompt) -> int:
        """The seed that every candidate uses for this prompt."""
        return BASE_SEED + self.prompt_set.ids.index(prompt.id)

    def wording(self, prompt: Prompt, settings: GenerationSettings) -> str:
        """The prompt as a candidate with these settings gets to see it.

        Raises:
            PromptSetError: the set does not know the settings' dialect.
        """
        prefix = str(settings.extra.get("prefix", ""))
        return prefix + self.prompt_set.render(prompt, settings.dialect).text

    def empty(
        self,
        candidate: Candidate,
        settings: GenerationSettings,
        provenance: Mapping[str, Any] | None = None,
    ) -> Specification:
        """A specification without samples, not stored yet."""
        prompt_set = self.prompt_set
        specification = Specification(
            candidate=CandidateRef.of(candidate),
            encoder_id=self.encoder.id,
            features=np.zeros((0, self.encoder.dim), dtype=np.float32),
            prompt_ids=(),
            seeds=(),
            prompt_set=PromptSetRef(
                prompt_set.name, prompt_set.version, prompt_set.hash, len(prompt_set)
            ),
            settings=completed(settings, prompt_set),
            provenance=provenance or {},
        )
        return self._with_embeddings(specification)

    def begin(self, new: Specification) -> Specification:
        """What is stored under the key of ``new``, with today's title and with prompt embeddings
        if it lacked them; or else ``new``.

        Raises:
            LibraryError: the library cannot be read or written.
        """
        stored = self.library.get(new.key)
        if stored is None:
            return new

        def refresh(current: Specification | None) -> Specification:
            refreshed = replace(current or stored, candidate=new.candidate)
            if refreshed.text_encoder_id is None:
                refreshed = self._with_embeddings(refreshed)
            return refreshed

        lacks_text = stored.text_encoder_id is None and self._embeddings is not None
        if stored.candidate == new.candidate and not lacks_text:
            return stored
        return self.library.update(stored.key, refresh)

    def add(
        self,
        specification: Specification,
        prompt: Prompt,
        image: Image.Image,
        seed: int | None = None,
    ) -> Specification:
        """Check, encode and store one sample.

        Args:
            specification: of the candidate that generated the image.
            prompt: that it was generated of.
            image: RGB, finished.
            seed: that it was generated with, by default the one that every candidate uses.

        Returns:
            The specification as it is stored now. A broken image is recorded as a rejection.

        Raises:
            LibraryError: it cannot be stored; everything stored before is safe.
        """
        seed = self.seed(prompt) if seed is None else seed
        codec = specification.settings.codec
        copies = {}
        if codec != "source":
            copy = stored_copy(image, codec)
            if self.keep_copies:
                copies[prompt.id, seed] = copy
            image = decode_image(copy)
        reason = broken_reason(image)
        if reason is None:
            row = self._row(specification, prompt, seed, self.encoder.encode_images([image]))
        else:
            rejected = (Rejection(prompt.id, seed, reason),)
            row = replace(_without_rows(specification), rejected=rejected, updated=time.time())
        return self.library.extend(row, copies)

    def _row(
        self, like: Specification, prompt: Prompt, seed: int, features: FloatArray
    ) -> Specification:
        row = replace(
            like,
            features=features,
            prompt_ids=(prompt.id,),
            seeds=(seed,),
            text_encoder_id=None,
            prompt_embeddings=None,
            rejected=(),
            updated=time.time(),
        )
        return self._with_embeddings(row)

    def _with_embeddings(self, specification: Specification) -> Specification:
        if self._embeddings is None or self.text_encoder is None:
            return specification
        if not all(prompt_id in self._embeddings for prompt_id in specification.prompt_ids):
            return specification
        rows = [self._embeddings[prompt_id] for prompt_id in specification.prompt_ids]
        return replace(
            specification,
            text_encoder_id=self.text_encoder.id,
            prompt_embeddings=np.reshape(rows, (len(rows), self.text_encoder.text_dim)),
        )


def worded(text: str, settings: GenerationSettings, prompt_set: PromptSet) -> str:
    """Any text as a candidate with these settings gets to see it: in its dialect, if known."""
    prefix = str(settings.extra.get("prefix", ""))
    for prompt in prompt_set.prompts:
        if prompt.text == text and settings.dialect in prompt_set.dialects:
            return prefix + prompt_set.render(prompt, settings.dialect).text
    dialect = prompt_set.dialects.get(settings.dialect)
    return prefix + ("" if dialect is None else dialect.prefix) + text


def completed(settings: GenerationSettings, prompt_set: PromptSet) -> GenerationSettings:
    """These settings, with the negative prompt that their dialect brings."""
    dialect = prompt_set.dialects.get(settings.dialect)
    if settings.negative or dialect is None:
        return settings
    return replace(settings, negative=dialect.negative)


def _without_rows(like: Specification) -> Specification:
    embeddings = like.prompt_embeddings
    return replace(
        like,
        features=like.features[:0],
        prompt_ids=(),
        seeds=(),
        prompt_embeddings=None if embeddings is None else embeddings[:0],
        rejected=(),
    )


_embedded: dict[tuple[str, str], dict[str, FloatArray]] = {}


def embed_prompts(
    prompt_set: PromptSet, text_encoder: TextEncoder | None
) -> dict[str, FloatArray] | None:
    """Embeddings of a prompt set by prompt id; computed once a process."""
    if text_encoder is None:
        return None
    key = (prompt_set.hash, text_encoder.id)
    if key not in _embedded:
        rows = text_encoder.encode_texts([prompt.text for prompt in prompt_set.prompts])
        _embedded[key] = dict(zip(prompt_set.ids, rows, strict=True))
    return _embedded[key]
