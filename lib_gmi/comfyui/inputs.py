"""What nodes declare, as ComfyUI wants it; their texts are those of the English locale."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from ..base.text import natural
from ..checkpoints.presets import table
from ..service.filters import ANY, Filter

#: Inputs by name, in the order they are shown: ComfyUI's type, or the names to choose from, and its
#: options, such as ``default`` and ``min``.
Inputs = dict[str, tuple[Any, dict[str, Any]]]
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


@cache
def texts() -> dict[str, Any]:
    """Of all nodes by id, in the file from which ComfyUI's front end takes them, too."""
    path = Path(__file__).parents[2] / "locales" / "en" / "nodeDefs.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


class Node:
    """What all nodes have in common.

    Attributes:
        ID: by which workflows know it, and :func:`texts`.
        HIDDEN: inputs that ComfyUI fills in by itself.
    """

    ID: str
    CATEGORY = "Find Best Model"
    RETURN_TYPES: tuple[Any, ...] = ()
    HIDDEN: ClassVar[dict[str, str]] = {}
    DESCRIPTION: str
    OUTPUT_TOOLTIPS: tuple[str, ...]

    def __init_subclass__(cls, id: str = "") -> None:
        if id:
            said = texts()[id]
            cls.ID, cls.DESCRIPTION = id, said["description"]
            if cls.RETURN_TYPES:
                cls.OUTPUT_TOOLTIPS = tuple(text["tooltip"] for text in said["outputs"].values())

    @classmethod
    def required(cls) -> Inputs:
        """Inputs that have to be set or wired."""
        return {}

    @classmethod
    def optional(cls) -> Inputs:
        return {}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        said = texts()[cls.ID]["inputs"]
        declared: dict[str, Any] = {
            group: {
                name: (kind, {**options, "tooltip": said[name]["tooltip"]})
                for name, (kind, options) in inputs.items()
            }
            for group, inputs in (("required", cls.required()), ("optional", cls.optional()))
            if inputs
        }
        return {**declared, "hidden": dict(cls.HIDDEN)} if cls.HIDDEN else declared


def filters() -> Inputs:
    """Which checkpoints take part, by architecture and name; see :func:`wanted`."""
    return {
        "architecture": ([ANY, *table()["architectures"]], {"default": ANY}),
        "pattern": ("STRING", {"default": ""}),
    }


def wanted(inputs: dict[str, Any]) -> Filter:
    """The filter that a node's inputs describe."""
    return Filter(str(inputs.get("architecture", ANY)), str(inputs.get("pattern", "")))


def checkpoint_names() -> list[str]:
    """Of ComfyUI's checkpoint files, in natural order."""
    import folder_paths

    return sorted(folder_paths.get_filename_list("checkpoints"), key=natural)


def checkpoint_or(nothing: str) -> tuple[Any, dict[str, Any]]:
    """A list of the installed checkpoints, where ``nothing`` stands for none of them."""
    return [nothing, *checkpoint_names()], {"default": nothing}
