"""What the stand-ins saw, for tests to look at. Nothing of this is the web UI's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Seen:
    """What happened in this imitation of a process.

    Attributes:
        draw: (style, content, side) → picture: what the weights of these checkpoints are made of.
        while_loading: called with the name of each checkpoint while its file is being read.
        while_sampling: called with what generates each image, while it is being generated.
        unreadable: names of checkpoints → what reading their files raises.
        unusable: names of checkpoints → what making a model of them raises.
        memory: what generating raises, if anything.
        loads: names of checkpoints in the order of loading.
        unloads: how often a model was unloaded that was needed again (Forge).
        vaes: VAEs in the order of loading; ``None`` for a checkpoint's own.
        generated: what was in force when each image was generated.
        saved: files of images that were written.
        reported: errors that the web UI wrote to its log.
        jobs: names of all jobs that began.
    """

    draw: Callable[[int, int, int], Any] | None = None
    while_loading: Callable[[str], None] = lambda name: None
    while_sampling: Callable[[Any], None] = lambda p: None
    unreadable: dict[str, Exception] = field(default_factory=dict)
    unusable: dict[str, Exception] = field(default_factory=dict)
    memory: Exception | None = None
    loads: list[str] = field(default_factory=list)
    unloads: int = 0
    vaes: list[str | None] = field(default_factory=list)
    generated: list[dict[str, Any]] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    reported: list[BaseException] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)


seen = Seen()


def header(filename: str) -> dict[str, Any]:
    """The header of a small safetensors file."""
    data = Path(filename).read_bytes()
    found: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return found
