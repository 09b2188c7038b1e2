"""Words of a query in the prompts that images were made from.

What a picture shows is guessed; what its own prompt says is known. Of a text's words those count
most that few prompts hold (inverse document frequency, Spärck Jones 1972).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..ranking.rkme import BoolArray
    from ..records.protocols import FloatArray

#: Prompts that are looked through as one text.
_AT_ONCE = 4096
#: Words of a query that are looked for.
_MOST_WORDS = 40
#: What says nothing by itself, in English and German.
_FILLERS = (
    "a an and are as at by for from in into is it its of on or over that the this to under was "
    "with am auf das dem den der des die ein eine einer eines im mit oder und von"
)
_EMPTY = frozenset(_FILLERS.split())
_WORD = re.compile(r"[^\W_]+")
#: From here on, scripts set no spaces between words.
_NO_SPACES = "\u2e80"
#: Added where a prompt holds all words: more than cosines and the other words can make up for.
_ALL = 2.0


class PromptWords:
    """The prompts of many images, ready to be looked through.

    Args:
        prompts: of each image; empty where it is unknown.
    """

    def __init__(self, prompts: Sequence[str]) -> None:
        self._count = len(prompts)
        self._blocks: list[tuple[str, list[int]]] = []
        for start in range(0, len(prompts), _AT_ONCE):
            texts = [_plain(prompt) for prompt in prompts[start : start + _AT_ONCE]]
            ends = np.cumsum([len(text) + 1 for text in texts])
            self._blocks.append(("\n".join(texts), ends.tolist()))

    def __len__(self) -> int:
        return self._count

    def holding(self, word: str) -> BoolArray:
        """Which prompts hold a word of :func:`words_of`, also in the plural, ``[n]``."""
        found = np.zeros(self._count, dtype=bool)
        pattern = _pattern(word)
        for number, (text, ends) in enumerate(self._blocks):
            if word not in text:
                continue
            places = [match.start() for match in pattern.finditer(text) if _begins(text, match)]
            rows = np.searchsorted(ends, places, side="right")
            found[number * _AT_ONCE + rows] = True
        return found

    def scores(self, text: str) -> FloatArray:
        """How much each prompt says of a text, ``[n]``: 0 nothing, up to 1 the weight of the words
        that it holds, and 3 for all of them."""
        words = words_of(text)
        share, total = np.zeros(self._count, dtype=np.float32), 0.0
        every = np.ones(self._count, dtype=bool)
        for word in words:
            held = self.holding(word)
            weight = math.log((self._count + 1) / (held.sum() + 0.5))
            share += max(weight, 0.01) * held
            total += max(weight, 0.01)
            every &= held
        if not words:
            return share
        return np.asarray(share / total + _ALL * every, dtype=np.float32)


def words_of(text: str) -> list[str]:
    """The words of a query that say something, each once, in the singular."""
    found = [word for word in _WORD.findall(_plain(text)) if word not in _EMPTY]
    return list(dict.fromkeys(map(_singular, found)))[:_MOST_WORDS]


def _plain(text: str) -> str:
    """Without regard to case, forms of letters, and underscores between words."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return text.replace("_", " ").replace("\n", " ")


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _pattern(word: str) -> re.Pattern[str]:
    end = "" if word[-1] >= _NO_SPACES else r"(?:e?s)?(?![^\W_])"
    return re.compile(re.escape(word) + end)


def _begins(text: str, match: re.Match[str]) -> bool:
    """Whether a word begins here; in the pattern itself, this would take ten times as long."""
    before = text[match.start() - 1 : match.start()]
    return match.group()[0] >= _NO_SPACES or not before.isalnum()
