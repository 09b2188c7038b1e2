"""From a request to an answer, on any web server: what is refused, read, checked and said."""

from __future__ import annotations

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..base.errors import GMIError, LibraryError
from .api import Api
from .route import Route

#: Commas, colons and brackets in a request: some of each for every value that it holds. A request
#: has a few hundred; each value takes up to a hundred times its text while it is read.
MAX_MARKS = 200_000
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
_MOST_DIGITS = 100

#: Status and reason.
Refusal = tuple[int, str]
Response = TypeVar("Response")


class Server(ABC, Generic[Response]):
    """A web server that has the routes. A host says what its requests and answers are.

    Args:
        api: makes the handlers when the first request comes.
    """

    #: Where an error that nobody expected is told in full.
    log = "the server's log"

    def __init__(self, api: Callable[[], Api]) -> None:
        self._api = api

    @abstractmethod
    async def refusal(self, request: Any) -> Refusal | None:
        """Why whoever asks is not served, or ``None``."""

    @abstractmethod
    def address(self, request: Any) -> dict[str, Any]:
        """The values in a request's path and query."""

    @abstractmethod
    async def body(self, request: Any, limit: int) -> bytes | bytearray | None:
        """A request's body; ``None`` as soon as it is longer than ``limit`` bytes."""

    @abstractmethod
    def json(self, data: Mapping[str, Any], status: int = 200) -> Response:
        """An answer."""

    @abstractmethod
    def picture(self, content: bytes | Path, headers: Mapping[str, str]) -> Response | None:
        """A WebP, or the file of one; ``None`` if that is gone."""

    def error(self, status: int, message: str) -> Response:
        """An answer that says what is wrong."""
        return self.json({"error": message}, status)

    async def serve(self, route: Route[Any], request: Any) -> Response:
        """Answer a request. Handlers run off the event loop, which carries everybody's progress."""
        problem = await self.refusal(request)
        if problem is None and route.method == "POST":
            problem = unreadable(request.headers, route.limit)
        if problem is not None:
            return self.error(*problem)
        if route.method == "GET":
            return await asyncio.to_thread(self._answer, route, self.address(request))
        content = await self.body(request, route.limit)
        if content is None:
            return self.error(*too_large(route.limit))
        return await asyncio.to_thread(self._read, route, content)

    def _read(self, route: Route[Any], content: bytes | bytearray) -> Response:
        try:
            given = parse(content)
        except (ValueError, RecursionError):
            return self.error(400, "The request is not valid JSON.")
        if not isinstance(given, dict):
            return self.error(400, "The request must be a JSON object.")
        return self._answer(route, given)

    def _answer(self, route: Route[Any], given: Mapping[str, Any]) -> Response:
        try:
            found = getattr(self._api(), route.name)(given)
            if not route.missing:
                return self.json(found)
            keep = {"Cache-Control": f"private, max-age={route.seconds}", **NO_SNIFFING}
            shown = None if found is None else self.picture(found, keep)
            return self.error(404, route.missing) if shown is None else shown
        except GMIError as error:
            broken = route.missing or isinstance(error, LibraryError)
            return self.error(500 if broken else 400, str(error))
        except Exception:
            logging.exception("Find Best Model: a request failed")
            return self.error(500, f"Something went wrong; {self.log} says what.")


def unreadable(headers: Mapping[str, str], limit: int) -> Refusal | None:
    """Why a request's body of at most ``limit`` bytes is not even read, or ``None``."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return 415, "Send JSON, with the header Content-Type: application/json."
    length = headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        return 411, "Send the length of the request."
    if len(length) > 18 or int(length) > limit:
        return too_large(limit)
    return None


def too_large(limit: int) -> Refusal:
    """Said of a request of more bytes."""
    return 413, f"The request is larger than {limit >> 20} MB."


def parse(content: bytes | bytearray) -> Any:
    """A request's JSON. What it holds is counted before anything is made of it.

    Raises:
        ValueError: it is no JSON, or of too many values.
        RecursionError: it is nested too deeply.
    """
    if sum(map(content.count, (b",", b":", b"[", b"{"))) > MAX_MARKS:
        raise ValueError("too many values")
    return json.loads(content, parse_int=_int)


def _int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:  # an old Python takes minutes for a million of them
        raise ValueError("a number of too many digits")
    return int(digits)
