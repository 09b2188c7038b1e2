"""Interrogators that load no model of ours: the user, the file, the library, the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..base.errors import GMIError, InterrogatorError
from ..records.protocols import Progress, PseudoPrompt

if TYPE_CHECKING:
    from PIL import Image

    from ..metadata import Making


class Words:
    """The user's own words."""

    name, version, slow = "user", None, False

    def __init__(self, words: str | None) -> None:
        self._words = words

    def interrogate(
        self,
        image: Image.Image,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> PseudoPrompt | None:
        """See :class:`..protocols.Interrogator`."""
        words = (self._words or "").strip()
        return PseudoPrompt(words, self.name) if words else None


class Metadata:
    """The prompt that the image's file names: what it was made from, if the file is honest."""

    name, version, slow = "metadata", None, False

    def __init__(self, making: Making | None) -> None:
        self._making = making

    def interrogate(
        self,
        image: Image.Image,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> PseudoPrompt | None:
        """See :class:`..protocols.Interrogator`."""
        prompt = None if self._making is None else self._making.prompt
        return PseudoPrompt(prompt, self.name) if prompt else None


class Nearest:
    """The prompt of the library whose samples are nearest."""

    name, version, slow = "library", None, False

    def __init__(self, nearest: Callable[[], str | None]) -> None:
        self._nearest = nearest

    def interrogate(
        self,
        image: Image.Image,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> PseudoPrompt | None:
        """See :class:`..protocols.Interrogator`."""
        text = self._nearest()
        return PseudoPrompt(text, self.name) if text else None


class Host:
    """The interrogator of the program around us; it brings its own models and settings."""

    name, version, slow = "host", "1", True

    def __init__(self, ask: Callable[[Image.Image], str] | None) -> None:
        self._ask = ask

    def interrogate(
        self,
        image: Image.Image,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> PseudoPrompt | None:
        """See :class:`..protocols.Interrogator`. It cannot be stopped once it has begun.

        Raises:
            InterrogatorError: it failed; the message is the program's, or says where to look.
        """
        if self._ask is None:
            return None  # most programs have none
        try:
            text = self._ask(image)
        except GMIError:
            raise
        except Exception as error:  # a program's own code: a model, a package, memory may be short
            raise InterrogatorError(f"The program's interrogator failed ({error}).") from error
        return PseudoPrompt(str(text), self.name)
