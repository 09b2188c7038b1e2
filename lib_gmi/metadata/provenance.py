"""Who made a picture, where a file has no making but says that: a service, or a camera.

Content credentials (C2PA 2.1, A.3) stand in a box of JUMBF: in ``caBX`` of PNG files, ``APP11`` of
JPEG files and ``C2PA`` of WebP files. Their signature is not checked: nothing is granted to what
they say, and a box is only searched for the words that say what kind of source made the picture
(cv.iptc.org/newscodes/digitalsourcetype).
"""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING

from .making import Making
from .values import word

if TYPE_CHECKING:
    from PIL import Image

    from .reading import Texts

#: Bytes of a box that are searched, and segments of a file that are looked at.
_MAX_BOX = 400_000
_MAX_SEGMENTS = 10_000
_DRAWN = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia")
_TAKEN = ("digitalCapture", "computationalCapture")
#: As a box names them, and what people call them.
_SERVICES = (
    ("ChatGPT", "ChatGPT"),
    ("OpenAI", "OpenAI"),
    ("Firefly", "Adobe Firefly"),
    ("Google", "Google AI"),
    ("Bing", "Bing Image Creator"),
    ("Microsoft", "Microsoft Designer"),
    ("Midjourney", "Midjourney"),
    ("Stability", "Stability AI"),
    ("Black Forest Labs", "Black Forest Labs"),
    ("ByteDance", "ByteDance"),
    ("Canva", "Canva"),
)
#: Midjourney's PNG files end their description so.
_MIDJOURNEY = " Job ID: "


def read(texts: Texts, image: Image.Image, file: IO[bytes] | None) -> Making | None:
    """The service or the camera that a file names, or ``None``.

    Raises:
        OSError: the file cannot be read.
    """
    description = texts.named.get("Description", "")
    if _MIDJOURNEY in description[-200:]:
        return _service("Midjourney")
    box = _box(image, file)
    text = box.decode("latin-1")
    sources = [name for name in (*_DRAWN, *_TAKEN) if name in text or name == texts.xmp.source]
    if any(name in _DRAWN for name in sources) or texts.xmp.credit:
        named = next((name for sign, name in _SERVICES if sign in text), None)
        return _service(named or texts.xmp.credit or texts.xmp.tool)
    if sources or texts.exif.camera:
        return Making("camera", made_by=word(texts.exif.camera))
    return None


def _service(name: str | None) -> Making:
    return Making("service", made_by=word(name), processes=frozenset({"service"}))


def _box(image: Image.Image, file: IO[bytes] | None) -> bytes:
    """The content credentials of a file."""
    for chunk in getattr(image, "private_chunks", None) or ():
        if chunk[0] == b"caBX":
            return bytes(chunk[1][:_MAX_BOX])
    parts = [
        segment
        for name, segment in getattr(image, "applist", None) or ()
        if name == "APP11" and segment[:2] == b"JP"
    ]
    if parts:
        return b"".join(parts)[:_MAX_BOX]
    return _riff(file) if image.format == "WEBP" and file is not None else b""


def _riff(file: IO[bytes]) -> bytes:
    """The chunk of a WebP file."""
    file.seek(12)
    for _ in range(_MAX_SEGMENTS):
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind == b"C2PA":
            return file.read(min(length, _MAX_BOX))
        file.seek(length + length % 2, 1)
    return b""
