"""Encoders: image → features and text → embedding, by name. Reading the names loads nothing."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from ..base.errors import EncoderError, MissingExtraError
from .info import EncoderInfo, Family, TextEncoderInfo
from .registry import Registry

if TYPE_CHECKING:
    from ..records.protocols import Encoder, JointEncoder, TextEncoder

DEFAULT = "style/efficientnet-lite0"
#: Stands for the encoder that measured best among those that need no download.
AUTO = "auto"
#: Names the encoder for hosts whose settings do not, and for the command line.
VARIABLE = "GMI_ENCODER"
_FALLBACK = "pixels/32x32"
TEXT_DEFAULT = "text/minilm-l6-v2"
JOINT_DEFAULT = "labels/conse-efficientnet-lite0"

registry = Registry()


def named(name: str) -> str:
    """The encoder that a name stands for: itself, or what ``auto`` chooses."""
    return choose()[0] if name == AUTO else name


def choose() -> tuple[str, str]:
    """The encoder that ``auto`` stands for, and why in one line. Loads nothing."""
    from .efficientnet_lite import weights_path

    wanted = os.environ.get(VARIABLE, "").strip()
    if wanted and wanted != AUTO:
        return wanted, f"{wanted}, because ${VARIABLE} names it"
    try:
        weights_path()
    except MissingExtraError as error:
        return _FALLBACK, f"{_FALLBACK}, the only one that works as things are: {error}"
    return DEFAULT, f"{DEFAULT}, the most accurate of those that need no download"


def load(name: str, device: str = "cpu") -> Encoder:
    """An image encoder by name or id, or ``auto``; loaded once a process.

    Raises:
        EncoderError: unknown name, or damaged weights.
        MissingExtraError: its weights are not installed.
    """
    return _load(registry.info(named(name)).id, device)


def load_joint(name: str = JOINT_DEFAULT, device: str = "cpu") -> JointEncoder:
    """An encoder of images and texts in one space, by name or id; loaded once a process.

    Raises:
        EncoderError: unknown name, damaged weights, or an encoder without texts.
        MissingExtraError: its package or its weights are not installed.
    """
    from ..records.protocols import JointEncoder
    from . import labels

    if name == JOINT_DEFAULT:
        return labels.load(device)
    if name.partition("/")[0] == JOINT_DEFAULT.partition("/")[0]:
        raise EncoderError(f"Unknown encoder '{name}'. Known: {JOINT_DEFAULT}.")
    encoder = load(name, device)
    if not isinstance(encoder, JointEncoder):
        raise EncoderError(
            f"'{name}' encodes images only. Images and texts share a space with {JOINT_DEFAULT}, "
            "and with models of open_clip: see gmi encoders --openclip."
        )
    return encoder


def release() -> None:
    """Free the memory of large encoders; whoever uses one again loads it again."""
    from . import openclip

    openclip.release()


def load_text(name: str, device: str = "cpu") -> TextEncoder:
    """A text encoder by id, loaded once a process.

    Raises:
        EncoderError: unknown id.
        MissingExtraError: it is not installed; the message says how to.
    """
    return registry.text_info(name).load(device)


def optional_text_encoder() -> TextEncoder | None:
    """The default text encoder, or ``None`` where its package is not installed."""
    try:
        return load_text(TEXT_DEFAULT)
    except MissingExtraError:
        return None


@cache
def _load(name: str, device: str) -> Encoder:
    return registry.info(name).load(device)


def _register() -> None:
    from . import openclip, pixels, style, text

    registry.add(
        EncoderInfo(
            name=DEFAULT,
            preprocessing="area512-256-v1",
            dim=style.DIM,
            blocks=style.BLOCKS,
            gamma=2.0,
            summary="style statistics of an ImageNet network at 512² and 256² pixels (default)",
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
            summary="means and deviations only, at 256² pixels: six times faster, less accurate",
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
    registry.add_family(
        Family(
            prefix=openclip.PREFIX,
            summary="images and texts: openclip/MODEL/TAG (gmi encoders --openclip lists them), "
            "openclip/MODEL/file:WEIGHTS, or openclip/file:FOLDER",
            image=openclip.image_info,
            text=openclip.text_info,
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
