"""The tab's questions and answers, on a stand-in host with a stand-in program around it."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCE_ROOT, picture
from PIL import Image, PngImagePlugin
from standins.host import Running, StandInHost, drawn, start

from lib_gmi.base.errors import HostError, LibraryError
from lib_gmi.routes.api import Api
from lib_gmi.ui import panels, words
from lib_gmi.ui.bridge import Abilities, Preferences
from lib_gmi.ui.desk import Desk
from lib_gmi.ui.page import skeleton

KEY = "0123456789abcdef"


@dataclass
class StandInBridge:
    """A program that remembers what the tab asked of it; ``gate`` holds comparisons up."""

    api: Api
    program: str = "stand-in"
    abilities: Abilities = field(default_factory=lambda: Abilities(*[True] * 6))
    loaded: str | None = "a.safetensors"
    waiting: str | None = None
    previews: set[str] = field(default_factory=set)
    hurried: int = 0
    broken: bool = False
    gate: threading.Event = field(default_factory=threading.Event)

    def preferences(self) -> Preferences:
        return Preferences(blur=True)

    def current(self) -> str | None:
        return self.loaded

    def load(self, name: str) -> None:
        if self.broken:
            raise HostError("It is gone.")
        self.loaded = name

    def compare(self, names: Sequence[str], prompt: str, seed: int) -> list[Image.Image]:
        assert self.gate.wait(20)
        if self.broken:
            raise HostError(f"{names[0]} cannot generate.")
        return [drawn(style, seed) for style, _ in enumerate(names)]

    def prompt_of(self, image: Image.Image) -> str | None:
        return image.info.get("parameters")

    def interrogate(self, image: Image.Image) -> str:
        return f"an image of {image.width} pixels"

    def infotext(self, name: str, prompt: str, negative: str = "") -> str:
        without = f"Negative prompt: {negative}\n" if negative else ""
        return f"{prompt}\n{without}Model: {name}"

    def connect_send(self, button: Any, text: Any) -> None:
        raise AssertionError("there is no gradio here")

    def title_of(self, name: str) -> str | None:
        return None

    def waiting_for(self) -> str | None:
        return self.waiting

    def build_now(self) -> None:
        self.hurried += 1

    def seconds_per_sample(self) -> float | None:
        return 3.0

    def preview_exists(self, name: str) -> bool:
        return name in self.previews

    def make_preview(self, name: str) -> None:
        if name in self.previews:
            raise HostError("There is one.")
        self.previews.add(name)

    def undo_preview(self, name: str) -> None:
        self.previews.discard(name)


@dataclass
class Tab:
    """A desk with what is behind it."""

    desk: Desk
    bridge: StandInBridge
    running: Running
    asked: int = 0

    def ask(self, do: str, **body: Any) -> dict[str, Any]:
        self.asked += 1
        question = json.dumps({"do": do, "id": self.asked, **body})
        said: dict[str, Any] = json.loads(self.desk.answer(question))
        assert said["id"] == self.asked
        return said

    def rank(self, style: int = 0, **body: Any) -> dict[str, Any]:
        return self.ask("rank", images=[sent(drawn(style, 99), KEY + str(style))], **body)


@pytest.fixture
def tab(tmp_path: Path) -> Tab:
    running = start(tmp_path / "models", tmp_path / "library")
    for style, name in enumerate(("a", "b", "sub/c")):
        running.install(f"{name}.safetensors", style, "sdxl" if name == "b" else "sd1")
    bridge = StandInBridge(running.api)
    running.host.interrogator = lambda image: bridge.interrogate(image)  # noqa: PLW0108
    return Tab(Desk(bridge), bridge, running)


@pytest.fixture
def built(tab: Tab) -> Tab:
    tab.running.build()
    return tab


def sent(image: Image.Image, key: str, text: str | None = None) -> dict[str, str]:
    info = PngImagePlugin.PngInfo()
    if text is not None:
        info.add_text("parameters", text)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    data = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"key": key, "data": data}


def names(said: dict[str, Any]) -> list[str]:
    return re.findall(r'data-gmi-card="([^"]*)"', said["html"])


# -- finding --------------------------------------------------------------------------------------


def test_the_right_one_comes_first_and_nothing_is_loaded(built: Tab) -> None:
    for style, name in enumerate(("a.safetensors", "b.safetensors", "sub/c.safetensors")):
        said = built.rank(style)
        assert names(said)[0] == name == said["best"]
        assert len(names(said)) == 3
    assert built.bridge.loaded == "a.safetensors"


def test_filters_widen_each_other_within_a_kind_and_narrow_across(built: Tab) -> None:
    found = [
        set(names(built.rank(**body)))
        for body in (
            {"architectures": ["sdxl"]},
            {"architectures": ["sdxl", "sd1"]},
            {"folders": ["sub/"]},
            {"folders": ["sub/"], "architectures": ["sd1"]},
        )
    ]
    everything = {"a.safetensors", "b.safetensors", "sub/c.safetensors"}
    sub = {"sub/c.safetensors"}
    assert found == [{"b.safetensors"}, everything, sub, sub]
    assert "passes the filter" in built.rank(folders=["sub/"], architectures=["sdxl"])["error"]


def test_favourites_alone(built: Tab) -> None:
    built.ask("favourite", name="b.safetensors", marked=True)
    said = built.rank(favourites=True)
    assert names(said) == ["b.safetensors"]
    assert 'aria-pressed="true"' in said["html"]
    assert built.ask("state")["favourites"] == ["b.safetensors"]


def test_without_a_library_it_says_what_to_do(tab: Tab) -> None:
    said = tab.rank()
    assert "Build them first" in said["error"]
    assert 'role="alert"' in said["html"]


def test_an_image_is_sent_once(built: Tab) -> None:
    assert built.ask("rank", images=[{"key": KEY}])["resend"] is True
    first = built.ask("rank", images=[sent(drawn(1, 99), KEY)])
    again = built.ask("rank", images=[{"key": KEY}])
    assert names(again) == names(first)


@pytest.mark.parametrize(
    "images",
    [
        None,
        [],
        ["text"],
        [{"key": "short", "data": "x"}],
        [{"key": KEY, "data": "data:image/png;base64,???"}],
        [{"key": KEY, "data": base64.b64encode(b"no image").decode()}],
        [{"key": KEY}] * 9,
    ],
)
def test_malformed_images_are_refused_in_words(built: Tab, images: Any) -> None:
    said = built.ask("rank", images=images)
    assert said["error"]
    assert "went wrong" not in said["error"]


def test_the_prompt_comes_from_metadata_unless_somebody_typed(built: Tab) -> None:
    image = [sent(drawn(0, 99), KEY, "a castle")]
    assert built.ask("rank", images=image)["prompt"] == "a castle"
    typed = built.ask("rank", images=image, prompt="a dog", typed=True)
    assert typed["prompt"] is None
    assert "a dog" in typed["html"]


def test_broken_metadata_stops_nothing(built: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: StandInBridge, image: Image.Image) -> str:
        raise KeyError("chunk")

    monkeypatch.setattr(StandInBridge, "prompt_of", broken)
    assert names(built.rank())


def test_describe(built: Tab) -> None:
    said = built.ask("describe", images=[sent(drawn(0, 1), KEY)])
    assert said["prompt"] == "an image of 32 pixels"
    assert (said["source"], said["notes"]) == ("host", [])


def test_describe_goes_on_where_the_program_fails(
    built: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: StandInBridge, image: Image.Image) -> str:
        raise HostError("Its interrogator does not work.")

    monkeypatch.setattr(StandInBridge, "interrogate", broken)
    said = built.ask("describe", images=[sent(drawn(0, 1), KEY)])
    assert (said["source"], said["notes"]) == ("library", ["host: Its interrogator does not work."])
    host = built.bridge.api.service.host
    assert isinstance(host, StandInHost)
    host.order = lambda: ("host",)
    said = built.ask("describe", images=[sent(drawn(0, 1), KEY)])
    assert "does not work. Describe the image in your own words." in said["error"]


def test_load_says_what_was_loaded_before(built: Tab) -> None:
    said = built.ask("load", name="b.safetensors")
    assert (said["before"], said["current"]) == ("a.safetensors", "b.safetensors")
    assert built.ask("load", name=said["before"])["current"] == "a.safetensors"
    assert "not an installed" in built.ask("load", name="../x")["error"]
    built.bridge.broken = True
    assert built.ask("load", name="b.safetensors")["error"] == "It is gone."
    assert built.bridge.loaded == "a.safetensors"


def test_send_gives_the_infotext(built: Tab) -> None:
    said = built.rank(prompt="a cat", typed=True)
    question = {"id": 7, "name": "b.safetensors", "query": said["query"]}
    answer, infotext = built.desk.send(json.dumps(question))
    assert json.loads(answer) == {"id": 7}
    assert infotext == "a cat\nModel: b.safetensors"
    # what the user wrote into txt2img themselves stays there
    _, infotext = built.desk.send(json.dumps(question | {"negative": "my own"}))
    assert infotext == "a cat\nNegative prompt: my own\nModel: b.safetensors"
    answer, infotext = built.desk.send(json.dumps(question | {"query": "unknown"}))
    assert "Rank again" in json.loads(answer)["error"]
    assert infotext == ""


@pytest.mark.parametrize(
    ("typed", "expected"), [(False, "of the image"), (True, "my own")], ids=["read", "typed"]
)
def test_an_image_brings_its_negative_prompt_along_with_its_prompt(
    built: Tab, typed: bool, expected: str
) -> None:
    written = "a fox\nNegative prompt: of the image\nSteps: 9, Sampler: Euler, Seed: 1, Size: 8x8"
    image = sent(drawn(0, 99), KEY, written)
    said = built.ask("rank", images=[image], prompt="a cat", typed=typed)
    question = {"id": 1, "name": "b.safetensors", "query": said["query"], "negative": "my own"}
    _, infotext = built.desk.send(json.dumps(question))
    assert infotext.splitlines()[-2] == f"Negative prompt: {expected}"


def test_samples_and_their_pictures(built: Tab) -> None:
    dialog = built.ask("samples", name="sub/c.safetensors")["dialog"]
    keys = re.findall(r'data-gmi-thumb="([^"]*)"', dialog)
    assert len(keys) == 6
    assert "picture number 3" in dialog
    found = built.ask("pictures", keys=[*keys, "../../etc/passwd", "x"])["pictures"]
    assert all(found[key].startswith("data:image/webp;base64,") for key in keys)
    assert found["../../etc/passwd"] is None
    assert found["x"] is None


def finished(tab: Tab, query: str) -> dict[str, Any]:
    for _ in range(400):
        said = tab.ask("state", query=query)
        if not said["busy"]:
            return said
        time.sleep(0.05)
    raise AssertionError("the comparison did not end")


def test_a_comparison_holds_nothing_up(built: Tab) -> None:
    query = built.rank()["query"]
    assert "error" not in built.ask("compare", query=query, count=2, seed=5)
    during = built.ask("state", query=query)
    assert during["busy"] is True
    assert "Comparing" in during["comparison"][1]
    assert names(built.rank(1))
    assert "under way" in built.ask("compare", query=query, count=2, seed=5)["error"]
    assert "comparison" not in built.ask("state", query="of somebody else")
    built.bridge.gate.set()
    after = finished(built, query)["comparison"]
    assert 'src="data:image/webp;base64,' in after[1]
    assert "comparison" not in built.ask("state", query=query, comparison=after[0])


def test_a_comparison_that_fails_says_why(built: Tab) -> None:
    query = built.rank()["query"]
    built.bridge.broken = True
    built.bridge.gate.set()
    built.ask("compare", query=query, count=2, seed=5)
    assert "cannot generate" in finished(built, query)["comparison"][1]


@pytest.mark.parametrize("change", [{"count": 1}, {"count": 9}, {"seed": -1}, {"seed": "1"}])
def test_a_comparison_checks_what_it_is_given(built: Tab, change: dict[str, Any]) -> None:
    query = built.rank()["query"]
    body = {"query": query, "count": 2, "seed": 1} | change
    assert built.ask("compare", **body)["error"]


def test_the_share_card_is_a_picture_without_paths(built: Tab) -> None:
    said = built.ask("share", query=built.rank(2)["query"])
    match = re.search(r'src="data:image/png;base64,([^"]*)"', said["dialog"])
    assert match is not None
    card = Image.open(io.BytesIO(base64.b64decode(match[1])))
    assert card.size == (1200, 675)
    assert "Rank again" in built.ask("share", query="unknown")["error"]


# -- specifications -------------------------------------------------------------------------------


def test_first_run_says_how_long_it_takes(tab: Tab) -> None:
    said = tab.ask("state")
    first = re.sub("<[^>]*>", "", said["regions"]["first"][1])
    assert said["first_run"] is True
    assert "3 checkpoints × 4 = 12 images." in first
    assert "about 35 seconds" in first
    assert "Build quick specifications (4 each)" in first


def first_panel(tab: Tab) -> str:
    return re.sub("<[^>]*>", "", tab.ask("state")["regions"]["first"][1])


def test_the_first_run_looks_by_itself_and_builds_the_rest(tab: Tab, tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir()
    tab.running.host.image_folders = lambda: [folder]  # type: ignore[method-assign]
    name = tab.ask("state")["order"][0]
    harvests = tab.running.api.harvests
    harvests.join(60)
    assert "Your images do not say enough yet." in first_panel(tab)
    for number in range(9):
        info = PngImagePlugin.PngInfo()
        model = name.removesuffix(".safetensors")
        text = f"picture number {number}\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: {number}, "
        info.add_text("parameters", f"{text}Size: 256x256, Model: {model}")
        picture(0, number, 256).save(folder / f"{number}.png", pnginfo=info)
    assert "Your images do not say enough yet." in first_panel(tab), "one look is enough"
    tab.ask("harvest-look", lossy=False)
    harvests.join(60)

    first = first_panel(tab)
    assert "Your images already say enough for 1 of 3 checkpoints." in first
    assert "Use them, and build the rest" in first
    tab.ask("harvest-start", rest=4)
    harvests.join(60)
    tab.running.queue.run_all()
    states = tab.ask("state")["rows"].values()
    assert sum("From your images" in html for _, html in states) == 1
    assert sorted(tab.running.samples().values()) == [0, 4, 4], "nothing is generated twice"


def test_where_nothing_is_built_nobody_looks(tab: Tab, tmp_path: Path) -> None:
    tab.running.host.image_folders = lambda: [tmp_path]  # type: ignore[method-assign]
    tab.bridge.abilities = Abilities(*[False] * 6)
    tab.ask("state")
    assert tab.running.api.harvest()["state"] == "idle"


def test_a_build_is_shown_from_start_to_end(tab: Tab) -> None:
    queue = tab.running.queue
    tab.ask("build", limit=4)
    running = tab.ask("state")
    assert running["busy"] is True
    queue.run_next()
    panel = tab.ask("state", full=False)["regions"]["build"][1]
    assert 'data-gmi="build-pause"' in panel
    assert "data-gmi-thumb" in panel
    assert "of</span> <span>12</span>" in panel
    tab.ask("build-pause")
    paused = tab.ask("state")
    assert paused["busy"] is False
    assert 'data-gmi="build-resume"' in paused["regions"]["build"][1]
    tab.ask("build-resume")
    queue.run_all()
    done = tab.ask("state")
    assert 'id="gmi_estimate"' in done["regions"]["build"][1]
    assert done["first_run"] is False
    states = [re.search('data-state="([^"]*)"', html) for _, html in done["rows"].values()]
    assert [state and state[1] for state in states] == ["quick", "quick", "quick"]


def test_cancelling_keeps_what_was_finished(tab: Tab) -> None:
    tab.ask("build", limit=4)
    tab.running.queue.run_next()
    tab.ask("build-cancel")
    assert tab.ask("state")["build_state"] == "idle"
    assert sorted(tab.running.samples().values()) == [0, 0, 4]


def test_a_build_in_which_everything_failed_looks_like_a_failure_and_can_be_tried_again(
    tab: Tab,
) -> None:
    names = list(tab.running.samples())
    tab.running.host.unloadable = dict.fromkeys(names, "no <b> memory")
    tab.ask("build", limit=4)
    tab.running.queue.run_all()
    said = tab.ask("state")
    regions = {name: html for name, (_, html) in said["regions"].items()}
    for name in ("build", "first"):
        assert 'role="alert"' in regions[name]
        assert '<details class="gmi-fold" open' in regions[name]
        assert regions[name].count("No &lt;b&gt; memory") == len(names)
    assert "Done" not in regions["build"]
    assert "The build failed" in regions["strip"]
    for _, html in said["rows"].values():  # each alone, and all together: see the script's estimate
        assert "&quot;4&quot;: 4" in html
        assert 'data-gmi="build-one"' in html

    tab.running.host.unloadable = {}
    tab.ask("build", limit=4)
    tab.running.queue.run_all()
    regions = {name: html for name, (_, html) in tab.ask("state")["regions"].items()}
    assert set(tab.running.samples().values()) == {4}
    assert "failed" not in regions["build"]
    assert "failed" not in regions["strip"]


def test_where_nothing_was_built_verify_says_so(tab: Tab) -> None:
    assert "no specification yet" in tab.ask("verify")["dialog"]


def test_a_build_that_waits_says_why_and_can_be_hurried(tab: Tab) -> None:
    tab.ask("build", limit=4)
    tab.bridge.waiting = "waiting until nobody generates <b>"
    said = tab.ask("state")
    assert "Waiting until nobody generates &lt;b&gt;" in said["regions"]["build"][1]
    assert "Waiting" in said["regions"]["strip"][1]
    assert 'data-gmi="build-now"' in said["regions"]["build"][1]
    tab.ask("build-now")
    assert tab.bridge.hurried == 1


def test_only_what_changed_is_sent_again(built: Tab) -> None:
    first = built.ask("state")
    known = {name: pair[0] for name, pair in first["regions"].items()}
    rows = {name: pair[0] for name, pair in first["rows"].items()}
    assert set(rows) == set(first["order"])
    again = built.ask("state", known=known, rows=rows)
    assert (again["regions"], again["rows"]) == ({}, {})
    built.ask("favourite", name="b.safetensors", marked=True)
    changed = built.ask("state", known=known, rows=rows)
    assert set(changed["rows"]) == {"b.safetensors"}
    assert set(changed["regions"]) == {"filters", "search-filters"}


def test_names_from_outside_are_escaped_everywhere(tab: Tab) -> None:
    evil = "<b onclick=x>&'.safetensors"
    tab.running.install(evil, 3)
    tab.running.build()
    state = tab.ask("state")
    everything = json.dumps(state["regions"]) + json.dumps(list(state["rows"].values()))
    for html in (
        everything,
        tab.rank(3)["html"],
        tab.ask("settings", name=evil)["dialog"],
        tab.ask("samples", name=evil)["dialog"],
    ):
        assert "<b onclick" not in html
        assert "&lt;b onclick" in html


def test_settings_are_shown_and_saved(built: Tab) -> None:
    form = built.ask("settings", name="a.safetensors")["dialog"]
    assert 'name="steps"' in form
    assert "Recognised" in form
    saved = built.ask("settings-save", name="a.safetensors", settings={"steps": 9})
    assert saved["settings"]["steps"] == 9
    assert 'value="9"' in built.ask("settings", name="a.safetensors")["dialog"]
    wrong = built.ask("settings-save", name="a.safetensors", settings={"steps": 9999})
    assert "steps" in wrong["error"]


def test_delete_and_rebuild(built: Tab) -> None:
    built.ask("delete", names=["a.safetensors"])
    assert built.running.states()["a.safetensors"] == "none"
    built.ask("rebuild", names=["b.safetensors"], limit=4)
    built.running.queue.run_all()
    assert built.running.samples()["b.safetensors"] == 4


def test_what_is_gone_is_listed_and_deleted(built: Tab) -> None:
    (built.running.host.models / "b.safetensors").unlink()
    extras = built.ask("state")["regions"]["extras"][1]
    gone = re.findall('data-gmi-gone="([^"]*)"', extras)
    assert len(gone) == 1
    built.ask("delete", names=gone, gone=True)
    assert "data-gmi-gone" not in built.ask("state")["regions"]["extras"][1]


def test_verify_says_what_it_found(built: Tab) -> None:
    assert "is sound" in built.ask("verify")["dialog"]
    file = next(built.running.library.folder.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-20])
    assert "damaged" in built.ask("verify")["dialog"]


def test_a_preview_can_be_made_and_taken_back(built: Tab) -> None:
    def menu() -> str:
        return built.ask("state")["rows"]["a.safetensors"][1]

    assert 'data-gmi="preview-make"' in menu()
    built.ask("preview-make", name="a.safetensors")
    assert 'data-gmi="preview-undo"' in menu()
    assert "There is one" in built.ask("preview-make", name="a.safetensors")["error"]
    built.ask("preview-undo", name="a.safetensors")
    assert 'data-gmi="preview-make"' in menu()
    built.bridge.previews.add("a.safetensors")  # the user's own
    assert "preview-" not in menu()


def test_unsupported_checkpoints_cannot_be_chosen(tab: Tab) -> None:
    tab.running.install("vae.safetensors", 0, "vae")
    html = tab.ask("state")["rows"]["vae.safetensors"][1]
    assert re.search(r'<input[^>]*type="checkbox"[^>]* disabled', html)
    assert "It is a VAE" in html


def shown_filters(tab: Tab) -> dict[str, list[str]]:
    html = tab.ask("state")["regions"]["filters"][1]
    found: dict[str, list[str]] = {}
    for kind, value in re.findall('data-filter="([^"]*)" data-value="([^"]*)"', html):
        found.setdefault(kind, []).append(value)
    return found


def test_chips_are_only_for_what_can_be_ranked(built: Tab) -> None:
    built.running.install("vae/only.safetensors", 9, "vae")
    assert shown_filters(built) == {"architecture": ["sd1", "sdxl"], "folder": ["sub/"]}


def test_families_are_called_as_people_call_them(built: Tab) -> None:
    library = built.bridge.api.library()
    kinds = [*words.ARCHITECTURES, "flux", "flux", "x9"]
    row = library["checkpoints"][0]
    library["checkpoints"] = [row | {"architecture": kind} for kind in kinds]
    html = panels.filters(library)
    labels = re.findall('data-filter="architecture".*?<span>([^<]*)</span>', html)
    assert labels[0] == "Flux"
    assert len(labels) == len(set(labels)) == len(set(words.ARCHITECTURES.values()))
    assert "x9" not in html
    assert "More base models" in html


def test_a_chip_stands_for_all_names_of_a_family(
    built: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(words.ARCHITECTURES, "sdxl", words.ARCHITECTURES["sd1"])
    assert len(names(built.rank(architectures=["sd1"]))) == 3


def test_the_size_is_that_of_the_pictures_which_are_there(built: Tab) -> None:
    def line() -> str:
        counts = built.ask("state")["regions"]["counts"][1]
        return re.sub("<[^>]*>", "", counts.partition("gmi-hint")[2].partition("</p>")[0])[2:]

    files = list((built.running.library.folder / "samples").rglob("*.webp"))
    assert len(files) == 18
    size = sum(file.stat().st_size for file in files)
    assert line() == f"18 samples, their pictures take {words.size(size)}"
    for file in files:
        file.unlink()
    assert line() == "18 samples, kept without pictures"


def test_what_cannot_build_offers_nothing_of_it(built: Tab) -> None:
    built.bridge.abilities = Abilities()
    page = skeleton(built.bridge.abilities, False)
    said = built.ask("state")
    html = page + "".join(
        pair[1]
        for name, pair in (*said["regions"].items(), *said["rows"].items())
        if f'data-gmi-region="{name}"' in page or name in said["rows"]
    )
    for action in ("select", "select-all", "build-start", "build-one", "rebuild", "pass"):
        assert f'data-gmi="{action}"' not in html, action
    assert 'data-value="missing"' not in html
    assert said["pictured"] is True
    form = built.ask("settings", name="a.safetensors")["dialog"]
    assert re.search("<fieldset[^>]* disabled", form)
    assert "settings-save" not in form


def test_what_ships_is_nobodys_to_delete(built: Tab) -> None:
    assert 'data-gmi="delete"' in built.ask("state")["rows"]["a.safetensors"][1]
    built.running.library.read_only = True
    assert 'data-gmi="delete"' not in built.ask("state")["rows"]["a.safetensors"][1]


# -- trouble --------------------------------------------------------------------------------------


def test_unexpected_trouble_is_logged_and_not_shown(
    built: Tab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, Any]:
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(built.bridge.api, "library", broken)
    said = built.ask("state")
    assert "log says what" in said["error"]
    assert "secret" not in json.dumps(said)
    assert "/secret/path" in caplog.text


class Unusable(StandInBridge):
    """A program whose library cannot be opened until somebody repairs it."""

    usable = False

    def __getattribute__(self, name: str) -> Any:
        if name == "api" and not object.__getattribute__(self, "usable"):
            raise LibraryError("D:/gone: is no folder. Choose another in the settings.")
        return super().__getattribute__(name)


def test_a_library_that_cannot_be_used_is_explained_in_the_tab(built: Tab) -> None:
    bridge = Unusable(built.bridge.api)
    tab = Tab(Desk(bridge), bridge, built.running)
    for said in (tab.ask("state"), tab.rank(), tab.ask("favourite", name="a", marked=True)):
        assert said["error"].startswith("D:/gone: is no folder.")
        assert 'role="alert"' in said["html"]
    bridge.usable = True
    assert "error" not in tab.ask("state")


@pytest.mark.parametrize("question", ["", "no json", "[]", "{}", '{"do": "__init__"}'])
def test_questions_that_make_no_sense(built: Tab, question: str) -> None:
    said = json.loads(built.desk.answer(question))
    assert said["error"]


def test_the_page_needs_neither_gradio_nor_torch_to_be_imported() -> None:
    code = (
        "import sys, lib_gmi.ui.tab, lib_gmi.ui.compat, lib_gmi.ui.share;"
        "print([m for m in ('gradio', 'torch', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SOURCE_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_button_of_the_page_is_heard_by_the_script(built: Tab) -> None:
    from lib_gmi.ui.tab import assets

    css, script = assets()
    built.rank()
    html = skeleton(built.bridge.abilities, True) + built.rank()["html"]
    state = built.ask("state")
    html += "".join(pair[1] for pair in (*state["regions"].values(), *state["rows"].values()))
    actions = set(re.findall('data-gmi="([^"]*)"', html))
    heard = {
        action
        for action in actions
        if re.search(rf'["\s]{action}["(:,]|^    {action},', script, re.M)
    }
    assert heard == actions
    assert len(actions) > 20
    assert "#gmi_page" in css


def test_a_thumbnail_is_small(built: Tab, tmp_path: Path) -> None:
    from lib_gmi.ui.thumbs import SIDE, Thumbs

    path = tmp_path / "large.png"
    picture(1, 1, 700).save(path)
    thumbs = Thumbs()
    uri = thumbs.small(path)
    assert uri is not None
    shown = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert max(shown.size) == SIDE
    assert thumbs.small(path) is uri
    assert thumbs.small(tmp_path / "gone.png") is None
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert thumbs.small(tmp_path / "bad.png") is None
