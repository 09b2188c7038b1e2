"""The tab before anything was built, and the tab without a program around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from standins.photo_host import NOT_BUILT, query

from .tabs import Site, opened, until


def test_the_first_run(browser: Any, first_site: Site, tmp_path: Path) -> None:
    name = next(iter(NOT_BUILT))
    liked = tmp_path / "liked.png"
    query(name).save(liked)
    with opened(browser, first_site, "light") as tab:
        tab.page.wait_for_selector("#gmi_first")
        tab.picture("first")
        tab.page.click("#gmi_first [data-gmi=build-first]")
        until(lambda: first_site.get("build")["message"] == "Done.")
        until(lambda: not first_site.get("library")["fitting"])
        tab.page.wait_for_selector("#gmi_first", state="detached")
        tab.choose(liked)
        assert set(tab.cards()) == set(NOT_BUILT)
        # samples are blurred here, until they are pointed at
        image = tab.card(name).locator("img").first
        assert "blur(" in image.evaluate("image => getComputedStyle(image).filter")
        image.hover()
        tab.page.wait_for_function(
            "name => !getComputedStyle(document.querySelector("
            "`[data-gmi-card='${name}'] img`)).filter.includes('blur')",
            arg=name,
        )


def test_without_a_program_there_is_only_what_works(
    browser: Any, lone_site: Site, liked: Path
) -> None:
    with opened(browser, lone_site) as tab:
        tab.choose(liked)
        assert len(tab.cards()) == 12
        tab.picture("alone")
        tab.page.click("#gmi_view_specifications")
        tab.page.wait_for_selector("#gmi_rows [data-gmi-row]")
        assert tab.page.locator("[data-gmi-row]").count() == 63
        for useless in ("load", "compare", "describe", "build-start", "build-one", "rebuild"):
            assert tab.page.locator(f"[data-gmi={useless}]").count() == 0, useless
        tab.picture("alone-specifications")
