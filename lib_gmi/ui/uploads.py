"""The images that people ask about: sent once, and remembered for the questions that follow."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..base.errors import ImageError, RequestError
from ..base.recent import Recent
from ..metadata import making_in
from ..routes.fields import MAX_IMAGES, MAX_UPLOAD

if TYPE_CHECKING:
    from PIL import Image

    from ..metadata import Making

#: Bytes of files that are remembered: two questions of the largest size.
KEPT_FILES = 2 * MAX_UPLOAD
#: Bytes of decoded pixels that are remembered: eight usual images, or three of the largest.
KEPT_PIXELS = 160 << 20
_MAX_KEY = 64


class UnknownImageError(Exception):
    """An image is not remembered any more; the page has to send it again."""


@dataclass(frozen=True)
class Upload:
    """An image as it was sent.

    Attributes:
        content: the file. Pixels are many times larger, and are read anew when they are needed.
    """

    content: bytes

    @property
    def image(self) -> Image.Image:
        """As it is ranked: RGB, upright."""
        return _read(self.content)

    @property
    def making(self) -> Making | None:
        """What its metadata say about its making."""
        return making_in(self.content)

    def original(self) -> Image.Image:
        """The image with its metadata; decoded only as far as that needs."""
        from PIL import Image

        return Image.open(io.BytesIO(self.content))


class Uploads:
    """See the module's docstring. For any thread."""

    def __init__(self) -> None:
        self._kept: Recent[str, Upload] = Recent(KEPT_FILES, lambda upload: len(upload.content))

    def read(self, sent: Any) -> list[Upload]:
        """Images of a question.

        Args:
            sent: a list of ``{"key": …, "data": data URL}``; without data it is a known one.

        Raises:
            RequestError: malformed, or too much.
            ImageError: an image cannot be read; the message says which.
            UnknownImageError: see there.
        """
        if not isinstance(sent, list) or not 1 <= len(sent) <= MAX_IMAGES:
            raise RequestError(f"Choose 1 to {MAX_IMAGES} images.")
        if not all(isinstance(image, dict) for image in sent):
            raise RequestError("The images are malformed.")
        if sum(len(str(image.get("data", ""))) for image in sent) > MAX_UPLOAD * 4 // 3:
            raise RequestError(f"The images are larger than {MAX_UPLOAD >> 20} MB together.")
        return self._all(sent)

    def _all(self, sent: Sequence[Mapping[str, Any]]) -> list[Upload]:
        return [self._one(image, number) for number, image in enumerate(sent, 1)]

    def _one(self, image: Mapping[str, Any], number: int) -> Upload:
        key, data = image.get("key"), image.get("data")
        if not isinstance(key, str) or not 16 <= len(key) <= _MAX_KEY:
            raise RequestError("The images are malformed.")
        if not isinstance(data, str):
            known = self._kept.get(key)
            if known is None:
                raise UnknownImageError
            return known
        upload = self._decoded(data, number)
        self._kept.put(key, upload)
        return upload

    def _decoded(self, data: str, number: int) -> Upload:
        _, comma, text = data.partition(",")
        try:
            content = base64.b64decode(text if comma else data, validate=True)
        except (binascii.Error, ValueError):
            raise RequestError(f"Image {number} is not valid base64.") from None
        try:
            _read(content)
        except ImageError as error:
            raise ImageError(f"Image {number}: {str(error).removeprefix('image: ')}") from None
        return Upload(content)


def _bytes_of(image: Image.Image) -> int:
    return image.width * image.height * len(image.getbands())


_pixels: Recent[bytes, Image.Image] = Recent(KEPT_PIXELS, _bytes_of)


def _read(content: bytes) -> Image.Image:
    from ..base.images import decode_image

    key = sha256(content).digest()
    image = _pixels.get(key)
    if image is None:
        image = decode_image(content)
        _pixels.put(key, image)
    return image
