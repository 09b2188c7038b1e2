"""Nodes of a ComfyUI graph that draw at a service, or redraw a picture by words alone.

No checkpoint of the graph made what comes out of them, whatever went in. The services are those of
ComfyUI's ``comfy_api_nodes``; packs call theirs after the same products. What nobody knows counts
too, where it is given a picture and words, and no model.
"""

from __future__ import annotations

from typing import Any

from . import names
from .graph import Graph
from .node import Node


def redraws(graph: Graph, node: Node) -> bool:
    """Whether what comes out of a node was drawn by nothing that the graph loads."""
    if names.SERVICE.search(node.words):
        return True
    if names.LOCAL.search(node.words) or graph.branches(node) is not None:
        return False
    asked = any(names.ASKED.match(name.lower()) for name in node.inputs)
    modelled = any(_is_model(name.lower()) for name, _ in graph.links(node))
    return asked and not modelled


def _is_model(name: str) -> bool:
    return ("model" in name and "upscale" not in name) or bool(names.PIPE.search(name))


def asked_of(graph: Graph, node: Node) -> str:
    """What a service was asked for."""
    held = [name for name in node.inputs if names.ASKED.match(name.lower())]
    return graph.text(node.inputs[held[0]]) if held else ""


def size_of(graph: Graph, node: Node) -> tuple[Any, Any]:
    """The size that a service was asked for, where it says it in pixels."""
    size = node.inputs.get("size")
    if isinstance(size, str) and len(size) < 20 and "openai" in node.words:
        width, _, height = size.partition("x")
        if width.isdecimal() and height.isdecimal():
            return int(width), int(height)
    return None, None
