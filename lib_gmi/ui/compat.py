"""What differs between gradio's generations (3.41, 4.40, 6): found by looking, never by version."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any


def _accepts(function: Any) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def listen(
    event: Callable[..., Any],
    function: Callable[..., Any] | None,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    js: str | None = None,
) -> Any:
    """Attach a handler that waits behind nothing and shows no spinner.

    Args:
        event: of a component, like ``button.click``, or ``then`` of what this returned.
        function: in Python; ``None`` for one in the browser alone.
        inputs: components.
        outputs: components.
        js: runs first; what it returns takes the place of the inputs.

    Returns:
        What ``event`` returned; it has a ``then``.
    """
    known = _accepts(event)
    options: dict[str, Any] = {
        "queue": False,
        "show_progress": "hidden",
        "trigger_mode": "multiple",  # what is in flight already is the script's concern
        "concurrency_limit": None,
        "js": js,
        "_js": js,
    }
    if "api_visibility" in known:
        options["api_visibility"] = "private"
    else:
        options["api_name"] = False
    usable = {key: value for key, value in options.items() if key in known}
    return event(function, list(inputs), list(outputs), **usable)


def page_arguments(css: str, js: str) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """Where a page of our own gets its style and script from.

    A host that loads both files by itself needs none of this.

    Returns:
        Arguments for ``gr.Blocks``, arguments for its ``launch``, and a script to run when the page
        has loaded, where neither of them takes one.
    """
    import gradio as gr

    # not `css`: gradio 4 rewrites that, and does not know all of CSS
    inside = js.replace("</", "<\\/")  # or a text in it could end the script
    head = f"<style>{css}</style><script>{inside}</script>"
    if "head" in _accepts(gr.Blocks.__init__):
        return {"head": head}, {}, None
    if "head" in _accepts(gr.Blocks.launch):
        return {}, {"head": head}, None
    return {"css": css}, {}, f"() => {{ {js} }}"


def unsaved(component: Any) -> Any:
    """Keep A1111 from writing a component's value into its ``ui-config.json``."""
    component.do_not_save_to_config = True
    return component
