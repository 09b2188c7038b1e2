"""Builds in ComfyUI's queue: behind everybody's prompts, and without touching one of them."""

from __future__ import annotations

import copy
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from lib_gmi.builds import Job
from lib_gmi.comfyui.nodes import NODE_CLASS_MAPPINGS
from lib_gmi.comfyui.queue import LOW_PRIORITY, NODE_CLASS, ComfyQueue

if TYPE_CHECKING:
    from standins.comfyui.harness import Comfy

pytest_plugins = ["standins.comfyui.harness"]

JOBS = [Job("alpha.safetensors", 4), Job("beta.safetensors", 4), Job("alpha.safetensors", 6)]


def samples(comfy: Comfy) -> dict[str, int]:
    """How many samples are stored, by title."""
    return {entry.title: entry.samples for entry in comfy.runtime.service.library.entries()}


def interrupt_image(comfy: Comfy, number: int) -> None:
    """Have somebody press Cancel while this image (from 0) is sampled."""
    comfy.seen.while_sampling = lambda begun: (
        comfy.nodes.interrupt_processing() if begun == number else None
    )


# -- what is queued -------------------------------------------------------------------------------


def test_a_job_is_a_prompt_as_comfyuis_server_makes_them(comfy: Comfy) -> None:
    ComfyQueue().submit(JOBS[:1])
    (item,) = comfy.queue.queue
    number, prompt_id, prompt, extra, outputs, secrets = item
    assert type(number) is int
    assert number >= LOW_PRIORITY
    assert str(uuid.UUID(prompt_id)) == prompt_id
    assert outputs == list(prompt)
    (node,) = prompt.values()
    assert node == {
        "class_type": NODE_CLASS,
        "inputs": {"checkpoint": "alpha.safetensors", "samples": 4},
    }
    assert not all(id_.isdigit() for id_ in prompt), "a node on somebody's canvas may be called so"
    assert type(extra["create_time"]) is int
    assert extra["client_id"] == "gmi-build", "without one, everybody is sent its progress"
    assert secrets == {}
    assert json.loads(json.dumps(item)) == list(item)


def test_a_jobs_node_is_registered_and_takes_the_jobs_inputs(comfy: Comfy) -> None:
    ComfyQueue().submit(JOBS[:1])
    (node,) = comfy.queue.queue[0][2].values()
    class_ = NODE_CLASS_MAPPINGS[node["class_type"]]
    assert class_.INPUT_TYPES()["required"].keys() == node["inputs"].keys()
    assert class_.OUTPUT_NODE


def test_jobs_run_in_their_order_and_each_has_an_id_of_its_own(comfy: Comfy) -> None:
    ComfyQueue().submit(JOBS)
    items = sorted(comfy.queue.queue)
    inputs = [next(iter(item[2].values()))["inputs"] for item in items]
    assert [Job(i["checkpoint"], i["samples"]) for i in inputs] == JOBS
    assert len({item[0] for item in items}) == len({item[1] for item in items}) == len(JOBS)


def test_everything_that_people_queue_runs_before_our_jobs(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.put(0, "before")
    comfy.runtime.builds.start(None, 4)
    comfy.put(1, "after")
    comfy.put(-2, "at the front")
    comfy.put(12345.5, "much later")
    assert comfy.work(jobs=5) == [
        "at the front",
        "before",
        "after",
        "much later",
        "alpha.safetensors to 4",
    ]
    comfy.put(2, "between two jobs")
    assert comfy.work() == ["between two jobs", "beta.safetensors to 4"]
    assert samples(comfy) == {"alpha": 4, "beta": 4}


# -- what is taken back ---------------------------------------------------------------------------


def test_withdrawing_takes_back_our_jobs_and_nobody_elses(comfy: Comfy) -> None:
    queue = ComfyQueue()
    comfy.put(0, "first")
    queue.submit(JOBS)
    comfy.put(LOW_PRIORITY + 1, "as late as ours")
    comfy.put(-1, "urgent")
    queue.withdraw()
    assert comfy.work() == ["urgent", "first", "as late as ours"]
    queue.withdraw()
    assert comfy.queue.get_tasks_remaining() == 0


def test_a_job_that_runs_is_not_withdrawn_and_counts_as_pending(comfy: Comfy) -> None:
    queue = ComfyQueue()
    assert queue.pending() == 0
    comfy.put(0, "somebody's")
    assert queue.pending() == 0
    queue.submit(JOBS)
    assert queue.pending() == 3
    for _ in range(2):
        _, number = comfy.queue.get(timeout=0)
    assert queue.pending() == 3
    queue.withdraw()
    assert queue.pending() == 1
    comfy.queue.task_done(number, {}, "success")
    assert queue.pending() == 0


def test_only_a_job_of_ours_is_interrupted(comfy: Comfy) -> None:
    queue = ComfyQueue()
    queue.interrupt()
    assert not comfy.memory.processing_interrupted()
    comfy.put(0, "somebody's")
    queue.submit(JOBS)
    _, number = comfy.queue.get(timeout=0)
    queue.interrupt()
    assert not comfy.memory.processing_interrupted()
    comfy.queue.task_done(number, {}, "success")
    comfy.queue.get(timeout=0)
    queue.interrupt()
    assert comfy.memory.processing_interrupted()


def test_older_comfyuis_without_the_volatile_look_serve_as_well(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(type(comfy.queue), "get_current_queue_volatile")
    queue = ComfyQueue()
    queue.submit(JOBS)
    assert queue.pending() == 3


@pytest.mark.parametrize("extra", [{}, {"gmi_other": 1}, {"extra_pnginfo": {"gmi": 1}}, None])
def test_prompts_are_only_ours_if_they_bear_our_mark(extra: Any, comfy: Comfy) -> None:
    comfy.queue.put((0, "theirs", {}, extra, []))
    queue = ComfyQueue()
    queue.withdraw()
    assert queue.pending() == 0
    assert len(comfy.queue.queue) == 1


# -- a build, job by job --------------------------------------------------------------------------


def test_a_build_goes_pass_by_pass_over_all_checkpoints(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.runtime.builds.start(None, None)
    assert comfy.work() == [
        "alpha.safetensors to 4",
        "beta.safetensors to 4",
        "alpha.safetensors to 6",
        "beta.safetensors to 6",
    ]
    assert samples(comfy) == {"alpha": 6, "beta": 6}
    state = comfy.runtime.builds.state()
    assert (state.state, state.done, state.total, state.message) == ("idle", 12, 12, "Done.")


def test_clearing_comfyuis_queue_pauses_the_build(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.runtime.builds.start(None, 4)
    comfy.work(jobs=1)
    comfy.queue.wipe_queue()
    state = comfy.runtime.builds.state()
    assert state.state == "paused"
    assert "removed from the queue" in state.message
    comfy.runtime.builds.resume()
    assert comfy.work() == ["beta.safetensors to 4"]
    assert samples(comfy) == {"alpha": 4, "beta": 4}


def test_pausing_takes_the_jobs_back_and_resuming_queues_what_is_left(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.runtime.builds.start(None, 4)
    comfy.work(jobs=1)
    assert comfy.runtime.builds.pause().state == "paused"
    assert comfy.work() == []
    assert comfy.runtime.builds.resume().state == "running"
    assert comfy.work() == ["beta.safetensors to 4"]


def test_pausing_lets_the_image_that_is_generated_finish(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    builds = comfy.runtime.builds
    builds.start(None, 4)
    comfy.seen.while_sampling = lambda begun: builds.pause() if begun == 1 else None
    comfy.work()
    assert samples(comfy) == {"alpha": 2}
    assert builds.state().state == "paused"
    assert [type(output) for output in comfy.outputs.values()] == [dict]


def test_cancelling_stops_the_image_that_is_generated(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    builds = comfy.runtime.builds
    builds.start(None, 4)
    comfy.seen.while_sampling = lambda begun: builds.cancel() if begun == 1 else None
    assert comfy.work() == ["alpha.safetensors to 4"]
    assert list(comfy.outputs.values()) == ["InterruptProcessingException"]
    assert samples(comfy) == {"alpha": 1}
    assert builds.state().state == "idle"


def test_cancelling_leaves_somebodys_running_prompt_alone(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.runtime.builds.start(None, 4)
    comfy.put(0, "somebody's")
    comfy.queue.get(timeout=0)
    comfy.runtime.builds.cancel()
    assert not comfy.memory.processing_interrupted()
    assert comfy.queue.get_tasks_remaining() == 1


def test_somebodys_cancel_pauses_the_build_and_keeps_what_was_done(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.runtime.builds.start(None, 4)
    interrupt_image(comfy, 2)
    assert comfy.work() == ["alpha.safetensors to 4"]
    assert samples(comfy) == {"alpha": 2}
    assert comfy.runtime.builds.state().state == "paused"
    comfy.runtime.builds.resume()
    comfy.work()
    assert samples(comfy) == {"alpha": 4, "beta": 4}
    prompts = [row["positive"] for row in comfy.seen.sampled]
    assert len(prompts) == 4 + 4 + 1  # only the interrupted image was made twice


@pytest.mark.parametrize("image", [0, 2])
def test_people_are_told_that_a_cancel_paused_the_build(image: int, comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.runtime.builds.start(None, 4)
    interrupt_image(comfy, image)
    comfy.work()
    assert comfy.events("gmi.build")[-1]["state"] == "paused"


def test_cancelling_a_prompt_of_somebodys_does_not_stop_the_build(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.runtime.builds.start(None, 4)
    comfy.put(0, "somebody's")
    comfy.nodes.interrupt_processing()
    comfy.work()
    assert samples(comfy) == {"alpha": 4}


def test_a_checkpoint_that_vanished_meanwhile_is_a_problem_and_no_crash(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.runtime.builds.start(None, 4)
    (comfy.checkpoints / "alpha.safetensors").unlink()
    comfy.work()
    state = comfy.runtime.builds.state()
    assert [problem.title for problem in state.problems] == ["alpha.safetensors"]
    assert (state.state, samples(comfy)) == ("idle", {"beta": 4})


def test_a_build_that_was_under_way_waits_for_its_user_after_a_restart(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.runtime.builds.start(None, 4)
    comfy.work(jobs=1)
    comfy.queue.wipe_queue()
    comfy.restart()
    state = comfy.runtime.builds.state()
    assert (state.state, state.limit) == ("paused", 4)
    assert comfy.work() == []
    comfy.runtime.builds.resume()
    assert comfy.work() == ["beta.safetensors to 4"]


# -- what front ends are told ---------------------------------------------------------------------


def test_every_sample_is_told_with_its_picture(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.runtime.builds.start(None, 4)
    comfy.work()
    told = comfy.events("gmi.build")
    assert [state["done"] for state in told] == [0, 1, 2, 3, 4, 4]
    assert [state["state"] for state in told] == ["running"] * 5 + ["idle"]
    for number, state in enumerate(told[1:5]):
        current = state["current"]
        assert (current["title"], current["done"], current["of"]) == ("alpha", number + 1, 4)
        assert current["prompt"] == f"picture number {number}"
        folder, file = state["preview"].split("/")[-2:]
        assert comfy.runtime.api.sample(folder, file).is_file()


def test_the_library_is_told_to_have_moved_on_once_a_pass(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.build()
    told = [data["snapshot"] for data in comfy.events("gmi.library")]
    assert len(told) == len(set(told)) == 2
    assert told[-1] == comfy.runtime.service.snapshot_name


def test_what_is_told_is_the_same_as_what_is_asked_for(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    asked = []
    comfy.runtime.builds.start(None, 4)
    comfy.seen.while_sampling = lambda begun: asked.append(copy.deepcopy(comfy.runtime.api.build()))
    comfy.work()
    assert asked == comfy.events("gmi.build")[:4]
