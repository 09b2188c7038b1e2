"""Builds in ComfyUI's queue: behind everybody's prompts, and without touching one of them."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lib_gmi.comfyui.nodes import NODE_CLASS_MAPPINGS
from lib_gmi.comfyui.preferences import SETTING, idle_minutes
from lib_gmi.comfyui.queue import LOW_PRIORITY, NODE_CLASS, ComfyQueue
from lib_gmi.service.jobs import Job

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
    queue = ComfyQueue()
    queue.submit(JOBS)
    items = []
    while comfy.queue.queue:
        assert len(comfy.queue.queue) == 1, "queue panels show what is next, not what is planned"
        item, number = comfy.queue.get(timeout=0)
        items.append(item)
        queue.begin()
        queue.end()
        comfy.queue.task_done(number, {}, "success")
    inputs = [next(iter(item[2].values()))["inputs"] for item in items]
    assert [Job(i["checkpoint"], i["samples"]) for i in inputs] == JOBS
    assert items == sorted(items)
    assert len({item[0] for item in items}) == len({item[1] for item in items}) == len(JOBS)


def test_jobs_are_named_where_queue_panels_look(comfy: Comfy) -> None:
    comfy.add_all("people/alpha.safetensors")
    comfy.runtime.builds.start(None, None)
    title = "Find Best Model: profiles of people/alpha, 4 of 6"
    ((_, prompt_id, _, extra, (output,), _),) = comfy.queue.queue
    workflow = extra["extra_pnginfo"]["workflow"]
    assert workflow["id"] == title
    assert workflow["nodes"] == [{"id": output, "type": title}]
    comfy.work(jobs=1)
    (told,) = comfy.outputs[prompt_id]["ui"]["text"]
    assert told["filename"] == title, "what a job made is what its row is called"
    ((_, _, _, extra, _, _),) = comfy.queue.queue
    assert extra["extra_pnginfo"]["workflow"]["id"].endswith("people/alpha, 6 of 6")
    comfy.runtime.queue.submit_check("people/alpha.safetensors")
    extras = [item[3]["extra_pnginfo"]["workflow"]["id"] for item in sorted(comfy.queue.queue)]
    assert extras[0] == "Find Best Model: check of people/alpha"


def test_a_job_fails_where_its_checkpoint_failed_and_says_why(comfy: Comfy) -> None:
    comfy.add("broken.safetensors", 1, lacks="vae")
    comfy.add_all("fine.safetensors")
    comfy.runtime.builds.start(None, None)
    ran = comfy.work()
    assert ran == ["broken.safetensors to 4", "fine.safetensors to 4", "fine.safetensors to 6"]
    outcomes = list(comfy.outputs.values())
    assert outcomes[0] == "HostError"
    assert [type(row) for row in outcomes[1:]] == [dict, dict]
    (sentence,) = comfy.errors.values()
    assert sentence.startswith("broken: ")
    assert "holds no VAE" in sentence
    assert sentence.count("broken") == 1


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
    _, first = comfy.queue.get(timeout=0)
    assert comfy.queue.get_tasks_remaining() == 2
    comfy.queue.task_done(first, {}, "success")
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


def test_removing_a_job_from_the_queue_pauses_the_build(comfy: Comfy) -> None:
    """As queue panels do it, by the id of the one job that they show."""
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.put(0, "somebody's")
    comfy.runtime.builds.start(None, None)
    ours = max(comfy.queue.queue)[1]
    assert comfy.queue.delete_queue_item(lambda item: item[1] == ours)
    told = len(comfy.events("gmi.build"))
    assert not comfy.runtime.queue.look()
    state = comfy.events("gmi.build")[told:][-1]
    assert state["state"] == "paused"
    assert "removed from the queue" in state["message"]
    assert comfy.work() == ["somebody's"]
    comfy.runtime.builds.resume()
    assert len(comfy.work()) == 4


def test_a_job_that_is_interrupted_before_its_node_runs_pauses_the_build(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.runtime.builds.start(None, 4)
    _, number = comfy.queue.get(timeout=0)
    comfy.queue.task_done(number, {}, "error")
    comfy.runtime.queue.look()
    assert comfy.runtime.builds.state().state == "paused"
    assert comfy.queue.get_tasks_remaining() == 0


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


# -- people first -------------------------------------------------------------------------------


class Clock:
    """Minutes that pass when a test says so."""

    def __init__(self, comfy: Comfy, monkeypatch: pytest.MonkeyPatch, minutes: str = "3") -> None:
        self.now = 0.0
        monkeypatch.setenv("GMI_IDLE_MINUTES", minutes)
        comfy.runtime.politeness._clock = lambda: self.now

    def wait(self, minutes: float) -> None:
        self.now += minutes * 60


def test_who_clicks_and_does_nothing_else_need_not_wait(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add_all("alpha.safetensors")
    Clock(comfy, monkeypatch)
    comfy.put(0, "somebody's")
    assert comfy.work() == ["somebody's"]
    comfy.runtime.builds.start(None, 4)
    assert comfy.work() == ["alpha.safetensors to 4"]


def test_a_build_waits_until_nobody_has_generated_anything_for_a_while(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    clock = Clock(comfy, monkeypatch)
    queue = comfy.runtime.queue
    comfy.put(0, "somebody's")
    comfy.runtime.builds.start(None, 4)
    reason = "Waiting until you have not generated anything for 3 minutes."
    assert comfy.runtime.api.build()["waiting"] == reason
    assert comfy.work() == ["somebody's"]
    assert queue.look()
    assert comfy.events("gmi.build")[-1]["waiting"] == reason
    clock.wait(2.9)
    assert queue.look()
    assert comfy.work() == [], "between two prompts of somebody's"
    comfy.put(1, "somebody's again")
    queue.look()
    assert comfy.work() == ["somebody's again"]
    clock.wait(2.9)
    assert queue.look()
    assert comfy.work() == []
    clock.wait(0.2)
    assert queue.look()
    assert comfy.runtime.api.build()["waiting"] is None
    assert comfy.work() == ["alpha.safetensors to 4", "beta.safetensors to 4"]
    assert not queue.look()
    assert comfy.runtime.builds.state().message == "Done."


def test_a_job_that_runs_gives_way_after_its_image(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    clock = Clock(comfy, monkeypatch)
    queue, builds = comfy.runtime.queue, comfy.runtime.builds
    builds.start(None, 4)
    first = comfy.queue.queue[0][1]
    comfy.seen.while_sampling = lambda begun: comfy.put(0, "theirs") if begun == 1 else None
    assert comfy.work() == ["alpha.safetensors to 4", "theirs"]
    assert samples(comfy) == {"alpha": 2}
    assert builds.state().state == "running"
    assert comfy.runtime.api.build()["waiting"] is not None
    queue.look()
    assert first not in comfy.queue.history, "it has done nothing that it need tell"
    clock.wait(3.1)
    queue.look()
    assert comfy.work() == ["alpha.safetensors to 4", "beta.safetensors to 4"]
    assert samples(comfy) == {"alpha": 4, "beta": 4}
    assert len(comfy.seen.sampled) == 8, "no image was made twice"
    state = builds.state()
    assert (state.state, state.problems) == ("idle", [])


def test_a_prompt_that_comes_and_goes_unseen_counts_as_well(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ComfyUI tells of each one that is queued; a look twice a second could miss it."""
    from lib_gmi.comfyui.runtime import somebody_queues

    comfy.add_all("alpha.safetensors", "beta.safetensors")
    clock = Clock(comfy, monkeypatch)
    comfy.runtime.builds.start(None, 4)
    request = {"prompt": {}}
    assert somebody_queues(request) is request
    assert comfy.work() == ["alpha.safetensors to 4"], "its turn had come; it gave way"
    assert samples(comfy) == {}
    clock.wait(3.1)
    comfy.runtime.queue.look()
    assert len(comfy.work()) == 2


def test_without_idle_minutes_a_build_only_lets_others_go_first(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add_all("alpha.safetensors")
    Clock(comfy, monkeypatch, "0")
    comfy.put(0, "somebody's")
    comfy.runtime.builds.start(None, 4)
    assert comfy.work() == ["somebody's", "alpha.safetensors to 4"]


def test_a_build_that_waits_can_be_paused_cancelled_and_replaced(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    clock = Clock(comfy, monkeypatch)
    builds, queue = comfy.runtime.builds, comfy.runtime.queue
    for stop in (builds.pause, builds.cancel):
        comfy.put(0, "somebody's")
        builds.start(None, 4)
        assert comfy.work() == ["somebody's"]
        stop()
        clock.wait(9)
        assert not queue.look()
        assert comfy.work() == []
    builds.start(["beta.safetensors"], 4)
    assert comfy.work() == ["beta.safetensors to 4"]


def test_a_checkpoint_that_failed_is_not_queued_again(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1, lacks="vae")
    comfy.runtime.builds.start(None, None)
    assert comfy.work() == ["alpha.safetensors to 4"]
    assert comfy.runtime.builds.state().state == "idle"


@pytest.mark.parametrize(
    ("told", "minutes"),
    [
        ("", 3.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-2", 0.0),
        ("soon", 3.0),
        ("nan", 3.0),
        ("inf", 1440.0),
    ],
)
def test_idle_minutes_of_the_environment(
    told: str, minutes: float, comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GMI_IDLE_MINUTES", told)
    assert idle_minutes() == minutes


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ('{"FindBestModel.IdleMinutes": 7}', 7.0),
        ('{"FindBestModel.IdleMinutes": null}', 3.0),
        ("{}", 3.0),
        ("[]", 3.0),
        ("{", 3.0),
    ],
)
def test_idle_minutes_of_the_front_ends_settings(
    text: str, minutes: float, comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GMI_IDLE_MINUTES")
    assert idle_minutes() == 3.0
    file = Path(comfy.folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert idle_minutes() == minutes
    source = Path(__file__).parents[2] / "web" / "gmi" / "preferences.js"
    assert f'"{SETTING}"' in source.read_text(encoding="utf-8")


# -- what others had loaded -----------------------------------------------------------------------

WORKFLOW: dict[str, Any] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ["5", 0]}},
    "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "seed": 1}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
    "4": {"class_type": "of an extension that is gone", "inputs": {"model": ["1", 0]}},
    "5": {"class_type": "GMI_FindBestModel", "inputs": {"image": ["6", 0]}},
    "6": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
}


def test_a_job_holds_what_loaded_the_models_of_the_last_prompt(comfy: Comfy) -> None:
    """Or ComfyUI would forget them, and the next run of that workflow would load them again."""
    comfy.add_all("alpha.safetensors")
    classes = comfy.nodes.NODE_CLASS_MAPPINGS
    classes |= {"GMI_FindBestModel": object, "LoadImage": object, "SaveImage": object}
    comfy.put(0, "older", {"1": WORKFLOW["2"]})
    comfy.put(1, "newest", WORKFLOW)
    comfy.work()
    comfy.runtime.builds.start(None, None)
    ((_, _, prompt, _, outputs, _),) = comfy.queue.queue
    assert prompt.keys() == {"1", "5", "6", "gmi_build"}
    assert {id_: prompt[id_] for id_ in ("1", "5", "6")} == {k: WORKFLOW[k] for k in "156"}
    assert outputs == ["gmi_build"], "nothing of it is executed"
    comfy.work(jobs=1)
    ((_, _, prompt, _, _, _),) = comfy.queue.queue
    assert "1" in prompt, "a job of ours is nobody's last prompt"


def test_where_memory_is_short_nothing_is_held_for_later(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.put(0, "somebody's", WORKFLOW)
    comfy.work()
    comfy.seen.free = 2 * (comfy.checkpoints / "alpha.safetensors").stat().st_size
    comfy.runtime.builds.start(None, 4)
    ((_, _, prompt, _, _, _),) = comfy.queue.queue
    assert list(prompt) == ["gmi_build"]


def test_models_of_others_stay_loaded_and_ours_do_not(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "theirs.safetensors")
    (model, _, _) = comfy.nodes.CheckpointLoaderSimple().load_checkpoint("theirs.safetensors")
    comfy.memory.load_models_gpu([model])
    comfy.build(["alpha.safetensors"], 4)
    assert [loaded.model for loaded in comfy.memory.current_loaded_models] == [model]


def test_models_that_had_to_make_room_are_loaded_again_after_the_last_job(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors", "theirs.safetensors")
    (model, _, _) = comfy.nodes.CheckpointLoaderSimple().load_checkpoint("theirs.safetensors")
    comfy.memory.load_models_gpu([model])
    loaded = comfy.memory.current_loaded_models
    comfy.seen.while_sampling = lambda begun: (
        loaded.__setitem__(slice(0, 1), []) if begun == 1 else None
    )
    comfy.runtime.builds.start(["alpha.safetensors", "beta.safetensors"], 4)
    comfy.work(jobs=1)
    assert loaded == []
    comfy.work()
    assert [row.model for row in loaded] == [model]
    del model, loaded[:]
    comfy.runtime.host.put_back()
    assert comfy.memory.current_loaded_models == []


def test_models_that_cannot_be_loaded_again_are_no_trouble(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add_all("alpha.safetensors", "theirs.safetensors")
    (model, _, _) = comfy.nodes.CheckpointLoaderSimple().load_checkpoint("theirs.safetensors")
    comfy.memory.load_models_gpu([model])
    load = comfy.memory.load_models_gpu

    def refuse(models: list[Any]) -> None:
        if models[0] is model:
            raise RuntimeError("out of memory")
        load(models)

    monkeypatch.setattr(comfy.memory, "load_models_gpu", refuse)
    assert comfy.build(["alpha.safetensors"], 4).message == "Done."
    assert [type(output) for output in comfy.outputs.values()] == [dict]


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
    assert told[-1] == comfy.runtime.service.snapshots.name


def test_what_is_told_is_the_same_as_what_is_asked_for(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    asked = []
    comfy.runtime.builds.start(None, 4)
    comfy.seen.while_sampling = lambda begun: asked.append(copy.deepcopy(comfy.runtime.api.build()))
    comfy.work()
    assert asked == comfy.events("gmi.build")[:4]
