"""Which samplers of a ComfyUI graph made a picture, one after the other, and from what."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .graph import Graph, Link, Node
from .models import PIPES
from .values import first

#: Samplers one after the other.
MAX_PASSES = 20
#: Nodes that are asked for the settings of one sampler.
_MAX_STRAIGHT = 20

#: Inputs that carry an image or a latent on.
_PICTURES = re.compile(
    r"(?:images?|pixels|samples|latents?|latent_image|optional_latent|init_latent|destination"
    r"|source|input|any(?:thing)?|value|foreground|background|base_image|edited|img)[_ ]?\d{0,3}"
    r"|any_\w{1,4}|samples_(?:to|from)|image_[ab]|on_true|on_false"
)
#: Inputs that never lead to the pixels of this image.
_NO_PICTURES = re.compile(
    r".*model.*|.*clip.*|.*vae.*|.*control.*|.*mask.*|.*conditioning.*|positive.*|negative.*|.*seed"
    r"|.*text.*|.*prompt.*|.*string.*|.*width.*|.*height.*|.*lora.*|.*detector.*|.*sam.*opt|sigmas"
    r"|sampler.*|noise|guider|.*scheduler.*|steps|cfg|denoise|.*size.*|.*name.*|upscaler|.*hook.*"
)
_LATENTS = ("latent_image", "latent", "samples", "latents", "init_latent", "optional_latent")
_TUNED = {"steps", "cfg", "sampler_name", "sigmas", "seed", "noise_seed", "noise"}
_DRIVEN = {"positive", "guider", "conditioning", "text_embeds"}
_FACES = re.compile(r"reactor|faceswap|facerestore|codeformer|gfpgan|roop")
_UPSCALE = re.compile(r"upscale|supir|imagescale|seedvr")


@dataclass
class Origin:
    """What the pixels or the latent of something come from."""

    samplers: list[Node] = field(default_factory=list)
    processes: set[str] = field(default_factory=set)
    loaded: bool = False
    size: tuple[Any, Any] = (None, None)
    vae: str | None = None


def pictured(graph: Graph, node: Node) -> list[Link]:
    """The links towards the pixels of what a node passes on."""
    chosen = graph.chosen(node)
    if chosen is not None:
        return [chosen]
    links = graph.links(node)
    direct = [link for name, link in links if _PICTURES.fullmatch(name.lower())]
    if direct:
        return direct[:1] if "any switch" in node.words else direct
    return [link for name, link in links if not _NO_PICTURES.fullmatch(name.lower())]


def origin_of(graph: Graph, start: list[Link]) -> Origin:
    """The nearest samplers behind something, and what happened on the way."""
    origin = Origin()
    for node, further in graph.walk(start):
        words = node.words
        if node.kind.startswith("GMI_"):
            continue
        if "detailer" in words:
            origin.processes.add("adetailer")
        elif "upscale" in words and {"positive", "model"} <= node.inputs.keys():
            origin.processes.add("upscale")  # in tiles, with a sampler of its own
        elif _samples(graph, node):
            if node not in origin.samplers:
                origin.samplers.append(node)
            continue
        origin.processes |= _done(words)
        vae = graph.source(node, "vae") if "decode" in words else None
        if vae is not None and "vae_name" in graph.nodes[vae[0]].inputs:
            origin.vae = origin.vae or graph.name(graph.nodes[vae[0]].inputs["vae_name"])
        onward = pictured(graph, node)
        further.extend(onward)
        if not onward:
            if "load" in words and ("image" in words or "latent" in words or "video" in words):
                origin.loaded = True
            width = first(node.inputs.get("width"), node.inputs.get("empty_latent_width"))
            height = first(node.inputs.get("height"), node.inputs.get("empty_latent_height"))
            if origin.size == (None, None):
                origin.size = (width, height)
    return origin


def _done(words: str) -> set[str]:
    """What a node's class says that it does to a picture."""
    done = set()
    if _UPSCALE.search(words) and "latent" not in words:
        done.add("upscale")
    if _FACES.search(words):
        done.add("faces")
    if "inpaint" in words or "noisemask" in words:
        done.add("inpaint")
    return done


def _samples(graph: Graph, node: Node) -> bool:
    """Whether a node turns noise into a picture."""
    names = node.inputs.keys()
    linked = {name for name, _ in graph.links(node)}
    driven = bool(linked & _DRIVEN) or any(map(PIPES.fullmatch, linked))
    if "ksampler" in node.words:
        return driven
    if "sampler" in node.words:
        return driven and bool(names & _TUNED or linked & set(_LATENTS))
    return driven and bool(names & _TUNED) and bool(linked & set(_LATENTS))


def latent_of(graph: Graph, sampler: Node) -> list[Link]:
    """The links towards what a sampler begins with."""
    direct = graph.source(sampler, *_LATENTS)
    if direct is not None:
        return [direct]
    return [link for name, link in graph.links(sampler) if PIPES.fullmatch(name.lower())][:1]


def continues(graph: Graph, sampler: Node) -> bool:
    """Whether a sampler goes on with the noise that another one left, as one pass in two parts."""
    if sampler.inputs.get("add_noise") in ("disable", False):
        return True
    noise = graph.source(sampler, "noise")
    return noise is not None and graph.nodes[noise[0]].kind == "DisableNoise"


def settings_of(graph: Graph, sampler: Node) -> dict[str, Any]:
    """Settings of a sampler, wherever the nodes before it keep them."""
    near = [sampler]
    for name in ("guider", "noise", "sampler", "sigmas"):
        link = graph.source(sampler, name)
        if link is not None:
            near += _straight(graph, link)
    for name, link in graph.links(sampler):
        if PIPES.fullmatch(name.lower()):
            near += _straight(graph, link)
    found: dict[str, Any] = {}
    for node in near:
        inputs = node.inputs
        numbers = {
            "seed": ("seed", "noise_seed"),
            "steps": ("steps",),
            "cfg": ("cfg", "cfg_conds"),
            "denoise": ("denoise",),
        }
        for key, names in numbers.items():
            found[key] = first(found.get(key), *(graph.number(inputs.get(name)) for name in names))
        for key, name in (("sampler", "sampler_name"), ("scheduler", "scheduler")):
            value = inputs.get(name)
            literal = isinstance(value, str) or graph.link(value) is not None
            found[key] = first(found.get(key), graph.name(value) if literal else None)
    return found


def _straight(graph: Graph, link: Link) -> list[Node]:
    """A few nodes behind a link, through settings and pipes only."""
    passed: list[Node] = []
    for node, further in graph.walk([link]):
        passed.append(node)
        if len(passed) > _MAX_STRAIGHT:
            break
        for name, onward in graph.links(node):
            if name in ("sigmas", "noise", "sampler") or PIPES.fullmatch(name.lower()):
                further.append(onward)
    return passed
