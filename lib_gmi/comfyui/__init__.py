"""The ComfyUI face: nodes, routes and the queue. Importing it loads no model."""

from __future__ import annotations

from typing import Any


def start() -> tuple[dict[str, Any], dict[str, str]]:
    """Register the routes; returns the node classes and their names."""
    from server import PromptServer

    from ..routes import origin
    from . import nodes, routes
    from .preferences import allowed_hosts
    from .runtime import runtime, somebody_queues

    PromptServer.instance.add_on_prompt_handler(somebody_queues)
    origin.allow(allowed_hosts())
    routes.register(PromptServer.instance.routes, lambda: runtime().api, _is_public())
    return nodes.NODE_CLASS_MAPPINGS, nodes.NODE_DISPLAY_NAME_MAPPINGS


def _is_public() -> bool:
    """Whether ComfyUI was started for other machines (``--listen``)."""
    try:
        from comfy.cli_args import args
    except ImportError:
        return False
    from ..routes.origin import is_loopback

    addresses = str(getattr(args, "listen", "") or "").split(",")
    return any(
        address.strip() not in ("", "localhost") and not is_loopback(address.strip())
        for address in addresses
    )
