"""Searge's pack for ComfyUI: no samplers and no links but one stream of data through all nodes.

After ``modules/ui_*.py`` and ``modules/mb_pipeline*.py`` of SeargeSDXL 4.3: each node puts its own
settings into the stream, and what stands nearer to its end replaces what stood there before.
"""

from __future__ import annotations

from typing import Any

from .graph import Graph
from .making import Making, distinct, making_settings, mention, network
from .node import Node
from .text import prompt_text
from .values import real

#: Inputs by which the stream goes on.
_STREAM = ("data", "additional_data")
_MODES = {"image-to-image": {"img2img"}, "inpainting": {"img2img", "inpaint"}}


def ends(graph: Graph, node: Node) -> bool:
    """Whether the stream ends here."""
    streamed = node.kind.startswith("Searge") and graph.source(node, *_STREAM) is not None
    return streamed and node.id not in graph.consumed


def making_of(graph: Graph, end: Node) -> Making | None:
    """The making that the stream before a node tells; ``None`` where it names no checkpoint."""
    told: dict[str, Any] = {}
    loras: list[Any] = []
    processes: set[str] = set()
    for node, further in graph.walk([(end.id, 0)]):
        for name, value in node.inputs.items():
            told.setdefault(name, value)
        if node.kind == "SeargeLoras":
            for number in range(1, 6):
                weight = real(graph.number(node.inputs.get(f"lora_{number}_strength")), -100, 100)
                if weight:
                    loras.append(network("lora", node.inputs.get(f"lora_{number}"), weight))
        if "controlnet" in node.words and node.kind != "SeargeControlnetModels":
            processes.add("controlnet")
        links = [graph.source(node, name) for name in _STREAM]
        further.extend(link for link in links if link is not None)
    if not told.get("base_checkpoint"):
        return None
    for mode, done in _MODES.items():
        if mode in str(told.get("workflow_mode"))[:100].lower():
            processes |= done
    base = mention(graph.name(told["base_checkpoint"]))
    refiner = mention(graph.name(told.get("refiner_checkpoint")))
    ratio = graph.number(told.get("base_vs_refiner_ratio"))
    if refiner is None or (isinstance(ratio, int | float) and ratio >= 1):
        refiner = None
    else:
        processes.add("refiner")
    return Making(
        program="comfyui",
        prompt=prompt_text(_joined(graph, told, "main_prompt", "secondary_prompt")),
        negative=prompt_text(
            _joined(graph, told, "negative_main_prompt", "negative_secondary_prompt")
        ),
        checkpoint=base,
        networks=distinct(loras),
        settings=making_settings(
            **{name: graph.number(told.get(name)) for name in ("seed", "steps", "cfg")},
            sampler=graph.name(told.get("sampler_name")),
            scheduler=graph.name(told.get("scheduler")),
            width=graph.number(told.get("image_width")),
            height=graph.number(told.get("image_height")),
            denoise=graph.number(told.get("denoise")) if processes else None,
        ),
        processes=frozenset(processes),
        refiner=refiner,
    )


def _joined(graph: Graph, told: dict[str, Any], *names: str) -> str:
    texts = (graph.text(told[name]) for name in names if name in told)
    return ", ".join(dict.fromkeys(text for text in texts if text))
