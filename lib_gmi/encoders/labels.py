"""Images and texts in one space without CLIP: ConSE (Norouzi et al. 2014, arXiv 1312.5650).

EfficientNet-Lite0 says how probable each of ImageNet's 1,000 classes is; an image becomes the mean
of the embeddings of the classes' names under these probabilities, and can be compared with the
embedding of any text. Nothing is trained and nothing downloaded. Four things go beyond the paper,
each measured by ``benchmarks/text_image.py``:

* a class is the mean of three wordings: its short name, WordNet's synonyms, WordNet's gloss;
* both sides are centred, images on what generated images have in common, texts on prompts: else
  every image is near the same few "hubs";
* probabilities are softened by a temperature: generated images are seldom one of the classes alone;
* three looks are averaged: the whole at two sizes, and 36 places of the larger one on their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import EncoderError
from ..base.images import to_rgb
from ..base.paths import data_folder
from ..base.vectors import unit
from . import efficientnet_lite as network
from . import text
from .base import ImageEncoder
from .style import normalised, prepare

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..records.protocols import FloatArray

ID = "labels/conse-efficientnet-lite0"
CLASSES = 1000
#: Of the softmax over the whole image; chosen by leave-one-prompt-out from 1, 2, 3, 5 and 8.
TEMPERATURE = 2.0
_SMALL, _LARGE = 224, 384
#: The larger image is looked at in so many rows and columns.
_PLACES = 6


def names_path() -> Path:
    """Names, synonyms and glosses of the classes, with their sources."""
    return data_folder() / "labels" / "imagenet.json"


def arrays_path() -> Path:
    """Embeddings of the classes and the two centres; ``benchmarks/label_data.py`` writes them."""
    return data_folder() / "labels" / "conse-minilm-l6-v2.safetensors"


@cache
def names() -> tuple[str, ...]:
    """Short names of ImageNet's classes in their usual order.

    Raises:
        EncoderError: the file that ships with this program is damaged.
    """
    return tuple(row["name"] for row in rows())


def rows() -> list[dict[str, str]]:
    """``name``, ``synonyms`` and ``gloss`` of each class.

    Raises:
        EncoderError: the file that ships with this program is damaged.
    """
    path = names_path()
    try:
        found = json.loads(path.read_bytes())["classes"]
        if len(found) != CLASSES:
            raise ValueError(f"{len(found)} classes")
        return [{key: str(row[key]) for key in ("name", "synonyms", "gloss")} for row in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from None


class Looks:
    """The classifier's view of images.

    Attributes:
        logits: ``[n, 1000]`` of the whole, averaged over the two sizes.
        small: ``[n, 1000]`` of the smaller size alone, which the network was trained with.
        places: ``[n, 1000]``, the mean of the places' probabilities.
    """

    def __init__(self, small: FloatArray, large: FloatArray, places: FloatArray) -> None:
        self.small, self.places = small, places
        self.logits: FloatArray = np.asarray((small + large) / 2, dtype=np.float32)

    def probabilities(self, temperature: float = TEMPERATURE) -> FloatArray:
        """Of the whole, softened, and of the places, in equal parts; ``[n, 1000]``."""
        both = (softmax(self.logits, temperature) + self.places) / 2
        return np.asarray(both, dtype=np.float32)


def softmax(logits: FloatArray, temperature: float = 1.0) -> FloatArray:
    """Over the last axis."""
    shifted = (logits - logits.max(axis=-1, keepdims=True)) / temperature
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


def look(images: Sequence[Image.Image], device: str = "cpu") -> Looks:
    """Classify images of any mode and size; their shape is kept, as in :func:`.style.prepare`.

    Raises:
        ImageError: an image cannot be brought to RGB.
        MissingExtraError: the network's weights are not installed.
    """
    import torch
    import torch.nn.functional as F

    net = network.load(device)
    found = np.empty((3, len(images), CLASSES), dtype=np.float32)
    with torch.inference_mode():
        for row, image in enumerate(images):
            rgb = to_rgb(image)
            large = net.head(_pixels(rgb, _LARGE, device))
            places = F.adaptive_avg_pool2d(large, _PLACES).flatten(2).transpose(1, 2)
            small = net.head(_pixels(rgb, _SMALL, device))
            views = (
                net.classify(small.mean((2, 3))),
                net.classify(large.mean((2, 3))),
                net.classify(places).softmax(-1).mean(1),
            )
            for view, values in enumerate(views):
                found[view, row] = values[0].cpu().numpy()
    return Looks(*found)


def _pixels(image: Image.Image, side: int, device: str) -> torch.Tensor:
    import torch

    pixels = torch.from_numpy(np.array(prepare(image, side)))
    return normalised(pixels.to(device).permute(2, 0, 1)[None].float() / 255)


class LabelSpace(ImageEncoder):
    """A joint encoder of 384 numbers, see the module's docstring.

    Texts need the optional text encoder; images do not.
    """

    def __init__(self, arrays: dict[str, FloatArray], device: str = "cpu") -> None:
        super().__init__(ID, text.TEXT_DIM, batch_size=4)
        self._device = device
        classes = arrays["classes"]
        self.classes: FloatArray = unit(classes - classes.mean(axis=0))
        self._image_centre, self._text_centre = arrays["image_centre"], arrays["text_centre"]

    def place(self, looks: Looks) -> FloatArray:
        """Where the classifier's view puts images, ``[n, 384]``, of unit length."""
        return unit(looks.probabilities() @ self.classes - self._image_centre)

    def encode_batch(self, images: Sequence[Image.Image]) -> FloatArray:
        return self.place(look(images, self._device))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of n texts as float32 ``[n, 384]``, of unit length.

        Any language is embedded; the text encoder was trained with English.

        Raises:
            EncoderError: a text is empty.
            MissingExtraError: the text encoder is not installed.
        """
        if any(not one.strip() for one in texts):
            raise EncoderError("An empty text describes no image. Write a few words.")
        return unit(text.load().encode_texts(texts) - self._text_centre)


@cache
def load(device: str = "cpu") -> LabelSpace:
    """The joint encoder, loaded once a process and device; its models with the first question.

    Raises:
        EncoderError: the file that ships with this program is damaged.
    """
    return LabelSpace(read_arrays(arrays_path()), device)


def read_arrays(path: Path) -> dict[str, FloatArray]:
    """``classes`` ``[1000, 384]``, ``image_centre`` and ``text_centre`` ``[384]``.

    Raises:
        EncoderError: the file is damaged.
    """
    from safetensors.numpy import load as parse

    shapes = {
        "classes": (CLASSES, text.TEXT_DIM),
        "image_centre": (text.TEXT_DIM,),
        "text_centre": (text.TEXT_DIM,),
    }
    try:
        found = {
            key: np.asarray(value, np.float32) for key, value in parse(path.read_bytes()).items()
        }
        for key, shape in shapes.items():
            if found[key].shape != shape or not np.isfinite(found[key]).all():
                raise ValueError(f"'{key}' is not what it should be")
    except Exception as error:  # a damaged header raises the library's own type
        raise _damaged(path, error) from None
    return found


def _damaged(path: Path, error: Exception) -> EncoderError:
    return EncoderError(f"{path}: is damaged ({error}). Reinstall this program.")
