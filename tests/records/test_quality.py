"""Broken output is recognised, and pictures that are merely dark, pale or simple are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import picture
from PIL import Image, ImageDraw, ImageFilter

from lib_gmi.records.quality import broken_reason

SIDE = 256


def from_array(values: np.ndarray) -> Image.Image:
    """Pixels as an RGB image, clipped to 0..255."""
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3, axis=2)
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def random_pixels(scale: float, mean: float, block: int = 1, side: int = SIDE) -> Image.Image:
    """Independent pixels around a mean, or blotches of ``block`` pixels as of raw latents."""
    coarse = np.random.default_rng(0).normal(mean, scale, (side // block, side // block, 3))
    return from_array(coarse.repeat(block, axis=0).repeat(block, axis=1))


def ramp(angle: float) -> np.ndarray:
    """0..1 along a direction, ``[SIDE, SIDE]``."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    values = np.cos(np.radians(angle)) * x + np.sin(np.radians(angle)) * y
    return np.asarray((values - values.min()) / (values.max() - values.min()))


def burnt() -> Image.Image:
    """A picture whose every channel went far beyond its range."""
    pixels = np.asarray(picture(0, 3, side=SIDE), dtype=float)
    return from_array((pixels - pixels.mean(axis=(0, 1))) * 1000)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        pytest.param(from_array(np.zeros((SIDE, SIDE))), "black", id="black"),
        pytest.param(random_pixels(2, 2), "black", id="black with a little noise"),
        pytest.param(Image.new("RGB", (1, 1)), "black", id="one black pixel"),
        pytest.param(Image.new("RGB", (832, 1216)), "black", id="black portrait"),
        pytest.param(from_array(np.full((SIDE, SIDE), 255.0)), "flat", id="white"),
        pytest.param(Image.new("RGB", (SIDE, SIDE), (97, 60, 140)), "flat", id="one colour"),
        pytest.param(random_pixels(2, 120), "flat", id="one colour with a little noise"),
        pytest.param(random_pixels(80, 128), "noise", id="white noise"),
        pytest.param(random_pixels(25, 128), "noise", id="faint noise"),
        pytest.param(random_pixels(60, 128, block=8, side=512), "noise", id="blotches at 512"),
        pytest.param(random_pixels(60, 128, block=8, side=1024), "noise", id="blotches at 1024"),
        pytest.param(burnt(), "burnt-out", id="burnt out"),
    ],
)
def test_broken_output_is_recognised(image: Image.Image, reason: str) -> None:
    assert broken_reason(image) == reason


def candle() -> Image.Image:
    """Low key: a small light in the dark."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return from_array(230 * np.exp(-80 * ((x - 0.4) ** 2 + (y - 0.6) ** 2)) + 3)


def snow() -> Image.Image:
    """High key: pale shades in white."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return from_array(255 - 40 * np.exp(-6 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)))


def drawing() -> Image.Image:
    """Black lines on white paper."""
    image = Image.new("RGB", (SIDE * 2, SIDE * 2), "white")
    pen = ImageDraw.Draw(image)
    for radius in range(20, 240, 20):
        box = (SIDE - radius, SIDE - radius, SIDE + radius, SIDE + radius)
        pen.ellipse(box, outline="black", width=3)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def emblem() -> Image.Image:
    """A flat coloured shape on white, as logos are."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(image).regular_polygon((128, 128, 70), 6, fill=(200, 40, 60))
    return image


def silhouette() -> Image.Image:
    """A black shape on white, nothing else."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(image).ellipse((90, 90, 166, 166), fill="black")
    return image


def polka_dots() -> Image.Image:
    """A small pattern, evenly repeated."""
    image = Image.new("RGB", (SIDE * 2, SIDE * 2), (240, 230, 210))
    for y in range(0, SIDE * 2, 22):
        for x in range(0, SIDE * 2, 22):
            ImageDraw.Draw(image).ellipse((x + 4, y + 4, x + 15, y + 15), fill=(180, 40, 60))
    return image


def chessboard() -> Image.Image:
    """48 fields a side."""
    y, x = np.mgrid[0:480, 0:480] // 10
    return from_array(60.0 + 130 * ((x + y) % 2))


def grainy() -> Image.Image:
    """A picture on a very fast film."""
    grain = np.random.default_rng(1).normal(0, 30, (SIDE, SIDE, 3))
    return from_array(np.asarray(picture(3, 1, side=SIDE), dtype=float) + grain)


def fog() -> Image.Image:
    """Hardly any contrast, but a shape."""
    return from_array(150 + 24 * ramp(70))


@pytest.mark.parametrize(
    "draw",
    [
        *[
            pytest.param(lambda angle=angle: from_array(255 * ramp(angle)), id=f"gradient {angle}°")
            for angle in (0, 45, 90, 200)
        ],
        candle,
        snow,
        drawing,
        emblem,
        silhouette,
        polka_dots,
        chessboard,
        grainy,
        fog,
        pytest.param(lambda: candle().convert("L").convert("RGB"), id="black and white"),
        pytest.param(lambda: picture(1, 1, side=SIDE), id="smooth picture"),
        pytest.param(lambda: picture(1, 1, side=16), id="very small picture"),
        pytest.param(lambda: drawing().resize((1500, 200)), id="panorama"),
        pytest.param(lambda: emblem().filter(ImageFilter.GaussianBlur(20)), id="blurred"),
    ],
)
def test_unusual_pictures_are_not_taken_for_broken_ones(draw: Callable[[], Image.Image]) -> None:
    assert broken_reason(draw()) is None


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_photographs_are_not_taken_for_broken_output(name: str) -> None:
    data = pytest.importorskip("skimage.data")
    photograph = Image.fromarray(getattr(data, name)())
    assert broken_reason(photograph) is None
    assert broken_reason(photograph.convert("L").convert("RGB")) is None
