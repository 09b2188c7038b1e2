"""Samples as data URIs, small or whole.

Never as addresses: a program may want a login for those, or live below a path of a proxy.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import GMIError
from ..base.recent import Recent

if TYPE_CHECKING:
    from PIL import Image

#: Pixels of the longer side: about eight kilobytes each.
SIDE = 208
#: Bytes of them that are remembered.
KEPT_THUMBS = 16 << 20
#: Of a picture by itself.
LARGE = 1024
_QUALITY = 74


class Thumbs:
    """Makes data URIs of files, and remembers the small ones. For any thread."""

    def __init__(self) -> None:
        self._made: Recent[tuple[str, int], str] = Recent(KEPT_THUMBS, len)

    def small(self, path: Path) -> str | None:
        """A thumbnail; ``None`` if the file is gone or no image."""
        try:
            key = (str(path), path.stat().st_mtime_ns)
            known = self._made.get(key)
            if known is not None:
                return known
            from ..base.images import open_image

            made = shrunk(open_image(path))
        except (OSError, GMIError):
            return None
        self._made.put(key, made)
        return made

    def whole(self, path: Path) -> str | None:
        """The sample as it is kept; ``None`` if the file is gone."""
        try:
            return data_uri(path.read_bytes(), "webp")
        except OSError:
            return None

    def large(self, path: Path) -> str | None:
        """A picture of the user's own folders, as large as a page shows it; ``None`` if it cannot
        be read any more."""
        from ..search.pictures import small_copy

        try:
            return data_uri(small_copy(path, LARGE), "webp")
        except (OSError, GMIError):
            return None


def shrunk(image: Image.Image, side: int = SIDE) -> str:
    """A small WebP of an image, without anything that the image knows about itself."""
    from PIL import Image

    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY)
    return data_uri(buffer.getvalue(), "webp")


def data_uri(content: bytes, kind: str) -> str:
    """An image file as text."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
