"""What differs between gradio's generations (3.41, 4.40, 6): found by looking, never by version."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any


def _accepts(function: Any) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def _event_options(event: Callable[..., Any]) -> frozenset[str]:
    """Names of the options that an event takes.

    Forge hands events on through ``__call__(*args, **kwargs)``, whose signature names none of them.
    What stands behind takes what gradio's own events take.
    """
    import gradio as gr

    parameters = inspect.signature(event).parameters.values()
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
        return _accepts(event)
    # `on` came with gradio 4; before that, every event was of one class
    return _accepts(gr.on if hasattr(gr, "on") else gr.events.EventListenerMethod.__call__)


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
    known = _event_options(event)
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
    """Where a page of our own gets its style, script and fonts from.

    A host that loads both files by itself needs none of this.

    Returns:
        Arguments for ``gr.Blocks``, arguments for its ``launch``, and a script to run when the page
        has loaded, where neither of them takes one.
    """
    import gradio as gr

    # not `css`: gradio 4 rewrites that, and does not know all of CSS
    inside = js.replace("</", "<\\/")  # or a text in it could end the script
    head = f"<style>{css}</style><script>{inside}</script>"
    made, launched = _accepts(gr.Blocks.__init__), _accepts(gr.Blocks.launch)
    theme = {"theme": system_theme()}
    at_first = theme if "theme" in made else {}
    later = theme if "theme" in launched and not at_first else {}
    if "head" in made:
        return at_first | {"head": head}, later, None
    if "head" in launched:
        return at_first, later | {"head": head}, None
    return at_first | {"css": css}, later, f"() => {{ {js} }}"


def system_theme() -> Any:
    """Gradio's own theme with the fonts of the machine.

    Its usual ones come from a server of Google's, or with gradio but without all of their letters
    in bold.
    """
    import gradio as gr
    from gradio.themes.utils.fonts import Font

    return gr.themes.Default(
        font=[Font(name) for name in ("ui-sans-serif", "system-ui", "sans-serif")],
        font_mono=[Font(name) for name in ("ui-monospace", "Consolas", "monospace")],
    )


def unsaved(component: Any) -> Any:
    """Keep A1111 from writing a component's value into its ``ui-config.json``."""
    component.do_not_save_to_config = True
    return component
