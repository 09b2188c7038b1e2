"""A build's jobs in a real ComfyUI's queue: what they are called, how they end, whom they let go
first, and what they leave in memory.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from comfyui_server import ComfyServer, node, text_to_image
from host_server import MINIS, quick_settings

NAME = MINIS[0]
#: What queue panels call the only job of a build of :data:`NAME`.
TITLE = "Find Best Model: profiles of mini-1, 4 of 4"


def anew(server: ComfyServer, steps: int, *names: str, side: int = 64) -> None:
    """Other settings than before, so that nothing is there."""
    for name in names:
        quick_settings(server, name, side=side, steps=steps)


def running(server: ComfyServer) -> list[Any]:
    """Jobs of builds that run, as ``/queue`` tells them."""
    return [row for row in server.get("/queue")["queue_running"] if "gmi_build" in row[2]]


def user_graph(seed: int, name: str = NAME, steps: int = 2, side: int = 64) -> Any:
    """A workflow of somebody's."""
    loader = node("CheckpointLoaderSimple", ckpt_name=name)
    return text_to_image(loader, seed=seed, steps=steps, side=side)


def job_of(server: ComfyServer, prompt_id: str) -> dict[str, Any]:
    """A job as the newer queue panel lists it."""
    jobs = {row["id"]: row for row in server.get("/api/jobs?limit=200")["jobs"]}
    found: dict[str, Any] = jobs[prompt_id]
    return found


def test_jobs_bear_names_while_they_run_and_afterwards(comfyui: ComfyServer) -> None:
    anew(comfyui, 5, NAME)
    comfyui.gmi("build", {"names": [NAME], "limit": 4})
    (row,) = comfyui.wait(lambda: running(comfyui), "the build did not begin")
    prompt_id = row[1]
    assert row[3]["extra_pnginfo"]["workflow"]["id"] == TITLE
    if comfyui.has_jobs():
        now = job_of(comfyui, prompt_id)
        assert (now["status"], now["workflow_id"]) == ("in_progress", TITLE)

    comfyui.built()

    (told,) = comfyui.get(f"/history/{prompt_id}")[prompt_id]["outputs"]["gmi_build"]["text"]
    assert told["filename"] == TITLE
    if comfyui.has_jobs():
        now = job_of(comfyui, prompt_id)
        assert (now["status"], now["workflow_id"]) == ("completed", TITLE)
        assert now["preview_output"]["filename"] == TITLE
        assert now["preview_output"]["content"] == "Done."


def test_one_job_at_a_time_is_in_the_queue(comfyui: ComfyServer) -> None:
    anew(comfyui, 6, *MINIS[:2])
    comfyui.gmi("build", {"names": list(MINIS[:2]), "limit": 5})
    most = 0

    def over() -> bool:
        nonlocal most
        most = max(most, len(comfyui.jobs()))
        return bool(comfyui.build_state()["state"] == "idle")

    comfyui.wait(over, "the build did not end")
    # for a moment, the next one is there before ComfyUI has put the last one away
    assert 1 <= most <= 2


def test_a_job_that_is_cancelled_before_it_began_pauses_the_build(comfyui: ComfyServer) -> None:
    anew(comfyui, 7, *MINIS[:2])
    theirs = comfyui.queue(user_graph(1, steps=60, side=128))
    comfyui.gmi("build", {"names": list(MINIS[:2]), "limit": 4})
    (ours,) = comfyui.wait(comfyui.jobs, "no job was queued")

    comfyui.cancel(ours[1])

    state = comfyui.built("paused")
    assert state["message"] == "Its jobs were removed from the queue. Resume to go on."
    assert comfyui.finished(theirs)["status"]["status_str"] == "success"
    comfyui.gmi("build/cancel", {})


def test_a_job_that_is_cancelled_while_it_runs_pauses_the_build(comfyui: ComfyServer) -> None:
    anew(comfyui, 30, NAME, side=128)
    comfyui.gmi("build", {"names": [NAME], "limit": 4})
    comfyui.wait(lambda: comfyui.build_state()["done"] >= 1, "the build did not begin")
    (ours,) = comfyui.jobs()

    comfyui.cancel(ours[1])

    state = comfyui.built("paused")
    assert state["message"] == "It was interrupted. Resume to go on."
    if comfyui.has_jobs():
        assert job_of(comfyui, ours[1])["status"] == "cancelled"
    history = comfyui.get(f"/history/{ours[1]}")[ours[1]]
    assert history["status"]["status_str"] == "error"
    comfyui.gmi("build/cancel", {})


def test_a_job_failed_where_its_checkpoint_failed(comfyui: ComfyServer) -> None:
    broken = comfyui.checkpoints / "broken.ckpt"
    broken.write_bytes(b"PK" + bytes(4096))
    anew(comfyui, 9, NAME)
    before = set(comfyui.get("/history"))

    state = comfyui.build(4, ["broken.ckpt", NAME])

    (problem,) = state["problems"]
    history = comfyui.get("/history")
    new = {id_: row for id_, row in history.items() if id_ not in before}
    by_name = {
        row["prompt"][2]["gmi_build"]["inputs"]["checkpoint"]: id_ for id_, row in new.items()
    }
    failed, fine = new[by_name["broken.ckpt"]], new[by_name[NAME]]
    assert (failed["status"]["status_str"], fine["status"]["status_str"]) == ("error", "success")
    (said,) = [m for kind, m in failed["status"]["messages"] if kind == "execution_error"]
    assert problem["reason"] in said["exception_message"]
    if comfyui.has_jobs():
        now = job_of(comfyui, by_name["broken.ckpt"])
        assert now["status"] == "failed"
        assert now["execution_error"]["exception_message"].startswith("broken")
        assert job_of(comfyui, by_name[NAME])["status"] == "completed"
    broken.unlink()


def cached(history: dict[str, Any]) -> set[str]:
    """Nodes that a run did not have to execute."""
    return {
        node
        for kind, data in history["status"]["messages"]
        if kind == "execution_cached"
        for node in data["nodes"]
    }


def test_what_a_workflow_has_loaded_is_still_there_after_a_build(comfyui: ComfyServer) -> None:
    anew(comfyui, 10, MINIS[1])
    comfyui.finished(comfyui.queue(user_graph(501)))
    comfyui.build(5, [MINIS[1]])

    again = comfyui.finished(comfyui.queue(user_graph(502)))

    assert {"loader", "positive", "negative"} <= cached(again)
    outputs = comfyui.get("/history")
    assert all(
        "save" not in row["outputs"] for row in outputs.values() if "gmi_build" in row["prompt"][2]
    )


def test_internal_nodes_are_for_developers_only(comfyui: ComfyServer) -> None:
    known = comfyui.get("/object_info")
    for name in ("GMI_BuildPass", "GMI_SpotCheck"):
        assert known[name].get("dev_only") or not comfyui.has_jobs()
        assert known[name]["deprecated"]
    assert not known["GMI_FindBestModel"].get("dev_only")


#: Seconds that a build waits for in the test below; long enough for a look in between.
IDLE = 30.0


@pytest.fixture
def patient(comfyui: ComfyServer) -> Any:
    """The same ComfyUI, in which builds wait until nobody has generated for some seconds."""
    comfyui.stop()
    comfyui.variables["GMI_IDLE_MINUTES"] = str(IDLE / 60)
    comfyui.start()
    yield comfyui
    comfyui.stop()
    del comfyui.variables["GMI_IDLE_MINUTES"]
    comfyui.start()


def stamp(history: dict[str, Any], message: str) -> float:
    """Seconds at which ComfyUI said this of a run."""
    return float(dict(history["status"]["messages"])[message]["timestamp"]) / 1000


def test_people_go_first_and_are_left_alone_for_a_while(patient: ComfyServer) -> None:
    anew(patient, 31, *MINIS[:2], side=128)  # an image takes longer than a request
    patient.finished(patient.queue(user_graph(601)))
    patient.gmi("build", {"names": list(MINIS[:2]), "limit": 4})
    patient.wait(lambda: patient.build_state()["done"] >= 1, "a click is not followed")
    assert patient.build_state()["waiting"] is None

    first = patient.finished(patient.queue(user_graph(602)))
    waiting = patient.build_state()
    assert (waiting["state"], waiting["done"] < waiting["total"]) == ("running", True)
    assert "until you have not generated anything" in waiting["waiting"]
    assert waiting["done"] <= 3, "it gives way after the image at hand"
    assert patient.jobs() == []
    time.sleep(IDLE / 2)
    second = patient.finished(patient.queue(user_graph(603)))
    assert patient.jobs() == []
    assert patient.build_state()["done"] == waiting["done"]

    state = patient.built()
    assert (state["done"], state["problems"]) == (8, [])
    for history in (first, second):
        assert history["status"]["status_str"] == "success"
    # by ComfyUI's own clock; a test that is kept waiting sees everything too late
    ended = stamp(second, "execution_success")
    ours = [r for r in patient.get("/history").values() if "gmi_build" in r["prompt"][2]]
    after = [stamp(row, "execution_start") - ended for row in ours]
    assert min(seconds for seconds in after if seconds > 0) >= 0.8 * IDLE
    assert all(seconds > 0 for seconds in after), "what began before gave way"
    titles = [
        row["prompt"][3]["gmi"]["title"]
        for row in patient.get("/history").values()
        if "gmi_build" in row["prompt"][2]
    ]
    assert len(titles) == len(set(titles)) == 2, "a job that gave way is not told of"
