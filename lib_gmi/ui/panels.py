"""Everything around the ranking and the table: first run, filters, the build."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from . import words
from .building import UNKNOWN, pace_of, progress, report
from .markup import Html, icon, tag, together
from .parts import button, fold
from .rows import SHOWN, STATES, buildable

_WHAT = (
    "Each checkpoint makes a few images of the same prompts, once. What is typical of them is kept "
    "as its specification, and from then on any image you drop here is compared with all of them "
    "at once."
)
#: States of checkpoints that have a specification.
_HAVE = ("imported", "harvested", "quick", "ready", "outdated", "suspect")
#: So many chips of a filter are seen before somebody wants more.
_AT_ONCE = 9
_EACH = tag("span", None, "each")
_PAUSE = "You can pause it whenever you like; nothing is lost."


def lacking(library: dict[str, Any], limit: int, without: Collection[str] = ()) -> tuple[int, int]:
    """How many checkpoints lack samples of so many prompts, and how many samples that is.

    Args:
        library: as ``Api.library()`` says.
        limit: prompts of each.
        without: names of checkpoints that do not count.
    """
    missing = [
        row["missing"].get(str(limit), 0)
        for row in library["checkpoints"]
        if buildable(row) and row["name"] not in without
    ]
    wanted = [number for number in missing if number]
    return len(wanted), sum(wanted)


def first_run(
    library: dict[str, Any],
    can_build: bool,
    guess: float | None,
    harvest: dict[str, Any] | None = None,
) -> Html:
    """What is shown as long as there is no specification at all; empty when there is.

    Args:
        library: as ``Api.library()`` says.
        can_build: whether the program generates.
        guess: seconds for one sample, as long as none was measured.
        harvest: as ``Api.harvest()`` says: what the images that are there already are good for.
    """
    if not library["first_run"]:
        return together()
    build = library["build"]
    if build["state"] != "idle":
        return tag(
            "div",
            {"class": "gmi-first", "id": "gmi_first"},
            tag("h2", None, "Your checkpoints are being looked at"),
            tag("p", None, "The first answers are there when each has made four images."),
            progress(build, None),
            button("Show the build", "view-specifications"),
        )
    if not library["checkpoints"]:
        return tag(
            "div",
            {"class": "gmi-first", "id": "gmi_first"},
            tag("h2", None, "No checkpoint is installed"),
            tag("p", None, "Put some where your program looks for them, then come back."),
        )
    passes = [size for size in library["passes"] if size < library["prompts"]] or library["passes"]
    quick = passes[0]
    checkpoints, samples = lacking(library, quick)
    if not checkpoints or not can_build:
        return tag(
            "div",
            {"class": "gmi-first", "id": "gmi_first"},
            tag("h2", None, "No checkpoint has a specification yet"),
            tag("p", None, "None can be built of what is installed. The list says why."),
            button("Show the list", "view-specifications"),
        )
    pace = pace_of(library, guess)
    time = UNKNOWN if pace is None else f"That takes about {words.duration(samples * pace)}."
    enough = {row["name"] for row in (harvest or {}).get("crops", ()) if not row["missing"]}
    each = [
        button(
            together(tag("span", None, "Build quick specifications"), f" ({quick} ", _EACH, ")"),
            "build-first",
            f"gmi-button {'gmi-plain' if enough else 'gmi-primary'} gmi-large",
            str(quick),
        )
    ]
    each += [
        button(
            together(f"{size} ", _EACH), "build-first", "gmi-button gmi-plain gmi-large", str(size)
        )
        for size in passes[1:2]
    ]
    return tag(
        "div",
        {"class": "gmi-first", "id": "gmi_first"},
        tag("h2", None, "Get to know your checkpoints"),
        report(build) if build["failed"] else None,
        tag("p", None, _WHAT),
        tag(
            "p",
            {"class": "gmi-first-time"},
            tag(
                "span",
                None,
                words.counted(checkpoints, "checkpoint"),
                f" × {quick} = ",
                words.counted(samples, "image"),
                ".",
            ),
            " ",
            tag("strong", None, time),
            " ",
            tag("span", None, _PAUSE),
        ),
        _from_images(library, quick, pace, enough) if enough else None,
        tag("div", {"class": "gmi-line"}, each),
        None if enough else _images(harvest or {"state": "idle"}),
    )


def _images(harvest: dict[str, Any]) -> Html:
    """A line about the user's own images as long as they are not enough for anything."""
    state = harvest["state"]
    if state in ("looking", "gathering"):
        said = "Your images are being looked at: they may already say enough."
        count, label, action = f" {harvest['files']} ", "Stop", "harvest-cancel"
    elif state == "ready":
        said = "Your images do not say enough yet."
        count, label, action = " ", "Show what they say", "view-specifications"
    else:
        said = "Or begin with images that you already have:"
        count, label, action = " ", "Look at them", "harvest-first"
    said_so = {"class": "gmi-hint", "role": "status"}
    return tag("p", said_so, tag("span", None, said), count, button(label, action, "gmi-link"))


def _from_images(
    library: dict[str, Any], quick: int, pace: float | None, enough: Collection[str]
) -> Html:
    """What the user's own images save; the page has had them looked at by itself."""
    rest, samples = lacking(library, quick, enough)
    able = sum(row["state"] != "unsupported" for row in library["checkpoints"])
    time = UNKNOWN if pace is None else f"That takes about {words.duration(samples * pace)}."
    label = "Use them, and build the rest" if rest else "Use them"
    return tag(
        "div",
        {"class": "gmi-first-images", "id": "gmi_first_images"},
        tag(
            "p",
            None,
            tag("strong", None, "Your images already say enough for"),
            " ",
            words.of(len(enough), able, "checkpoints"),
            ".",
        ),
        tag(
            "div",
            {"class": "gmi-line"},
            button(label, "harvest-rest", "gmi-button gmi-primary gmi-large", str(quick)),
            tag("span", {"class": "gmi-hint"}, time) if rest else None,
        ),
    )


def filters(library: dict[str, Any]) -> Html:
    """Which checkpoints to rank, as chips; none that would leave nothing to rank."""
    usable = [row for row in library["checkpoints"] if row["state"] != "unsupported"]
    # one name may have several keys; any of them stands for all
    keys = {words.architecture(row["architecture"]): row["architecture"] for row in usable}
    numbers = Counter(words.architecture(row["architecture"]) for row in usable)
    common = sorted(numbers, key=lambda label: (-numbers[label], label))
    chips = [
        _toggle("architecture", keys[name], name) for name in common if words.known(keys[name])
    ]
    used = [row["name"].replace("\\", "/") for row in usable]
    folders = [
        _toggle("folder", folder, folder.rstrip("/"))
        for folder in library["folders"]
        if any(name.startswith(folder) for name in used)
    ]
    some = any(row["favourite"] for row in library["checkpoints"])
    favourites = [_toggle("favourites", "1", "Favourites", icon("star"))] if some else []
    groups = [
        ("Base model", chips if len(chips) > 1 else []),
        ("Folder", folders),
        ("Only", favourites),
    ]
    return together(
        [
            tag(
                "div",
                {"class": "gmi-filter", "role": "group", "aria-label": label},
                tag("span", {"class": "gmi-label"}, label),
                tag("div", {"class": "gmi-toggles"}, chips[:_AT_ONCE]),
                fold(
                    "More base models",
                    tag("div", {"class": "gmi-toggles"}, chips[_AT_ONCE:]),
                    count=len(chips) - _AT_ONCE,
                )
                if len(chips) > _AT_ONCE
                else None,
            )
            for label, chips in groups
            if chips
        ]
    )


def _toggle(kind: str, value: str, label: str, mark: Html | None = None) -> Html:
    return tag(
        "button",
        {
            "type": "button",
            "class": "gmi-toggle",
            "data-gmi": "filter",
            "data-filter": kind,
            "data-value": value,
            "aria-pressed": "false",
        },
        mark,
        tag("span", None, label),
    )


def counts(library: dict[str, Any], kept: int) -> Html:
    """How many checkpoints are in which state, and how large the library is.

    Args:
        library: as ``Api.library()`` says.
        kept: bytes of the samples' pictures.
    """
    rows = library["checkpoints"]
    have = sum(row["state"] in _HAVE for row in rows)
    able = sum(row["state"] != "unsupported" for row in rows)
    samples = sum(row["stored"] for row in rows) + sum(gone["samples"] for gone in library["gone"])
    states = [
        tag(
            "span",
            {"class": f"gmi-state gmi-state-{key}"},
            tag("span", {"class": "gmi-dot"}),
            tag("span", {"class": "gmi-count"}, number),
            tag("span", None, label.lower()),
        )
        for key, label in STATES.items()
        if (number := sum(row["state"] == key for row in rows))
    ]
    return tag(
        "div",
        {"class": "gmi-counts"},
        tag(
            "h2",
            None,
            words.of(have, able, "checkpoints"),
            " ",
            tag("span", None, "have a specification"),
        ),
        tag(
            "p",
            {"class": "gmi-hint"},
            words.counted(samples, "sample"),
            tag("span", None, ", their pictures take" if kept else ", kept without pictures"),
            [" ", words.size(kept)] if kept else None,
        )
        if samples
        else None,
        tag("div", {"class": "gmi-states"}, states),
        [_superseded(why, number) for why, number in library.get("superseded", {}).items()],
        _kept_by_others(library.get("kept_by_others", 0)),
    )


def _kept_by_others(number: int) -> Html | None:
    """A new encoder reads what an older one left; only the rest is generated."""
    if not number:
        return None
    return tag(
        "p",
        {"class": "gmi-hint"},
        tag("span", None, "Their kept samples are read again, which takes seconds:"),
        f" {number}",
    )


def _superseded(why: str, number: int) -> Html:
    """What has to be built again, and why; the panel beside it says how long that takes."""
    return tag(
        "p",
        {"class": "gmi-note"},
        icon("info"),
        tag(
            "span",
            None,
            tag("span", None, f"Built with another {why}, to be built again:"),
            f" {number}",
        ),
    )


def state_chips(library: dict[str, Any], can_build: bool) -> Html:
    """Which states the table shows."""
    rows = library["checkpoints"]
    shown = [choice for choice in SHOWN if can_build or choice[0] != "missing"]
    return together(
        [
            tag(
                "button",
                {
                    "type": "button",
                    "class": "gmi-toggle",
                    "data-gmi": "show",
                    "data-value": key,
                    "data-states": " ".join(states),
                    "aria-pressed": "true" if key == "all" else "false",
                },
                tag("span", None, label),
                tag("span", {"class": "gmi-count"}, sum(row["state"] in states for row in rows)),
            )
            for key, label, states in shown
        ]
    )


def verified(report: dict[str, Any]) -> Html:
    """What reading every specification found."""
    bad = [*report["damaged"], *report["unreadable"]]
    if not bad and not report["good"]:
        return tag("h2", None, "There is no specification yet that could be read")
    lines = [tag("p", None, " · ".join(str(value) for value in row.values())) for row in bad]
    good = report["good"]
    return together(
        tag("h2", None, "Every specification is sound" if not bad else "Some files are damaged"),
        tag("p", None, tag("span", None, "Sound specifications:"), " ", good),
        lines,
    )


def comparison(picture: str, titles: list[str]) -> Html:
    """The picture of a finished comparison."""
    return tag(
        "figure",
        {"class": "gmi-wide"},
        tag(
            "button",
            {
                "type": "button",
                "class": "gmi-picture",
                "data-gmi": "enlarge",
                "aria-label": "Enlarge the comparison",
                "title": "Enlarge",
            },
            tag("img", {"src": picture, "alt": ", ".join(["Your image", *titles])}),
        ),
        tag("a", {"class": "gmi-link", "href": picture, "download": "comparison.webp"}, "Save"),
    )


def card_dialog(picture: str) -> Html:
    """The share card, to look at and to save."""
    return together(
        tag("h2", None, "Share card"),
        tag("p", {"class": "gmi-hint"}, "No path, no prompt and no metadata is in it."),
        tag("img", {"class": "gmi-share", "src": picture, "alt": "Share card"}),
        tag(
            "div",
            {"class": "gmi-line"},
            tag(
                "a",
                {
                    "class": "gmi-button gmi-primary",
                    "href": picture,
                    "download": "find-best-model.png",
                    "id": "gmi_share_save",
                },
                "Save the picture",
            ),
        ),
    )
