"""Encoders by name: which there are, and one of them loaded. Reading the names loads nothing."""

from __future__ import annotations

import os
from functools import cache

from ..base.errors import EncoderError, MissingExtraError
from ..records.protocols import Encoder, JointEncoder, TextEncoder
from . import efficientnet_lite, labels, openclip, pixels, style, text
from .registry import Registry

DEFAULT = style.STYLE.name
#: Stands for the encoder that measured best among those that need no download.
AUTO = "auto"
#: Names the encoder for hosts whose settings do not, and for the command line.
VARIABLE = "GMI_ENCODER"
TEXT_DEFAULT = text.ID
JOINT_DEFAULT = labels.ID

registry = Registry()
registry.add(style.STYLE)
registry.add(style.FAST)
registry.add(pixels.PIXELS)
registry.add_family(openclip.FAMILY)
registry.add_text(text.MINILM)


def named(name: str) -> str:
    """The encoder that a name stands for: itself, or what ``auto`` chooses."""
    return choose()[0] if name == AUTO else name


def choose() -> tuple[str, str]:
    """The encoder that ``auto`` stands for, and why in one line. Loads nothing."""
    wanted = os.environ.get(VARIABLE, "").strip()
    if wanted and wanted != AUTO:
        return wanted, f"{wanted}, because ${VARIABLE} names it"
    try:
        efficientnet_lite.weights_path()
    except MissingExtraError as error:
        only = pixels.PIXELS.name
        return only, f"{only}, the only one that works as things are: {error}"
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
