"""Images that a search found: a gallery by checkpoint, and what is known of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import words
from .cards import Query
from .markup import Html, icon, tag
from .parts import button, lesser_button, note, thumb
from .search_cards import show_more

_UNSAID = "Images that do not say what made them"
#: Settings in the order they are shown, and what they are called.
SETTINGS = (
    ("steps", "Steps"),
    ("sampler", "Sampler"),
    ("scheduler", "Scheduler"),
    ("cfg", "CFG"),
    ("clip_skip", "Clip skip"),
    ("vae", "VAE"),
    ("program", "Program"),
)
#: Letters of a prompt that a thumbnail says, and of any other text beside the picture.
_TITLE, _MOST = 200, 1200


def found_images(
    hits: Sequence[dict[str, Any]],
    origins: Sequence[dict[str, Any]],
    notes: Sequence[str],
    query: Query,
    more: bool = False,
) -> Html:
    """The answer of a search for images.

    Args:
        hits: best first, as :func:`..hits.to_json` has them, with ``image`` (address or ``None``),
            ``name`` (of the installed checkpoint or ``None``) and ``file`` without its folder.
        origins: which checkpoints they come from, in the order that they are shown.
        notes: whole sentences on how it came about.
        query: what the tab knows.
        more: there may be further ones.
    """
    groups = [_group(row, _of(row, hits), len(hits), query) for row in origins]
    checkpoints = len([row for row in origins if row["checkpoint"]])
    return tag(
        "div",
        {"class": "gmi-ranking", "data-gmi-search": query.key},
        tag(
            "div",
            {"class": "gmi-gallery-head"},
            tag(
                "h2",
                {"id": "gmi_found_verdict"},
                words.counted(len(hits), "image"),
                " ",
                tag("span", None, "from"),
                " ",
                words.counted(checkpoints, "checkpoint"),
            )
            if checkpoints
            else tag("h2", {"id": "gmi_found_verdict"}, words.counted(len(hits), "image")),
            tag(
                "div",
                {"class": "gmi-line"},
                button("CSV", "search-export", name="csv", mark="download", title=_SAVE),
                button("JSON", "search-export", name="json", mark="download", title=_SAVE),
            ),
        ),
        [note("info", text) for text in notes],
        tag("div", {"class": "gmi-gallery", "data-gmi-set": "found"}, groups),
        show_more(int(more)),
    )


_SAVE = "Save the list of these images, with prompts, seeds and settings"


def _of(row: Mapping[str, Any], hits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    key = row["checkpoint"], row["identity"]
    return [hit for hit in hits if (hit["checkpoint"], hit["identity"]) == key]


def _group(
    row: Mapping[str, Any], hits: Sequence[dict[str, Any]], total: int, query: Query
) -> Html:
    name = hits[0]["name"]
    title = words.elided(row["checkpoint"], name, "h3") if row["checkpoint"] else None
    similar = lesser_button("Find similar checkpoints", "similar", "similar", name or "", False)
    return tag(
        "section",
        {"class": "gmi-hits", "data-gmi-group": name or row["checkpoint"]},
        tag(
            "header",
            {"class": "gmi-hits-head"},
            title or tag("h3", {"class": "gmi-title"}, _UNSAID),
            tag("span", {"class": "gmi-chip"}, words.of(row["hits"], total, "images")),
            similar if name else None,
        ),
        tag("div", {"class": "gmi-hits-grid"}, [_tile(hit, query) for hit in hits]),
    )


def _tile(hit: dict[str, Any], query: Query) -> Html:
    prompt = hit["prompt"] or hit["file"]
    short = prompt if len(prompt) <= _TITLE else prompt[: _TITLE - 1] + "…"
    return thumb(hit["image"], short, "gmi-hit", about(hit, query))


def about(hit: dict[str, Any], query: Query) -> Html:
    """What is known of an image, and what can be done with it."""
    settings = dict(hit["settings"])
    size = _size(settings)
    lines = [("Seed", hit["seed"]), ("Size", size)]
    lines += [(label, settings.get(key)) for key, label in SETTINGS]
    lines += [("Negative prompt", settings.get("negative")), ("File", hit["file"])]
    if hit["folder"]:
        lines.append(("Folder", hit["folder"]))
    shown = [(label, _cut(value)) for label, value in lines if value not in (None, "")]
    title = hit["checkpoint"]
    return tag(
        "div",
        {"class": "gmi-about"},
        words.elided(title, hit["name"], "h3") if title else tag("h3", None, _UNSAID),
        tag("p", {"class": "gmi-about-prompt"}, _cut(hit["prompt"])) if hit["prompt"] else None,
        tag(
            "dl",
            {"class": "gmi-facts"},
            [(tag("dt", None, label), tag("dd", None, value)) for label, value in shown],
        ),
        tag("div", {"class": "gmi-about-actions"}, _actions(hit, query)),
    )


def _actions(hit: dict[str, Any], query: Query) -> list[Html]:
    name, buttons = hit["name"], []
    if query.abilities.load and name and hit["loadable"]:
        buttons.append(button("Load", "search-load", name=name, mark="check"))
    if query.abilities.send and name and hit["loadable"] and hit["prompt"]:
        buttons.append(
            tag(
                "button",
                {
                    "type": "button",
                    "class": "gmi-button gmi-plain",
                    "data-gmi": "search-send",
                    "data-name": name,
                    "data-hit": hit["rank"],
                },
                icon("send"),
                tag("span", None, "Send prompt to txt2img"),
            )
        )
    if hit["image"]:
        buttons.append(button("Find similar images", "similar-image", name="samples", mark="image"))
    # a picture that does not say what made it is itself the example
    action, what = ("similar", name) if name else ("similar-image", "checkpoints")
    if name or hit["image"]:
        buttons.append(button("Find similar checkpoints", action, name=what, mark="similar"))
    return buttons


def _size(settings: Mapping[str, Any]) -> str:
    width, height = settings.get("width"), settings.get("height")
    return f"{width} × {height}" if width and height else ""


def _cut(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"
