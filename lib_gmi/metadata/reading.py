"""The texts that an image file carries, by where they stand in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from .exif import Exif, read_exif
from .values import MAX_JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

#: Keywords of PNG texts that any format is read from; others are not even copied.
_KEYWORDS = (
    "parameters",
    "Parameters",
    "prompt",
    "workflow",
    "postprocessing",
    "extras",
    "invokeai_metadata",
    "sd-metadata",
    "Dream",
    "Comment",
    "Description",
    "Software",
    "Source",
    "fooocus_scheme",
    "comment",
)


@dataclass
class Texts:
    """Texts of one image file.

    Attributes:
        named: by PNG keyword; ``comment`` is also the comment of a GIF or JPEG file.
        exif: those of the EXIF block.
        size: of the image, width and height.
    """

    named: dict[str, str] = field(default_factory=dict)
    exif: Exif = field(default_factory=Exif)
    size: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        known = self.exif.comment or self.exif.description or self.exif.numbered
        return bool(self.named or known)


def texts_of(image: Image.Image) -> Texts:
    """What Pillow read of an image's header; no pixel is decoded."""
    info = image.info if isinstance(image.info, dict) else {}
    texts = named_texts(info)
    texts.size = image.size
    return texts


def named_texts(info: Mapping[Any, Any]) -> Texts:
    """Those texts of a mapping that a format is read from."""
    texts = Texts()
    for keyword in _KEYWORDS:
        value = info.get(keyword)
        if isinstance(value, bytes):
            value = value[:MAX_JSON].decode("utf-8", "ignore")
        # a text that is too long is skipped: half a graph says nothing true
        if isinstance(value, str) and len(value) <= MAX_JSON and value.strip():
            texts.named[keyword] = mended(str(value))
    block = info.get("exif")
    if isinstance(block, bytes):
        texts.exif = read_exif(block)
    return texts


def mended(text: str) -> str:
    """Latin-1 that is really UTF-8, which some programs write into ``tEXt``."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def late_texts_of(file: IO[bytes]) -> Texts:
    """Of a PNG file: the texts after its pixels.

    Raises:
        OSError: the file cannot be read.
    """
    from .png import late_texts

    return named_texts(late_texts(file))
