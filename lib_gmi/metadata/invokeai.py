"""InvokeAI's metadata, of its three generations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .making import (
    CheckpointMention,
    Making,
    MakingSettings,
    Network,
    distinct,
    mention,
    network,
    settings_in,
)
from .reading import Texts
from .text import prompt_text
from .values import MAX_JSON, first, items, loads, mapping, prose, whole

#: Lists that are there when something steered the image.
_LISTS = {
    "controlnets": "controlnet",
    "t2iAdapters": "controlnet",
    "control_layers": "controlnet",
    "ipAdapters": "extension",
    "ref_images": "extension",
    "regions": "regional",
}
#: Options of the command line of version 1, and what each was for.
_OPTIONS = {"I": "img2img", "M": "inpaint", "G": "faces", "U": "upscale"}
#: Characters of a command line. The picture that was begun with may stand in it, in base 64.
_MAX_DREAM = MAX_JSON
_MAX_WORDS = 2000
_DREAM = re.compile(r'"([^"]{0,20000})"')
_OPTION = re.compile(r"-([A-Za-z])(.*)", re.DOTALL)
_BRACKETED = re.compile(r"\[([^\[\]]{0,20000})\]")


def read(texts: Texts) -> Making | None:
    """The making, or ``None`` where InvokeAI wrote nothing."""
    newest = loads(texts.named.get("invokeai_metadata"))
    if isinstance(newest, dict):
        return _newest(newest)
    older = loads(texts.named.get("sd-metadata"))
    if isinstance(older, dict):
        return _older(older)
    return _oldest(texts.named.get("Dream", "").strip())


def _newest(data: Mapping[str, Any]) -> Making | None:
    """Of version 3 and later, one flat object."""
    processes = {done for key, done in _LISTS.items() if items(data.get(key))}
    mode = str(data.get("generation_mode", ""))[:100]
    if mode.endswith("img2img") or data.get("init_image"):
        processes.add("img2img")
    if mode.endswith(("inpaint", "outpaint")):
        processes |= {"img2img", "inpaint"}
    if data.get("hrf_enabled") is True:
        processes.add("hires")
    if str(data.get("upscale_model") or data.get("upscale_initial_image") or ""):
        processes.add("upscale")
    refiner = _model(data.get("refiner_model"))
    if refiner is not None:
        processes.add("refiner")
    loras: list[Network | None] = []
    for entry in map(mapping, items(data.get("loras"))):
        named = _model(first(entry.get("model"), entry.get("lora")))
        if named is not None:
            sha = named.hashes[0] if named.hashes else None
            loras.append(network("lora", named.name, entry.get("weight"), sha))
    skipped = whole(data.get("clip_skip"), 0, 23)
    vae = _model(data.get("vae"))
    making = Making(
        program="invokeai",
        prompt=prompt_text(data.get("positive_prompt")),
        negative=prompt_text(data.get("negative_prompt")),
        checkpoint=_model(data.get("model")),
        networks=distinct(loras),
        settings=settings_in(
            {
                **data,
                # InvokeAI counts the layers that are skipped
                "clip_skip": None if skipped is None else skipped + 1,
                "vae": vae and vae.name,
            },
            cfg="cfg_scale",
            sampler="scheduler",
            scheduler="",
            denoise="strength",
        ),
        processes=frozenset(processes),
        refiner=refiner,
    )
    return making if making.prompt or making.checkpoint else None


def _model(value: Any) -> CheckpointMention | None:
    """A model's record. Its hash is BLAKE3's by default, which nobody else has: it is left out."""
    record = mapping(value)
    sha = record.get("hash")
    plain = isinstance(sha, str) and (":" not in sha or sha.startswith("sha256:"))
    return mention(first(record.get("name"), record.get("model_name")), sha if plain else None)


def _older(data: Mapping[str, Any]) -> Making | None:
    """Of version 2: an ``image`` in an object about the model."""
    # forks of version 1 keep a list, for grids
    images = [mapping(entry) for entry in items(data.get("images")) or [data.get("image")]]
    image = images[0]
    if not image:
        return None
    prompts = image.get("prompt")
    if isinstance(prompts, str):
        prompts = [{"prompt": prompts}]
    words = [mapping(entry).get("prompt") for entry in items(prompts)]
    kind = str(image.get("type", ""))[:40]
    return _combined(
        " ".join(text for text in words if isinstance(text, str)),
        {
            "img2img": kind == "img2img" or bool(image.get("init_image_path")),
            "inpaint": kind in ("inpaint", "outpaint"),
            "hires": image.get("hires_fix") is True,
            "grid": len(images) > 1,
            "faces": "gfpgan" in str(image.get("postprocessing"))[:2000],
            "upscale": "esrgan" in str(image.get("postprocessing"))[:2000],
        },
        mention(first(data.get("model_weights"), data.get("model_id")), data.get("model_hash")),
        settings_in(image, cfg="cfg_scale", denoise="strength"),
    )


def _oldest(text: str) -> Making | None:
    """Of version 1: the command line, ``"prompt [negative]" -s 50 -S 42 -W 512 -A k_lms``."""
    dream = _DREAM.match(text) if len(text) <= _MAX_DREAM else None
    if dream is None:
        return None
    options: dict[str, str] = {}
    name = ""
    for part in text[dream.end() :].split(maxsplit=_MAX_WORDS)[:_MAX_WORDS]:
        option = _OPTION.fullmatch(part)
        if option is not None:
            name = option[1]
            options[name] = option[2][:60]
        elif name and not options[name]:
            options[name] = part[:60]
    return _combined(
        dream[1],
        {done: option in options for option, done in _OPTIONS.items()},
        None,
        settings_in(
            options,
            seed="S",
            steps="s",
            cfg="C",
            sampler="A",
            width="W",
            height="H",
            denoise="f",
        ),
    )


def _combined(
    prompt: str,
    done: Mapping[str, bool],
    checkpoint: CheckpointMention | None,
    settings: MakingSettings,
) -> Making:
    """Both prompts stood in one text, the negative in brackets."""
    text = prose(prompt, 20_000) or ""
    return Making(
        program="invokeai",
        prompt=prompt_text(_BRACKETED.sub("", text)),
        negative=prompt_text(", ".join(_BRACKETED.findall(text))),
        checkpoint=checkpoint,
        settings=settings,
        processes=frozenset(name for name, was in done.items() if was),
    )
