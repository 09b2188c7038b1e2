"""The cards of a ranking: pure functions of what :meth:`..routes.api.Api.ranking_json` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import words
from .bridge import Abilities
from .markup import Html, icon, tag, together
from .parts import bar, button, chip, lesser_button, star, thumb

#: Fewer samples than this are said to be few.
FEW = 8
#: So much likelier than the next one, in words.
_LEADS = ((8.0, "far ahead of the next"), (1.8, "ahead of the next"), (1.15, "just ahead"))
_LEVEL = "level with the next"
#: Label, action, drawing.
_SEND = ("Send prompt to txt2img", "send", "send")
_SAMPLES = ("Show samples", "samples", "grid")
SIMILAR = ("Find similar checkpoints", "similar", "similar")


@dataclass(frozen=True)
class Query:
    """What a ranking was made for, as far as it is shown.

    Attributes:
        key: under which the tab remembers it.
        abilities: of the program.
        favourites: names that are marked.
        current: name of the checkpoint that is loaded.
        found_prompt: the prompt is from the image's metadata; nobody asked for it.
        text: there are words in the query.
    """

    key: str
    abilities: Abilities
    favourites: frozenset[str] = frozenset()
    current: str | None = None
    found_prompt: bool = False
    text: bool = False


def pictured(row: dict[str, Any]) -> bool:
    """Whether a picture was kept of any sample that speaks for a candidate."""
    return any(sample["image"] is not None for sample in row["evidence"])


def card(
    row: dict[str, Any], following: dict[str, Any] | None, answer: dict[str, Any], query: Query
) -> Html:
    """One checkpoint of a ranking."""
    first = row["rank"] == 1 and not answer["foreign"]
    return frame(
        row,
        query,
        ("gmi-card-first" if first else "", "" if pictured(row) else "gmi-card-bare"),
        _chips(row),
        _probability(row, following),
        evidence(row),
        tag(
            "div",
            {"class": "gmi-card-foot"},
            _same(row, answer["near_duplicates"]),
            _actions(row, first, query),
        ),
    )


def frame(
    row: dict[str, Any], query: Query, kinds: Sequence[str], chips: Html, *content: Html | None
) -> Html:
    """A card with its head: rank, title, star and chips. ``kinds`` are classes besides."""
    name = row["name"]
    return tag(
        "li",
        {
            "class": " ".join(filter(None, ("gmi-card", *kinds))),
            "data-gmi-card": name,
            "data-gmi-rank": row["rank"],
        },
        tag(
            "div",
            {"class": "gmi-card-head"},
            tag("span", {"class": "gmi-rank", "aria-label": f"Rank {row['rank']}"}, row["rank"]),
            words.elided(row["title"], name, "h3"),
            star(name, row["title"], name in query.favourites),
            chips,
        ),
        content,
    )


def _probability(row: dict[str, Any], following: dict[str, Any] | None) -> Html:
    share = row["probability"]
    if share is None:
        score = f"{row['score']:.4g}"
        return tag(
            "div",
            {"class": "gmi-chance", "title": "The lower, the nearer"},
            tag("span", {"class": "gmi-percent"}, score),
            tag("span", {"class": "gmi-lead"}, "score"),
        )
    return tag(
        "div",
        {"class": "gmi-chance"},
        tag("span", {"class": "gmi-percent"}, words.percent(share)),
        tag("span", {"class": "gmi-lead"}, lead(share, following)),
        bar(share, f"Probability {words.percent(share)}"),
    )


def lead(share: float, following: dict[str, Any] | None) -> str:
    """How far a candidate is ahead of the next one, in words."""
    if following is None or following["probability"] is None or share < 0.01:
        return ""
    ratio = share / max(following["probability"], 1e-9)
    return next((text for least, text in _LEADS if ratio >= least), _LEVEL)


def evidence(row: dict[str, Any]) -> Html | None:
    """The samples that speak most for a candidate; in words where no picture was kept."""
    samples = row["evidence"][:2]
    if not samples:
        return None
    if not pictured(row):
        return tag(
            "p",
            {"class": "gmi-quote gmi-prompts"},
            tag("span", None, "Looks most like its samples of:"),
            " ",
            " · ".join(sample["prompt"] for sample in samples),
        )
    label = "Looks most like these samples"
    found = [thumb(s["image"], s["prompt"]) for s in samples if s["image"] is not None]
    return tag(
        "div",
        {"class": "gmi-samples", "role": "group", "aria-label": label, "data-gmi-set": row["name"]},
        found,
    )


def _chips(row: dict[str, Any]) -> Html:
    few = None
    if row["samples"] < FEW and row["samples"] < row["of_samples"]:
        text = f"{row['samples']} of {row['of_samples']} samples"
        few = chip(text, "gmi-chip-caution", "Few samples: more of them make a surer answer")
    return tag(
        "div",
        {"class": "gmi-chips"},
        chip("Workflow", "gmi-chip-accent") if row["kind"] == "recipe" else None,
        chip(words.architecture(row["architecture"])) if row["architecture"] else None,
        few,
    )


def _same(row: dict[str, Any], groups: Sequence[dict[str, Any]]) -> Html | None:
    number = row["group"]
    if number is None or not 1 <= number <= len(groups):
        return None
    group = groups[number - 1]
    others = [title for title in group["titles"] if title != row["title"]]
    if not others:
        return None
    more = f" and {len(others) - 2} more" if len(others) > 2 else ""
    total = group["probability"]
    return tag(
        "p",
        {"class": "gmi-same", "title": "\n".join(others)},
        icon("copies"),
        tag("span", None, "Nearly the same as"),
        tag("span", {"class": "gmi-same-titles"}, ", ".join(others[:2]) + more),
        None if total is None else tag("span", None, f"({words.percent(total)} together)"),
    )


def load_buttons(name: str, loaded: bool, first: bool) -> list[Html]:
    """Loads a checkpoint, says that it is loaded, and takes that back."""
    kind = "gmi-primary" if first else "gmi-plain"
    return [
        button("Load", "load", f"gmi-button {kind}", name, hidden=loaded),
        tag(
            "span",
            {"class": "gmi-loaded", "data-gmi-loaded": name, "hidden": not loaded},
            icon("check"),
            tag("span", None, "Loaded"),
        ),
        button("Undo", "undo", "gmi-button gmi-plain", name, hidden=True),
    ]


def _actions(row: dict[str, Any], first: bool, query: Query) -> Html:
    name = row["name"]
    buttons: list[Html] = []
    if query.abilities.load and row["kind"] == "checkpoint":
        buttons += load_buttons(name, name == query.current, first)
    if query.abilities.send and row["kind"] == "checkpoint":
        buttons.append(lesser_button(*_SEND, name, first))
    if pictured(row):
        buttons.append(lesser_button(*_SAMPLES, name, first))
    buttons.append(lesser_button(*SIMILAR, name, first))
    return tag("div", {"class": "gmi-actions"}, buttons)


def samples_grid(title: str, samples: Sequence[tuple[str, str]]) -> Html:
    """All samples of a checkpoint, for the overlay.

    Args:
        title: of the checkpoint.
        samples: key and prompt of each.
    """
    tiles = [
        tag(
            "figure",
            {"class": "gmi-sample"},
            thumb(key, prompt),
            tag("figcaption", {"title": prompt}, prompt),
        )
        for key, prompt in samples
    ]
    return together(
        tag("h2", None, words.elided(title)),
        tag("p", {"class": "gmi-hint"}, words.counted(len(tiles), "sample")),
        tag("div", {"class": "gmi-sample-grid", "data-gmi-set": "all"}, tiles)
        if tiles
        else tag("p", None, "No image was kept of it."),
    )
