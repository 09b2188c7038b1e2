"""The view *Search*: its skeleton. What changes is put into its regions by the script."""

from __future__ import annotations

from collections.abc import Sequence

from ..routes.fields import MAX_PROMPT
from .image_field import image_field
from .markup import Html, icon, tag
from .parts import button, region

#: Parts of a query that can be weighed, and what they are called.
PARTS = (
    ("text", "Text"),
    ("image", "What the images show"),
    ("style", "How the images look"),
    ("sketch", "Sketch"),
    ("tags", "Tags"),
    ("like", "Checkpoint"),
)
KINDS = (("checkpoints", "Checkpoints"), ("samples", "Images"))
_EMPTY = (
    "Describe what you are looking for, draw it, or give an example. Checkpoints and images that "
    "show it appear here."
)
_TAGS = (("any", "Any of them"), ("all", "All of them"))
_SIDE = 512


def search_view() -> Html:
    """The whole view, empty."""
    return tag(
        "section",
        {
            "class": "gmi-find gmi-searching",
            "id": "gmi_searching",
            "data-gmi-view": "search",
            "role": "tabpanel",
            "aria-labelledby": "gmi_view_search",
            "hidden": True,
        },
        tag(
            "div",
            {"class": "gmi-ask"},
            _text(),
            _images(),
            _sketch(),
            _tags(),
            _like(),
            region("search-filters", **{"class": "gmi-filters"}),
            tag(
                "div",
                {"class": "gmi-more"},
                _more(),
                button("Search", "search", "gmi-button gmi-primary gmi-find-button", mark="search"),
            ),
            region("search-folders"),
        ),
        _answer(),
    )


def _text() -> Html:
    return tag(
        "div",
        {"class": "gmi-field"},
        tag("label", {"class": "gmi-label", "for": "gmi_search_text"}, "What it should show"),
        tag(
            "textarea",
            {
                "class": "gmi-input",
                "id": "gmi_search_text",
                "rows": 2,
                "maxlength": MAX_PROMPT,
                "placeholder": "A lighthouse in a storm",
            },
        ),
    )


def _images() -> Html:
    drop = tag(
        "div",
        {"class": "gmi-drop gmi-drop-small", "data-choose": "search-choose"},
        icon("image"),
        tag("span", None, "Drop or paste an image"),
        button("Choose images", "search-choose", "gmi-button gmi-plain"),
    )
    label = tag("span", {"class": "gmi-label"}, "Images like this")
    return image_field("gmi_search_", "search-choose", drop, label=label)


def _sketch() -> Html:
    """The pad: the script draws on it, so it is the same in every gradio."""

    def tool(action: str, mark: str, label: str, pressed: bool | None = None) -> Html:
        return tag(
            "button",
            {
                "type": "button",
                "class": "gmi-icon-button gmi-tool",
                "data-gmi": action,
                "title": label,
                "aria-label": label,
                "aria-pressed": None if pressed is None else str(pressed).lower(),
            },
            icon(mark),
        )

    width = {
        "type": "range",
        "id": "gmi_pad_width",
        "class": "gmi-range",
        "min": 2,
        "max": 40,
        "value": "6",
        "aria-label": "Width of the line",
        "title": "Width of the line",
    }
    return tag(
        "details",
        {"class": "gmi-fold gmi-pad", "id": "gmi_pad"},
        tag("summary", None, icon("chevron"), tag("span", None, "Draw a sketch")),
        tag(
            "div",
            {"class": "gmi-pad-body"},
            tag(
                "canvas",
                {
                    "id": "gmi_canvas",
                    "width": _SIDE,
                    "height": _SIDE,
                    "role": "img",
                    "aria-label": "Sketch pad: draw with a mouse, a pen or a finger",
                },
            ),
            tag(
                "div",
                {"class": "gmi-pad-tools", "role": "toolbar", "aria-label": "Sketch"},
                tool("pad-pen", "pen", "Pen", True),
                tool("pad-eraser", "eraser", "Eraser", False),
                tag("input", width),
                tool("pad-undo", "undo", "Undo"),
                tool("pad-clear", "trash", "Clear"),
            ),
        ),
    )


def _segments(name: str, choices: Sequence[tuple[str, str]]) -> list[Html]:
    """One of several, the first to begin with: values and labels."""
    return [
        tag(
            "label",
            {"class": "gmi-segment"},
            tag(
                "input",
                {
                    "type": "radio",
                    "name": f"gmi_search_{name}",
                    "value": key,
                    "checked": (key, label) == choices[0],
                    "data-gmi": f"search-{name}",
                },
            ),
            tag("span", None, label),
        )
        for key, label in choices
    ]


def _tags() -> Html:
    modes = _segments("mode", _TAGS)
    return tag(
        "div",
        {"class": "gmi-field"},
        tag("label", {"class": "gmi-label", "for": "gmi_search_tag"}, "Tags"),
        tag(
            "div",
            {"class": "gmi-input gmi-tags", "id": "gmi_search_tags"},
            tag("ul", {"id": "gmi_search_chips", "aria-label": "Tags"}),
            tag(
                "input",
                {
                    "type": "text",
                    "id": "gmi_search_tag",
                    "maxlength": 200,
                    "autocomplete": "off",
                    "placeholder": "robot, city",
                    "aria-describedby": "gmi_search_tags_how",
                },
            ),
        ),
        tag(
            "p",
            {"class": "gmi-unseen", "id": "gmi_search_tags_how"},
            "Enter or a comma makes a tag. Backspace takes the last one away.",
        ),
        tag(
            "div",
            {"class": "gmi-segments gmi-tags-mode", "role": "radiogroup", "aria-label": "Tags"},
            modes,
        ),
    )


def _like() -> Html:
    return tag(
        "label",
        {"class": "gmi-field"},
        tag("span", {"class": "gmi-label"}, "More like this checkpoint"),
        tag(
            "select",
            {"class": "gmi-input", "id": "gmi_search_like", "data-gmi": "search-like"},
            tag("option", {"value": ""}, "None chosen"),
        ),
    )


def _more() -> Html:
    def field(key: str, label: str, example: str) -> Html:
        return tag(
            "label",
            {"class": "gmi-field"},
            tag("span", {"class": "gmi-label"}, label),
            tag(
                "input",
                {
                    "type": "text",
                    "class": "gmi-input",
                    "id": f"gmi_search_{key}",
                    "data-gmi": "search-words",
                    "maxlength": 500,
                    "placeholder": example,
                },
            ),
        )

    return tag(
        "details",
        {"class": "gmi-fold gmi-search-more"},
        tag("summary", None, icon("chevron"), tag("span", None, "More")),
        field("pattern", "Only checkpoints of these names", "*XL*, !pony"),
        field("having", "Only samples whose prompts name one of these", "portrait, street"),
        tag(
            "fieldset",
            {"class": "gmi-weights", "id": "gmi_weights", "hidden": True},
            tag("legend", {"class": "gmi-label"}, "How much each part counts"),
            [_weight(key, label) for key, label in PARTS],
        ),
    )


def _weight(part: str, label: str) -> Html:
    return tag(
        "label",
        {"class": "gmi-weight", "data-part": part, "hidden": True},
        tag("span", None, label),
        tag(
            "input",
            {
                "type": "range",
                "class": "gmi-range",
                "min": 0,
                "max": 3,
                "step": "0.25",
                "value": "1",
                "data-gmi": "search-weight",
                "data-part": part,
            },
        ),
        tag("output", None, "×1"),
    )


def _answer() -> Html:
    kinds = _segments("kind", KINDS)
    return tag(
        "div",
        {"class": "gmi-answer"},
        tag("div", {"class": "gmi-busy", "aria-hidden": "true"}),
        tag(
            "div",
            {"class": "gmi-search-head"},
            tag(
                "div",
                {"class": "gmi-segments gmi-kinds", "role": "radiogroup", "aria-label": "Show"},
                kinds,
            ),
            tag(
                "ul",
                {"class": "gmi-parts", "id": "gmi_parts", "aria-label": "What is looked for"},
            ),
        ),
        region(
            "found",
            tag("div", {"class": "gmi-empty"}, icon("search"), tag("p", None, _EMPTY)),
            id="gmi_found",
            **{"aria-live": "polite"},
        ),
    )
