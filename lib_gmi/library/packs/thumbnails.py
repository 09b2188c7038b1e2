"""Small pictures of samples in a pack: the plainest WebP there is, checked without decoding it."""

from __future__ import annotations

from ...base.errors import ImageError, PackError
from ...base.images import decode_image, small_webp

MAX_SIDE = 512
MAX_BYTES = 200_000
#: That ours have.
_SIDE, _QUALITY = 256, 75
_START_CODE = b"\x9d\x01\x2a"


def small_copy(data: bytes) -> bytes:
    """A picture drawn anew from its pixels, small and without metadata.

    Args:
        data: an image file, for instance a library's copy of a sample.

    Returns:
        A WebP file of at most 256 pixels a side.

    Raises:
        ImageError: it cannot be decoded.
    """
    copy = small_webp(decode_image(data), _SIDE, _QUALITY)
    try:
        check_thumbnail(copy, "thumbnail")
    except PackError as error:
        raise ImageError(str(error)) from None
    return copy


def check_thumbnail(data: bytes, name: str) -> None:
    """Whether bytes are a lossy WebP of one frame with nothing else in it.

    Other kinds of WebP carry metadata, animations or another decoder's risks; none is needed.

    Raises:
        PackError: they are not, or the picture is too large.
    """
    if len(data) > MAX_BYTES:
        raise PackError(f"{name} has {len(data)} bytes; {MAX_BYTES} are allowed.")
    riff = data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8 "
    size, chunk = (int.from_bytes(data[place : place + 4], "little") for place in (4, 16))
    whole = size == len(data) - 8 and 20 + chunk + chunk % 2 == len(data)
    key_frame = len(data) >= 30 and data[20] & 1 == 0 and data[23:26] == _START_CODE
    if not (riff and whole and key_frame):
        raise PackError(f"{name} is not a plain WebP picture.")
    width, height = (int.from_bytes(data[p : p + 2], "little") & 0x3FFF for p in (26, 28))
    if not 1 <= width <= MAX_SIDE or not 1 <= height <= MAX_SIDE:
        raise PackError(f"{name} has {width}×{height} pixels; {MAX_SIDE} a side are allowed.")
