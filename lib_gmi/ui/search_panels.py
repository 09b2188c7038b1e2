"""Around an answer of a search: what is being read, what is wrong, and the output folders."""

from __future__ import annotations

from typing import Any

from . import words
from .markup import Html, icon, tag, together
from .parts import bar, button, trouble

_READ_ONCE = (
    "Each image is looked at once. After that, answers are there at once. The search goes on by "
    "itself."
)
_STOPPED = "Reading was stopped, so there is no answer yet. What was read is kept."
_FOLDERS = "Images in your output folders are found as well, once they have been read."
_NO_SAMPLES = (
    "There are no samples to search yet. Build specifications of your checkpoints: the images that "
    "are made for them are what is searched."
)
_NO_COPIES = (
    "There are no samples to search. What ships with this program has specifications, but no "
    "images; build your own from a folder of images, or inside your program."
)


def waiting(reading: dict[str, Any]) -> Html:
    """What is shown in place of an answer while samples are read; ``reading`` as the API says."""
    done, total = reading["done"], reading["total"]
    return tag(
        "div",
        {"class": "gmi-first gmi-reading", "role": "status"},
        tag("h2", None, "Your samples are being read"),
        tag("p", None, _READ_ONCE),
        _progress(done, total, words.last_part(reading["what"])),
        button("Stop", "search-cancel"),
    )


def stopped(error: str | None) -> Html:
    """Reading ended before everything was read."""
    again = button("Go on", "search", "gmi-button gmi-primary")
    if error is not None:
        return together(trouble(error, "Reading did not work"), tag("div", None, again))
    return tag("div", {"class": "gmi-empty"}, icon("pause"), tag("p", None, _STOPPED), again)


def no_samples(can_build: bool) -> Html:
    """The library is empty."""
    text = _NO_SAMPLES if can_build else _NO_COPIES
    show = button("Show the list", "view-specifications") if can_build else None
    return tag("div", {"class": "gmi-empty"}, icon("image"), tag("p", None, text), show)


def folders_panel(state: dict[str, Any]) -> Html:
    """The output folders that the program's configuration names; empty if there are none.

    Args:
        state: as :meth:`..searches.Searches.state` says.
    """
    if not state["folders"]:
        return together()
    reading = state["reading"]
    rows = [_folder(row, reading) for row in state["folders"]]
    return tag(
        "section",
        {"class": "gmi-panel gmi-folders"},
        tag("h3", None, "Your output folders"),
        tag("p", {"class": "gmi-hint"}, _FOLDERS),
        trouble(state["error"], "Reading did not work") if state["error"] else None,
        tag("ul", {"class": "gmi-folder-rows"}, rows),
    )


def _folder(row: dict[str, Any], reading: dict[str, Any] | None) -> Html:
    folder, count = row["folder"], row["images"]
    mine = reading is not None and reading["what"] == row["path"]
    label = "Look for new ones" if count else "Read its images"
    said = words.counted(count, "image") if count else tag("span", None, "not read yet")
    return tag(
        "li",
        {"class": "gmi-folder", "data-gmi-folder": folder},
        words.elided(folder, folder),
        tag("span", {"class": "gmi-hint"}, said),
        _progress(reading["done"], reading["total"], "") if mine and reading else None,
        button("Stop", "search-cancel", "gmi-link")
        if mine
        else button(label, "search-read", "gmi-link", folder, disabled=row["waiting"]),
    )


def _progress(done: int, total: int, what: str) -> Html:
    count = words.of(done, total, "images") if total else tag("span", None, "Looking for images")
    return tag(
        "div",
        {"class": "gmi-progress"},
        bar(done / total if total else 0, "How far that is"),
        tag("div", {"class": "gmi-progress-line"}, count, tag("span", None, what)),
    )
