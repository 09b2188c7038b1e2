"""The API on the web UI's server, behind the login that the web UI was started with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..routes.guard import Guard

if TYPE_CHECKING:
    from ..routes.api import Api


def register(app: Any) -> None:
    """Add the routes.

    Args:
        app: the web UI's FastAPI app.
    """
    from ..routes.origin import allow
    from ..routes.web import register as add_routes
    from . import options

    allow(options.allowed_hosts())
    add_routes(app, _api, guard(app))


def _api() -> Api:
    from .runtime import runtime

    return runtime().api


def guard(app: Any) -> Guard:
    """Whom the routes serve, from the flags that the web UI was started with."""
    from modules import shared

    flags = shared.cmd_opts

    def flag(name: str) -> Any:
        return getattr(flags, name, None)

    tunnelled = bool(flag("share") or flag("ngrok") or flag("cloudflared"))
    return Guard(
        gradio_app=app,
        api_auth=[pair.strip() for pair in str(flag("api_auth") or "").split(",") if pair.strip()],
        public=tunnelled or bool(flag("listen") or flag("server_name")),
        tunnelled=tunnelled,
    )
