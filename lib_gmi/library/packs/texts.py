"""JSON, texts and addresses that a stranger wrote: checked before anything else looks at them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from ...base.errors import PackError

#: Of values in one JSON text; ten thousand specifications of 55 samples have 1.2 million.
MAX_VALUES = 4_000_000
#: Characters of a title, an identity, a prompt's id and the like.
MAX_NAME = 1000
#: Characters of any other text, for instance a negative prompt.
MAX_TEXT = 10_000
_MAX_DEPTH = 32
_MAX_DIGITS = 20

# What hides or turns round the text beside it: control characters, bidirectional overrides,
# invisible letters and tags, halves of surrogate pairs. Lines and tabs are another question.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_LINES = re.compile(r"[\t\n\r]")
_LINK = re.compile(
    r"https?://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?"
    r"(?:[/?#][A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]*)?"
)
MAX_LINK = 500
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def strict_json(text: str, name: str, what: str) -> Any:
    """Parse JSON as strictly as the standard is meant.

    Args:
        text: JSON.
        name: what errors call the file.
        what: what errors call this part of it.

    Raises:
        PackError: it is no JSON, a key occurs twice, or it holds too much, too deep, or numbers
            that are not finite or too long.
    """

    def refuse(reason: str) -> PackError:
        return PackError(f"{name}: its {what} {reason}. Get the pack anew from its author.")

    def whole(digits: str) -> int:
        if len(digits) > _MAX_DIGITS:
            raise refuse("holds a number of too many digits")
        return int(digits)

    def broken(digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            raise refuse("holds a number that is not finite")
        return number

    def constant(word: str) -> None:
        raise refuse(f"holds {word}, which is no number")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise refuse("holds the same key twice")
        return found

    if text.count(",") + text.count("[") + text.count("{") > MAX_VALUES:
        raise refuse("holds more values than any real pack")
    try:
        return json.loads(
            text,
            object_pairs_hook=unique,
            parse_int=whole,
            parse_float=broken,
            parse_constant=constant,
        )
    except (ValueError, RecursionError):
        raise refuse("is not valid JSON") from None


def check_texts(value: Any, name: str) -> None:
    """Look at every text in a JSON value, keys included.

    Raises:
        PackError: one is too long or holds characters that hide something, or the value is nested
            too deeply.
    """
    for text in _texts(value, name, _MAX_DEPTH):
        if len(text) > MAX_TEXT:
            raise PackError(f"{name}: holds a text of {len(text)} characters.")
        if _HIDDEN.search(text):
            raise PackError(
                f"{name}: the text '{clean(text)[:60]}' holds control characters or ones that turn "
                "writing round. Whoever made this pack did not use this program; do not trust it."
            )


def _texts(value: Any, name: str, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        if depth == 0:
            raise PackError(f"{name}: its description is nested too deeply.")
        if isinstance(value, dict):
            yield from value
            value = list(value.values())
        for child in value:
            yield from _texts(child, name, depth - 1)


def one_name(value: Any, name: str, what: str, empty: bool = False) -> str:
    """A short text on one line that :func:`check_texts` has looked at.

    Raises:
        PackError: it is none.
    """
    if not isinstance(value, str) or len(value) > MAX_NAME or _LINES.search(value):
        raise PackError(f"{name}: its {what} is not a text of one line.")
    if not value.strip() and not empty:
        raise PackError(f"{name}: its {what} is empty.")
    return value


def clean(text: str, lines: bool = False) -> str:
    """A text without what :func:`check_texts` refuses.

    Args:
        text: any.
        lines: whether it may have several.
    """
    text = _HIDDEN.sub("", text)
    return text if lines else _LINES.sub(" ", text).strip()


def check_link(link: str, name: str) -> str:
    """An address that a person may be offered to open, or nothing.

    Raises:
        PackError: it is not a plain http or https address.
    """
    # a user name before an @ makes one site's address look like another's
    authority = link.partition("://")[2].partition("/")[0]
    if link and (len(link) > MAX_LINK or "@" in authority or not _LINK.fullmatch(link)):
        shown = clean(link)[:60]
        raise PackError(f"{name}: its link '{shown}' is not a plain http:// or https:// address.")
    return link


def page_link(identity: str) -> str | None:
    """Where a person may find the checkpoint with this identity; ``None`` if no hash is known.

    The address is only ever shown: nothing is looked up.
    """
    if not _SHA256.fullmatch(identity):
        return None
    # Civitai's search knows files by the first ten digits of their SHA-256, which it calls AutoV2.
    return "https://civitai.com/search/models?query=" + identity[7:17]
