"""What people do with the tab, in a real browser. ``GMI_SCREENSHOTS`` names a folder to keep
pictures in."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from standins.photo_host import HOSTILE, NOT_BUILT, query

from .tabs import WINNER, Site, Tab, opened, until

OTHER = "daylightXL_base.safetensors"
WIDTHS = (800, 1280, 1920)
_DROP = """([name, data]) => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, {type: 'image/png'}));
    const area = document.querySelector('#gmi_drop');
    for (const kind of ['dragenter', 'dragover', 'drop'])
        area.dispatchEvent(new DragEvent(kind, {
            dataTransfer: transfer, bubbles: true, cancelable: true, composed: true}));
}"""


#: Notes every count of samples that the page ever shows.
_WATCH = """() => {
    window.seen = new Set();
    const note = () => {
        const line = document.querySelector('#gmi_build .gmi-progress-line span');
        if (line) window.seen.add(line.textContent);
    };
    note();
    new MutationObserver(note).observe(document.querySelector('#gmi_build'),
        {subtree: true, childList: true, characterData: true});
}"""


def specifications(tab: Tab) -> None:
    """Look at the list of checkpoints."""
    tab.page.click("#gmi_view_specifications")
    tab.page.wait_for_selector("#gmi_rows [data-gmi-row]")


# -- find -----------------------------------------------------------------------------------------


def test_drop_an_image_and_see_the_ranking(tab: Tab, liked: Path) -> None:
    data = base64.b64encode(liked.read_bytes()).decode()
    tab.page.evaluate(_DROP, ["liked.png", data])

    tab.ranked()

    assert tab.cards()[0] == WINNER
    assert "neonNoirXL" in tab.page.inner_text("#gmi_verdict")
    assert tab.page.locator("#gmi_tiles img").count() == 1
    tab.page.wait_for_function(
        "() => { const images = [...document.querySelectorAll('[data-gmi-card] img')].slice(0, 2);"
        " return images.length === 2 && images.every(image => image.naturalWidth > 0); }"
    )
    tab.picture("find")


def test_the_script_asks_gradios_server_itself_where_it_can(tab: Tab, liked: Path) -> None:
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.post_data or ""))

    tab.choose(liked)

    straight = [data for data in asked if '"session_hash":"gmi-' in data]
    assert bool(straight) == (tab.site.generation != "newest")


def test_where_gradios_server_refuses_that_the_page_asks_as_usual(tab: Tab, liked: Path) -> None:
    refused: list[str] = []

    def refuse(route: Any) -> None:
        if '"session_hash":"gmi-' not in (route.request.post_data or ""):
            return route.fallback()
        refused.append(route.request.url)
        return route.fulfill(status=404, json={"detail": "Not Found"})

    tab.page.route("**/run/**", refuse)

    tab.choose(liked)

    assert tab.cards()[0] == WINNER
    assert len(refused) == (0 if tab.site.generation == "newest" else 1)
    tab.complaints[:] = [text for text in tab.complaints if "404" not in text]


def test_an_image_that_is_taken_away_takes_its_ranking_along(tab: Tab, liked: Path) -> None:
    tab.choose(liked)
    tab.page.click("[data-gmi=remove-image]")
    tab.page.wait_for_selector("[data-gmi-card]", state="detached")
    assert tab.page.locator("#gmi_tiles img").count() == 0


def test_a_second_example_and_the_prompt_of_a_file(tab: Tab, liked: Path, tmp_path: Path) -> None:
    from PIL import PngImagePlugin

    tab.choose(liked)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a lighthouse\nNegative prompt: fog\nSteps: 20, Seed: 1, Size: 9x9")
    path = tmp_path / "second.png"
    query(WINNER, 16).save(path, pnginfo=info)
    tab.page.set_input_files("#gmi_file", str(path))
    tab.page.wait_for_function("() => document.querySelectorAll('#gmi_tiles img').length === 2")
    tab.page.wait_for_function("() => document.querySelector('#gmi_prompt').value !== ''")
    tab.ranked()
    assert tab.page.input_value("#gmi_prompt") == "a lighthouse"
    assert tab.page.is_visible("#gmi_prompt_note")
    assert tab.cards()[0] == WINNER


def test_a_file_that_is_no_image_is_explained(tab: Tab, tmp_path: Path) -> None:
    path = tmp_path / "liked.png"
    path.write_bytes(b"<svg onload=window.hostile=4>")
    tab.page.set_input_files("#gmi_file", str(path))
    tab.page.wait_for_selector("#gmi_result :text('image')")
    assert tab.cards() == []
    assert tab.page.evaluate("() => window.hostile") is None


def test_a_chip_filters_the_ranking(tab: Tab, liked: Path) -> None:
    tab.choose(liked)
    everything = tab.cards()
    sdxl = "[data-gmi=filter][data-filter=architecture][data-value=sdxl]"
    chip = tab.page.locator(f"#gmi_find {sdxl}")
    chip.click()
    tab.page.wait_for_function(
        "before => document.querySelectorAll('[data-gmi-card]').length < before",
        arg=len(everything),
    )
    assert set(tab.cards()) == {name for name in tab.site.rows() if "XL" in name} - set(NOT_BUILT)
    tab.picture("filtered")
    chip.click()
    tab.page.wait_for_function(
        "before => document.querySelectorAll('[data-gmi-card]').length === before",
        arg=len(everything),
    )
    assert tab.cards() == everything


def test_load_and_undo(tab: Tab, liked: Path) -> None:
    tab.choose(liked)
    for name in (OTHER, WINNER):
        tab.card(name).locator("[data-gmi=load]").click()
        tab.card(name).locator("[data-gmi-loaded]").wait_for()
        assert tab.card(name).locator("[data-gmi=load]").is_hidden()
    tab.picture("loaded")
    tab.card(WINNER).locator("[data-gmi=undo]").click()
    tab.card(OTHER).locator("[data-gmi-loaded]").wait_for()
    assert tab.card(WINNER).locator("[data-gmi-loaded]").is_hidden()
    assert tab.card(WINNER).locator("[data-gmi=load]").is_visible()


def test_what_is_loaded_is_known_to_a_new_page(browser: Any, tab: Tab, liked: Path) -> None:
    tab.choose(liked)
    tab.card(WINNER).locator("[data-gmi=load]").click()
    tab.card(WINNER).locator("[data-gmi-loaded]").wait_for()
    with opened(browser, tab.site) as other:
        other.choose(liked)
        other.card(WINNER).locator("[data-gmi-loaded]").wait_for()


def test_compare(tab: Tab, liked: Path) -> None:
    tab.choose(liked)
    tab.page.click("#gmi_compare > summary")
    tab.page.click("#gmi_compare [data-gmi=compare]")
    tab.page.wait_for_function(
        "() => [...document.querySelectorAll('[data-gmi-region=compare] img')]"
        ".some(image => image.naturalWidth > 600)"
    )
    tab.picture("compare")


def test_the_share_card_is_a_picture_and_nothing_else(
    tab: Tab, liked: Path, tmp_path: Path
) -> None:
    tab.choose(liked)
    tab.page.click("[data-gmi=share]")
    tab.page.wait_for_selector("#gmi_share_save")
    tab.picture("share")
    with tab.page.expect_download() as download:
        tab.page.click("#gmi_share_save")
    path = tmp_path / "card.png"
    download.value.save_as(path)
    assert download.value.suggested_filename.endswith(".png")
    with Image.open(path) as card:
        card.load()
        assert card.format == "PNG"
        assert min(card.size) >= 300
        assert card.info == {}
        assert dict(card.getexif()) == {}
    data, at, kinds = path.read_bytes(), 8, set()
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kinds.add(data[at + 4 : at + 8])
        at += 12 + length
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}


# -- build ----------------------------------------------------------------------------------------


def test_a_build_with_progress(tab: Tab) -> None:
    specifications(tab)
    assert {tab.row(name).get_attribute("data-state") for name in NOT_BUILT} == {"none"}
    tab.picture("specifications")

    tab.page.click("#gmi_build_start")

    tab.page.wait_for_selector("#gmi_build [data-gmi=build-pause]")
    tab.page.evaluate(_WATCH)
    tab.page.wait_for_selector("#gmi_build .gmi-now img")
    tab.picture("building")
    until(lambda: tab.site.get("build")["state"] == "idle")
    seen = tab.page.evaluate("() => [...window.seen]")
    assert len(seen) >= 2, seen
    assert all(re.fullmatch(r"[0-8] of 8 samples", text) for text in seen), seen
    assert seen == sorted(seen)
    tab.page.wait_for_selector("#gmi_build_start")
    for name in NOT_BUILT:
        tab.page.wait_for_selector(f'[data-gmi-row="{name}"][data-state=quick]')
    assert {tab.site.rows()[name]["samples"] for name in NOT_BUILT} == {4}


def test_a_build_can_be_paused_resumed_and_cancelled(tab: Tab) -> None:
    site = tab.site
    specifications(tab)
    before = sum(row["samples"] for row in site.rows().values())
    tab.page.locator("[data-gmi=pass]").nth(1).check(force=True)

    tab.page.click("#gmi_build_start")
    # the build before this one had its own count
    until(lambda: (b := site.get("build"))["state"] == "running" and b["done"] >= 2)
    with site.held():
        tab.page.click("#gmi_build [data-gmi=build-pause]")
        tab.page.wait_for_selector("#gmi_build [data-gmi=build-resume]")
    build = until(lambda: (b := site.get("build"))["state"] == "paused" and b)
    assert build["done"] < build["total"]
    assert "paused" in tab.page.inner_text("#gmi_strip").lower()
    tab.picture("paused")

    tab.page.click("#gmi_build [data-gmi=build-resume]")
    tab.page.wait_for_selector("#gmi_build [data-gmi=build-pause]")
    until(lambda: site.get("build")["done"] > build["done"])

    with site.held():
        tab.page.click("#gmi_build [data-gmi=build-cancel]")
        if tab.page.locator("#gmi_dialog [data-gmi=yes]").is_visible():
            tab.page.click("#gmi_dialog [data-gmi=yes]")
        tab.page.wait_for_selector("#gmi_build_start")
    assert site.get("build")["state"] == "idle"
    assert tab.page.inner_text("#gmi_strip").strip() == ""
    after = sum(row["samples"] for row in site.rows().values())
    assert after >= before + 3  # what was finished is kept
    assert after < before + build["total"]


def test_a_build_that_runs_shows_in_a_new_page(browser: Any, tab: Tab) -> None:
    specifications(tab)
    tab.page.locator("[data-gmi=pass]").nth(1).check(force=True)
    with tab.site.held():
        tab.page.click("#gmi_build_start")
        tab.page.wait_for_selector("#gmi_build [data-gmi=build-pause]")
        with opened(browser, tab.site) as other:
            other.page.wait_for_selector("#gmi_strip >> text=/\\d+ . \\d+/")
            specifications(other)
            other.page.click("#gmi_build [data-gmi=build-cancel]")
            other.page.wait_for_selector("#gmi_build_start")
        # a page that only looks on hears of it as well
        tab.page.wait_for_selector("#gmi_build_start")


# -- looks and safety -----------------------------------------------------------------------------


def overflow(tab: Tab) -> int:
    """By how many pixels something sticks out of the page."""
    found = tab.page.evaluate(
        "() => { const page = document.documentElement;"
        " const root = document.querySelector('#gmi_root');"
        " const right = Math.max(0, ...[...root.querySelectorAll('*')]"
        ".filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().right));"
        " return Math.max(page.scrollWidth - page.clientWidth,"
        " root.scrollWidth - root.clientWidth, Math.ceil(right) - window.innerWidth); }"
    )
    return int(found)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out(browser: Any, site: Site, liked: Path, width: int, theme: str) -> None:
    with opened(browser, site, theme, (width, 1000)) as tab:
        assert overflow(tab) <= 0
        tab.choose(liked)
        tab.page.wait_for_function(
            "() => [...document.querySelectorAll('[data-gmi-card] img')].slice(0, 4)"
            ".every(image => image.naturalWidth > 0)"
        )
        assert overflow(tab) <= 0
        tab.picture(f"find-{width}", whole=True)
        specifications(tab)
        assert overflow(tab) <= 0
        tab.picture(f"specifications-{width}", whole=True)
        dark = tab.page.evaluate("() => document.body.classList.contains('dark')")
        assert dark == (theme == "dark")


def test_names_stay_names(tab: Tab, liked: Path) -> None:
    """Checkpoint names that are markup are shown, everywhere, and never done."""
    page = tab.page
    tab.choose(liked)
    cards = tab.cards()
    assert set(HOSTILE) <= set(cards)
    for name in HOSTILE:
        title = name.removesuffix(".safetensors")
        assert tab.card(name).locator(f"[title*={_quoted(title)}]").count() or (
            title in tab.card(name).inner_text()
        )
        tab.card(name).locator("[data-gmi=samples]").first.click()
        page.wait_for_selector("#gmi_dialog[open]")
        page.keyboard.press("Escape")
        tab.card(name).locator("[data-gmi=load]").click()
        tab.card(name).locator("[data-gmi-loaded]").wait_for()
    specifications(tab)
    for name in HOSTILE:
        assert tab.row(name).count() == 1
        tab.row(name).locator("[data-gmi=settings]").first.dispatch_event("click")
        page.wait_for_selector("#gmi_dialog[open] #gmi_settings")
        page.keyboard.press("Escape")
    page.click("#gmi_view_find")
    page.click("[data-gmi=share]")
    page.wait_for_selector("#gmi_share_save")
    assert page.evaluate("() => window.hostile") is None
    found = page.evaluate(
        "() => [...document.querySelectorAll('#gmi_root *')].filter(e => [...e.attributes]"
        ".some(a => a.name.startsWith('on') && /hostile/.test(a.value))).length"
        " + document.querySelectorAll('#gmi_root img[src=x]').length"
    )
    assert found == 0


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
