"""The order in which people expect names: numbers in them count as numbers, case does not."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"([0-9]+)")

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
