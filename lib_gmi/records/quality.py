"""Recognise output that no checkpoint should produce.

A broken VAE, a wrong precision or an interrupted run yields black, flat, burnt-out or noise images.
Such samples must not enter a specification silently. Of 1,575 samples of 63 models the thresholds
reject five; all five show nothing, and four of them are one model that was run wrongly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    from .protocols import FloatArray

_SIDE = 128
#: Standard deviation of the luminance (0..255) under which an image shows nothing.
FLAT_DEVIATION = 4.0
#: Mean luminance under which a flat image is called black.
BLACK_LEVEL = 8.0
#: Share of pixels with a channel at its end, over which an image is burnt out.
BURNT_SHARE = 0.8
#: … if it also has at least four corner colours, each of at least this share.
BURNT_CORNER = 0.02
BURNT_CORNERS = 4
#: Correlation of neighbouring pixels at 48 pixels a side under which an image may be noise …
NOISE_CORRELATION = 0.2
#: … and is, unless they go together (or alternate) by this much at one of these sides. Drawings and
#: small patterns do; undenoised output reaches 0.37.
PATTERN_CORRELATION = 0.45
PATTERN_SIDES = (48, 32, 24)


def broken_reason(image: Image.Image) -> str | None:
    """Why an RGB image is broken output, or ``None``: black, flat, burnt-out or noise."""
    from PIL import Image as Pillow

    small = image.resize((_SIDE, _SIDE), Pillow.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float32)
    luminance = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    if luminance.std() < FLAT_DEVIATION and pixels.std(axis=(0, 1)).max() < FLAT_DEVIATION:
        return "black" if luminance.mean() < BLACK_LEVEL else "flat"
    # Burnt-out output saturates into many of the eight corner colours; a logo has two or three.
    at_end = ((pixels <= 1) | (pixels >= 254)).all(axis=2)
    corners = (pixels[at_end] > 127) @ np.array([1, 2, 4])
    shares = np.bincount(corners, minlength=8) / at_end.size
    if at_end.mean() > BURNT_SHARE and (shares > BURNT_CORNER).sum() >= BURNT_CORNERS:
        return "burnt-out"
    # Undenoised latents decode to blotches of about 8 pixels: white noise once those are averaged.
    correlations = [_neighbour_correlation(image, side) for side in PATTERN_SIDES]
    strongest = max(max(map(abs, pair)) for pair in correlations)
    if max(correlations[0]) < NOISE_CORRELATION and strongest < PATTERN_CORRELATION:
        return "noise"
    return None


def _neighbour_correlation(image: Image.Image, side: int) -> tuple[float, float]:
    """Of pixels beside and below each other, once the image is ``side`` pixels a side."""
    from PIL import Image as Pillow

    small = image.convert("L").resize((side, side), Pillow.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float32)
    return _correlation(grey[:, :-1], grey[:, 1:]), _correlation(grey[:-1], grey[1:])


def _correlation(left: FloatArray, right: FloatArray) -> float:
    if left.std() == 0 or right.std() == 0:
        return 1.0
    return float(np.corrcoef(left.ravel(), right.ravel())[0, 1])
