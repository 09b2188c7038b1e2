"""The library that ships with this program."""

from __future__ import annotations

from ..base.paths import data_folder
from .catalogue import Library


def embedded_library() -> Library:
    """The specifications of 63 public models that ship with this program (read-only)."""
    return Library(data_folder() / "embedded", read_only=True)
