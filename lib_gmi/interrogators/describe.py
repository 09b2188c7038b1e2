"""The description of a query image: the first that an interrogator in the user's order gives.

An interrogator that does not work is passed over with a note. What the others say about an image is
remembered by the image's pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..base.errors import GMIError, InterrogationStoppedError
from ..base.images import pixel_hash
from ..records.protocols import Interrogator, Progress, PseudoPrompt
from .cache import Cache
from .order import DEFAULT_ORDER, NONE, HostInterrogator, Query, row

if TYPE_CHECKING:
    from PIL import Image

#: A pseudo-prompt is cut there; no encoder reads as far.
MAX_TEXT = 5000


@dataclass(frozen=True)
class Described:
    """A description and how it came about.

    Attributes:
        prompt: ``None`` where nothing is said, which the order may ask for.
        notes: which interrogators did not work, and why.
    """

    prompt: PseudoPrompt | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interrogators:
    """The interrogators of one program.

    Attributes:
        order: names, see :func:`parse_order`.
        host: the program's own interrogator, if it has one.
        cache: remembers what was said.
    """

    order: Callable[[], Sequence[str]] = lambda: DEFAULT_ORDER
    host: HostInterrogator | None = None
    cache: Cache = field(default_factory=Cache)

    def describe(
        self,
        query: Query,
        quick: bool = False,
        order: Sequence[str] | None = None,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> Described:
        """The first description that there is.

        Args:
            query: what to describe.
            quick: slow interrogators only say what they are known to have said.
            order: instead of the user's.
            progress: told by slow ones.
            stopped: whether the user asked to stop.

        Raises:
            InterrogatorError: the order names an unknown interrogator.
            InterrogationStoppedError: the user asked to stop.
        """
        notes: list[str] = []
        for name in self.order() if order is None else order:
            if name == NONE:
                break
            interrogator = row(name).make(query, self.host)
            try:
                said = self._ask(interrogator, query.image, quick, progress, stopped)
            except InterrogationStoppedError:
                raise
            except GMIError as error:
                notes.append(f"{name}: {error}")
                continue
            if said is not None:
                return Described(said, tuple(notes))
        return Described(None, tuple(notes))

    def _ask(
        self,
        interrogator: Interrogator,
        image: Image.Image,
        quick: bool,
        progress: Progress | None,
        stopped: Callable[[], bool] | None,
    ) -> PseudoPrompt | None:
        if interrogator.version is None:
            return _usable(interrogator.interrogate(image, progress, stopped))
        key = f"{interrogator.name} {interrogator.version} {pixel_hash(image)}"
        known = self.cache.get(key)
        if known is not None or (quick and interrogator.slow):
            return known
        said = _usable(interrogator.interrogate(image, progress, stopped))
        if said is not None:
            self.cache.put(key, said)
        return said


def _usable(said: PseudoPrompt | None) -> PseudoPrompt | None:
    """Without blanks around it, not too long, and ``None`` if nothing is left."""
    text = "" if said is None else said.text.strip()[:MAX_TEXT].strip()
    return None if said is None or not text else PseudoPrompt(text, said.source, said.confidence)
