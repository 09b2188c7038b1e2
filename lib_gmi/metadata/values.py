"""Values out of strangers' files: each is taken only if it is what it should be, else ``None``."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from ..base.text import last_part

#: Characters of JSON that are parsed; ComfyUI's graphs really reach megabytes.
MAX_JSON = 4_000_000
#: Objects and lists in them; a graph of thousands of nodes has a tenth of that.
_MAX_CONTAINERS = 250_000
#: Characters of the name of a file, a sampler or a model.
MAX_NAME = 300
#: Entries of a list that are looked at.
MAX_ITEMS = 500
#: Digits of the largest number that anything means: a seed of 64 bits has 20.
_MAX_DIGITS = 40

_SUFFIXES = (".safetensors", ".ckpt", ".gguf", ".sft", ".pt", ".pth")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(?:\d{1,24}(?:\.\d{0,24})?|\.\d{1,24})(?:[eE][+-]?\d{1,3})?")
_HEX = re.compile(r"[0-9a-f]{6,64}")


def _integer(digits: str) -> int | None:
    # converting very long ones takes quadratic time
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _float(digits: str) -> float | None:
    return float(digits) if len(digits) <= _MAX_DIGITS else None


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_float, parse_constant=lambda _constant: None
)


def loads(text: Any) -> Any:
    """The value of a JSON text; ``None`` where it is none, is too long, or nests too deeply."""
    if not isinstance(text, str) or len(text) > MAX_JSON:
        return None
    if text.count("[") + text.count("{") > _MAX_CONTAINERS:
        return None
    try:
        return _DECODER.decode(text.strip("\ufeff \t\r\n\0"))
    except (ValueError, RecursionError, MemoryError):
        return None


def loads_at(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at ``start``, and where it ends; ``(None, start)`` for none."""
    while start < len(text) and text[start].isspace():
        start += 1
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError, MemoryError):
        return None, start


def mapping(value: Any) -> dict[str, Any]:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The first :data:`MAX_ITEMS` of ``value`` if it is a list, else none."""
    return value[:MAX_ITEMS] if isinstance(value, list) else []


def prose(value: Any, limit: int) -> str | None:
    """Text of several lines without control characters and halves of surrogate pairs."""
    if not isinstance(value, str):
        return None
    return _UNPRINTABLE.sub("", value[:limit].replace("\r\n", "\n")).strip() or None


def word(value: Any, limit: int = MAX_NAME) -> str | None:
    """Text of one line, for instance a name; ``None`` if it is too long to be one."""
    if not isinstance(value, str) or len(value) > limit:
        return None
    return " ".join(_UNPRINTABLE.sub("", value).split()) or None


def real(value: Any, low: float, high: float) -> float | None:
    """A number from ``low`` to ``high``, written as a number or as text."""
    if isinstance(value, str):
        value = value.strip()
        if not _NUMBER.fullmatch(value):
            return None
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(value) if low <= value <= high else None


def whole(value: Any, low: int, high: int) -> int | None:
    """A whole number from ``low`` to ``high``, written as a number or as text."""
    if isinstance(value, str):
        value = value.strip()
        if not (value.isascii() and value.lstrip("+-").isdigit() and len(value) <= _MAX_DIGITS):
            value = real(value, low, high)
        else:
            try:
                value = int(value)
            except ValueError:  # "+-1"
                return None
    if isinstance(value, float):
        # a seed that went through a float is another seed
        value = int(value) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if low <= value <= high else None


def digest(value: Any) -> str | None:
    """A hash in lower-case hexadecimal, however it is introduced."""
    if not isinstance(value, str) or len(value) > MAX_NAME:
        return None
    value = value.strip().lower().removeprefix("sha256:").removeprefix("0x")
    return value if _HEX.fullmatch(value) else None


def words_of(value: Any) -> list[str]:
    """Names or numbers in a list, as text or as the text of a list: ``['a', 'b']``, ``a, b``."""
    if isinstance(value, str):
        value = value[:10_000].strip("[] \n").split(",")
    parts = (str(part)[:MAX_NAME].strip(" '\"") for part in items(value))
    return [part for part in parts if part and part != "None"]


def plain_name(name: str) -> str:
    """A file's name as names are compared: in lower case, with ``/`` between its folders."""
    return name.strip().replace("\\", "/").casefold()


def without_suffix(name: str) -> str:
    """A name in lower case without a checkpoint's ending; other dots belong to it."""
    return next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), name)


def file_stem(name: str) -> str:
    """The name of a checkpoint's file as names are compared, without folder and ending."""
    return without_suffix(last_part(plain_name(name)))


def first(*values: Any) -> Any:
    """The first that is not ``None``."""
    return next((value for value in values if value is not None), None)
