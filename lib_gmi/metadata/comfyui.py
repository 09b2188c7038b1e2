"""The making that a ComfyUI graph tells: which sampler made this image, from what, with what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .conditioning import Conditioning
from .graph import Graph, Node, api_graph
from .making import Making, MakingSettings, Network, distinct, making_settings
from .models import Model, model_of
from .passes import MAX_PASSES, continues, latent_of, origin_of, pictured, settings_of
from .reading import Texts
from .text import prompt_text
from .values import first, loads, mapping

#: Output nodes of one graph that are compared.
_MAX_OUTPUTS = 50


def read(texts: Texts) -> Making | None:
    """The making, or ``None`` where no graph says which sampler made the image."""
    written = [*texts.exif.numbered, texts.exif.description or "", texts.exif.comment or ""]
    graphs = {name: texts.named[name] for name in ("prompt", "workflow") if name in texts.named}
    for text in written:
        for name in ("prompt", "workflow"):
            if text[:40].lower().startswith(f"{name}:"):
                graphs.setdefault(name, text[len(name) + 1 :])
    making = of_json(loads(graphs.get("prompt")), texts.size)
    if making is None and "workflow" in graphs:
        making = of_json(loads(graphs["workflow"]), texts.size)
    comment = texts.exif.comment or ""
    if making is None and comment.lstrip().startswith("{") and "class_type" in comment:
        making = of_json(loads(comment), texts.size)  # Civitai's generator
    return making


def of_json(data: Any, size: tuple[int, int] | None = None) -> Making | None:
    """The making that a graph tells, in the API's format or in the editor's.

    Args:
        size: of the image, which tells the outputs of a graph apart.
    """
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("nodes"), list):
        from .workflow import api_format

        data = api_format(data)
    elif isinstance(data.get("prompt"), dict):
        data = data["prompt"]
    graph = api_graph(data)
    if graph is None:
        return None
    making = _agreed(graph, size)
    if making is not None and ("extraMetadata" in data or "resource-stack" in data):
        making = _with_extra(making, loads(data.get("extraMetadata")))
    return making


def _with_extra(making: Making, extra: Any) -> Making:
    """Civitai's generator runs ComfyUI, and keeps beside the graph what it was asked for."""
    from .civitai import resources

    listed = resources(mapping(extra).get("resources"))
    prompt = mapping(extra).get("prompt")
    return replace(
        making,
        program="civitai",
        prompt=prompt_text(prompt) if isinstance(prompt, str) else making.prompt,
        checkpoint=making.checkpoint or listed.checkpoint,
        networks=making.networks or listed.networks,
    )


def _agreed(graph: Graph, size: tuple[int, int] | None) -> Making | None:
    """What the outputs say that may have written this file, as far as they agree."""
    ends = [node for node in graph.nodes.values() if node.id not in graph.consumed]
    ends = [node for node in ends if graph.links(node)]
    saving = [node for node in ends if "save" in node.words]
    makings: list[Making] = []
    for group in (saving, ends):
        outcomes = (_made_by(graph, node) for node in group[:_MAX_OUTPUTS])
        makings = makings or list(dict.fromkeys(filter(None, outcomes)))
    if graph.exhausted:
        return None
    if size is not None and len(makings) > 1:
        makings = [making for making in makings if _fits(making, size)] or makings
    if not makings:
        return None
    chosen, *others = makings
    for other in others:
        chosen = Making(
            program="comfyui",
            prompt=chosen.prompt if chosen.prompt == other.prompt else None,
            negative=chosen.negative if chosen.negative == other.negative else None,
            checkpoint=chosen.checkpoint if chosen.checkpoint == other.checkpoint else None,
            networks=distinct([*chosen.networks, *other.networks]),
            settings=_common(chosen.settings, other.settings),
            processes=chosen.processes | other.processes,
            refiner=chosen.refiner if chosen.refiner == other.refiner else None,
        )
    return chosen


def _fits(making: Making, size: tuple[int, int]) -> bool:
    """Whether an image of this size can have been made so."""
    planned = (making.settings.width, making.settings.height)
    enlarged = bool(making.processes & {"hires", "upscale"})
    return None in planned or (planned == size) != enlarged


def _common(one: MakingSettings, other: MakingSettings) -> MakingSettings:
    return MakingSettings(
        **{key: value for key, value in vars(one).items() if vars(other)[key] == value}
    )


def _made_by(graph: Graph, end: Node) -> Making | None:
    """The making of what reaches one output."""
    picture = origin_of(graph, pictured(graph, end))
    if not picture.samplers:
        return None
    passes, processes = [picture.samplers[0]], set(picture.processes)
    if picture.loaded:
        processes.add("extension")  # another picture was put into this one
    origin = picture
    while len(passes) < MAX_PASSES:
        origin = origin_of(graph, latent_of(graph, passes[-1]))
        processes |= origin.processes
        if not origin.samplers or origin.samplers[0] in passes:
            break
        if not continues(graph, passes[-1]):
            processes.add("hires")
        passes.append(origin.samplers[0])
    if origin.loaded:
        processes.add("img2img")
    models = [model_of(graph, sampler) for sampler in passes]
    for model in models:
        processes |= model.processes
    parallel = [model_of(graph, sampler) for sampler in picture.samplers[1:]]
    return _put_together(graph, passes, models, parallel, (picture.vae, origin.size, processes))


def _put_together(
    graph: Graph,
    passes: list[Node],
    models: list[Model],
    parallel: list[Model],
    known: tuple[str | None, tuple[Any, Any], set[str]],
) -> Making:
    vae, size, processes = known
    # the first pass decides what is seen, as AUTOMATIC1111 counts as well
    base, last = models[-1].checkpoint, models[0].checkpoint
    refiner = last if base is not None and last != base else None
    if len(models) > 1 and models[0].found != models[-1].found:
        processes.add("refiner")
    if any(model.checkpoint != base for model in parallel):
        base = None
    networks: list[Network | None] = []
    for model in (*models, *parallel):
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
            width=graph.number(size[0]),
            height=graph.number(size[1]),
            clip_skip=skip,
            vae=vae,
        ),
        processes=frozenset(processes),
        refiner=refiner,
    )
