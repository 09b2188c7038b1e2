"""Checkpoints that a search found, as cards: the same look as those of a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import words
from .cards import SIMILAR, Query, frame, load_buttons
from .markup import Html, icon, tag
from .parts import bar, button, chip, lesser_button, note, thumb

#: What an expert of the answer is called where there are several.
EXPERTS = {
    "text": "Text",
    "image": "Content",
    "style": "Look",
    "sketch": "Sketch",
    "tags": "Tags",
    "like": "Checkpoint",
}
_FIT = "How well it fits, in standard deviations of your checkpoints. The larger, the better."
#: Nearer to zero than this is the average.
_SOME = 0.05


def found_checkpoints(
    rows: Sequence[dict[str, Any]], notes: Sequence[str], query: Query, more: int = 0
) -> Html:
    """The answer of a search for checkpoints.

    Args:
        rows: best first: ``rank``, ``name`` (of the installed file), ``title``, ``architecture``,
            ``score``, ``share`` (of the bar), ``parts``, ``samples`` and ``evidence`` (``image``
            and ``prompt`` of each).
        notes: whole sentences on how it came about.
        query: what the tab knows; ``text`` of it is whether a prompt can be sent.
        more: so many further ones are there to be shown.
    """
    return tag(
        "div",
        {"class": "gmi-ranking", "data-gmi-search": query.key},
        tag(
            "div",
            {"class": "gmi-verdict", "id": "gmi_found_verdict"},
            tag(
                "h2",
                None,
                tag("span", None, words.last_part(rows[0]["title"])),
                " ",
                tag("span", None, "fits best."),
            ),
        ),
        [note("info", text) for text in notes],
        tag(
            "ol",
            {"class": "gmi-cards", "aria-label": "Checkpoints that fit"},
            [_card(row, query) for row in rows],
        ),
        show_more(more),
    )


def show_more(more: int) -> Html | None:
    """Asks for the rest of an answer."""
    if more < 1:
        return None
    return tag("div", {"class": "gmi-show-more"}, button("Show more", "search-further"))


def _card(row: dict[str, Any], query: Query) -> Html:
    first, pictured = row["rank"] == 1, bool(row["evidence"])
    return frame(
        row,
        query,
        ("gmi-card-first" if first else "", "" if pictured else "gmi-card-bare"),
        _chips(row),
        _fit(row),
        _evidence(row) if pictured else None,
        tag("div", {"class": "gmi-card-foot"}, _experts(row), _actions(row, first, query)),
    )


def _chips(row: dict[str, Any]) -> Html:
    count = row["samples"]
    samples = tag("span", {"class": "gmi-chip"}, words.counted(count, "sample"))
    architecture = row["architecture"]
    return tag(
        "div",
        {"class": "gmi-chips"},
        chip(words.architecture(architecture)) if architecture else None,
        samples,
    )


def _fit(row: dict[str, Any]) -> Html:
    score = row["score"]
    lead = "your average"
    if abs(score) > _SOME:
        lead = "above your average" if score > 0 else "below your average"
    return tag(
        "div",
        {"class": "gmi-chance", "title": _FIT},
        tag("span", {"class": "gmi-percent"}, _signed(score)),
        tag("span", {"class": "gmi-lead"}, lead),
        bar(row["share"], f"Fit {_signed(score)}"),
    )


def _experts(row: dict[str, Any]) -> Html | None:
    """How far each part of the query speaks for it, where there are several."""
    parts: dict[str, float] = row["parts"]
    if len(parts) < 2:
        return None
    each = [
        tag(
            "span",
            {"class": "gmi-expert"},
            tag("span", None, EXPERTS.get(part, part)),
            " ",
            tag("span", {"class": "gmi-count"}, _signed(score)),
        )
        for part, score in parts.items()
    ]
    return tag("p", {"class": "gmi-experts"}, each)


def _evidence(row: dict[str, Any]) -> Html:
    found = [thumb(sample["image"], sample["prompt"]) for sample in row["evidence"]]
    label = "Its samples that fit best"
    return tag(
        "div",
        {
            "class": f"gmi-samples gmi-samples-{len(found)}",
            "role": "group",
            "aria-label": label,
            "data-gmi-set": row["name"],
        },
        found,
    )


def _actions(row: dict[str, Any], first: bool, query: Query) -> Html:
    name = row["name"]
    buttons: list[Html] = []
    if query.abilities.load and row["kind"] == "checkpoint":
        buttons += load_buttons(name, name == query.current, first)
    if query.abilities.send and query.text and row["kind"] == "checkpoint":
        buttons.append(lesser_button("Send prompt to txt2img", "search-send", "send", name, first))
    if row["evidence"]:
        buttons.append(lesser_button("Show samples", "samples", "grid", name, first))
    buttons.append(lesser_button(*SIMILAR, name, first))
    return tag("div", {"class": "gmi-actions"}, buttons)


def _signed(score: float) -> str:
    text = f"{score:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "\u2212")


def alert(text: str) -> Html:
    """A sentence in the place of an answer that there is not."""
    return tag("div", {"class": "gmi-empty"}, icon("search"), tag("p", None, text))
