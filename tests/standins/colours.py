"""A stand-in for an encoder of images and texts: it knows three colours, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_gmi.base.errors import MissingExtraError

COLOURS = ("red", "green", "blue")
Array = NDArray[np.float32]


class ColourSpace:
    """Images → how much of each colour they have; texts → the colours that they name.

    Attributes:
        encoded: how many images were encoded so far.
        speechless: it has no text encoder.
    """

    id, dim = "test/colours", 4

    def __init__(self, speechless: bool = False) -> None:
        self.encoded, self.speechless = 0, speechless

    def encode_images(self, images: Sequence[Image.Image]) -> Array:
        self.encoded += len(images)
        means = [np.asarray(i.convert("RGB"), np.float32).mean(axis=(0, 1)) for i in images]
        rows = [[*(mean / 255), 0.2] for mean in means]
        return np.asarray(rows, dtype=np.float32).reshape(-1, 4)

    def encode_texts(self, texts: Sequence[str]) -> Array:
        if self.speechless:
            raise MissingExtraError("the stand-in reads no texts")
        rows = [[*(float(c in text.split()) for c in COLOURS), 0.1] for text in texts]
        return np.asarray(
            [row / np.linalg.norm(row) for row in np.asarray(rows, np.float32)], dtype=np.float32
        ).reshape(-1, 4)


def plain(colour: str, shade: int = 0, side: int = 24) -> Image.Image:
    """A picture of one colour; ``shade`` tells it from others."""
    pixels = [10, 10, 10]
    pixels[COLOURS.index(colour)] = 220 - 10 * shade
    return Image.new("RGB", (side, side), tuple(pixels))
