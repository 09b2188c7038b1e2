"""Pixels of any kind to 8-bit RGB over white, in little more memory than they take themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

#: Pixels that are looked at at once where that takes copies.
_STRIP = 2 << 20
_BACKGROUND = (255, 255, 255)


def orientation(image: Image.Image) -> Image.Transpose | None:
    """How to turn an image upright, by its EXIF."""
    from PIL import Image

    ways = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    # A damaged EXIF block is no reason to refuse pixels that are fine.
    with contextlib.suppress(Exception):
        return ways.get(image.getexif().get(0x0112, 1))
    return None


def flat(image: Image.Image, white: float) -> Image.Image:
    """8-bit RGB over the background; ``white`` see :func:`white_level`."""
    if _is_deep(image):
        image = _deep_to_grey(image, white)
    if image.mode in ("La", "RGBa"):  # premultiplied; Pillow converts those only this way
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if image.mode in ("LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        image = _over_background(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def shrunk(image: Image.Image, factor: int) -> Image.Image:
    """8-bit RGB, upright, and smaller by a whole number: strip by strip, so that little more than
    the decoded picture itself is in memory."""
    from PIL import Image

    white, (width, height) = white_level(image), image.size
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(_STRIP // width // factor, 1) * factor
    for strip, top in _strips(image, rows):
        small.paste(flat(strip, white).reduce(factor), (0, top // factor))
    way = orientation(image)
    return small if way is None else small.transpose(way)


def _over_background(image: Image.Image) -> Image.Image:
    from PIL import Image

    background = Image.new("RGB", image.size, _BACKGROUND)
    background.paste(image, mask=image.getchannel("A"))
    return background


def _strips(image: Image.Image, rows: int) -> Iterator[tuple[Image.Image, int]]:
    """Copies of so many rows at a time, and where each begins."""
    width, height = image.size
    for top in range(0, height, rows):
        yield image.crop((0, top, width, min(top + rows, height))), top


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def white_level(image: Image.Image) -> float:
    """The value of 16- and 32-bit grey that is white.

    The file says 16 bits but not which of them are used; floats are usually 0..1 or 0..255.
    """
    if not _is_deep(image):
        return 255.0
    rows = max(_STRIP // image.size[0], 1)
    top = max(float(_finite(strip).max(initial=0.0)) for strip, _ in _strips(image, rows))
    if image.mode == "F":
        return next((w for w in (1.0, 255.0, 65535.0) if top <= w), top)
    return 65535.0 if top <= 65535 else top


def _finite(image: Image.Image) -> NDArray[Any]:
    import numpy as np

    values = np.asarray(image, dtype=np.float64)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _deep_to_grey(image: Image.Image, white: float) -> Image.Image:
    """16- and 32-bit grey to 8 bits. Pillow's own conversion clips at 255 instead of scaling."""
    import numpy as np
    from PIL import Image

    grey = np.empty(image.size[::-1], dtype=np.uint8)
    rows = max(_STRIP // image.size[0], 1)
    for strip, top in _strips(image, rows):
        values = _finite(strip).clip(0, white) * (255.0 / white)
        grey[top : top + rows] = values.round().astype(np.uint8)
    return Image.fromarray(grey)
