"""What a search looks for, and how people write parts of it in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..base.errors import SearchError
from .content import SCORES

if TYPE_CHECKING:
    from PIL import Image

#: Parts of a query that have a weight. ``style`` is the learned kernel beside an image.
PARTS = ("text", "image", "sketch", "tags", "like", "style")
EMPTY_QUERY = (
    "Say what to look for: a text, an image, a sketch, tags, or a checkpoint that it shall be like."
)


@dataclass(frozen=True)
class Query:
    """What to look for. Everything that is given counts.

    Attributes:
        text: in words.
        images: examples of the same wish.
        sketches: drawings, dark on light or light on dark.
        tags: words of which a sample shall show any, or all with ``all_tags``.
        like: title, name or identity of a checkpoint.
        weights: of :data:`PARTS`; 1 where none is given, 0 leaves a part out.
        score: one of :data:`.content.SCORES` for all parts; by default the best for each.

    Raises:
        SearchError: it asks for nothing, or a weight or the score is none.
    """

    text: str = ""
    images: Sequence[Image.Image] = ()
    sketches: Sequence[Image.Image] = ()
    tags: Sequence[str] = ()
    all_tags: bool = False
    like: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    score: str | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(PARTS))
        if unknown:
            listed = ", ".join(PARTS)
            raise SearchError(f"Unknown part '{unknown[0]}'. Parts with a weight: {listed}.")
        if any(not (0 <= weight < 1e6) for weight in self.weights.values()):
            raise SearchError("A weight is a number from 0 on.")
        if self.score is not None and self.score not in SCORES:
            raise SearchError(f"Unknown score '{self.score}'. Known: {', '.join(SCORES)}.")
        if not self.parts:
            raise SearchError(EMPTY_QUERY)

    @property
    def words(self) -> list[str]:
        """The tags without what is empty."""
        return list(dict.fromkeys(tag.strip() for tag in self.tags if tag.strip()))

    @property
    def parts(self) -> tuple[str, ...]:
        """What is given and counts."""
        given = {
            "text": bool(self.text.strip()),
            "image": bool(self.images),
            "sketch": bool(self.sketches),
            "tags": bool(self.words),
            "like": bool(self.like.strip()),
        }
        return tuple(part for part, there in given.items() if there and self.weight(part) > 0)

    def weight(self, part: str) -> float:
        """Of a part."""
        return float(self.weights.get(part, 1.0))


def words(text: str) -> list[str]:
    """What stands between commas, without what is empty."""
    return [word.strip() for word in text.split(",") if word.strip()]


def weights(text: str) -> dict[str, float]:
    """``text=2,image=1`` as numbers by part, for :class:`Query` to check.

    Raises:
        SearchError: something of it is no weight.
    """
    found = {}
    for word in words(text):
        part, _, number = word.partition("=")
        try:
            found[part.strip()] = float(number)
        except ValueError:
            raise SearchError(f"'{word}' is no weight. Write for instance text=2.") from None
    return found
