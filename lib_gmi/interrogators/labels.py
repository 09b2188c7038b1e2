"""Describes an image by what ImageNet's classifier sees in it: no download, a tenth of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records.protocols import PseudoPrompt

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import FloatArray

SUMMARY = '"a photo of …", from the 1,000 labels of ImageNet; always there'
#: At most so many labels, and after the first only those that are at least this probable.
_MOST, _LEAST = 3, 0.1


def say(image: Image.Image) -> PseudoPrompt:
    """See the module's docstring. The confidence is the labels' probability together.

    Raises:
        MissingExtraError: the classifier's weights are not installed.
    """
    from ..encoders import labels

    text, confidence = described(labels.softmax(labels.look([image]).small)[0])
    return PseudoPrompt(text, "labels", confidence)


def described(probabilities: FloatArray) -> tuple[str, float]:
    """The most probable of 1,000 classes in words, and their probability together."""
    from ..encoders import labels

    best = probabilities.argsort()[::-1][:_MOST].tolist()
    chosen = [i for n, i in enumerate(best) if n == 0 or probabilities[i] >= _LEAST]
    names = [labels.names()[i] for i in chosen]
    return f"a photo of {' and '.join(names)}", min(1.0, float(probabilities[chosen].sum()))
