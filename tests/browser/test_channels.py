"""How the page asks Python: what gradio shows of that to others, and what happens when it fails."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .tabs import WINNER, Site, Tab, opened

#: How a request can go wrong.
FAILURES: dict[str, Callable[[Any], Any]] = {
    "404": lambda route: route.fulfill(status=404, body="Not found"),
    "500": lambda route: route.fulfill(status=500, json={"error": None}),
    "refused": lambda route: route.abort("connectionrefused"),
    "aborted": lambda route: route.abort("aborted"),
}


def endpoints(site: Site) -> dict[str, Any]:
    """What gradio tells everybody of this page's API."""
    path = "gradio_api/info" if site.generation == "newest" else "info"
    with urllib.request.urlopen(site.address + path, timeout=60) as response:
        return dict(json.load(response))


def test_no_question_of_the_page_is_a_public_endpoint(site: Site) -> None:
    assert endpoints(site) == {"named_endpoints": {}, "unnamed_endpoints": {}}


def test_none_is_public_where_events_are_handed_on(forge_like_site: Site) -> None:
    assert endpoints(forge_like_site) == {"named_endpoints": {}, "unnamed_endpoints": {}}


def sent(tab: Tab) -> None:
    """Send the best one's prompt, and wait until it is there with the user's negative prompt."""
    tab.page.locator("#gmi_find [data-gmi=send]").first.click()
    tab.page.wait_for_function(
        "() => document.querySelector('#txt2img_prompt textarea').value.endsWith('| my own')"
    )


def test_a_prompt_is_sent_and_the_users_negative_prompt_stays(tab: Tab, liked: Path) -> None:
    tab.choose(liked)
    sent(tab)


def test_questions_work_where_events_are_handed_on(
    browser: Any, forge_like_site: Site, liked: Path
) -> None:
    with opened(browser, forge_like_site) as tab:
        tab.choose(liked)
        assert tab.cards()[0] == WINNER
        sent(tab)
        # what the script asks of the server itself is refused once: gradio asks from then on
        tab.page.route("**/run/**", _refuse_the_script)
        tab.page.click("#gmi_find .gmi-find-button")
        tab.page.wait_for_function("() => !document.querySelector('.gmi-asking')")
        assert tab.cards()[0] == WINNER
        tab.complaints[:] = [text for text in tab.complaints if "404" not in text]


def _refuse_the_script(route: Any) -> None:
    straight = '"session_hash":"gmi-' in (route.request.post_data or "")
    if straight:
        route.fulfill(status=404, body="Not found")
    else:
        route.fallback()


@pytest.mark.parametrize("failure", FAILURES)
def test_a_request_that_fails_is_said_and_the_next_one_works(
    tab: Tab, liked: Path, failure: str
) -> None:
    if tab.site.generation == "newest":
        pytest.skip("no host has it; its gradio does not tell: the page says so after two minutes")
    page = tab.page
    page.route("**/run/**", FAILURES[failure])

    page.set_input_files("#gmi_file", str(liked))
    page.wait_for_selector("#gmi_result[aria-busy=false] [role=alert]")
    assert "No answer came" in page.inner_text("#gmi_result")
    page.evaluate("() => document.querySelector('#gmi_result [role=alert]').remove()")
    page.click("#gmi_find .gmi-find-button")  # and it is the same the next time
    page.wait_for_selector("#gmi_result[aria-busy=false] [role=alert]")

    page.unroute("**/run/**")
    page.click("#gmi_find .gmi-find-button")

    tab.ranked()
    assert tab.cards()[0] == WINNER
    page.wait_for_selector("[data-gmi-region=trouble] [role=alert]", state="detached")
    tab.complaints.clear()  # of the browser, about what was made to fail
