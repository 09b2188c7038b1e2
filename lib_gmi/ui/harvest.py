"""The panel of images that exist: what they say, and specifications of them without generating."""

from __future__ import annotations

from typing import Any

from .markup import Html, tag, together
from .parts import button, fold

_WHAT = (
    "Images often say which checkpoint made them. Those in your output folders can serve as "
    "samples, so that nothing has to be generated for a first ranking."
)
_LOSSY = "Also JPEGs and other images that were compressed with losses; less exact"
#: A region's place is kept by its id.
_ID = "gmi_harvest"


def harvest_panel(harvest: dict[str, Any]) -> Html:
    """What :func:`..harvests.harvest_json` says, and what can be done."""
    state = harvest["state"]
    if state in ("looking", "gathering"):
        body = _working(harvest)
    elif state == "ready":
        body = _found(harvest)
    else:
        body = together(tag("p", {"class": "gmi-hint"}, _WHAT), _line("Look at my images"))
    message = tag("p", {"class": "gmi-note"}, harvest["message"]) if harvest["message"] else None
    return tag(
        "div",
        {"id": _ID, "data-state": state},
        tag("h3", None, "Images that you already have"),
        message,
        body,
    )


def _line(look: str, *first: Html) -> Html:
    lossy = tag(
        "label",
        {"class": "gmi-check"},
        tag("input", {"type": "checkbox", "id": "gmi_harvest_lossy"}),
        tag("span", None, _LOSSY),
    )
    again = button(look, "harvest-look", mark="search")
    return together(tag("div", {"class": "gmi-line"}, *first, again), lossy)


def _working(harvest: dict[str, Any]) -> Html:
    if harvest["state"] == "looking":
        doing = tag("span", None, "Images looked at:"), f" {harvest['files']}"
    else:
        at = min(harvest["done"] + 1, harvest["total"])
        doing = tag("span", None, harvest["title"]), f" · {at} / {harvest['total']}"
    return together(
        tag("p", {"class": "gmi-hint", "role": "status"}, *doing),
        tag("progress", {"max": harvest["total"] or None, "value": harvest["done"] or None}),
        tag("div", {"class": "gmi-line"}, button("Stop", "harvest-cancel", "gmi-button gmi-quiet")),
    )


def _found(harvest: dict[str, Any]) -> Html:
    enough = [row for row in harvest["crops"] if not row["missing"]]
    built = {row["title"]: row["images"] for row in harvest["built"]}
    rows = [
        tag(
            "li",
            {"class": "gmi-harvest-row", "data-name": row["name"]},
            tag("strong", None, row["title"]),
            " ",
            tag("span", {"class": "gmi-count"}, row["images"]),
            " ",
            _outcome(row, built),
        )
        for row in harvest["crops"]
    ]
    start = []
    if any(row["title"] not in built for row in enough):
        start = [button("Use them", "harvest-start", "gmi-button gmi-primary")]
    nothing = tag("p", None, "No image names a checkpoint that is installed.") if not rows else None
    return together(
        nothing,
        tag("ul", {"class": "gmi-harvest-rows"}, rows) if rows else None,
        _line("Look again", *start),
        _counted("Not used", harvest["left_out"]),
        _counted("Made with checkpoints that are not installed", harvest["foreign"]),
        tag(
            "p",
            {"class": "gmi-hint"},
            tag("span", None, "Images that do not say what made them:"),
            f" {harvest['silent']}",
        )
        if harvest["silent"]
        else None,
    )


def _outcome(row: dict[str, Any], built: dict[str, int]) -> Html:
    if row["title"] in built:
        return together(tag("span", None, "samples:"), f" {built[row['title']]}")
    if row["missing"]:
        return together(tag("span", None, "images are missing:"), f" {row['missing']}")
    return tag("span", None, "enough")


def _counted(title: str, lines: list[dict[str, Any]]) -> Html | None:
    if not lines:
        return None
    rows = [
        tag("li", None, f"{line['images']} × ", tag("span", None, line["what"])) for line in lines
    ]
    return fold(title, tag("ul", None, rows), count=sum(line["images"] for line in lines))
