"""NovelAI's metadata: a JSON comment, as a text of the file or in the bits of its alpha channel."""

from __future__ import annotations

import re

from .making import Making
from .program import Facts, Program
from .reading import Texts
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
    told = {**comment, "Source": source, "Description": named.get("Description")}
    return _NOVELAI.read(told)


def from_hidden(data: Facts) -> Making | None:
    """The making that the alpha channel hides: the texts of the file as one object."""
    comment = loads(data.get("Comment"))
    if not isinstance(comment, dict):
        return None
    told = {name: data.get(name) for name in ("Source", "Description")}
    return _NOVELAI.read({**comment, **told})


def _facts(comment: Facts) -> Facts:
    asked = str(comment.get("request_type", ""))[:200]
    painted = "Infill" in asked
    begun = painted or "Img2Img" in asked or (not asked and comment.get("strength") is not None)
    # of newer images: reference images ("vibes"), and characters with their own prompts and places
    referred = any(key.startswith(_REFERENCES) and items(comment[key]) for key in comment)
    caption = mapping(mapping(comment.get("v4_prompt")).get("caption"))
    characters = [
        mapping(entry).get("char_caption") for entry in items(caption.get("char_captions"))
    ]
    named = [text for text in characters if isinstance(text, str) and text.strip()]
    source, prompt = comment["Source"], comment.get("prompt")
    titled = _SOURCE.fullmatch(source.strip()) if isinstance(source, str) else None
    prompt = prompt if isinstance(prompt, str) and prompt.strip() else comment["Description"]
    if isinstance(prompt, str) and named:
        prompt = ", ".join([prompt, *named])
    return {
        **comment,
        "prompt": prompt,
        "model": titled and titled[1],
        "hash": titled and titled[2],
        "begun": begun,
        "painted": painted,
        "referred": referred,
        "characters": named,
    }


_NOVELAI = Program(
    "novelai",
    frozenset(),
    frozenset({"prompt"}),
    {
        "negative": "uc",
        "hash": "hash",
        "cfg": "scale",
        "scheduler": "noise_schedule",
        "denoise": "strength",
    },
    {
        "begun": "img2img",
        "painted": "inpaint",
        "referred": "extension",
        "controlnet_model": "extension",
        "characters": "regional",
    },
    _facts,
    tagged=False,
    wordless=True,
)
