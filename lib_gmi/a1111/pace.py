"""How fast this machine generates, learned from what people generate themselves.

Only used until a build has measured its own samples.
"""

from __future__ import annotations

import time
from typing import Any

#: Steps and pixels of an ordinary sample.
_STEPS, _PIXELS = 20, 512 * 512
#: Seconds for one on an ordinary machine, by what it computes on.
_ORDINARY = {"cuda": 4.0, "xpu": 6.0, "mps": 25.0, "cpu": 150.0}

_per_step_and_pixel: float | None = None


def begun(p: Any) -> None:
    """A generation of the user's begins."""
    p.gmi_begun = time.monotonic()


def ended(p: Any) -> None:
    """It has ended."""
    global _per_step_and_pixel  # noqa: PLW0603  of the one machine that this is
    started = getattr(p, "gmi_begun", None)
    images = int(getattr(p, "n_iter", 1)) * int(getattr(p, "batch_size", 1))
    work = int(getattr(p, "steps", 0)) * int(p.width) * int(p.height) * images
    if started is not None and work > 0 and not getattr(p, "enable_hr", False):
        _per_step_and_pixel = (time.monotonic() - started) / work


def seconds_per_sample() -> float | None:
    """A rough guess."""
    if _per_step_and_pixel is not None:
        return _per_step_and_pixel * _STEPS * _PIXELS
    from modules import devices

    return _ORDINARY.get(str(getattr(devices.device, "type", "")))
