"""A page of its own for the tab, on gradio's web server, for this machine only."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..base.errors import HostError, MissingExtraError
from ..routes.guard import Guard
from ..routes.origin import refusal
from ..routes.web import register
from ..ui import tab

if TYPE_CHECKING:
    from ..ui.bridge import Bridge

HERE = "127.0.0.1"
_MISSING = (
    "The tab needs gradio, which is not installed. Install it with: "
    "pip install 'find-best-model[ui]'"
)


@dataclass(frozen=True)
class Page:
    """A page that is served.

    Attributes:
        address: where.
        blocks: the tab.
        app: the server's FastAPI app.
    """

    address: str
    blocks: Any
    app: Any

    def close(self) -> None:
        """Stop serving it."""
        self.blocks.close(verbose=False)


def serve(bridge: Bridge, port: int | None = None, browser: bool = False) -> Page:
    """Serve the tab until the process ends.

    Args:
        bridge: what the tab talks to.
        port: of the address; by default the first that is free from 7860 on.
        browser: open it in the user's browser.

    Raises:
        HostError: the port is taken.
        MissingExtraError: gradio is not installed.
    """
    # nobody's use of this program is anybody else's business
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise MissingExtraError(_MISSING) from None
    from starlette.middleware import Middleware

    blocks = tab.build(bridge, alone=True)
    wanted: dict[str, Any] = {
        # from the first request on: launching returns when the page is served already
        "app_kwargs": {"docs_url": "/docs", "middleware": [Middleware(_Alone)]},
        "footer_links": [],
        "inbrowser": browser,
        "prevent_thread_lock": True,
        "quiet": True,
        "server_name": HERE,
        "server_port": port,
        "share": False,
        "show_api": False,
        "ssr_mode": False,
    }
    known = inspect.signature(blocks.launch).parameters
    options = {key: value for key, value in wanted.items() if key in known}
    try:
        app, address, _ = blocks.launch(**{**options, **tab.launch_arguments()})
    except OSError as error:
        raise HostError(f"The page cannot be served: {error}") from None
    _close_to_others(app)
    register(app, lambda: bridge.api, Guard(gradio_app=app))
    return Page(address, blocks, app)


class _Alone:
    """Everything that this server has is for its own page: also gradio's routes and events."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def closed(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["X-Frame-Options"] = "DENY"
                answer["Content-Security-Policy"] = "frame-ancestors 'none'"
            await send(message)

        reason = _refusal(scope, Headers(scope=scope))
        if reason is None:
            await self._app(scope, receive, closed)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse(reason, 403)(scope, receive, closed)


def _refusal(scope: Any, headers: Any) -> str | None:
    if scope["path"].rstrip("/").endswith("/upload"):
        return "This page uploads nothing that way."
    said = dict(headers)
    link = said.get("sec-fetch-mode") == "navigate" and said.get("sec-fetch-dest") == "document"
    if scope["type"] == "http" and scope["method"] == "GET" and link and scope["path"] == "/":
        said.pop("sec-fetch-site", None)  # a link on another website may lead to the page
    return refusal(type(headers)(said), HERE)


def _close_to_others(app: Any) -> None:
    """Let no other website read what is served here; gradio 3 allows that to all of them."""
    app.user_middleware = [m for m in app.user_middleware if m.cls.__name__ != "CORSMiddleware"]
    app.middleware_stack = app.build_middleware_stack()
