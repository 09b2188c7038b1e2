"""Line drawings of pictures, so that a sketch is compared with lines and not with photographs.

A classifier of photographs sees little in a drawing (``benchmarks/search.py`` measures it). It sees
much the same in two drawings of the same thing: so samples are drawn, too, when somebody asks with
a sketch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

#: Share of the pixels that become lines.
_INK = 0.07
_BLUR = 1.6
#: Pixels of a drawing's shorter side.
_SIDE = 256


def edge_map(image: Image.Image) -> Image.Image:
    """Black lines on white where a picture's brightness changes most.

    Sobel's gradient of the blurred, grey picture, thinned to its ridges (Canny 1986, without the
    linking), the strongest 7 % of the pixels drawn two pixels wide.

    Args:
        image: RGB.
    """
    from PIL import Image, ImageFilter

    scale = _SIDE / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    grey = image.convert("L").resize(size, Image.Resampling.LANCZOS)
    values = np.asarray(grey.filter(ImageFilter.GaussianBlur(_BLUR)), dtype=np.float32)
    down, across = np.gradient(values)
    strength = np.hypot(down, across)
    # along the gradient, a pixel must be at least as strong as both neighbours
    steep = np.abs(down) > np.abs(across)
    ridge = np.where(
        steep,
        (strength >= np.roll(strength, 1, 0)) & (strength >= np.roll(strength, -1, 0)),
        (strength >= np.roll(strength, 1, 1)) & (strength >= np.roll(strength, -1, 1)),
    )
    thin = np.where(ridge, strength, 0)
    lines = (thin > max(float(np.quantile(thin, 1 - _INK)), 0.5)).astype(np.uint8)
    drawing = Image.fromarray(255 - 255 * lines)
    return drawing.filter(ImageFilter.MinFilter(3)).convert("RGB")


def dark_on_light(sketch: Image.Image) -> Image.Image:
    """A sketch in black on white, whichever way it was drawn; RGB."""
    from PIL import ImageOps

    grey = sketch.convert("L")
    values = np.asarray(grey)
    return (ImageOps.invert(grey) if values.mean() < 128 else grey).convert("RGB")
