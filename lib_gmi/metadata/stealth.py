"""Texts in the lowest bits of the alpha channel: NovelAI's, and an extension's of AUTOMATIC1111.

The layout is that of github.com/NovelAI/novelai-image-metadata: column by column, a signature of 15
bytes, the number of bits that follow as 32 bits, and the text, compressed or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .png import inflate
from .values import MAX_JSON

if TYPE_CHECKING:
    from PIL import Image

#: Pixels of an image that is decoded for this.
MAX_PIXELS = 20_000_000
_PLAIN, _COMPRESSED = b"stealth_pnginfo", b"stealth_pngcomp"
_HEAD = len(_PLAIN) + 4
_GZIP = 31
#: Each byte's lowest bit as a digit.
_DIGITS = bytes(48 + (value & 1) for value in range(256))


def stealth_text(image: Image.Image) -> str | None:
    """The hidden text, or ``None``. Decodes the image, if it has an alpha channel.

    Raises:
        OSError, SyntaxError, ValueError: the image cannot be decoded.
    """
    width, height = image.size
    if image.mode != "RGBA" or not 8 * _HEAD <= width * height <= MAX_PIXELS:
        return None
    if image.format not in (None, "PNG", "WEBP"):
        return None
    alpha = image.getchannel("A")
    head = _bytes(alpha, 0, _HEAD)
    signature = head[: len(_PLAIN)]
    if signature not in (_PLAIN, _COMPRESSED):
        return None
    length = int.from_bytes(head[len(_PLAIN) :], "big") // 8
    if length > min(MAX_JSON, width * height // 8):
        return None
    content: bytes | None = _bytes(alpha, _HEAD, length)
    if signature == _COMPRESSED and content is not None:
        content = inflate(content, _GZIP)
    return None if content is None else content.decode("utf-8", "ignore")


def _bytes(alpha: Image.Image, skipped: int, count: int) -> bytes:
    """``count`` bytes after the first ``skipped``, from as many columns as hold them."""
    from PIL import Image

    if count <= 0:
        return b""
    width, height = alpha.size
    columns = min(width, -(-8 * (skipped + count) // height))
    turned = alpha.crop((0, 0, columns, height)).transpose(Image.Transpose.TRANSPOSE)
    digits = turned.tobytes().translate(_DIGITS)[8 * skipped : 8 * (skipped + count)]
    count = len(digits) // 8
    return int(digits[: 8 * count] or b"0", 2).to_bytes(count, "big")
