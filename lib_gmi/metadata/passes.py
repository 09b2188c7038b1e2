"""Which samplers of a ComfyUI graph made a picture, one after the other, and from what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import names
from .conditioning import Conditioning
from .graph import Graph
from .node import Link, Node
from .services import redraws
from .values import first

#: Samplers one after the other.
MAX_PASSES = 20
#: Ways from one sampler back to where it began.
_MAX_CHAINS = 16
#: A node whose inside is not looked at.
OPAQUE = "Subgraph"
#: Nodes that are asked for the settings of one sampler.
_MAX_STRAIGHT = 20

_LATENTS = ("latent_image", "latent", "samples", "latents", "init_latent", "optional_latent")
_TUNED = {"steps", "cfg", "sampler_name", "sigmas", "seed", "noise_seed", "noise"}
#: Settings by the inputs that hold them, of two the one that counts first.
_SETTINGS = {
    "seed": "seed",
    "noise_seed": "seed",
    "steps": "steps",
    "cfg": "cfg",
    "cfg_conds": "cfg",
    "denoise": "denoise",
    "sampler_name": "sampler",
    "scheduler": "scheduler",
}
_DRIVEN = {"positive", "guider", "conditioning", "text_embeds"}


@dataclass
class Origin:
    """What the pixels or the latent of something come from.

    Attributes:
        samplers: the nearest ones.
        services: nodes that no checkpoint of the graph has a part in.
        loaded: a picture from a file is there.
        lost: a way ended where nobody knows what comes from.
        one_of: it is one of several pictures that are there, and only a run could say which.
        exact: nothing on the way changes the size.
    """

    samplers: list[Node] = field(default_factory=list)
    services: list[Node] = field(default_factory=list)
    processes: set[str] = field(default_factory=set)
    loaded: bool = False
    lost: bool = False
    one_of: bool = False
    exact: bool = True
    size: tuple[Any, Any] = (None, None)
    vae: str | None = None

    @property
    def mixed(self) -> bool:
        """Whether more than one picture went in."""
        return len(self.samplers) + len(self.services) + self.loaded > 1


def pictured(graph: Graph, node: Node) -> list[Link]:
    """The links towards the pixels of what a node passes on."""
    return graph.onward(node, (names.PICTURE.match,), names.NO_PICTURE.search)


def origin_of(graph: Graph, start: list[Link]) -> Origin:
    """The nearest samplers behind something, and what happened on the way."""
    origin = Origin()
    for node, further in graph.walk(start):
        words = node.words
        if node.kind.startswith("GMI_") or node.kind == OPAQUE:
            origin.lost = True
            continue
        if "detailer" in words:
            origin.processes.add("adetailer")
        elif "upscale" in words and {"positive", "model"} <= node.inputs.keys():
            origin.processes.add("upscale")  # in tiles, with a sampler of its own
        elif is_sampler(graph, node):
            if node not in origin.samplers:
                origin.samplers.append(node)
            continue
        elif redraws(graph, node):
            origin.services.append(node)
            continue
        onward = pictured(graph, node)
        further.extend(onward)
        if onward:
            _passed(graph, node, onward, origin)
        else:
            _begun(node, origin)
    return origin


def _passed(graph: Graph, node: Node, onward: list[Link], origin: Origin) -> None:
    """What a node that hands on a picture does to it."""
    words = node.words
    origin.processes |= _done(words)
    origin.exact = origin.exact and bool(names.KEEPS_SIZE.search(words))
    switched = graph.branches(node) is not None
    if len(onward) > 1 and (switched or names.BATCH.search(words)):
        origin.one_of = True
    vae = graph.source(node, "vae") if "decode" in words else None
    if vae is not None and "vae_name" in graph.nodes[vae[0]].inputs:
        origin.vae = origin.vae or graph.name(graph.nodes[vae[0]].inputs["vae_name"])


def _begun(node: Node, origin: Origin) -> None:
    """What a picture begins with."""
    words = node.words
    origin.processes |= _done(words)
    if "load" in words and ("image" in words or "latent" in words or "video" in words):
        origin.loaded = True
    elif "empty" not in words:
        origin.lost = True
    origin.exact = origin.exact and names.EMPTY.search(words) is not None
    width = first(node.inputs.get("width"), node.inputs.get("empty_latent_width"))
    height = first(node.inputs.get("height"), node.inputs.get("empty_latent_height"))
    if origin.size == (None, None):
        origin.size = (width, height)


def _done(words: str) -> set[str]:
    """What a node's class says that it does to a picture."""
    done = set()
    if names.UPSCALE.search(words) and "latent" not in words:
        done.add("upscale")
    if names.FACES.search(words):
        done.add("faces")
    if "inpaint" in words or "noisemask" in words:
        done.add("inpaint")
    return done


def is_sampler(graph: Graph, node: Node) -> bool:
    """Whether a node turns noise into a picture."""
    given = node.inputs.keys()
    linked = {name for name, _ in graph.links(node)}
    driven = bool(linked & _DRIVEN) or any(names.PIPE.search(name.lower()) for name in linked)
    if "ksampler" in node.words:
        return driven
    if "sampler" in node.words:
        return driven and bool(given & _TUNED or linked & set(_LATENTS))
    return driven and bool(given & _TUNED) and bool(linked & set(_LATENTS))


def latent_of(graph: Graph, sampler: Node) -> list[Link]:
    """The links towards what a sampler begins with."""
    direct = graph.source(sampler, *_LATENTS)
    if direct is not None:
        return [direct]
    links = graph.links(sampler)
    return [link for name, link in links if names.PIPE.search(name.lower())][:1]


@dataclass(frozen=True)
class Chain:
    """Samplers one after the other, the last one first, and what the first one began with."""

    samplers: tuple[Node, ...]
    origin: Origin
    processes: frozenset[str]


def chains_of(graph: Graph, sampler: Node) -> list[Chain]:
    """Every way from a sampler back to where it began; empty where there are too many to follow.

    A latent that was put together of several leads to several.
    """
    chains: list[Chain] = []
    waiting: list[tuple[tuple[Node, ...], frozenset[str]]] = [((sampler,), frozenset())]
    while waiting:
        samplers, before = waiting.pop()
        if len(samplers) > MAX_PASSES or len(chains) + len(waiting) > _MAX_CHAINS:
            return []
        last = samplers[-1]
        composing = _composing(graph, last)
        if composing and not any(one in samplers for one in composing):
            # what draws is another stage; this one only unfolds it
            waiting += [((*samplers[:-1], one), before) for one in reversed(composing)]
            continue
        origin = origin_of(graph, latent_of(graph, last))
        processes = set(before | origin.processes)
        further = [one for one in origin.samplers if one not in samplers]
        if origin.loaded or origin.services:
            processes.add("img2img")
        if further:
            if len(origin.samplers) > 1 or (origin.mixed and not origin.one_of):
                processes.add("extension")  # several pictures in one
            if not continues(graph, last):
                processes.add("hires")
        if not further or _begins_anew(graph, last):
            chains.append(Chain(samplers, origin, frozenset(processes)))
            continue
        waiting += [((*samplers, one), frozenset(processes)) for one in reversed(further)]
    return chains


def _composing(graph: Graph, sampler: Node) -> list[Node]:
    """The samplers of the stage before, where this one only unfolds what they drew."""
    conditioning = Conditioning(graph, "positive")
    conditioning.of(sampler)
    return [] if conditioning.stage is None else origin_of(graph, [conditioning.stage]).samplers


def _begins_anew(graph: Graph, sampler: Node) -> bool:
    """Whether a sampler leaves nothing of the picture that it is given."""
    inputs = sampler.inputs
    if continues(graph, sampler):
        return False
    if "start_at_step" in inputs:
        return bool(inputs["start_at_step"] == 0)
    strength = graph.number(inputs.get("denoise"), strict=True)
    sigmas = graph.source(sampler, "sigmas")
    if strength is None and sigmas is not None:
        strength = graph.number(graph.nodes[sigmas[0]].inputs.get("denoise"), strict=True)
    return bool(strength is not None and strength >= 1)


def continues(graph: Graph, sampler: Node) -> bool:
    """Whether a sampler goes on with the noise that another one left, as one pass in two parts."""
    if sampler.inputs.get("add_noise") in ("disable", False):
        return True
    noise = graph.source(sampler, "noise")
    return noise is not None and graph.nodes[noise[0]].kind == "DisableNoise"


def settings_of(graph: Graph, sampler: Node) -> dict[str, Any]:
    """Settings of a sampler, wherever the nodes before it keep them."""
    near = [sampler]
    linked = [graph.source(sampler, name) for name in ("guider", "noise", "sampler", "sigmas")]
    linked += [link for name, link in graph.links(sampler) if names.PIPE.search(name.lower())]
    for link in filter(None, linked):
        near += _straight(graph, link)
    found: dict[str, Any] = {}
    for node in near:
        for name, key in _SETTINGS.items():
            read = graph.name if key in ("sampler", "scheduler") else graph.number
            found[key] = first(found.get(key), read(node.inputs.get(name)))
    return found


def _straight(graph: Graph, link: Link) -> list[Node]:
    """A few nodes behind a link, through settings and pipes only."""
    passed: list[Node] = []
    for node, further in graph.walk([link]):
        passed.append(node)
        if len(passed) > _MAX_STRAIGHT:
            break
        for name, onward in graph.links(node):
            if name in ("sigmas", "noise", "sampler") or names.PIPE.search(name.lower()):
                further.append(onward)
    return passed
