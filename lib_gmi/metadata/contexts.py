"""rgthree's contexts: bundles of which each node hands on all, with what it replaces itself.

After ``py/context_utils.py``, ``context_merge.py`` and ``context_switch.py`` of rgthree-comfy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .node import Node

_KINDS = {
    f"Context{what}{size} (rgthree)": what
    for what in ("", " Merge", " Switch")
    for size in ("", " Big")
}
#: The outputs in their order; the small ones end with the seed.
_OUTPUTS = (
    "base_ctx",
    "model",
    "clip",
    "vae",
    "positive",
    "negative",
    "latent",
    "images",
    "seed",
    "steps",
    "step_refiner",
    "cfg",
    "ckpt_name",
    "sampler",
    "scheduler",
    "clip_width",
    "clip_height",
    "text_pos_g",
    "text_pos_l",
    "text_neg_g",
    "text_neg_l",
    "mask",
    "control_net",
)
#: Contexts that are asked for one value.
_MOST = 200


def is_part(node: Node, output: int) -> bool:
    """Whether an output is one of the values of a context."""
    return node.kind in _KINDS and 0 < output < len(_OUTPUTS)


def part_of(nodes: Mapping[str, Node], node: Node, output: int) -> Any:
    """The value that one output of a context is, where some context before it sets it."""
    name = _OUTPUTS[output]
    waiting, seen = [node.id], set[str]()
    while waiting and len(seen) < _MOST:
        key = waiting.pop(0)
        context = nodes.get(key)
        if key in seen or context is None or context.kind not in _KINDS:
            continue
        seen.add(key)
        if context.inputs.get(name) is not None:
            return context.inputs[name]
        waiting[:0] = _before(context)
    return None


def _before(node: Node) -> list[str]:
    """The contexts that this one takes values from, the first of them first."""
    what = _KINDS[node.kind]
    names = ["base_ctx"] if not what else sorted(n for n in node.inputs if n.startswith("ctx_"))
    links = [node.inputs.get(name) for name in names]
    keys = [str(link[0]) for link in links if isinstance(link, list) and len(link) == 2]
    return keys[:1] if what == " Switch" else keys[::-1]
