"""Encoders by name: which there are, and one of them loaded. Reading the names loads nothing."""

from __future__ import annotations

import os
from functools import cache

from ..base.errors import EncoderError, MissingExtraError
from ..base.text import unknown
from ..records.protocols import Encoder, JointEncoder, TextEncoder
from . import efficientnet_lite, labels, openclip, pixels, style, text
from .info import EncoderInfo, TextEncoderInfo
from .joined import joined_info, split

DEFAULT = style.STYLE.name
#: Stands for the encoder that measured best among those that need no download.
AUTO = "auto"
#: Names the encoder for hosts whose settings do not, and for the command line.
VARIABLE = "GMI_ENCODER"
TEXT_DEFAULT = text.ID
JOINT_DEFAULT = labels.ID

# Those of open_clip are too many to list: their rows are made when somebody asks for a name.
_images = {info.name: info for info in (style.STYLE, style.FAST, pixels.PIXELS)}
_texts = {text.ID: text.MINILM}


def add(info: EncoderInfo) -> None:
    """Register another image encoder.

    Raises:
        EncoderError: the name is taken, or the blocks do not cover the features.
    """
    if info.name in _images:
        raise EncoderError(f"An encoder named '{info.name}' is registered already.")
    edges = [0] + [edge for b in info.blocks for edge in (b.start, b.stop)] + [info.dim]
    if edges[::2] != edges[1::2]:
        raise EncoderError(f"The blocks of '{info.name}' do not cover its {info.dim} features.")
    _images[info.name] = info


def add_text(info: TextEncoderInfo) -> None:
    """Register another text encoder."""
    _texts[info.id] = info


def images() -> list[EncoderInfo]:
    return list(_images.values())


def texts() -> list[TextEncoderInfo]:
    return list(_texts.values())


def info(name: str) -> EncoderInfo:
    """An image encoder by name or by full id; several joined by ``+`` are one encoder.

    Raises:
        EncoderError: unknown, or known with another preprocessing; or the package that knows
            it is not installed.
    """
    several = parts(name)
    if len(several) > 1:
        return joined_info([info(part) for part in several])
    plain, _, preprocessing = name.partition("@")
    found = _images.get(plain)
    if found is None and name.startswith(openclip.PREFIX):
        return openclip.image_info(name)
    if found is None:
        raise EncoderError(unknown("encoder", plain, _images))
    if preprocessing and preprocessing != found.preprocessing:
        raise EncoderError(
            f"'{name}' was made by another version of this program, which has '{found.id}'. "
            "Build again, which reads the samples that are kept: gmi library reencode."
        )
    return found


def parts(name: str) -> list[str]:
    """The names or ids of joined encoders; of a single one, its own."""
    kinds = {known.partition("/")[0] for known in (*_images, openclip.PREFIX)}
    return split(name, lambda text: text.partition("/")[0] in kinds)


def text_info(name: str) -> TextEncoderInfo:
    """A text encoder by id.

    Raises:
        EncoderError: unknown, or the package that knows it is not installed.
    """
    if name in _texts:
        return _texts[name]
    if name.startswith(openclip.PREFIX):
        return openclip.text_info(name)
    raise EncoderError(unknown("text encoder", name, _texts))


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
    return _load(info(named(name)).id, device)


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
    return text_info(name).load(device)


def optional_text_encoder() -> TextEncoder | None:
    """The default text encoder, or ``None`` where its package is not installed."""
    try:
        return load_text(TEXT_DEFAULT)
    except MissingExtraError:
        return None


@cache
def _load(name: str, device: str) -> Encoder:
    return info(name).load(device)
