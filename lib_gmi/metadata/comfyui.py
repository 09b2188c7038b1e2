"""The making that a ComfyUI graph tells: which sampler made this image, from what, with what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .civitai import resources
from .graph import api_graph
from .making import Making
from .outputs import making_of_graph
from .reading import Texts
from .text import prompt_text
from .values import loads, mapping
from .workflow import api_format

#: Of these processes a graph says by itself that no checkpoint can be claimed.
CONTESTED = frozenset({"service", "several", "merge"})


def read(texts: Texts) -> Making | None:
    """The making, or ``None`` where no graph says which sampler made the image."""
    written = [*texts.exif.numbered, texts.exif.description or "", texts.exif.comment or ""]
    graphs = {name: texts.named[name] for name in ("prompt", "workflow") if name in texts.named}
    for text in written:
        for name in ("prompt", "workflow"):
            if text[:40].lower().startswith(f"{name}:"):
                graphs.setdefault(name, text[len(name) + 1 :])
    prompt = loads(graphs.get("prompt"))
    making = of_json(prompt, texts.size)
    # what the editor shows says no more than what was run
    if making is None and "workflow" in graphs and api_graph(prompt) is None:
        making = of_json(loads(graphs["workflow"]), texts.size)
    comment = texts.exif.comment or ""
    if making is None and comment.lstrip().startswith("{") and "class_type" in comment:
        making = of_json(loads(comment), texts.size)  # Civitai's generator
    return making


def of_json(data: Any, size: tuple[int, int] | None = None) -> Making | None:
    """The making that a graph tells, in the API's format or in the editor's.

    Args:
        size: of the image, which tells the outputs of a graph apart.
    """
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("nodes"), list):
        data = api_format(data)
    elif isinstance(data.get("prompt"), dict):
        data = data["prompt"]
    graph = api_graph(data)
    if graph is None:
        return None
    making = making_of_graph(graph, size)
    if making is not None and ("extraMetadata" in data or "resource-stack" in data):
        making = _with_extra(making, loads(data.get("extraMetadata")))
    return making


def _with_extra(making: Making, extra: Any) -> Making:
    """Civitai's generator runs ComfyUI, and keeps beside the graph what it was asked for."""
    listed = resources(mapping(extra).get("resources"))
    prompt = mapping(extra).get("prompt")
    contested = bool(making.processes & CONTESTED)
    return replace(
        making,
        program="civitai",
        prompt=prompt_text(prompt) if isinstance(prompt, str) else making.prompt,
        checkpoint=making.checkpoint or (None if contested else listed.checkpoint),
        networks=making.networks or listed.networks,
    )
