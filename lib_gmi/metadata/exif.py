"""The few texts of an EXIF block that programs write into, and no other of its entries.

Pillow copies every entry of a block, and a block of a megabyte can name sixty thousand entries of a
megabyte each.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from .encodings import comment_text
from .values import word

#: Bytes of a block; ComfyUI writes whole graphs into those of WebP files.
MAX_BLOCK = 12_000_000
_MAX_ENTRIES = 2000
#: Bytes of one value that are decoded: four for each character of a long text.
_MAX_VALUE = 8_000_000

_DESCRIPTION, _MAKE, _MODEL, _SOFTWARE, _EXIF_IFD = 0x010E, 0x010F, 0x0110, 0x0131, 0x8769
_USER_COMMENT = 0x9286
#: ComfyUI begins at Model, or at Make, and counts downwards for each further text.
_COUNTED_DOWN = range(0x0100, _MODEL + 1)
#: Types whose values are bytes: byte, ASCII, undefined.
_BYTES = (1, 2, 7)
#: Exposure time, aperture, sensitivity, shutter speed, aperture value, focal length: cameras write
#: most of them, and programs that draw write none.
_EXPOSURE = {0x829A, 0x829D, 0x8827, 0x9201, 0x9202, 0x920A}
_ENOUGH_EXPOSURE = 2


@dataclass
class Exif:
    """Texts of an EXIF block.

    Attributes:
        comment: the user comment.
        camera: maker and model, if the block says how a camera exposed the picture.
        numbered: ComfyUI's, each with the name of what it holds before a colon.
    """

    comment: str | None = None
    description: str | None = None
    software: str | None = None
    camera: str | None = None
    numbered: list[str] = field(default_factory=list)


def read_exif(block: bytes) -> Exif:
    """The texts of a block as Pillow keeps it in ``image.info["exif"]``. Raises nothing."""
    found = Exif()
    block = block[: MAX_BLOCK + 6].removeprefix(b"Exif\0\0")
    if len(block) < 8 or block[:2] not in (b"II", b"MM"):
        return found
    order = "<" if block[:2] == b"II" else ">"
    try:
        main = _directory(block, order, struct.unpack_from(order + "I", block, 4)[0])
        inner = main.get(_EXIF_IFD)
        nested = _directory(block, order, inner[1]) if inner else {}
    except struct.error:
        return found
    # Fooocus writes into the main directory what belongs into the nested one
    found.comment = comment_text(_value(block, {**main, **nested}.get(_USER_COMMENT)))
    found.description = _plain(_value(block, main.get(_DESCRIPTION)))
    found.software = _plain(_value(block, main.get(_SOFTWARE)))
    for tag in reversed(_COUNTED_DOWN):
        text = _plain(_value(block, main.get(tag)))
        if text and ":" in text[:40]:
            found.numbered.append(text)
    found.camera = _photographed(main, nested, block)
    return found


_Entry = tuple[int, int, int]  # bytes, where they are or a number, type


def _directory(block: bytes, order: str, start: int) -> dict[int, _Entry]:
    """The entries whose values are bytes, the one that leads to the nested directory, and which
    of :data:`_EXPOSURE` are there."""
    (count,) = struct.unpack_from(order + "H", block, start)
    entries: dict[int, _Entry] = {}
    for number in range(min(count, _MAX_ENTRIES)):
        at = start + 2 + 12 * number
        if at + 12 > len(block):
            break
        tag, kind, size, where = struct.unpack_from(order + "HHII", block, at)
        if kind in _BYTES:
            entries.setdefault(tag, (size, where if size > 4 else at + 8, kind))
        elif tag == _EXIF_IFD:
            entries.setdefault(tag, (4, where, kind))
        elif tag in _EXPOSURE:
            entries.setdefault(tag, (0, 0, kind))
    return entries


def _value(block: bytes, entry: _Entry | None) -> bytes:
    if entry is None:
        return b""
    size, where, _kind = entry
    return block[where : where + min(size, _MAX_VALUE)]


def _plain(value: bytes) -> str | None:
    return value.rstrip(b"\0").decode("utf-8", "replace").strip() or None


def _photographed(main: dict[int, _Entry], nested: dict[int, _Entry], block: bytes) -> str | None:
    """Maker and model of a camera, where the block also says how the picture was exposed."""
    if len(_EXPOSURE & nested.keys()) < _ENOUGH_EXPOSURE:
        return None
    names = [word(_plain(_value(block, main.get(tag))), 100) for tag in (_MAKE, _MODEL)]
    if any(name is not None and "{" in name for name in names):
        return None  # ComfyUI's texts stand under the same numbers
    maker, model = names
    if maker and model and model.lower().startswith(maker.lower().split()[0]):
        maker = None
    return " ".join(filter(None, (maker, model))) or None
