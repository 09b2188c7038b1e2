"""Which checkpoint and which networks a model of a ComfyUI graph comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import names
from .civitai import air
from .graph import Graph
from .making import CheckpointMention, Network, mention, network
from .node import Link, Node
from .text import networks_in
from .values import first, items, mapping, real

#: Inputs that hold the name of a checkpoint's file.
_NAMES = (
    "ckpt_name",
    "base_ckpt_name",
    "unet_name",
    "gguf_name",
    "checkpoint",
    "checkpoint_name",
    "ckpt",
    "model_path",
    "unet_path",
    "model_name",
    "model",
)
_SUFFIX = re.compile(r"\.(?:safetensors|ckpt|gguf|sft|pt|pth|bin)$", re.IGNORECASE)
_LORA = re.compile(r"lora(?:_name)?_?(\d{0,3})")
#: Inputs that hold a LoRA's weight, and those of one of several.
_STRENGTHS = ("strength_model", "lora_model_strength", "lora_strength", "strength", "weight")
_NUMBERED = ("strength_{}", "model_str_{}", "lora_wt_{}", "model_weight_{}", "lora_{}_strength")


@dataclass
class Model:
    """What a model was made of.

    Attributes:
        found: the checkpoints; several where they were merged or a switch is not clear.
        unknown: a way ended without a checkpoint.
    """

    found: list[CheckpointMention] = field(default_factory=list)
    networks: list[Network | None] = field(default_factory=list)
    processes: set[str] = field(default_factory=set)
    unknown: bool = False

    @property
    def checkpoint(self) -> CheckpointMention | None:
        """The one that is certain, or ``None``."""
        distinct = list(dict.fromkeys(self.found))
        return distinct[0] if len(distinct) == 1 and not self.unknown else None


def model_of(graph: Graph, node: Node) -> Model:
    """The model that a node (a sampler) uses."""
    model = Model()
    start = _onward(graph, node)
    model.unknown = not start
    for passed, further in graph.walk(start):
        model.networks += networks_of(graph, passed)
        if passed.kind.startswith("GMI_"):
            locked = passed.inputs.get("lock_answer") and passed.inputs.get("locked_answer")
            loaded: CheckpointMention | None = mention(locked) or CheckpointMention()
        else:
            loaded = _loaded(graph, passed)
        if loaded is not None:
            if loaded == CheckpointMention():
                model.unknown = True
            else:
                model.found.append(loaded)
            continue
        onward = _onward(graph, passed)
        further.extend(onward)
        if not onward:
            model.unknown = True
        elif "merge" in passed.words and len(onward) > 1:
            model.processes.add("merge")
        elif not names.NEUTRAL.search(passed.words):
            model.processes.add("extension")
    return model


def _onward(graph: Graph, node: Node) -> list[Link]:
    """The links towards the checkpoint."""
    return graph.onward(node, (names.MODEL.match, names.PIPE.search), names.NO_MODEL.search)


def _loaded(graph: Graph, node: Node) -> CheckpointMention | None:
    """The checkpoint that a node loads; without a name where that is found when it runs."""
    inputs = node.inputs
    linked = any(names.MODEL.match(name.lower()) for name, _ in graph.links(node))
    for key in _NAMES[:2] if linked else _NAMES:
        if key not in inputs or (linked and not isinstance(inputs[key], str)):
            continue
        value = inputs[key]
        name = graph.name(value)
        if name is None:
            if key in _NAMES[:4] and graph.link(value):
                return CheckpointMention()
            continue
        if key not in _NAMES[:4] and not _SUFFIX.search(name) and "load" not in node.words:
            continue
        resolved = air(name)
        return mention(version_id=resolved[1]) if resolved else mention(name)
    return None


def networks_of(graph: Graph, node: Node) -> Iterator[Network | None]:
    """The networks that one node loads, in the ways of several packs, and its stacks of more."""
    if "hypernetwork_name" in node.inputs:
        name = graph.name(node.inputs["hypernetwork_name"])
        yield network("hypernetwork", name, graph.number(node.inputs.get("strength")))
    yield from _listed(graph, node)
    stacks = [link for name, link in graph.links(node) if "lora" in name.lower()]
    for stack, further in graph.walk(stacks):
        yield from _listed(graph, stack)
        further.extend(link for name, link in graph.links(stack) if "lora" in name.lower())


def _listed(graph: Graph, node: Node) -> Iterator[Network | None]:
    inputs = node.inputs
    limit = graph.number(inputs.get("lora_count"))
    for key, value in inputs.items():
        if isinstance(value, dict) and isinstance(value.get("lora"), str):  # rgthree's
            if value.get("on") is not False and value.get("strength") != 0:
                yield network("lora", value["lora"], value.get("strength"))
            continue
        if key == "loras":  # LoRA Manager's
            listed = value.get("content") if isinstance(value, dict) else value
            for entry in map(mapping, items(listed)):
                if entry.get("active") is not False:
                    yield network("lora", entry.get("name"), entry.get("strength"))
            continue
        if isinstance(value, str) and "lora" in node.words and key in ("text", "lora_syntax"):
            yield from networks_in(value)
        named = _LORA.fullmatch(key.lower())
        if named is None or (graph.link(value) and not key.lower().startswith("lora_name")):
            continue
        number = named[1]
        too_far = isinstance(limit, int) and number.isdigit() and int(number) > limit
        name = graph.name(value)
        if name is None or too_far or inputs.get(f"switch_{number}") == "Off":
            continue
        keys = (key.format(number) for key in (_NUMBERED if number else _STRENGTHS))
        weight = real(first(*(graph.number(inputs.get(key)) for key in keys)), -100, 100)
        resolved = air(name)
        if weight != 0:
            yield network("lora", f"civitai:{resolved[1]}" if resolved else name, weight)
