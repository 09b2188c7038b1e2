"""Query images in words: the interrogators of a running program."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import InterrogatorError
from ..interrogators import Described, Interrogators, Query
from ..ranking.query import described
from ..records.protocols import Progress, PseudoPrompt

if TYPE_CHECKING:
    from PIL import Image

    from ..metadata import Making
    from ..ranking.results import Ranking
    from ..records.prompts import PromptSet
    from .snapshots import Snapshots


class Descriptions:
    """Describes query images. All methods may be called from any thread.

    Args:
        interrogators: in the user's order.
        snapshots: know the library's nearest prompt.
        prompt_set: that its specifications were built on.
        tables: see :class:`..interrogators.Query`.
    """

    def __init__(
        self,
        interrogators: Interrogators,
        snapshots: Snapshots,
        prompt_set: PromptSet,
        tables: Path,
    ) -> None:
        self._interrogators, self._snapshots = interrogators, snapshots
        self._prompts = {prompt.id: prompt.text for prompt in prompt_set.prompts}
        self._tables = tables

    def pseudo_prompt(
        self, ranking: Ranking, prompt: str | None, images: Sequence[Image.Image] = ()
    ) -> PseudoPrompt | None:
        """What describes the query of a ranking, without waiting for a slow interrogator.

        Args:
            ranking: knows the library's nearest prompt.
            prompt: the user's own words, which always come first.
            images: of the query, if others than the user and the library shall be asked.
        """
        nearest = self._prompt_text(ranking.nearest_prompt)
        if prompt and prompt.strip():
            return PseudoPrompt(prompt.strip(), "user")
        if images:
            # a wrong order is told where somebody asks for a description; a ranking needs none
            with contextlib.suppress(InterrogatorError):
                return self._described(images, None, lambda: nearest, quick=True).prompt
        return None if nearest is None else PseudoPrompt(nearest, "library")

    def describe(self, images: Sequence[Image.Image], prompt: str | None) -> PseudoPrompt | None:
        """What describes a query, without ranking anything or waiting for a slow interrogator.

        Raises:
            ImageError: an image cannot be used.
            InterrogatorError: the user's order names an unknown interrogator.
        """
        if prompt and prompt.strip():
            return PseudoPrompt(prompt.strip(), "user")
        return self.interrogate(images, quick=True).prompt

    def interrogate(
        self,
        images: Sequence[Image.Image],
        making: Making | None = None,
        quick: bool = False,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
        order: Sequence[str] | None = None,
    ) -> Described:
        """Describe the first image by the interrogators in the user's order.

        Args:
            images: of the query; all of them find the library's nearest prompt.
            making: what the first image's file says.
            quick: do not wait for slow ones.
            progress: told by slow ones.
            stopped: whether the user asked to stop.
            order: names of interrogators, instead of the user's.

        Raises:
            ImageError: an image cannot be used.
            InterrogatorError: the user's order names an unknown interrogator.
            InterrogationStoppedError: the user asked to stop.
        """

        def nearest() -> str | None:
            identifier = self._snapshots.snapshot().identifier
            features = identifier.read(images).features
            return self._prompt_text(identifier.library.nearest_prompt(features))

        return self._described(images, making, nearest, quick, order, progress, stopped)

    def _described(
        self,
        images: Sequence[Image.Image],
        making: Making | None,
        nearest: Callable[[], str | None],
        quick: bool,
        order: Sequence[str] | None = None,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> Described:
        def ask(image: Image.Image) -> Described:
            query = Query(image, None, making, nearest, self._tables)
            return self._interrogators.describe(query, quick, order, progress, stopped)

        return described(images, ask)

    def _prompt_text(self, prompt_id: str | None) -> str | None:
        return self._prompts.get(prompt_id or "")
