"""The ComfyUI face: nodes, routes and the queue. Importing it loads no model."""

from __future__ import annotations

from typing import Any


def start() -> tuple[dict[str, Any], dict[str, str]]:
    """Register the routes; returns the node classes and their names."""
    from server import PromptServer

    from . import nodes, routes
    from .runtime import runtime, somebody_queues

    PromptServer.instance.add_on_prompt_handler(somebody_queues)
    routes.register(PromptServer.instance.routes, lambda: runtime().api)
    return nodes.NODE_CLASS_MAPPINGS, nodes.NODE_DISPLAY_NAME_MAPPINGS
