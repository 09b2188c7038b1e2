"""Translations for the web UI, which replaces whole text nodes of its page by their translation.

It has one table for all of its page: a text with a number or a name in it cannot be translated.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import SOURCE_ROOT

from lib_gmi.a1111 import TITLE, options
from lib_gmi.ui import (
    building,
    cards,
    harvest,
    packs,
    page,
    panels,
    parts,
    rows,
    search_cards,
    search_gallery,
    search_panels,
    settings_form,
)
from lib_gmi.ui.bridge import Abilities
from lib_gmi.ui.ranking import ranking as ranking_html

FILES = sorted((SOURCE_ROOT / "localizations").glob("*.json"))
UI = sorted((SOURCE_ROOT / "lib_gmi" / "ui").glob("*.py"))
SCRIPT = SOURCE_ROOT / "lib_gmi" / "a1111" / "script.py"
JAVASCRIPT = sorted((SOURCE_ROOT / "javascript").glob("*.js"))
#: Marks every text of the samples that is a name, a prompt or a message, and none of ours.
NAME = "¤"
EVERYTHING = Abilities(*[True] * 6)
NOW = 2_000_000_000

each_file = pytest.mark.parametrize("file", FILES, ids=[path.stem for path in FILES])


def texts(file: Path) -> dict[str, str]:
    read: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return read


# -- which texts there are -------------------------------------------------------------------------


def static(text: str) -> bool:
    """Whether a translation can name it: it has letters, and neither a number nor a name."""
    return bool(re.search(r"[^\W\d]", text)) and not re.search(rf"\b\d|[{NAME}$]", text)


class Nodes(HTMLParser):
    """Collects what the web UI looks up: text nodes, titles and placeholders."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._element = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._element = tag
        self.found |= {value for key, value in attrs if key in ("title", "placeholder") and value}

    def handle_endtag(self, tag: str) -> None:
        self._element = ""

    def handle_data(self, data: str) -> None:
        if self._element != "textarea":  # what people type
            self.found.add(data.strip())


def drawn(*pieces: str) -> set[str]:
    """The static texts of some HTML."""
    found = set()
    for html in pieces:
        nodes = Nodes()
        nodes.feed(html)
        nodes.close()
        found |= set(filter(static, nodes.found))
    return found


# -- samples ---------------------------------------------------------------------------------------


def row(state: str = "ready", **changes: Any) -> dict[str, Any]:
    """A row of ``Api.library()``."""
    settings = ("width", "height", "steps", "cfg", "sampler", "scheduler", "clip_skip", "vae")
    return {
        "name": f"{NAME}.ckpt",
        "title": NAME,
        "kind": "checkpoint",
        "architecture": "sd1",
        "acceleration": NAME,
        "family": NAME,
        "size": 2_000_000_000,
        "state": state,
        "reason": NAME,
        "samples": 4,
        "of": 55,
        "stored": 4,
        "harvested": 9,
        "missing": {"4": 0, "20": 16},
        "built": NOW,
        "settings": dict.fromkeys((*settings, "dialect", "prefix", "negative"), NAME),
        "because": [NAME],
        "edited": True,
        "previews": ["a/b.webp"],
        "favourite": True,
    } | changes


def build(state: str = "idle", **changes: Any) -> dict[str, Any]:
    """``Api.build()``."""
    return {
        "state": state,
        "done": 3,
        "total": 8,
        "current": None,
        "preview": None,
        "seconds_left": None,
        "message": "",
        "failed": False,
        "problems": [],
    } | changes


def library(*checkpoints: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """``Api.library()``."""
    gone = {"title": NAME, "name": NAME, "identity": NAME, "samples": 1}
    return {
        "prompts": 55,
        "passes": [4, 20, 55],
        "checkpoints": list(checkpoints),
        "gone": [gone, gone | {"samples": 2}],
        "groups": [{"titles": [NAME, NAME], "bytes": 4_000_000_000}],
        "architectures": ["sd1", "sd2"],
        "folders": [NAME],
        "samplers": [NAME],
        "schedulers": [NAME],
        "dialects": [NAME],
        "seconds_per_sample": None,
        "first_run": False,
        "build": build(),
    } | changes


def candidate(rank: int = 1, **changes: Any) -> dict[str, Any]:
    """A row of a ranking."""
    return {
        "rank": rank,
        "name": f"{NAME}{rank}",
        "title": f"{NAME}{rank}",
        "kind": "checkpoint",
        "architecture": "sd1",
        "score": 1.5,
        "probability": 0.5,
        "samples": 55,
        "of_samples": 55,
        "group": None,
        "evidence": [{"prompt": NAME, "image": "/a/b.webp"}],
    } | changes


def ranking(*probabilities: float | None, **changes: Any) -> str:
    """A ranking, drawn."""
    candidates = [candidate(rank, probability=p) for rank, p in enumerate(probabilities, 1)]
    answer = {
        "verdict": NAME,
        "method": NAME,
        "reason": NAME,
        "foreign": False,
        "conformal": 1,
        "notes": [NAME],
        "prompt": {"text": NAME, "source": "library"},
        "candidates": candidates,
        "near_duplicates": [],
        "excluded": [{"title": NAME, "reason": NAME}],
        "missing": 1,
    } | changes
    return ranking_html(answer, cards.Query("key", EVERYTHING))


def rankings() -> set[str]:
    few = candidate(evidence=[], samples=4, group=1)
    groups = [{"titles": [NAME, f"{NAME}1", f"{NAME}2"], "probability": 0.5}]
    return drawn(
        ranking(0.9, 0.5, 0.4, 0.4),
        ranking(0.5, 0.05, foreign=True, missing=2, prompt=None),
        ranking(None, prompt={"text": NAME, "source": "user"}),
        ranking(
            0.5,
            made_with=[{"installed": NAME, "sentence": NAME}],
            elsewhere=[{"title": NAME, "pack": NAME, "author": NAME, "page": "https://x.y"}],
        ),
        ranking(candidates=[few, candidate(2, kind="recipe")], near_duplicates=groups),
    )


def first_runs() -> set[str]:
    new = {"stored": 0, "samples": 0, "missing": {"4": 4, "20": 20}}
    situations = (
        library(row("none", **new), row("none", **new)),
        library(row("none", **new | {"missing": {"4": 1}})),
        library(row("unsupported")),
        library(),
        library(row("none", **new), build=build("running")),
    )
    crops = [{"name": name, "missing": missing} for name, missing in ((NAME, 2), ("other", 0))]
    harvests = (
        {"state": "idle", "crops": []},
        {"state": "looking", "files": 3, "crops": []},
        {"state": "ready", "crops": crops[:1]},
        {"state": "ready", "crops": crops},
        {"state": "ready", "crops": [{"name": f"{NAME}.ckpt", "missing": 0}]},
    )
    return drawn(
        *(panels.first_run(one | {"first_run": True}, True, None) for one in situations),
        *(panels.first_run(situations[0] | {"first_run": True}, True, None, h) for h in harvests),
    )


def tables() -> set[str]:
    every = [row(state) for state in rows.STATES]
    others = (
        row("none", stored=0),
        row("none", stored=0, samples=0),
        row("quick", kind="recipe"),
    )
    whole = library(*every, superseded={"encoder": 2, "prompt set": 1}, kept_by_others=2)
    return drawn(
        panels.filters(whole),
        panels.counts(whole, 1 << 20),
        panels.counts(whole, 0),
        panels.counts(library(row(stored=1), gone=[]), 0),
        panels.state_chips(whole, True),
        rows.extras(whole),
        *(rows.row(one, EVERYTHING, "make") for one in (*every, *others)),
        rows.row(row(previews=[]), EVERYTHING, "undo"),
    )


def harvests() -> set[str]:
    state = {
        "state": "ready",
        "files": 9,
        "done": 1,
        "total": 2,
        "title": NAME,
        "message": NAME,
        "crops": [
            {"name": f"{NAME}{n}", "title": f"{NAME}{n}", "images": 9, "missing": missing}
            for n, missing in enumerate((0, 2, 0))
        ],
        "silent": 3,
        "left_out": [{"what": NAME, "images": 2}],
        "foreign": [{"what": NAME, "images": 2}],
        "built": [{"title": f"{NAME}2", "images": 9}],
    }
    pack = {"id": NAME, "title": NAME, "author": NAME, "licence": NAME, "problem": NAME}
    pack |= {"specifications": 3, "installed": 1}
    return drawn(
        *(harvest.harvest_panel(state | {"state": name}) for name in ("idle", "ready")),
        *(harvest.harvest_panel(state | {"state": name}) for name in ("looking", "gathering")),
        harvest.harvest_panel(state | {"crops": [], "silent": 0}),
        packs.packs_panel([pack], True),
    )


def searches() -> set[str]:
    every = dict.fromkeys(search_cards.EXPERTS, 0.5)
    evidence = [{"image": "/a/b.webp", "prompt": NAME}]
    rows = [
        candidate(n, share=0.5, parts=every, score=score, evidence=evidence, samples=n)
        for n, score in enumerate((1.0, 0.0, -1.0), 1)
    ]
    query = cards.Query("key", EVERYTHING, text=True)
    hit = {
        "rank": 1,
        "checkpoint": NAME,
        "identity": NAME,
        "name": NAME,
        "loadable": True,
        "prompt": NAME,
        "seed": 1,
        "settings": dict.fromkeys(("width", "negative", "height"), NAME)
        | {key: NAME for key, _ in search_gallery.SETTINGS},
        "image": "/a/b.webp",
        "file": NAME,
        "folder": NAME,
    }
    unsaid = hit | {"checkpoint": "", "identity": None, "name": None}
    origin = {"checkpoint": NAME, "identity": NAME, "hits": 1}
    none = origin | {"checkpoint": "", "identity": None}
    folder = {"folder": NAME, "path": NAME, "images": 0, "waiting": False}
    folders = [folder | {"images": count} for count in (0, 1, 2)]
    reading = {"done": 0, "total": 0, "what": NAME}
    panel = {"reading": None, "error": NAME, "folders": folders}
    return drawn(
        search_cards.found_checkpoints(rows, [NAME], query, 3),
        search_gallery.found_images([hit], [origin], [NAME], query, True),
        search_gallery.found_images([unsaid, unsaid], [none], [], query),
        search_panels.waiting(reading),
        search_panels.waiting(reading | {"total": 2}),
        search_panels.stopped(None),
        search_panels.stopped(NAME),
        search_panels.no_samples(True),
        search_panels.no_samples(False),
        search_panels.folders_panel(panel),
        search_panels.folders_panel(panel | {"reading": reading}),
    )


def days() -> set[str]:
    """When something was built, as far as that has no number."""
    from lib_gmi.ui import words

    return set(filter(static, (words.ago(NOW - day * 86400, NOW) for day in range(800))))


def builds() -> set[str]:
    now = {"name": NAME, "title": NAME, "prompt": NAME, "done": 1, "of": 4}
    problem = [{"title": NAME, "reason": NAME}]
    situations = (
        (build(message=NAME, failed=True, problems=problem), None),
        (build(message=NAME, problems=problem), None),
        (build("running"), None),
        (build("running"), NAME),
        (build("running", current=now, problems=problem), None),
        (build("paused", current=now), None),
    )
    return drawn(
        *(building.build_panel(library(build=one), why, None) for one, why in situations),
        *(building.strip(one, why) for one, why in situations),
    )


def dialogs() -> set[str]:
    damaged = [{"name": NAME, "reason": NAME}]
    return drawn(
        settings_form.settings_form(row(), library()),
        cards.samples_grid(NAME, []),
        cards.samples_grid(NAME, [("a/b", NAME)]),
        cards.samples_grid(NAME, [("a/b", NAME), ("a/c", NAME)]),
        panels.verified({"good": 3, "damaged": damaged, "unreadable": []}),
        panels.verified({"good": 3, "damaged": [], "unreadable": []}),
        panels.verified({"good": 0, "damaged": [], "unreadable": []}),
        panels.comparison("data:", [NAME]),
        panels.card_dialog("data:"),
        parts.trouble(NAME),
    )


# -- texts in sources ------------------------------------------------------------------------------


def constants(tree: ast.Module) -> dict[str, str]:
    """The texts that a module gives a name."""
    return {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def resolved(nodes: Iterable[ast.expr], known: dict[str, str]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in known:
            yield known[node.id]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def messages() -> set[str]:
    """What the tab raises, and the whole sentences that its modules give a name."""
    found: set[str] = set()
    for path in UI:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = constants(tree)
        raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
        for error in raised:
            if isinstance(error, ast.Call):
                found |= set(resolved(error.args[:1], known))
        found |= {text for text in known.values() if text.endswith(".") and " " in text}
    return found


def img2img() -> set[str]:
    """Labels and placeholders of the section of img2img."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    words = [word for call in calls for word in call.keywords]
    shown = [word.value for word in words if word.arg in ("label", "placeholder")]
    return set(resolved(shown, constants(tree)))


class StandInOption:
    """An option of the settings page, with a note in brackets as the web UI draws it."""

    shown: set[str] = set()  # noqa: RUF012  emptied by who looks

    def __init__(self, default: Any, label: str, *_: Any, **__: Any) -> None:
        self.shown.add(label)

    def info(self, text: str) -> None:
        self.shown.add(f"({text})")


def settings() -> set[str]:
    """Labels and notes of the section of the settings page."""
    StandInOption.shown.clear()
    shared = SimpleNamespace(
        OptionInfo=StandInOption, opts=SimpleNamespace(add_option=lambda key, info: None)
    )
    standins = {
        "gradio": SimpleNamespace(Slider=None, Dropdown=None, Number=None),
        "modules": SimpleNamespace(shared=shared),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, module in standins.items():
            patch.setitem(sys.modules, name, module)
        options.register()
    return set(StandInOption.shown)


_TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|(?P<quoted>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
    r"""|(?P<template>`(?:\\.|[^`\\])*`)""",
    re.DOTALL,
)


def javascript() -> set[str]:
    """What the script itself draws: markup, sentences, and titles."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in JAVASCRIPT)
    found: set[str] = set(re.findall(r'\btitle: "([^"]+)"', source))
    for token in _TOKENS.finditer(source):
        quoted = (token["quoted"] or "")[1:-1]
        literal = quoted or (token["template"] or "")[1:-1]
        if literal.startswith("<"):
            found |= drawn(literal)
        elif re.match(r"[A-Z].* ", quoted):
            found.add(quoted)
    return found - {TITLE}


PLACES: dict[str, Callable[[], set[str]]] = {
    "page": lambda: drawn(page.skeleton(EVERYTHING, True)),
    "first run": first_runs,
    "ranking": rankings,
    "table": tables,
    "days": days,
    "build": builds,
    "dialogs": dialogs,
    "harvest": harvests,
    "search": searches,
    "messages": messages,
    "img2img": img2img,
    "settings": settings,
    "javascript": javascript,
}


# -- tests -----------------------------------------------------------------------------------------


def test_there_are_translations() -> None:
    assert [path.stem for path in FILES] == ["de_DE"]


@pytest.mark.parametrize(
    ("place", "example"),
    [
        ("page", "What the image shows"),
        ("first run", "You can pause it whenever you like; nothing is lost."),
        ("ranking", "far ahead of the next"),
        ("table", "No longer installed"),
        ("days", "yesterday"),
        ("build", "Building is paused"),
        ("dialogs", "Negative prompt"),
        ("harvest", "Look at my images"),
        ("search", "Find similar images"),
        ("messages", "A comparison needs a prompt."),
        ("img2img", "Use the best checkpoint for this image"),
        ("settings", "(a checkpoint needs the graphics card more)"),
        ("javascript", "Keep it"),
    ],
)
def test_the_texts_of_a_place_are_found(place: str, example: str) -> None:
    assert example in PLACES[place]()


@pytest.mark.parametrize("text", ["4 of 8", f"{NAME} is loaded", "…", "× 4 =", "${name}"])
def test_numbers_names_and_signs_are_not_static(text: str) -> None:
    assert not static(text)


@each_file
@pytest.mark.parametrize("place", PLACES)
def test_every_text_is_translated(file: Path, place: str) -> None:
    assert sorted(PLACES[place]() - texts(file).keys()) == []


@each_file
def test_no_translation_is_of_a_text_that_is_not_drawn(file: Path) -> None:
    every = set().union(*(collect() for collect in PLACES.values()))
    assert sorted(texts(file).keys() - every) == []


@each_file
def test_no_text_is_translated_twice_in_the_file(file: Path) -> None:
    keys: list[str] = []
    json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=lambda p: keys.extend(dict(p)))
    pairs = re.findall(r'^\s*"(?:\\.|[^"\\])*":', file.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(pairs) == len(keys)


@each_file
def test_translations_are_plain_texts(file: Path) -> None:
    for key, text in texts(file).items():
        assert isinstance(text, str), key
        assert text == text.strip() != "", key
        assert not re.search(r"[<>]|&\w+;", text), key


@each_file
def test_a_translation_ends_as_the_text_does(file: Path) -> None:
    for key, text in texts(file).items():
        ends = [re.sub(r"[^.:?…)]", "", one[-1]) for one in (key, text)]
        assert ends[0] == ends[1], key


@each_file
def test_a_translation_is_not_translated_again(file: Path) -> None:
    """The web UI looks at a node again whenever it is moved."""
    known = texts(file)
    assert [text for text in known.values() if known.get(text, text) != text] == []


@each_file
def test_the_name_stays(file: Path) -> None:
    assert TITLE not in texts(file)
    assert all((TITLE in key) == (TITLE in text) for key, text in texts(file).items())
