"""The gradio tab: a page that the script draws, and a few hidden wires to Python.

The page (:mod:`.page`) is static. ``javascript/gmi.js`` asks questions over *channels*, and so does
``gmi_search.js`` for the view *Search*: it notes
one and presses the hidden button ``#gmi_<channel>``, whose ``js`` puts the question into a hidden
text box; Python answers into another, and a second ``js`` hands the answer to the script. Nothing
waits in gradio's queue, so nothing waits behind a generation.

Hooks that stay as they are, for tests and for people who style the tab:

=============================  ==================================================================
``#gmi_tab``                   gradio's block around everything
``#gmi_root``                  the page; has the class ``gmi-blur`` where samples are blurred, and
                               ``data-ready`` once the script has drawn it for the first time
``#gmi_view_find``,            the buttons of the three views, which are ``#gmi_find``,
``#gmi_view_search``,          ``#gmi_searching`` and ``#gmi_specifications``
``#gmi_view_specifications``
``#gmi_search_text``, …        the query: ``#gmi_search_file``, ``#gmi_search_tiles``,
                               ``#gmi_search_tag``, ``#gmi_search_chips``, ``#gmi_search_like``,
                               ``#gmi_canvas`` in ``#gmi_pad``; ``#gmi_parts`` what is looked for
``[name=gmi_search_kind]``     checkpoints or images
``#gmi_found``                 the answer, ``#gmi_found_verdict`` its sentence; ``aria-busy``
``[data-gmi-group=NAME]``      images of one checkpoint; ``.gmi-about`` beside the large picture
``[data-gmi-folder=FOLDER]``   an output folder
``#gmi_file``                  the hidden file input; ``#gmi_drop`` the area, ``#gmi_tiles`` the
                               images, each with a ``[data-gmi="remove-image"]``
``#gmi_prompt``,               the prompt; a note that it came from metadata
``#gmi_prompt_note``
``#gmi_method``, ``#gmi_auto`` the method; the check box for switching by itself
``#gmi_result``                the ranking, ``#gmi_verdict`` its sentence; ``aria-busy`` says when
``[data-gmi-card=NAME]``       a card, with ``data-gmi-rank``
``[data-gmi=load]``, …         every button says with ``data-gmi`` what it does and with
                               ``data-name`` to what: load, undo, send, samples, favourite, share,
                               compare, enlarge, describe, find, filter, build-first, build-start,
                               build-pause, build-resume, build-cancel, build-now, build-one,
                               build-missing, rebuild, delete, delete-gone, settings, verify, …
``[data-gmi-loaded=NAME]``     "Loaded", hidden unless it is
``#gmi_first``                 the panel of the first run
``#gmi_strip``                 the build in one line; ``#gmi_build`` the panel
``#gmi_rows``                  the table; ``[data-gmi-row=NAME]`` a row, with ``data-state``
``#gmi_dialog``,               overlays; ``[data-gmi=yes]`` confirms, ``[data-gmi=close]`` closes
``#gmi_lightbox``
``#gmi_compare``,              the comparison's form; the share card's link
``#gmi_share_save``
``#gmi_toast``                 a short message that goes away by itself
``window.gmi``                 the one global: ``gmi.send(tabname)``, ``gmi.take``, ``gmi.answer``
=============================  ==================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import site
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..base.errors import GMIError
from ..routes.guard import event_refusal
from . import compat
from .bridge import Bridge
from .desk import Desk
from .page import skeleton
from .parts import trouble

TITLE = "Find Best Model"
_SHARED = "find-best-model"
#: What must not wait for each other: a checkpoint loads for half a minute, a favourite does not.
CHANNELS = ("ask", "act", "load", "poll", "pictures")
#: In the order in which the web UI loads them, which is by name.
SCRIPTS = ("gmi.js", "gmi_search.js")
_TAKE = "() => window.gmi ? window.gmi.take('{0}') : '{{}}'"
_ANSWER = "(answer) => {{ if (window.gmi) window.gmi.answer('{0}', answer); }}"


def build(bridge: Bridge, alone: bool = False) -> Any:
    """The tab as a ``gradio.Blocks``.

    Args:
        bridge: to the program.
        alone: it is a page of its own, and brings style and script along; gradio 6 wants them when
            it is launched: pass :func:`launch_arguments` to ``launch``.

    Raises:
        GMIError: it is alone, and style and script are missing.
    """
    import gradio as gr

    desk = Desk(bridge)
    page: dict[str, Any] = {}
    start = None
    if alone:
        page, _, start = compat.page_arguments(*assets())
    with gr.Blocks(title=TITLE, analytics_enabled=False, **page) as blocks:
        with gr.Column(elem_id="gmi_tab"):
            blur = bridge.preferences().blur
            gr.HTML(str(skeleton(bridge.abilities, blur)), elem_id="gmi_page")
            with gr.Column(elem_id="gmi_channels", elem_classes=["gmi-channels"]):
                for channel in CHANNELS:
                    _channel(channel, desk.answer)
                if bridge.abilities.send:
                    infotext = _box("infotext")
                    _channel("send", desk.send, infotext)
                    bridge.connect_send(_button("paste"), infotext)
        if start is not None:
            compat.listen(blocks.load, None, [], [], js=start)
    return blocks


def launch_arguments() -> dict[str, Any]:
    """What ``launch`` needs besides, when the tab is a page of its own.

    Raises:
        GMIError: style and script are missing.
    """
    return compat.page_arguments(*assets())[1]


def assets() -> tuple[str, str]:
    """Style and script, for programs that do not load them by themselves.

    Both lie at the repository's root, where A1111 looks for them; a wheel puts them below the
    environment's ``share``.

    Raises:
        GMIError: they are in neither place.
    """
    root = Path(__file__).resolve().parents[2]
    places = [(root, root / "javascript")]
    # beside the packages where pip was given a --target, and where it was given --user
    bases = [Path(sys.prefix), root, Path(site.getuserbase())]
    shared = [base / "share" / _SHARED for base in bases]
    places += [(folder, folder) for folder in shared]
    for styles, scripts in places:
        with contextlib.suppress(OSError):
            script = "\n".join((scripts / name).read_text(encoding="utf-8") for name in SCRIPTS)
            return (styles / "style.css").read_text(encoding="utf-8"), script
    raise GMIError(
        f"The page's style.css and gmi.js are missing; they should be in {shared[0]}. Install "
        "Find Best Model again, or start it from its own folder."
    )


def _channel(name: str, handler: Callable[[str], Any], extra: Any = None) -> None:
    question, answer = _box(f"{name}_question"), _box(f"{name}_answer")
    outputs = [answer] if extra is None else [answer, extra]
    guarded = _guarded(handler, len(outputs))
    asked = compat.listen(_button(name).click, guarded, [question], outputs, js=_TAKE.format(name))
    compat.listen(asked.then, None, [answer], [], js=_ANSWER.format(name))


def _guarded(handler: Callable[[str], Any], outputs: int) -> Callable[..., Any]:
    """A handler that answers only those whom the routes would serve."""
    import gradio as gr

    async def guarded(question: str, request: Any) -> Any:
        body = await asyncio.to_thread(asked, question)
        reason = await event_refusal(request, body.get("token"))
        if reason is None:
            return await asyncio.to_thread(handler, question)
        said = json.dumps({"id": body.get("id"), "error": reason, "html": trouble(reason)})
        return said if outputs == 1 else (said, "")

    guarded.__annotations__ = {"question": str, "request": gr.Request}  # gradio looks for it here
    return guarded


def asked(question: Any) -> dict[str, Any]:
    """What a question says of itself; nothing if it is malformed, which its handler explains."""
    try:
        body = json.loads(question)
    except (TypeError, ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _box(name: str) -> Any:
    import gradio as gr

    # visible to gradio, which leaves out what is not, and hidden by the style sheet
    box = gr.Textbox(elem_id=f"gmi_{name}", show_label=False, max_lines=1, container=False)
    return compat.unsaved(box)


def _button(name: str) -> Any:
    import gradio as gr

    return compat.unsaved(gr.Button(name, elem_id=f"gmi_{name}"))
