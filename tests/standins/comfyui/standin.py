"""What the stand-ins saw, for tests to look at. Nothing of this is ComfyUI's.

The modules beside this one stand in for ComfyUI's modules of the same names: a few lines each, with
the names, parameters and behaviour of the real functions that this extension calls. Whatever is
public in them imitates something real (a test with a real ComfyUI compares them); names with an
underscore, and this module, are the stand-ins' own. None of them imports torch before it is needed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """What happened in this imitation of a process.

    Attributes:
        draw: (style, content, side) → picture: what the weights of these checkpoints are made of.
        while_sampling: called during each image with the number of images begun before.
        sampled: what each call of the sampler was asked for.
        encoded: (text, layer of the text encoder that was asked for) of each prompt.
        sent: (event, data) of everything pushed to the front ends, data as JSON.
        loads: paths of checkpoints in the order of loading.
        alive: everything with weights that has not been garbage collected.
        most_models: how many diffusion models there were at once, at most.
        emptied: for each time that the cache was emptied, what was alive then.
        progress: (value, total) of each report of a progress bar.
        free: bytes of memory that nobody uses.
    """

    draw: Callable[[int, int, int], Any] | None = None
    while_sampling: Callable[[int], None] | None = None
    sampled: list[dict[str, Any]] = field(default_factory=list)
    encoded: list[tuple[str, int | None]] = field(default_factory=list)
    sent: list[tuple[str, Any]] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    alive: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)
    most_models: int = 0
    emptied: list[int] = field(default_factory=list)
    progress: list[tuple[int, int]] = field(default_factory=list)
    free: int = 1 << 40


seen = Seen()
