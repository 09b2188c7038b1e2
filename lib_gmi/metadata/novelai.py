"""NovelAI's metadata: a JSON comment, as a text of the file or in the bits of its alpha channel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .making import Making, mention, settings_in
from .reading import Texts
from .text import prompt_text
from .values import items, loads, mapping

#: Lists of reference images, and of what is to be taken of them.
_REFERENCES = ("reference_", "director_reference_")
#: "NovelAI Diffusion V4.5 4BDE2A90"
_SOURCE = re.compile(r"(.{1,200}?)(?: ([0-9A-F]{8,10}))?")


def read(texts: Texts) -> Making | None:
    """The making, or ``None`` where NovelAI wrote nothing."""
    named = texts.named
    software = named.get("Software", texts.exif.software or "")
    comment = loads(named.get("Comment", texts.exif.comment))
    source = named.get("Source", texts.exif.software)
    if isinstance(comment, dict) and isinstance(comment.get("Comment"), str):
        # in WebP files all the texts of a PNG are packed into one
        source, software = comment.get("Source"), str(comment.get("Software", ""))
        comment = loads(comment["Comment"])
    if not isinstance(comment, dict):
        return None
    alike = {"uc", "sampler", "scale"} <= comment.keys() and "c" not in comment  # Draw Things' is
    if "NovelAI" not in software[:100] and not alike:
        return None
    return _read(comment, source, named.get("Description"))


def from_hidden(data: Mapping[str, Any]) -> Making | None:
    """The making that the alpha channel hides: the texts of the file as one object."""
    comment = loads(data.get("Comment"))
    if not isinstance(comment, dict):
        return None
    return _read(comment, data.get("Source"), data.get("Description"))


def _read(comment: Mapping[str, Any], source: Any, description: Any) -> Making:
    processes: set[str] = set()
    asked = str(comment.get("request_type", ""))[:200]
    if "Img2Img" in asked or (not asked and comment.get("strength") is not None):
        processes.add("img2img")
    if "Infill" in asked:
        processes |= {"img2img", "inpaint"}
    # of newer images: reference images ("vibes"), and characters with their own prompts and places
    referred = any(key.startswith(_REFERENCES) and items(comment[key]) for key in comment)
    if referred or comment.get("controlnet_model"):
        processes.add("extension")
    caption = mapping(mapping(comment.get("v4_prompt")).get("caption"))
    characters = [
        mapping(entry).get("char_caption") for entry in items(caption.get("char_captions"))
    ]
    named = [text for text in characters if isinstance(text, str) and text.strip()]
    if named:
        processes.add("regional")
    titled = _SOURCE.fullmatch(source.strip()) if isinstance(source, str) else None
    prompt = comment.get("prompt")
    prompt = prompt if isinstance(prompt, str) and prompt.strip() else description
    if isinstance(prompt, str) and named:
        prompt = ", ".join([prompt, *named])
    return Making(
        program="novelai",
        prompt=prompt_text(prompt),
        negative=prompt_text(comment.get("uc")),
        checkpoint=mention(titled[1], titled[2]) if titled else None,
        settings=settings_in(
            comment,
            cfg="scale",
            scheduler="noise_schedule",
            denoise="strength",
        ),
        processes=frozenset(processes),
    )
