"""Texts in the lowest bits of pixels: NovelAI's, SwarmUI's, reForge's, and those of extensions.

The layout is that of github.com/NovelAI/novelai-image-metadata: column by column, a signature of 15
bytes, the number of bits that follow as 32 bits, and the text, compressed or not. NovelAI takes the
alpha channel; the others can take red, green and blue instead, in this order in each pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .png import inflate
from .values import MAX_JSON

if TYPE_CHECKING:
    from PIL import Image

#: Pixels of an image that is decoded for this.
MAX_PIXELS = 20_000_000
#: By the channels that hold it.
_PLAIN = {"A": b"stealth_pnginfo", "RGB": b"stealth_rgbinfo"}
_COMPRESSED = {"A": b"stealth_pngcomp", "RGB": b"stealth_rgbcomp"}
_SIGNATURE = 15
_HEAD = _SIGNATURE + 4
_GZIP = 31
#: Each byte's lowest bit as a digit.
_DIGITS = bytes(48 + (value & 1) for value in range(256))


def stealth_text(image: Image.Image, colours: bool = False) -> str | None:
    """The hidden text, or ``None``. Decodes the image, if it has an alpha channel.

    Args:
        image: as it was opened.
        colours: look into the colours as well, for which every image has to be decoded.

    Raises:
        OSError, SyntaxError, ValueError: the image cannot be decoded.
    """
    width, height = image.size
    if not 8 * _HEAD <= width * height <= MAX_PIXELS:
        return None
    if image.format not in (None, "PNG", "WEBP"):
        return None
    if image.mode == "RGBA":
        text = _text(image.getchannel("A"), "A")
        if text is not None:
            return text
    if colours and image.mode in ("RGB", "RGBA"):
        return _text(image.convert("RGB"), "RGB")
    return None


def _text(plane: Image.Image, channels: str) -> str | None:
    """What an image of these channels alone hides."""
    head = _bytes(plane, 0, _HEAD)
    signature = head[:_SIGNATURE]
    if signature not in (_PLAIN[channels], _COMPRESSED[channels]):
        return None
    length = int.from_bytes(head[_SIGNATURE:], "big") // 8
    if length > min(MAX_JSON, plane.width * plane.height * len(channels) // 8):
        return None
    content: bytes | None = _bytes(plane, _HEAD, length)
    if signature == _COMPRESSED[channels] and content is not None:
        content = inflate(content, _GZIP)
    return None if content is None else content.decode("utf-8", "ignore")


def _bytes(plane: Image.Image, skipped: int, count: int) -> bytes:
    """``count`` bytes after the first ``skipped``, from as many columns as hold them."""
    from PIL import Image

    if count <= 0:
        return b""
    width, height = plane.size
    columns = min(width, -(-8 * (skipped + count) // (height * len(plane.getbands()))))
    turned = plane.crop((0, 0, columns, height)).transpose(Image.Transpose.TRANSPOSE)
    digits = turned.tobytes().translate(_DIGITS)[8 * skipped : 8 * (skipped + count)]
    count = len(digits) // 8
    return int(digits[: 8 * count] or b"0", 2).to_bytes(count, "big")
