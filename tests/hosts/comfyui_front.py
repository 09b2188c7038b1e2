"""ComfyUI's real front end in a real browser, in any of its themes and renderings."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
from comfyui_server import ComfyServer, node, query

#: What its two renderings of nodes are called in the names of tests.
CLASSIC, VUE = "classic", "vue"
#: Of the sidebar tab's button: its title, or its tooltip.
TAB = re.compile("^(Find best model|Find the checkpoint that makes images like yours)")
#: What names this extension: its folder, its name, its modules, its elements.
OURS = re.compile(r"find-best-model/|FindBestModel|\bgmi", re.IGNORECASE)
#: Errors of the front end's own, on a server without models, templates and the internet.
NOT_OURS = ("404", "ERR_", "Failed to load resource", "reading 'id'", "websocket", "WebSocket")
NOT_OURS += (
    "Content Security Policy",
    "accessed before initialization",
    "huggingface",
    "api.comfy.org",
)

#: Somebody's own palette: a light one whose colours are nobody else's, named as light by nothing.
CUSTOM = {
    "id": "gmi-test",
    "name": "Of the tests",
    "colors": {
        "node_slot": {},
        "litegraph_base": {
            "NODE_TITLE_COLOR": "#402010",
            "NODE_TEXT_COLOR": "#503020",
            "NODE_DEFAULT_COLOR": "#f0c8b0",
            "NODE_DEFAULT_BGCOLOR": "#ffe4d6",
            "WIDGET_BGCOLOR": "#fff4ee",
            "WIDGET_TEXT_COLOR": "#402010",
            "WIDGET_SECONDARY_TEXT_COLOR": "#805040",
        },
        "comfy_base": {
            "fg-color": "#402010",
            "bg-color": "#f6d8c8",
            "comfy-menu-bg": "#ffe4d6",
            "comfy-menu-secondary-bg": "#f6d8c8",
            "comfy-input-bg": "#fff4ee",
            "input-text": "#402010",
            "descrip-text": "#805040",
            "drag-text": "#805040",
            "error-text": "#a00000",
            "border-color": "#c09080",
            "tr-even-bg-color": "#ffe4d6",
            "tr-odd-bg-color": "#fff4ee",
            "content-bg": "#ffe4d6",
            "content-fg": "#402010",
            "content-hover-bg": "#f0c8b0",
            "content-hover-fg": "#402010",
        },
    },
}

#: Deprecation is told in warnings, by the host's own code: only the stack says who made it do so.
#: Most of them come once a page, so that an earlier one, of somebody else, would hide ours.
_LISTEN = """
Error.stackTraceLimit = 60;
window.heard = [];
for (const kind of ["warn", "error"]) {
  const before = console[kind];
  console[kind] = (...words) => {
    window.heard.push(`${kind}: ${words.map(String).join(" ")}\\n${new Error().stack}`);
    before(...words);
  };
}
"""


class Front:
    """One page of the front end.

    Args:
        browser: of playwright.
        address: of the server.
        theme: ``dark``, ``light`` or ``custom``.
        rendering: of nodes; skips the test where the front end does not offer it.
    """

    def __init__(
        self, browser: Any, address: str, theme: str = "dark", rendering: str = CLASSIC
    ) -> None:
        self.theme, self.rendering = theme, rendering
        self.complaints: list[str] = []
        self.page = browser.new_page(viewport={"width": 1440, "height": 1000})
        self.page.set_default_timeout(150_000)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.add_init_script(_LISTEN)
        self.page.goto(address)
        self._wait_until_ready()
        self._set("Comfy.TutorialCompleted", True)
        self._set("FindBestModel.BlurThumbnails", False)
        self.choose_theme(theme)
        self._choose_rendering()
        self.page.evaluate("async () => { await app.loadGraphData(); }")
        self.page.keyboard.press("Escape")

    def _wait_until_ready(self) -> None:
        self.page.get_by_role("button", name=TAB).first.wait_for(timeout=120_000)
        self.page.wait_for_function(
            "() => window.app?.extensionManager && app.isGraphReady !== false"
        )
        self.page.evaluate("() => { LiteGraph.alwaysRepeatWarnings = true; }")

    def _set(self, name: str, value: Any) -> None:
        setting = "([name, value]) => app.extensionManager.setting.set(name, value)"
        self.page.evaluate(setting, [name, value])

    def choose_theme(self, theme: str) -> None:
        """Change the palette, as the settings do."""
        if theme == "custom":  # they are read when the page is loaded
            self._set("Comfy.CustomColorPalettes", {CUSTOM["id"]: CUSTOM})
            self.page.reload()
            self._wait_until_ready()
        self._set("Comfy.ColorPalette", CUSTOM["id"] if theme == "custom" else theme)

    def _choose_rendering(self) -> None:
        known = "() => app.ui.settings.settingsLookup['Comfy.VueNodes.Enabled']?.type"
        if self.page.evaluate(known) in (None, "hidden"):
            if self.rendering == VUE:
                self.close()
                pytest.skip("this front end offers no Vue nodes")
            return
        self._set("Comfy.VueNodes.Enabled", self.rendering == VUE)

    def close(self) -> None:
        """Close the page."""
        self.page.close()

    def reload(self) -> None:
        """Load the page again."""
        self.page.wait_for_timeout(1500)  # the front end writes its drafts a moment later
        self.page.reload()
        self._wait_until_ready()
        self.page.wait_for_timeout(1500)  # and reads them a moment later

    # -- complaints -------------------------------------------------------------------------------

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    @property
    def ours(self) -> list[str]:
        """Errors that may be about this extension, and warnings and errors that name it."""
        errors = [c for c in self.complaints if not any(known in c for known in NOT_OURS)]
        heard: list[str] = self.page.evaluate("() => window.heard")
        return errors + [text for text in heard if OURS.search(text)]

    # -- what is done on it -----------------------------------------------------------------------

    def open_tab(self, width: int = 420) -> None:
        """Open the sidebar tab, wide enough to read."""
        if not self.sidebar.is_visible():
            self.page.get_by_role("button", name=TAB).first.click()
        self.sidebar.wait_for()
        self.page.wait_for_timeout(300)  # it may slide in
        panel = self.sidebar.bounding_box()
        edge = panel["x"] + panel["width"]
        # the separator at its right, whatever that is made of
        boxes = [s.bounding_box() for s in self.page.get_by_role("separator").all()]
        near = [b for b in boxes if b and abs(b["x"] - edge) < 20 and b["height"] > 300]
        x = near[0]["x"] + near[0]["width"] / 2 if near else edge
        self.page.mouse.move(x, panel["y"] + 300)
        self.page.mouse.down()
        self.page.mouse.move(panel["x"] + width, panel["y"] + 300, steps=5)
        self.page.mouse.up()

    @property
    def sidebar(self) -> Any:
        """Our sidebar tab."""
        return self.page.locator(".gmi-sidebar")

    @property
    def panel(self) -> Any:
        """The panels on our nodes."""
        return self.page.locator(".gmi-node:visible")

    def open(self, graph: dict[str, Any], name: str = "find-best-model") -> None:
        """Open a workflow from its nodes."""
        self.page.evaluate("([graph, name]) => app.loadApiJson(graph, name)", [graph, name])

    def open_ranking(self, server: ComfyServer, image: bytes) -> None:
        """Open a workflow that finds the best model for an image."""
        loaded = node("LoadImage", image=server.upload(image, "liked.png"))
        self.open({"1": loaded, "2": node("GMI_FindBestModel", **query(["1", 0]))})

    def run(self) -> None:
        """Run the workflow."""
        self.page.evaluate("async () => { await app.queuePrompt(0); }")

    def command(self, name: str) -> None:
        """Execute a command of the front end's."""
        execute = "async name => { await app.extensionManager.command.execute(name); }"
        self.page.evaluate(execute, name)

    def loader(self) -> str:
        """The checkpoint that the graph's loader names."""
        name: str = self.page.evaluate(
            "() => app.graph._nodes.find(n => n.comfyClass === 'CheckpointLoaderSimple')"
            ".widgets[0].value"
        )
        return name

    def picture(self, name: str) -> None:
        """Keep a screenshot, if somebody wants it."""
        folder = os.environ.get("GMI_SCREENSHOTS")
        if folder:
            self.page.mouse.move(900, 950)
            loaded = "() => [...document.querySelectorAll('.gmi img')].every(i => i.complete)"
            self.page.wait_for_function(loaded)
            self.page.wait_for_timeout(600)
            path = f"{folder}/{name}-{self.rendering}-{self.theme}.png"
            self.page.screenshot(path=path)


def variants(*wanted: str) -> Any:
    """Parameters of a fixture that opens the front end: ``theme-rendering``."""
    return [pytest.param(tuple(name.split("-")), id=name) for name in wanted]


def example(path: Any) -> Any:
    """A workflow of a file."""
    return json.loads(path.read_text(encoding="utf-8"))
