"""A ranking as HTML: a pure function of what :meth:`..routes.api.Api.ranking_json` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import words
from .cards import Query, card, pictured
from .markup import Html, icon, tag, together
from .parts import button, fold, note
from .tools import compare_form, share_button

_NOT_COMPARED = (
    "checkpoint was not compared: it has no specification yet.",
    "checkpoints were not compared: they have no specification yet.",
)
#: How notes begin that say why a prompt did not count.
_PROMPT_UNUSED = "The prompt was not used"
_CONFORMAL = "Nine times in ten, for images like your checkpoints' own, the right one is among the"


def ranking(answer: dict[str, Any], query: Query) -> Html:
    """Verdict, notes, cards, and what can be done with them."""
    rows: list[dict[str, Any]] = answer["candidates"]
    bare = not any(pictured(row) for row in rows)
    cards = [
        card(row, rows[at + 1] if at + 1 < len(rows) else None, answer, query)
        for at, row in enumerate(rows)
    ]
    asides = [text for text in answer["notes"] if _aside(text, query)]
    return tag(
        "div",
        {"class": f"gmi-ranking{' gmi-bare' if bare else ''}", "data-gmi-query": query.key},
        [_made_with(said, query) for said in answer.get("made_with", ())],
        verdict(answer),
        [note("info", text) for text in answer["notes"] if text not in asides],
        _missing(answer["missing"], query),
        tag(
            "div",
            {"class": "gmi-tools"},
            compare_form(answer) if query.abilities.compare else None,
            share_button() if rows else None,
        ),
        tag("div", {"data-gmi-region": "compare"}),
        tag("ol", {"class": "gmi-cards", "aria-label": "Ranking"}, cards),
        _elsewhere(answer.get("elsewhere", ())),
        _conformal(answer),
        _how(answer, query, asides),
    )


def _made_with(said: dict[str, Any], query: Query) -> Html:
    """What a file says itself; it stands before the ranking, never in its place."""
    name = said["installed"]
    load = name is not None and query.abilities.load
    return tag(
        "p",
        {"class": "gmi-note gmi-made-with", "data-gmi-made-with": name or ""},
        icon("info"),
        tag("span", None, said["sentence"]),
        button("Load it", "load", "gmi-link", name) if load else None,
    )


def _aside(text: str, query: Query) -> bool:
    """Whether a note is about something that nobody asked for."""
    return query.found_prompt and text.startswith(_PROMPT_UNUSED)


def verdict(answer: dict[str, Any]) -> Html:
    """The answer in one sentence; visibly another thing when nothing fits well."""
    foreign = bool(answer["foreign"])
    return tag(
        "div",
        {"class": f"gmi-verdict{' gmi-verdict-foreign' if foreign else ''}", "id": "gmi_verdict"},
        icon("alert") if foreign else None,
        tag(
            "div",
            None,
            tag("p", {"class": "gmi-kicker"}, "Nothing fits well") if foreign else None,
            tag("h2", None, answer["verdict"]),
        ),
    )


def _missing(number: int, query: Query) -> Html | None:
    if not number:
        return None
    return tag(
        "p",
        {"class": "gmi-note"},
        icon("info"),
        tag(
            "span",
            None,
            tag("span", None, number),
            " ",
            tag("span", None, _NOT_COMPARED[number != 1]),
            " ",
            button("Build them", "build-missing", "gmi-link") if query.abilities.build else None,
        ),
    )


def _elsewhere(rows: Sequence[dict[str, Any]]) -> Html | None:
    """What only packs know and would fit better; nothing is opened unless somebody clicks."""
    lines = [
        tag(
            "li",
            None,
            tag("strong", None, row["title"]),
            " ",
            tag("span", {"class": "gmi-hint"}, f"{row['pack']} {row['author']}".strip()),
            " ",
            tag(
                "a",
                {
                    "class": "gmi-link",
                    "href": row["page"],
                    "target": "_blank",
                    "rel": "noopener noreferrer",
                },
                "Look for it",
            )
            if row["page"]
            else None,
        )
        for row in rows
    ]
    if not lines:
        return None
    return fold("Not installed, but closer", tag("ul", None, lines), count=len(lines))


def _conformal(answer: dict[str, Any]) -> Html | None:
    count = answer["conformal"]
    if answer["foreign"] or not 0 < count < len(answer["candidates"]):
        return None
    which = "first." if count == 1 else f"first {count}."
    return note("info", _CONFORMAL, " ", which)


def _how(answer: dict[str, Any], query: Query, asides: Sequence[str]) -> Html:
    prompt = answer["prompt"]
    source = "Prompt, guessed from the most similar samples:"
    if prompt and prompt["source"] == "user":
        source = "Prompt, as it was given:"
        if query.found_prompt:
            source = "Prompt, from the image's metadata:"
    left_out = [
        tag(
            "p",
            None,
            tag("strong", None, row["title"]),
            " ",
            words.sentence(row["reason"], row["title"]),
        )
        for row in answer["excluded"]
    ]
    return together(
        fold(
            "How this was ranked",
            tag(
                "p",
                None,
                tag("span", None, "Method:"),
                " ",
                tag("code", None, answer["method"]),
                " ",
                answer["reason"],
            ),
            tag("p", None, tag("span", None, source), " ", prompt["text"]) if prompt else None,
            [tag("p", None, text) for text in asides],
        ),
        fold("Left out", left_out, count=len(left_out)) if left_out else None,
    )
