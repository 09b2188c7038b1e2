"""Workflows as ComfyUI runs them: nodes by id, with ``class_type`` and ``inputs``.

An input is a value or a link ``[id, slot]``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..service.recipes import Workflow

Graph = Mapping[str, Any]
#: Types of outputs that hold a model, or what one has made of a prompt.
_MODELS = frozenset(
    {"MODEL", "CLIP", "VAE", "CONDITIONING", "CONTROL_NET", "CLIP_VISION", "STYLE_MODEL", "GLIGEN"}
    | {"UPSCALE_MODEL", "GUIDER"}
)

#: Changes from sample to sample by its nature.
_SEEDS = ("seed", "noise_seed")


def behind(graph: Mapping[str, Any], node_id: str, name: str, source: str) -> Workflow:
    """The part of a workflow that makes one input of one node.

    Args:
        graph: the whole workflow.
        node_id: of the node.
        name: of its input.
        source: the class of the node that hands out prompts; its own inputs do not count as part
            of the recipe.
    """
    node = graph.get(node_id, {})
    link = node.get("inputs", {}).get(name)
    known: dict[str, str] = {}
    digest = _digest(graph, link, source, known)
    part = {
        found: {key: graph[found].get(key) for key in ("class_type", "inputs")} for found in known
    }
    return Workflow(part, hashlib.sha256(digest.encode()).hexdigest()[:16])


def _digest(graph: Mapping[str, Any], value: Any, source: str, known: dict[str, str]) -> str:
    """A hash that depends on what is computed, not on how nodes are numbered or placed."""
    if not is_link(graph, value):
        return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()
    node_id = str(value[0])
    if node_id not in known:
        known[node_id] = ""  # a workflow that goes in circles does not run anyway
        node = graph[node_id]
        class_type, inputs = str(node.get("class_type")), node.get("inputs", {})
        parts = [class_type]
        for key in sorted(inputs) if class_type != source else ():
            if key not in _SEEDS or is_link(graph, inputs[key]):
                parts.append(f"{key}={_digest(graph, inputs[key], source, known)}")
        digest = hashlib.sha256("\n".join(parts).encode("utf-8", "replace"))
        known[node_id] = digest.hexdigest()
    return f"{known[node_id]} {value[1]}"


def is_link(graph: Mapping[str, Any], value: Any) -> bool:
    """Whether an input's value is another node's output."""
    return isinstance(value, list) and len(value) == 2 and str(value[0]) in graph


def what_loads(graph: Graph, classes: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes of a workflow that load models or encode prompts, and all that these hang on.

    Args:
        graph: a workflow.
        classes: of nodes, by the names that workflows know them by.
    """
    found: dict[str, Any] = {}
    waiting = []
    for id_, node in graph.items():
        types = getattr(classes.get(node.get("class_type")), "RETURN_TYPES", ())
        if any(str(type_) in _MODELS for type_ in types):
            waiting.append(id_)
    while waiting:
        node_id = waiting.pop()
        node = graph[node_id]
        if node_id in found or node.get("class_type") not in classes:
            continue  # what is not installed any more is not computed either
        found[node_id] = node
        links = [value for value in node.get("inputs", {}).values() if is_link(graph, value)]
        waiting += [str(link[0]) for link in links]
    return found
