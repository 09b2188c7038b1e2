"""The API on ComfyUI's web server (aiohttp). Handlers only look, rank and enqueue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError, LibraryError
from ..routes.api import PREFIX, Api
from ..routes.contract import (
    CHANGES,
    LOOKS,
    NO_PICTURE,
    PICTURE_HEADERS,
    SAMPLE_HEADERS,
    limit_of,
    parse,
    unreadable,
)
from ..routes.origin import refusal
from ..search.pictures import ROUTE

if TYPE_CHECKING:
    from aiohttp import web

Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]
Looking = Callable[[Api, Mapping[str, str]], dict[str, Any]]


def register(routes: web.RouteTableDef, api: Callable[[], Api], public: bool = False) -> None:
    """Add the routes.

    Args:
        routes: of the server.
        api: makes the handlers when the first request comes.
        public: the server was started for other machines, so that any name is its own.
    """

    def add(method: str, path: str, handler: Handler) -> None:
        routes.route(method, f"{PREFIX}/{path}")(_guarded(handler, public))

    for path, look in LOOKS.items():
        add("GET", path, _looking(api, look))
    for path, change in CHANGES.items():
        add("POST", path, _changing(api, change, limit_of(path)))
    add("GET", "samples/{folder}/{file}", _sample(api))
    add("GET", ROUTE, _picture(api))


def _guarded(work: Handler, public: bool) -> Handler:
    """A handler that serves only pages of this server, under a name of this server."""

    async def handler(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        socket = None if transport is None else transport.get_extra_info("sockname")
        local = socket[0] if isinstance(socket, tuple) else None
        reason = refusal(request.headers, local, public)
        return await work(request) if reason is None else _error(403, reason)

    return handler


def _looking(api: Callable[[], Api], look: Looking) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await _answer(lambda: look(api(), request.query))

    return handler


def _changing(
    api: Callable[[], Api],
    change: Callable[[Api, Mapping[str, Any]], dict[str, Any]],
    limit: int,
) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        problem = unreadable(request.headers, limit)
        if problem is not None:
            return _error(*problem)
        try:
            body = await asyncio.to_thread(parse, await request.read())
        except (ValueError, RecursionError):
            return _error(400, "The request is not valid JSON.")
        if not isinstance(body, dict):
            return _error(400, "The request must be a JSON object.")
        return await _answer(lambda: change(api(), body))

    return handler


def _sample(api: Callable[[], Api]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        names = request.match_info["folder"], request.match_info["file"]
        try:
            path = await asyncio.to_thread(lambda: api().sample(*names))
        except GMIError as error:
            return _error(500, str(error))
        if path is None:
            return _error(404, "There is no such sample.")
        headers = {**SAMPLE_HEADERS, "Content-Type": "image/webp"}
        return web.FileResponse(path, headers=headers)

    return handler


def _picture(api: Callable[[], Api]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        query = request.query
        try:
            content = await asyncio.to_thread(lambda: api().search_picture(query))
        except GMIError as error:
            return _error(500, str(error))
        if content is None:
            return _error(404, NO_PICTURE)
        return web.Response(body=content, headers=PICTURE_HEADERS, content_type="image/webp")

    return handler


async def _answer(work: Callable[[], dict[str, Any]]) -> web.StreamResponse:
    """Run a handler off the event loop, which also carries everybody's progress."""
    from aiohttp import web

    try:
        return web.json_response(await asyncio.to_thread(work))
    except LibraryError as error:
        return _error(500, str(error))
    except GMIError as error:
        return _error(400, str(error))
    except Exception:
        logging.exception("Find Best Model: a request failed")
        return _error(500, "Something went wrong; ComfyUI's log says what.")


def _error(status: int, message: str) -> web.StreamResponse:
    from aiohttp import web

    return web.json_response({"error": message}, status=status)
