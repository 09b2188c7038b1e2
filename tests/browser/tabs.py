"""The tab as a browser test sees it."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: What gradio's own page complains of where there is no internet: its fonts and one script.
NOT_OURS = (
    "fonts.googleapis.com",
    "cdnjs.cloudflare.com",
    "ERR_NAME_NOT_RESOLVED",
    "ERR_INTERNET_DISCONNECTED",
    "ERR_CONNECTION",
    "ERR_TUNNEL",
    "ERR_PROXY",
)
WINNER = "neonNoirXL_v10.safetensors"


def until(condition: Callable[[], Any], seconds: float = 90) -> Any:
    """Wait for what is going on in the server; returns what the condition did."""
    late = time.monotonic() + seconds
    while time.monotonic() < late:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("this did not happen in time")


@dataclass
class Site:
    """A tab that is served."""

    generation: str
    address: str
    folder: Path

    def get(self, path: str) -> dict[str, Any]:
        """What one of the routes says."""
        with urllib.request.urlopen(f"{self.address}gmi/v1/{path}", timeout=60) as response:
            return dict(json.load(response))

    def rows(self) -> dict[str, dict[str, Any]]:
        """The library's rows by name."""
        return {row["name"]: row for row in self.get("library")["checkpoints"]}

    @contextmanager
    def held(self) -> Iterator[None]:
        """The host finishes no image meanwhile; what it is at can be interrupted."""
        held = self.folder / "held"
        held.touch()
        try:
            yield
        finally:
            held.unlink()


@dataclass
class Tab:
    """The tab, open in a page."""

    site: Site
    page: Any
    theme: str = "dark"
    complaints: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Open it, and wait until its script has drawn it."""
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("console", self._heard)
        self.page.goto(f"{self.site.address}?__theme={self.theme}")
        self.page.wait_for_selector("#gmi_root[data-ready]", state="attached", timeout=120_000)

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    @property
    def ours(self) -> list[str]:
        """Complaints that may be about the tab."""
        return [c for c in self.complaints if not any(known in c for known in NOT_OURS)]

    def choose(self, path: Path) -> None:
        """Choose an image, and wait for its ranking."""
        self.page.set_input_files("#gmi_file", str(path))
        self.ranked()

    def ranked(self) -> None:
        """Wait until the ranking is that of the last question."""
        self.page.wait_for_selector("#gmi_result[aria-busy=false] [data-gmi-card]")

    def cards(self) -> list[str]:
        """Names of the cards, best first."""
        found = self.page.locator("[data-gmi-card]").evaluate_all(
            "cards => cards.map(card => card.dataset.gmiCard)"
        )
        return list(found)

    def card(self, name: str) -> Any:
        """A card by the checkpoint's name."""
        return self.page.locator(f"[data-gmi-card={json.dumps(name)}]")

    def row(self, name: str) -> Any:
        """A row of the table by the checkpoint's name."""
        return self.page.locator(f"[data-gmi-row={json.dumps(name)}]")

    def picture(self, name: str, whole: bool = False) -> None:
        """Keep a screenshot, if somebody wants it."""
        folder = os.environ.get("GMI_SCREENSHOTS")
        if folder:
            self.page.mouse.move(5, 5)
            self.page.wait_for_timeout(500)
            file = f"{name}-{self.theme}-gradio-{self.site.generation}.png"
            self.page.screenshot(path=str(Path(folder) / file), full_page=whole)


@contextmanager
def opened(
    browser: Any, site: Site, theme: str = "dark", size: tuple[int, int] = (1280, 900)
) -> Iterator[Tab]:
    """A new page with the tab; it ends with a look at what the browser complained of."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    tab = Tab(site, context.new_page(), theme)
    tab.open()
    yield tab
    context.close()
    assert tab.ours == []
