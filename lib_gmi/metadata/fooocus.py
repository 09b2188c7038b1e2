"""Fooocus' own scheme: one JSON object. Its other scheme is an infotext."""

from __future__ import annotations

import re
from typing import Any

from .making import Making, Network, distinct, mention, network, settings_in
from .reading import Texts
from .text import networks_in, prompt_text
from .values import first, items, loads

_RESOLUTION = re.compile(r"\(?(\d{1,6}), ?(\d{1,6})\)?")
_WEIGHTED = re.compile(r"(.{1,300}?) : (-?\d{1,3}(?:\.\d{0,6})?)")


def read(texts: Texts) -> Making | None:
    """The making, or ``None`` where this is not Fooocus' JSON."""
    for text in (texts.named.get("parameters"), texts.exif.comment, texts.named.get("Comment")):
        if text is None or not text.lstrip().startswith("{"):
            continue
        making = of_json(loads(text))
        if making is not None:
            return making
    return None


def of_json(data: Any) -> Making | None:
    """The making that such an object tells, or ``None``."""
    if not isinstance(data, dict):
        return None
    # its log, and Fooocus-MRE, write "Base Model" for base_model
    facts = {str(key)[:100].lower().replace(" ", "_"): data[key] for key in list(data)[:500]}
    if "prompt" not in facts or not facts.keys() & {"base_model", "base_model_name"}:
        return None
    return _read(facts)


def _read(facts: dict[str, Any]) -> Making:
    prompt = facts["prompt"]
    if not isinstance(prompt, str) or not prompt.strip():
        prompt = _joined(facts.get("full_prompt"))
    negative = first(facts.get("negative_prompt"), facts.get("negative"))
    refiner = mention(facts.get("refiner_model"), facts.get("refiner_model_hash"))
    processes = {"refiner"} if refiner else set()
    if any(key.startswith("inpaint") and facts[key] for key in facts):
        processes |= {"img2img", "inpaint"}
    size = _RESOLUTION.fullmatch(str(facts.get("resolution", ""))[:40])
    return Making(
        program="fooocus",
        prompt=prompt_text(prompt),
        negative=prompt_text(negative),
        checkpoint=mention(
            first(facts.get("base_model"), facts.get("base_model_name")),
            facts.get("base_model_hash"),
        ),
        networks=_networks(facts, prompt),
        settings=settings_in(
            {**facts, **({"width": size[1], "height": size[2]} if size else {})},
            "seed steps scheduler width height clip_skip vae",
            cfg=("guidance_scale", "cfg"),
            sampler=("sampler", "sampler_name"),
        ),
        processes=frozenset(processes),
        refiner=refiner,
    )


def _networks(facts: dict[str, Any], prompt: str | None) -> tuple[Network, ...]:
    found: list[Network | None] = []
    for entry in items(facts.get("loras")):
        parts = items(entry)
        if len(parts) == 3:
            found.append(network("lora", parts[0], parts[1], parts[2]))
    for key in facts:
        # an earlier scheme: "lora_combined_1": "name : 0.5"
        if key.startswith(("lora_combined_", "lora_")):
            weighted = _WEIGHTED.fullmatch(str(facts[key])[:400])
            if weighted:
                found.append(network("lora", weighted[1], weighted[2]))
    return distinct([*found, *networks_in(prompt)])


def _joined(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return ", ".join(part for part in items(value) if isinstance(part, str)) or None
