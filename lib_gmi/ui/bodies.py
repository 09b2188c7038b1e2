"""What the page's questions carry, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base.errors import RequestError


def text(body: Mapping[str, Any], key: str, limit: int = 500) -> str:
    """A text of a request; empty if it is not there.

    Raises:
        RequestError: it is something else, or too long.
    """
    value = body.get(key, "")
    if not isinstance(value, str) or len(value) > limit:
        raise RequestError(f"'{key}' must be a text of at most {limit} characters.")
    return value


def texts(body: Mapping[str, Any], key: str) -> list[str]:
    """A list of texts of a request; empty if it is not there.

    Raises:
        RequestError: it is something else.
    """
    value = body.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RequestError(f"'{key}' must be a list of texts.")
    return value
