"""The web UI's own interrogator."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..base.errors import HostError
from ..hosts import webui_forks as forks

if TYPE_CHECKING:
    from PIL import Image


def interrogate(image: Image.Image) -> str:
    """What the web UI says of an image; waits until it does nothing else.

    Raises:
        HostError: its interrogator does not work here.
    """
    from modules import call_queue, shared

    text = None
    with call_queue.queue_lock:
        try:
            text = shared.interrogator.interrogate(image.convert("RGB"))
        except Exception:  # it may lack a model, a package, memory
            logging.exception("Find Best Model: the interrogator failed")
    if not text or text.strip() in ("", "<error>"):
        raise HostError(
            f"{forks.program()}'s interrogator does not work here; its log says why. Describe "
            "the image in your own words."
        )
    return str(text).strip()
