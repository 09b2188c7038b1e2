"""Texts and numbers as people read, write and sort them."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable

_DIGITS = re.compile(r"([0-9]+)")

#: What :func:`natural` sorts by.
Key = tuple[tuple[tuple[int, str], ...], str]


def natural(name: str) -> Key:
    """A key for sorting: ``v2`` comes before ``v10``, and ``a/b`` after ``a``.

    Texts and numbers alternate in it, so that two keys always compare; equal ones are told apart
    by the name itself.
    """
    parts = _DIGITS.split(name.replace("\\", "/").casefold())
    numbers = (part.lstrip("0") for part in parts[1::2])
    # a number of any length: the longer one is the larger one
    digits = [(len(number), number) for number in numbers]
    key = [(0, text) for text in parts[::2]]
    merged = [pair for both in zip(key, digits, strict=False) for pair in both] + key[len(digits) :]
    return tuple(merged), name


def readable(number: float) -> str:
    """A number as people write it: about three digits that count, and no exponent."""
    size = abs(number)
    if size >= 1000:
        return f"{number:,.0f}"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    while 0 < size < 0.1 and digits < 9 and round(size, digits) * 10**digits < 100:
        digits += 1
    return f"{number:.{digits}f}"


def last_part(name: str) -> str:
    """A path's last part, whichever way its folders are separated."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def printable(text: str) -> str:
    """File names and JSON can hold half characters, which no file and no page can show."""
    return text.encode("utf-8", "replace").decode()


def number_of(value: object) -> float | None:
    """What somebody wrote as a number; ``None`` where it is none."""
    try:
        number = float(str(value).strip())
    except ValueError:
        return None
    return None if math.isnan(number) else number


def one_line(text: str) -> str:
    """Names come from files: no control characters (escape sequences) reach the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


def neutral(text: str) -> str:
    """A cell of CSV that no spreadsheet takes for a formula, on one line."""
    text = one_line(text)
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: near matches, or all there are."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."
    return f"Unknown {kind} '{name}'. {hint}"
