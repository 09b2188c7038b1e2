"""Builds in a host's own queue: small jobs that people can pause, take away and go on with."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import words_encoder
from standins.host import BLACK, InterruptedByUser, Running, drawn, start

from lib_gmi.base import files
from lib_gmi.base.errors import GMIError, HostError, LibraryError, RankingError
from lib_gmi.records.protocols import Candidate, Exclusion, GenerationRequest
from lib_gmi.service import job_progress, samples
from lib_gmi.service.build_state import IDLE, PAUSED, RUNNING
from lib_gmi.service.jobs import Job

ALPHA, BETA, GAMMA = "alpha.safetensors", "anime/beta.safetensors", "gamma.safetensors"
ALL = (ALPHA, BETA, GAMMA)


@pytest.fixture
def running(tmp_path: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A host with three checkpoints, an empty library and six prompts: passes of 4 and 6."""
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)
    running = start(tmp_path / "models", library_folder)
    for style, name in enumerate(ALL):
        running.install(name, style)
    return running


def restarted(running: Running) -> Running:
    return start(running.host.models, running.library.folder)


def at(running: Running, name: str, prompt_id: str, act: Callable[[], object]) -> None:
    """Do something while this image is being generated."""

    def before_drawing(candidate: Candidate, request: GenerationRequest) -> None:
        if (candidate.name, request.prompt_id) == (name, prompt_id):
            act()

    running.host.before_drawing = before_drawing


# -- the plan -------------------------------------------------------------------------------------


def test_jobs_go_breadth_first_one_checkpoint_and_pass_each(
    tmp_path: Path, running: Running
) -> None:
    longer = start(running.host.models, tmp_path / "other", prompts=20)
    state = longer.builds.start(None, None)
    assert longer.queue.waiting == [Job(name, n) for n in (4, 8, 16, 20) for name in ALL]
    assert (state.state, state.done, state.total, state.limit) == (RUNNING, 0, 60, None)


def test_the_passes_of_a_build_end_with_its_limit(tmp_path: Path, running: Running) -> None:
    longer = start(running.host.models, tmp_path / "other", prompts=20)
    for limit, sizes in ((3, (3,)), (4, (4,)), (7, (4, 7)), (20, (4, 8, 16, 20))):
        longer.builds.start([BETA], limit)
        assert longer.queue.waiting == [Job(BETA, size) for size in sizes]


def test_a_limit_beyond_the_prompt_set_means_all_of_it(running: Running) -> None:
    running.builds.start([BETA], 99)
    assert running.queue.waiting == [Job(BETA, 4), Job(BETA, 6)]


def test_a_job_brings_its_checkpoint_to_as_many_samples_as_it_says(running: Running) -> None:
    running.builds.start(None, None)
    expected = dict.fromkeys(ALL, 0)
    while running.queue.waiting:
        job = running.queue.run_next()
        expected[job.name] = job.samples
        assert running.samples() == expected
    assert len(running.host.asked) == 18
    assert running.queue.errors == []


def test_only_what_is_missing_is_queued(running: Running) -> None:
    running.build([ALPHA])
    running.build([BETA], limit=4)
    running.install("vae.safetensors", architecture="vae")
    state = running.builds.start(None, None)
    assert running.queue.waiting == [Job(GAMMA, 4), Job(BETA, 6), Job(GAMMA, 6)]
    assert state.total == 2 + 6


def test_nothing_is_missing_is_said_and_queues_nothing(running: Running) -> None:
    running.build()
    asked = list(running.host.asked)
    for names, limit in ((None, None), ([ALPHA], 4), ([BETA, GAMMA], None)):
        state = running.builds.start(names, limit)
        assert (state.state, state.message) == (IDLE, "Nothing is missing.")
        assert running.queue.waiting == []
    assert running.host.asked == asked
    running.host.models.joinpath(ALPHA).unlink()
    assert running.builds.start(None, None).message == "Nothing is missing."


def test_equal_files_are_built_once(running: Running) -> None:
    copy = running.install("zz.safetensors", 0)
    running.builds.start(None, 4)
    assert running.queue.waiting == [Job(name, 4) for name in ALL]
    running.builds.start([copy], 4)
    assert running.queue.waiting == [Job(copy, 4)]
    running.builds.start([copy, ALPHA], 4)
    assert running.queue.waiting == [Job(ALPHA, 4)]


def test_names_that_are_not_installed_are_refused_and_change_nothing(running: Running) -> None:
    running.builds.start([ALPHA], None)
    waiting = list(running.queue.waiting)
    for name in ("delta.safetensors", "../../etc/passwd", "", "recipe:mine"):
        with pytest.raises(RankingError, match="not an installed checkpoint"):
            running.builds.start([ALPHA, name], None)
    assert running.queue.waiting == waiting
    assert running.builds.state().state == RUNNING


def test_a_new_build_takes_the_place_of_the_one_before(running: Running) -> None:
    running.builds.start(None, None)
    running.queue.run_next()
    running.builds.start([GAMMA], 4)
    assert running.queue.waiting == [Job(GAMMA, 4)]
    running.queue.run_all()
    assert running.samples() == {ALPHA: 4, BETA: 0, GAMMA: 4}
    assert running.builds.state().state == IDLE


def test_a_new_build_never_counts_the_samples_of_the_one_before(running: Running) -> None:
    running.builds.start([ALPHA], None)
    at(running, ALPHA, "p01", lambda: running.builds.start([GAMMA], 4))
    running.queue.run_all()
    assert running.samples()[GAMMA] == 4
    assert all(state.done <= state.total for state in running.told)


def test_changed_settings_make_what_is_there_worth_building_again(running: Running) -> None:
    """Its samples show other settings than the user wants to be ranked by."""
    running.build(limit=4)
    identity = running.service.candidates.installed(BETA).identity
    running.host.overrides.set(identity, {"steps": 7})
    state = running.builds.start([BETA], 4)
    assert running.queue.waiting == [Job(BETA, 4)]
    assert state.total == 4
    running.queue.run_all()
    steps = {e.settings.steps for e in running.library.entries() if e.identity == identity}
    assert steps == {7, 20}


def test_with_changed_settings_no_more_is_done_than_was_planned(running: Running) -> None:
    running.build(limit=4)
    running.host.overrides.set(running.service.candidates.installed(BETA).identity, {"steps": 7})
    running.build([BETA])
    assert all(state.done <= state.total for state in running.told)


# -- what is shown --------------------------------------------------------------------------------


def test_every_sample_is_shown_with_its_prompt_and_picture(running: Running) -> None:
    running.builds.start([BETA], 4)
    running.queue.run_next()
    shown = [state for state in running.told if state.name is not None]
    assert [state.done for state in shown] == [1, 2, 3, 4]
    assert {(state.name, state.title, state.pass_of) for state in shown} == {
        (BETA, "anime/beta", 4)
    }
    for number, state in enumerate(shown):
        assert state.pass_done == number + 1
        assert state.prompt == f"picture number {number}"
        assert state.sample is not None
        path = running.library.samples.open(*state.sample)
        assert path is not None
        assert path.name == f"p{number:02d}-{1000 + number}.webp"


def test_a_finished_build_says_so(running: Running) -> None:
    running.build(limit=4)
    state = running.builds.state()
    assert (state.state, state.done, state.total, state.message) == (IDLE, 12, 12, "Done.")
    assert (state.name, state.sample, state.seconds_left) == (None, None, None)
    assert running.told[-1] == state, "everybody was told"


def test_a_sample_that_is_broken_is_counted_as_done(running: Running) -> None:
    running.install(BETA, BLACK)
    running.builds.start([BETA], 4)
    running.queue.run_next()
    shown = [(s.done, s.pass_done, s.prompt) for s in running.told if s.name is not None]
    assert shown == [(1, 1, None), (2, 2, None)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that builds see, in seconds."""
    now = [100.0]
    monkeypatch.setattr(job_progress.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_is_estimated_from_the_samples_so_far(
    running: Running, clock: list[float]
) -> None:
    def three_seconds(candidate: Candidate, request: GenerationRequest) -> None:
        clock[0] += 3

    assert running.builds.seconds_per_sample() is None
    assert running.builds.start(None, 4).seconds_left is None, "nothing was measured yet"
    running.host.before_drawing = three_seconds
    running.queue.run_next()
    left = [state.seconds_left for state in running.told if state.name is not None]
    assert left[:4] == pytest.approx([33, 30, 27, 24])
    assert running.builds.seconds_per_sample("sd1") == pytest.approx(3)
    assert running.builds.seconds_per_sample("sdxl") == pytest.approx(3), "the next best guess"
    running.builds.pause()
    again = restarted(running)
    assert again.builds.seconds_per_sample("sd1") == pytest.approx(3)
    assert again.builds.resume().seconds_left == pytest.approx(24)


def test_each_architecture_has_its_own_pace(running: Running, clock: list[float]) -> None:
    running.install("wide.safetensors", 3, "sdxl")
    seconds = {"sd1": 2.0, "sdxl": 10.0}

    def slowly(candidate: Candidate, request: GenerationRequest) -> None:
        clock[0] += seconds[candidate.architecture or ""]

    running.host.before_drawing = slowly
    running.build([ALPHA, "wide.safetensors"], limit=4)
    assert running.builds.seconds_per_sample("sd1") == pytest.approx(2)
    assert running.builds.seconds_per_sample("sdxl") == pytest.approx(10)
    assert running.builds.seconds_per_sample("flux") == pytest.approx(6)
    assert running.builds.seconds_per_sample() == pytest.approx(6)


def test_loading_counts_once_a_job_and_is_no_time_of_a_sample(
    running: Running, clock: list[float]
) -> None:
    def loads_first(candidate: Candidate, request: GenerationRequest) -> None:
        clock[0] += 41 if request.prompt_id in ("p00", "p04") else 1

    running.host.before_drawing = loads_first
    running.builds.start(None, None)
    running.queue.run_next()
    assert running.builds.seconds_per_sample("sd1") == pytest.approx(1)
    jobs, samples = len(running.queue.waiting), 18 - 4
    assert jobs == 5
    assert running.builds.state().seconds_left == pytest.approx(samples * 1 + jobs * 40)


def test_a_sample_during_which_the_machine_slept_says_nothing(
    running: Running, clock: list[float]
) -> None:
    def slept_once(candidate: Candidate, request: GenerationRequest) -> None:
        clock[0] += 1804 if (candidate.name, request.prompt_id) == (ALPHA, "p01") else 4

    running.host.before_drawing = slept_once
    running.builds.start([ALPHA, BETA], 4)
    running.queue.run_next()
    assert running.builds.seconds_per_sample("sd1") == pytest.approx(4)
    assert running.builds.state().seconds_left == pytest.approx(16)
    assert restarted(running).builds.seconds_per_sample("sd1") == pytest.approx(4)


def test_waiting_for_people_is_no_time_of_a_sample(running: Running, clock: list[float]) -> None:
    waited = [0.0]

    def behind_somebody(candidate: Candidate, request: GenerationRequest) -> None:
        clock[0] += 180 + 4
        waited[0] += 180

    models, library = running.host.models, running.library.folder
    running = start(models, library, waited=lambda: waited[0])
    running.host.before_drawing = behind_somebody
    running.build([ALPHA], limit=4)
    assert running.builds.seconds_per_sample("sd1") == pytest.approx(4)


def test_a_pace_of_an_older_version_gives_way(running: Running, clock: list[float]) -> None:
    """It was an average, loading and waiting included."""

    def four_seconds(candidate: Candidate, request: GenerationRequest) -> None:
        clock[0] += 4

    old = {"wanted": False, "names": None, "limit": None, "pace": {"sd1": 305.0}}
    running.library.folder.mkdir(parents=True, exist_ok=True)
    (running.library.folder / "build.json").write_text(json.dumps(old))
    again = restarted(running)
    assert again.builds.seconds_per_sample("sd1") == pytest.approx(305)
    again.host.before_drawing = four_seconds
    again.build([ALPHA], limit=4)
    assert again.builds.seconds_per_sample("sd1") == pytest.approx(4)


# -- snapshots ------------------------------------------------------------------------------------


def test_answers_move_on_when_a_pass_ends_and_not_before(running: Running) -> None:
    running.build(limit=4)
    running.install("delta.safetensors", 3)
    running.install("epsilon.safetensors", 4)
    running.builds.start(None, None)
    assert [job.samples for job in running.queue.waiting] == [4, 4, 6, 6, 6, 6, 6]
    moved = []
    while running.queue.waiting:
        before = running.service.snapshots.name
        answer = running.service.answers.rank([drawn(3, 7)]).to_json()
        at(running, running.queue.waiting[0].name, "p03", lambda b=before: moved.append(b))
        running.queue.run_next()
        same = running.service.snapshots.name == before
        assert same == (running.service.answers.rank([drawn(3, 7)]).to_json() == answer)
        moved.append(same)
    stays = [entry for entry in moved if isinstance(entry, bool)]
    assert stays == [True, False, True, True, True, True, False]


def test_the_snapshot_stays_while_samples_are_made(running: Running) -> None:
    running.build(limit=4)
    seen: list[str] = []
    running.host.before_drawing = lambda c, r: seen.append(running.service.snapshots.name)
    name = running.service.snapshots.name
    running.build()
    assert seen == [name] * 6
    assert running.service.snapshots.name != name
    assert running.moved[-1] == running.service.snapshots.name


# -- pausing --------------------------------------------------------------------------------------


def test_pausing_keeps_the_image_in_flight_and_withdraws_the_rest(running: Running) -> None:
    running.builds.start(None, None)
    running.queue.run_next()
    at(running, BETA, "p01", running.builds.pause)
    running.queue.run_next()
    assert running.samples() == {ALPHA: 4, BETA: 2, GAMMA: 0}
    assert running.queue.waiting == []
    assert running.queue.errors == [], "the host sees a job that ended well"
    state = running.builds.state()
    assert (state.state, state.message, state.done) == (PAUSED, "Paused.", 6)
    assert running.service.snapshots.name == running.library.fingerprint()


def test_resuming_finishes_without_making_any_image_twice(running: Running) -> None:
    running.builds.start(None, None)
    at(running, BETA, "p01", running.builds.pause)
    running.queue.run_all()
    state = running.builds.resume()
    assert (state.state, state.done, state.total) == (RUNNING, 6, 18)
    assert running.queue.waiting == [
        Job(BETA, 4),
        Job(GAMMA, 4),
        *[Job(name, 6) for name in ALL],
    ]
    running.queue.run_all()
    assert running.samples() == dict.fromkeys(ALL, 6)
    assert len(running.host.asked) == len(set(running.host.asked)) == 18
    assert running.builds.state().message == "Done."


def test_resuming_keeps_the_limit_and_the_names(running: Running) -> None:
    running.builds.start([BETA, GAMMA], 4)
    at(running, BETA, "p01", running.builds.pause)
    running.queue.run_all()
    again = restarted(running)
    for host in (running, again):
        host.builds.resume()
        assert host.queue.waiting == [Job(BETA, 4), Job(GAMMA, 4)]
        assert host.builds.state().limit == 4


def test_pausing_between_jobs_moves_the_answers_on_at_once(running: Running) -> None:
    running.builds.start(None, None)
    running.queue.run_next()
    assert running.moved == []
    running.builds.pause()
    assert running.moved == [running.library.fingerprint()]
    assert len(running.service.answers.rank([drawn(0, 7)]).candidates) == 1


def test_a_job_whose_turn_came_just_as_the_build_was_paused_does_nothing(
    running: Running,
) -> None:
    """It had left the queue already, so it could not be withdrawn."""
    running.builds.start(None, None)
    job = running.queue.waiting.pop(0)
    running.builds.pause()
    assert running.builds.run(job).state == PAUSED
    assert running.host.asked == running.host.loaded == []


def test_a_job_that_was_taken_over_by_a_resumed_build_runs_once(running: Running) -> None:
    running.builds.start([ALPHA], 4)
    job = running.queue.waiting.pop(0)
    running.builds.pause()
    running.builds.resume()
    running.builds.run(job)
    running.queue.run_all()
    assert running.host.loaded == [ALPHA]
    assert running.samples()[ALPHA] == 4
    assert running.builds.state().message == "Done."


def test_pausing_and_resuming_within_one_image_just_goes_on(running: Running) -> None:
    running.builds.start([ALPHA], 4)

    def twice() -> None:
        running.builds.pause()
        running.builds.resume()

    at(running, ALPHA, "p01", twice)
    running.queue.run_all()
    assert running.samples()[ALPHA] == 4
    assert len(running.host.asked) == 4
    assert running.builds.state().state == IDLE
    assert all(state.done <= state.total for state in running.told)


def test_what_is_not_under_way_can_be_neither_paused_nor_resumed(running: Running) -> None:
    for act in (running.builds.pause, running.builds.resume):
        assert act().state == IDLE
    running.builds.start([ALPHA], 4)
    running.builds.resume()
    assert running.queue.waiting == [Job(ALPHA, 4)], "a running build is not queued twice"
    running.builds.pause()
    running.builds.pause()
    assert running.builds.state().message == "Paused."


# -- cancelling -----------------------------------------------------------------------------------


def test_cancelling_stops_at_once_and_keeps_what_was_finished(running: Running) -> None:
    running.builds.start(None, None)
    at(running, ALPHA, "p02", running.builds.cancel)
    running.queue.run_all()
    assert running.samples() == {ALPHA: 2, BETA: 0, GAMMA: 0}
    state = running.builds.state()
    assert (state.state, state.message) == (IDLE, "Cancelled; what was finished is kept.")
    assert [type(error) for error in running.queue.errors] == [InterruptedByUser]
    assert not running.host.interrupted(), "the next job of the user's own is not hit"
    assert restarted(running).builds.state().state == IDLE
    assert running.service.snapshots.name == running.library.fingerprint()


def test_cancelling_between_jobs_interrupts_nobody(running: Running) -> None:
    running.builds.start(None, 4)
    running.queue.run_next()
    running.builds.cancel()
    assert not running.host.interrupted()
    assert running.queue.waiting == []
    assert running.moved == [running.library.fingerprint()]
    assert running.builds.resume().state == IDLE, "a cancelled build is forgotten"
    assert running.queue.waiting == []


def test_cancelling_a_paused_build_forgets_it(running: Running) -> None:
    running.builds.start(None, 4)
    running.builds.pause()
    running.builds.cancel()
    assert restarted(running).builds.state().state == IDLE


# -- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_id", ["p00", "p02"])
def test_an_interruption_by_the_user_pauses_the_build_and_keeps_what_was_done(
    running: Running, prompt_id: str
) -> None:
    running.builds.start(None, None)
    running.queue.run_next()
    at(running, BETA, prompt_id, running.host.interrupt)
    running.queue.run_all()
    assert running.samples() == {ALPHA: 4, BETA: int(prompt_id[1:]), GAMMA: 0}
    state = running.builds.state()
    assert state.state == PAUSED
    assert "Resume" in state.message
    assert running.queue.waiting == []
    assert [type(error) for error in running.queue.errors] == [InterruptedByUser]
    assert running.told[-1].state == PAUSED, "everybody was told"
    assert running.service.states.failed == {}, "it is not the checkpoint's fault"
    running.host.before_drawing = lambda c, r: None
    running.builds.resume()
    running.queue.run_all()
    assert running.samples() == dict.fromkeys(ALL, 6)


def test_an_interruption_that_comes_between_two_images_pauses_as_well(running: Running) -> None:
    """Some hosts only raise a flag."""
    running.builds.start(None, None)
    running.host.stop_if_interrupted = lambda: None  # type: ignore[method-assign]
    at(running, ALPHA, "p02", running.host.interrupt)
    running.queue.run_all()
    assert running.samples() == {ALPHA: 2, BETA: 0, GAMMA: 0}
    assert running.builds.state().state == PAUSED


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_whatever_escapes_a_job_pauses_the_build_and_reaches_the_host(
    running: Running, error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error

    running.builds.start(None, None)
    at(running, ALPHA, "p03", fail)
    with pytest.raises(error):
        running.builds.run(running.queue.waiting.pop(0))
    assert running.builds.state().state == PAUSED
    assert running.queue.waiting == []
    assert running.samples()[ALPHA] == 3


def test_a_build_that_cannot_begin_for_lack_of_something_says_what(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise GMIError("install the encoder's weights")

    monkeypatch.setattr(samples, "optional_text_encoder", missing)
    running.build(limit=4)
    assert running.builds.state().state == PAUSED
    assert "install the encoder's weights" in running.builds.state().message


def test_a_checkpoint_that_cannot_be_loaded_is_reported_once_and_the_others_finish(
    running: Running,
) -> None:
    running.host.unloadable[BETA] = "the file is damaged"
    running.build()
    assert running.samples() == {ALPHA: 6, BETA: 0, GAMMA: 6}
    state = running.builds.state()
    assert state.problems == [Exclusion("anime/beta", "anime/beta: the file is damaged")]
    assert (state.state, state.message) == (IDLE, "Done, but for 1.")
    assert running.host.loaded.count(BETA) == 1, "later passes skip it"
    assert running.queue.done.count(Job(BETA, 6)) == 1


def test_what_failed_is_tried_again_by_the_next_build(running: Running) -> None:
    running.host.unloadable[BETA] = "no memory"
    running.build()
    assert running.builds.start(None, None).total == 6
    running.queue.run_all()
    assert running.states()[BETA] == "failed"
    running.host.unloadable.clear()
    running.build([BETA])
    assert running.samples()[BETA] == 6
    assert running.states()[BETA] == "ready"


def test_resuming_does_not_try_again_what_failed(running: Running) -> None:
    running.host.unloadable[ALPHA] = "no memory"
    running.builds.start(None, 4)
    at(running, BETA, "p01", running.builds.pause)
    running.queue.run_all()
    running.builds.resume()
    assert running.queue.waiting == [Job(BETA, 4), Job(GAMMA, 4)]
    running.queue.run_all()
    assert running.host.loaded.count(ALPHA) == 1
    assert running.builds.state().message == "Done, but for 1."


@pytest.mark.parametrize(
    ("names", "count"), [(None, "all 3 checkpoints"), ([BETA], "the checkpoint")]
)
def test_a_build_in_which_everything_failed_is_a_failure(
    running: Running, names: list[str] | None, count: str
) -> None:
    running.host.unloadable |= dict.fromkeys(ALL, "no memory")
    running.build(names)
    state = running.builds.state()
    assert (state.state, state.failed) == (IDLE, True)
    assert state.message == f"Nothing was built: {count} failed."
    assert {problem.reason.partition(": ")[2] for problem in state.problems} == {"no memory"}
    running.host.unloadable.clear()
    running.build(names)
    assert running.builds.state().message == "Done."
    assert not running.builds.state().failed


def test_the_time_left_does_not_wait_for_what_failed(running: Running) -> None:
    running.host.unloadable[BETA] = "the file is damaged"
    running.builds.start(None, 4)
    running.queue.run_all()
    assert running.builds.state().done == 8
    last = next(state for state in running.told if state.done == 8)
    assert last.name == GAMMA
    assert last.seconds_left == 0


def test_a_checkpoint_that_fails_halfway_keeps_what_it_has(running: Running) -> None:
    def fail() -> None:
        raise HostError("out of memory")

    at(running, BETA, "p02", fail)
    running.build()
    assert running.samples() == {ALPHA: 6, BETA: 2, GAMMA: 6}
    assert running.states()[BETA] == "failed"
    assert running.builds.state().problems == [Exclusion("anime/beta", "out of memory")]


def test_broken_output_is_reported_as_suspect_and_the_others_finish(running: Running) -> None:
    running.install(BETA, BLACK)
    running.build()
    assert running.states() == {ALPHA: "ready", BETA: "suspect", GAMMA: "ready"}
    (problem,) = running.builds.state().problems
    assert problem == Exclusion("anime/beta", "suspect: 2 broken samples (black)")
    assert running.host.loaded.count(BETA) == 1
    assert running.builds.start(None, None).message == "Nothing is missing."


def test_the_next_prompt_makes_up_for_a_broken_image(running: Running) -> None:
    """Three good samples could not be ranked."""
    running.host.black.add((BETA, "p02"))
    running.build(limit=4)
    assert running.samples() == {ALPHA: 4, BETA: 4, GAMMA: 4}
    assert running.states()[BETA] == "quick"
    assert running.builds.start(None, 4).message == "Nothing is missing."


def test_a_file_that_is_deleted_during_a_build_is_named_and_the_others_finish(
    running: Running,
) -> None:
    running.builds.start(None, None)
    running.queue.run_next()
    (running.host.models / BETA).unlink()
    running.queue.run_all()
    assert running.samples() == {ALPHA: 6, GAMMA: 6}
    (problem,) = running.builds.state().problems
    assert BETA in problem.reason
    assert running.builds.state().state == IDLE


def test_jobs_that_somebody_took_out_of_the_queue_are_noticed(running: Running) -> None:
    running.builds.start(None, None)
    running.queue.run_next()
    running.queue.waiting.clear()
    state = running.builds.state()
    assert state.state == PAUSED
    assert "removed from the queue" in state.message
    running.builds.resume()
    running.queue.run_all()
    assert running.samples() == dict.fromkeys(ALL, 6)


def test_everybody_is_told_that_jobs_were_taken_out_of_the_queue(running: Running) -> None:
    running.builds.start(None, None)
    running.queue.waiting.clear()
    state = running.builds.state()
    assert running.told[-1] == state


def test_a_job_taken_out_of_the_queue_is_noticed_when_the_others_are_done(
    running: Running,
) -> None:
    running.builds.start(None, 4)
    running.queue.waiting.remove(Job(BETA, 4))
    running.queue.run_all()
    assert running.samples() == {ALPHA: 4, BETA: 0, GAMMA: 4}
    assert running.builds.state().state == PAUSED
    running.builds.resume()
    assert running.queue.waiting == [Job(BETA, 4)]


def test_a_full_disk_pauses_the_build_and_says_so(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.builds.start(None, None)
    running.queue.run_next()
    sync = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    at(running, BETA, "p02", lambda: monkeypatch.setattr(files.os, "fsync", full))
    running.queue.run_all()
    state = running.builds.state()
    assert state.state == PAUSED
    assert "the disk is full" in state.message
    assert [type(error) for error in running.queue.errors] == [LibraryError]
    assert running.queue.waiting == []
    assert running.told[-1] == state, "everybody was told"
    monkeypatch.setattr(files.os, "fsync", sync)
    assert running.samples() == {ALPHA: 4, BETA: 2, GAMMA: 0}
    assert running.service.states.failed == {}
    running.host.before_drawing = lambda c, r: None
    running.builds.resume()
    running.queue.run_all()
    assert running.samples() == dict.fromkeys(ALL, 6)


def test_what_goes_wrong_while_answers_move_on_does_not_hide_why_a_job_ended(
    running: Running,
) -> None:
    """The last thing a job does is to tell everybody."""

    def nobody_listens(name: str) -> None:
        raise ConnectionError("the front end is gone")

    models, library = running.host.models, running.library.folder
    running = start(models, library, on_advance=nobody_listens)
    running.builds.start(None, None)
    at(running, ALPHA, "p02", running.host.interrupt)
    running.queue.run_all()
    assert [type(error) for error in running.queue.errors] == [InterruptedByUser]


# -- restarts -------------------------------------------------------------------------------------


def test_a_build_that_was_under_way_is_offered_after_a_restart(running: Running) -> None:
    running.builds.start([BETA, GAMMA], 4)
    running.queue.run_next()
    again = restarted(running)
    state = again.builds.state()
    assert (state.state, state.limit) == (PAUSED, 4)
    assert (state.done, state.total) == (4, 8), "as many as are stored"
    assert "Resume" in state.message
    assert again.queue.waiting == [], "nothing begins by itself"
    again.builds.resume()
    assert again.queue.waiting == [Job(GAMMA, 4)]
    again.queue.run_all()
    assert again.samples() == {ALPHA: 0, BETA: 4, GAMMA: 4}
    assert restarted(again).builds.state().state == IDLE


@pytest.mark.parametrize("end", ["finished", "cancelled", "nothing missing"])
def test_a_build_that_ended_is_not_offered_after_a_restart(running: Running, end: str) -> None:
    running.build(limit=4)
    if end == "cancelled":
        running.builds.start(None, None)
        running.builds.cancel()
    elif end == "nothing missing":
        running.builds.start(None, 4)
    assert restarted(running).builds.state().state == IDLE


def test_progress_counts_what_is_stored_whatever_happened(running: Running) -> None:
    """Over a pause, and over a process that was killed before it could note anything."""
    running.builds.start(None, None)
    at(running, BETA, "p01", running.builds.pause)
    running.queue.run_all()
    assert (running.builds.state().done, running.builds.state().total) == (6, 18)
    noted = (running.library.folder / "build.json").read_bytes()
    running.builds.resume()
    assert (running.builds.state().done, running.builds.state().total) == (6, 18)
    running.queue.run_next()
    (running.library.folder / "build.json").write_bytes(noted)
    again = restarted(running)
    assert (again.builds.state().done, again.builds.state().total) == (8, 18)
    again.builds.resume()
    again.queue.run_all()
    assert (again.builds.state().done, again.builds.state().total) == (18, 18)


def test_a_build_whose_checkpoints_are_gone_after_a_restart_has_nothing_to_do(
    running: Running,
) -> None:
    running.builds.start([BETA], None)
    (running.host.models / BETA).unlink()
    again = restarted(running)
    assert again.builds.resume().message == "Nothing is missing."


GOOD = {"wanted": True, "names": None, "limit": 4, "pace": {"sd1": 3.0}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"wanted": true}',
        *[
            json.dumps({**GOOD, key: value}).encode()
            for key, value in (
                ("names", 5),
                ("limit", "many"),
                ("limit", []),
                ("limit", float("nan")),
                ("limit", float("inf")),
                ("pace", []),
                ("pace", {"sd1": "fast"}),
                ("pace", {"sd1": None}),
                ("pace", {"sd1": 10**400}),
            )
        ],
    ],
    ids=range(15),
)
def test_a_damaged_note_of_a_build_is_passed_over(running: Running, content: bytes) -> None:
    running.library.folder.mkdir(exist_ok=True)
    (running.library.folder / "build.json").write_bytes(content)
    again = restarted(running)
    assert again.builds.state().state == IDLE
    assert again.builds.seconds_per_sample() is None
    again.build(limit=4)
    assert again.samples() == dict.fromkeys(ALL, 4)
    assert json.loads((running.library.folder / "build.json").read_bytes())["wanted"] is False


@pytest.mark.parametrize("pace", [float("nan"), float("inf"), -1.0])
def test_a_pace_that_is_no_duration_is_not_believed(running: Running, pace: float) -> None:
    running.library.folder.mkdir(exist_ok=True)
    content = json.dumps({**GOOD, "pace": {"sd1": pace}})
    (running.library.folder / "build.json").write_text(content)
    assert restarted(running).builds.seconds_per_sample() is None


def test_a_note_that_cannot_be_written_stops_no_build(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, data: bytes) -> None:
        raise LibraryError(f"{path}: cannot be written")

    monkeypatch.setattr("lib_gmi.base.json_file.write_atomic", refused)
    running.build(limit=4)
    assert running.samples() == dict.fromkeys(ALL, 4)
    assert running.builds.state().message == "Done."


# -- threads --------------------------------------------------------------------------------------


def test_people_press_every_button_while_jobs_run(running: Running) -> None:
    """Whatever they press, nothing is lost, nothing waits forever, and it can be finished."""
    ended = threading.Event()
    raised: list[BaseException] = []

    def attempt(act: Callable[[], Any]) -> None:
        try:
            while not ended.is_set():
                act()
        except BaseException as error:
            raised.append(error)

    def worker() -> None:
        if running.queue.waiting:
            running.queue.run_next()

    def presses() -> None:
        running.builds.start(None, None)
        running.builds.pause()
        running.builds.resume()

    threads = [
        threading.Thread(target=attempt, args=(act,), daemon=True)
        for act in (worker, presses, running.builds.state)
    ]
    for thread in threads:
        thread.start()
    ended.wait(1.0)
    ended.set()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert [error for error in raised if not isinstance(error, IndexError)] == []
    assert running.queue.errors == []
    running.build()
    assert running.samples() == dict.fromkeys(ALL, 6)


def test_what_is_shown_does_not_change_afterwards(running: Running) -> None:
    """A face may take its time over it, in another thread."""
    shown = running.builds.start([ALPHA], 4)
    kept = replace(shown)
    running.queue.run_all()
    assert shown == kept
