"""Encoders side by side: ``style/efficientnet-lite0+openclip/ViT-L-14/openai``.

The features of the parts stand beside each other, each part with its own kinds of features. All of
them are standardised and brought to unit length (see :class:`~..normalised.Normalizer`), so that a
part with large numbers counts no more than one with small ones; how much each part counts in the
learned kernel is chosen by leave-one-prompt-out (``kernels.Params.balance``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import EncoderError
from .base import ImageEncoder
from .info import JOINT, EncoderInfo

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import Encoder, FloatArray

#: More parts than this are a mistake: each makes every image slower.
MAX_PARTS = 4


def split(name: str, known: Callable[[str], bool]) -> list[str]:
    """The parts of a joined name.

    A ``+`` may also be part of one name, for instance of a folder's: it separates only where an
    encoder's name begins after it.

    Args:
        name: for instance ``a/b+c/d``.
        known: whether a text begins like an encoder's name.
    """
    parts: list[str] = []
    for piece in name.split(JOINT):
        if parts and not known(piece):
            parts[-1] += JOINT + piece
        else:
            parts.append(piece)
    return parts


def joined_info(parts: Sequence[EncoderInfo]) -> EncoderInfo:
    """What can be known of encoders side by side.

    Args:
        parts: in the order of their features.

    Raises:
        EncoderError: an encoder occurs twice, or there are too many.
    """
    ids = [part.id for part in parts]
    name = JOINT.join(part.name for part in parts)
    if len(set(ids)) < len(ids):
        raise EncoderError(f"'{name}': an encoder can be joined with others only.")
    if len(parts) > MAX_PARTS:
        raise EncoderError(f"'{name}': at most {MAX_PARTS} encoders can be joined.")
    blocks, start = [], 0
    for number, part in enumerate(parts):
        for block in part.blocks:
            edges = {"start": start + block.start, "stop": start + block.stop}
            blocks.append(replace(block, name=f"{part.name}:{block.name}", part=number, **edges))
        start += part.dim
    last = parts[-1]
    return EncoderInfo(
        # each part keeps its own preprocessing, the last one's stands at the end as in any id
        name=JOINT.join([*ids[:-1], last.name]),
        preprocessing=last.preprocessing,
        dim=start,
        blocks=tuple(blocks),
        gamma=max(part.gamma for part in parts),
        summary=f"{len(parts)} encoders side by side",
        load=lambda device: Joined(JOINT.join(ids), [part.load(device) for part in parts]),
    )


class Joined(ImageEncoder):
    """Encodes with each part, one after the other.

    Args:
        id: of all parts together.
        parts: the encoders.
    """

    def __init__(self, id: str, parts: Sequence[Encoder]) -> None:
        super().__init__(id, sum(part.dim for part in parts))
        self.parts = tuple(parts)

    def encode_batch(self, images: Sequence[Image.Image]) -> FloatArray:
        return np.concatenate([part.encode_images(images) for part in self.parts], axis=1)
