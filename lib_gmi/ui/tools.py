"""What can be done with a whole ranking."""

from __future__ import annotations

from typing import Any

from .markup import Html, icon, tag
from .parts import button


def compare_form(answer: dict[str, Any]) -> Html | None:
    """Asks how many of the best to compare; nothing where there is nothing to compare."""
    checkpoints = [row for row in answer["candidates"] if row["kind"] == "checkpoint"]
    if len(checkpoints) < 2:
        return None
    most = min(6, len(checkpoints))
    usual = min(4, most)
    prompt = (answer["prompt"] or {}).get("text", "").strip()
    reason = None if prompt else "Needs a prompt: write one on the left"
    options = [
        tag("option", {"value": number, "selected": number == usual}, number)
        for number in range(2, most + 1)
    ]
    return tag(
        "details",
        {"class": "gmi-fold gmi-compare", "id": "gmi_compare"},
        tag(
            "summary", {"class": "gmi-button gmi-plain"}, icon("grid"), tag("span", None, "Compare")
        ),
        tag(
            "div",
            {"class": "gmi-compare-form"},
            tag("p", {"class": "gmi-hint"}, "Makes one image of the prompt with each of the best."),
            tag("p", {"class": "gmi-quote"}, prompt or reason),
            tag(
                "label",
                {"class": "gmi-inline"},
                tag("span", None, "How many"),
                tag("select", {"class": "gmi-input", "id": "gmi_compare_count"}, options),
            ),
            tag(
                "label",
                {"class": "gmi-inline"},
                tag("span", None, "Seed"),
                tag(
                    "input",
                    {
                        "class": "gmi-input",
                        "id": "gmi_compare_seed",
                        "type": "number",
                        "min": 0,
                        "max": 4294967295,
                        "value": "1",
                    },
                ),
            ),
            button(
                "Compare them",
                "compare",
                "gmi-button gmi-primary",
                title=reason,
                disabled=reason is not None,
            ),
        ),
    )


def share_button() -> Html:
    """Makes the share card."""
    title = "One picture of your image and the first three, to show to others"
    return button("Share card", "share", "gmi-button gmi-plain", title=title, mark="share")
