"""The real front end in a real browser. ``GMI_SCREENSHOTS`` names a folder to keep pictures in."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import photo_library
import pytest
from comfyui_front import VUE, Front, example, variants
from comfyui_server import ComfyServer, node, text_to_image
from contrast import too_faint
from host_server import MINIS, ROOT

from lib_gmi.cli.main import main as gmi
from lib_gmi.service.snapshots import NOTHING

# before a host is started for nothing
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

WINNER = "neonNoirXL_v10.safetensors"
EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))
OPEN = "Open Find best model"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A ComfyUI whose library is worth looking at."""
    if reason := ComfyServer.missing():
        pytest.skip(reason)
    host = ComfyServer(tmp_path_factory.mktemp("photographs"))
    photo_library.make(host.folder)
    with host.running():
        yield host


@pytest.fixture(params=variants("dark-vue", "light-classic"))
def front(browser: Any, server: ComfyServer, request: pytest.FixtureRequest) -> Iterator[Front]:
    """The front end in both renderings, just opened."""
    page = Front(browser, server.address, *request.param)
    yield page
    page.close()


@pytest.fixture(
    params=variants("dark-vue", "light-vue", "dark-classic", "light-classic", "custom-classic")
)
def each_front(
    browser: Any, server: ComfyServer, request: pytest.FixtureRequest
) -> Iterator[Front]:
    """The front end in everything that it can look like."""
    page = Front(browser, server.address, *request.param)
    yield page
    page.close()


def liked() -> bytes:
    """An image as the winner makes them."""
    buffer = io.BytesIO()
    photo_library.query(WINNER, 31).save(buffer, "PNG")
    return buffer.getvalue()


def look_for(front: Front, image: bytes) -> None:
    """Give an image to the sidebar, and wait for the ranking with its pictures."""
    front.page.set_input_files(
        ".gmi-sidebar input[accept='image/*']",
        {"name": "liked.png", "mimeType": "image/png", "buffer": image},
    )
    front.sidebar.get_by_role("list", name="Ranking").wait_for()
    front.page.wait_for_function(
        "() => [...document.querySelectorAll('.gmi-sidebar .gmi-card-first img')]"
        ".every(image => image.naturalWidth > 0)"
    )


def test_find_and_use_in_the_workflow(front: Front) -> None:
    before = "cyanotypeXL.safetensors"
    front.open({"1": node("CheckpointLoaderSimple", ckpt_name=before)})
    assert front.loader() == before
    front.open_tab()

    look_for(front, liked())

    assert "neonNoirXL" in front.sidebar.get_by_role("list", name="Ranking").inner_text()
    front.picture("comfyui-sidebar")
    front.sidebar.get_by_role("button", name="Use in workflow").first.click()
    assert front.loader() == WINNER
    if front.rendering == VUE:
        front.page.get_by_text(WINNER, exact=True).first.wait_for()
    state = "() => JSON.stringify(app.extensionManager.workflow.activeWorkflow.activeState)"
    assert WINNER in front.page.evaluate(state), "undo and saving know of the change"
    front.sidebar.get_by_role("button", name="Undo").click()
    assert front.loader() == before
    assert front.ours == []


def test_the_selected_loader_is_the_one_that_is_set(front: Front) -> None:
    loader = node("CheckpointLoaderSimple", ckpt_name="cyanotypeXL.safetensors")
    front.open({"1": loader, "2": loader})
    front.open_tab()
    look_for(front, liked())
    use = front.sidebar.get_by_role("button", name="Use in workflow").first

    use.click()

    front.sidebar.get_by_text("There are several loader nodes.").wait_for()
    front.page.evaluate("() => app.canvas.select(app.graph.getNodeById(2))")
    use.click()
    front.sidebar.get_by_text("Set in").wait_for()
    values = "() => [1, 2].map(id => app.graph.getNodeById(id).widgets[0].value)"
    assert front.page.evaluate(values) == ["cyanotypeXL.safetensors", WINNER]
    assert front.ours == []


def test_the_list_of_checkpoints(front: Front) -> None:
    front.open_tab()

    front.page.get_by_role("radio", name="Checkpoints").check()

    front.sidebar.get_by_text("nightcapXL").first.wait_for()
    front.sidebar.get_by_role("button", name="Build 2 checkpoints").wait_for()
    # near-duplicates are known once the library has been fitted, in the background
    front.sidebar.get_by_text("These two are nearly the same").wait_for(state="attached")
    front.picture("comfyui-checkpoints")
    assert front.ours == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_workflow_opens_whole(browser: Any, server: ComfyServer, path: Path) -> None:
    workflow = example(path)
    front = Front(browser, server.address)

    front.page.evaluate("async workflow => { await app.loadGraphData(workflow); }", workflow)

    prompt = front.page.evaluate("async () => (await app.graphToPrompt()).output")
    known = server.get("/object_info")
    assert {row["class_type"] for row in prompt.values()} == {n["type"] for n in workflow["nodes"]}
    for row in prompt.values():
        assert set(known[row["class_type"]]["input"]["required"]) <= set(row["inputs"])
    assert front.ours == []
    front.close()


# -- what can be read -----------------------------------------------------------------------------


def test_everything_can_be_read(each_front: Front, server: ComfyServer) -> None:
    front = each_front
    front.open_ranking(server, liked())
    front.run()
    front.panel.get_by_text("neonNoirXL").first.wait_for()
    front.picture("comfyui-node")
    assert too_faint(front.page, ".gmi-node", 12) == []

    front.open_tab()
    assert too_faint(front.page, ".gmi-sidebar", 10) == []
    look_for(front, liked())
    front.sidebar.get_by_role("button", name="Prompt and name pattern").click()
    front.sidebar.get_by_role("button", name="Samples and details of").first.click()
    front.sidebar.get_by_role("button", name="Use in workflow").first.click()
    front.sidebar.get_by_role("button", name="Add a loader").wait_for()
    front.sidebar.get_by_text("How this was ranked").click()
    assert too_faint(front.page, ".gmi-sidebar", 40) == []

    front.page.get_by_role("radio", name="Checkpoints").check()
    row = front.sidebar.get_by_role("listitem").filter(has_text="analogFilm_v15").first
    row.get_by_role("button", name="Details of").click()
    row.get_by_role("button", name="Remove specification").click()
    row.get_by_role("button", name="Keep it").wait_for()
    other = front.sidebar.get_by_role("listitem").filter(has_text="nightcapXL").first
    other.get_by_role("button", name="Details of").click()
    other.get_by_role("button", name="Settings").click()
    assert too_faint(front.page, ".gmi-sidebar", 60) == []
    assert front.ours == []


def test_a_change_of_palette_is_followed(front: Front) -> None:
    front.open_tab()
    for theme in ("light", "dark", "solarized"):
        before = front.sidebar.evaluate("e => getComputedStyle(e).backgroundColor")
        front.choose_theme(theme)
        front.page.wait_for_timeout(1000)
        assert too_faint(front.page, ".gmi-sidebar", 10) == []
        if theme != front.theme:
            assert front.sidebar.evaluate("e => getComputedStyle(e).backgroundColor") != before
    assert front.ours == []


# -- what nodes show, and keep showing ------------------------------------------------------------


def shows_the_ranking(front: Front) -> None:
    """A panel that can be seen has the ranking, once the front end has drawn its nodes."""
    front.panel.get_by_text("neonNoirXL").first.wait_for(timeout=15_000)


def test_the_ranking_on_the_node_stays(front: Front, server: ComfyServer) -> None:
    front.open_ranking(server, liked())
    front.panel.get_by_text("Run the workflow to see the ranking.").wait_for()

    front.run()

    shows_the_ranking(front)
    if front.rendering == VUE:
        assert front.page.evaluate(
            "() => { const panel = document.querySelector('.gmi-node');"
            " return panel.clientHeight >= panel.querySelector('.gmi-ranking').clientHeight; }"
        ), "there is room for it"

    # to another workflow and back
    front.page.evaluate("async () => { await app.loadGraphData(); }")
    assert front.panel.count() == 0
    front.command("Workspace.PreviousOpenedWorkflow")
    shows_the_ranking(front)

    # a change, and undo
    front.page.evaluate(
        "() => { app.graph.add(LiteGraph.createNode('CheckpointLoaderSimple'));"
        " const { changeTracker } = app.extensionManager.workflow.activeWorkflow;"
        " (changeTracker.captureCanvasState ?? changeTracker.checkState).call(changeTracker); }"
    )
    assert front.page.evaluate("() => app.graph._nodes.length") == 3
    front.command("Comfy.Undo")
    front.page.wait_for_function("() => app.graph._nodes.length === 2")
    shows_the_ranking(front)

    front.reload()
    shows_the_ranking(front)
    assert front.ours == []


def test_the_ranking_within_a_subgraph_stays(front: Front, server: ComfyServer) -> None:
    front.open_ranking(server, liked())
    enter = (
        "() => { const node = app.graph._nodes.find(n => n.subgraph);"
        " (app.canvas.openSubgraph.length > 1 ? app.canvas.openSubgraph(node.subgraph, node)"
        " : app.canvas.openSubgraph(node.subgraph)); }"
    )
    leave = "() => app.canvas.setGraph(app.canvas.graph.rootGraph)"
    front.page.evaluate(
        "() => { const node = app.graph._nodes.find(n => n.comfyClass === 'GMI_FindBestModel');"
        " app.graph.convertToSubgraph(new Set([node])); }"
    )
    front.page.evaluate(enter)
    front.panel.get_by_text("Run the workflow to see the ranking.").wait_for()

    front.run()

    shows_the_ranking(front)
    front.page.evaluate(leave)
    front.page.evaluate(enter)
    shows_the_ranking(front)

    front.page.evaluate(leave)
    front.page.evaluate("async () => { await app.loadGraphData(); }")
    front.command("Workspace.PreviousOpenedWorkflow")
    front.page.evaluate(enter)
    shows_the_ranking(front)

    front.reload()
    if front.page.evaluate("() => app.canvas.graph === app.canvas.graph.rootGraph"):
        front.page.evaluate(enter)
    shows_the_ranking(front)
    assert front.ours == []


@pytest.mark.parametrize(("theme", "rendering"), [("dark", "vue"), ("light", "classic")])
def test_what_went_wrong_is_said_on_the_node(
    browser: Any, comfyui: ComfyServer, theme: str, rendering: str
) -> None:
    front = Front(browser, comfyui.address, theme, rendering)
    front.open_ranking(comfyui, liked())

    front.run()

    problem = front.panel.get_by_role("alert")
    problem.wait_for()
    assert NOTHING in problem.inner_text()
    front.command("Workspace.PreviousOpenedWorkflow")
    front.command("Workspace.NextOpenedWorkflow")
    problem.wait_for()
    problem.get_by_role("button", name="Start the quick pass").wait_for()
    front.page.keyboard.press("Escape")
    front.picture("comfyui-node-problem")
    assert too_faint(front.page, ".gmi-node", 4) == []

    asked: list[Any] = []
    idle = comfyui.build_state()

    def answer(route: Any) -> None:
        asked.append(route.request.post_data_json)
        route.fulfill(json=idle)

    front.page.route("**/gmi/v1/build", answer)
    problem.get_by_role("button", name="Start the quick pass").dispatch_event("click")
    front.sidebar.wait_for()
    assert asked == [{"names": None, "limit": 4, "pattern": ""}]
    assert front.page.get_by_role("radio", name="Checkpoints").is_checked()
    problem.get_by_role("button", name=OPEN).dispatch_event("click")
    front.page.get_by_role("radio", name="Find").wait_for()
    assert front.page.get_by_role("radio", name="Find").is_checked()
    assert front.ours == []
    front.close()


def generated(server: ComfyServer, name: str, seed: int, side: int = 64) -> bytes:
    """An image of a checkpoint, generated by the host."""
    loader = node("CheckpointLoaderSimple", ckpt_name=name)
    graph = text_to_image(loader, f"a harbour, number {seed}", seed, side)
    return server.saved(server.run(graph), "save")


def first_run(front: Front, server: ComfyServer) -> None:
    """Open the tab on an empty library, and begin with the images that are there."""
    front.open_tab()
    said = "Your images already say enough for 1 of 3 checkpoints."
    front.sidebar.get_by_text(said).wait_for()
    assert too_faint(front.page, ".gmi-sidebar", 5) == []
    assert server.rows()[MINIS[0]]["state"] == "none", "looking builds nothing"
    front.picture("comfyui-first-run")
    front.sidebar.get_by_role("button", name="Use them, and build the rest").click()
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
    front.open_ranking(comfyui, liked.read_bytes())
    front.run()
    front.panel.get_by_text("Not installed, but closer").wait_for()
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
    front.close()
