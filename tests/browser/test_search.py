"""The view Search, in a real browser. A stand-in encoder that knows three colours looks at the
images: what is tested is the page, and that encoder needs no time.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from environments import GENERATIONS, Program, chromium
from PIL import PngImagePlugin
from standins.colours import plain
from standins.photo_host import HOSTILE

from .tabs import WINNER, Site, Tab, opened
from .test_tab import overflow

ANSWER = "#gmi_found[aria-busy=false] [data-gmi-search]"
PROMPT = "<b>red</b> paint, " * 60


@pytest.fixture(scope="module", params=GENERATIONS)
def site(
    request: pytest.FixtureRequest, furnished: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A library whose samples nobody has searched yet, and a folder of images."""
    chromium()
    folder = tmp_path_factory.mktemp("search") / "photographs"
    shutil.copytree(furnished, folder)
    (folder / "outputs").mkdir()
    info = PngImagePlugin.PngInfo()
    model = WINNER.removesuffix(".safetensors")
    said = f"{PROMPT}\nSteps: 31, Seed: 7, Size: 24x24, Model: {model}"
    info.add_text("parameters", said)
    plain("red", side=300).save(folder / "outputs" / "found.png", pnginfo=info)
    options = ("--folder", str(folder), "--loading", "0.2", "--colours", "0.06")
    program = Program(request.param, "standins.photo_host", *options)
    yield Site(request.param, program.told["address"], folder)
    program.stop()


@pytest.fixture(scope="module")
def page_of_all(browser: Any, site: Site) -> Iterator[Tab]:
    """One page for all tests of a generation."""
    with opened(browser, site) as tab:
        yield tab


@pytest.fixture
def view(page_of_all: Tab) -> Tab:
    """The view, with nothing asked."""
    page = page_of_all.page
    page.keyboard.press("Escape")
    page.click("#gmi_view_search")
    if page.locator("[data-gmi=search-clear]").count():
        page.click("[data-gmi=search-clear]")
    elif page.locator("#gmi_parts [data-gmi=search-drop]").count():
        page.click("#gmi_parts [data-gmi=search-drop]")
    kind(page_of_all, "checkpoints")
    page.wait_for_selector("#gmi_found > .gmi-empty")
    return page_of_all


def kind(tab: Tab, name: str) -> None:
    """Show checkpoints or images."""
    tab.page.locator(f"[name=gmi_search_kind][value={name}]").check(force=True)


def write(tab: Tab, words: str) -> None:
    """Search by words."""
    tab.page.fill("#gmi_search_text", words)
    tab.page.press("#gmi_search_text", "Enter")
    answered(tab)


def answered(tab: Tab) -> None:
    """Wait for the answer to the newest question."""
    tab.page.wait_for_timeout(300)  # it is asked after a moment
    tab.page.wait_for_selector(ANSWER)


def found(tab: Tab) -> list[str]:
    """Names of the cards of the answer."""
    cards = tab.page.locator("#gmi_found [data-gmi-card]")
    return list(cards.evaluate_all("cards => cards.map(card => card.dataset.gmiCard)"))


def parts(tab: Tab) -> list[str]:
    """What is looked for."""
    return list(
        tab.page.locator("#gmi_parts .gmi-part").evaluate_all(
            "parts => parts.map(part => part.dataset.part)"
        )
    )


def test_the_first_search_reads_can_be_stopped_and_goes_on(view: Tab) -> None:
    page = view.page
    page.fill("#gmi_search_text", "red")
    page.press("#gmi_search_text", "Enter")
    page.wait_for_selector(".gmi-reading .gmi-progress-line :text('of')")
    view.picture("search-reading")
    page.click(".gmi-reading [data-gmi=search-cancel]")
    page.wait_for_selector("#gmi_found :text('Reading was stopped')")
    assert found(view) == []

    page.click("#gmi_found [data-gmi=search]")

    page.wait_for_selector(ANSWER)
    assert len(found(view)) == 12
    assert "fits best." in page.inner_text("#gmi_found_verdict")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#gmi_found [data-gmi-card] img')].slice(0, 3)"
        ".every(image => image.naturalWidth > 0)"
    )
    view.picture("search-checkpoints")
    page.click("[data-gmi=search-further]")
    page.wait_for_function(
        "() => document.querySelectorAll('#gmi_found [data-gmi-card]').length > 12"
    )


def test_nothing_is_asked_without_a_query(view: Tab) -> None:
    view.page.locator("#gmi_searching .gmi-find-button").click()
    assert "Describe what you are looking for" in view.page.inner_text("#gmi_found")
    assert parts(view) == []


def test_tags_become_chips_and_can_be_taken_away(view: Tab) -> None:
    page = view.page
    page.fill("#gmi_search_tag", "red")
    page.press("#gmi_search_tag", "Enter")
    page.locator("#gmi_search_tag").press_sequentially("<i>blue</i>,")
    assert page.locator("#gmi_search_chips .gmi-tag span").all_inner_texts() == [
        "red",
        "<i>blue</i>",
    ]
    assert page.input_value("#gmi_search_tag") == ""
    assert page.is_visible(".gmi-tags-mode")
    answered(view)
    page.locator("[name=gmi_search_mode][value=all]").check(force=True)
    answered(view)
    assert parts(view) == ["tag", "tag"]
    page.press("#gmi_search_tag", "Backspace")
    assert page.locator("#gmi_search_chips .gmi-tag").count() == 1
    assert page.is_hidden(".gmi-tags-mode")
    page.click("#gmi_search_chips [data-gmi=search-drop]")
    page.wait_for_selector("#gmi_found > .gmi-empty")


def test_images_with_their_metadata_and_more_like_one(view: Tab, liked: Path) -> None:
    page = view.page
    page.set_input_files("#gmi_search_file", str(liked))
    answered(view)
    kind(view, "samples")
    page.wait_for_selector("#gmi_found [data-gmi-group]")
    answered(view)
    groups = page.locator("#gmi_found [data-gmi-group]")
    heads = groups.locator(".gmi-chip").all_inner_texts()
    assert sum(int(text.split()[0]) for text in heads) == 48
    view.picture("search-images")
    page.locator("#gmi_found .gmi-hit").first.click()
    about = page.locator("#gmi_lightbox .gmi-about")
    about.wait_for()
    first = about.inner_text()
    assert "Seed" in first
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('.gmi-about').innerText !== before", arg=first
    )
    view.picture("search-lightbox")
    about.locator("[data-gmi=similar-image]", has_text="images").click()
    page.wait_for_selector("#gmi_lightbox", state="hidden")
    answered(view)
    assert parts(view) == ["image"]
    assert page.locator("#gmi_found .gmi-hit").count() == 48


def test_a_sketch_is_drawn_undone_and_searched(view: Tab) -> None:
    page = view.page
    page.locator("#gmi_pad:not([open]) > summary").click()
    canvas = page.locator("#gmi_canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    ink = (
        "() => { const c = document.querySelector('#gmi_canvas');"
        " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] < 128; return n; }"
    )

    def line(*points: tuple[float, float]) -> None:
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        page.mouse.move(*at[0])
        page.mouse.down()
        for point in at[1:]:
            page.mouse.move(*point, steps=4)
        page.mouse.up()

    assert page.evaluate(ink) == 0
    line((0.2, 0.2), (0.8, 0.8))
    one = page.evaluate(ink)
    assert one > 500
    line((0.8, 0.2), (0.2, 0.8))
    two = page.evaluate(ink)
    assert two > one
    page.click("[data-gmi=pad-undo]")
    assert page.evaluate(ink) == one
    page.click("[data-gmi=pad-eraser]")
    assert page.get_attribute("[data-gmi=pad-pen]", "aria-pressed") == "false"
    line((0.3, 0.3), (0.5, 0.5))
    assert page.evaluate(ink) < one
    page.click("[data-gmi=pad-pen]")
    assert parts(view) == ["sketch"]
    page.locator("#gmi_searching .gmi-find-button").click()
    page.wait_for_selector(ANSWER)
    assert len(found(view)) == 12
    view.picture("search-sketch")
    page.click("[data-gmi=pad-clear]")
    assert page.evaluate(ink) == 0
    page.wait_for_selector("#gmi_found > .gmi-empty")
    page.click("[data-gmi=pad-undo]")
    assert page.evaluate(ink) > 0
    page.click("[data-gmi=pad-clear]")


def test_more_like_a_checkpoint_from_both_views(view: Tab, liked: Path) -> None:
    page = view.page
    page.select_option("#gmi_search_like", WINNER)
    answered(view)
    assert parts(view) == ["like"]
    cards = found(view)
    assert WINNER not in cards
    page.locator("#gmi_found [data-gmi-card] [data-gmi=similar]").first.click()
    page.wait_for_function(
        "name => !document.querySelector(`#gmi_found [data-gmi-card=${JSON.stringify(name)}]`)",
        arg=cards[0],
    )
    assert page.input_value("#gmi_search_like") == cards[0]
    page.click("#gmi_view_find")
    view.choose(liked)
    view.page.locator("#gmi_find [data-gmi-rank='1'] [data-gmi=similar]").click()
    page.wait_for_selector("#gmi_searching", state="visible")
    answered(view)
    assert page.input_value("#gmi_search_like") == WINNER
    assert WINNER not in found(view)


def test_weights_are_there_for_the_parts_that_are_given(view: Tab) -> None:
    page = view.page
    write(view, "red")
    page.locator(".gmi-search-more:not([open]) > summary").click()
    assert page.is_hidden("#gmi_weights")
    page.fill("#gmi_search_tag", "blue")
    page.press("#gmi_search_tag", "Enter")
    page.wait_for_selector("#gmi_weights", state="visible")
    rows = page.locator(".gmi-weight:visible")
    assert [rows.nth(n).get_attribute("data-part") for n in range(rows.count())] == ["text", "tags"]
    answered(view)
    with_both = page.inner_text("#gmi_found [data-gmi-rank='1'] .gmi-percent")
    page.locator(".gmi-weight[data-part=tags] input").fill("3")
    page.locator(".gmi-weight[data-part=tags] input").dispatch_event("change")
    assert page.inner_text(".gmi-weight[data-part=tags] output") == "×3"
    page.wait_for_function(
        "before => document.querySelector(\"#gmi_found [data-gmi-rank='1'] .gmi-percent\")"
        ".innerText !== before",
        arg=with_both,
    )


def test_a_chip_filters_the_answer(view: Tab) -> None:
    write(view, "red")
    chip = view.page.locator("#gmi_searching [data-filter=architecture][data-value=sdxl]")
    chip.click()
    answered(view)
    assert found(view) != []
    assert all("XL" in name for name in found(view))
    assert view.page.locator("#gmi_find [data-gmi=filter][aria-pressed=true]").count() == 0
    chip.click()
    answered(view)


def test_a_folder_is_read_and_its_image_found_and_saved(view: Tab, tmp_path: Path) -> None:
    page = view.page
    row = page.locator("#gmi_searching [data-gmi-folder]")
    row.locator("[data-gmi=search-read]").click()
    row.locator(":text('1 image')").wait_for()
    page.set_input_files("#gmi_search_file", str(view.site.folder / "outputs" / "found.png"))
    answered(view)
    kind(view, "samples")
    tile = page.locator("#gmi_found img[data-gmi-thumb*='found.png']")
    tile.wait_for()
    tile.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => document.querySelector(\"#gmi_found img[data-gmi-thumb*='found.png']\")"
        ".naturalWidth > 100"
    )
    tile.click()
    about = page.locator("#gmi_lightbox .gmi-about")
    about.wait_for()
    assert "31" in about.inner_text()
    assert "<b>red</b> paint" in about.inner_text()
    page.wait_for_function(
        "() => document.querySelector('#gmi_lightbox .gmi-stage img').naturalWidth === 300"
    )
    page.keyboard.press("Escape")
    for form in ("csv", "json"):
        with page.expect_download() as download:
            page.click(f"[data-gmi=search-export][data-name={form}]")
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        text = path.read_text(encoding="utf-8")
        rows = (
            list(csv.DictReader(text.splitlines())) if form == "csv" else json.loads(text)["hits"]
        )
        assert [row["file"] for row in rows].count("found.png") == 1


def test_load_and_favourite_from_a_card(view: Tab) -> None:
    write(view, "red")
    name = found(view)[1]
    card = view.page.locator("#gmi_found [data-gmi-card]").nth(1)
    card.locator("[data-gmi=load]").click()
    card.locator("[data-gmi-loaded]").wait_for()
    card.locator("[data-gmi=favourite]").click()
    view.page.wait_for_timeout(300)
    assert view.site.rows()[name]["favourite"] is True
    card.locator("[data-gmi=favourite]").click()


def test_the_arrow_keys_go_through_the_views(view: Tab) -> None:
    page = view.page
    page.focus("#gmi_view_search")
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(page.get_attribute("[data-gmi=view][aria-selected=true]", "data-value"))
    assert seen == ["specifications", "find", "search", "find"]


@pytest.mark.parametrize(("theme", "width"), [("dark", 420), ("light", 800), ("light", 1400)])
def test_nothing_sticks_out_and_names_stay_names(
    browser: Any, site: Site, theme: str, width: int
) -> None:
    with opened(browser, site, theme, (width, 900)) as tab:
        tab.page.click("#gmi_view_search")
        assert overflow(tab) <= 0
        write(tab, "red <img src=x onerror=window.hostile=5>")
        tab.page.click("[data-gmi=search-further]")
        tab.page.wait_for_function(
            "() => document.querySelectorAll('#gmi_found [data-gmi-card]').length > 12"
        )
        assert set(HOSTILE) <= set(found(tab))
        assert overflow(tab) <= 0
        kind(tab, "samples")
        tab.page.wait_for_selector("#gmi_found [data-gmi-group]")
        assert overflow(tab) <= 0
        tab.picture(f"search-{width}")
        assert tab.page.evaluate("() => window.hostile") is None
        assert tab.page.locator("#gmi_root img[src=x]").count() == 0
