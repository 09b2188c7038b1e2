"""What an implementer of an encoder gets for free.

Write one method that encodes a batch; batching, checks and shapes are done here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..base.errors import EncoderError

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import FloatArray

Item = TypeVar("Item")


class ImageEncoder(ABC):
    """Base of image encoders.

    Args:
        id: as in the registry.
        dim: numbers per image.
        batch_size: images per call of :meth:`encode_batch`.
    """

    def __init__(self, id: str, dim: int, batch_size: int = 8) -> None:
        self.id = id
        self.dim = dim
        self.batch_size = batch_size

    @abstractmethod
    def encode_batch(self, images: Sequence[Image.Image]) -> FloatArray:
        """Features of 1 to ``batch_size`` RGB images as float32 ``[n, dim]``."""

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Features of any number of images (any mode) as float32 ``[n, dim]``.

        Raises:
            ImageError: an image cannot be brought to RGB.
            EncoderError: the encoder answered with the wrong shape or with NaN.
        """
        from ..base.images import to_rgb

        rgb = [to_rgb(image) for image in images]
        return in_batches(self.encode_batch, rgb, self.batch_size, self.dim, self.id)


class BaseTextEncoder(ABC):
    """Base of text encoders; see :class:`ImageEncoder`."""

    def __init__(self, id: str, text_dim: int, batch_size: int = 32) -> None:
        self.id = id
        self.text_dim = text_dim
        self.batch_size = batch_size

    @abstractmethod
    def encode_text_batch(self, texts: Sequence[str]) -> FloatArray:
        """Embeddings of 1 to ``batch_size`` texts as float32 ``[n, text_dim]``, of unit length."""

    def note(self, text: str) -> str | None:
        """What people should know of how a text is read, for instance that it is too long."""
        return None

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Embeddings of any number of texts as float32 ``[n, text_dim]``, of unit length.

        Raises:
            EncoderError: the encoder answered with the wrong shape or with NaN.
        """
        return in_batches(
            self.encode_text_batch, list(texts), self.batch_size, self.text_dim, self.id
        )


def in_batches(
    encode: Callable[[Sequence[Item]], FloatArray],
    items: Sequence[Item],
    batch_size: int,
    dim: int,
    name: str,
) -> FloatArray:
    """Call ``encode`` batch by batch and check what it answers."""
    import numpy as np

    rows = np.empty((len(items), dim), dtype=np.float32)
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]
        features = np.asarray(encode(batch), dtype=np.float32)
        if features.shape != (len(batch), dim):
            raise EncoderError(
                f"The encoder '{name}' answered with shape {features.shape} "
                f"instead of {(len(batch), dim)}."
            )
        if not np.isfinite(features).all():
            raise EncoderError(f"The encoder '{name}' answered with numbers that are not finite.")
        rows[start : start + len(batch)] = features
    return rows
