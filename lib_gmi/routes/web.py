"""The routes on gradio's web server (FastAPI).

This module does without postponed annotations: FastAPI reads those of the handlers, and could not
resolve names that are imported inside a function.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .api import ROUTES, Api
from .guard import STATE, Guard
from .route import PREFIX, Route
from .serving import NO_SNIFFING, Refusal, Server

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

TAG = "Find Best Model"


def register(app: "FastAPI", api: Callable[[], Api], guard: Guard) -> None:
    """Add the routes to a server, which may be running already.

    Args:
        app: of gradio, or one that serves an API alone.
        api: makes the handlers when the first request comes.
        guard: decides whom they serve.
    """
    setattr(app.state, STATE, guard)
    server = _Server(api, guard)
    for route in ROUTES:
        app.add_api_route(
            f"{PREFIX}/{route.path}",
            _handler(server, route),
            methods=[route.method],
            name=f"find_best_model_{route.method.lower()}_{route.path.partition('/{')[0]}",
            tags=[TAG],
            summary=route.summary,
            description=route.description,
            response_model=None,
            responses=route.responses(),
            openapi_extra=route.request(),
        )
    app.openapi_schema = None  # somebody may have looked at /docs already


def _handler(server: "_Server", route: Route[Any]) -> Callable[..., Any]:
    from fastapi import Request
    from starlette.responses import Response

    async def handler(request: Request) -> Response:
        return await server.serve(route, request)

    return handler


class _Server(Server["Response"]):
    def __init__(self, api: Callable[[], Api], guard: Guard) -> None:
        super().__init__(api)
        self._guard = guard

    async def refusal(self, request: "Request") -> Refusal | None:
        return await self._guard.check(request)

    def address(self, request: "Request") -> dict[str, Any]:
        return {**request.query_params, **request.path_params}

    async def body(self, request: "Request", limit: int) -> bytearray | None:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > limit:
                return None
        return content

    def json(self, data: Mapping[str, Any], status: int = 200) -> "Response":
        from starlette.responses import Response

        headers = {"Cache-Control": "no-store", **NO_SNIFFING}
        if status == 401:
            # "Basic" alone would make browsers ask for a password, once for each picture
            headers["WWW-Authenticate"] = 'xBasic realm="Find Best Model"'
        content = json.dumps(data, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, status, headers, "application/json")

    def picture(self, content: bytes | Path, headers: Mapping[str, str]) -> "Response | None":
        from starlette.responses import Response

        try:
            content = content.read_bytes() if isinstance(content, Path) else content
        except OSError:  # removed a moment ago
            return None
        return Response(content, headers=dict(headers), media_type="image/webp")
