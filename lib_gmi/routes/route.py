"""One row of the table of routes: a handler, with its address, its fields and what it is for.

:func:`route` and :func:`picture` turn a method into a row. All that is known of a route stands
there: both web servers register it, requests are checked by it before the method is called, and
``/docs`` describes it, with the method's docstring as the description.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from .fields import MAX_UPLOAD, Field

PREFIX = "/gmi/v1"
#: Bytes of requests that carry no files.
MAX_BODY = 4 << 20

T = TypeVar("T")
Json = dict[str, Any]
Picture = Path | bytes | None
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_REFUSALS = {
    400: "The request cannot be done; `error` says why.",
    401: "Nobody is logged in.",
    403: "The request comes from another machine or website.",
    500: "The library cannot be used; `error` says why.",
}


@dataclass(frozen=True)
class Route(Generic[T]):
    """One row; as an attribute of handlers it is called with what was sent, unchecked.

    Attributes:
        method: ``GET`` for what changes nothing, with fields in the address; or ``POST``, with
            fields in a JSON object.
        path: below :data:`PREFIX`.
        summary: a few words.
        answer: what comes back, as Markdown.
        work: the handler; it gets each field as an argument of that name.
        fields: by name, in the order in which they are checked.
        missing: said where there is no such picture; empty for routes that answer with JSON.
        seconds: how long browsers may keep a picture.
    """

    method: str
    path: str
    summary: str
    answer: str
    work: Callable[..., T]
    fields: Mapping[str, Field]
    missing: str = ""
    seconds: int = 0

    @overload
    def __get__(self, handlers: None, owner: type) -> Route[T]: ...
    @overload
    def __get__(self, handlers: object, owner: type) -> Callable[..., T]: ...
    def __get__(self, handlers: object, owner: type) -> Route[T] | Callable[..., T]:
        return self if handlers is None else partial(self.call, handlers)

    def call(self, handlers: object, given: Mapping[str, Any] | None = None) -> T:
        """Check what was sent, and answer.

        Raises:
            RequestError: malformed.
            GMIError: it cannot be done; the message says what to do.
        """
        given = given or {}
        read = {key: field.read(given, key, handlers) for key, field in self.fields.items()}
        return self.work(handlers, **read)

    @property
    def name(self) -> str:
        """Name of the method of the handlers."""
        return self.work.__name__

    @property
    def limit(self) -> int:
        """The most bytes that a request may have."""
        uploads = any(field.upload for field in self.fields.values())
        return MAX_UPLOAD * 3 // 2 if uploads else MAX_BODY

    @property
    def description(self) -> str:
        """Whole sentences, as Markdown: the handler's docstring."""
        return inspect.cleandoc(self.work.__doc__ or "")

    def request(self) -> Json:
        """What OpenAPI says of the request."""
        shown = {key: field.openapi() for key, field in self.fields.items()}
        if self.method == "GET":
            parameters = [
                {
                    "name": key,
                    "in": "path" if f"{{{key}}}" in self.path else "query",
                    "required": True,
                    "description": schema.get("description", ""),
                    "schema": {"type": "string"},
                }
                for key, schema in shown.items()
            ]
            return {"parameters": parameters} if parameters else {}
        schema: Json = {"type": "object", "properties": shown}
        required = [key for key, field in self.fields.items() if field.required]
        if required:
            schema["required"] = required
        return {"requestBody": {"required": True, "content": _json(schema)}}

    def responses(self) -> dict[int | str, Json]:
        """What OpenAPI says of the answers, by status."""
        binary = {"schema": {"type": "string", "format": "binary"}}
        content = {"image/webp": binary} if self.missing else _json({"type": "object"})
        refusals: dict[int | str, Json] = {
            status: {"description": why, "content": _json(_ERROR)}
            for status, why in _REFUSALS.items()
        }
        return {200: {"description": self.answer, "content": content}, **refusals}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def route(
    request: str, summary: str, answer: str, /, **fields: Field
) -> Callable[[Callable[..., Json]], Route[Json]]:
    """Make a handler a route that answers with JSON; see :class:`Route`.

    Args:
        request: method and path, for instance ``POST search/read``.
        summary: see there.
        answer: see there.
        fields: see there.
    """
    method, path = request.split()
    return lambda work: Route(method, path, summary, answer, work, fields)


def picture(
    path: str, summary: str, answer: str, missing: str, seconds: int, /, **fields: Field
) -> Callable[[Callable[..., Picture]], Route[Picture]]:
    """Make a handler a route that answers with a WebP, as bytes or a file; see :class:`Route`."""
    return lambda work: Route("GET", path, summary, answer, work, fields, missing, seconds)
