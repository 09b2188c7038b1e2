"""The view Search: its questions and answers, on a stand-in host with a stand-in encoder."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import picture
from PIL import Image, PngImagePlugin
from standins.colours import ColourSpace, plain
from standins.host import start

from lib_gmi.base.errors import MissingExtraError, SearchError
from lib_gmi.search.pictures import SIDE, names_in, picture_query, small_copy
from lib_gmi.ui import search_cards, search_gallery, search_panels
from lib_gmi.ui.bridge import Abilities
from lib_gmi.ui.cards import Query
from lib_gmi.ui.desk import Desk
from lib_gmi.ui.page import skeleton

from .test_desk import KEY, StandInBridge, Tab, names, sent

A, B, C = "a.safetensors", "b.safetensors", "sub/c.safetensors"
EVIL = "<img src=x onerror=alert(1)>'\"&"


def started(tmp_path: Path) -> Tab:
    running = start(tmp_path / "models", tmp_path / "library")
    for style, name in enumerate((A, B, C)):
        running.install(name, style, "sdxl" if name == B else "sd1")
    running.api.searches.load = ColourSpace
    bridge = StandInBridge(running.api)
    return Tab(Desk(bridge), bridge, running)


@pytest.fixture
def empty(tmp_path: Path) -> Tab:
    return started(tmp_path)


@pytest.fixture
def tab(empty: Tab) -> Tab:
    """With three checkpoints whose samples have been read."""
    empty.running.build()
    searches = empty.running.api.searches
    searches.read(lines=True)
    searches.wait(60)
    return empty


@pytest.fixture
def outputs(tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the host names, with an image that says that the first checkpoint made it."""
    folder = tmp_path / "outputs"
    (folder / "day one").mkdir(parents=True)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "=cmd red\nSteps: 20, Seed: 7, Size: 24x24, Model: a")
    plain("red").save(folder / "day one" / "one.png", pnginfo=info)
    plain("blue").save(folder / "unsaid.png")
    monkeypatch.setattr(tab.running.host, "image_folders", lambda: [folder])
    tab.ask("search-read", name=str(folder))
    tab.running.api.searches.wait(60)
    return folder


def ask(tab: Tab, **body: Any) -> dict[str, Any]:
    return tab.ask("search", **body)


def image(style: int, key: str = KEY) -> dict[str, str]:
    return sent(picture(style, 99), key)


# -- queries --------------------------------------------------------------------------------------


def test_each_kind_of_part_finds_checkpoints(tab: Tab) -> None:
    for body in (
        {"text": "red"},
        {"images": [image(1)]},
        {"sketches": [image(0, KEY + "s")]},
        {"tags": ["red"]},
        {"text": "red", "tags": ["green", "blue"], "all": True, "weights": {"text": 2}},
    ):
        said = ask(tab, **body)
        assert set(names(said)) == {A, B, C}, body
        assert said["search"]
    assert names(ask(tab, images=[image(1)]))[0] == B


def test_like_is_asked_by_the_name_of_an_installed_checkpoint(tab: Tab) -> None:
    assert set(names(ask(tab, like=A))) == {B, C}
    said = ask(tab, like="nobody")
    assert "is not in the library" in said["html"]
    assert "error" not in said


def test_filters_narrow_checkpoints_and_images(tab: Tab) -> None:
    assert names(ask(tab, text="red", architectures=["sdxl"])) == [B]
    assert names(ask(tab, text="red", folders=["sub/"])) == [C]
    assert set(names(ask(tab, text="red", pattern="!b*"))) == {A, C}
    assert names(ask(tab, text="red", pattern="b*", architectures=["sdxl"])) == [B]
    groups = re.findall(
        r'data-gmi-group="([^"]*)"', ask(tab, kind="samples", text="red", pattern="b*")["html"]
    )
    assert groups == [B]
    assert "passes the filter" in ask(tab, text="red", pattern="nobody")["html"]


def test_samples_must_name_what_is_asked_for(tab: Tab) -> None:
    assert "passes the filter" in ask(tab, text="red", having=["no prompt says this"])["html"]


def test_images_come_by_checkpoint_with_what_is_known_of_them(tab: Tab) -> None:
    html = ask(tab, kind="samples", images=[image(1)])["html"]
    groups = re.findall(r'data-gmi-group="([^"]*)"', html)
    assert set(groups) == {A, B, C}
    assert html.count('data-gmi="enlarge"') == 18
    assert html.count("<template>") == 18
    for text in ("Seed", "Find similar images", "Find similar checkpoints", "6</span>"):
        assert text in html


def test_many_are_shown_when_they_are_asked_for(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib_gmi.ui.searching.FIRST", {"checkpoints": 2, "samples": 4})
    few, many = (ask(tab, text="red", further=further) for further in (False, True))
    assert (len(names(few)), len(names(many))) == (2, 3)
    assert "search-further" in few["html"]
    assert "search-further" not in many["html"]
    few = ask(tab, kind="samples", text="red")
    assert few["html"].count("<template>") == 4
    assert "search-further" in few["html"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "both"},
        {"text": 3},
        {"tags": "red"},
        {"weights": [1]},
        {"weights": {"text": "2"}},
        {"weights": {"nothing": 2}},
        {"images": [{"key": "short", "data": "x"}]},
        {"images": "all"},
        {"text": "x" * 5001},
    ],
)
def test_malformed_questions_say_so(tab: Tab, body: dict[str, Any]) -> None:
    said = ask(tab, **{"text": "red", **body})
    assert said["error"].endswith(".")


def test_an_image_is_sent_once(tab: Tab) -> None:
    ask(tab, images=[image(0)])
    assert names(ask(tab, images=[{"key": KEY}]))
    assert ask(tab, images=[{"key": KEY * 2}]) == {"resend": True, "id": tab.asked}


def test_a_file_that_is_no_image_is_explained(tab: Tab) -> None:
    said = ask(tab, images=[{"key": KEY, "data": "data:,bm90aGluZw=="}])
    assert "not an image that can be read" in said["error"]


# -- states ---------------------------------------------------------------------------------------


def test_an_empty_question_says_what_can_be_asked(tab: Tab) -> None:
    said = ask(tab, text="  ")
    assert "Say what to look for first" in said["html"]
    assert "error" not in said


def test_an_empty_library_says_how_to_fill_it(empty: Tab) -> None:
    assert "Build specifications of your checkpoints" in ask(empty, text="red")["html"]
    empty.bridge.abilities = Abilities()
    assert "view-specifications" not in ask(empty, text="red")["html"]


def test_what_is_missing_for_texts_is_said(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    speechless = ColourSpace(speechless=True)
    monkeypatch.setattr(tab.running.api.searches.searcher(), "joint", speechless)
    assert "reads no texts" in ask(tab, text="red")["error"]
    html = ask(tab, tags=["picture"])["html"]
    assert "Tags were looked for in prompts only" in html


def test_what_is_missing_for_texts_is_said_before_anything_is_read(
    empty: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.running.build()
    searches = empty.running.api.searches
    monkeypatch.setattr(searches.searcher(), "joint", ColourSpace(speechless=True))
    said = ask(empty, text="red")
    assert "reads no texts" in said["error"]
    searches.wait(60)
    assert searches.searcher().embeddings.missing() > 0


def test_weights_that_are_missing_are_said(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise MissingExtraError("The encoder's weights are not installed.")

    searches = tab.running.api.searches
    monkeypatch.setattr(searches, "_searcher", None)
    monkeypatch.setattr(searches, "load", missing)
    assert ask(tab, text="red")["error"] == "The encoder's weights are not installed."


def test_nothing_found_is_said(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    speechless = ColourSpace(speechless=True)
    monkeypatch.setattr(tab.running.api.searches.searcher(), "joint", speechless)
    said = ask(tab, kind="samples", tags=["nobody says that"])
    assert "Nothing was found" in said["html"]


def test_samples_are_read_first_and_the_answer_follows(empty: Tab) -> None:
    empty.running.build()
    first = ask(empty, text="red")
    assert first["waiting"] is True
    assert "search-cancel" in first["html"]
    empty.running.api.searches.wait(60)
    assert set(names(ask(empty, text="red", again=True))) == {A, B, C}


def test_whoever_only_looks_does_not_begin_to_read(empty: Tab) -> None:
    empty.running.build()
    said = ask(empty, text="red", again=True)
    assert "Reading was stopped" in said["html"]
    assert "waiting" not in said
    assert empty.running.api.searches.reading()["reading"] is None


def test_trouble_while_reading_is_shown(empty: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    empty.running.build()
    searches = empty.running.api.searches

    def broken(images: object) -> object:
        raise SearchError("The encoder is out of order.")

    monkeypatch.setattr(searches.searcher().joint, "encode_images", broken)
    ask(empty, text="red")
    searches.wait(60)
    said = ask(empty, text="red", again=True)
    assert "The encoder is out of order." in said["html"]
    assert 'data-gmi="search"' in said["html"]


# -- folders --------------------------------------------------------------------------------------


def test_the_folders_are_named_with_what_can_be_searched(tab: Tab, outputs: Path) -> None:
    said = tab.ask("search-state")
    assert (said["reading"], said["images"]) == (None, 2)
    assert f'data-gmi-folder="{outputs}"' in said["html"]
    assert "Look for new ones" in said["html"]


def test_there_is_no_panel_without_folders(tab: Tab) -> None:
    assert tab.ask("search-state")["html"] == ""


def test_a_folder_that_nobody_named_is_not_read(tab: Tab, outputs: Path) -> None:
    said = tab.ask("search-read", name=str(outputs.parent))
    assert "is not a folder that this program" in said["error"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is closed to this user")
def test_a_closed_folder_is_explained(tab: Tab, outputs: Path) -> None:
    outputs.chmod(0)
    tab.ask("search-read", name=str(outputs))
    tab.running.api.searches.wait(60)
    outputs.chmod(0o755)
    assert "Name a folder that you may read." in tab.ask("search-state")["html"]


def test_a_folder_that_is_gone_is_explained(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Path(tab.running.host.models) / "gone"
    monkeypatch.setattr(tab.running.host, "image_folders", lambda: [gone])
    tab.ask("search-read", name=str(gone))
    tab.running.api.searches.wait(60)
    assert "cannot be listed" in tab.ask("search-state")["html"]


def test_a_second_folder_is_read_after_the_first(
    tab: Tab, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    plain("green").save(other / "two.png")
    plain("green", 1).save(outputs / "three.png")
    monkeypatch.setattr(tab.running.host, "image_folders", lambda: [outputs, other])
    searches = tab.running.api.searches
    searches.read([str(outputs)])
    searches.read([str(other)])
    searches.wait(60)
    assert [row["images"] for row in searches.state()["folders"]] == [3, 1]


def hit_of(html: str) -> str:
    """The key of the picture of the hit that is a folder's."""
    (key,) = set(re.findall(r'data-gmi-thumb="(search/picture[^"]*one\.png)"', html))
    return key.replace("&amp;", "&")


def test_a_picture_of_a_folder_is_shown_small_and_large(tab: Tab, outputs: Path) -> None:
    html = ask(tab, kind="samples", images=[sent(plain("red"), KEY)])["html"]
    assert "day one/one.png" in html
    key = hit_of(html)
    for whole in (False, True):
        uri = tab.ask("pictures", keys=[key], whole=whole)["pictures"][key]
        assert uri.startswith("data:image/webp;base64,")
    strange = key.replace("one.png", "..%2F..%2Flibrary")
    assert tab.ask("pictures", keys=[strange])["pictures"] == {strange: None}


def test_pictures_are_given_by_name_and_never_by_path(tab: Tab, outputs: Path) -> None:
    find = tab.running.api.searches.picture
    secret = outputs.parent / "secret.png"
    plain("red").save(secret)
    plain("red", 1).save(outputs / "not-read.png")
    home = str(outputs)
    assert find(home, "day one/one.png") == outputs / "day one" / "one.png"
    for folder, file in (
        (str(outputs.parent), "secret.png"),
        (str(outputs / "day one"), "one.png"),
        (home, "../secret.png"),
        (home, "day one/../../secret.png"),
        (home, "day one/../unsaid.png"),
        (home, "day one//one.png"),
        (home, "./unsaid.png"),
        (home, str(secret)),
        (home, str(outputs / "unsaid.png")),
        (home, "day one\\one.png"),
        (home, "unsaid.png\0"),
        (home, "not-read.png"),
        (home, "day one"),
        (home, ""),
        ("", "unsaid.png"),
    ):
        assert find(folder, file) is None, (folder, file)


@pytest.mark.skipif(os.name == "nt", reason="making links needs a right that few have")
def test_a_link_out_of_the_folder_is_not_followed(tab: Tab, outputs: Path) -> None:
    secret = outputs.parent / "secret.png"
    plain("red").save(secret)
    find = tab.running.api.searches.picture
    (outputs / "unsaid.png").unlink()
    (outputs / "unsaid.png").symlink_to(secret)
    assert find(str(outputs), "unsaid.png") is None


def test_a_folder_that_is_not_named_any_more_shows_nothing(
    tab: Tab, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = tab.running.api.searches.picture
    assert find(str(outputs), "unsaid.png") is not None
    monkeypatch.setattr(tab.running.host, "image_folders", list)
    assert find(str(outputs), "unsaid.png") is None


def test_a_file_that_is_gone_or_damaged_is_no_picture(tab: Tab, outputs: Path) -> None:
    api, query = tab.running.api, {"folder": str(outputs), "file": "unsaid.png"}
    assert api.search_picture(query) is not None
    (outputs / "unsaid.png").write_bytes(b"nothing")
    assert api.search_picture(query) is None
    (outputs / "unsaid.png").unlink()
    assert api.search_picture(query) is None
    assert api.search_picture({}) is None


def test_a_small_copy_is_upright_and_says_nothing_of_its_file(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "secret"
    Image.new("RGB", (1600, 800)).save(tmp_path / "a.jpg", exif=exif, comment=b"secret")
    content = small_copy(tmp_path / "a.jpg")
    made = Image.open(io.BytesIO(content))
    assert (made.format, made.size) == ("WEBP", (SIDE // 2, SIDE))
    assert b"secret" not in content
    assert dict(made.getexif()) == {}


def test_names_survive_an_address(tmp_path: Path) -> None:
    file = tmp_path / "a & b" / "ü %2F?#.png"
    query = picture_query(str(file), [Path("/elsewhere"), tmp_path])
    assert query is not None
    assert names_in(query) == (str(tmp_path), "a & b/ü %2F?#.png")
    assert picture_query("/elsewhere/a.png", [tmp_path]) is None
    assert names_in("nothing") == ("", "")


# -- what is done with an answer ------------------------------------------------------------------


def test_hits_are_saved_as_json_and_as_csv_without_formulas(tab: Tab, outputs: Path) -> None:
    said = ask(tab, kind="samples", images=[sent(plain("red"), KEY)])
    saved = tab.ask("search-export", search=said["search"], format="csv")
    rows = list(csv.DictReader(io.StringIO(saved["content"])))
    assert saved["type"] == "text/csv"
    assert len(rows) == 20
    (row,) = [row for row in rows if row["file"].endswith("one.png")]
    assert row["prompt"] == "'=cmd red"
    assert row["file"] == "day one/one.png"
    saved = tab.ask("search-export", search=said["search"], format="json")
    hits = json.loads(saved["content"])["hits"]
    assert [hit["rank"] for hit in hits] == list(range(1, 21))
    assert not any(str(tab.running.service.library.folder) in str(hit) for hit in hits)
    assert tab.ask("search-export", search=said["search"], format="exe")["error"]
    assert "not remembered" in tab.ask("search-export", search="0", format="csv")["error"]


def test_a_prompt_is_sent_with_the_settings_of_the_checkpoint(tab: Tab) -> None:
    said = ask(tab, kind="samples", images=[image(0)])
    hits = json.loads(tab.ask("search-export", search=said["search"], format="json")["content"])
    question = {"id": 1, "search": said["search"], "name": B, "hit": 2}
    answer, infotext = tab.desk.send(json.dumps(question))
    assert json.loads(answer) == {"id": 1}
    assert infotext == f"{hits['hits'][1]['prompt']}\nModel: {B}"
    said = ask(tab, text="a red fox")
    _, infotext = tab.desk.send(json.dumps({"search": said["search"], "name": A, "hit": None}))
    assert infotext == f"a red fox\nModel: {A}"
    _, infotext = tab.desk.send(json.dumps({"search": "forgotten", "name": A}))
    assert infotext == ""


def test_a_prompt_is_only_offered_where_there_is_one(tab: Tab) -> None:
    assert "search-send" in ask(tab, text="red")["html"]
    assert "search-send" not in ask(tab, tags=["red"])["html"]
    tab.bridge.abilities = Abilities()
    assert "search-send" not in ask(tab, text="red")["html"]
    assert 'data-gmi="load"' not in ask(tab, text="red")["html"]


# -- markup ---------------------------------------------------------------------------------------

QUERY = Query("key", Abilities(*[True] * 6), text=True)


def card(**changes: Any) -> dict[str, Any]:
    evidence = [{"image": "/a/b.webp", "prompt": EVIL}]
    return {
        "rank": 1,
        "name": EVIL,
        "title": EVIL,
        "kind": "checkpoint",
        "architecture": EVIL,
        "score": 1.0,
        "share": 1.0,
        "parts": {"text": 1.0, EVIL: 2.0},
        "samples": 3,
        "evidence": evidence,
    } | changes


def hit(**changes: Any) -> dict[str, Any]:
    return {
        "rank": 1,
        "checkpoint": EVIL,
        "identity": EVIL,
        "name": EVIL,
        "loadable": True,
        "prompt": EVIL * 400,
        "seed": 1,
        "settings": {"sampler": EVIL, "negative": EVIL},
        "image": f"/gmi/v1/search/picture?folder={EVIL}",
        "file": EVIL,
        "folder": EVIL,
    } | changes


def test_nothing_from_outside_becomes_markup() -> None:
    origin = {"checkpoint": EVIL, "identity": EVIL, "hits": 1}
    folder = {"folder": EVIL, "path": EVIL, "images": 1, "waiting": False}
    reading = {"done": 1, "total": 2, "what": EVIL}
    for html in (
        search_cards.found_checkpoints([card()], [EVIL], QUERY),
        search_gallery.found_images([hit()], [origin], [EVIL], QUERY),
        search_panels.waiting(reading),
        search_panels.stopped(EVIL),
        search_panels.folders_panel({"reading": reading, "error": EVIL, "folders": [folder]}),
        search_cards.alert(EVIL),
    ):
        assert "<img src=x" not in html
        assert "onerror=alert(1)&gt;" in html
        assert html.count("<div") == html.count("</div>")


def test_long_prompts_are_cut() -> None:
    origin = {"checkpoint": "a", "identity": "a", "hits": 1}
    html = search_gallery.found_images(
        [hit(checkpoint="a", identity="a", prompt="word " * 2000)], [origin], [], QUERY
    )
    assert len(html) < 12_000
    assert "word…" in html or "word …" in html


def test_an_image_that_names_no_checkpoint_is_itself_the_example() -> None:
    about = search_gallery.about(hit(checkpoint="", name=None, loadable=False), QUERY)
    assert 'data-name="checkpoints"' in about
    assert 'data-gmi="similar"' not in about
    assert 'data-gmi="search-load"' not in about


@pytest.mark.parametrize(
    ("score", "shown", "lead"),
    [(1.26, "+1.3", "above"), (-0.74, "\u22120.7", "below"), (0.01, "0.0", "your average")],
)
def test_a_score_is_said_against_the_average(score: float, shown: str, lead: str) -> None:
    html = search_cards.found_checkpoints([card(score=score)], [], QUERY)
    assert f'gmi-percent">{shown}<' in html
    assert re.search(rf'gmi-lead">{lead}', html)


def test_the_view_stands_between_the_others() -> None:
    html = skeleton(Abilities(), False)
    views = re.findall(r'id="gmi_view_(\w+)"', html)
    assert views == ["find", "search", "specifications"]
    ids = re.findall(r' id="([^"]+)"', html)
    assert sorted(ids) == sorted(set(ids))
    for target in re.findall(r'aria-controls="([^"]+)"', html):
        assert target in ids


def test_every_card_of_a_ranking_leads_to_similar_ones(tab: Tab) -> None:
    html = tab.rank()["html"]
    assert html.count('data-gmi="similar"') == html.count("data-gmi-card=") == 3


def test_the_page_knows_which_checkpoints_others_can_be_like(tab: Tab) -> None:
    assert [name for name, _ in tab.ask("state")["likes"]] == [A, B, C]
