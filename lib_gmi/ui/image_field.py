"""The field that takes images of a query: dropped, pasted or chosen."""

from __future__ import annotations

from ..routes.fields import MAX_IMAGES
from .markup import Html, tag
from .parts import button


def image_field(
    prefix: str, choose: str, drop: Html, clear: Html | None = None, label: Html | None = None
) -> Html:
    """Where images are dropped, and the tiles of those that are there.

    Args:
        prefix: of the ids that the scripts look for.
        choose: the action that opens the file chooser.
        drop: what is shown as long as there are none.
        clear: a button beside the one that adds another.
        label: above everything.
    """
    another = button("Add another example", choose, "gmi-button gmi-plain", mark="plus")
    return tag(
        "div",
        {"class": "gmi-images", "id": f"{prefix}images"},
        label,
        drop,
        tag("ul", {"class": "gmi-tiles", "id": f"{prefix}tiles", "aria-label": "Your images"}),
        tag("div", {"class": "gmi-line gmi-with-images"}, another, clear),
        tag(
            "input",
            {
                "type": "file",
                "id": f"{prefix}file",
                "accept": "image/*",
                "multiple": True,
                "data-most": MAX_IMAGES,
                "hidden": True,
                "aria-label": "Images",
            },
        ),
    )
