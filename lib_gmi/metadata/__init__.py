"""What an image file says about its own making: prompt, checkpoint, networks, settings.

Files come from anywhere, so whatever they hold is only ever read as text, and no more of it than
the making of an image can need. Nothing here raises because of a file. See ``docs/metadata.md``.
"""

from __future__ import annotations

import io
import re
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..base.files import open_regular
from .making import CheckpointMention, Making, MakingSettings, Network
from .text import MAX_PROMPT, plain_prompt, prompt_text
from .values import file_stem, loads

if TYPE_CHECKING:
    from PIL import Image

    from .reading import Texts

__all__ = [
    "MAX_PROMPT",
    "CheckpointMention",
    "Making",
    "MakingSettings",
    "Network",
    "making_in",
    "making_of",
    "plain_prompt",
    "prompt_in",
    "prompt_of",
    "read_making",
    "sidecar_making",
]


def making_of(image: Image.Image) -> Making | None:
    """What an image's own metadata say about its making.

    Args:
        image: as it was opened; a copy in another mode has lost what the file said. It is decoded
            only if its header says nothing.

    Returns:
        The making, or ``None`` if nothing is said. Never raises because of the image.
    """
    from . import provenance
    from .reading import texts_of

    with suppress(Exception):  # a stranger's file: whatever is wrong with it, it says nothing
        texts = texts_of(image)
        return _told(texts) or _hidden(image, True) or provenance.read(texts, image, None)
    return None


def read_making(path: Path) -> Making | None:
    """What an image file says about its making; its pixels are decoded only for an alpha channel.

    Returns:
        The making, or ``None`` if nothing is said or the file is no image; pipes and devices are
        not opened. Never raises because of the file.
    """
    with suppress(Exception), open_regular(path) as file:
        return _read(file)
    return None


def making_in(content: bytes) -> Making | None:
    """What a file's content says about its making. Never raises because of it."""
    with suppress(Exception):
        return _read(io.BytesIO(content))
    return None


def sidecar_making(path: Path) -> Making | None:
    """What the files beside an image or a checkpoint say: ``.json``, ``.civitai.info``, ``.txt``.

    Args:
        path: the image or the checkpoint, not the file beside it.

    Returns:
        The making; of a checkpoint it holds the checkpoint (or, of a LoRA, the network) and nothing
        else. ``None`` if nothing is said. Never raises because of a file.
    """
    from . import sidecars

    with suppress(Exception):
        return sidecars.read(path)
    return None


def prompt_of(image: Image.Image) -> str | None:
    """The prompt that an image's own metadata names, without the rest of its settings.

    Args:
        image: as it was opened; a copy in another mode has lost what the file said.

    Returns:
        The prompt, at most :data:`MAX_PROMPT` characters, or ``None`` if there is none.
    """
    from .infotext import MAX_INFOTEXT
    from .reading import texts_of

    making = making_of(image)
    if making is not None:
        return making.prompt
    with suppress(Exception):
        texts = texts_of(image)
        found = texts.named.get("parameters") or texts.named.get("Parameters") or texts.exif.comment
        return prompt_in((found or "")[:MAX_INFOTEXT])
    return None


def prompt_in(infotext: str) -> str | None:
    """The prompt in such a text, or ``None``."""
    from .infotext import MAX_INFOTEXT, parse

    return None if _is_json(infotext) else prompt_text(parse(infotext[:MAX_INFOTEXT]).prompt)


def _read(file: BinaryIO) -> Making | None:
    """What an opened file says."""
    from PIL import Image

    from . import provenance
    from .png import late_texts
    from .reading import named_texts, texts_of

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(file) as image:
            texts = texts_of(image)
            making = _told(texts)
            if making is None and image.format == "PNG":
                at = file.tell()  # Pillow goes on from here if pixels are needed
                making = _told(named_texts(late_texts(file)))
                file.seek(at)
            return making or _hidden(image) or provenance.read(texts, image, file)


def _told(texts: Texts) -> Making | None:
    """What the texts of a file say, by the first of the formats that says anything."""
    from . import a1111, comfyui, flat, invokeai, novelai

    if not texts:
        return None
    making = novelai.read(texts) or invokeai.read(texts) or flat.read(texts)
    if making is not None:
        return making
    making = comfyui.read(texts)
    written = None
    candidates = ("parameters", "Parameters", "comment", "Comment")
    for text in (*map(texts.named.get, candidates), texts.exif.comment, texts.exif.description):
        if text is not None and not _is_json(text):
            written = a1111.read(text)
            if written is not None:
                break
    making = written if making is None else _filled(making, written)
    after = texts.named.get("postprocessing", texts.named.get("extras"))
    if making is not None and after:
        # what AUTOMATIC1111's Extras tab did afterwards, from the settings that it adds
        done = "upscale" if "pscale" in after[:2000] else "extension"
        making = replace(making, processes=making.processes | {done})
    return making


def _is_json(text: str) -> bool:
    """Whether a text is a program's object, and not a prompt that begins like one."""
    start = text.lstrip("\ufeff \t\r\n")[:40]
    return start[:1] == "{" and (isinstance(loads(text), dict) or _GRAPH.match(start) is not None)


def _filled(graph: Making, written: Making | None) -> Making:
    """A graph and the infotext that one of its nodes wrote: the graph says what was done, the text
    knows hashes, and values that were only known when the graph ran."""
    from .comfyui import CONTESTED

    if written is None or graph.processes & CONTESTED:
        return graph  # the nodes that write such texts take the first checkpoint of the graph
    told, settings = written.checkpoint, graph.settings
    checkpoint = graph.checkpoint or told
    if graph.checkpoint is not None and told is not None and _same(graph.checkpoint, told):
        checkpoint = replace(
            graph.checkpoint,
            hashes=graph.checkpoint.hashes or told.hashes,
            version_id=graph.checkpoint.version_id or told.version_id,
        )
    known = {key: value for key, value in vars(settings).items() if value is not None}
    return replace(
        graph,
        prompt=graph.prompt or written.prompt,
        negative=graph.negative or written.negative,
        checkpoint=checkpoint,
        networks=graph.networks or written.networks,
        settings=replace(written.settings, **known),
        processes=graph.processes | written.processes,
    )


def _same(one: CheckpointMention, other: CheckpointMention) -> bool:
    """Whether two names are one file's: folders and suffixes are written or not."""
    stem = file_stem(one.name or "")
    return bool(stem) and stem == file_stem(other.name or "")


#: A graph that is too large to be read is still no prompt.
_GRAPH = re.compile(r'\{\s{0,9}"[^"]{1,20}": ?\{\s{0,9}"(?:inputs|class_type)')


def _hidden(image: Image.Image, colours: bool = False) -> Making | None:
    """What the pixels hide. Of the colours only where somebody asks about this very image: whole
    folders of photographs would have to be decoded for them."""
    from . import a1111, flat, novelai
    from .stealth import stealth_text

    text = stealth_text(image, colours)
    if not text:
        return None
    data = loads(text)
    if not isinstance(data, dict):
        return a1111.read(text)
    return flat.of_json(data) or novelai.from_hidden(data)
