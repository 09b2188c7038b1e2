"""The real front end in a real browser. ``GMI_SCREENSHOTS`` names a folder to keep pictures in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import photo_library
import pytest
from comfyui_server import ComfyServer, node, query, text_to_image
from host_server import MINIS, ROOT

from lib_gmi.cli import main as gmi

# before a host is started for nothing
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

WINNER = "neonNoirXL_v10.safetensors"
EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))
TAB = ".find-best-model-tab-button"
#: The front end's own complaints about a server without models, templates and the internet.
NOT_OURS = ("404", "ERR_", "Failed to load resource", "reading 'id'", "websocket", "WebSocket")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A ComfyUI whose library is worth looking at."""
    if reason := ComfyServer.missing():
        pytest.skip(reason)
    host = ComfyServer(tmp_path_factory.mktemp("photographs"))
    photo_library.make(host.folder)
    with host.running():
        yield host


class Front:
    """One page of the front end."""

    def __init__(self, browser: Any, address: str, theme: str = "dark") -> None:
        self.theme = theme
        self.complaints: list[str] = []
        self.page = browser.new_page(viewport={"width": 1440, "height": 900})
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.goto(address)
        self.page.wait_for_function(
            f"window.app?.extensionManager && document.querySelector('{TAB}')", timeout=120_000
        )
        self.page.evaluate(
            "async theme => { const set = app.extensionManager.setting;"
            " await set.set('Comfy.TutorialCompleted', true);"
            " await set.set('Comfy.ColorPalette', theme);"
            " await set.set('FindBestModel.BlurThumbnails', false); }",
            theme,
        )
        self.page.evaluate("async () => app.loadGraphData()")
        self.page.keyboard.press("Escape")

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    @property
    def ours(self) -> list[str]:
        """Complaints that may be about this extension."""
        return [c for c in self.complaints if not any(known in c for known in NOT_OURS)]

    def open_tab(self, width: int = 420) -> None:
        """Open the sidebar tab, wide enough to read."""
        if not self.page.locator(".gmi-sidebar").is_visible():
            self.page.click(TAB)
        self.page.wait_for_selector(".gmi-sidebar")
        gutter = self.page.locator(".p-splitter-gutter").first.bounding_box()
        panel = self.page.locator(".gmi-sidebar").bounding_box()
        assert gutter is not None
        assert panel is not None
        y = gutter["y"] + 300
        self.page.mouse.move(gutter["x"] + gutter["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(panel["x"] + width, y, steps=5)
        self.page.mouse.up()

    def picture(self, name: str) -> None:
        """Keep a screenshot, if somebody wants it."""
        folder = os.environ.get("GMI_SCREENSHOTS")
        if folder:
            self.page.mouse.move(900, 850)
            self.page.wait_for_timeout(600)
            self.page.screenshot(path=f"{folder}/{name}-{self.theme}.png")

    def loader(self) -> str:
        """The checkpoint that the graph's loader names."""
        name: str = self.page.evaluate(
            "() => app.graph._nodes.find(n => n.comfyClass === 'CheckpointLoaderSimple')"
            ".widgets[0].value"
        )
        return name


@pytest.fixture(params=["dark", "light"])
def front(browser: Any, server: ComfyServer, request: pytest.FixtureRequest) -> Iterator[Front]:
    """The front end in each theme, just opened."""
    page = Front(browser, server.address, request.param)
    yield page
    page.page.close()


def test_find_and_use_in_the_workflow(front: Front, tmp_path: Path) -> None:
    path = tmp_path / "liked.png"
    photo_library.query(WINNER).save(path)
    before = front.loader()
    front.open_tab()

    front.page.set_input_files(".gmi-sidebar input[accept='image/*']", str(path))

    front.page.wait_for_selector(".gmi-sidebar .gmi-card >> text=neonNoirXL")
    front.page.wait_for_function(
        "() => [...document.querySelector('.gmi-sidebar .gmi-card').querySelectorAll('img')]"
        ".every(image => image.naturalWidth > 0)"
    )
    front.picture("comfyui-sidebar")
    front.page.click(".gmi-sidebar >> text=Use in workflow")
    assert front.loader() == WINNER
    front.page.click(".gmi-sidebar >> text=Undo")
    assert front.loader() == before
    assert front.ours == []


def test_the_list_of_checkpoints(front: Front) -> None:
    front.open_tab()

    front.page.get_by_role("radio", name="Checkpoints").check()

    front.page.wait_for_selector(".gmi-sidebar >> text=nightcapXL")
    front.page.wait_for_selector(".gmi-sidebar >> text=Build 2 checkpoints")
    # near-duplicates are known once the library has been fitted, in the background
    front.page.wait_for_selector(
        ".gmi-sidebar >> text=These two are nearly the same", state="attached"
    )
    front.picture("comfyui-checkpoints")
    assert front.ours == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_workflow_opens_whole(browser: Any, server: ComfyServer, path: Path) -> None:
    example = json.loads(path.read_text(encoding="utf-8"))
    front = Front(browser, server.address)

    front.page.evaluate("workflow => app.loadGraphData(workflow)", example)

    prompt = front.page.evaluate("async () => (await app.graphToPrompt()).output")
    known = server.get("/object_info")
    assert {row["class_type"] for row in prompt.values()} == {n["type"] for n in example["nodes"]}
    for row in prompt.values():
        assert set(known[row["class_type"]]["input"]["required"]) <= set(row["inputs"])
    assert front.ours == []
    front.page.close()


def test_the_ranking_on_the_node(front: Front, server: ComfyServer) -> None:
    photo_library.query(WINNER, 31).save(server.folder / "input" / "liked.png")
    front.page.evaluate(
        "graph => app.loadApiJson(graph, 'find-best-model')",
        {
            "1": node("LoadImage", image="liked.png"),
            "2": node("GMI_FindBestModel", **query(["1", 0])),
        },
    )

    front.page.evaluate("() => app.queuePrompt(0)")

    ranked = ".gmi-node >> text=neonNoirXL"
    front.page.wait_for_selector(ranked)
    names = front.page.evaluate("() => app.graph._nodes.map(n => n.comfyClass)")
    assert "GMI_FindBestModel" in names
    front.picture("comfyui-node")
    assert front.ours == []


def generated(server: ComfyServer, name: str, seed: int, side: int = 64) -> bytes:
    """An image of a checkpoint, generated by the host."""
    loader = node("CheckpointLoaderSimple", ckpt_name=name)
    graph = text_to_image(loader, f"a harbour, number {seed}", seed, side)
    return server.saved(server.run(graph), "save")


def first_run(front: Front, server: ComfyServer) -> None:
    """Open the tab on an empty library, and begin with the images that are there."""
    front.open_tab()
    said = "Your images already say enough for 1 of 3 checkpoints."
    front.page.wait_for_selector(f".gmi-sidebar >> text={said}")
    assert server.rows()[MINIS[0]]["state"] == "none", "looking builds nothing"
    front.picture("comfyui-first-run")
    front.page.click(".gmi-sidebar >> text=Use them, and build the rest")
    server.wait(lambda: server.rows()[MINIS[0]]["state"] == "harvested", "nothing was gathered")
    server.built()
    assert server.samples() == dict(zip(MINIS, (0, 4, 4), strict=True))


def not_installed(front: Front, comfyui: ComfyServer, liked: Path) -> None:
    """What only the pack knows comes after the ranking, in the sidebar and on the node."""
    comfyui.wait(lambda: not comfyui.get("/gmi/v1/library")["fitting"], "the fit did not end")
    front.page.get_by_role("radio", name="Find").check()
    images = ".gmi-sidebar input[accept='image/*']"
    front.page.set_input_files(images, str(liked))
    elsewhere = front.page.locator(".gmi-elsewhere")
    elsewhere.wait_for()
    assert "mini-3" in elsewhere.inner_text()
    assert elsewhere.locator("a").get_attribute("href").startswith("https://")
    elsewhere.scroll_into_view_if_needed()
    front.picture("comfyui-elsewhere")
    graph = {
        "1": node("LoadImage", image=comfyui.upload(liked.read_bytes(), "liked.png")),
        "2": node("GMI_FindBestModel", **query(["1", 0])),
    }
    front.page.evaluate("graph => app.loadApiJson(graph, 'find-best-model')", graph)
    front.page.evaluate("() => app.queuePrompt(0)")
    front.page.wait_for_selector(".gmi-node >> text=Not installed, but closer")
    front.picture("comfyui-node-elsewhere")


def test_from_the_first_run_to_a_pack_that_is_checked(
    browser: Any, comfyui: ComfyServer, tmp_path: Path
) -> None:
    own, known, strange = MINIS
    for seed in range(9):
        generated(comfyui, own, seed, side=256)
    front = Front(browser, comfyui.address)
    first_run(front, comfyui)
    liked = tmp_path / "liked.png"
    liked.write_bytes(generated(comfyui, strange, 99))

    # somebody else's: two checkpoints, of which one is installed here
    comfyui.build(8)
    pack = tmp_path / "theirs.gmipack"
    where = ["--library", str(comfyui.library), "--hash", str(comfyui.checkpoints)]
    about = ["--title", "<b>Their</b> models", "--author", "Ada", "--licence", "CC0-1.0"]
    link = ["--link", "https://example.org/models"]
    assert gmi(["pack", "export", str(pack), "mini-2", "styles/mini-3", *where, *about, *link]) == 0
    comfyui.gmi("remove", {"names": [known, strange]})
    (comfyui.checkpoints / strange).unlink()
    comfyui.wait(lambda: strange not in comfyui.rows(), "the file is still listed")

    front.page.get_by_role("radio", name="Checkpoints").check()
    front.page.set_input_files(".gmi-sidebar input[accept='.gmipack']", str(pack))
    front.page.wait_for_selector(".gmi-sidebar >> text=<b>Their</b> models: imported.")
    comfyui.wait(lambda: comfyui.rows()[known]["state"] == "imported", "it was not recognised")
    front.page.wait_for_selector(".gmi-sidebar >> text=2 specifications, 1 installed")
    page = front.page.locator(".gmi-pack a")
    assert page.get_attribute("href") == "https://example.org/models"
    assert page.get_attribute("rel") == "noopener noreferrer"
    front.page.locator(".gmi-pack").scroll_into_view_if_needed()
    front.picture("comfyui-packs")

    row = front.page.locator(".gmi-checkpoint", has_text="from a pack")
    row.locator(".gmi-row-toggle").click()
    row.get_by_role("button", name="Check the pack").click()
    row.locator(".gmi-notice").wait_for()
    assert "nothing speaks against the pack" in row.locator(".gmi-notice").inner_text()
    row.locator(".gmi-notice").scroll_into_view_if_needed()
    front.picture("comfyui-check")

    not_installed(front, comfyui, liked)

    front.page.get_by_role("radio", name="Checkpoints").check()
    front.page.get_by_role("button", name="Remove the pack").click()
    front.page.locator(".gmi-pack").get_by_role("button", name="Remove", exact=True).click()
    front.page.wait_for_selector(".gmi-sidebar >> text=gmi pack import brings it back")
    assert comfyui.rows()[known]["state"] == "none"
    assert list((comfyui.library / "removed").glob("pack-*"))
    assert front.ours == []
    front.page.close()
