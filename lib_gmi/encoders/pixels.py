"""Pixels as features: the paper's `rkme-basic` baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import ImageEncoder
from .info import Block, EncoderInfo

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import FloatArray

SIDE = 32
DIM = SIDE * SIDE * 3


class Pixels(ImageEncoder):
    """The image squeezed to 32×32 RGB, in 0..1: 3,072 numbers."""

    def __init__(self, id: str, device: str) -> None:
        super().__init__(id, DIM)

    def encode_batch(self, images: Sequence[Image.Image]) -> FloatArray:
        from PIL import Image as Pillow

        small = [image.resize((SIDE, SIDE), Pillow.Resampling.BOX) for image in images]
        rows = [np.asarray(image, dtype=np.float32).reshape(DIM) / 255 for image in small]
        return np.stack(rows)


PIXELS: EncoderInfo = EncoderInfo(
    name="pixels/32x32",
    preprocessing="squeeze32-v1",
    dim=DIM,
    blocks=(Block("pixels", 0, DIM),),
    gamma=2.0,
    summary="plain pixels, the baseline of rkme-basic",
    load=lambda device: Pixels(PIXELS.id, device),
)
