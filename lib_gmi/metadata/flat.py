"""Programs that write one object of names and values; what each calls what is a table.

Read in their sources: SwarmUI (``src/Text2Image/T2IParamInput.cs``, ``src/Media/ImageFile.cs``),
Easy Diffusion (``ui/easydiffusion/utils/save_utils.py``, and ``save_dicts`` of its ``sdkit``), Draw
Things (``Libraries/LocalImageGenerator/Sources/ImageConverter.swift``). Of TensorArt, and of the
spaces on Hugging Face that grew out of Animagine's, there are files only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from .easy_diffusion import EASY_KEYWORDS, EASY_NAMES
from .making import Making, Network, distinct, making_settings, mention, network
from .text import networks_in, prompt_text
from .values import first, items, loads, mapping, real, word, words_of

if TYPE_CHECKING:
    from .reading import Texts

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Program:
    """How one program writes.

    Attributes:
        name: see :class:`.making.Making`.
        needs: all of these are in its objects.
        one_of: and one of these.
        names: of its prompt, negative, checkpoint and settings, where they differ from ours.
        networks: of an object.
        processes: of an object.
        hashes: of the checkpoint.
        refiner: the second checkpoint of an object.
    """

    name: str
    needs: frozenset[str]
    one_of: frozenset[str]
    names: Mapping[str, str]
    networks: Callable[[Facts], list[Network | None]]
    processes: Callable[[Facts], set[str]]
    hashes: str = ""
    refiner: Callable[[Facts], Any] = lambda facts: None

    def read(self, facts: Facts) -> Making | None:
        """The making, or ``None`` where this program did not write the object."""
        if not self.needs <= facts.keys() or not self.one_of & facts.keys():
            return None
        named = self.names

        def get(name: str) -> Any:
            value = facts.get(named.get(name, name))
            return None if value in ("", "None") else value

        prompt = get("prompt")
        if not isinstance(prompt, str):
            return None
        refiner = mention(self.refiner(facts))
        return Making(
            program=self.name,
            prompt=prompt_text(prompt),
            negative=prompt_text(get("negative")),
            checkpoint=mention(get("model"), *items([facts.get(self.hashes)])),
            networks=distinct([*self.networks(facts), *networks_in(prompt)]),
            settings=making_settings(**{name: get(name) for name in _SETTINGS}),
            processes=frozenset(self.processes(facts) | ({"refiner"} if refiner else set())),
            refiner=refiner,
        )


_SETTINGS = (
    "seed",
    "steps",
    "cfg",
    "sampler",
    "scheduler",
    "width",
    "height",
    "size",
    "clip_skip",
    "vae",
    "denoise",
)


def _listed(entries: Any, name: str, weight: str) -> list[Network | None]:
    """``[{name: …, weight: …}]``"""
    listed = map(mapping, items(entries))
    return [network("lora", entry.get(name), entry.get(weight)) for entry in listed]


def _in_step(names: Any, weights: Any, otherwise: str | None = None) -> list[Network | None]:
    """LoRAs in one list and their weights in another, which may be shorter."""
    known = words_of(names)
    paired = zip_longest(known, words_of(weights)[: len(known)], fillvalue=otherwise)
    return [network("lora", name, weight) for name, weight in paired]


def _marked(facts: Facts, marks: Mapping[str, str]) -> set[str]:
    """The processes of those settings that are there and on."""
    off: tuple[Any, ...] = (None, "", "None", False, "False", 0, "0", [], {})
    return {done for name, done in marks.items() if facts.get(name) not in off}


# -- SwarmUI --------------------------------------------------------------------------------------

_SWARM_MARKS = {
    "initimagecreativity": "img2img",
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
}
#: Parts of a prompt that are drawn afterwards, or in one place: "<segment:face> smiling".
_SWARM_PARTS = re.compile(r"<(segment|object|region|refiner|video)(?::[^<>]{0,200})?>")


def _swarm_processes(facts: Facts) -> set[str]:
    done = _marked(facts, _SWARM_MARKS)
    if real(facts.get("refinerupscale"), 1, 1) is not None and "refinermethod" not in facts:
        done.discard("hires")
    if facts.get("maskblur") is not None and "img2img" in done:
        done.add("inpaint")
    of_parts = {"segment": "adetailer", "object": "regional", "region": "regional"}
    prompt = str(facts.get("prompt"))[:50_000]
    return done | {of_parts.get(part, "extension") for part in _SWARM_PARTS.findall(prompt)}


def _swarm_networks(facts: Facts) -> list[Network | None]:
    found = _in_step(facts.get("loras"), facts.get("loraweights"), "1")
    return found + [network("embedding", n) for n in words_of(facts.get("used_embeddings"))]


def _swarm_facts(data: Mapping[str, Any]) -> Facts:
    """The parameters. The hashes beside them are of the tensors, not of the files."""
    facts = {**mapping(data.get("sui_extra_data")), **mapping(data.get("sui_image_params"))}
    skip = real(facts.get("clipstopatlayer"), -24, -1)
    return {**facts, "clip_skip": None if skip is None else -skip}


_SWARM = Program(
    "swarmui",
    frozenset({"prompt"}),
    frozenset({"model", "swarm_version", "seed"}),
    {"negative": "negativeprompt", "cfg": "cfgscale", "denoise": "initimagecreativity"},
    _swarm_networks,
    _swarm_processes,
    refiner=lambda facts: facts.get("refinermodel"),
)

# -- Easy Diffusion -------------------------------------------------------------------------------


def _easy_networks(facts: Facts) -> list[Network | None]:
    found = _in_step(facts.get("use_lora_model"), facts.get("lora_alpha"))
    found.append(
        network(
            "hypernetwork", facts.get("use_hypernetwork_model"), facts.get("hypernetwork_strength")
        )
    )
    return found + [network("embedding", n) for n in words_of(facts.get("use_embeddings_model"))]


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
    _easy_networks,
    lambda facts: _marked(
        facts,
        {
            "prompt_strength": "img2img",
            "use_controlnet_model": "controlnet",
            "use_face_correction": "faces",
            "use_upscale": "upscale",
        },
    ),
)

# -- TensorArt ------------------------------------------------------------------------------------


def _tensorart_networks(facts: Facts) -> list[Network | None]:
    listed = map(mapping, items(facts.get("models")))
    kinds = {"LORA": "lora", "LOCON": "lycoris", "LYCORIS": "lycoris", "DORA": "lora"}
    kinds |= {"EMBEDDING": "embedding", "TEXTUAL_INVERSION": "embedding"}
    return [
        network(
            kinds[str(entry.get("type")).upper()],
            first(entry.get("modelFileName"), entry.get("label")),
            entry.get("weight"),
            entry.get("hash"),
        )
        for entry in listed
        if str(entry.get("type")).upper() in kinds
    ]


def _tensorart_facts(data: Mapping[str, Any]) -> Facts:
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
        "cfg": "cfgScale",
        "sampler": "samplerName",
        "clip_skip": "clipSkip",
        "denoise": "denoisingStrength",
    },
    _tensorart_networks,
    lambda facts: _marked(
        facts,
        {
            "controlNet": "controlnet",
            "controlnets": "controlnet",
            "sourceImage": "img2img",
            "initImage": "img2img",
            "hiresFix": "hires",
            "imgUpscaler": "upscale",
            "adetailer": "adetailer",
        },
    ),
    hashes="base_hash",
)

# -- Draw Things ----------------------------------------------------------------------------------


def _drawn_processes(facts: Facts) -> set[str]:
    done = _marked(
        facts,
        {
            "control": "controlnet",
            "hires_fix": "hires",
            "upscaler": "upscale",
            "image_guidance": "edit",
        },
    )
    strength = real(facts.get("strength"), 0, 1)
    return done | ({"img2img"} if strength is not None and strength < 1 else set())


_DRAW_THINGS = Program(
    "drawthings",
    frozenset({"c", "model"}),
    frozenset({"uc", "scale", "v2"}),
    {"prompt": "c", "negative": "uc", "cfg": "scale", "denoise": "strength"},
    lambda facts: _listed(facts.get("lora"), "model", "weight"),
    _drawn_processes,
    refiner=lambda facts: facts.get("refiner"),
)

# -- spaces on Hugging Face -----------------------------------------------------------------------

_SPACE = Program(
    "huggingface",
    frozenset({"prompt", "num_inference_steps"}),
    frozenset({"Model", "model", "Model hash", "model_hash"}),
    {
        "negative": "negative_prompt",
        "model": "model_name",
        "cfg": "guidance_scale",
        "steps": "num_inference_steps",
        "size": "resolution",
    },
    lambda facts: [network("lora", name) for name in words_of(facts.get("use_lora"))],
    lambda facts: _marked(facts, {"use_upscaler": "hires", "image": "img2img"}),
    hashes="model_digest",
)


def _space_facts(data: Mapping[str, Any]) -> Facts:
    size = data.get("resolution")
    return {
        **data,
        "resolution": size.replace(" ", "") if isinstance(size, str) else None,
        "model_name": first(word(data.get("Model")), word(data.get("model"))),
        "model_digest": first(data.get("Model hash"), data.get("model_hash")),
    }


# -- all of them ----------------------------------------------------------------------------------


def of_json(data: Any) -> Making | None:
    """The making that an object of any of these programs tells, or ``None``."""
    if not isinstance(data, dict):
        return None
    if "sui_image_params" in data:
        return _SWARM.read(_swarm_facts(data))
    if "prompt" not in data and "Prompt" in data:
        data = {EASY_NAMES.get(key, key): value for key, value in data.items()}
    return (
        _TENSORART.read(_tensorart_facts(data))
        or _DRAW_THINGS.read(data)
        or _EASY.read(data)
        or _SPACE.read(_space_facts(data))
    )


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
            making = of_json(loads(text))
            if making is not None:
                return making
    return of_json({key: named[key] for key in EASY_KEYWORDS if key in named})


def of_text(text: str) -> Making | None:
    """The making that a text file of Easy Diffusion's tells: a line for each setting."""
    lines = (line.partition(": ") for line in text[:100_000].split("\n")[:200])
    return of_json({name: value.strip() for name, _, value in lines if name in EASY_NAMES})
