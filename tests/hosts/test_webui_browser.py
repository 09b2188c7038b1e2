"""The tab in a real web UI, in a real browser. ``GMI_SCREENSHOTS`` names a folder for pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from headers import SD1, UNET, write
from host_server import MINIS
from webui_server import WebUIServer, install_mini, quick_settings

# before a host is started for nothing
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

OURS = "Find Best Model"
#: What the web UI's own page complains of: no internet, and (without us as well) its own gallery.
NOT_OURS = (
    "ERR_NAME_NOT_RESOLVED",
    "ERR_INTERNET_DISCONNECTED",
    "ERR_CONNECTION",
    "fonts.g",
    "reading 'props'",
)
_WIDE = """() => {
    const tab = document.querySelector('#gmi_tab').getBoundingClientRect();
    const sticksOut = e => e.offsetParent && e.getBoundingClientRect().right > tab.right + 1;
    return [...document.querySelectorAll('#gmi_tab *')].filter(sticksOut)
        .map(e => e.outerHTML.slice(0, 90));
}"""


class Front:
    """One page of the web UI."""

    def __init__(
        self, browser: Any, webui: WebUIServer, theme: str = "dark", width: int = 1280
    ) -> None:
        self.webui, self.theme, self.width = webui, theme, width
        self.complaints: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 1000})
        self.page.set_default_timeout(150_000)
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on("console", self._heard)
        self.page.goto(f"{webui.address}/?__theme={theme}")
        self.page.wait_for_selector("#tabs > .tab-nav > button")

    def _heard(self, message: Any) -> None:
        text = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error":
            self._complain(text)

    def _complain(self, text: str) -> None:
        if not any(known in text for known in NOT_OURS):
            self.complaints.append(text)

    def tab(self, name: str = OURS) -> None:
        """Go to one of the web UI's tabs."""
        self.page.locator("#tabs > .tab-nav > button", has_text=name).click()
        if name == OURS:
            self.page.wait_for_selector("#gmi_root[data-ready]")

    def find(self, image: bytes) -> None:
        """Give the tab an image and wait for the ranking."""
        file = {"name": "liked.png", "mimeType": "image/png", "buffer": image}
        self.page.set_input_files("#gmi_file", file)
        self.page.wait_for_selector("[data-gmi-card]")

    def best(self) -> str:
        """Name on the first card."""
        return str(self.page.get_attribute("[data-gmi-rank='1']", "data-gmi-card"))

    def picture(self, name: str) -> None:
        """Keep a screenshot, if anybody wants one."""
        folder = os.environ.get("GMI_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            file = f"{self.webui.program.lower()}-{name}-{self.theme}-{self.width}.png"
            self.page.screenshot(path=str(Path(folder) / file))

    def close(self) -> None:
        """The page must have had nothing to complain of."""
        self.page.close()
        assert self.complaints == []


@pytest.fixture
def front(browser: Any, webui: WebUIServer) -> Iterator[Front]:
    opened = Front(browser, webui)
    yield opened
    opened.close()


def test_a_first_visit_builds_and_finds(front: Front, webui: WebUIServer) -> None:
    front.tab()
    front.page.wait_for_selector("#gmi_first [data-gmi=build-first]")
    webui.wait(lambda: webui.get("/gmi/v1/harvest")["state"] == "ready", "the tab did not look")
    front.page.wait_for_selector("#gmi_first >> text=Your images do not say enough yet.")
    front.picture("first")

    front.page.locator("#gmi_first [data-gmi=build-first]").first.click()

    webui.wait(lambda: set(webui.samples().values()) == {4}, "the quick pass did not end")
    webui.built()
    front.page.wait_for_selector("#gmi_first [data-gmi=build-first]", state="hidden")
    front.find(webui.generate("mini-2"))
    assert front.best() == "mini-2.safetensors"
    assert "mini-2" in front.page.inner_text("#gmi_verdict")
    front.picture("ranking")
    # where nobody has ever chosen one, reForge keeps the last one that an API's caller asked for
    webui.set_options(sd_model_checkpoint="mini-1")


def test_load_and_undo_also_change_the_web_uis_own_list(front: Front, webui: WebUIServer) -> None:
    chosen = front.page.locator(webui.checkpoint_field).first
    front.tab()
    front.find(webui.generate("mini-2"))
    assert webui.loaded() == "mini-1", "ranking loads nothing"

    front.page.locator("[data-gmi-rank='1'] [data-gmi=load]").click()

    front.page.wait_for_selector("[data-gmi=undo]")
    assert webui.loaded() == "mini-2"
    webui.wait(lambda: "mini-2" in chosen.input_value(), "the list shows another checkpoint")
    front.picture("loaded")
    front.page.locator("[data-gmi=undo]").first.click()
    webui.wait(lambda: "mini-1" in chosen.input_value(), "the list shows another checkpoint")
    assert webui.loaded() == "mini-1"


def test_a_prompt_goes_to_txt2img(front: Front, webui: WebUIServer) -> None:
    front.tab()
    front.find(webui.generate("mini-2", prompt="a red fox in the snow"))
    prompt = front.page.locator("#txt2img_prompt textarea")
    negative = front.page.locator("#txt2img_neg_prompt textarea")
    front.tab(webui.tabs[0])
    negative.fill("my own, (not: yours)")
    front.tab()

    front.page.locator("[data-gmi-rank='1'] [data-gmi=send]").click()

    webui.wait(lambda: "fox" in prompt.input_value(), "no prompt arrived")
    front.page.wait_for_selector("#txt2img_prompt", state="visible")
    assert front.page.locator("#txt2img_steps input[type=number]").input_value() == "2"
    front.page.wait_for_timeout(1000)  # all fields are filled at once, and this one must not be
    assert negative.input_value() == "my own, (not: yours)"


def test_an_image_brings_its_own_negative_prompt_along(front: Front, webui: WebUIServer) -> None:
    front.tab()
    front.find(webui.generate("mini-2", negative_prompt="a green fox"))
    negative = front.page.locator("#txt2img_neg_prompt textarea")

    front.page.locator("[data-gmi-rank='1'] [data-gmi=send]").click()

    webui.wait(lambda: negative.input_value() == "a green fox", "no negative prompt arrived")


def test_an_image_comes_from_txt2img(front: Front, webui: WebUIServer) -> None:
    front.tab(front.webui.tabs[0])
    front.page.fill("#txt2img_prompt textarea", "a red fox in the snow")
    front.page.fill("#txt2img_steps input[type=number]", "2")
    for side in ("width", "height"):
        front.page.fill(f"#txt2img_{side} input[type=number]", "64")
        front.page.keyboard.press("Tab")
    front.page.click("#txt2img_generate")
    front.page.wait_for_selector("#txt2img_gallery img")
    front.page.wait_for_selector("#txt2img_generate", state="visible")

    front.page.locator("#image_buttons_txt2img [title*='Find Best Model']").click()

    front.page.wait_for_selector("[data-gmi-card]", state="visible")
    assert front.best() == "mini-1.safetensors"
    assert front.page.input_value("#gmi_prompt") == "a red fox in the snow"


def test_a_build_shows_where_it_is_and_can_be_paused(front: Front, webui: WebUIServer) -> None:
    front.tab()
    front.page.click("#gmi_view_specifications")
    front.page.locator("#gmi_build input[name=gmi_pass]").last.check(force=True)
    front.page.click("#gmi_build [data-gmi=build-start]")
    front.page.wait_for_selector("#gmi_build [data-gmi=build-pause]")
    webui.wait(lambda: webui.build_state()["done"] >= 2, "the build did not begin")
    front.picture("building")
    front.page.click("#gmi_build [data-gmi=build-pause]")
    front.page.wait_for_selector("#gmi_build [data-gmi=build-resume]")
    done = webui.build_state()["done"]
    front.page.click("#gmi_build [data-gmi=build-resume]")
    webui.wait(lambda: webui.build_state()["done"] > done, "the build did not go on")
    front.page.click("#gmi_build [data-gmi=build-cancel]")
    assert webui.built()["message"].startswith("Cancelled")
    assert min(webui.samples().values()) >= 4


def test_a_build_that_fails_says_so_and_can_be_tried_again(
    front: Front, webui: WebUIServer, minis: list[Path]
) -> None:
    page, broken = front.page, webui.checkpoints / "broken.safetensors"
    # Hardly a matrix, and one with its sides changed over: what lacks some, or has some of another
    # shape, only some web UIs refuse, and a file that is cut off is renamed by Forge.
    write(broken, SD1 | {f"{UNET}time_embed.0.weight": (320, 1280)})
    webui.post("/sdapi/v1/refresh-checkpoints", {})
    try:
        front.tab()
        page.click("#gmi_view_specifications")
        page.locator(f"[data-gmi-row='{broken.name}'] [data-gmi=select]").check()
        page.get_by_role("button", name="Build selected").click()

        page.wait_for_selector("#gmi_build [role=alert] >> text=The build failed", timeout=120_000)
        assert "Nothing was built: the checkpoint failed." in page.inner_text("#gmi_build")
        assert page.locator("#gmi_build .gmi-fold-body >> text=broken").is_visible()
        assert "The build failed" in page.inner_text("#gmi_strip")
        front.picture("failed")
        webui.post("/gmi/v1/settings", {"name": broken.name, "settings": {"steps": 2}})
        before = webui.text().count("broken")
        page.get_by_role("button", name="Try again").click()
        webui.wait(lambda: webui.text().count("broken") > before, "nothing was tried again")
        webui.built()

        broken.unlink()
        install_mini(webui, minis[3], broken.name)
        webui.post("/sdapi/v1/refresh-checkpoints", {})
        quick_settings(webui, broken.name)
        page.reload()
        page.wait_for_selector("#tabs > .tab-nav > button")
        front.tab()
        page.click("#gmi_view_specifications")
        page.wait_for_selector("#gmi_build_start:not([disabled])")
        page.click("#gmi_build_start")
        webui.wait(lambda: webui.samples()[broken.name] == 4, "it was not built")
        assert not webui.built()["failed"]
        page.wait_for_selector("#gmi_build [role=alert]", state="detached")
    finally:
        broken.unlink(missing_ok=True)
        webui.post("/sdapi/v1/refresh-checkpoints", {})


def test_verify_all_answers(front: Front) -> None:
    front.tab()
    front.page.click("#gmi_view_specifications")

    front.page.get_by_role("button", name="Verify all").click()

    front.page.wait_for_selector("#gmi_dialog[open] >> text=Every specification is sound")
    front.picture("verified")
    front.page.get_by_role("button", name="Close").click()
    front.page.wait_for_selector("#gmi_dialog[open]", state="detached")


def test_nothing_of_ours_is_a_public_endpoint(front: Front) -> None:
    config = front.page.evaluate("() => window.gradio_config")
    buttons = {
        component["id"]
        for component in config["components"]
        if str(component["props"].get("elem_id", "")).startswith("gmi_")
    }
    named = [
        dependency["api_name"]
        for dependency in config["dependencies"]
        if buttons
        & {target[0] if isinstance(target, list) else target for target in dependency["targets"]}
        and dependency["backend_fn"]
        and dependency["outputs"]
        and set(dependency["outputs"]) <= buttons
    ]
    assert named
    assert set(named) == {False}


def test_the_settings_page_and_img2img_have_our_sections(front: Front) -> None:
    front.tab("Settings")
    front.page.locator("#settings > .tab-nav > button", has_text="Find Best Model").click()
    front.page.wait_for_selector("#setting_gmi_pause_while_i_work", state="visible")
    front.picture("settings")
    front.tab(front.webui.tabs[1])
    section = front.page.locator("#img2img_script_container #gmi_i2i")
    section.scroll_into_view_if_needed()
    assert "Use the best checkpoint for this image" in section.inner_text()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [800, 1280, 1920])
def test_nothing_overflows(browser: Any, webui: WebUIServer, theme: str, width: int) -> None:
    front = Front(browser, webui, theme, width)
    front.tab()
    front.find(webui.generate("mini-2"))
    for view in ("find", "specifications"):
        front.page.click(f"#gmi_view_{view}")
        front.page.wait_for_timeout(300)
        wide = front.page.evaluate(_WIDE)
        assert wide == []
        front.picture(view)
    front.close()


def test_every_checkpoint_is_listed(front: Front) -> None:
    front.tab()
    front.page.click("#gmi_view_specifications")
    front.page.wait_for_selector("[data-gmi-row]")
    rows = front.page.locator("[data-gmi-row]")
    names = {rows.nth(n).get_attribute("data-gmi-row") for n in range(rows.count())}
    assert names == set(MINIS)
