"""What people write in one line: words between commas, and weights of the parts of a search."""

from __future__ import annotations

from ..base.errors import SearchError


def words(text: str) -> list[str]:
    """What stands between commas, without what is empty."""
    return [word.strip() for word in text.split(",") if word.strip()]


def weights(text: str) -> dict[str, float]:
    """``text=2,image=1`` as numbers by part; which parts there are is :class:`.search.Query`'s.

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
