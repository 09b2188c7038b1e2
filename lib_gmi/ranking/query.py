"""From a query's images and words to features: the only place where a query image is looked at.

An image is brought to RGB, trimmed of plain borders, sent through the codec that the library's
samples went through, and encoded; where words are asked for, an interrogator describes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..base.images import open_image, pixel_hash, through_codec, to_rgb, trim_borders
from ..base.recent import Recent
from ..records.specification import Requirement

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import Encoder, FloatArray, TextEncoder
    from .fitted import FittedLibrary

T = TypeVar("T")

#: Said where an image fits better without what :func:`.images.trim_borders` cuts off.
TRIMMED = "Plain borders around the image were left out of the comparison."
#: Bytes of features that are remembered: of some forty images.
_REMEMBERED = 1 << 20


class QueryEncoder:
    """Encodes query images as a library's samples were, and remembers the last few.

    People ask about the same image again and again: with another filter, method or prompt.

    Args:
        encoder: the library's.
        codec: that the library's samples went through.
    """

    def __init__(self, encoder: Encoder, codec: str = "source") -> None:
        self.encoder, self.codec = encoder, codec
        self._known: Recent[str, FloatArray] = Recent(_REMEMBERED, lambda row: row.nbytes)

    def features(self, images: Sequence[Image.Image]) -> FloatArray:
        """Raw features of images as they are, ``[n, d]``: with their borders, as samples have them.

        Raises:
            ImageError: an image cannot be brought to RGB.
        """
        return self._encode([to_rgb(image) for image in images])

    def requirement(
        self,
        images: Sequence[Image.Image | Path],
        prompt: str | None = None,
        text_encoder: TextEncoder | None = None,
    ) -> Requirement:
        """Turn images and an optional prompt into a requirement.

        Args:
            images: one or more, or their files; all are examples of the same wish.
            prompt: describes the images.
            text_encoder: needed to use the prompt.

        Raises:
            ImageError: an image cannot be used.
        """
        whole = [open_image(i) if isinstance(i, Path) else to_rgb(i) for i in images]
        cut = [trim_borders(image) for image in whole]
        bordered = [n for n, image in enumerate(whole) if cut[n] is not image]
        encoded = self._encode([*whole, *(cut[n] for n in bordered)])
        features, trimmed = encoded[: len(whole)], None
        if bordered:
            trimmed = features.copy()
            trimmed[bordered] = encoded[len(whole) :]
        if prompt is None or not prompt.strip() or text_encoder is None:
            return Requirement(features, self.encoder.id, prompt=prompt, trimmed=trimmed)
        embedding = text_encoder.encode_texts([prompt])[0]
        note = getattr(text_encoder, "note", None)  # of how the prompt was read; some have none
        notes = tuple(filter(None, [note and note(prompt)]))
        return Requirement(
            features, self.encoder.id, embedding, text_encoder.id, prompt, notes, trimmed
        )

    def _encode(self, images: Sequence[Image.Image]) -> FloatArray:
        keys = [pixel_hash(image) for image in images]
        rows = {key: self._known.get(key) for key in keys}
        new = {k: i for k, i in zip(keys, images, strict=True) if rows[k] is None}
        if new:
            pixels = [through_codec(image, self.codec) for image in new.values()]
            for key, row in zip(new, self.encoder.encode_images(pixels), strict=True):
                rows[key] = row
                self._known.put(key, row)
        return np.stack([row for key in keys if (row := rows[key]) is not None])


def as_it_fits(library: FittedLibrary, wanted: Requirement) -> Requirement:
    """Each image with its plain borders or without them, whichever is nearer to a candidate.

    Samples keep their borders: a drawing on white is mostly border. A screenshot has borders that
    no sample has. What the library knows tells these apart.
    """
    if wanted.trimmed is None:
        return wanted
    kernel = library.learned
    better = kernel.distance(wanted.trimmed) < kernel.distance(wanted.features)
    features = np.where(better[:, None], wanted.trimmed, wanted.features)
    notes = (TRIMMED, *wanted.notes) if better.any() else wanted.notes
    return replace(wanted, features=features, trimmed=None, notes=notes)


def described(images: Sequence[Image.Image | Path], interrogator: Callable[[Image.Image], T]) -> T:
    """What an interrogator says of a query: of its first image, in RGB and upright.

    Raises:
        ImageError: the image cannot be used.
    """
    first = images[0]
    return interrogator(open_image(first) if isinstance(first, Path) else to_rgb(first))
