"""The API on ComfyUI's web server (aiohttp). Handlers only look, rank and enqueue."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..api import MAX_UPLOAD, PREFIX, Api
from ..errors import GMIError, LibraryError
from ..origin import refusal

if TYPE_CHECKING:
    from aiohttp import web

Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]
#: Of requests that carry no images.
MAX_BODY = 4 << 20


def register(routes: web.RouteTableDef, api: Callable[[], Api]) -> None:
    """Add the routes.

    Args:
        routes: of the server.
        api: makes the handlers when the first request comes.
    """
    looks: dict[str, Callable[[Api, web.Request], dict[str, Any]]] = {
        "library": lambda api, request: api.library(),
        "build": lambda api, request: api.build(),
        "recipe": lambda api, request: api.recipe(request.query.get("name", "")),
    }
    changes: dict[str, tuple[Callable[[Api, Mapping[str, Any]], dict[str, Any]], int]] = {
        "rank": (lambda api, body: api.rank(body), MAX_UPLOAD * 3 // 2),
        "build": (lambda api, body: api.start_build(body), MAX_BODY),
        "build/pause": (lambda api, body: api.pause_build(body), MAX_BODY),
        "build/resume": (lambda api, body: api.resume_build(body), MAX_BODY),
        "build/cancel": (lambda api, body: api.cancel_build(body), MAX_BODY),
        "settings": (lambda api, body: api.set_settings(body), MAX_BODY),
        "load": (lambda api, body: api.load(body), MAX_BODY),
        "favourite": (lambda api, body: api.set_favourite(body), MAX_BODY),
        "rebuild": (lambda api, body: api.rebuild(body), MAX_BODY),
        "verify": (lambda api, body: api.verify(body), MAX_BODY),
        "remove": (lambda api, body: api.remove(body), MAX_BODY),
    }
    for path, look in looks.items():
        routes.get(f"{PREFIX}/{path}")(_looking(api, look))
    for path, (change, limit) in changes.items():
        routes.post(f"{PREFIX}/{path}")(_changing(api, change, limit))
    routes.get(PREFIX + "/samples/{folder}/{file}")(_sample(api))


def _looking(api: Callable[[], Api], look: Callable[[Api, web.Request], dict[str, Any]]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await _answer(lambda: look(api(), request))

    return handler


def _changing(
    api: Callable[[], Api],
    change: Callable[[Api, Mapping[str, Any]], dict[str, Any]],
    limit: int,
) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        problem = _refused(request, limit)
        if problem is not None:
            return _error(*problem)
        try:
            body = await asyncio.to_thread(json.loads, await request.read())
        except (ValueError, RecursionError):
            return _error(400, "The request is not valid JSON.")
        if not isinstance(body, dict):
            return _error(400, "The request must be a JSON object.")
        return await _answer(lambda: change(api(), body))

    return handler


def _refused(request: web.Request, limit: int) -> tuple[int, str] | None:
    """Status and reason, if a request that changes something is not even read."""
    transport = request.transport
    socket = None if transport is None else transport.get_extra_info("sockname")
    reason = refusal(request.headers, socket[0] if socket else None)
    if reason is not None:
        return 403, reason
    if request.content_type != "application/json":
        return 415, "Send JSON, with the header Content-Type: application/json."
    if request.content_length is None:
        return 411, "Send the length of the request."
    if request.content_length > limit:
        return 413, f"The request is larger than {limit >> 20} MB."
    return None


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
        # the name holds prompt and seed, and the folder the way it was built: it never changes
        headers = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
        return web.FileResponse(path, headers={**headers, "Content-Type": "image/webp"})

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
