"""The graph of ComfyUI's editor, rewritten in the format of its API as far as that is certain.

ComfyUI saves both formats; some programs, and people who export a workflow, save only this one. It
keeps the values of a node as a list without names: those of ComfyUI's own nodes are known, others
name them since front end 1.16. Nodes inside of subgraphs are not looked at.
"""

from __future__ import annotations

from typing import Any

from .graph import MAX_NODES
from .passes import OPAQUE
from .values import items, mapping

_KNOWN = {
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "UnetLoaderGGUF": ("unet_name",),
    "VAELoader": ("vae_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "CLIPTextEncode": ("text",),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        "add_noise",
        "noise_seed",
        "",
        "steps",
        "cfg",
        "sampler_name",
        "scheduler",
        "start_at_step",
        "end_at_step",
        "return_with_leftover_noise",
    ),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "RandomNoise": ("noise_seed", ""),
    "FluxGuidance": ("guidance",),
    "LoadImage": ("image", ""),
    "PrimitiveNode": ("value",),
    "PrimitiveString": ("value",),
    "PrimitiveStringMultiline": ("value",),
}
#: What the editor does with a seed afterwards stands behind it, under no name.
_AFTER_SEED = ("fixed", "increment", "decrement", "randomize")
_MUTED, _BYPASSED = 2, 4


def api_format(workflow: dict[str, Any]) -> dict[str, Any]:
    """The nodes by their id, each with its class and its inputs."""
    sources: dict[Any, list[Any]] = {}
    links = workflow.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, list) and len(link) >= 5 and isinstance(link[0], int):
            sources[link[0]] = [str(link[1]), link[2]]
    listed = mapping(workflow.get("definitions")).get("subgraphs")
    inside = {str(mapping(one).get("id")) for one in items(listed)}
    nodes: dict[str, Any] = {}
    for entry in map(mapping, workflow["nodes"][:MAX_NODES]):
        kind, key, mode = entry.get("type"), entry.get("id"), entry.get("mode")
        if not isinstance(kind, str) or not isinstance(key, int | str) or mode == _MUTED:
            continue
        if kind in inside:
            kind = OPAQUE
        inputs = {} if mode == _BYPASSED else _values(kind, entry)
        for slot in _slots(entry):
            source = sources.get(slot["link"]) if isinstance(slot.get("link"), int) else None
            if source is not None:
                inputs[slot["name"]] = source
        nodes[str(key)] = {"class_type": "Reroute" if mode == _BYPASSED else kind, "inputs": inputs}
    return nodes


def _values(kind: str, entry: dict[str, Any]) -> dict[str, Any]:
    """The values of a node that are not linked, as far as their names are known."""
    values = entry.get("widgets_values")
    if isinstance(values, dict):
        return dict(values)
    if not isinstance(values, list):
        return {}
    if kind in _KNOWN:
        return {name: value for name, value in zip(_KNOWN[kind], values, strict=False) if name}
    found: dict[str, Any] = {}
    waiting = list(values)
    for name in (slot["name"] for slot in _slots(entry) if "widget" in slot):
        if not waiting:
            break
        found[name] = waiting.pop(0)
        if "seed" in name and waiting and waiting[0] in _AFTER_SEED:
            waiting.pop(0)
    return found


def _slots(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs of a node that have a name."""
    slots = entry.get("inputs")
    named = map(mapping, slots if isinstance(slots, list) else [])
    return [slot for slot in named if isinstance(slot.get("name"), str)]
