"""The panel of packs: specifications that others made."""

from __future__ import annotations

from typing import Any

from .markup import Html, tag, together
from .parts import button

_WHAT = (
    "A pack holds specifications that somebody else has built, so that you need not. Your own "
    "always count first."
)


def packs_panel(packs: list[dict[str, Any]], writable: bool) -> Html:
    """What :meth:`..routes.api.Api.packs` says, and what can be done."""
    rows = [
        tag(
            "li",
            {"class": "gmi-harvest-row", "data-gmi-pack": row["id"]},
            tag("strong", None, row["title"]),
            tag("span", None, " · ".join(filter(None, (row["author"], row["licence"])))),
            tag("span", None, f"{row['installed']} / {row['specifications']}"),
            tag("span", None, "installed"),
            tag("span", {"class": "gmi-reason"}, row["problem"]) if row["problem"] else None,
            button("Remove", "pack-remove", "gmi-link", row["id"]) if writable else None,
        )
        for row in packs
    ]
    chooser = tag(
        "input", {"type": "file", "id": "gmi_pack_file", "accept": ".gmipack", "hidden": True}
    )
    return together(
        tag("h3", None, "Packs"),
        tag("p", {"class": "gmi-hint"}, _WHAT),
        tag("ul", {"class": "gmi-harvest-rows"}, rows) if rows else None,
        tag("div", {"class": "gmi-line"}, button("Import a pack", "pack-choose"), chooser)
        if writable
        else None,
    )
