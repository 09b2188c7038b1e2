"""The routes on ComfyUI's web server (aiohttp)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..routes.api import ROUTES, Api
from ..routes.origin import refusal
from ..routes.route import PREFIX, Route
from ..routes.serving import Refusal, Server

if TYPE_CHECKING:
    from aiohttp import web


def register(routes: web.RouteTableDef, api: Callable[[], Api], public: bool = False) -> None:
    """Add the routes.

    Args:
        routes: of the server.
        api: makes the handlers when the first request comes.
        public: the server was started for other machines, so that any name is its own.
    """
    server = _Server(api, public)
    for route in ROUTES:
        routes.route(route.method, f"{PREFIX}/{route.path}")(_handler(server, route))


def _handler(
    server: _Server, route: Route[Any]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await server.serve(route, request)

    return handler


class _Server(Server["web.StreamResponse"]):
    log = "ComfyUI's log"

    def __init__(self, api: Callable[[], Api], public: bool) -> None:
        super().__init__(api)
        self._public = public

    async def refusal(self, request: web.Request) -> Refusal | None:
        transport = request.transport
        socket = None if transport is None else transport.get_extra_info("sockname")
        local = socket[0] if isinstance(socket, tuple) else None
        reason = refusal(request.headers, local, self._public)
        return None if reason is None else (403, reason)

    def address(self, request: web.Request) -> dict[str, Any]:
        return {**request.query, **request.match_info}

    async def body(self, request: web.Request, limit: int) -> bytes:
        return await request.read()

    def json(self, data: Mapping[str, Any], status: int = 200) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response(data, status=status)

    def picture(self, content: bytes | Path, headers: Mapping[str, str]) -> web.StreamResponse:
        from aiohttp import web

        if isinstance(content, Path):
            return web.FileResponse(content, headers={**headers, "Content-Type": "image/webp"})
        return web.Response(body=content, headers=headers, content_type="image/webp")
