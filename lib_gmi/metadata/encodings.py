"""EXIF's user comment, in every encoding that programs write it in.

EXIF 2.32, 4.6.5, names the encoding in the first eight bytes, and calls UTF-16 "Unicode" without
saying in which order of bytes. Programs write both orders, whatever the order of the block is,
and UTF-8 behind the same marker; others write the marker of one encoding and another encoding, or
no marker. So the bytes decide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKER = 8
#: Bytes of a text that are decoded in several ways to see which of them is text.
_PART = 4_000
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\xff\xfe", "utf-16-le"),
)
#: What stands in any infotext or JSON, and in no other order of bytes: there the two characters are
#: halves of others.
_COMMON = re.compile(r'[,:] |": |"[,:]|\n| [a-z]')
_UNLIKELY = re.compile("[\ufffd\uff61-\uff9f\ue000-\uf8ff]")
#: exiftool and exiv2 write the marker as a word when a text goes through them.
_CHARSET = re.compile(rb'charset="?[A-Za-z0-9_-]{1,20}"? ')


def comment_text(value: bytes) -> str | None:
    """The text of a user comment, or ``None``."""
    head, text = value[:_MARKER], value[_MARKER:]
    name = head.rstrip(b"\0 ").upper()
    if name == b"UNICODE":
        decoded = decode(text)
    elif name in (b"ASCII", b""):
        decoded = decode(text, ("utf-8", "utf-16-be", "utf-16-le", "latin-1"))
    elif name == b"JIS":
        decoded = _japanese(text)
    else:
        # Fooocus and some others leave the marker out; anything may stand here
        charset = _CHARSET.match(value[:40])
        decoded = decode(value[charset.end() :] if charset else value)
        if charset is None and decoded[:1] != "{" and "Steps: " not in decoded[:100_000]:
            return None
    return decoded.lstrip("\ufeff").strip("\0") or None


def decode(text: bytes, encodings: Sequence[str] = ("utf-8", "utf-16-be", "utf-16-le")) -> str:
    """Text in whichever of these encodings it makes most sense in."""
    for mark, encoding in _BOMS:
        if text.startswith(mark):
            return text[len(mark) :].decode(encoding, "ignore")
    # prompts are in any language, but settings stand at the end
    parts = [text] if len(text) <= 2 * _PART else [text[:_PART], text[-_PART - len(text) % 2 :]]
    zeros = b"\0" in text.rstrip(b"\0")  # in hardly any text but UTF-16
    possible = [name for name in encodings if not (zeros and name in ("utf-8", "latin-1"))]
    if "utf-8" in possible and not _is_utf8(text):
        possible.remove("utf-8")
    best = max(possible, key=lambda name: _sense(parts, name), default="utf-8")
    return text.decode(best, "ignore")


def _sense(parts: list[bytes], encoding: str) -> tuple[int, int]:
    """How much a text looks like one, in an encoding."""
    decoded = "".join(part.decode(encoding, "ignore") for part in parts)
    strange = sum(not ("\n" <= sign < "\ud800" or sign > "\uf8ff") for sign in decoded)
    return len(_COMMON.findall(decoded)), sum(map(str.isascii, decoded)) - 2 * strange


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        # cut off within its last letter
        return error.start >= len(text) - 3 and error.start > 0
    return True


def _japanese(text: bytes) -> str:
    """What the marker ``JIS`` stands for, and what is written behind it instead."""
    for encoding in ("iso2022_jp",) if b"\x1b$" in text else ("utf-8",):
        try:
            return text.decode(encoding)
        except UnicodeDecodeError:
            continue
    # read as Shift JIS, EUC is full of the narrow letters that hardly anybody writes
    readings = [text.decode(encoding, "replace") for encoding in ("cp932", "euc_jp")]
    return min(readings, key=lambda reading: len(_UNLIKELY.findall(reading)))
