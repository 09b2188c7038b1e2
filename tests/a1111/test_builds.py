"""Builds in the web UI: beside people's work, paused, cancelled, and with files that change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from conftest import picture
from standins.webui.webui import ALPHA, BETA, GAMMA, PATIENCE, SMALL

from lib_gmi.base.errors import RankingError
from lib_gmi.service.filters import Filter
from lib_gmi.service.politeness import Politeness

if TYPE_CHECKING:
    from standins.webui.webui import WebUI

pytest_plugins = ["standins.webui.harness"]


def until(true: Callable[[], Any]) -> None:
    """Wait for what another thread does."""
    for _ in range(int(PATIENCE / 0.01)):
        if true():
            return
        threading.Event().wait(0.01)
    pytest.fail("nothing happened")


def during(webui: WebUI, image: int, work: Callable[[], Any]) -> None:
    """Do something while the n-th image from now is being generated."""
    left = [image]

    def look(_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            work()

    webui.seen.while_sampling = look


# -- to the end -----------------------------------------------------------------------------------


def test_a_build_ranks_and_puts_the_users_checkpoint_back(webui: WebUI) -> None:
    state = webui.build()
    assert (state.state, state.message) == ("idle", "Done.")
    assert webui.samples() == {ALPHA: 6, BETA: 6, GAMMA: 6}
    assert (webui.chosen, webui.loaded) == (ALPHA, ALPHA)
    assert webui.opts.data["sd_model_checkpoint"] == webui.info(ALPHA).title
    ranking = webui.runtime.service.answers.rank([picture(2, 77, 64)])
    first, row = webui.runtime.service.answers.ranked_checkpoints(ranking)[0]
    assert first.name == BETA
    assert row.rank == 1
    assert first.identity.startswith("sha256:")


def test_a_build_goes_over_all_checkpoints_before_it_goes_on_with_one(webui: WebUI) -> None:
    webui.build()
    order = [made["checkpoint"] for made in webui.seen.generated]
    assert order == [
        *[ALPHA] * 4,
        *[BETA] * 4,
        *[GAMMA] * 4,
        *[ALPHA, ALPHA, BETA, BETA, GAMMA, GAMMA],
    ]
    assert len(webui.seen.loads) == 6, "each checkpoint once a pass, and the user's at the end"


def test_images_are_made_one_a_turn(webui: WebUI) -> None:
    webui.build([BETA])
    assert webui.seen.jobs == ["Find Best Model"] * (6 + 2), "and one for the load of each pass"
    assert webui.seen.saved == []
    assert not (webui.data / "params.txt").exists()


def test_what_a_build_is_doing_is_shown_by_the_web_ui(webui: WebUI) -> None:
    texts = []
    webui.seen.while_sampling = lambda _: texts.append(webui.state.textinfo)
    webui.build([BETA], 1)
    assert texts == ["Find Best Model: anime/beta"]


def test_the_users_settings_of_a_checkpoint_follow_its_hash(webui: WebUI) -> None:
    """They were made before anybody had read the whole file."""
    assert webui.candidate(BETA).identity.startswith("quick:")
    webui.change(BETA, **SMALL, cfg=3.5)
    webui.build([BETA])
    assert webui.candidate(BETA).identity.startswith("sha256:")
    assert {made["p"].cfg_scale for made in webui.seen.generated} == {3.5}
    assert webui.host.overrides.get(webui.candidate(BETA).identity)["cfg"] == 3.5
    assert webui.samples()[BETA] == 6


def test_specifications_follow_a_hash_that_becomes_known_later(webui: WebUI) -> None:
    webui.flags.no_hashing = True
    webui.build()
    library = webui.runtime.service.library
    before = {entry.title: entry.identity for entry in library.entries()}
    assert before["anime/beta"].startswith("quick:")
    webui.flags.no_hashing = False
    webui.host.calculate_hash(BETA)
    assert webui.samples() == {ALPHA: 6, BETA: 6, GAMMA: 6}
    after = {entry.title: entry.identity for entry in library.entries()}
    assert after == {**before, "anime/beta": f"sha256:{webui.info(BETA).sha256}"}
    assert webui.build().message == "Nothing is missing."
    assert len(webui.seen.generated) == 18


@pytest.mark.parametrize("looked", [False, True])
def test_a_checkpoint_is_still_ranked_when_its_hash_becomes_known(
    webui: WebUI, looked: bool
) -> None:
    """The user loads it, for instance; nobody builds anything after that."""
    webui.flags.no_hashing = True
    webui.build()
    webui.flags.no_hashing = False
    service = webui.runtime.service
    service.answers.rank([picture(2, 77, 64)])
    webui.choose(BETA)
    if looked:
        service.states.all()
    names = [
        c.name
        for c, _ in service.answers.ranked_checkpoints(service.answers.rank([picture(2, 77, 64)]))
    ]
    assert names[0] == BETA
    assert set(names) == {ALPHA, BETA, GAMMA}


# -- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["sd1", "sdxl"])
def test_a_checkpoint_that_cannot_be_loaded_is_reported_and_the_others_are_built(
    webui: WebUI, architecture: str
) -> None:
    webui.add("broken.safetensors", 5, architecture)
    webui.opts.data["sd_vae"] = "soft.vae.pt"
    webui.seen.unusable["broken.safetensors"] = ValueError("size mismatch")
    state = webui.build()
    assert state.message == "Done, but for 1."
    assert "size mismatch" in state.problems[0].reason
    assert webui.samples() == {ALPHA: 6, BETA: 6, GAMMA: 6, "broken.safetensors": 0}
    assert (webui.chosen, webui.loaded) == (ALPHA, ALPHA)


def test_a_checkpoint_deleted_in_the_middle_is_reported_and_the_others_are_built(
    webui: WebUI,
) -> None:
    during(webui, 5, webui.candidate(BETA).path.unlink)
    state = webui.build()
    assert [problem.title for problem in state.problems] == ["anime/beta"]
    assert "is not among the web UI's checkpoints any more" in state.problems[0].reason
    webui.refresh()
    assert webui.samples() == {ALPHA: 6, GAMMA: 6}
    gone = [entry.title for entry in webui.runtime.service.states.gone()]
    assert gone == ["anime/beta"]
    assert webui.loaded == ALPHA


def test_a_checkpoint_that_the_user_chooses_in_the_middle_costs_no_image(webui: WebUI) -> None:
    threads = []

    def choose() -> None:
        webui.runtime.politeness.hurry()
        threads.append(webui.in_another_thread(lambda: webui.choose(GAMMA)))
        until(lambda: webui.elsewhere(lambda: webui.chosen) == GAMMA)

    during(webui, 6, choose)
    state = webui.build()
    threads[0].join(PATIENCE)
    assert (state.message, state.problems) == ("Done.", [])
    assert webui.samples() == {ALPHA: 6, BETA: 6, GAMMA: 6}
    assert len(webui.seen.generated) == 18
    assert (webui.chosen, webui.loaded) == (GAMMA, GAMMA)


# -- paused, cancelled, interrupted ---------------------------------------------------------------


def test_pausing_keeps_the_image_and_puts_the_users_checkpoint_back(webui: WebUI) -> None:
    during(webui, 6, webui.runtime.builds.pause)
    state = webui.build()
    assert (state.state, state.message) == ("paused", "Paused.")
    assert webui.samples() == {ALPHA: 4, BETA: 2, GAMMA: 0}
    assert webui.loaded == ALPHA
    webui.runtime.builds.resume()
    assert webui.finish().message == "Done."
    assert webui.samples() == {ALPHA: 6, BETA: 6, GAMMA: 6}
    assert len(webui.seen.generated) == 18


def test_cancelling_stops_the_image_and_keeps_what_was_finished(webui: WebUI) -> None:
    during(webui, 6, webui.runtime.builds.cancel)
    state = webui.build()
    assert state.message == "Cancelled; what was finished is kept."
    assert webui.samples() == {ALPHA: 4, BETA: 1, GAMMA: 0}
    assert (webui.chosen, webui.loaded) == (ALPHA, ALPHA)
    webui.seen.while_sampling = lambda _: None
    assert webui.build().message == "Done."
    assert webui.samples() == {ALPHA: 6, BETA: 6, GAMMA: 6}


@pytest.mark.parametrize("button", ["interrupt", "skip", "stop_generating"])
def test_the_web_uis_own_button_pauses_and_keeps_what_was_finished(
    webui: WebUI, button: str
) -> None:
    during(webui, 6, getattr(webui.state, button))
    state = webui.build()
    assert (state.state, state.message) == ("paused", "It was interrupted. Resume to go on.")
    assert webui.samples() == {ALPHA: 4, BETA: 1, GAMMA: 0}
    assert webui.loaded == ALPHA
    webui.runtime.builds.resume()
    assert webui.finish().message == "Done."


def test_a_new_build_is_not_paused_by_the_end_of_the_one_before(webui: WebUI) -> None:
    """Cancelled and started anew while an image of the old one is still being generated."""

    def again() -> None:
        webui.runtime.builds.cancel()
        webui.runtime.builds.start([GAMMA], None)

    during(webui, 2, again)
    webui.runtime.builds.start([ALPHA, BETA], None)
    state = webui.finish()
    assert (state.state, state.message) == ("idle", "Done.")
    assert webui.samples()[GAMMA] == 6


def test_reloading_the_page_pauses(webui: WebUI) -> None:
    from lib_gmi.a1111 import start

    start()
    webui.module("script_callbacks").script_unloaded_callback()  # nothing runs yet
    during(webui, 2, webui.module("script_callbacks").script_unloaded_callback)
    assert webui.build([BETA]).state == "paused"
    assert webui.samples()[BETA] == 2
    assert webui.seen.reported == []


def test_a_restart_goes_on_where_it_stopped(webui: WebUI) -> None:
    during(webui, 6, webui.runtime.builds.pause)
    webui.build()
    webui.restart()
    assert webui.runtime.builds.state().state == "paused"
    webui.runtime.builds.resume()
    assert webui.finish().message == "Done."
    assert len(webui.seen.generated) == 18


# -- beside people's work -------------------------------------------------------------------------


def test_a_build_waits_while_somebody_generates_and_for_some_minutes_after(webui: WebUI) -> None:
    running = webui.runtime
    clock = [0.0]
    running.politeness._clock = lambda: clock[0]
    webui.lock.acquire()
    webui.state.begin(job="task(theirs)")
    running.builds.start([BETA], None)
    until(lambda: running.queue.waiting_for)
    assert "3 minutes" in running.builds.waiting_for()
    webui.state.end()
    webui.lock.release()
    clock[0] = 100.0
    assert running.politeness.look() is not None
    assert webui.seen.generated == []
    clock[0] = 1000.0
    assert webui.finish().message == "Done."
    assert running.builds.waiting_for() is None


def test_a_build_that_has_begun_waits_between_two_images(webui: WebUI) -> None:
    running = webui.runtime
    during(webui, 2, running.politeness.seen)
    running.builds.start([BETA], None)
    until(lambda: len(webui.seen.generated) == 2 and not webui.lock._lock.locked())
    until(running.builds.waiting_for)
    assert len(webui.seen.generated) == 2
    assert not webui.lock._lock.locked(), "nobody has to wait for a build that waits"
    running.politeness.hurry()
    assert webui.finish().message == "Done."


def test_a_build_that_waits_can_be_paused_and_cancelled(webui: WebUI) -> None:
    running = webui.runtime
    ways = (
        (running.builds.pause, "Paused."),
        (running.builds.cancel, "Cancelled; what was finished is kept."),
    )
    for samples, (stop, message) in enumerate(ways, 1):
        during(webui, 1, running.politeness.seen)
        running.builds.start([BETA], None)
        until(running.builds.waiting_for)
        until(lambda samples=samples: webui.samples()[BETA] == samples)
        stop()
        assert webui.finish().message == message
        assert webui.loaded == ALPHA
        running.politeness.hurry()
    assert webui.samples()[BETA] == 2


def test_a_job_that_waits_for_its_turn_can_be_withdrawn(webui: WebUI) -> None:
    running = webui.runtime
    webui.lock.acquire()
    webui.state.begin(job="task(theirs)")
    running.builds.start([BETA], None)
    until(lambda: running.queue.waiting_for)
    assert running.builds.pause().state == "paused"
    webui.lock.release()
    webui.finish()
    assert webui.seen.generated == []


def test_build_now_goes_on_until_somebody_works_again(webui: WebUI) -> None:
    from lib_gmi.a1111.bridge import WebUIBridge

    bridge, running = WebUIBridge(), webui.runtime
    webui.lock.acquire()
    webui.state.begin(job="task(theirs)")
    running.builds.start([BETA], None)
    until(bridge.waiting_for)
    webui.state.end()
    webui.lock.release()
    assert bridge.waiting_for(), "it waits for some minutes more"
    bridge.build_now()
    assert webui.finish().message == "Done."


def test_who_starts_a_build_does_not_want_to_wait_for_what_they_did_before(webui: WebUI) -> None:
    webui.txt2img()
    webui.runtime.politeness.seen()
    assert webui.build([BETA]).message == "Done."


def test_who_never_wants_to_wait_does_not(webui: WebUI) -> None:
    webui.opts.data["gmi_pause_while_i_work"] = False
    webui.runtime.politeness.seen()
    assert webui.build([BETA]).message == "Done."


def test_looking_does_not_take_our_own_work_for_somebodys(webui: WebUI) -> None:
    """The page looks every second, also in the moment between an image and the end of its turn."""
    running = webui.runtime
    devices = webui.module("devices")
    looks: list[str | None] = []

    def look() -> None:
        if running.host.working:
            looks.append(running.politeness.look())

    devices.torch_gc = look
    webui.seen.while_loading = lambda _: looks.append(running.politeness.look())
    assert webui.build([BETA]).message == "Done."
    assert len(looks) > 12
    assert set(looks) == {None}


def test_a_checkpoint_being_loaded_for_somebody_is_work(webui: WebUI) -> None:
    from lib_gmi.a1111.runtime import somebody_works

    assert not somebody_works()
    with webui.lock:
        assert somebody_works()
    webui.state.job = "extras"  # that failed: its name stays behind
    assert not somebody_works()
    webui.state.job = "train_embedding"  # goes on without the lock
    assert somebody_works()


# -- politeness alone -----------------------------------------------------------------------------


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.busy = False
        self.patience = 180.0
        self.politeness = Politeness(lambda: self.busy, lambda: self.patience, lambda: self.now)


def test_nobody_was_here_nobody_is_waited_for() -> None:
    assert Clock().politeness.look() is None


def test_waiting_begins_with_the_last_time_that_somebody_was_busy() -> None:
    clock = Clock()
    clock.busy = True
    assert clock.politeness.look() is not None
    clock.busy, clock.now = False, 279.0
    assert clock.politeness.look() is not None
    clock.now = 280.0
    assert clock.politeness.look() is None
    clock.now = 200.0
    assert clock.politeness.look() is None, "forgotten, not only over"


@pytest.mark.parametrize(
    ("patience", "said"),
    [(30.0, "30 seconds"), (60.0, "a minute"), (180.0, "3 minutes"), (3600.0, "60 minutes")],
)
def test_it_says_how_long(patience: float, said: str) -> None:
    clock = Clock()
    clock.patience = patience
    clock.politeness.seen()
    assert clock.politeness.look() == f"Waiting until you have not generated anything for {said}."


def test_patience_can_be_changed_while_it_waits() -> None:
    clock = Clock()
    clock.politeness.seen()
    clock.now = 200.0
    assert clock.politeness.look() is not None
    clock.patience = 60.0
    assert clock.politeness.look() is None
    clock.politeness.seen()
    clock.patience = 0.0
    assert clock.politeness.look() is None


def test_hurrying_ends_when_somebody_works_again() -> None:
    clock = Clock()
    clock.politeness.seen()
    clock.politeness.hurry()
    assert clock.politeness.look() is None
    clock.now = 150.0
    clock.politeness.seen()
    assert clock.politeness.look() is not None


def test_who_is_not_wanted_any_more_does_not_wait() -> None:
    clock = Clock()
    clock.busy = True
    wanted = iter([True, True, False])
    assert clock.politeness.wait(lambda: next(wanted)) is False
    clock.busy = False
    clock.politeness.hurry()
    assert clock.politeness.wait(lambda: True) is True


def test_without_any_samples_ranking_says_what_to_do(webui: WebUI) -> None:
    with pytest.raises(RankingError, match="Build them first"):
        webui.runtime.service.answers.rank([picture(1, 1)])
    assert webui.runtime.service.answers.last_ranking is None
    assert Filter()(webui.candidate(ALPHA))
