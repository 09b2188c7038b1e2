"""Programs that write one object of names and values; what each calls what is a table.

Read in their sources: SwarmUI (``src/Text2Image/T2IParamInput.cs``, ``src/Media/ImageFile.cs``),
Easy Diffusion (``ui/easydiffusion/utils/save_utils.py``, and ``save_dicts`` of its ``sdkit``), Draw
Things (``Libraries/LocalImageGenerator/Sources/ImageConverter.swift``). Of TensorArt, and of the
spaces on Hugging Face that grew out of Animagine's, there are files only. Fooocus' other scheme is
an infotext.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from .civitai import NETWORKS, resources
from .making import CheckpointMention, Making, Network, network
from .program import Facts, Program, is_on
from .reading import EASY_KEYWORDS, EASY_NAMES, Texts
from .text import networks_in
from .values import first, items, loads, mapping, real, word, words_of


def _in_step(names: Any, weights: Any, otherwise: str | None = None) -> list[Network | None]:
    """LoRAs in one list and their weights in another, which may be shorter."""
    known = words_of(names)
    paired = zip_longest(known, words_of(weights)[: len(known)], fillvalue=otherwise)
    return [network("lora", name, weight) for name, weight in paired]


def _embeddings(names: Any) -> list[Network | None]:
    return [network("embedding", name) for name in words_of(names)]


# -- SwarmUI --------------------------------------------------------------------------------------

#: Parts of a prompt that are drawn afterwards, or in one place: "<segment:face> smiling".
_SWARM_PARTS = re.compile(r"<(segment|object|region|refiner|video)(?::[^<>]{0,200})?>")


def _swarm_facts(data: Facts) -> Facts:
    """The parameters. The hashes beside them are of the tensors, not of the files."""
    facts = {**mapping(data.get("sui_extra_data")), **mapping(data.get("sui_image_params"))}
    skip = real(facts.get("clipstopatlayer"), -24, -1)
    if real(facts.get("refinerupscale"), 1, 1) is not None:
        facts["refinerupscale"] = None  # as large as it was
    begun = is_on(facts.get("initimagecreativity"))
    return {
        **facts,
        **{f"<{part}>": True for part in _SWARM_PARTS.findall(str(facts.get("prompt"))[:50_000])},
        "clip_skip": None if skip is None else -skip,
        "masked": begun and facts.get("maskblur") is not None,
    }


_SWARM = Program(
    "swarmui",
    frozenset({"prompt"}),
    frozenset({"model", "swarm_version", "seed"}),
    {
        "negative": "negativeprompt",
        "cfg": "cfgscale",
        "denoise": "initimagecreativity",
        "refiner": "refinermodel",
    },
    {
        "initimagecreativity": "img2img",
        "masked": "inpaint",
        "controlnetmodel": "controlnet",
        "controlnettwomodel": "controlnet",
        "controlnetthreemodel": "controlnet",
        "promptimages": "edit",
        "usereferenceonly": "extension",
        "useipadapterforrevision": "extension",
        "refinerupscale": "hires",
        "refinermethod": "hires",
        "videomodel": "extension",
        "customworkflow": "extension",
        "comfyuicustomworkflow": "extension",
        "<segment>": "adetailer",
        "<object>": "regional",
        "<region>": "regional",
        "<refiner>": "extension",
        "<video>": "extension",
    },
    _swarm_facts,
    lambda facts: (
        _in_step(facts.get("loras"), facts.get("loraweights"), "1")
        + _embeddings(facts.get("used_embeddings"))
    ),
)

# -- Easy Diffusion -------------------------------------------------------------------------------


def _easy_networks(facts: Facts) -> list[Network | None]:
    named, strength = facts.get("use_hypernetwork_model"), facts.get("hypernetwork_strength")
    found = _in_step(facts.get("use_lora_model"), facts.get("lora_alpha"))
    found.append(network("hypernetwork", named, strength))
    return found + _embeddings(facts.get("use_embeddings_model"))


_EASY = Program(
    "easydiffusion",
    frozenset({"prompt", "use_stable_diffusion_model"}),
    frozenset({"seed", "num_inference_steps", "guidance_scale", "sampler_name"}),
    {
        "negative": "negative_prompt",
        "model": "use_stable_diffusion_model",
        "steps": "num_inference_steps",
        "cfg": "guidance_scale",
        "sampler": "sampler_name",
        "scheduler": "scheduler_name",
        "vae": "use_vae_model",
        "denoise": "prompt_strength",
        "clip_skip": "",  # whether, not how much
    },
    {
        "prompt_strength": "img2img",
        "use_controlnet_model": "controlnet",
        "use_face_correction": "faces",
        "use_upscale": "upscale",
    },
    networks=_easy_networks,
)

# -- TensorArt ------------------------------------------------------------------------------------


def _tensorart_facts(data: Facts) -> Facts:
    base = mapping(data.get("baseModel"))
    called = first(word(base.get("modelFileName")), word(base.get("label")))
    return {**data, "base_name": called, "base_hash": base.get("hash")}


_TENSORART = Program(
    "tensorart",
    frozenset({"prompt", "baseModel"}),
    frozenset({"cfgScale", "samplerName", "models", "imageCount"}),
    {
        "negative": "negativePrompt",
        "model": "base_name",
        "hash": "base_hash",
        "cfg": "cfgScale",
        "sampler": "samplerName",
        "clip_skip": "clipSkip",
        "denoise": "denoisingStrength",
    },
    {
        "controlNet": "controlnet",
        "controlnets": "controlnet",
        "sourceImage": "img2img",
        "initImage": "img2img",
        "hiresFix": "hires",
        "imgUpscaler": "upscale",
        "adetailer": "adetailer",
    },
    _tensorart_facts,
    lambda facts: resources(facts.get("models")).networks,
)

# -- Draw Things ----------------------------------------------------------------------------------

_DRAW_THINGS = Program(
    "drawthings",
    frozenset({"c", "model"}),
    frozenset({"uc", "scale", "v2"}),
    {"prompt": "c", "negative": "uc", "cfg": "scale", "denoise": "strength", "refiner": "refiner"},
    {
        "begun": "img2img",
        "control": "controlnet",
        "hires_fix": "hires",
        "upscaler": "upscale",
        "image_guidance": "edit",
    },
    lambda data: {**data, "begun": first(real(data.get("strength"), 0, 1), 1) < 1},
    lambda facts: [
        network("lora", entry.get("model"), entry.get("weight"))
        for entry in map(mapping, items(facts.get("lora")))
    ],
)

# -- spaces on Hugging Face -----------------------------------------------------------------------


_SPACE = Program(
    "huggingface",
    frozenset({"prompt", "num_inference_steps"}),
    frozenset({"Model", "model", "Model hash", "model_hash"}),
    {
        "negative": "negative_prompt",
        "model": ("Model", "model"),
        "hash": ("Model hash", "model_hash"),
        "cfg": "guidance_scale",
        "steps": "num_inference_steps",
        "size": "resolution",
    },
    {"use_upscaler": "hires", "image": "img2img"},
    networks=lambda facts: [network("lora", name) for name in words_of(facts.get("use_lora"))],
)

# -- Fooocus --------------------------------------------------------------------------------------

_RESOLUTION = re.compile(r"\(?(\d{1,6}), ?(\d{1,6})\)?")
_WEIGHTED = re.compile(r"(.{1,300}?) : (-?\d{1,3}(?:\.\d{0,6})?)")


def _fooocus_facts(data: Facts) -> Facts:
    # its log, and Fooocus-MRE, write "Base Model" for base_model
    facts = {str(key)[:100].lower().replace(" ", "_"): data[key] for key in list(data)[:500]}
    prompt, whole = facts.get("prompt"), facts.get("full_prompt")
    if "prompt" in facts and not (isinstance(prompt, str) and prompt.strip()):
        parts = [part for part in items(whole) if isinstance(part, str)]
        facts["prompt"] = whole if isinstance(whole, str) else ", ".join(parts)
    size = _RESOLUTION.fullmatch(str(facts.get("resolution", ""))[:40])
    inpainted = any(key.startswith("inpaint") and facts[key] for key in facts)
    return {**facts, "size": f"{size[1]}x{size[2]}" if size else None, "inpainted": inpainted}


def _fooocus_networks(facts: Facts) -> Iterable[Network | None]:
    for parts in map(items, items(facts.get("loras"))):
        if len(parts) == 3:
            yield network("lora", *parts)
    for key in facts:
        # an earlier scheme: "lora_combined_1": "name : 0.5"
        weighted = _WEIGHTED.fullmatch(str(facts[key])[:400]) if key.startswith("lora_") else None
        if weighted:
            yield network("lora", weighted[1], weighted[2])


FOOOCUS = Program(
    "fooocus",
    frozenset({"prompt"}),
    frozenset({"base_model", "base_model_name"}),
    {
        "negative": ("negative_prompt", "negative"),
        "model": ("base_model", "base_model_name"),
        "hash": "base_model_hash",
        "cfg": ("guidance_scale", "cfg"),
        "sampler": ("sampler", "sampler_name"),
        "denoise": "",
        "refiner": "refiner_model",
        "refiner_hash": "refiner_model_hash",
    },
    {"inpainted": "img2img inpaint"},
    _fooocus_facts,
    _fooocus_networks,
    wordless=True,
)

# -- Civitai's site and its API -------------------------------------------------------------------


def _site_facts(meta: Facts) -> Facts:
    if not isinstance(meta.get("prompt"), str):
        return {}
    listed = resources([*items(meta.get("resources")), *items(meta.get("civitaiResources"))])
    named = listed.checkpoint or CheckpointMention()
    return {
        **meta,
        "listed": listed,
        "model_name": first(word(meta.get("Model")), named.name),
        "all_hashes": [
            meta.get("Model hash"),
            mapping(meta.get("hashes")).get("model"),
            *named.hashes,
        ],
        "version_id": named.version_id,
    }


def _site_networks(facts: Facts) -> Iterable[Network | None]:
    yield from networks_in(facts.get("prompt"))
    yield from facts["listed"].networks
    for key, sha in list(mapping(facts.get("hashes")).items())[:100]:
        kind, _, name = str(key).partition(":")
        if kind.lower() in NETWORKS:
            yield network(NETWORKS[kind.lower()], name, None, sha)


def _site_processes(facts: Facts) -> set[str]:
    done = set(facts["listed"].processes)
    if facts.get("Hires upscale") or facts.get("Hires upscaler"):
        return done | {"hires"}
    denoise = first(facts.get("denoise"), facts.get("Denoising strength"))
    return done | ({"img2img"} if real(denoise, 0, 0.999) else set())


SITE = Program(
    "civitai",
    frozenset({"prompt"}),
    frozenset({"negativePrompt", "cfgScale", "sampler", "Model", "resources", "civitaiResources"}),
    {
        "negative": "negativePrompt",
        "model": "model_name",
        "hash": "all_hashes",
        "version_id": "version_id",
        "cfg": "cfgScale",
        "scheduler": ("scheduler", "Schedule type"),
        "size": "Size",
        "clip_skip": ("clipSkip", "Clip skip"),
        "vae": "VAE",
        "denoise": ("denoise", "Denoising strength"),
    },
    facts=_site_facts,
    networks=_site_networks,
    processes=_site_processes,
    wordless=True,
)

# -- all of them ----------------------------------------------------------------------------------


def of_json(data: Any) -> Making | None:
    """The making that an object of any of the first five programs tells, or ``None``."""
    if not isinstance(data, dict):
        return None
    if "sui_image_params" in data:
        return _SWARM.read(data)
    if "prompt" not in data and "Prompt" in data:
        data = {EASY_NAMES.get(key, key): value for key, value in data.items()}
    rows = (_TENSORART, _DRAW_THINGS, _EASY, _SPACE)
    return next(filter(None, (row.read(data) for row in rows)), None)


def read(texts: Texts) -> Making | None:
    """The making, or ``None`` where none of these programs wrote the file."""
    named, exif = texts.named, texts.exif
    for text in (
        named.get("generation_data"),
        named.get("parameters"),
        named.get("Comment"),
        named.get("comment"),
        exif.comment,
        texts.xmp.comment,
        exif.description,
        *exif.numbered[:2],  # early versions of SwarmUI
    ):
        if text is not None and text.lstrip()[:1] == "{":
            data = loads(text)
            making = FOOOCUS.read(data) or of_json(data)
            if making is not None:
                return making
    return of_json({key: named[key] for key in EASY_KEYWORDS if key in named})


def of_text(text: str) -> Making | None:
    """The making that a text file of Easy Diffusion's tells: a line for each setting."""
    lines = (line.partition(": ") for line in text[:100_000].split("\n")[:200])
    return of_json({name: value.strip() for name, _, value in lines if name in EASY_NAMES})
