"""The view Search in a real web UI: its own small library, its own output folder.

Nothing here needs the text encoder, which a web UI does not have unless somebody installs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from host_server import MINIS
from test_webui_browser import Front
from webui_server import WebUIServer

ANSWER = "#gmi_found[aria-busy=false] [data-gmi-search]"


@pytest.fixture(scope="module")
def built(webui: WebUIServer) -> WebUIServer:
    """With a quick specification of each checkpoint."""
    status, answer = webui.post("/gmi/v1/build", {"names": None, "limit": 4})
    assert status == 200, answer
    webui.wait(lambda: set(webui.samples().values()) == {4}, "the quick pass did not end")
    webui.built()
    return webui


@pytest.fixture
def front(browser: Any, built: WebUIServer) -> Iterator[Front]:
    opened = Front(browser, built)
    opened.tab()
    opened.page.click("#gmi_view_search")
    yield opened
    opened.close()


def answered(front: Front) -> None:
    front.page.wait_for_timeout(400)
    front.page.wait_for_selector(ANSWER, timeout=120_000)


def found(front: Front) -> set[str]:
    cards = front.page.locator("#gmi_found [data-gmi-card]")
    return set(cards.evaluate_all("cards => cards.map(card => card.dataset.gmiCard)"))


def test_an_image_finds_checkpoints_and_samples(front: Front, built: WebUIServer) -> None:
    page = front.page
    file = {"name": "liked.png", "mimeType": "image/png", "buffer": built.generate("mini-2")}
    page.set_input_files("#gmi_search_file", file)
    answered(front)
    assert found(front) == set(MINIS)
    front.picture("search")

    page.locator("[name=gmi_search_kind][value=samples]").check(force=True)

    page.wait_for_selector("#gmi_found [data-gmi-group]")
    answered(front)
    assert page.locator("#gmi_found .gmi-hit").count() == 4 * len(MINIS)
    page.locator("#gmi_found .gmi-hit").first.click()
    page.wait_for_selector("#gmi_lightbox .gmi-about :text('Seed')")
    front.picture("search-lightbox")


def test_a_prompt_of_a_sample_goes_to_txt2img(front: Front, built: WebUIServer) -> None:
    page = front.page
    page.locator("[name=gmi_search_kind][value=samples]").check(force=True)
    file = {"name": "liked.png", "mimeType": "image/png", "buffer": built.generate("mini-1")}
    page.set_input_files("#gmi_search_file", file)
    page.wait_for_selector("#gmi_found [data-gmi-group]", timeout=120_000)
    answered(front)
    page.locator("#gmi_found .gmi-hit").first.click()
    prompt = page.locator("#gmi_lightbox .gmi-about-prompt").inner_text()
    page.click("#gmi_lightbox [data-gmi=search-send]")
    box = page.locator("#txt2img_prompt textarea")
    built.wait(lambda: prompt[:20].lower() in box.input_value().lower(), "no prompt arrived")


def test_tags_a_sketch_and_a_checkpoint_find_others(front: Front) -> None:
    page = front.page
    page.select_option("#gmi_search_like", MINIS[0])
    answered(front)
    assert found(front) == set(MINIS[1:])
    page.click("#gmi_parts [data-gmi=search-drop]")
    page.locator("#gmi_pad > summary").click()
    page.locator("#gmi_canvas").scroll_into_view_if_needed()
    box = page.locator("#gmi_canvas").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 180, steps=6)
    page.mouse.up()
    page.locator("#gmi_searching .gmi-find-button").click()
    answered(front)
    assert found(front) == set(MINIS)
    front.picture("search-sketch")
    page.fill("#gmi_search_tag", "street")
    page.press("#gmi_search_tag", "Enter")
    answered(front)
    assert page.locator("#gmi_parts .gmi-part").count() == 2


def test_a_ranking_leads_to_similar_ones(front: Front, built: WebUIServer) -> None:
    front.page.click("#gmi_view_find")
    front.find(built.generate("mini-2"))
    best = front.best()
    front.page.locator("#gmi_find [data-gmi-rank='1'] [data-gmi=similar]").click()
    answered(front)
    assert found(front) == set(MINIS) - {best}


def test_the_web_uis_own_output_folder_can_be_read(front: Front, built: WebUIServer) -> None:
    page = front.page
    rows = page.locator("#gmi_searching [data-gmi-folder]")
    rows.first.wait_for()
    named = {row["folder"] for row in built.get("/gmi/v1/search")["folders"]}
    assert {rows.nth(n).get_attribute("data-gmi-folder") for n in range(rows.count())} == named
    rows.first.locator("[data-gmi=search-read]").click()
    built.wait(lambda: built.get("/gmi/v1/search")["reading"] is None, "reading did not end")
    front.picture("search-folders")
