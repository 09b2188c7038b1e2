"""Contrast of what a page shows, measured in the page: WCAG 2.2's ratios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["CONTROL", "TEXT", "too_faint"]

#: The least ratios of WCAG 2.2: success criteria 1.4.3 (texts) and 1.4.11 (controls and icons).
TEXT, CONTROL = 4.5, 3.0
_MEASURE = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def too_faint(page: Any, selector: str, least: int = 1) -> list[str]:
    """What is too faint below the elements that a selector finds, in words.

    Args:
        page: of playwright.
        selector: of the elements whose content is measured.
        least: how many texts and controls there must be at least; measuring nothing finds nothing.
    """
    found = page.evaluate(_MEASURE, [selector, {"text": TEXT, "control": CONTROL}])
    assert found["measured"] >= least, f"only {found['measured']} things could be measured"
    faint: list[str] = found["faint"]
    return faint
