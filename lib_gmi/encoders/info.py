"""What is known of encoders without loading one: rows of data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..records.protocols import Encoder, TextEncoder

#: Between the names of encoders that stand side by side, see :mod:`.joined`.
JOINT = "+"


@dataclass(frozen=True)
class Block:
    """A contiguous range of features of one kind; each is normalised by its own length.

    ``part`` is the number of the encoder it comes from, where several are joined.
    """

    name: str
    start: int
    stop: int
    part: int = 0


@dataclass(frozen=True)
class EncoderInfo:
    """What can be known of an encoder without loading it.

    Attributes:
        name: what people type, for instance ``style/efficientnet-lite0``.
        preprocessing: how pixels become the network's input; part of :attr:`id`.
        dim: numbers per image.
        blocks: the kinds of features; they cover ``0..dim`` without gaps.
        gamma: of the RBF kernel (Eq. 9) on the normalised features. It depends on their scale.
        summary: one line for ``gmi encoders``.
        load: builds the encoder for a device such as ``"cpu"``.
    """

    name: str
    preprocessing: str
    dim: int
    blocks: tuple[Block, ...]
    gamma: float
    summary: str
    load: Callable[[str], Encoder]

    @property
    def id(self) -> str:
        """Goes into every file: features of different ids are never compared."""
        return f"{self.name}@{self.preprocessing}"


@dataclass(frozen=True)
class TextEncoderInfo:
    """What can be known of a text encoder without loading it."""

    id: str
    text_dim: int
    summary: str
    extra: str | None
    load: Callable[[str], TextEncoder]
