"""The table of checkpoints, and what hangs on a row: pure functions of ``Api.library()``."""

from __future__ import annotations

import json
from typing import Any

from . import words
from .bridge import Abilities
from .markup import Html, icon, tag, together
from .parts import button, chip, star, thumb

#: Words of :class:`..service.CheckpointState`, for people.
STATES = {
    "none": "No specification",
    "imported": "From a pack",
    "harvested": "From your images",
    "quick": "Quick",
    "ready": "Ready",
    "outdated": "Outdated",
    "suspect": "Suspect",
    "unsupported": "Unsupported",
    "failed": "Failed",
}
#: How the table sorts by state: what wants attention comes first.
_ORDER = (
    "failed",
    "suspect",
    "outdated",
    "none",
    "imported",
    "harvested",
    "quick",
    "ready",
    "unsupported",
)
#: Keys of the chips above the table, their label, and the states they show.
SHOWN = (
    ("all", "All", tuple(STATES)),
    ("missing", "Missing", ("none", "outdated")),
    ("ready", "Ready", ("ready", "quick", "harvested", "imported")),
    ("problems", "Problems", ("suspect", "failed", "unsupported")),
)
SORTS = (("name", "Name"), ("state", "State"), ("size", "Size"), ("built", "Built"))


def row(
    row: dict[str, Any], abilities: Abilities, preview: str | None = None, deletable: bool = True
) -> Html:
    """One line of the table.

    Args:
        row: as ``Api.library()`` says.
        abilities: of the program.
        preview: ``"make"`` or ``"undo"``, if a picture can be put beside its file, or taken away.
        deletable: its specification is the user's to delete.
    """
    name, title = row["name"], row["title"]
    return tag(
        "li",
        {
            "class": f"gmi-row gmi-row-{row['state']}",
            "data-gmi-row": name,
            "data-title": f"{title} {name}".lower(),
            "data-state": row["state"],
            "data-order": _ORDER.index(row["state"]),
            "data-size": row["size"],
            "data-built": row["built"] or 0,
            "data-missing": json.dumps(row["missing"]),
            "data-favourite": row["favourite"],
        },
        tag(
            "span",
            {"class": "gmi-cell-check"},
            tag(
                "input",
                {
                    "type": "checkbox",
                    "data-gmi": "select",
                    "data-name": name,
                    "aria-label": f"Select {title}",
                    "disabled": not buildable(row),
                },
            ),
        )
        if abilities.build
        else None,
        tag(
            "span",
            {"class": "gmi-cell-thumb", "data-gmi-set": name},
            thumb(row["previews"][0], title, "gmi-thumb-row")
            if row["previews"]
            else thumb(None, title, "gmi-thumb-row"),
        ),
        tag(
            "div",
            {"class": "gmi-cell-name"},
            words.elided(title, name),
            _reason(row["reason"], title),
        ),
        tag("div", {"class": "gmi-cell-state"}, state_chip(row)),
        tag("div", {"class": "gmi-cell-kind gmi-chips"}, _kinds(row)),
        tag("span", {"class": "gmi-cell-size"}, words.size(row["size"])),
        tag(
            "span",
            {
                "class": "gmi-cell-built",
                "title": words.date(row["built"]) if row["built"] else None,
            },
            words.ago(row["built"]) if row["built"] else "",
        ),
        tag("span", {"class": "gmi-cell-star"}, star(name, title, row["favourite"])),
        tag("div", {"class": "gmi-cell-menu"}, _menu(row, abilities, preview, deletable)),
    )


def _reason(reason: str | None, title: str) -> Html | None:
    if not reason:
        return None
    return tag("p", {"class": "gmi-reason", "title": reason}, words.sentence(reason, title))


def buildable(row: dict[str, Any]) -> bool:
    """Whether a build can make samples of it; of a suspect one only after it is removed."""
    return row["kind"] == "checkpoint" and row["state"] not in ("unsupported", "suspect")


def state_chip(row: dict[str, Any]) -> Html:
    """A state, with how many samples there are of how many."""
    state = row["state"]
    begun = row["samples"] > 0 and state in ("none", "quick", "ready")
    count = f"{row['samples']} of {row['of']}" if begun and state != "ready" else None
    if state == "harvested":
        count = str(row["harvested"])
    label = "Begun" if state == "none" and begun else STATES[state]
    return tag(
        "span",
        {"class": f"gmi-state gmi-state-{state}"},
        tag("span", {"class": "gmi-dot"}),
        tag("span", None, label),
        tag("span", {"class": "gmi-state-count"}, count) if count else None,
    )


def _kinds(row: dict[str, Any]) -> list[Html]:
    texts = [words.architecture(row["architecture"])] if row["architecture"] else []
    texts += [row[key] for key in ("acceleration", "family") if row[key]]
    chips = [chip(text) for text in texts]
    if row["kind"] == "recipe":
        chips = [chip("Workflow", "gmi-chip-accent")]
    if row["edited"]:
        chips.append(chip("Own settings", "gmi-chip-accent"))
    return chips


def _menu(row: dict[str, Any], abilities: Abilities, preview: str | None, deletable: bool) -> Html:
    name, title = row["name"], row["title"]
    lacks = any(row["missing"].values())
    entries: list[Html] = []

    def entry(label: str, action: str) -> None:
        entries.append(button(label, action, "gmi-menu-entry", name))

    if abilities.build and buildable(row) and lacks:
        entry("Build" if not row["stored"] else "Build more", "build-one")
    if abilities.build and row["stored"] and row["kind"] == "checkpoint":
        entry("Rebuild", "rebuild")
    if row["previews"]:
        entry("Show samples", "samples")
    if row["settings"]:
        entry("Settings", "settings")
    if preview == "make":
        entry("Use best sample as preview", "preview-make")
    if preview == "undo":
        entry("Remove the preview", "preview-undo")
    if row["state"] == "imported" and abilities.build:
        entry("Check the pack with three images", "pack-check")
    if row["stored"] and deletable:
        entry("Delete specification", "delete")
    if not entries:
        return together()
    return tag(
        "details",
        {"class": "gmi-menu"},
        tag(
            "summary",
            {"class": "gmi-icon-button", "aria-label": f"More for {title}", "title": "More"},
            icon("more"),
        ),
        tag("div", {"class": "gmi-menu-list"}, entries),
    )


def extras(library: dict[str, Any]) -> Html:
    """Near-duplicates, and specifications of what is not installed any more."""
    groups = [_group(group) for group in library["groups"]]
    gone = [_gone(entry) for entry in library["gone"]]
    return together(
        tag(
            "section",
            {"class": "gmi-panel"},
            tag("h3", None, "Nearly the same"),
            tag("ul", {"class": "gmi-plain-list"}, groups),
        )
        if groups
        else None,
        tag(
            "section",
            {"class": "gmi-panel"},
            tag("h3", None, "No longer installed"),
            tag(
                "p",
                {"class": "gmi-hint"},
                "Their specifications are kept in case the files come back.",
            ),
            tag("ul", {"class": "gmi-plain-list"}, gone),
        )
        if gone
        else None,
    )


def _group(group: dict[str, Any]) -> Html:
    titles = group["titles"]
    these = "These two" if len(titles) == 2 else f"These {len(titles)}"
    return tag(
        "li",
        {"class": "gmi-group"},
        tag(
            "p",
            None,
            icon("copies"),
            tag("span", None, f"{these} are nearly the same:"),
            " ",
            tag("strong", None, words.size(group["bytes"])),
            " ",
            tag("span", None, "together"),
        ),
        tag("p", {"class": "gmi-group-titles"}, [chip(title) for title in titles]),
    )


def _gone(entry: dict[str, Any]) -> Html:
    return tag(
        "li",
        {"class": "gmi-gone", "data-gmi-gone": entry["identity"]},
        words.elided(entry["title"], entry["name"]),
        tag("span", {"class": "gmi-hint"}, words.counted(entry["samples"], "sample")),
        button("Delete", "delete-gone", "gmi-button gmi-quiet", entry["identity"]),
    )
