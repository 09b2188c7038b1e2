"""The fields of a request: their types and limits, and what is said where a value breaks them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.errors import RequestError
from ..base.images import decode_image

if TYPE_CHECKING:
    from PIL import Image

#: Bytes of all images of one query together, or of a pack, as files.
MAX_UPLOAD = 64 << 20
MAX_IMAGES = 8
MAX_PROMPT = 5000
#: Characters of a part of an address, which web servers limit by themselves.
MAX_ADDRESS = 1 << 16
_TEXT = {"type": "string"}


@dataclass(frozen=True)
class Field:
    """One field of a request.

    Attributes:
        schema: of OpenAPI. A field that is ``nullable`` may be null, and is null by default.
        take: makes what a handler gets from what was sent, the field's name, and the handlers;
            raises :class:`.RequestError` where a value cannot be taken.
        default: what a handler gets where nothing was sent.
        upload: the field holds files, so that the request may be large.
    """

    schema: Mapping[str, Any]
    take: Callable[[Any, str, Any], Any]
    default: Any = None
    upload: bool = False

    @property
    def required(self) -> bool:
        """Whether a request without this field is refused."""
        return self.default is None and not self.schema.get("nullable")

    def openapi(self) -> dict[str, Any]:
        """:attr:`schema` with the default, without what is empty."""
        found = {**self.schema, "default": self.default}
        return {key: value for key, value in found.items() if value not in (None, "", ())}

    def read(self, given: Mapping[str, Any], key: str, handlers: Any) -> Any:
        """What a handler gets of a request.

        Raises:
            RequestError: the field is missing or malformed.
        """
        value = given.get(key)
        if value is None and self.schema.get("nullable"):
            return None
        if key not in given and not self.required:
            return self.default
        return self.take(value, key, handlers)


class Sent(NamedTuple):
    """An image that was sent: the file, and its pixels as RGB, upright."""

    content: bytes
    image: Image.Image


def field(what: str, good: Callable[[Any], bool], default: Any, kind: str, **schema: Any) -> Field:
    """A field whose value is passed on as it was sent.

    Args:
        what: it must be, for the error.
        good: whether a value is that.
        default: where nothing was sent; ``None`` if it has to be sent.
        kind: of the JSON value.
        schema: more of OpenAPI's.
    """

    def take(value: Any, key: str, handlers: Any) -> Any:
        if not good(value):
            raise RequestError(f"'{key}' must be {what}.")
        return value

    return Field({"type": kind, **schema}, take, default)


def text(description: str = "", limit: int = 500, default: str | None = "", **schema: Any) -> Field:
    """A text of at most ``limit`` characters."""
    return field(
        f"a text of at most {limit} characters",
        lambda value: isinstance(value, str) and len(value) <= limit,
        default,
        "string",
        description=description,
        maxLength=limit,
        **schema,
    )


def choice(names: Sequence[str], limit: int = 500) -> Field:
    """One of some names, by default the first."""
    plain = text(limit=limit, default=names[0], enum=list(names))

    def take(value: Any, key: str, handlers: Any) -> Any:
        if plain.take(value, key, handlers) not in names:
            raise RequestError(f"Unknown {key}. Known: {', '.join(names)}.")
        return value

    return replace(plain, take=take)


def whole(low: int, high: int, default: int | None = None) -> Field:
    """A whole number."""
    return field(
        f"a whole number from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
        default,
        "integer",
        minimum=low,
        maximum=high,
    )


def number(low: int, high: int, default: float, description: str) -> Field:
    """A number, whole or not."""
    return field(
        f"a number from {low} to {high}",
        lambda value: is_number(value) and low <= value <= high,
        default,
        "number",
        description=description,
        minimum=low,
        maximum=high,
    )


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def flag(description: str = "", default: bool | None = False) -> Field:
    """True or false."""
    what, kind = "true or false", "boolean"
    return field(what, lambda v: isinstance(v, bool), default, kind, description=description)


def mark(description: str = "") -> Field:
    """True; everything else that may be sent means false."""
    return replace(flag(description), take=lambda value, *_: value is True)


def texts(what: str, most: int, least: int = 0, limit: int | None = None, **schema: Any) -> Field:
    """A list of texts: ``least`` to ``most``, each of at most ``limit`` characters."""

    def good(value: Any) -> bool:
        strings = isinstance(value, list) and all(isinstance(each, str) for each in value)
        fits = strings and (limit is None or all(len(each) <= limit for each in value))
        return fits and least <= len(value) <= most

    sizes = {"minItems": least, "maxItems": most}
    return field(what, good, None if least else (), "array", items=_TEXT, **sizes, **schema)


def names(description: str, **schema: Any) -> Field:
    """Names of checkpoints."""
    return texts("a list of checkpoint names", 10_000, 1, description=description, **schema)


def images(least: int = 0) -> Field:
    """Images as base64 or data URLs; handlers get each as :class:`Sent`."""
    count = f"1 to {MAX_IMAGES}" if least else f"at most {MAX_IMAGES}"

    def take(value: Any, key: str, handlers: Any) -> list[Sent]:
        if not isinstance(value, list) or not least <= len(value) <= MAX_IMAGES:
            raise RequestError(f"'{key}' must be a list of {count} images.")
        if not all(isinstance(image, str) for image in value):
            raise RequestError(f"'{key}' must hold base64 texts or data URLs.")
        if sum(map(len, value)) > MAX_UPLOAD * 4 // 3:
            raise RequestError(f"The images are larger than {MAX_UPLOAD >> 20} MB together.")
        where = "" if least else f" of '{key}'"  # a request may hold several optional lists
        files = [
            from_base64(image, f"Image {number}{where}") for number, image in enumerate(value, 1)
        ]
        return [
            Sent(file, decode_image(file, f"image {number}{where}"))
            for number, file in enumerate(files, 1)
        ]

    items = {"type": "string", "description": "base64, or a data URL"}
    schema = {"type": "array", "items": items, "minItems": least, "maxItems": MAX_IMAGES}
    return Field(schema, take, None if least else (), upload=True)


def file(what: str, too_large: str) -> Field:
    """A file as base64 or a data URL; handlers get its bytes.

    Args:
        what: the file is, for errors.
        too_large: said of what is no text or larger than :data:`MAX_UPLOAD`.
    """

    def take(value: Any, key: str, handlers: Any) -> bytes:
        if not isinstance(value, str) or len(value) > MAX_UPLOAD * 4 // 3:
            raise RequestError(too_large)
        return from_base64(value, what)

    schema = {"type": "string", "description": "the file as base64, or a data URL"}
    return Field(schema, take, upload=True)


def from_base64(data: str, what: str) -> bytes:
    """The bytes of base64, or of a data URL.

    Args:
        data: as it was sent.
        what: it is, for the error.

    Raises:
        RequestError: it is neither.
    """
    _, comma, encoded = data.partition(",")
    try:
        return base64.b64decode(encoded if comma else data, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"{what} is not valid base64.") from None
