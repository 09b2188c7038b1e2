"""Photographs that ship with scikit-image, and filters that stand in for checkpoints.

A photograph takes the place of what a prompt asks for, a filter that of how a checkpoint draws.
Everything is deterministic; an image takes about a tenth of a second.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from lib_gmi.records.prompts import Prompt, PromptSet

Filter = Callable[[Image.Image], Image.Image]
Array = NDArray[np.float32]
SIDE = 512

#: File → what two crops of it are called. They are in the package itself; nothing is downloaded.
_SUBJECTS = (
    ("astronaut.png", "an astronaut in an orange suit, portrait", "an astronaut and a flag"),
    ("coffee.png", "a cup of coffee on a wooden table", "a spoon beside a cup of coffee"),
    ("chelsea.png", "a tabby cat, close-up", "a cat that looks at you"),
    ("rocket.jpg", "a rocket on its launch pad at dusk", "a rocket between towers of steel"),
    ("motorcycle_left.png", "a motorcycle in a garage", "the engine of a motorcycle"),
    ("hubble_deep_field.jpg", "galaxies in deep space", "a field of distant stars"),
    ("camera.png", "a photographer with a tripod", "a man in a coat behind a camera"),
    ("moon.png", "craters of the moon", "the surface of the moon under low light"),
)


def prompt_set() -> PromptSet:
    """Sixteen prompts; every photograph comes once before any comes again."""
    words = [text for column in (1, 2) for text in (row[column] for row in _SUBJECTS)]
    prompts = (Prompt(f"photograph-{n:02d}", {"natural": text}) for n, text in enumerate(words))
    return PromptSet("photographs", "1", tuple(prompts))


@cache
def _whole(file: str) -> Image.Image:
    found = importlib.util.find_spec("skimage")
    assert found is not None
    assert found.origin is not None
    with Image.open(Path(found.origin).parent / "data" / file) as image:
        return image.convert("RGB")


def photograph(number: int, side: int = SIDE) -> Image.Image:
    """A square crop; a number gives the same crop always, numbers from 16 on are in no prompt."""
    return crop(_SUBJECTS[number % len(_SUBJECTS)][0], number, side)


def crop(file: str, number: int, side: int = SIDE) -> Image.Image:
    """A square part of one of scikit-image's photographs; where it lies depends on the number."""
    whole = _whole(file)
    random = np.random.default_rng(number)
    size = int(min(whole.size) * random.uniform(0.6, 1.0))
    left = int(random.integers(0, whole.width - size + 1))
    top = int(random.integers(0, whole.height - size + 1))
    square = whole.crop((left, top, left + size, top + size))
    return square.resize((side, side), Image.Resampling.LANCZOS)


def as_array(image: Image.Image) -> Array:
    """Colours from 0 to 1, ``[height, width, channels]``; grey has no channels."""
    return np.asarray(image, np.float32) / 255


def as_image(array: NDArray[np.floating]) -> Image.Image:
    """The image of such an array; what is out of range is clipped."""
    return Image.fromarray((array.clip(0, 1) * 255).round().astype(np.uint8))


def _resized(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BICUBIC)


@cache
def _paper(coarse: int, strength: float) -> Array:
    """Grain of a sheet, ``[SIDE, SIDE, 1]`` around 1."""
    noise = np.random.default_rng(coarse).normal(0, 1, (SIDE // coarse, SIDE // coarse))
    sheet = Image.fromarray((noise * 40 + 128).clip(0, 255).astype(np.uint8))
    grain = np.asarray(_resized(sheet, SIDE), np.float32)[..., None]
    return 1 + strength * (grain - 128) / 40


def _edges(image: Image.Image, strength: float = 3.0) -> Array:
    """Outlines from 0 to 1, ``[SIDE, SIDE]``."""
    grey = as_array(image.convert("L").filter(ImageFilter.GaussianBlur(1.4)))
    down, right = np.gradient(grey)
    return (np.hypot(down, right) * strength * 4).clip(0, 1).astype(np.float32)


def _watercolour(image: Image.Image) -> Image.Image:
    wash = _resized(image, 144).filter(ImageFilter.MedianFilter(7)).filter(ImageFilter.SMOOTH_MORE)
    wash = ImageEnhance.Color(_resized(wash, SIDE)).enhance(1.35)
    rims = _edges(wash, 2.0)[..., None]
    return as_image((0.28 + 0.74 * as_array(wash)) * _paper(2, 0.02) - 0.25 * rims)


def _oil(image: Image.Image) -> Image.Image:
    strokes = _resized(image, 256).filter(ImageFilter.ModeFilter(9))
    strokes = ImageEnhance.Color(_resized(strokes, SIDE)).enhance(1.6)
    relief = as_array(strokes.convert("L").filter(ImageFilter.EMBOSS))[..., None] - 0.5
    return as_image(as_array(strokes) * _paper(2, 0.05) + 0.55 * relief)


def _ink(image: Image.Image) -> Image.Image:
    grey = image.convert("L")
    soft = as_array(ImageOps.invert(grey).filter(ImageFilter.GaussianBlur(9)))
    pencil = (as_array(grey) / (1.02 - soft)).clip(0, 1) ** 2.2
    lines = 1 - _edges(image, 2.4)
    return as_image(np.minimum(pencil, lines)[..., None] * np.array([1.0, 0.985, 0.95]))


def _halftone(image: Image.Image) -> Image.Image:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    colours = as_array(ImageEnhance.Contrast(image).enhance(1.3))
    printed = np.ones((SIDE, SIDE, 3), np.float32)
    for channel, degrees in enumerate((15, 75, 45)):
        angle = np.deg2rad(degrees)
        across = (columns * np.cos(angle) + rows * np.sin(angle)) * np.pi / 5
        along = (rows * np.cos(angle) - columns * np.sin(angle)) * np.pi / 5
        screen = (np.cos(across) * np.cos(along) + 1) / 2
        printed[..., channel] = (colours[..., channel] - screen) * 4 + 0.5
    return as_image(0.06 + 0.92 * printed.clip(0, 1))


def _pixels(image: Image.Image) -> Image.Image:
    small = ImageEnhance.Color(image.resize((64, 64), Image.Resampling.BOX)).enhance(1.4)
    few = small.quantize(20).convert("RGB")
    return few.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def tinted(dark: str, middle: str, light: str) -> Filter:
    """Three colours that take the place of black, grey and white."""
    return lambda image: ImageOps.colorize(image.convert("L"), dark, light, middle)


def _neon(image: Image.Image) -> Image.Image:
    cold = as_array(tinted("#050014", "#5a18c0", "#57f2ff")(image)) * 0.55
    lines = _edges(image)[..., None] * np.array([1.0, 0.25, 0.95])
    glow = as_array(as_image(lines).filter(ImageFilter.GaussianBlur(7)))
    return as_image(1 - (1 - cold) * (1 - 0.9 * glow) * (1 - 0.7 * lines))


def _blueprint(image: Image.Image) -> Image.Image:
    sheet = np.empty((SIDE, SIDE, 3), np.float32)
    sheet[:] = (0.06, 0.22, 0.5)
    sheet[::32] += 0.08
    sheet[:, ::32] += 0.08
    lines = _edges(image, 3.4)[..., None]
    shade = 0.1 * as_array(image.convert("L"))[..., None]
    return as_image((sheet + shade) * (1 - lines) + lines * np.array([0.88, 0.95, 1.0]))


def _film(image: Image.Image) -> Image.Image:
    random = np.random.default_rng(int(as_array(image.resize((4, 4))).sum() * 1e4))
    grain = random.normal(0, 0.055, (SIDE, SIDE, 1))
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    corners = 1 - 0.38 * (rows**2 + columns**2)[..., None]
    leak = 0.22 * np.exp(-((columns - 1.05) ** 2) / 0.1)[..., None] * np.array([1.0, 0.45, 0.1])
    faded = 0.1 + 0.82 * as_array(image) ** 1.1 * np.array([1.06, 0.97, 0.8])
    return as_image(faded * corners + grain + leak)


def _comic(image: Image.Image) -> Image.Image:
    flat = _resized(_resized(image, 200).filter(ImageFilter.MedianFilter(7)), SIDE)
    flat = ImageEnhance.Color(ImageOps.posterize(flat, 2)).enhance(1.7)
    lines = (_edges(image, 4.0) > 0.55)[..., None]
    return as_image(np.where(lines, 0.03, as_array(flat) * 1.12))


def _dream(image: Image.Image) -> Image.Image:
    glow = image.filter(ImageFilter.GaussianBlur(14))
    bright = ImageChops.screen(image, ImageEnhance.Brightness(glow).enhance(0.75))
    return as_image(0.16 + 0.84 * as_array(bright) * np.array([1.02, 0.93, 1.0]))


def _night(image: Image.Image) -> Image.Image:
    return as_image(
        as_array(image) ** 1.8 * np.array([0.32, 0.48, 0.85]) + np.array([0, 0.01, 0.05])
    )


def _studio(image: Image.Image) -> Image.Image:
    return ImageEnhance.Sharpness(ImageEnhance.Contrast(image).enhance(1.35)).enhance(2.5)


def _studio_again(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(_studio(image)).enhance(1.01)


#: Style → filter.
FILTERS: dict[str, Filter] = {
    "watercolour": _watercolour,
    "oil": _oil,
    "ink": _ink,
    "halftone": _halftone,
    "pixels": _pixels,
    "neon": _neon,
    "blueprint": _blueprint,
    "film": _film,
    "comic": _comic,
    "dream": _dream,
    "sepia": tinted("#1b0f06", "#9b6b3d", "#fff3da"),
    "cyanotype": tinted("#06122b", "#2f6fb0", "#f4fbff"),
    "night": _night,
    "studio": _studio,
    "studio-again": _studio_again,
    "plain": lambda image: image,
}


def drawn(style: str, number: int) -> Image.Image:
    """What a checkpoint of this style makes of a photograph."""
    return FILTERS[style](photograph(number))
