"""Inputs of nodes, as ComfyUI's ``INPUT_TYPES`` wants them; those of several nodes once."""

from __future__ import annotations

from typing import Any

from ..base.text import natural
from ..checkpoints.presets import table
from ..service.filters import ANY, Filter

CATEGORY = "Find Best Model"
#: ComfyUI fills them in by itself; they lead to the file of an image, and decide nothing.
HIDDEN = {"graph": "PROMPT", "node_id": "UNIQUE_ID"}


class CheckpointName(str):
    """A type that can be wired into any list of names.

    ComfyUI compares types with ``!=``. A plain COMBO is refused by its back end where the input is
    a list of files, and a literal list breaks as soon as a file is added.
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return False


CHECKPOINT = CheckpointName("COMBO")


def entry(kind: str | list[str], tooltip: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """One input.

    Args:
        kind: ComfyUI's type, or the names to choose from.
        tooltip: what the input is for.
        options: of ComfyUI, such as ``default`` and ``min``.
    """
    return kind, {**options, "tooltip": tooltip}


def filters(verb: str) -> dict[str, Any]:
    """Which checkpoints take part, by architecture and name; see :func:`wanted`.

    Args:
        verb: what happens to them, such as "are ranked".
    """
    return {
        "architecture": entry(
            [ANY, *table()["architectures"]],
            f"Only checkpoints of this architecture {verb}.",
            default=ANY,
        ),
        "pattern": entry(
            "STRING",
            f"Only checkpoints with such names {verb}. Wildcards work, commas separate, folders "
            "end in a slash, and an exclamation mark in front excludes.",
            default="",
        ),
    }


def wanted(inputs: dict[str, Any]) -> Filter:
    """The filter that a node's inputs describe."""
    return Filter(str(inputs.get("architecture", ANY)), str(inputs.get("pattern", "")))


def checkpoint_names() -> list[str]:
    """Of ComfyUI's checkpoint files, in natural order."""
    import folder_paths

    return sorted(folder_paths.get_filename_list("checkpoints"), key=natural)


def checkpoint_or(nothing: str, tooltip: str) -> tuple[Any, dict[str, Any]]:
    """A list of the installed checkpoints, where ``nothing`` stands for none of them."""
    return entry([nothing, *checkpoint_names()], tooltip, default=nothing)
