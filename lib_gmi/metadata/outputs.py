"""Which outputs of a ComfyUI graph may be this file, and what they all say.

A graph describes a whole workflow. A checkpoint is claimed only if every output that can be this
file comes from it: what is drawn by a service, loaded from a file or made nobody knows how speaks
against a claim as much as another checkpoint does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import searge
from .conditioning import Conditioning
from .graph import Graph
from .making import Making, MakingSettings, Network, distinct, making_settings
from .models import model_of
from .node import Node
from .passes import Chain, Origin, chains_of, is_sampler, origin_of, pictured, settings_of
from .services import asked_of, size_of
from .text import prompt_text
from .values import first, whole

#: Output nodes of one graph that are compared.
_MAX_OUTPUTS = 50
#: Pixels by which a program may round the size that it is asked for.
_ROUNDED = 64
_SAVED = re.compile(r"save|videocombine|sendimage")
_NO_IMAGE = re.compile(r"latent|text|prompt|checkpoint|lora|audio|caption|model")
#: Inputs by which other nodes are told to save.
_TOLD_TO_SAVE = ("image_output", "output_type")


@dataclass(frozen=True)
class Outcome:
    """What one output holds.

    Attributes:
        making: ``None`` where nothing is known of it.
        size: in pixels, if it is certain.
    """

    making: Making | None
    size: tuple[int, int] | None = None

    def may_be(self, size: tuple[int, int] | None) -> bool:
        """Whether it can be a file of this size."""
        if size is None or self.size is None:
            return True
        return all(abs(a - b) < _ROUNDED for a, b in zip(size, self.size, strict=True))


def making_of_graph(graph: Graph, size: tuple[int, int] | None) -> Making | None:
    """What the outputs say that may have written a file of this size, as far as they agree."""
    saving = [node for node in graph.nodes.values() if _saves(graph, node)]
    ends = [node for node in graph.nodes.values() if node.id not in graph.consumed]
    ends = [node for node in ends if graph.links(node)]
    outcomes = _outcomes(graph, saving or ends)
    possible = [outcome for outcome in outcomes if outcome.may_be(size)]
    if saving and not possible:
        # a preview that somebody kept
        shown = [node for node in ends if "preview" in node.words]
        possible = [one for one in _outcomes(graph, shown) if one.size and one.may_be(size)]
    if not any(one.size for one in possible):
        possible = outcomes  # a size rules out others only where it is that of one
    told = list(dict.fromkeys(one.making for one in possible if one.making is not None))
    if graph.exhausted or not told:
        return None
    likely = [making for making in told if size is None or _fits(making, size)] or told
    making = agreed(likely)
    claims = {(one.making and one.making.checkpoint) for one in possible}
    if len(claims) > 1 or len(saving or ends) > _MAX_OUTPUTS:
        return contested(making)
    return making


def contested(making: Making) -> Making:
    """A making without its claim of a checkpoint."""
    processes = making.processes | {"several"}
    return replace(making, checkpoint=None, refiner=None, processes=processes)


def agreed(makings: Sequence[Making]) -> Making:
    """What several makings have in common; all of their networks and processes."""
    chosen, *others = makings
    for other in others:
        same = {
            name: getattr(chosen, name) if getattr(chosen, name) == getattr(other, name) else None
            for name in ("prompt", "negative", "checkpoint", "refiner", "made_by")
        }
        chosen = Making(
            program="comfyui",
            networks=distinct([*chosen.networks, *other.networks]),
            settings=_common(chosen.settings, other.settings),
            processes=chosen.processes | other.processes,
            **same,
        )
    return chosen


def _fits(making: Making, size: tuple[int, int]) -> bool:
    """Whether an image of this size is likely to have been made so."""
    planned = (making.settings.width, making.settings.height)
    enlarged = bool(making.processes & {"hires", "upscale"})
    return None in planned or (planned == size) != enlarged


def _common(one: MakingSettings, other: MakingSettings) -> MakingSettings:
    return MakingSettings(
        **{key: value for key, value in vars(one).items() if vars(other)[key] == value}
    )


def _saves(graph: Graph, node: Node) -> bool:
    """Whether a node writes image files."""
    if searge.ends(graph, node):
        return True
    told = (node.inputs.get(name) for name in _TOLD_TO_SAVE)
    if any(isinstance(value, str) and "save" in value.lower() for value in told):
        return True
    words = node.words
    if not _SAVED.search(words) or ("image" not in words and _NO_IMAGE.search(words)):
        return False
    return bool(pictured(graph, node))


def _outcomes(graph: Graph, nodes: Sequence[Node]) -> list[Outcome]:
    found = (_outcome(graph, node) for node in nodes[:_MAX_OUTPUTS])
    return [outcome for outcome in found if outcome is not None]


def _outcome(graph: Graph, end: Node) -> Outcome | None:
    """What reaches one output; ``None`` for what shows no picture."""
    if searge.ends(graph, end):
        return Outcome(searge.making_of(graph, end))
    drawing = is_sampler(graph, end)
    start = [(end.id, 0)] if drawing else pictured(graph, end)
    if not start:
        return None
    picture = origin_of(graph, start)
    if picture.services:
        return _by_service(graph, picture)
    if not picture.samplers:
        return Outcome(None)
    makings, sizes = zip(*(_drawn(graph, one, picture) for one in picture.samplers), strict=True)
    making = agreed(makings)
    if picture.mixed and not picture.one_of:
        # pictures that were laid into one another
        making = replace(making, processes=making.processes | {"extension"})
    if len({one.checkpoint for one in makings}) > 1 or (
        picture.one_of and (picture.loaded or picture.lost)
    ):
        making = contested(making)
    return Outcome(making, sizes[0] if len(sizes) == 1 else None)


def _by_service(graph: Graph, picture: Origin) -> Outcome:
    """A picture that a service had a part in: no checkpoint made it."""
    prompts = {asked_of(graph, node) for node in picture.services}
    prompt = prompts.pop() if len(prompts) == 1 and not picture.samplers else None
    alone = len(picture.services) == 1 and not picture.samplers and picture.exact
    width, height = size_of(graph, picture.services[0]) if alone else (None, None)
    making = Making(
        program="comfyui",
        prompt=prompt_text(prompt),
        settings=making_settings(width=width, height=height),
        processes=frozenset(picture.processes | {"service"}),
        made_by=picture.services[0].kind[:100],
    )
    return Outcome(making, (width, height) if width and height else None)


def _drawn(graph: Graph, sampler: Node, picture: Origin) -> tuple[Making, tuple[int, int] | None]:
    """The making of what one sampler drew, by all the ways that lead to it, and its exact size."""
    chains = chains_of(graph, sampler)
    if not chains:
        return Making("comfyui", processes=frozenset({"several"})), None
    makings = [_put_together(graph, chain, picture) for chain in chains]
    making = makings[0]
    if any(other.checkpoint != making.checkpoint for other in makings):
        making = contested(making)
    processes = making.processes.union(*(other.processes for other in makings))
    size = _exact_size(graph, chains[0], picture) if len(chains) == 1 else None
    return replace(making, processes=processes), size


def _exact_size(graph: Graph, chain: Chain, picture: Origin) -> tuple[int, int] | None:
    if not picture.exact or not chain.origin.exact or chain.processes & {"hires", "img2img"}:
        return None
    width, height = (whole(graph.number(side, strict=True), 8, 2**16) for side in chain.origin.size)
    return (width, height) if width and height else None


def _put_together(graph: Graph, chain: Chain, picture: Origin) -> Making:
    passes, processes = chain.samplers, set(picture.processes | chain.processes)
    models = [model_of(graph, sampler) for sampler in passes]
    # the first pass decides what is seen, as AUTOMATIC1111 counts as well
    base, last = models[-1].checkpoint, models[0].checkpoint
    refiner = last if base is not None and last != base else None
    if len(models) > 1 and models[0].found != models[-1].found:
        processes.add("refiner")
    networks: list[Network | None] = []
    for model in models:
        processes |= model.processes
        networks += model.networks
    prompts: dict[str, str] = {}
    skip = None
    for sampler in passes:
        for role in ("positive", "negative"):
            words = Conditioning(graph, role)
            text = words.of(sampler)
            prompts[role] = prompts.get(role) or text
            processes |= words.processes
            networks += words.networks
            skip = first(skip, words.skip)
    first_pass, last_pass = settings_of(graph, passes[-1]), settings_of(graph, passes[0])
    denoise = (last_pass if len(passes) > 1 else first_pass).get("denoise")
    if denoise == 1 and not processes & {"img2img", "hires"}:
        denoise = None
    return Making(
        program="comfyui",
        prompt=prompt_text(prompts.get("positive")),
        negative=prompt_text(prompts.get("negative")),
        checkpoint=base,
        networks=distinct(networks),
        settings=making_settings(
            **{**first_pass, "denoise": denoise},
            width=graph.number(chain.origin.size[0]),
            height=graph.number(chain.origin.size[1]),
            clip_skip=skip,
            vae=picture.vae,
        ),
        processes=frozenset(processes),
        refiner=refiner,
    )
