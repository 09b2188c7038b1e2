"""The making that an infotext tells: AUTOMATIC1111, Forge, SD.Next, Civitai, Fooocus, savers."""

from __future__ import annotations

import re

from . import civitai
from .infotext import Infotext, hashes_in, parse
from .making import (
    CheckpointMention,
    Making,
    Network,
    distinct,
    making_settings,
    mention,
    network,
)
from .text import networks_in, prompt_text
from .values import first, real

#: What a setting whose name begins so says was done.
_BY_PREFIX = (
    ("adetailer ", "adetailer"),
    ("detailer", "adetailer"),
    ("controlnet", "controlnet"),
    ("hires ", "hires"),
    ("first pass size", "hires"),
    ("face restoration", "faces"),
    ("mask blur", "inpaint"),
    ("mask mode", "inpaint"),
    ("masked ", "inpaint"),
    ("inpaint", "inpaint"),
    ("soft inpainting", "inpaint"),
    ("init image", "img2img"),
    ("sd upscale", "upscale"),
    ("ultimate sd upscale", "upscale"),
    ("postprocess upscale", "upscale"),
    ("resize after", "upscale"),
    ("rp active", "regional"),
    ("regional", "regional"),
    ("latent couple", "regional"),
    ("forge_couple", "regional"),
    ("x type", "grid"),
    ("y type", "grid"),
    ("z type", "grid"),
    ("grid", "grid"),
)
#: Settings of the programs themselves that say nothing about other checkpoints or extra steps. What
#: is neither here nor above was written by an extension.
_OWN = re.compile(
    # every program
    r"""steps|sampler|schedule\ type|scheduler|cfg\ scale|cfg\ \w+|image\ cfg\ scale|seed|size
    |model|model\ hash|vae|vae\ \w+|denoising\ strength|clip\ skip|version|user|hashes|script
    # AUTOMATIC1111 and Forge
    |fp8\ weight|cache\ fp16\ weight\ for\ lora|variation\ (?:seed|strength|seed\ strength)
    |seed\ resize\ from|conditional\ mask\ weight|ensd|token\ merging\ ratio(?:\ hr)?|rng|tiling
    |eta(?:\ \w+)?|sigma\ \w+|pad\ conds(?:\ v0)?|discard\ penultimate\ sigma|emphasis
    |schedule\ (?:min\ sigma|max\ sigma|rho)|beta\ schedule\ \w+|noise\ schedule
    |downcast\ alphas_cumprod|ngms(?:\ all\ steps)?|skip\ early\ cfg|sgm\ noise\ multiplier
    |old\ prompt\ editing\ timelines|extra\ noise|noise\ multiplier|hypertile.*|styles?|ti
    |ti\ hashes|lora\ (?:hashes|weights)|hypernet(?:\ (?:hash|strength))?|addnet\ .*
    |[xyz]\ values|fixed\ [xyz]\ values|refiner.*|diffusion\ in\ low\ bits|original\ size
    |distilled\ cfg\ scale|module\ \d+|shift
    # SD.Next
    |app|parser|backend|pipeline|comment|te|unet|operations|batch|index|embeddings|refine
    |resize\ .*|sampler\ .*|mask\ weight|tome|todo|llm|original\ (?:prompt|negative)
    # stable-diffusion.cpp
    |sampler\ rng|custom\ sigmas|slg\ scale|skip\ layers?(?:\ start|\ end)?|uncond\ unet
    |extra\ sample\ args|sdcpp
    # Dynamic Prompts: where the prompt came from
    |(?:negative\ )?template(?:\ \w+)?|wildcard\ .*
    # savers of ComfyUI
    |(?:lora|embedding)_\d+\ [\w ]+
    # Fooocus
    |performance|sharpness|adm\ guidance|adaptive\ cfg|overwrite\ switch|metadata\ scheme
    |raw\ (?:negative\ )?prompt
    # Civitai
    |created\ date|aspect\ ratio|base\ model|civitai\ .*|workflow|quantity|draft|process
    |clip\ \w+|guidance|fluxmode|experimental|disablepoi|engine""",
    re.VERBOSE,
)
_BY_VERSION = (
    (re.compile("stable-diffusion.cpp"), "sd.cpp"),
    (re.compile("ComfyUI"), "comfyui"),
    (re.compile("Fooocus"), "fooocus"),
    (re.compile(r"f\d|neo|forge"), "forge"),
)
_TITLE = re.compile(r"(.{1,300}?) ?[\[(]([0-9a-fA-F]{6,64})[\])]")
_TI_KINDS = {"LoRA": "lora", "LyCORIS": "lycoris"}


def read(text: str) -> Making | None:
    """The making, or ``None`` where a text has neither settings nor a negative prompt."""
    infotext = parse(text)
    facts = infotext.facts
    if not facts and infotext.negative is None:
        return None
    program = _program(infotext)
    hashes = hashes_in(infotext)
    resources = civitai.resources(infotext.objects.get("Civitai resources"))
    processes = _processes(infotext, program) | resources.processes
    named = [key.partition(":")[2] for key in hashes if key.startswith("model:")]
    checkpoint = mention(
        # stable-diffusion.cpp takes the network that draws from another file, and loads nothing of
        # that kind from the first then; others write Unet for what they do not use
        (program == "sd.cpp" and facts.get("Unet"))
        or facts.get("Model")
        or (resources.checkpoint and resources.checkpoint.name)
        or (named[0] if len(named) == 1 else None),
        facts.get("Model hash"),
        hashes.get("model"),
        hashes.get(f"model:{named[0]}") if len(named) == 1 else None,
        version_id=resources.checkpoint and resources.checkpoint.version_id,
    )
    refiner = _title(facts.get("Refiner"), facts.get("Refiner hash"))
    refiner = refiner or _title(facts.get("Hires checkpoint"))
    if refiner is not None:
        processes = processes | {"refiner"}
    # Fooocus writes the prompt with all its styles above, and the user's own as a setting
    prompt = first(facts.get("Raw prompt") or None, infotext.prompt)
    negative = first(facts.get("Raw negative prompt") or None, infotext.negative)
    networks = distinct([*_networks(infotext, hashes)])
    if not any(one.kind in ("lora", "lycoris") for one in networks):
        networks = distinct([*networks, *resources.networks])
    return Making(
        program=program,
        prompt=prompt_text(prompt),
        negative=prompt_text(negative),
        checkpoint=checkpoint,
        networks=networks,
        settings=making_settings(
            seed=facts.get("Seed"),
            steps=facts.get("Steps"),
            cfg=facts.get("CFG scale"),
            sampler=facts.get("Sampler"),
            scheduler=first(facts.get("Schedule type"), facts.get("Scheduler")),
            size=facts.get("Size"),
            clip_skip=facts.get("Clip skip"),
            vae=facts.get("VAE"),
            denoise=first(facts.get("Denoising strength"), facts.get("Hires strength")),
        ),
        processes=processes,
        refiner=refiner,
    )


def processed(text: str) -> frozenset[str]:
    """What AUTOMATIC1111's Extras tab did afterwards, from the settings that it adds."""
    return frozenset({"upscale" if "pscale" in text[:2000] else "extension"})


def _program(infotext: Infotext) -> str:
    version, app = infotext.facts.get("Version", ""), infotext.facts.get("App", "")
    if "sd.next" in app.lower():
        return "sdnext"
    for begin, program in _BY_VERSION:
        if begin.match(version):
            return program
    if "ADM Guidance" in infotext.facts:
        return "fooocus"
    if "Civitai resources" in infotext.objects or "Created Date" in infotext.facts:
        return "civitai"
    return "a1111"


def _processes(infotext: Infotext, program: str) -> frozenset[str]:
    found: set[str] = set()
    for key in infotext.facts:
        if not infotext.switched_on(key):
            continue
        name = key.lower()
        process = next((done for prefix, done in _BY_PREFIX if name.startswith(prefix)), None)
        if process is None and not _OWN.fullmatch(name):
            process = "extension"
        if process is not None:
            found.add(process)
    operations = infotext.facts.get("Operations", "").lower()
    for word, process in (("detailer", "adetailer"), ("control", "controlnet")):
        if word in operations:
            found.add(process)
    for process in ("hires", "upscale", "img2img", "inpaint"):
        if process in operations.split("; "):
            found.add(process)
    strength = real(infotext.facts.get("Denoising strength"), 0, 1)
    # savers of ComfyUI write 1 for text-to-image as well
    whole = strength == 1 and program in ("comfyui", "civitai")
    if strength and not whole and not found & {"hires", "img2img"}:
        found.add("img2img")
    if "inpaint" in found and program != "fooocus":
        found.add("img2img")
    return frozenset(found)


def _title(text: str | None, sha: str | None = None) -> CheckpointMention | None:
    """A checkpoint as AUTOMATIC1111 titles it: ``name [hash]``."""
    if not text or text.lower() in ("none", "false", "use same checkpoint"):
        return None
    titled = _TITLE.fullmatch(text.strip())
    return mention(titled[1], titled[2]) if titled else mention(text, sha)


def _networks(infotext: Infotext, hashes: dict[str, str]) -> list[Network | None]:
    facts = infotext.facts
    found = networks_in(infotext.prompt)
    tagged = {one.name.lower(): one.kind for one in found if one is not None}
    for name, sha in _listed(facts.get("Lora hashes")):
        found.append(network(tagged.get(name.lower(), "lora"), name, None, sha))
    for name, weight in _listed(facts.get("Lora weights")):
        found.append(network("lora", name, weight))
    for name, sha in _listed(facts.get("TI hashes")):
        found.append(network("embedding", name, None, sha))
    # SD.Next and Forge name them without a hash
    for key in ("Embeddings", "TI"):
        for name in facts.get(key, "").split(", ")[:100]:
            found.append(network("embedding", name))
    if infotext.switched_on("Hypernet"):
        found.append(
            network("hypernetwork", facts["Hypernet"], first(facts.get("Hypernet strength"), "1"))
        )
    if infotext.switched_on("AddNet Enabled"):
        for number in range(1, 6):
            titled = _TITLE.fullmatch(facts.get(f"AddNet Model {number}", ""))
            kind = _TI_KINDS.get(facts.get(f"AddNet Module {number}", "LoRA"), "lora")
            weight = facts.get(
                f"AddNet Weight A {number}", facts.get(f"AddNet Weight {number}", "1")
            )
            if titled:
                found.append(network(kind, titled[1], weight, titled[2]))
    found += _numbered(facts)
    for key, sha in hashes.items():
        kind, _, name = key.partition(":")
        if kind in ("lora", "lyco"):
            found.append(network(tagged.get(name.lower(), "lora"), name, None, sha))
        elif kind in ("embed", "embedding"):
            found.append(network("embedding", name, None, sha))
    return found


def _numbered(facts: dict[str, str]) -> list[Network | None]:
    """``Lora_0 Model name: …, Lora_0 Strength model: …``, as savers of ComfyUI write it."""
    return [
        network(
            "lora",
            facts.get(f"Lora_{number} Model name"),
            facts.get(f"Lora_{number} Strength model"),
            facts.get(f"Lora_{number} Model hash"),
        )
        for number in range(20)
    ]


def _listed(text: str | None) -> list[tuple[str, str]]:
    """``name: value, name: value``"""
    found: list[tuple[str, str]] = []
    for part in (text or "").split(",")[:100]:
        name, colon, value = part.rpartition(":")
        if colon:
            found.append((name.strip(), value.strip()))
    return found
