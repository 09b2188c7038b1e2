"""This extension in a real ComfyUI, over HTTP, from the first start to the last resort.

The tests share one server and run in the order they are written, as one user's day would.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from comfyui_server import ComfyServer, node, query, text_to_image
from host_server import MINIS, install, lan_address, quick_settings
from mini_checkpoint import write_mini
from PIL import Image

from lib_gmi.comfyui.preferences import ALLOWED
from lib_gmi.routes.api import ROUTES

#: Prompts of images that somebody made before they had this extension.
SUBJECTS = (
    "a red fox in the snow",
    "a harbour at night",
    "a bowl of oranges",
    "portrait of an old sailor",
    "a steam engine",
    "mountains in fog",
    "a glass chess set",
    "a street market",
    "a sleeping cat",
)
LOOKS = [row.path for row in ROUTES if row.method == "GET" and not row.missing]
CHANGES = (
    "rank",
    "describe",
    "build",
    "build/pause",
    "build/resume",
    "build/cancel",
    "harvest/look",
    "harvest/start",
    "harvest/cancel",
    "packs/import",
    "packs/check",
    "packs/remove",
    "remove",
)
NODES = (
    "GMI_FindBestModel",
    "GMI_LoadBestModel",
    "GMI_CompareTopK",
    "GMI_BuildSpecifications",
    "GMI_SpecificationPrompt",
    "GMI_AddToSpecification",
)


def image_by(server: ComfyServer, name: str, seed: int = 4242) -> bytes:
    """An image that a checkpoint makes of a prompt and a seed that no specification holds."""
    outputs = server.run(text_to_image(node("CheckpointLoaderSimple", ckpt_name=name), seed=seed))
    return server.saved(outputs, "save")


def find_graph(server: ComfyServer, image: bytes, **changes: Any) -> dict[str, Any]:
    """Load Image → Find Best Model → checkpoint loader → sampler → saved image."""
    name = server.upload(image, "query.png")
    graph = text_to_image(node("CheckpointLoaderSimple", ckpt_name=["find", 0]), seed=1)
    graph["image"] = node("LoadImage", image=name)
    graph["find"] = node("GMI_FindBestModel", **query(["image", 0], **changes))
    return graph


def finished_jobs(server: ComfyServer) -> list[tuple[str, int]]:
    """(checkpoint, samples) of the build's jobs in the order in which they ran."""
    history = server.get("/history").values()
    ours = [row for row in history if "gmi_build" in row["prompt"][2]]
    ours.sort(key=lambda row: row["prompt"][0])
    inputs = [row["prompt"][2]["gmi_build"]["inputs"] for row in ours]
    return [(row["checkpoint"], row["samples"]) for row in inputs]


def test_all_nodes_are_there_and_nothing_failed_to_import(comfyui: ComfyServer) -> None:
    known = comfyui.get("/object_info")

    for name in NODES:
        assert known[name]["category"].startswith("Find Best Model")
        assert known[name]["description"]
    assert "IMPORT FAILED" not in comfyui.text()
    assert set(comfyui.samples().values()) == {0}


def test_without_specifications_the_node_says_what_to_do(comfyui: ComfyServer) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(buffer, "PNG")

    message = comfyui.error(find_graph(comfyui, buffer.getvalue()))

    assert "No checkpoint has a specification yet. Build them first" in message


def test_a_workflow_with_the_build_node_starts_nothing(comfyui: ComfyServer) -> None:
    comfyui.run({"build": node("GMI_BuildSpecifications", pattern="*", prompts="4 (quick)")})

    assert comfyui.build_state()["state"] == "idle"
    assert comfyui.jobs() == []
    assert set(comfyui.samples().values()) == {0}


def test_a_quick_pass_is_enough_to_rank(comfyui: ComfyServer) -> None:
    state = comfyui.build(4)

    assert state["problems"] == []
    assert comfyui.samples() == dict.fromkeys(MINIS, 4)
    for name in MINIS:
        ranking = comfyui.rank(image_by(comfyui, name))
        assert ranking["candidates"][0]["name"] == name, ranking


def test_a_build_goes_breadth_first(comfyui: ComfyServer) -> None:
    before = len(finished_jobs(comfyui))

    comfyui.build(16)

    jobs = finished_jobs(comfyui)[before:]
    assert jobs == [(name, size) for size in (8, 16) for name in MINIS]
    assert comfyui.samples() == dict.fromkeys(MINIS, 16)
    rows = comfyui.rows()
    assert {row["state"] for row in rows.values()} == {"quick"}
    for row in rows.values():
        picture = Image.open(io.BytesIO(comfyui.content(row["previews"][0])))
        assert picture.format == "WEBP"
        assert picture.size == (64, 64)


@pytest.mark.parametrize("name", MINIS)
def test_the_checkpoint_that_made_an_image_wins(comfyui: ComfyServer, name: str) -> None:
    image = image_by(comfyui, name, seed=991)

    ranking = comfyui.rank(image)

    best = ranking["candidates"][0]
    assert best["name"] == name
    assert best["probability"] > 0.5
    assert best["evidence"][0]["image"].startswith("/gmi/v1/samples/")


@pytest.mark.parametrize("name", MINIS)
def test_the_answer_drives_a_loader(comfyui: ComfyServer, name: str) -> None:
    graph = find_graph(comfyui, image_by(comfyui, name))

    outputs = comfyui.run(graph)

    assert outputs["find"]["gmi_ranking"][0]["chosen"] == name
    expected = image_by(comfyui, name, seed=1)
    assert Image.open(io.BytesIO(comfyui.saved(outputs, "save"))).tobytes() == (
        Image.open(io.BytesIO(expected)).tobytes()
    )


def test_load_best_model_loads_it(comfyui: ComfyServer) -> None:
    name = MINIS[1]
    graph = find_graph(comfyui, image_by(comfyui, name))
    del graph["find"]
    graph["loader"] = node(
        "GMI_LoadBestModel",
        **query(["image", 0], min_probability=0.3, fallback=MINIS[0]),
    )

    outputs = comfyui.run(graph)

    assert outputs["loader"]["gmi_ranking"][0]["loaded"] == name
    assert comfyui.saved(outputs, "save") != b""


def test_a_photograph_falls_back_and_says_so(comfyui: ComfyServer) -> None:
    gradient = Image.linear_gradient("L").resize((512, 512)).convert("RGB")
    buffer = io.BytesIO()
    gradient.save(buffer, "PNG")
    graph = find_graph(comfyui, buffer.getvalue())
    del graph["find"]
    graph["loader"] = node(
        "GMI_LoadBestModel", **query(["image", 0], min_probability=1.0, fallback=MINIS[2])
    )

    shown = comfyui.run(graph)["loader"]["gmi_ranking"][0]

    assert shown["loaded"] == MINIS[2]
    assert f"Loaded the fallback {MINIS[2]} instead" in shown["verdict"]


def test_a_locked_answer_is_not_ranked_again(comfyui: ComfyServer) -> None:
    image = image_by(comfyui, MINIS[0])

    outputs = comfyui.run(
        find_graph(comfyui, image, lock_answer=True, locked_answer="mini-3.safetensors")
    )

    assert outputs["find"]["gmi_ranking"][0]["locked"]
    assert outputs["find"]["gmi_ranking"][0]["chosen"] == MINIS[2]
    message = comfyui.error(
        find_graph(comfyui, image, lock_answer=True, locked_answer="nobody.safetensors")
    )
    assert "locked to 'nobody.safetensors', which is not installed" in message


def test_a_filter_leaves_out_the_winner(comfyui: ComfyServer) -> None:
    image = image_by(comfyui, MINIS[2])

    without = comfyui.rank(image, pattern="!styles/")
    only = comfyui.rank(image, pattern="styles/")

    assert MINIS[2] not in [row["name"] for row in without["candidates"]]
    assert [row["name"] for row in only["candidates"]] == [MINIS[2]]


def test_compare_renders_the_best_beside_the_query(comfyui: ComfyServer) -> None:
    inputs = query(["image", 0], prompt="a lighthouse", k=2, seed=5)
    for key in ("lock_answer", "locked_answer", "top_k"):
        del inputs[key]
    graph = {
        "image": node("LoadImage", image=comfyui.upload(image_by(comfyui, MINIS[0]), "query.png")),
        "compare": node("GMI_CompareTopK", **inputs),
        "save": node("SaveImage", images=["compare", 0], filename_prefix="compare"),
    }

    outputs = comfyui.run(graph)

    sheet = Image.open(io.BytesIO(comfyui.saved(outputs, "save")))
    assert sheet.width > 3 * 384
    assert len(outputs["compare"]["gmi_ranking"][0]["candidates"]) == 2


def test_a_checkpoint_added_after_the_start_can_win(
    comfyui: ComfyServer, minis: list[Path]
) -> None:
    name = "new/mini-4.safetensors"
    install(comfyui, minis[3], name)
    assert comfyui.rows()[name]["state"] == "none"
    quick_settings(comfyui, name)

    comfyui.build(8, [name])
    outputs = comfyui.run(find_graph(comfyui, image_by(comfyui, name)))

    assert outputs["find"]["gmi_ranking"][0]["chosen"] == name
    assert comfyui.saved(outputs, "save") != b""


def test_a_workflow_of_ones_own_takes_part(comfyui: ComfyServer) -> None:
    graph = text_to_image(
        node("CheckpointLoaderSimple", ckpt_name=MINIS[0]), ["prompt", 0], ["prompt", 2], side=128
    )
    graph["prompt"] = node(
        "GMI_SpecificationPrompt", recipe="large mini", dialect="natural", prompt="next missing"
    )
    graph["add"] = node(
        "GMI_AddToSpecification",
        image=["decode", 0],
        specification_prompt=["prompt", 3],
        start_over=False,
    )

    for done in range(1, 5):
        added = comfyui.run(graph)["add"]["gmi_recipe"][0]
        assert added["samples"] == done

    assert comfyui.rows()["recipe:large mini"]["state"] == "quick"
    comfyui.wait(lambda: not comfyui.get("/gmi/v1/library")["fitting"], "the fit did not end")
    kept = comfyui.get("/gmi/v1/recipe?name=recipe%3Alarge%20mini")["graph"]
    assert kept["sampler"]["class_type"] == "KSampler"
    ranking = comfyui.rank(image_by(comfyui, MINIS[0]))
    assert "recipe:large mini" in [row["name"] for row in ranking["candidates"]]
    answer = comfyui.run(find_graph(comfyui, image_by(comfyui, MINIS[0])))["find"]
    assert not answer["gmi_ranking"][0]["chosen"].startswith("recipe:")

    graph["sampler"]["inputs"]["steps"] = 3
    assert "was built by another workflow" in comfyui.error(graph)
    assert comfyui.gmi("remove", {"names": ["recipe:large mini"]}) == {"removed": 1}


def test_people_go_first(comfyui: ComfyServer) -> None:
    """A workflow that is queued during a build runs before the build's next job."""
    name = MINIS[0]
    for other in MINIS:
        quick_settings(comfyui, other, side=128, steps=4)  # other settings: built anew
    comfyui.gmi("build", {"names": list(MINIS), "limit": 4})
    comfyui.wait(lambda: comfyui.build_state()["done"] > 0, "the build did not begin")

    history = comfyui.finished(
        comfyui.queue(text_to_image(node("CheckpointLoaderSimple", ckpt_name=name), seed=9))
    )

    assert comfyui.build_state()["state"] == "running"
    assert len(comfyui.jobs()) >= 1
    state = comfyui.built()
    assert state["done"] == state["total"] == 12
    assert history["status"]["status_str"] == "success"


def test_an_interrupted_build_keeps_what_was_done(comfyui: ComfyServer) -> None:
    for name in MINIS:
        quick_settings(comfyui, name, side=128, steps=6)
    comfyui.gmi("build", {"names": list(MINIS), "limit": 8})
    comfyui.wait(lambda: comfyui.build_state()["done"] >= 2, "the build did not begin")

    comfyui.post("/interrupt", {})
    state = comfyui.built("paused")

    assert "interrupted" in state["message"]
    assert sum(stored_with_steps(comfyui, 6).values()) == state["done"] >= 2
    comfyui.gmi("build/resume", {})
    state = comfyui.built()
    assert state["problems"] == []
    assert state["done"] == state["total"] == 24
    assert stored_with_steps(comfyui, 6) == dict.fromkeys(MINIS, 8)


def stored_with_steps(server: ComfyServer, steps: int) -> dict[str, int]:
    """Samples in the library's own files, by checkpoint, of specifications with so many steps."""
    catalogue = json.loads((server.library / "catalogue.json").read_bytes())
    described = [row["described"] for row in catalogue["files"].values()]
    return {
        row["candidate"]["name"]: len(row["prompt_ids"])
        for row in described
        if row["settings"]["steps"] == steps
    }


def test_pause_finishes_the_image_and_cancel_forgets_the_rest(comfyui: ComfyServer) -> None:
    comfyui.gmi("build", {"names": list(MINIS), "limit": 16})
    comfyui.wait(lambda: comfyui.build_state()["done"] >= 1, "the build did not begin")

    comfyui.gmi("build/pause", {})
    paused = comfyui.built("paused")
    assert 0 < paused["done"] < paused["total"]

    comfyui.gmi("build/resume", {})
    comfyui.wait(lambda: comfyui.build_state()["done"] > paused["done"], "the build did not go on")
    comfyui.gmi("build/cancel", {})
    state = comfyui.built()
    assert state["total"] == 0
    assert sum(stored_with_steps(comfyui, 6).values()) >= paused["done"] + 1


def test_a_replaced_file_is_another_checkpoint(comfyui: ComfyServer, minis: list[Path]) -> None:
    name = MINIS[1]
    assert comfyui.rows()[name]["samples"] > 0

    install(comfyui, minis[3], name)

    rows = comfyui.rows()
    assert rows[name]["samples"] == rows["new/mini-4.safetensors"]["samples"]  # equal files
    gone = comfyui.get("/gmi/v1/library")["gone"]
    assert name in [row["name"] for row in gone]
    install(comfyui, minis[1], name)
    assert name not in [row["name"] for row in comfyui.get("/gmi/v1/library")["gone"]]


def test_bad_checkpoints_are_reported_and_do_not_stop_the_others(
    comfyui: ComfyServer, minis: list[Path], tmp_path: Path
) -> None:
    truncated = comfyui.checkpoints / "truncated.safetensors"
    truncated.write_bytes(minis[0].read_bytes()[:1_000_000])
    (comfyui.checkpoints / "garbage.ckpt").write_bytes(os.urandom(4096))
    install(comfyui, write_mini(tmp_path / "black.safetensors", 9, black=True), "black.safetensors")
    quick_settings(comfyui, "black.safetensors")
    quick_settings(comfyui, MINIS[0], side=64, steps=3)

    state = comfyui.build(
        8, ["truncated.safetensors", "garbage.ckpt", "black.safetensors", MINIS[0]]
    )

    rows = comfyui.rows()
    assert rows["truncated.safetensors"]["state"] == "unsupported"
    assert "truncated" in rows["truncated.safetensors"]["reason"]
    assert rows["garbage.ckpt"]["state"] in ("failed", "unsupported")
    assert rows["black.safetensors"]["state"] == "suspect"
    assert "black" in rows["black.safetensors"]["reason"]
    assert "black" in {problem["title"] for problem in state["problems"]}
    assert stored_with_steps(comfyui, 3) == {MINIS[0]: 8}
    ranking = comfyui.rank(image_by(comfyui, MINIS[0]))
    assert "black.safetensors" not in [row["name"] for row in ranking["candidates"]]
    assert "black" in {row["title"] for row in ranking["excluded"]}


def test_images_that_exist_serve_as_a_specification(comfyui: ComfyServer, tmp_path: Path) -> None:
    """Nothing is generated for it but what the user's own workflow made before."""
    name = "own/mini-5.safetensors"
    install(comfyui, write_mini(tmp_path / "mini-5.safetensors", 5), name)
    comfyui.gmi("build", {"names": [MINIS[0]], "limit": 4})  # somebody to be compared with
    comfyui.built()
    loader = node("CheckpointLoaderSimple", ckpt_name=name)
    images = [
        comfyui.saved(comfyui.run(text_to_image(loader, text, seed, side=256)), "save")
        for seed, text in enumerate(SUBJECTS)
    ]

    comfyui.gmi("harvest/look", {})
    found = harvested(comfyui)
    (crop,) = [row for row in found["crops"] if row["name"] == name]
    assert (crop["images"], crop["missing"]) == (len(SUBJECTS), 0)
    assert found["built"] == []
    assert comfyui.rows()[name]["state"] == "none"

    comfyui.gmi("harvest/start", {"names": [name], "lossy": False})
    assert [row["images"] for row in harvested(comfyui)["built"]] == [len(SUBJECTS)]
    comfyui.wait(lambda: not comfyui.get("/gmi/v1/library")["fitting"], "the fit did not end")
    row = comfyui.rows()[name]
    assert (row["state"], row["harvested"], row["samples"]) == ("harvested", len(SUBJECTS), 0)
    assert row["previews"]

    graph = text_to_image(loader, "an old bridge", 777, side=256)
    query_image = comfyui.saved(comfyui.run(graph), "save")  # in no specification
    assert comfyui.rank(query_image)["candidates"][0]["name"] == name
    shown = comfyui.run(find_graph(comfyui, images[0]))["find"]["gmi_ranking"][0]
    (said,) = shown["made_with"]
    assert said["installed"] == name
    assert said["sentence"] == "Made with own/mini-5, according to the file."
    assert shown["chosen"] == shown["candidates"][0]["name"] == name


def harvested(server: ComfyServer) -> dict[str, Any]:
    """What the harvest says, once nothing is going on."""

    def ready() -> dict[str, Any] | None:
        now: dict[str, Any] = server.get("/gmi/v1/harvest")
        return now if now["state"] == "ready" else None

    found: dict[str, Any] = server.wait(ready, "the images were not read")
    return found


def test_other_websites_are_refused(comfyui: ComfyServer) -> None:
    for headers in (
        {"Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "elsewhere.example"},
        {"Host": "elsewhere.example", "Origin": "http://elsewhere.example"},
    ):
        for path in CHANGES:
            status, _ = comfyui.post(f"/gmi/v1/{path}", {}, headers)
            assert status == 403, (path, headers)
        for path in LOOKS:
            assert comfyui.status(f"/gmi/v1/{path}", headers) == 403, (path, headers)


def test_a_name_that_the_user_allows_is_served_after_a_restart(comfyui: ComfyServer) -> None:
    proxy = {"Host": "proxy.example"}
    setting = f"/settings/{ALLOWED}"
    assert comfyui.post(setting, "https://proxy.example, [::1]:8188")[0] == 200
    assert comfyui.status("/gmi/v1/library", proxy) == 403

    comfyui.stop()
    comfyui.start()

    assert comfyui.status("/gmi/v1/library", proxy) == 200
    assert comfyui.status("/gmi/v1/library", {"Host": "elsewhere.example"}) == 403
    assert comfyui.post(setting, "")[0] == 200


def test_a_server_for_others_is_reached_by_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := ComfyServer.missing():
        pytest.skip(reason)
    server = ComfyServer(tmp_path / "host")
    monkeypatch.setattr(
        server, "arguments", lambda port: [*ComfyServer.arguments(server, port), "--listen"]
    )
    with server.running():
        assert server.status("/gmi/v1/library", {"Host": "tunnel.example"}) == 200
        assert server.status("/gmi/v1/library", {"Sec-Fetch-Site": "cross-site"}) == 403
        if lan := lan_address():
            port = server.address.rpartition(":")[2]
            assert server.status("/gmi/v1/library", {}, f"http://{lan}:{port}") == 200


def test_a_restart_offers_the_build_that_was_under_way(comfyui: ComfyServer) -> None:
    for name in MINIS:
        quick_settings(comfyui, name, side=128, steps=5)
    comfyui.gmi("build", {"names": list(MINIS), "limit": 4})
    comfyui.wait(lambda: comfyui.build_state()["done"] >= 2, "the build did not begin")

    comfyui.stop()
    comfyui.start()

    state = comfyui.build_state()
    assert state["state"] == "paused"
    assert "Resume to go on" in state["message"]
    comfyui.gmi("build/resume", {})
    comfyui.built()
    assert stored_with_steps(comfyui, 5) == dict.fromkeys(MINIS, 4)
    assert comfyui.rank(image_by(comfyui, MINIS[0]))["candidates"]
