"""Encoders: image → features and text → embedding, by name. Reading the names loads nothing."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ..errors import EncoderError
from .registry import EncoderInfo, Registry, TextEncoderInfo

if TYPE_CHECKING:
    from ..protocols import Encoder, JointEncoder, TextEncoder

DEFAULT = "style/efficientnet-lite0"
TEXT_DEFAULT = "text/minilm-l6-v2"
JOINT_DEFAULT = "labels/conse-efficientnet-lite0"

registry = Registry()


def load(name: str, device: str = "cpu") -> Encoder:
    """An image encoder by name or id, loaded once a process.

    Raises:
        EncoderError: unknown name, or damaged weights.
        MissingExtraError: its weights are not installed.
    """
    return _load(registry.info(name).name, device)


def load_text(name: str, device: str = "cpu") -> TextEncoder:
    """A text encoder by id, loaded once a process.

    Raises:
        EncoderError: unknown id.
        MissingExtraError: it is not installed; the message says how to.
    """
    return registry.text_info(name).load(device)


def load_joint(name: str = JOINT_DEFAULT, device: str = "cpu") -> JointEncoder:
    """A joint encoder of images and texts by id, loaded once a process.

    Raises:
        EncoderError: unknown id, or damaged data.
    """
    if name != JOINT_DEFAULT:
        raise EncoderError(f"Unknown joint encoder '{name}'. Known: {JOINT_DEFAULT}.")
    from . import labels

    return labels.load(device)


@cache
def _load(name: str, device: str) -> Encoder:
    return registry.info(name).load(device)


def _register() -> None:
    from . import pixels, style, text

    registry.add(
        EncoderInfo(
            name=DEFAULT,
            preprocessing="area384-v1",
            dim=style.DIM,
            blocks=style.BLOCKS,
            gamma=2.0,
            summary="style statistics of an ImageNet network at 384² pixels (default)",
            load=lambda device: style.Style(registry.info(DEFAULT).id, device),
        )
    )
    fast = DEFAULT + "-fast"
    registry.add(
        EncoderInfo(
            name=fast,
            preprocessing="area256-v1",
            dim=style.FAST_DIM,
            blocks=style.FAST_BLOCKS,
            gamma=2.0,
            summary="means and deviations only, at 256² pixels: three times faster, less accurate",
            load=lambda device: style.FastStyle(registry.info(fast).id, device),
        )
    )
    registry.add(
        EncoderInfo(
            name="pixels/32x32",
            preprocessing="squeeze32-v1",
            dim=pixels.DIM,
            blocks=pixels.BLOCKS,
            gamma=2.0,
            summary="plain pixels, the baseline of rkme-basic",
            load=lambda device: pixels.Pixels(registry.info("pixels/32x32").id, device),
        )
    )
    registry.add_text(
        TextEncoderInfo(
            id=TEXT_DEFAULT,
            text_dim=text.TEXT_DIM,
            summary="all-MiniLM-L6-v2, 90 MB, offline (optional: the extra 'text')",
            extra="text",
            load=text.load,
        )
    )


_register()
