"""HTML without accidents: whatever is not made here is escaped.

:func:`tag` escapes every text and attribute that it is given; what it returns is :class:`Html`,
which is not escaped again. So a checkpoint's name can become markup in no place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import TypeAlias, Union

_VOID = frozenset({"br", "hr", "img", "input"})


class Html(str):
    """Markup that :func:`tag` made."""

    __slots__ = ()


#: What may stand inside a tag: text is escaped, ``None`` and ``False`` are nothing.
Child: TypeAlias = Union[str, int, Iterable["Child"], None]  # noqa: UP007  3.10 needs it
Attributes = Mapping[str, object]


def tag(name: str, attributes: Attributes | None = None, *children: Child) -> Html:
    """An element.

    Args:
        name: of the element.
        attributes: ``None`` and ``False`` are left out, ``True`` has no value.
        children: texts, which are escaped, and :class:`Html`, which is not; also lists of these.
    """
    opening = f"<{name}{_attributes(attributes or {})}>"
    return Html(opening if name in _VOID else f"{opening}{together(children)}</{name}>")


def together(*children: Child) -> Html:
    """Several things one after the other."""
    return Html("".join(map(_child, children)))


def digest(text: str) -> str:
    """Tells whether a piece of the page has changed."""
    return hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _child(child: Child) -> str:
    if child is None or child is False:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int):
        return escape(str(child))
    return "".join(map(_child, child))


def _attributes(attributes: Attributes) -> str:
    shown = (
        (key, value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return "".join(
        f" {key}" if value is True else f' {key}="{escape(str(value))}"' for key, value in shown
    )


_PATHS = {
    "alert": "M12 9v4m0 4h.01M10.3 3.9 2.5 17.5A2 2 0 0 0 4.2 20.5h15.6a2 2 0 0 0 1.7-3L13.7 3.9a2 "
    "2 0 0 0-3.4 0z",
    "check": "M20 6 9 17l-5-5",
    "chevron": "m6 9 6 6 6-6",
    "close": "M18 6 6 18M6 6l12 12",
    "copies": "M9 9h10a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-8a2 2 0 0 1-2-2zM5 15H4a2 2 0 0 1-2-2V4a2 2 0"
    " 0 1 2-2h9a2 2 0 0 1 2 2v1",
    "download": "M12 3v12m-4.5-4L12 15.5 16.5 11M5 20h14",
    "eraser": "m7 20.5-4.2-4.2a1.5 1.5 0 0 1 0-2.1L13.2 3.8a1.5 1.5 0 0 1 2.1 0l4.9 4.9a1.5 1.5 0 "
    "0 1 0 2.1L10.5 20.5zM21 20.5H7M8 9l7.5 7.5",
    "folder": "M3 6a2 2 0 0 1 2-2h4l2 3h8a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z",
    "grid": "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h6v6h-6z",
    "image": "M5 3h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2z"
    "m-2 13 5-5 4 4 3-3 6 6M15.5 8.5h.01",
    "info": "M12 16v-5m0-3h.01M22 12a10 10 0 1 1-20 0 10 10 0 0 1 20 0z",
    "more": "M5 12h.01M12 12h.01M19 12h.01",
    "pause": "M8 5v14M16 5v14",
    "pen": "M12 20h9M16.4 3.6a2.1 2.1 0 0 1 3 3L7.2 18.8 3 20l1.2-4.2z",
    "play": "M7 4.5v15l12-7.5z",
    "plus": "M12 5v14M5 12h14",
    "search": "M21 21l-4.4-4.4M19 11a8 8 0 1 1-16 0 8 8 0 0 1 16 0z",
    "send": "M5 12h14m-6-6 6 6-6 6",
    "share": "M12 15V3m-4.5 4L12 2.5 16.5 7M5 12v7a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-7",
    "similar": "M9 15A6 6 0 1 1 9 3a6 6 0 0 1 0 12zM15 21a6 6 0 1 1 0-12 6 6 0 0 1 0 12z",
    "star": "m12 2.8 2.8 5.8 6.4.9-4.6 4.5 1.1 6.3L12 17.3l-5.7 3 1.1-6.3L2.8 9.5l6.4-.9z",
    "trash": "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13",
    "tune": "M4 7h10m4 0h2M4 17h2m4 0h10M16 5v4M8 15v4",
    "undo": "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
}


def icon(name: str) -> Html:
    """A small drawing in the colour of the text around it; it says nothing to a screen reader."""
    path = tag("path", {"d": _PATHS[name]})
    shape = {"class": f"gmi-icon gmi-icon-{name}", "viewBox": "0 0 24 24", "aria-hidden": "true"}
    return tag("svg", shape, path)
