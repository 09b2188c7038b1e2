"""How a query looks, beside what it shows: the learned kernel as an expert of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..base.vectors import unit
from ..ranking.kernels import LearnedKernel

if TYPE_CHECKING:
    from PIL import Image

    from ..ranking.identify import Identifier


class Style:
    """What a fitted library says of images and of its own candidates.

    Args:
        identifier: of the fitted library.
    """

    def __init__(self, identifier: Identifier) -> None:
        self._identifier = identifier
        self._library = identifier.library
        self.identities = [c.identity for c in self._library.stack.candidates]

    def of_images(self, images: Sequence[Image.Image]) -> dict[str, float]:
        """Log scores of candidates for images, by identity, as :meth:`.Identifier.rank` has them.

        Raises:
            ImageError: an image cannot be used.
        """
        features = self._identifier.read(images).features
        scores = self._library.learned.scores(features, None).mean(axis=0)
        return dict(zip(self.identities, (-scores).tolist(), strict=True))

    def near(self, identity: str) -> dict[str, float]:
        """Cosines of a candidate with the others in the space in which candidates differ.

        Empty if the fitted library does not have it, or has no other.
        """
        if identity not in self.identities or len(self.identities) < 2:
            return {}
        kernel = self._library.learned
        if kernel.params.attention > 0:  # then candidates have no fixed places
            steady = replace(kernel.params, attention=0.0)
            kernel = LearnedKernel.fit(self._library.stack, self._library.prior, steady)
        places = unit(kernel.candidates)
        own = self.identities.index(identity)
        cosines = places @ places[own]
        return {name: float(cosines[i]) for i, name in enumerate(self.identities) if i != own}


def aligned(known: Mapping[str, float], identities: Sequence[str]) -> np.ndarray:
    """Log scores in the order of ``identities``; who is not known counts as average, ``[M]``."""
    values = [known[name] for name in identities if name in known]
    usual = float(np.mean(values)) if values else 0.0
    return np.asarray([known.get(name, usual) for name in identities], dtype=np.float32)
