"""Texts of a PNG file that stand after its pixels, read without decoding those.

exiftool puts them there, and so does ComfyUI for animations. Pillow finds them only once it has
decoded the whole image.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO

from .values import MAX_JSON

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Chunks of a file that are looked at; a writer may cut the pixels into small ones.
_MAX_CHUNKS = 100_000
#: Bytes of one text, and of all together.
_MAX_CHUNK = 2 * MAX_JSON
_MAX_TOTAL = 4 * MAX_JSON


def late_texts(file: IO[bytes]) -> dict[str, str | bytes]:
    """By keyword; ``exif`` is the EXIF block. Empty for what is no PNG file.

    Raises:
        OSError: the file cannot be read.
    """
    found: dict[str, str | bytes] = {}
    file.seek(0)
    if file.read(8) != _SIGNATURE:
        return found
    total = 0
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND" or length > 0x7FFFFFFF:
            break
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"comf", b"eXIf") or length > _MAX_CHUNK:
            file.seek(length + 4, 1)
            continue
        total += length
        if total > _MAX_TOTAL:
            break
        data = file.read(length)
        file.seek(4, 1)
        if kind == b"eXIf":
            found.setdefault("exif", data)
            continue
        keyword, _, rest = data.partition(b"\0")
        text = _text(kind, rest)
        if text is not None and len(keyword) < 80:
            found.setdefault(keyword.decode("latin-1"), text)
    return found


def _text(kind: bytes, rest: bytes) -> str | None:
    if kind in (b"tEXt", b"comf"):
        return rest.decode("latin-1")
    if kind == b"zTXt":
        inflated = inflate(rest[1:])
        return None if inflated is None else inflated.decode("latin-1")
    compressed, (_language, _, rest) = rest[:1] == b"\1", rest[2:].partition(b"\0")
    content: bytes | None = rest.partition(b"\0")[2]
    if compressed and content is not None:
        content = inflate(content)
    return None if content is None else content.decode("utf-8", "ignore")


def inflate(data: bytes, bits: int = zlib.MAX_WBITS) -> bytes | None:
    """At most :data:`~.values.MAX_JSON` bytes; ``None`` where they are more, or damaged."""
    try:
        inflater = zlib.decompressobj(bits)
        content = inflater.decompress(data, MAX_JSON)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else content
