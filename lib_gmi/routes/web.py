"""The API on gradio's web server (FastAPI). Handlers only look, rank and enqueue.

This module does without postponed annotations: FastAPI reads those of the handlers, and could not
resolve names that are imported inside a function.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError, LibraryError
from ..search.pictures import ROUTE
from . import contract
from .api import PREFIX, Api
from .contract import MAX_BODY, NO_SNIFFING, SAMPLE_HEADERS, too_large, unreadable
from .guard import STATE, Guard
from .web_docs import CHANGES, LOOKS, PICTURE, SAMPLE, TAG, Described, described

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

    Changing = Callable[[Api, Mapping[str, Any]], dict[str, Any]]
    Looking = Callable[[Api, Mapping[str, str]], dict[str, Any]]

__all__ = ["MAX_BODY", "Guard", "register"]


class _TooLargeError(Exception):
    """A request is larger than it said, or than it may be."""


def register(app: "FastAPI", api: Callable[[], Api], guard: Guard) -> None:
    """Add the routes to a server, which may be running already.

    Args:
        app: of gradio, or one that serves an API alone.
        api: makes the handlers when the first request comes.
        guard: decides whom they serve.
    """
    setattr(app.state, STATE, guard)
    routes = _Routes(app, api, guard)
    for path, look in contract.LOOKS.items():
        routes.look(path, look, LOOKS[path])
    for path, change in contract.CHANGES.items():
        routes.change(path, change, contract.limit_of(path), CHANGES[path])
    routes.sample()
    routes.picture()
    app.openapi_schema = None  # somebody may have looked at /docs already


class _Routes:
    """Adds handlers; see :func:`register`."""

    def __init__(self, app: "FastAPI", api: Callable[[], Api], guard: Guard) -> None:
        self._app = app
        self._api = api
        self._guard = guard

    def look(self, path: str, work: "Looking", about: Described) -> None:
        """Add a route that changes nothing."""
        from fastapi import Request
        from starlette.responses import Response

        async def handler(request: Request) -> Response:
            problem = await self._guard.check(request)
            if problem is not None:
                return _error(*problem)
            return await self._answer(lambda: work(self._api(), request.query_params))

        self._add(path, "GET", handler, about)

    def change(self, path: str, work: "Changing", limit: int, about: Described) -> None:
        """Add a route that changes something, or takes long.

        Args:
            path: after the prefix.
            work: answers.
            limit: of the request, bytes.
            about: for people.
        """
        from fastapi import Request
        from starlette.responses import Response

        async def handler(request: Request) -> Response:
            problem = await self._guard.check(request)
            problem = problem or unreadable(request.headers, limit)
            if problem is not None:
                return _error(*problem)
            try:
                content = await _content(request, limit)
                body = await asyncio.to_thread(contract.parse, content)
            except _TooLargeError:
                return _error(*too_large(limit))
            except (ValueError, RecursionError):
                return _error(400, "The request is not valid JSON.")
            if not isinstance(body, dict):
                return _error(400, "The request must be a JSON object.")
            return await self._answer(lambda: work(self._api(), body))

        self._add(path, "POST", handler, about)

    def sample(self) -> None:
        """Add the route of the pictures."""
        from fastapi import Request
        from starlette.responses import Response

        async def handler(request: Request, folder: str, file: str) -> Response:
            problem = await self._guard.check(request)
            if problem is not None:
                return _error(*problem)
            try:
                content = await asyncio.to_thread(self._read_sample, folder, file)
            except GMIError as error:
                return _error(500, str(error))
            if content is None:
                return _error(404, "There is no such sample.")
            return Response(content, headers=SAMPLE_HEADERS, media_type="image/webp")

        self._add("samples/{folder}/{file}", "GET", handler, SAMPLE)

    def picture(self) -> None:
        """Add the route of the pictures in folders that can be searched."""
        from fastapi import Request
        from starlette.responses import Response

        async def handler(request: Request) -> Response:
            problem = await self._guard.check(request)
            if problem is not None:
                return _error(*problem)
            query = request.query_params
            try:
                content = await asyncio.to_thread(lambda: self._api().search_picture(query))
            except GMIError as error:
                return _error(500, str(error))
            if content is None:
                return _error(404, contract.NO_PICTURE)
            return Response(content, headers=contract.PICTURE_HEADERS, media_type="image/webp")

        self._add(ROUTE, "GET", handler, PICTURE)

    def _add(self, path: str, method: str, handler: Callable[..., Any], about: Described) -> None:
        self._app.add_api_route(
            f"{PREFIX}/{path}",
            handler,
            methods=[method],
            name=f"find_best_model_{method.lower()}_{path.partition('{')[0].strip('/')}",
            tags=[TAG],
            summary=about.summary,
            description=about.description,
            response_model=None,
            responses=described(about),
            openapi_extra=about.request(),
        )

    def _read_sample(self, folder: str, file: str) -> bytes | None:
        path = self._api().sample(folder, file)
        try:
            return None if path is None else path.read_bytes()
        except OSError:  # removed a moment ago
            return None

    async def _answer(self, work: Callable[[], dict[str, Any]]) -> "Response":
        """Run a handler off the event loop, which also carries everybody's progress."""
        try:
            return await asyncio.to_thread(lambda: _json(work()))
        except LibraryError as error:
            return _error(500, str(error))
        except GMIError as error:
            return _error(400, str(error))
        except Exception:
            logging.exception("Find Best Model: a request failed")
            return _error(500, "Something went wrong; the server's log says what.")


async def _content(request: "Request", limit: int) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise _TooLargeError
    return bytes(content)


def _json(data: Mapping[str, Any], status: int = 200) -> "Response":
    from starlette.responses import Response

    headers = {"Cache-Control": "no-store", **NO_SNIFFING}
    content = json.dumps(data, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
    return Response(content, status, headers, "application/json")


def _error(status: int, message: str) -> "Response":
    response = _json({"error": message}, status)
    if status == 401:
        # "Basic" alone would make browsers ask for a password, once for each picture
        response.headers["WWW-Authenticate"] = 'xBasic realm="Find Best Model"'
    return response
