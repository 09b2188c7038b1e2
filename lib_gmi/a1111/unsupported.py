"""SD.Next, in which this extension does not work: it says so once, and adds nothing.

SD.Next loads the scripts of such extensions, but it generates with pipelines of diffusers: neither
its checkpoints nor its options are those of the web UI that it came from.
"""

from __future__ import annotations

import importlib.util

_MESSAGE = (
    "Find Best Model: SD.Next is not supported, so this extension adds nothing to it. It works in "
    "AUTOMATIC1111, Forge, reForge and ComfyUI."
)


def refused() -> bool:
    """Whether the web UI around us is SD.Next; says so in its log."""
    if importlib.util.find_spec("modules.sd_checkpoint") is None:
        return False
    # it logs each line that a script prints while it is loaded; its logger's own lines are taken
    # apart there, and those of other loggers are shown nowhere
    print(_MESSAGE)
    return True
