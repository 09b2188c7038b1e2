"""The texts that an image file carries, by where they stand in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .exif import Exif, read_exif
from .values import MAX_JSON
from .xmp import MAX_PACKET, Xmp, read_xmp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

#: The keys of Easy Diffusion's JSON files, by its names for them in text files and in PNG files
#: beside those.
EASY_NAMES = {
    "Prompt": "prompt",
    "Negative Prompt": "negative_prompt",
    "Seed": "seed",
    "Stable Diffusion model": "use_stable_diffusion_model",
    "Clip Skip": "clip_skip",
    "ControlNet model": "use_controlnet_model",
    "VAE model": "use_vae_model",
    "Sampler": "sampler_name",
    "Scheduler": "scheduler_name",
    "Width": "width",
    "Height": "height",
    "Steps": "num_inference_steps",
    "Guidance Scale": "guidance_scale",
    "Prompt Strength": "prompt_strength",
    "LoRA model": "use_lora_model",
    "LoRA Strength": "lora_alpha",
    "Hypernetwork model": "use_hypernetwork_model",
    "Hypernetwork Strength": "hypernetwork_strength",
    "Embedding models": "use_embeddings_model",
    "Seamless Tiling": "tiling",
    "Use Face Correction": "use_face_correction",
    "Use Upscaling": "use_upscale",
}
EASY_KEYWORDS = (*EASY_NAMES, *EASY_NAMES.values())
#: Keywords of PNG texts that any format is read from; others are not even copied.
_KEYWORDS = (
    "parameters",
    "Parameters",
    "prompt",
    "workflow",
    "postprocessing",
    "extras",
    "invokeai_metadata",
    "sd-metadata",
    "Dream",
    "Comment",
    "Description",
    "Software",
    "Source",
    "fooocus_scheme",
    "comment",
    "generation_data",  # TensorArt
    *EASY_KEYWORDS,
)
#: Begins a JPEG file's segment with a packet; older Pillows keep only the segments.
_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
#: Where Pillow keeps a packet, by format.
_PACKETS = ("XML:com.adobe.xmp", "xmp")


@dataclass
class Texts:
    """Texts of one image file.

    Attributes:
        named: by PNG keyword; ``comment`` is also the comment of a GIF or JPEG file.
        exif: those of the EXIF block.
        xmp: those of the XMP packet.
        size: of the image, width and height.
    """

    named: dict[str, str] = field(default_factory=dict)
    exif: Exif = field(default_factory=Exif)
    xmp: Xmp = field(default_factory=Xmp)
    size: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        known = self.exif.comment or self.exif.description or self.exif.numbered
        return bool(self.named or known or self.xmp.comment)


def texts_of(image: Image.Image) -> Texts:
    """What Pillow read of an image's header; no pixel is decoded."""
    info = image.info if isinstance(image.info, dict) else {}
    texts = named_texts(info)
    texts.size = image.size
    for name, segment in getattr(image, "applist", None) or ():
        if name == "APP1" and segment.startswith(_XMP_SEGMENT) and texts.xmp == Xmp():
            texts.xmp = read_xmp(segment[len(_XMP_SEGMENT) : MAX_PACKET].decode("utf-8", "ignore"))
    return texts


def named_texts(info: Mapping[Any, Any]) -> Texts:
    """Those texts of a mapping that a format is read from."""
    texts = Texts()
    for keyword in _KEYWORDS:
        value = info.get(keyword)
        if isinstance(value, bytes):
            value = value[:MAX_JSON].decode("utf-8", "ignore")
        # a text that is too long is skipped: half a graph says nothing true
        if isinstance(value, str) and len(value) <= MAX_JSON and value.strip():
            texts.named[keyword] = mended(str(value))
    block = info.get("exif")
    if isinstance(block, bytes):
        texts.exif = read_exif(block)
    for name in _PACKETS:
        packet = info.get(name)
        if isinstance(packet, bytes):
            packet = packet[: MAX_PACKET + 1].decode("utf-8", "ignore")
        if isinstance(packet, str):
            texts.xmp = read_xmp(str(packet))
    return texts


def mended(text: str) -> str:
    """Latin-1 that is really UTF-8, which some programs write into ``tEXt``."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
