"""A ranking as HTML: pure functions of what :meth:`..api.Api.ranking_json` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import words
from .bridge import Abilities
from .markup import Html, icon, tag, together

#: Fewer samples than this are said to be few.
FEW = 8
#: So much likelier than the next one, in words.
_LEADS = ((8.0, "far ahead of the next"), (1.8, "ahead of the next"), (1.15, "just ahead"))
_LEVEL = "level with the next"
_NOT_COMPARED = (
    "checkpoint was not compared: it has no specification yet.",
    "checkpoints were not compared: they have no specification yet.",
)
#: Label, action, drawing.
_SEND = ("Send prompt to txt2img", "send", "send")
_SAMPLES = ("Show samples", "samples", "grid")
_CONFORMAL = "Nine times in ten, for images like your checkpoints' own, the right one is among the"


@dataclass(frozen=True)
class Query:
    """What a ranking was made for, as far as it is shown.

    Attributes:
        key: under which the tab remembers it.
        abilities: of the program.
        favourites: names that are marked.
        current: name of the checkpoint that is loaded.
    """

    key: str
    abilities: Abilities
    favourites: frozenset[str] = frozenset()
    current: str | None = None


def ranking(answer: dict[str, Any], query: Query) -> Html:
    """Verdict, notes, cards, and what can be done with them."""
    rows: list[dict[str, Any]] = answer["candidates"]
    cards = [
        card(row, rows[at + 1] if at + 1 < len(rows) else None, answer, query)
        for at, row in enumerate(rows)
    ]
    return tag(
        "div",
        {"class": "gmi-ranking", "data-gmi-query": query.key},
        verdict(answer),
        [_note("info", text) for text in answer["notes"]],
        _missing(answer["missing"], query),
        tag("div", {"class": "gmi-tools"}, _compare(answer, query), _share(rows)),
        tag("div", {"data-gmi-region": "compare"}),
        tag("ol", {"class": "gmi-cards", "aria-label": "Ranking"}, cards),
        _conformal(answer),
        _how(answer),
    )


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


def card(
    row: dict[str, Any], following: dict[str, Any] | None, answer: dict[str, Any], query: Query
) -> Html:
    """One checkpoint of a ranking."""
    first = row["rank"] == 1 and not answer["foreign"]
    name = row["name"]
    return tag(
        "li",
        {
            "class": f"gmi-card{' gmi-card-first' if first else ''}",
            "data-gmi-card": name,
            "data-gmi-rank": row["rank"],
        },
        tag(
            "div",
            {"class": "gmi-card-head"},
            tag("span", {"class": "gmi-rank", "aria-label": f"Rank {row['rank']}"}, row["rank"]),
            words.elided(row["title"], name, "h3"),
            star(name, row["title"], name in query.favourites),
        ),
        _probability(row, following),
        evidence(row),
        tag(
            "div",
            {"class": "gmi-card-foot"},
            _chips(row),
            _same(row, answer["near_duplicates"]),
            _actions(row, first, query),
        ),
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


def bar(share: float, label: str) -> Html:
    """A share as a bar; a trace of it is always seen."""
    width = f"width:{max(min(share, 1.0) * 100, 0.8):.1f}%"
    filled = tag("span", {"class": "gmi-bar-fill", "style": width})
    return tag("span", {"class": "gmi-bar", "role": "img", "aria-label": label}, filled)


def evidence(row: dict[str, Any]) -> Html:
    """The samples that speak most for a candidate."""
    label = "Looks most like these samples"
    found = [thumb(sample["image"], sample["prompt"]) for sample in row["evidence"][:2]]
    return tag(
        "div",
        {"class": "gmi-samples", "role": "group", "aria-label": label, "data-gmi-set": row["name"]},
        found or thumb(None, ""),
    )


def thumb(url: str | None, prompt: str, extra: str = "") -> Html:
    """A sample that is enlarged when pressed; the script fetches it once it is in sight.

    Args:
        url: as the API names samples; ``None`` if none was kept.
        prompt: that it was made of.
        extra: another class.
    """
    if url is None:
        empty = {"class": f"gmi-thumb gmi-thumb-none {extra}".strip()}
        return tag("span", empty | {"title": "No image was kept"}, icon("image"))
    return tag(
        "button",
        {
            "type": "button",
            "class": f"gmi-thumb {extra}".strip(),
            "data-gmi": "enlarge",
            "title": prompt,
            "aria-label": f"Enlarge the sample: {prompt}",
        },
        tag("img", {"data-gmi-thumb": sample_key(url), "alt": ""}),
    )


def sample_key(url: str) -> str:
    """Folder and file of a sample: what the script asks for."""
    return "/".join(url.split("/")[-2:])


def star(name: str, title: str, marked: bool) -> Html:
    """Marks a favourite."""
    return tag(
        "button",
        {
            "type": "button",
            "class": "gmi-icon-button gmi-star",
            "data-gmi": "favourite",
            "data-name": name,
            "aria-pressed": "true" if marked else "false",
            "aria-label": f"Favourite: {title}",
            "title": "Favourite",
        },
        icon("star"),
    )


def chip(text: str, kind: str = "", title: str | None = None) -> Html:
    """A small label."""
    return tag("span", {"class": f"gmi-chip {kind}".strip(), "title": title}, text)


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


def _actions(row: dict[str, Any], first: bool, query: Query) -> Html:
    name = row["name"]
    buttons: list[Html] = []
    loadable = query.abilities.load and row["kind"] == "checkpoint"
    if loadable:
        loaded = name == query.current
        kind = "gmi-primary" if first else "gmi-plain"
        buttons += [
            button("Load", "load", f"gmi-button {kind}", name, hidden=loaded),
            tag(
                "span",
                {"class": "gmi-loaded", "data-gmi-loaded": name, "hidden": not loaded},
                icon("check"),
                tag("span", None, "Loaded"),
            ),
            button("Undo", "undo", "gmi-button gmi-plain", name, hidden=True),
        ]
    if query.abilities.send and row["kind"] == "checkpoint":
        buttons.append(_lesser(*_SEND, name, first))
    buttons.append(_lesser(*_SAMPLES, name, first))
    return tag("div", {"class": "gmi-actions"}, buttons)


def _lesser(label: str, action: str, mark: str, name: str, in_words: bool) -> Html:
    """A button beside the one that matters; on the smaller cards it is a drawing."""
    if in_words:
        return button(label, action, "gmi-button gmi-plain", name, mark=mark)
    return tag(
        "button",
        {
            "type": "button",
            "class": "gmi-icon-button",
            "data-gmi": action,
            "data-name": name,
            "title": label,
            "aria-label": label,
        },
        icon(mark),
    )


def button(  # noqa: PLR0913  what a button is, in one place
    label: str,
    action: str,
    classes: str = "gmi-button gmi-plain",
    name: str | None = None,
    *,
    title: str | None = None,
    hidden: bool = False,
    disabled: bool = False,
    mark: str | None = None,
) -> Html:
    """A button that the script hears: ``data-gmi`` says what it does, ``data-name`` to what."""
    return tag(
        "button",
        {
            "type": "button",
            "class": classes,
            "data-gmi": action,
            "data-name": name,
            "title": title,
            "hidden": hidden,
            "disabled": disabled,
        },
        icon(mark) if mark else None,
        tag("span", None, label),
    )


def _note(kind: str, *children: Html | str | None) -> Html:
    return tag("p", {"class": "gmi-note"}, icon(kind), tag("span", None, children))


def _missing(number: int, query: Query) -> Html | None:
    if not number:
        return None
    return tag(
        "p",
        {"class": "gmi-note"},
        icon("info"),
        tag("span", None, number),
        tag("span", None, _NOT_COMPARED[number != 1]),
        button("Build them", "build-missing", "gmi-link") if query.abilities.build else None,
    )


def _compare(answer: dict[str, Any], query: Query) -> Html | None:
    checkpoints = [row for row in answer["candidates"] if row["kind"] == "checkpoint"]
    if not query.abilities.compare or len(checkpoints) < 2:
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


def _share(rows: Sequence[dict[str, Any]]) -> Html | None:
    if not rows:
        return None
    title = "One picture of your image and the first three, to show to others"
    return button("Share card", "share", "gmi-button gmi-plain", title=title, mark="share")


def _conformal(answer: dict[str, Any]) -> Html | None:
    count = answer["conformal"]
    if answer["foreign"] or not 0 < count < len(answer["candidates"]):
        return None
    which = "first." if count == 1 else f"first {count}."
    return _note("info", _CONFORMAL, " ", which)


def _how(answer: dict[str, Any]) -> Html:
    prompt = answer["prompt"]
    source = "Prompt, guessed from the most similar samples:"
    if prompt and prompt["source"] == "user":
        source = "Prompt, as it was given:"
    left_out = [
        tag("p", None, tag("strong", None, row["title"]), " ", row["reason"])
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
        ),
        fold("Left out", left_out, count=len(left_out)) if left_out else None,
    )


def fold(title: str, *children: Any, count: int | None = None) -> Html:
    """Something that opens when it is wanted."""
    return tag(
        "details",
        {"class": "gmi-fold"},
        tag(
            "summary",
            None,
            icon("chevron"),
            tag("span", None, title),
            None if count is None else tag("span", {"class": "gmi-count"}, count),
        ),
        tag("div", {"class": "gmi-fold-body"}, children),
    )


def trouble(message: str, title: str = "That did not work") -> Html:
    """What went wrong, for people."""
    return tag(
        "div",
        {"class": "gmi-trouble", "role": "alert"},
        icon("alert"),
        tag("div", None, tag("p", {"class": "gmi-kicker"}, title), tag("p", None, message)),
    )


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
