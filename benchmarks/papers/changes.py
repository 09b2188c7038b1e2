"""What people do to images, by name."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

Change = Callable[[Image.Image], Image.Image]

#: The name of the change that changes nothing.
AS_IT_IS = "as it is"


def saved(codec: str, quality: int) -> Change:
    """Through a lossy file and back."""

    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, codec, quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def resized(side: int) -> Change:
    """Squeezed to a square of ``side`` pixels."""
    return lambda image: image.resize((side, side), Image.Resampling.LANCZOS)


def shrunk(side: int) -> Change:
    """The shorter side reduced to so many pixels."""

    def change(image: Image.Image) -> Image.Image:
        scale = side / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        return image.resize(size, Image.Resampling.LANCZOS)

    return change


def there_and_back(side: int) -> Change:
    """Shrunk until the short side has ``side`` pixels, and enlarged to what it was.

    A smaller image stays as it is.
    """

    def change(image: Image.Image) -> Image.Image:
        scale = side / min(image.size)
        if scale >= 1:
            return image
        small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        shrunk = image.resize(small, Image.Resampling.LANCZOS)
        return shrunk.resize(image.size, Image.Resampling.BICUBIC)

    return change


def middle(width: float, height: float) -> Change:
    """The middle of an image, in shares of its width and height."""

    def change(image: Image.Image) -> Image.Image:
        x, y = round(image.width * (1 - width) / 2), round(image.height * (1 - height) / 2)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


def screenshot(image: Image.Image) -> Image.Image:
    """As a viewer in dark mode shows it: grey bars, wider at the sides than at the top."""
    side, top = round(0.15 * image.width), round(0.06 * image.height)
    canvas = Image.new("RGB", (image.width + 2 * side, image.height + 2 * top), (32, 33, 36))
    canvas.paste(image, (side, top))
    return canvas


def watermark(image: Image.Image) -> Image.Image:
    """A half-transparent white text in the lower right corner, a quarter of the image wide."""
    text = Image.new("L", (86, 14), 0)
    ImageDraw.Draw(text).text((2, 1), "example.com/me", fill=160)
    width = max(1, image.width // 4)
    height = max(1, round(width * text.height / text.width))
    mask = text.resize((width, height), Image.Resampling.BICUBIC)
    marked = image.copy()
    white = Image.new("RGB", mask.size, (255, 255, 255))
    marked.paste(white, (image.width - width - 4, image.height - height - 4), mask)
    return marked


def colour_shift(image: Image.Image) -> Image.Image:
    """A little warmer and brighter, as by a phone's automatic correction."""
    pixels = np.asarray(image, dtype=np.float32) * np.array([1.05, 1.01, 0.95], np.float32) + 4
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


#: What people do to images most; the encoder's prior knows what it does to features.
USUAL: dict[str, Change] = {
    "JPEG 70": saved("JPEG", 70),
    "WebP 80": saved("WEBP", 80),
    "shrunk to 256 pixels": shrunk(256),
    "5 % cropped from each side": middle(0.9, 0.9),
}
#: What queries are put through.
QUERIES: dict[str, Change] = {
    AS_IT_IS: lambda image: image,
    "JPEG 95": saved("JPEG", 95),
    "JPEG 70": saved("JPEG", 70),
    "JPEG 50": saved("JPEG", 50),
    "JPEG 30": saved("JPEG", 30),
    "WebP 80": saved("WEBP", 80),
    "shrunk to 256": resized(256),
    "shrunk to 256 and back": there_and_back(256),
    "cropped by 5 %": middle(0.95, 0.95),
    "screenshot with borders": screenshot,
    "watermark": watermark,
    "colour shift": colour_shift,
}
#: What copies of specification samples are put through; none of it is what queries are put through.
COPIES: dict[str, Change] = {
    "JPEG 60": saved("JPEG", 60),
    "shrunk to 288 and back": there_and_back(288),
}
CHANGES: dict[str, Change] = {**USUAL, **QUERIES, **COPIES}
