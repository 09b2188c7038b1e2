"""Nodes that pass on one of their inputs: ComfyUI's own, and those of the packs Impact, rgthree,
Comfyroll, WAS, Crystools, KJNodes, Easy Use, LayerStyle and others, by the names of their inputs.
"""

from __future__ import annotations

import re
from typing import Any

from .node import Links, Node

#: What is passed on if so, and if not.
_PAIRS = (
    ("on_true", "on_false"),
    ("tt_value", "ff_value"),
    ("if_true", "if_false"),
    ("when_true", "when_false"),
    ("true_input", "false_input"),
    ("input_true", "input_false"),
    ("true_value", "false_value"),
)
#: Which of them it is.
_SELECTORS = (
    "select",
    "index",
    "selected_index",
    "switch",
    "boolean",
    "boolean_number",
    "cond",
    "condition",
    "if_condition",
    "evaluate",
    "any",
    "input",
    "selector",
    "value",
)
_SWITCH = re.compile(r"switch|select|ifelse|branch|choose")
_FIRST = re.compile(r"any switch|context switch")
_NUMBERED = re.compile(r"([a-z_ ]{0,40}?)_?(\d{1,3}|[ab])")


def branches(graph: Links, node: Node) -> list[Any] | None:
    """What a switch may pass on, as values of its inputs.

    Returns:
        ``None`` for a node that is no switch. One value where the graph says which; all where only
        a run could say.
    """
    inputs = {name.lower(): value for name, value in node.inputs.items()}
    for pair in _PAIRS:
        ways = [inputs[name] for name in pair if name in inputs]
        if ways:
            flag = _selected(graph, inputs, pair)
            known = len(ways) == 2 and isinstance(flag, bool | int | float)
            return [ways[0 if flag else 1]] if known else ways
    if not _SWITCH.search(node.words) and not ("select" in inputs and "input1" in inputs):
        return None
    numbered = _numbered(graph, inputs)
    if _FIRST.search(node.words) and numbered:
        return list(numbered.values())[:1]  # whatever of them is there; what is muted is not
    return _of_numbered(graph, inputs, numbered) if numbered else None


def _of_numbered(graph: Links, inputs: dict[str, Any], numbered: dict[str, Any]) -> list[Any]:
    """What is passed on of inputs that are told apart by number, letter or name."""
    chosen = _selected(graph, inputs, ())
    if isinstance(chosen, str):
        return [inputs[chosen]] if chosen in inputs else list(numbered.values())
    if "a" in numbered and isinstance(chosen, bool | int | float):
        chosen = "a" if chosen == 1 else "b"
    elif isinstance(chosen, bool | float) or chosen is None:
        return list(numbered.values())
    return [numbered[str(chosen)]] if str(chosen) in numbered else []


def _numbered(graph: Links, inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs that one is chosen of, by their number or letter."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in inputs.items():
        found = _NUMBERED.fullmatch(name)
        if found is not None and (graph.link(value) or isinstance(value, str)):
            number = found[2].lstrip("0") or "0"
            groups.setdefault(found[1], {})[number] = value
    named = {name: inputs[name] for name in _PROCESSES if graph.link(inputs.get(name))}
    return max([named, *groups.values()], key=len)


#: Comfyroll's switches between processes name them.
_PROCESSES = ("txt2img", "img2img", "latent_upscale", "image_upscale")


def _selected(graph: Links, inputs: dict[str, Any], ways: tuple[str, ...]) -> Any:
    """Which way: a number, a flag, the name of an input, or ``None`` where only a run knows."""
    for name in _SELECTORS:
        if name in inputs and name not in ways:
            value = inputs[name]
            if isinstance(value, str):
                return value.lower() if value.lower() in _PROCESSES else None
            return graph.number(value, strict=True)
    return None
