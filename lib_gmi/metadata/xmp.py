"""The few things that are looked for in an XMP packet. It is searched, never parsed as XML, whose
entities have filled memories before.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from .values import word

#: Characters of a packet.
MAX_PACKET = 4_000_000
_TOOL = re.compile(r'xmp:CreatorTool(?:="([^"<>]{1,200})"|>([^"<>]{1,200})<)')
_SOURCE = re.compile(r"DigitalSourceType[^<]{0,200}?/(\w{1,60})[\"'<]")


@dataclass
class Xmp:
    """Texts of an XMP packet.

    Attributes:
        comment: EXIF's user comment, which Apple's writers keep here.
        tool: the program that made the picture.
        source: IPTC's kind of digital source, such as ``trainedAlgorithmicMedia``.
        credit: whether it says "Made with Google AI".
    """

    comment: str | None = None
    tool: str | None = None
    source: str | None = None
    credit: str | None = None


def read_xmp(packet: str) -> Xmp:
    """What a packet says. Raises nothing."""
    found = Xmp()
    if len(packet) > MAX_PACKET:
        return found
    comment = _between(packet, "<exif:UserComment", "</exif:UserComment>")
    if comment is not None and "<rdf:li" in comment:
        comment = _between(comment, "<rdf:li", "</rdf:li>")
    found.comment = html.unescape(comment).strip() or None if comment else None
    tool = _TOOL.search(packet)
    found.tool = word(html.unescape(tool[1] or tool[2])) if tool else None
    source = _SOURCE.search(packet)
    found.source = source[1] if source else None
    found.credit = "Google AI" if "Made with Google AI" in packet else None
    return found


def _between(text: str, begin: str, end: str) -> str | None:
    """What stands between a tag and its end."""
    start = text.find(begin)
    start = text.find(">", start) if start >= 0 else -1
    stop = text.find(end, start) if start >= 0 else -1
    return text[start + 1 : stop] if stop > start else None
