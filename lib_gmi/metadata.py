"""What an image file says about its own making: the prompt, as AUTOMATIC1111 and its kin write it.

Files come from anywhere, so whatever they hold is only ever read as text, and no more of it than
a prompt can need. Nothing here raises because of a file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

#: Characters of a prompt, as the API takes it.
MAX_PROMPT = 5000
#: Characters of a text that are looked at, and bytes of the binary block that may hold one.
_MAX_TEXT = 50_000
_MAX_BYTES = 2 * _MAX_TEXT
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_NEGATIVE = "Negative prompt:"
#: "Steps: 20, Sampler: Euler a, CFG scale: 7": three settings make a line of settings.
_SETTING = re.compile(r'(?:^|,)\s{0,4}[A-Z][\w /]{0,30}:\s?(?:"[^"]{0,2000}"|[^,"]{1,300})')
#: LoRAs and the like are names of files, not words.
_NETWORK = re.compile(r" ?<(?:lora|lyco|hypernet):[^<>]{0,200}>", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def prompt_of(image: Image.Image) -> str | None:
    """The prompt that an image's own metadata names, without the rest of its settings.

    Args:
        image: as it was opened; a copy in another mode has lost what the file said.

    Returns:
        The prompt, at most :data:`MAX_PROMPT` characters, or ``None`` if there is none.
    """
    return prompt_in(infotext_of(image) or "")


def infotext_of(image: Image.Image) -> str | None:
    """Prompt and settings as one text: from a PNG's ``parameters``, or EXIF's user comment."""
    for key in ("parameters", "Parameters"):
        found = image.info.get(key)
        if isinstance(found, str) and found.strip():
            return found[:_MAX_TEXT]
    try:
        comment: Any = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except Exception:  # damaged EXIF can raise almost anything
        return None
    if isinstance(comment, str):
        return comment[:_MAX_TEXT]
    return _decoded(comment[:_MAX_BYTES]) if isinstance(comment, bytes) else None


def prompt_in(infotext: str) -> str | None:
    """The prompt in such a text, or ``None``."""
    lines = _UNPRINTABLE.sub("", infotext[:_MAX_TEXT].replace("\r\n", "\n")).strip().split("\n")
    if len(_SETTING.findall(lines[-1][:5000])) >= 3:
        lines.pop()
    kept: list[str] = []
    for line in lines:
        if line.strip().startswith(_NEGATIVE):
            break
        kept.append(line.strip())
    words = re.sub(r",[ ,]*,", ",", _NETWORK.sub("", "\n".join(kept))).strip(" ,\n")
    return words[:MAX_PROMPT] or None


def _decoded(comment: bytes) -> str | None:
    """EXIF names the encoding in eight bytes; of UTF-16, both orders are out there."""
    head, text = comment[:8], comment[8:]
    if head == b"UNICODE\0":
        # most letters of a prompt are ASCII: their zeros tell where the high byte is
        big = text[0::2].count(0) >= text[1::2].count(0)
        decoded = text.decode("utf-16-be" if big else "utf-16-le", "ignore")
    elif head in (b"ASCII\0\0\0", bytes(8)):
        decoded = text.decode("utf-8", "ignore")
    else:
        return None
    return decoded.lstrip("\ufeff").rstrip("\0") or None
