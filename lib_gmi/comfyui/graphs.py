"""Workflows as ComfyUI runs them: nodes by id, with ``class_type`` and ``inputs``.

An input is a value or a link ``[id, slot]``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..recipes import Workflow

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
    part: dict[str, Any] = {}
    digest = _digest(graph, link, source, part)
    return Workflow(part, digest[:16])


def _digest(graph: Mapping[str, Any], value: Any, source: str, part: dict[str, Any]) -> str:
    """A hash that depends on what is computed, not on how nodes are numbered or placed."""
    if not is_link(graph, value):
        return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()
    node_id, slot = str(value[0]), value[1]
    node = graph[node_id]
    class_type = str(node.get("class_type"))
    inputs = node.get("inputs", {})
    part[node_id] = {"class_type": class_type, "inputs": inputs}
    parts = [class_type, str(slot)]
    if class_type != source:
        for key in sorted(inputs):
            if key in _SEEDS and not is_link(graph, inputs[key]):
                continue
            parts.append(f"{key}={_digest(graph, inputs[key], source, part)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_link(graph: Mapping[str, Any], value: Any) -> bool:
    """Whether an input's value is another node's output."""
    return isinstance(value, list) and len(value) == 2 and str(value[0]) in graph
