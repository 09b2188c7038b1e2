"""How fast this machine generates, learned from what people generate themselves.

Only used until a build has measured its own samples.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..records.protocols import GenerationSettings

#: Steps and pixels of an ordinary sample.
_STEPS, _PIXELS = 20, 512 * 512
#: Seconds for one on an ordinary machine, by what it computes on.
_ORDINARY = {"cuda": 4.0, "xpu": 6.0, "mps": 25.0, "cpu": 150.0}
#: Of smaller images, other things than sampling take most of the time.
_LEAST = _STEPS * _PIXELS / 10

_per_step_and_pixel: float | None = None


def begun(p: Any) -> None:
    """The first image of a generation of the user's begins; its checkpoint is loaded."""
    if getattr(p, "gmi_begun", None) is None:
        p.gmi_begun = time.monotonic()


def ended(p: Any) -> None:
    """The generation has ended."""
    global _per_step_and_pixel  # noqa: PLW0603  of the one machine that this is
    started = getattr(p, "gmi_begun", None)
    images = int(getattr(p, "n_iter", 1)) * int(getattr(p, "batch_size", 1))
    work = int(getattr(p, "steps", 0)) * int(p.width) * int(p.height) * images
    if started is not None and work >= _LEAST and not getattr(p, "enable_hr", False):
        _per_step_and_pixel = (time.monotonic() - started) / work


def seconds_per_sample(settings: Sequence[GenerationSettings] = ()) -> float | None:
    """A rough guess, on average over what the samples are made with."""
    per_work = _per_step_and_pixel
    if per_work is None:
        from modules import devices

        ordinary = _ORDINARY.get(str(getattr(devices.device, "type", "")))
        if ordinary is None:
            return None
        per_work = ordinary / (_STEPS * _PIXELS)
    works = [_work(each) for each in settings] or [_STEPS * _PIXELS]
    return per_work * sum(works) / len(works)


def _work(settings: GenerationSettings) -> int:
    pixels = (settings.width or 512) * (settings.height or 512)
    return (settings.steps or _STEPS) * pixels
