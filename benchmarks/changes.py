"""What people do to images before they ask about them."""

from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image

from .dataset import Change


def saved(codec: str, quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, codec, quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def resized(side: int) -> Change:
    return lambda image: image.resize((side, side), Image.Resampling.LANCZOS)


def shrunk(side: int) -> Change:
    """The shorter side reduced to so many pixels."""

    def change(image: Image.Image) -> Image.Image:
        scale = side / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        return image.resize(size, Image.Resampling.LANCZOS)

    return change


def middle(width: float, height: float) -> Change:
    """The middle of an image, in shares of its width and height."""

    def change(image: Image.Image) -> Image.Image:
        x, y = round(image.width * (1 - width) / 2), round(image.height * (1 - height) / 2)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


#: What people do to images before they ask; the encoder's prior knows what it does to features.
USUAL: Mapping[str, Change] = {
    "JPEG 70": saved("JPEG", 70),
    "WebP 80": saved("WEBP", 80),
    "shrunk to 256 pixels": shrunk(256),
    "5 % cropped from each side": middle(0.9, 0.9),
}
