"""The tab's skeleton. What changes is put into its regions by the script."""

from __future__ import annotations

from ..routes.fields import MAX_PROMPT
from ..routes.guard import TOKEN
from .bridge import Abilities
from .image_field import image_field
from .markup import Html, icon, tag
from .parts import button, region
from .rows import SORTS
from .search_page import search_view

METHODS = (
    ("auto", "Choose what suits my library"),
    ("learned", "Learned kernel"),
    ("weighted-rkme", "Weighted RKME (the paper's)"),
    ("rkme-clip", "RKME, image only"),
    ("rkme-concat", "RKME, image and prompt together"),
)
_EMPTY = (
    "The ranking appears here: which of your checkpoints makes images like yours, and how sure "
    "that is."
)


def skeleton(abilities: Abilities, blur: bool) -> Html:
    """The whole tab, empty."""
    classes = ["gmi"]
    if blur:
        classes.append("gmi-blur")
    if not abilities.build:
        classes.append("gmi-no-builds")
    return tag(
        "div",
        {"class": " ".join(classes), "id": "gmi_root", "data-gmi-root": True, "data-token": TOKEN},
        tag(
            "header",
            {"class": "gmi-head"},
            tag(
                "div",
                {"class": "gmi-views", "role": "tablist"},
                _view("find", "Find", True),
                _view("search", "Search", False, "searching"),
                _view("specifications", "Specifications", False),
            ),
            region("strip", id="gmi_strip"),
        ),
        region("trouble"),
        _find(abilities),
        search_view(),
        _specifications(abilities),
        tag("dialog", {"class": "gmi-dialog", "id": "gmi_dialog"}),
        tag("dialog", {"class": "gmi-dialog gmi-lightbox", "id": "gmi_lightbox"}),
    )


def _view(key: str, label: str, chosen: bool, section: str | None = None) -> Html:
    return tag(
        "button",
        {
            "type": "button",
            "role": "tab",
            "class": "gmi-view-button",
            "id": f"gmi_view_{key}",
            "data-gmi": "view",
            "data-value": key,
            "tabindex": 0 if chosen else -1,  # the arrow keys reach the others
            "aria-selected": "true" if chosen else "false",
            "aria-controls": f"gmi_{section or key}",
        },
        tag("span", None, label),
    )


def _find(abilities: Abilities) -> Html:
    return tag(
        "section",
        {
            "class": "gmi-find",
            "id": "gmi_find",
            "data-gmi-view": "find",
            "role": "tabpanel",
            "aria-labelledby": "gmi_view_find",
        },
        tag(
            "div",
            {"class": "gmi-ask"},
            _drop(),
            _prompt(abilities),
            region("filters", **{"class": "gmi-filters"}),
            _more(abilities),
        ),
        tag(
            "div",
            {"class": "gmi-answer"},
            tag("div", {"class": "gmi-busy", "aria-hidden": "true"}),
            region("first"),
            region("switched"),
            region(
                "result",
                tag("div", {"class": "gmi-empty"}, icon("search"), tag("p", None, _EMPTY)),
                id="gmi_result",
                **{"aria-live": "polite"},
            ),
        ),
    )


def _drop() -> Html:
    hint = "Paste works too. Several images of the same wish are surer than one."
    drop = tag(
        "div",
        {"class": "gmi-drop", "id": "gmi_drop", "data-choose": "choose"},
        icon("image"),
        tag("p", {"class": "gmi-drop-title"}, "Drop an image you like"),
        tag("p", {"class": "gmi-hint"}, hint),
        button("Choose images", "choose", "gmi-button gmi-plain"),
    )
    return image_field("gmi_", "choose", drop, button("Clear", "clear", "gmi-button gmi-quiet"))


def _prompt(abilities: Abilities) -> Html:
    describe = None
    if abilities.interrogate:
        title = "Describes your image in words"
        describe = button("Describe", "describe", "gmi-link", title=title)
    return tag(
        "div",
        {"class": "gmi-field"},
        tag(
            "div",
            {"class": "gmi-field-head"},
            tag("label", {"class": "gmi-label", "for": "gmi_prompt"}, "Prompt, if you know it"),
            describe,
        ),
        tag(
            "textarea",
            {
                "class": "gmi-input",
                "id": "gmi_prompt",
                "rows": 2,
                "maxlength": MAX_PROMPT,
                "placeholder": "What the image shows",
            },
        ),
        tag(
            "p",
            {"class": "gmi-hint", "id": "gmi_prompt_note", "hidden": True},
            "From the image's metadata.",
        ),
    )


def _more(abilities: Abilities) -> Html:
    options = [tag("option", {"value": key}, label) for key, label in METHODS]
    return tag(
        "div",
        {"class": "gmi-more"},
        tag(
            "label",
            {"class": "gmi-check", "id": "gmi_auto_label"},
            tag("input", {"type": "checkbox", "id": "gmi_auto", "data-gmi": "auto"}),
            tag("span", None, "Switch automatically to the best match"),
        )
        if abilities.load
        else None,
        tag(
            "details",
            {"class": "gmi-fold"},
            tag("summary", None, icon("chevron"), tag("span", None, "More")),
            tag(
                "label",
                {"class": "gmi-field"},
                tag("span", {"class": "gmi-label"}, "Method"),
                tag(
                    "select",
                    {"class": "gmi-input", "id": "gmi_method", "data-gmi": "method"},
                    options,
                ),
            ),
        ),
        button("Find", "find", "gmi-button gmi-primary gmi-find-button", mark="search"),
    )


def _specifications(abilities: Abilities) -> Html:
    return tag(
        "section",
        {
            "class": "gmi-specifications",
            "id": "gmi_specifications",
            "data-gmi-view": "specifications",
            "role": "tabpanel",
            "aria-labelledby": "gmi_view_specifications",
            "hidden": True,
        },
        tag(
            "div",
            {"class": "gmi-overview"},
            region("counts", **{"class": "gmi-panel"}),
            region("build", **{"class": "gmi-panel", "id": "gmi_build"})
            if abilities.build
            else None,
        ),
        region("harvest", **{"class": "gmi-panel gmi-harvest-panel"}) if abilities.build else None,
        tag(
            "div",
            {"class": "gmi-table-tools"},
            tag(
                "label",
                {"class": "gmi-search"},
                icon("search"),
                tag(
                    "input",
                    {
                        "type": "search",
                        "class": "gmi-input",
                        "id": "gmi_search",
                        "placeholder": "Search checkpoints",
                        "aria-label": "Search checkpoints",
                    },
                ),
            ),
            region("states", **{"class": "gmi-toggles"}),
            tag("span", {"class": "gmi-hint gmi-selected", "id": "gmi_selected"}),
        ),
        tag("div", {"class": "gmi-table"}, _header(abilities), tag("ul", {"id": "gmi_rows"})),
        tag(
            "p",
            {"class": "gmi-empty", "id": "gmi_no_rows", "hidden": True},
            "No checkpoint is here.",
        ),
        region("extras", **{"class": "gmi-extras"}),
        region("packs", **{"class": "gmi-panel"}),
    )


def _header(abilities: Abilities) -> Html:
    def sort(key: str, label: str) -> Html:
        return tag(
            "button",
            {
                "type": "button",
                "class": "gmi-sort",
                "data-gmi": "sort",
                "data-value": key,
                "aria-pressed": "true" if key == "name" else "false",
            },
            tag("span", None, label),
            icon("chevron"),
        )

    by = {key: sort(key, label) for key, label in SORTS}
    everything = {
        "type": "checkbox",
        "id": "gmi_select_all",
        "data-gmi": "select-all",
        "aria-label": "Select all that are shown",
    }
    return tag(
        "div",
        {"class": "gmi-row gmi-header"},
        tag("span", {"class": "gmi-cell-check"}, tag("input", everything))
        if abilities.build
        else None,
        tag("span", {"class": "gmi-cell-thumb"}),
        tag("span", {"class": "gmi-cell-name"}, by["name"]),
        tag("span", {"class": "gmi-cell-state"}, by["state"]),
        tag("span", {"class": "gmi-cell-kind"}, "Base model"),
        tag("span", {"class": "gmi-cell-size"}, by["size"]),
        tag("span", {"class": "gmi-cell-built"}, by["built"]),
        tag("span", {"class": "gmi-cell-star"}),
        tag("span", {"class": "gmi-cell-menu"}),
    )
