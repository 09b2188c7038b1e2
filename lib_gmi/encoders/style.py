"""Style features: how an image is made, rather than what it shows.

Early activations of an ImageNet network, summarised over all positions by first and second moments
of the channels (Gatys et al. 2016; Huang & Belongie 2017). The network is fully convolutional, so
images keep their shape: they are only brought to the area of a square of ``side`` pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from . import efficientnet_lite as network
from .base import ImageEncoder
from .info import Block, EncoderInfo

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..records.protocols import FloatArray

#: Longer images are cut to this ratio of their sides, around the middle.
MAX_ASPECT = 3.0
_SIDE_MULTIPLE = 16

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def prepare(image: Image.Image, side: int) -> Image.Image:
    """Resize an RGB image to about ``side²`` pixels, keeping its shape.

    Neither squeezed nor padded nor cropped (unless longer than 3:1): of what was measured
    (``benchmarks/robustness.py``) this disturbs the statistics of a portrait least.
    """
    from PIL import Image as Pillow

    width, height = image.size
    if max(width, height) > MAX_ASPECT * min(width, height):
        long = int(min(width, height) * MAX_ASPECT)
        left, top = max(0, (width - long) // 2), max(0, (height - long) // 2)
        image = image.crop((left, top, left + min(width, long), top + min(height, long)))
        width, height = image.size
    scale = side / (width * height) ** 0.5
    size = (_rounded(width * scale), _rounded(height * scale))
    return image if size == image.size else image.resize(size, Pillow.Resampling.BICUBIC)


def _rounded(length: float) -> int:
    return max(_SIDE_MULTIPLE, round(length / _SIDE_MULTIPLE) * _SIDE_MULTIPLE)


class _StyleEncoder(ImageEncoder):
    """Prepares pixels, groups images of one shape, and leaves the statistics to its children."""

    #: Areas at which images are looked at, as sides of squares, and how many numbers each gives.
    scales: tuple[tuple[int, int], ...]

    def __init__(self, id: str, device: str) -> None:
        dim = sum(count for _, count in self.scales)
        # Several at a time help a GPU. On a CPU they fall out of its caches and take half as long
        # again (benchmarks/speed.py).
        super().__init__(id, dim, batch_size=1 if device == "cpu" else 8)
        self.network = network.load(device)

    def encode_batch(self, images: Sequence[Image.Image]) -> FloatArray:
        features = [self._at(side, count, images) for side, count in self.scales]
        return np.concatenate(features, axis=1)

    def _at(self, side: int, count: int, images: Sequence[Image.Image]) -> FloatArray:
        import torch

        prepared = [prepare(image, side) for image in images]
        features = np.empty((len(images), count), dtype=np.float32)
        with torch.inference_mode():
            for size in dict.fromkeys(image.size for image in prepared):
                rows = [i for i, image in enumerate(prepared) if image.size == size]
                pixels = torch.from_numpy(np.stack([np.asarray(prepared[i]) for i in rows]))
                # [n, h, w, 3] bytes are channels_last already once permuted
                unit = pixels.to(self.network.device).permute(0, 3, 1, 2).float() / 255
                features[rows] = self._features(unit, side).float().cpu().numpy()
        return features

    @abstractmethod
    def _features(self, unit: torch.Tensor, side: int) -> torch.Tensor:
        """Statistics of pixels in 0..1 at one of the scales, ``[n, 3, h, w] → [n, count]``."""


def normalised(unit: torch.Tensor) -> torch.Tensor:
    """Pixels in 0..1 as ImageNet's networks expect them."""
    import torch

    mean = torch.tensor(_IMAGENET_MEAN, device=unit.device).view(3, 1, 1)
    std = torch.tensor(_IMAGENET_STD, device=unit.device).view(3, 1, 1)
    return (unit - mean) / std


def _positions(activation: torch.Tensor) -> torch.Tensor:
    """``[n, c, h, w] → [n, h·w, c]``; a view where the memory is channels_last."""
    return activation.permute(0, 2, 3, 1).flatten(1, 2)


def _moments(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and deviations over positions, ``[n, p, c] → 2 × [n, c]``; overwrites ``values``.

    Several times faster than ``torch.std_mean``, which reduces over a strided dimension slowly, and
    without a copy, whose fresh memory would cost more than the arithmetic.
    """
    mean = values.mean(1)
    return mean, values.sub_(mean[:, None]).square_().mean(1).sqrt_()


# -- the default ----------------------------------------------------------------------------------

#: Sides of squares of the areas at which an image is looked at.
_FINE, _COARSE = 512, 256
#: Residual blocks of the network: -1 is the stem, the last one is where it stops.
_MEANS_AFTER = (-1, 0, 2, 4, 7, 10)
_CORRELATIONS_AFTER = (-1, 0, 2, 4)
_DEPTHWISE_IN = (0, 1, 2, 3, 4, 5)
#: Added to the correlation matrix before its logarithm, which small eigenvalues would dominate.
_RIDGE = 0.1


def _channels(after: int) -> int:
    return network.STEM_CHANNELS if after < 0 else network.BLOCK_CHANNELS[after]


def _pairs(channels: int) -> int:
    return channels * (channels - 1) // 2


def _layout(parts: Sequence[tuple[str, int]]) -> tuple[Block, ...]:
    edges = np.cumsum([0, *(length for _, length in parts)]).tolist()
    return tuple(
        Block(name, start, stop)
        for (name, _), (start, stop) in zip(parts, pairwise(edges), strict=True)
    )


_HIDDEN = sum(network.HIDDEN_CHANNELS[i] for i in _DEPTHWISE_IN)
_MEANS = sum(_channels(a) for a in _MEANS_AFTER)
_COARSE_DIM = _MEANS + 2 * _HIDDEN
BLOCKS = _layout(
    [
        ("means", _MEANS),
        *((f"correlations-{a}", _pairs(_channels(a))) for a in _CORRELATIONS_AFTER),
        ("depthwise-means", _HIDDEN),
        ("depthwise-deviations", _HIDDEN),
        ("coarse-means", _MEANS),
        ("coarse-depthwise-means", _HIDDEN),
        ("coarse-depthwise-deviations", _HIDDEN),
    ]
)
DIM = BLOCKS[-1].stop


class Style(_StyleEncoder):
    """The default: 5,864 numbers. At 512² pixels

    * channel means after the stem and blocks 0, 2, 4, 7 and 10;
    * the upper triangle of the matrix logarithm of the channel correlations after the stem and
      blocks 0, 2 and 4. The logarithm maps correlation matrices to a flat space, where differences
      and averages mean what they should (Arsigny et al., "Log-Euclidean metrics", 2006);
    * channel means and deviations of the depthwise convolutions of blocks 0 to 5;

    and at 256² pixels the means and deviations again. Two scales tell more than any one between
    them; correlations at the coarser one add nothing (``docs/results-more.md``).

    Statistics of the pixels' finest detail are left out on purpose: they gain .01 on untouched
    images and lose .03 to .09 on images that were saved as JPEG or resized
    (``docs/results-more.md``).
    """

    scales = ((_FINE, DIM - _COARSE_DIM), (_COARSE, _COARSE_DIM))

    def _features(self, unit: torch.Tensor, side: int) -> torch.Tensor:
        import torch

        means, correlations, averages, deviations = [], [], [], []
        for kind, index, activation in self.network.walk(normalised(unit), _MEANS_AFTER[-1]):
            values = _positions(activation)
            if kind == "depthwise" and index in _DEPTHWISE_IN:
                average, deviation = _moments(values)
                averages.append(average)
                deviations.append(deviation)
            elif kind == "block" and index in _MEANS_AFTER:
                means.append(values.mean(1))
                if side == _FINE and index in _CORRELATIONS_AFTER:
                    correlations.append(_log_correlations(values, means[-1]))
        return torch.cat([*means, *correlations, *averages, *deviations], dim=1)


def _log_correlations(values: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Upper triangle of log(C + ridge·I) for the channels' correlation matrix C.

    ``[n, p, c] → [n, c(c−1)/2]``.
    """
    import torch

    centred = values - mean[:, None]
    covariance = centred.transpose(1, 2) @ centred / values.shape[1]
    deviation = covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt() + 1e-6
    correlation = covariance / (deviation[:, :, None] * deviation[:, None, :])
    identity = torch.eye(values.shape[2], device=values.device)
    # On the CPU: eigenvalues of small matrices are slower on a GPU, and some have no such kernel.
    eigenvalues, vectors = torch.linalg.eigh((correlation + _RIDGE * identity).cpu())
    logarithm = (vectors * eigenvalues.clamp_min(1e-6).log()[:, None, :]) @ vectors.transpose(1, 2)
    rows, columns = torch.triu_indices(values.shape[2], values.shape[2], offset=1)
    triangle: torch.Tensor = logarithm[:, rows, columns]
    return triangle.to(values.device)


STYLE: EncoderInfo = EncoderInfo(
    name="style/efficientnet-lite0",
    preprocessing="area512-256-v1",
    dim=DIM,
    blocks=BLOCKS,
    gamma=2.0,
    summary="style statistics of an ImageNet network at 512² and 256² pixels (default)",
    load=lambda device: Style(STYLE.id, device),
)

# -- the faster one -------------------------------------------------------------------------------

_FAST_AFTER = (-1, 0, 2, 4, 7, 10, 14, 15)
_FAST_CHANNELS = sum(_channels(a) for a in _FAST_AFTER)
FAST_BLOCKS = _layout([("means", _FAST_CHANNELS), ("deviations", _FAST_CHANNELS)])
FAST_DIM = FAST_BLOCKS[-1].stop


class FastStyle(_StyleEncoder):
    """Channel means and deviations of eight layers at 256² pixels: 1,632 numbers."""

    scales = ((256, FAST_DIM),)

    def _features(self, unit: torch.Tensor, side: int) -> torch.Tensor:
        import torch

        moments = [
            _moments(_positions(activation).clone())
            for kind, index, activation in self.network.walk(normalised(unit), _FAST_AFTER[-1])
            if kind == "block" and index in _FAST_AFTER
        ]
        return torch.cat([m for m, _ in moments] + [d for _, d in moments], dim=1)


FAST: EncoderInfo = EncoderInfo(
    name="style/efficientnet-lite0-fast",
    preprocessing="area256-v1",
    dim=FAST_DIM,
    blocks=FAST_BLOCKS,
    gamma=2.0,
    summary="means and deviations only, at 256² pixels: six times faster, less accurate",
    load=lambda device: FastStyle(FAST.id, device),
)
