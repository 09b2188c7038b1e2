"""The build: what could be built, and the one that is under way."""

from __future__ import annotations

from typing import Any

from . import words
from .markup import Html, icon, tag, together
from .parts import bar, button, fold, thumb, trouble

#: Before the first image was made.
UNKNOWN = "How long that takes is known after the first image."
_FAILED = "The build failed"


def pace_of(library: dict[str, Any], guess: float | None) -> float | None:
    """Seconds for one sample, as measured, or else a guess."""
    measured = library["seconds_per_sample"]
    return guess if measured is None else float(measured)


def strip(build: dict[str, Any], waiting_for: str | None) -> Html:
    """The build in one line, beside the tab's views; empty when there is none.

    One in which everything failed stays there until the next one begins.
    """
    if build["state"] == "idle":
        return _failed_strip(build) if build["failed"] else together()
    paused = build["state"] == "paused"
    share = build["done"] / build["total"] if build["total"] else 0.0
    label = "Building is paused" if paused else "Waiting" if waiting_for else "Building"
    return tag(
        "button",
        {
            "type": "button",
            "class": f"gmi-strip{' gmi-paused' if paused else ''}",
            "data-gmi": "view-specifications",
            "title": waiting_for or "Show the build",
        },
        tag("span", None, label),
        bar(share, "Progress of building"),
        tag("span", {"class": "gmi-strip-count"}, f"{build['done']} / {build['total']}"),
    )


def _failed_strip(build: dict[str, Any]) -> Html:
    return tag(
        "button",
        {
            "type": "button",
            "class": "gmi-strip gmi-failed",
            "data-gmi": "view-specifications",
            "title": build["message"],
        },
        icon("alert"),
        tag("span", None, _FAILED),
    )


def build_panel(library: dict[str, Any], waiting_for: str | None, guess: float | None) -> Html:
    """The build that is under way, or what could be built."""
    build = library["build"]
    if build["state"] == "idle":
        return _choose(library, guess)
    paused = build["state"] == "paused"
    steer = button("Resume", "build-resume", "gmi-button gmi-primary", mark="play")
    if not paused:
        steer = button("Pause", "build-pause", mark="pause")
    cancel = button("Cancel", "build-cancel", "gmi-button gmi-quiet")
    return tag(
        "div",
        {"class": f"gmi-building{' gmi-paused' if paused else ''}", "data-state": build["state"]},
        _current(build, waiting_for),
        progress(build, waiting_for),
        tag("div", {"class": "gmi-line"}, steer, cancel),
        _problems(build),
    )


def _choose(library: dict[str, Any], guess: float | None) -> Html:
    build, prompts = library["build"], library["prompts"]
    options = []
    for at, limit in enumerate(library["passes"]):
        label = "All" if limit >= prompts else "Quick" if at == 0 else ""
        number = tag("span", {"class": "gmi-count"}, limit)
        choice = {"type": "radio", "name": "gmi_pass", "value": limit, "checked": at == 0}
        options.append(
            tag(
                "label",
                {"class": "gmi-segment"},
                tag("input", choice | {"data-gmi": "pass"}),
                tag("span", None, tag("span", None, label) if label else None, " ", number),
            )
        )
    pace = pace_of(library, guess)
    return tag(
        "div",
        {"class": "gmi-choose", "data-state": "idle", "data-pace": pace},
        tag("p", {"class": "gmi-label"}, "Samples of each"),
        tag("div", {"class": "gmi-segments", "role": "radiogroup"}, options),
        tag("p", {"class": "gmi-hint gmi-estimate", "id": "gmi_estimate"}),
        tag(
            "div",
            {"class": "gmi-line"},
            tag(
                "button",
                {
                    "type": "button",
                    "class": "gmi-button gmi-primary",
                    "data-gmi": "build-start",
                    "id": "gmi_build_start",
                },
                icon("play"),
                tag("span", {"id": "gmi_build_label"}, "Build missing"),
            ),
            button("Verify all", "verify", "gmi-button gmi-quiet", title="Reads every file whole"),
        ),
        report(build),
    )


def report(build: dict[str, Any]) -> Html | None:
    """How the last build ended, and what failed in it: a failure does not look like success."""
    if not build["message"]:
        return None
    if build["failed"]:
        return together(trouble(build["message"], _FAILED), _problems(build))
    mark = "alert" if build["problems"] else "check"
    said = tag("p", {"class": "gmi-note"}, icon(mark), tag("span", None, build["message"]))
    return together(said, _problems(build))


def _current(build: dict[str, Any], waiting_for: str | None) -> Html:
    current = build["current"]
    if current is None:
        loading = "Waiting for its turn." if waiting_for else "Loading the first checkpoint…"
        text = build["message"] or loading
        return tag(
            "div", {"class": "gmi-now"}, thumb(None, "", "gmi-thumb-now"), tag("p", None, text)
        )
    paused = build["state"] == "paused" and build["message"]
    return tag(
        "div",
        {"class": "gmi-now", "data-gmi-set": "now"},
        thumb(build["preview"], current["prompt"], "gmi-thumb-now"),
        tag(
            "div",
            {"class": "gmi-now-text"},
            words.elided(current["title"], current["name"], "h3"),
            tag("p", {"class": "gmi-hint"}, words.of(current["done"], current["of"], "samples")),
            tag("p", {"class": "gmi-quote"}, build["message"] if paused else current["prompt"]),
        ),
    )


def progress(build: dict[str, Any], waiting_for: str | None) -> Html:
    share = build["done"] / build["total"] if build["total"] else 0.0
    left = build["seconds_left"]
    time = UNKNOWN if left is None else f"about {words.duration(left)} left"
    if build["state"] == "paused":
        time = "paused"
    return tag(
        "div",
        {"class": "gmi-progress"},
        bar(share, f"{build['done']} of {build['total']} samples"),
        tag(
            "p",
            {"class": "gmi-progress-line"},
            tag("span", None, words.of(build["done"], build["total"], "samples")),
            tag("span", None, time),
        ),
        tag(
            "p",
            {"class": "gmi-note", "id": "gmi_waiting"},
            icon("pause"),
            tag("span", None, words.sentence(waiting_for)),
            button("Build now", "build-now", "gmi-link"),
        )
        if waiting_for
        else None,
    )


def _problems(build: dict[str, Any]) -> Html | None:
    problems = build["problems"]
    if not problems:
        return None
    rows = [
        tag(
            "p", None, tag("strong", None, p["title"]), " ", words.sentence(p["reason"], p["title"])
        )
        for p in problems
    ]
    return fold("Problems", rows, count=len(rows), opened=build["failed"])
