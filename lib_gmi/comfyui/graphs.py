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
        known[node_id] = _node_digest(graph, graph[node_id], source, known)
    return f"{known[node_id]} {value[1]}"


def _node_digest(
    graph: Mapping[str, Any], node: Mapping[str, Any], source: str, known: dict[str, str]
) -> str:
    class_type, inputs = str(node.get("class_type")), node.get("inputs", {})
    parts = [class_type]
    for key in sorted(inputs) if class_type != source else ():
        if key not in _SEEDS or is_link(graph, inputs[key]):
            parts.append(f"{key}={_digest(graph, inputs[key], source, known)}")
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()


def is_link(graph: Mapping[str, Any], value: Any) -> bool:
    """Whether an input's value is another node's output."""
    return isinstance(value, list) and len(value) == 2 and str(value[0]) in graph
