"""The making that an infotext tells: AUTOMATIC1111, Forge, SD.Next, Civitai, Fooocus, savers."""

from __future__ import annotations

import re

from . import civitai
from .infotext import Infotext, hashes_in, parse
from .making import CheckpointMention, Making, Network, distinct, mention, network, settings_in
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


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(","))


#: Settings of the programs themselves that say nothing about other checkpoints or extra steps. What
#: is neither here nor above was written by an extension.
_OWN = (
    _names(  # of every program
        "steps, sampler, schedule type, scheduler, cfg scale, image cfg scale, seed, size, model,"
        "model hash, vae, denoising strength, clip skip, version, user, hashes, script"
    )
    | _names(  # AUTOMATIC1111 and Forge
        "fp8 weight, cache fp16 weight for lora, variation seed, variation strength,"
        "variation seed strength, seed resize from, conditional mask weight, ensd,"
        "token merging ratio, token merging ratio hr, rng, tiling, eta, pad conds, pad conds v0,"
        "discard penultimate sigma, emphasis, schedule min sigma, schedule max sigma, schedule rho,"
        "noise schedule, downcast alphas_cumprod, ngms, ngms all steps, skip early cfg,"
        "sgm noise multiplier, old prompt editing timelines, extra noise, noise multiplier, style,"
        "styles, ti, ti hashes, lora hashes, lora weights, hypernet, hypernet hash,"
        "hypernet strength, x values, y values, z values, fixed x values, fixed y values,"
        "fixed z values, diffusion in low bits, original size, distilled cfg scale, shift"
    )
    | _names(  # SD.Next
        "app, parser, backend, pipeline, comment, te, unet, operations, batch, index, embeddings,"
        "refine, mask weight, tome, todo, llm, original prompt, original negative"
    )
    | _names(  # stable-diffusion.cpp
        "sampler rng, custom sigmas, slg scale, skip layer, skip layers, skip layer start,"
        "skip layer end, skip layers start, skip layers end, uncond unet, extra sample args, sdcpp"
    )
    | _names("template, negative template")  # Dynamic Prompts: where the prompt came from
    | _names(  # Fooocus
        "performance, sharpness, adm guidance, adaptive cfg, overwrite switch, metadata scheme,"
        "raw prompt, raw negative prompt"
    )
    | _names(  # Civitai
        "created date, aspect ratio, base model, workflow, quantity, draft, process, guidance,"
        "fluxmode, experimental, disablepoi, engine"
    )
)
#: Their families of settings: one more word follows.
_FAMILIES = _names("cfg, vae, eta, sigma, clip, beta schedule, template, negative template")
#: And those of which anything may follow.
_BEGINNINGS = (
    "hypertile",
    "addnet ",
    "refiner",
    "resize ",
    "sampler ",
    "wildcard ",
    "civitai ",
)
#: What savers of ComfyUI write behind the number of a network.
_PLAIN = re.compile(r"[\w ]+")
#: The program by what its version begins with; Forge's own are f1, f2 and so on.
_BY_VERSION = {
    "stable-diffusion.cpp": "sd.cpp",
    "ComfyUI": "comfyui",
    "Fooocus": "fooocus",
    "neo": "forge",
    "forge": "forge",
    **{f"f{digit}": "forge" for digit in range(10)},
}
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
    networks = distinct(_networks(infotext, hashes))
    if not any(one.kind in ("lora", "lycoris") for one in networks):
        networks = distinct([*networks, *resources.networks])
    return Making(
        program=program,
        prompt=prompt_text(prompt),
        negative=prompt_text(negative),
        checkpoint=checkpoint,
        networks=networks,
        settings=settings_in(
            facts,
            seed="Seed",
            steps="Steps",
            cfg="CFG scale",
            sampler="Sampler",
            scheduler=("Schedule type", "Scheduler"),
            size="Size",
            clip_skip="Clip skip",
            vae="VAE",
            denoise=("Denoising strength", "Hires strength"),
        ),
        processes=processes,
        refiner=refiner,
    )


def _program(infotext: Infotext) -> str:
    version, app = infotext.facts.get("Version", ""), infotext.facts.get("App", "")
    if "sd.next" in app.lower():
        return "sdnext"
    for begin, program in _BY_VERSION.items():
        if version.startswith(begin):
            return program
    if "ADM Guidance" in infotext.facts:
        return "fooocus"
    if "Civitai resources" in infotext.objects or "Created Date" in infotext.facts:
        return "civitai"
    return "a1111"


def _processes(infotext: Infotext, program: str) -> frozenset[str]:
    found: set[str] = set()
    for name in (key.lower() for key in infotext.facts if infotext.switched_on(key)):
        process = next((done for prefix, done in _BY_PREFIX if name.startswith(prefix)), None)
        if process is not None:
            found.add(process)
        elif not _is_own(name):
            found.add("extension")
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


def _is_own(name: str) -> bool:
    """Whether one of the programs themselves writes a setting of this name."""
    if name in _OWN or name.startswith(_BEGINNINGS):
        return True
    family, _, word = name.rpartition(" ")
    if family in _FAMILIES:
        return word.replace("_", "a").isalnum()
    if family == "module":
        return word.isdecimal()
    numbered, _, rest = name.partition(" ")
    kind, _, number = numbered.partition("_")
    return kind in ("lora", "embedding") and number.isdecimal() and bool(_PLAIN.fullmatch(rest))


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
