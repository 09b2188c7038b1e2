"""This extension in real web UIs, over HTTP, from the first start to a restart.

In each web UI the tests share one server and run in the order they are written, as one user's day
would.
"""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from host_server import MINIS, quick_settings
from mini_checkpoint import write_mini
from PIL import Image
from webui_server import WebUIServer, install_mini

from lib_gmi.base.images import decode_image, stored_copy
from lib_gmi.checkpoints.presets import CODEC

#: How the web UI calls them.
SHORT = {name: Path(name).stem for name in MINIS}


def test_it_starts_without_a_word_of_trouble(webui: WebUIServer) -> None:
    log = webui.text()

    assert "Find Best Model" not in log, "ours only speaks when something fails"
    assert webui.traces() == []
    titles = json.dumps(webui.get("/config"))
    assert "Find Best Model" in titles
    assert set(webui.samples()) == set(MINIS)
    assert set(webui.samples().values()) == {0}


def test_the_routes_are_documented(webui: WebUIServer) -> None:
    paths = webui.get("/openapi.json")["paths"]

    for name in (
        "library",
        "build",
        "rank",
        "load",
        "settings",
        "remove",
        "samples/{folder}/{file}",
    ):
        operations = paths[f"/gmi/v1/{name}"]
        assert all(operation["summary"] for operation in operations.values())


def test_without_specifications_ranking_says_what_to_do(webui: WebUIServer) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()

    status, answer = webui.post("/gmi/v1/rank", {"images": [data]})

    assert status == 400
    assert "Build them first" in answer["error"]


def test_a_quick_pass_leaves_no_trace_in_the_web_ui(webui: WebUIServer) -> None:
    before = webui.options()
    assert webui.stray_files() == []

    state = webui.build(4)

    assert state["problems"] == []
    assert webui.samples() == dict.fromkeys(MINIS, 4)
    assert webui.stray_files() == []
    changed = {k for k, v in webui.options().items() if before.get(k) != v}
    assert changed <= {"sd_checkpoint_hash"}
    webui.wait(lambda: webui.loaded() == "mini-1", "the user's checkpoint did not come back")


@pytest.mark.parametrize("name", MINIS)
def test_the_checkpoint_that_made_an_image_wins(webui: WebUIServer, name: str) -> None:
    image = webui.generate(SHORT[name])

    ranking = webui.rank(image)

    assert ranking["candidates"][0]["name"] == name, ranking["verdict"]
    assert SHORT[name] in ranking["verdict"]


def test_ranking_loads_nothing(webui: WebUIServer) -> None:
    image = webui.generate("mini-2")
    assert webui.loaded() == "mini-1"

    assert webui.rank(image)["candidates"][0]["name"] == "mini-2.safetensors"

    assert webui.loaded() == "mini-1"
    assert webui.options()["sd_model_checkpoint"].startswith("mini-1")


def test_identities_are_the_web_uis_own_hashes(webui: WebUIServer) -> None:
    found = {m["model_name"]: m["sha256"] for m in webui.get("/sdapi/v1/sd-models")}
    described = _identities(webui.library / "catalogue.json")

    assert sorted(described) == sorted(f"sha256:{sha256}" for sha256 in found.values())


def test_the_build_goes_on_breadth_first_with_the_users_own_settings_aside(
    webui: WebUIServer,
) -> None:
    webui.set_options(CLIP_stop_at_last_layers=2, token_merging_ratio=0.5, eta_noise_seed_delta=9)
    before, saved = webui.options(), webui.saved_settings()
    loads, seen = webui.loads(), []
    try:
        webui.gmi("build", {"names": None, "limit": 8})
        while webui.build_state()["state"] == "running":
            seen.append(webui.options())
            assert webui.saved_settings() == saved
        state = webui.built()
    finally:
        webui.set_options(
            CLIP_stop_at_last_layers=1, token_merging_ratio=0.0, eta_noise_seed_delta=0
        )

    assert state["problems"] == []
    assert webui.samples() == dict.fromkeys(MINIS, 8)
    assert len(seen) > 3
    assert {k for options in seen for k, v in options.items() if before.get(k) != v} == set()
    assert webui.loads() - loads <= len(MINIS) + 1, "each once, and what the user has chosen"


def test_a_sample_is_what_the_web_uis_api_makes(webui: WebUIServer) -> None:
    """Pixels of a build are txt2img's own, whatever the user's settings were at the time."""
    row = webui.rows()["mini-2.safetensors"]
    sample = Image.open(io.BytesIO(webui.content(row["previews"][0]))).convert("RGB")
    seed = int(re.findall(r"-(\d+)\.webp", row["previews"][0])[0])
    prompts = json.loads((Path(__file__).parents[2] / PROMPTS).read_text())["prompts"]
    prompt = prompts[seed - 1000]["natural"]

    made = webui.generate(
        "mini-2",
        seed,
        prompt=prompt,
        negative_prompt=row["settings"]["negative"],
        override_settings={"sd_model_checkpoint": "mini-2", "randn_source": "CPU"},
    )

    theirs = decode_image(stored_copy(decode_image(made), CODEC))
    difference = [abs(a - b) for a, b in zip(sample.tobytes(), theirs.tobytes(), strict=True)]
    assert max(difference) <= 2


PROMPTS = "lib_gmi/data/prompts/default.json"


def test_load_switches_and_verifies(webui: WebUIServer) -> None:
    answer = webui.gmi("load", {"name": "styles/mini-3.safetensors"})

    assert answer == {"loaded": "styles/mini-3.safetensors", "before": "mini-1.safetensors"}
    assert webui.loaded() == "mini-3"
    chosen = webui.options()["sd_model_checkpoint"]
    assert "mini-3" in chosen
    assert chosen in webui.listed(), "or the list in the page would be empty"
    assert webui.saved_settings()["sd_model_checkpoint"] == chosen
    assert webui.gmi("load", {"name": answer["before"]})["loaded"] == "mini-1.safetensors"
    assert webui.loaded() == "mini-1"


def test_a_checkpoint_that_cannot_be_loaded_is_told(webui: WebUIServer, minis: list[Path]) -> None:
    broken = webui.checkpoints / "broken.safetensors"
    data = bytearray(minis[3].read_bytes())
    header = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + header].replace(b"time_embed.0.weight", b"time_embed.0.weigth")
    broken.write_bytes(bytes(data[:8]) + text + bytes(data[8 + header :]))
    if webui.needs_yaml:
        broken.with_suffix(".yaml").write_text((webui.checkpoints / "mini-1.yaml").read_text())
    webui.post("/sdapi/v1/refresh-checkpoints", {})
    try:
        quick_settings(webui, "broken.safetensors")
        status, _ = webui.post("/gmi/v1/load", {"name": "broken.safetensors"})
        if status == 200:  # it may find out when it generates
            assert "broken" in webui.options()["sd_model_checkpoint"]
        else:
            assert webui.loaded() == "mini-1"
        state = webui.build(1, ["broken.safetensors"])
        trace = "Find Best Model: broken generated nothing"
        failed = webui.text().count(trace)
        said = [p for p in state["problems"] if not p["reason"].startswith("suspect: ")]
        assert [p["title"] for p in said] == ["broken"] * failed
        assert state["failed"] == bool(said)
        assert state["problems"] or webui.samples()["broken.safetensors"] == 1
    finally:
        webui.gmi("load", {"name": "mini-1.safetensors"})
        broken.unlink()
        broken.with_suffix(".yaml").unlink(missing_ok=True)
        webui.post("/sdapi/v1/refresh-checkpoints", {})


def test_txt2img_works_during_a_build_which_then_waits(webui: WebUIServer) -> None:
    webui.set_options(gmi_pause_while_i_work=True, gmi_idle_minutes=1)
    webui.gmi("build", {"limit": 16})
    webui.wait(lambda: webui.build_state()["done"] >= 1, "the build did not begin")

    image = webui.generate()

    assert Image.open(io.BytesIO(image)).size == (64, 64)
    assert webui.loaded() == "mini-1"
    state = webui.build_state()
    assert state["state"] == "running"
    done = state["done"]
    assert done < state["total"]
    assert "Waiting until you have not generated anything for a minute" in str(state["waiting"])
    webui.set_options(gmi_pause_while_i_work=False)
    webui.wait(lambda: webui.build_state()["done"] > done, "the build did not go on")
    assert webui.built()["problems"] == []
    assert webui.samples() == dict.fromkeys(MINIS, 16)


def test_the_queue_is_free_between_images(webui: WebUIServer) -> None:
    webui.set_options(gmi_pause_while_i_work=False)
    webui.gmi("rebuild", {"names": ["mini-2.safetensors"], "limit": 16})
    webui.wait(lambda: webui.build_state()["done"] >= 1, "the build did not begin")

    webui.generate()

    state = webui.build_state()
    assert state["state"] == "running", "the user's image came before the build's end"
    assert webui.built()["problems"] == []


def test_interrupting_keeps_what_is_finished(webui: WebUIServer) -> None:
    quick_settings(webui, "mini-2.safetensors", side=128, steps=30)
    webui.gmi("build", {"names": ["mini-2.safetensors"], "limit": 4})
    webui.wait(lambda: webui.build_state()["done"] >= 1, "the build did not begin")
    webui.wait(lambda: webui.get("/sdapi/v1/progress")["state"]["job"], "no image was begun")

    status, _ = webui.post("/sdapi/v1/interrupt", {})

    assert status == 200
    state = webui.built("paused")
    assert "interrupted" in state["message"]
    kept = webui.samples()["mini-2.safetensors"]
    assert 1 <= kept < 4
    webui.wait(lambda: webui.loaded() == "mini-1", "the user's checkpoint did not come back")
    webui.gmi("build/resume", {})
    assert webui.built()["problems"] == []
    assert webui.samples()["mini-2.safetensors"] == 4
    webui.gmi("settings", {"name": "mini-2.safetensors", "settings": None})
    quick_settings(webui, "mini-2.safetensors")
    assert webui.samples()["mini-2.safetensors"] == 16, "the earlier settings count again"


def test_cancelling_stops_at_once(webui: WebUIServer) -> None:
    quick_settings(webui, "mini-2.safetensors", side=128, steps=60)
    webui.gmi("build", {"names": ["mini-2.safetensors"], "limit": 4})
    webui.wait(lambda: webui.get("/sdapi/v1/progress")["state"]["job"], "no image was begun")

    webui.gmi("build/cancel", {})

    assert webui.built()["message"] == "Cancelled; what was finished is kept."
    webui.wait(lambda: webui.loaded() == "mini-1", "the user's checkpoint did not come back")
    quick_settings(webui, "mini-2.safetensors")


def test_what_the_user_chooses_during_an_image_of_ours_stays(webui: WebUIServer) -> None:
    quick_settings(webui, "styles/mini-3.safetensors", side=128, steps=60)
    webui.gmi("build", {"names": ["styles/mini-3.safetensors"], "limit": 2})
    webui.wait(lambda: webui.get("/sdapi/v1/progress")["state"]["job"], "no image was begun")
    title = next(
        m["title"] for m in webui.get("/sdapi/v1/sd-models") if m["model_name"] == "mini-2"
    )
    chosen = threading.Thread(target=webui.set_options, kwargs={"sd_model_checkpoint": title})
    chosen.start()
    chosen.join()
    webui.built()

    assert webui.options()["sd_model_checkpoint"].startswith("mini-2")
    assert webui.loaded() == "mini-2"
    webui.gmi("load", {"name": "mini-1.safetensors"})
    quick_settings(webui, "styles/mini-3.safetensors")


def test_img2img_uses_the_best_checkpoint_when_asked(webui: WebUIServer) -> None:
    image = base64.b64encode(webui.generate("mini-2", seed=5)).decode()
    body = {"init_images": [image], "prompt": "", "steps": 1, "denoising_strength": 0.1}
    body |= {"width": 64, "height": 64, "sampler_name": "Euler", "scheduler": "Normal"}

    def used(arguments: list[Any] | None) -> dict[str, Any]:
        scripts = {} if arguments is None else {"Find Best Model": {"args": arguments}}
        status, answer = webui.post("/sdapi/v1/img2img", body | {"alwayson_scripts": scripts})
        assert status == 200, answer
        found: dict[str, Any] = json.loads(answer["info"])
        return found

    assert used(None)["sd_model_name"] == "mini-1"
    info = used([True, 0, ""])
    assert info["sd_model_name"] == "mini-2"
    assert "Best checkpoint: mini-2" in info["infotexts"][0]
    assert used([True, 100, ""])["sd_model_name"] == "mini-1", "not sure enough"
    assert used([True, 0, "styles/"])["sd_model_name"] == "mini-3"
    assert webui.loaded() == "mini-1"


def test_the_plot_has_an_axis_of_ranks(webui: WebUIServer) -> None:
    webui.rank(webui.generate("mini-2", seed=6))
    info = webui.get("/sdapi/v1/script-info")
    plot = next(row for row in info if row["name"] == "x/y/z plot" and not row["is_img2img"])
    rank = plot["args"][0]["choices"].index("GMI rank")
    axes = [rank, "1-2", [], *[0, "", []] * 2]
    # what follows the axes is not the same everywhere; without its images reForge gives no texts
    rest = plot["args"][len(axes) :]
    images = "Include Sub Images"
    arguments = axes + [row["label"] == images or row["value"] for row in rest]
    body = {"prompt": "", "steps": 1, "script_name": "x/y/z plot", "script_args": arguments}
    body["override_settings"] = {"grid_save": False}
    body |= {"width": 64, "height": 64, "sampler_name": "Euler", "scheduler": "Normal"}

    status, answer = webui.post("/sdapi/v1/txt2img", body)

    assert status == 200, answer
    texts = json.loads(answer["info"])["infotexts"]
    assert "Model: mini-2" in texts[1]
    assert "Model: mini-2" not in texts[2]


def test_other_websites_are_refused(webui: WebUIServer) -> None:
    status, _ = webui.post("/gmi/v1/build/cancel", {}, {"Origin": "https://example.com"})
    assert status == 403
    status, _ = webui.post("/gmi/v1/build/cancel", {}, {"Content-Type": "text/plain"})
    assert status == 415


def test_a_restart_goes_on(webui: WebUIServer, minis: list[Path]) -> None:
    install_mini(webui, minis[3], "mini-4.safetensors")
    webui.post("/sdapi/v1/refresh-checkpoints", {})
    quick_settings(webui, "mini-4.safetensors")
    webui.gmi("build", {"limit": 16})
    webui.wait(lambda: webui.build_state()["done"] >= 2, "the build did not begin")
    webui.stop()

    webui.start()

    state = webui.build_state()
    assert state["state"] == "paused"
    assert "Resume" in state["message"]
    kept = webui.samples()["mini-4.safetensors"]
    assert 2 <= kept < 16
    webui.gmi("build/resume", {})
    assert webui.built()["problems"] == []
    assert webui.samples()["mini-4.safetensors"] == 16
    assert webui.rows()["mini-4.safetensors"]["stored"] == 16, "nothing was generated twice"


def test_black_images_are_suspect(webui: WebUIServer, tmp_path: Path) -> None:
    install_mini(webui, write_mini(tmp_path / "black.safetensors", 1, True), "black.safetensors")
    webui.post("/sdapi/v1/refresh-checkpoints", {})
    quick_settings(webui, "black.safetensors")

    state = webui.build(4, ["black.safetensors"])

    assert [problem["title"] for problem in state["problems"]] == ["black"]
    assert webui.rows()["black.safetensors"]["state"] == "suspect"


def test_nothing_of_ours_was_written_among_the_users_images(webui: WebUIServer) -> None:
    assert [f for f in webui.stray_files() if f != "params.txt"] == []
    said = [line for line in webui.text().splitlines() if "Find Best Model: " in line]
    assert [line for line in said if "broken generated nothing" not in line] == []


def _identities(catalogue: Path) -> list[str]:
    rows = json.loads(catalogue.read_text())["files"].values()
    return [str(row["described"]["candidate"]["identity"]) for row in rows]


def test_images_that_exist_serve_as_a_specification(webui: WebUIServer) -> None:
    name, subjects = (
        MINIS[0],
        ["fox", "castle", "lamp", "ship", "bridge", "tree", "violin", "teapot", "harbour"],
    )
    for seed, subject in enumerate(subjects):
        image = webui.generate(
            "mini-1",
            seed,
            prompt=f"a {subject} in the rain",
            width=256,
            height=256,
            save_images=True,
        )
    webui.gmi("harvest/look", {})
    found = webui.wait(lambda: _harvest(webui, "ready"), "the images were not looked at")
    assert [(row["name"], row["images"]) for row in found["crops"]] == [(name, len(subjects))]

    webui.gmi("harvest/start", {"names": [name]})
    found = webui.wait(lambda: _harvest(webui, "ready", "built"), "nothing was harvested")

    assert found["message"] == ""
    assert found["built"][0]["images"] == len(subjects)
    assert webui.rows()[name]["harvested"] == len(subjects)
    said = webui.rank(image)["made_with"]
    assert [row["installed"] for row in said] == [name]
    assert said[0]["sentence"].startswith("Made with mini-1, according to the file")


def _harvest(webui: WebUIServer, state: str, *needed: str) -> dict[str, Any] | None:
    now: dict[str, Any] = webui.get("/gmi/v1/harvest")
    return now if now["state"] == state and all(now[key] for key in needed) else None
