"""What is installed, what the library has of it, and which of it may answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import OTHER, TINY, make_specification, picture, prompt_set, words_encoder
from standins.host import BLACK, Running, drawn, start, write_checkpoint
from support import make_stack, random_stack

from lib_gmi.base.errors import (
    HostError,
    InterrogatorError,
    LibraryError,
    MissingExtraError,
    RankingError,
    SpecificationError,
)
from lib_gmi.interrogators import parse_order
from lib_gmi.library.packs import PackAbout, write_pack
from lib_gmi.metadata.making import Making
from lib_gmi.ranking import identify
from lib_gmi.ranking.findings import Findings
from lib_gmi.ranking.fitted import FittedLibrary
from lib_gmi.ranking.stack import Stack
from lib_gmi.records.protocols import Candidate, GenerationSettings
from lib_gmi.records.specification import CandidateRef, PromptSetRef
from lib_gmi.service import samples, snapshots
from lib_gmi.service.filters import ANY, Filter
from lib_gmi.service.states import CheckpointState
from lib_gmi.submitting.recorder import BASE_SEED, Recorder, completed

ALPHA, BETA, GAMMA = "alpha.safetensors", "anime/beta.safetensors", "gamma.safetensors"


@pytest.fixture
def running(tmp_path: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A host with three checkpoints and an empty library."""
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)
    running = start(tmp_path / "models", library_folder)
    for style, name in enumerate((ALPHA, BETA, GAMMA)):
        running.install(name, style)
    return running


def restarted(running: Running) -> Running:
    return start(running.host.models, running.library.folder)


def state_of(running: Running, name: str) -> CheckpointState:
    return running.service.states.of(running.service.candidates.installed(name))


# -- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "state"),
    [(1, "none"), (3, "none"), (4, "quick"), (5, "quick"), (6, "ready"), (None, "ready")],
)
def test_a_checkpoint_is_quick_from_four_samples_on_and_ready_with_all(
    running: Running, limit: int | None, state: str
) -> None:
    assert set(running.states().values()) == {"none"}
    running.build(limit=limit)
    assert running.states() == dict.fromkeys((ALPHA, BETA, GAMMA), state)
    assert running.samples() == dict.fromkeys((ALPHA, BETA, GAMMA), limit or 6)
    assert restarted(running).states() == running.states()


def test_a_state_tells_the_specification_and_its_settings(running: Running) -> None:
    running.build(limit=4)
    state = state_of(running, BETA)
    assert state.entry is not None
    assert (state.entry.identity, state.entry.samples) == (state.candidate.identity, 4)
    assert state.preset is not None
    assert state.preset.architecture == "sd1"
    assert state.settings == state.preset.settings
    assert (state.edited, state.reason) == (False, None)


def test_broken_output_makes_a_checkpoint_suspect_and_says_why(running: Running) -> None:
    running.install(ALPHA, BLACK)
    running.build()
    state = state_of(running, ALPHA)
    assert state.state == "suspect"
    assert state.reason == "2 broken samples (black)"
    assert running.states()[BETA] == "ready"
    assert running.host.asked.count((ALPHA, "p02")) == 0, "two images are enough to tell"
    assert restarted(running).states() == running.states()


def test_what_is_no_checkpoint_is_unsupported_and_says_why(running: Running) -> None:
    running.install("vae.safetensors", architecture="vae")
    running.build()
    state = state_of(running, "vae.safetensors")
    assert (state.state, state.preset, state.settings) == ("unsupported", None, None)
    assert "VAE" in (state.reason or "")
    assert "vae.safetensors" not in running.host.loaded


def test_what_cannot_be_loaded_has_failed_and_says_why(running: Running) -> None:
    running.host.unloadable[BETA] = "the file is damaged"
    running.build()
    assert running.states() == {ALPHA: "ready", BETA: "failed", GAMMA: "ready"}
    assert "the file is damaged" in (state_of(running, BETA).reason or "")
    assert restarted(running).states()[BETA] == "none", "it may be mended by now"


def test_settings_that_cannot_be_used_are_named_and_cost_only_their_checkpoint(
    running: Running,
) -> None:
    identity = running.service.candidates.installed(BETA).identity
    rows = {"version": 1, "checkpoints": {identity: {"steps": 9999}}}
    running.host.overrides.path.write_text(json.dumps(rows))
    state = state_of(running, BETA)
    assert state.state == "unsupported"
    assert "settings.json" in (state.reason or "")
    assert "steps" in (state.reason or "")
    running.build()
    assert running.samples() == {ALPHA: 6, BETA: 0, GAMMA: 6}


def test_specifications_of_another_encoder_or_prompt_set_do_not_count(running: Running) -> None:
    identity = running.service.candidates.installed(ALPHA).identity
    made = make_specification(prompts=6)
    candidate = replace(made.candidate, identity=identity)
    reference = replace(made.prompt_set, hash=running.service.prompt_set.hash)
    running.library.add(replace(made, candidate=candidate, prompt_set=reference, encoder_id=OTHER))
    running.library.add(replace(made, candidate=candidate))
    assert running.states()[ALPHA] == "none"
    running.library.add(replace(made, candidate=candidate, prompt_set=reference))
    assert running.samples()[ALPHA] == 6


# -- names come and go, files stay what they are --------------------------------------------------


def test_equal_files_under_two_names_share_one_specification(running: Running) -> None:
    copy = running.install("copies/alpha.safetensors", 0)
    running.build()
    assert running.samples() == {ALPHA: 6, BETA: 6, copy: 6, GAMMA: 6}
    assert {name for name, _ in running.host.asked} == {ALPHA, BETA, GAMMA}
    assert len(running.library.entries()) == 3
    ranking = running.service.answers.rank([drawn(0, 7)])
    assert len(ranking.candidates) == 3, "it is one candidate"
    (running.host.models / ALPHA).unlink()
    assert running.states() == {BETA: "ready", copy: "ready", GAMMA: "ready"}
    assert running.service.states.gone() == []


def test_a_file_replaced_under_the_same_name_is_another_checkpoint(running: Running) -> None:
    running.build()
    old = running.service.candidates.installed(ALPHA).identity
    running.install(ALPHA, 8)
    # what is there is of another file: nothing of it counts, and people are told why
    assert running.states() == {ALPHA: "outdated", BETA: "ready", GAMMA: "ready"}
    assert state_of(running, ALPHA).entry is None
    assert [entry.identity for entry in running.service.states.gone()] == [old]
    ranking = running.service.answers.rank([drawn(8, 7)])
    assert old not in [row.candidate.identity for row in ranking.candidates]
    running.build()
    assert running.states()[ALPHA] == "ready"
    best = running.service.answers.rank([drawn(8, 7)]).best
    assert best.candidate.identity == running.service.candidates.installed(ALPHA).identity
    assert len(running.service.states.gone()) == 1, "nothing is thrown away"


def test_a_renamed_file_keeps_its_specification(running: Running) -> None:
    running.build(limit=4)
    (running.host.models / ALPHA).rename(running.host.models / "anime" / "renamed.safetensors")
    assert running.samples() == {BETA: 4, "anime/renamed.safetensors": 4, GAMMA: 4}
    assert running.service.states.gone() == []
    running.build()
    assert running.samples()["anime/renamed.safetensors"] == 6
    assert len(running.library.entries()) == 3
    titles = [row.candidate.title for row in running.service.answers.rank([drawn(0, 7)]).candidates]
    assert "anime/renamed" in titles


def test_what_is_deleted_is_gone_and_back_when_it_is_back(running: Running) -> None:
    running.build(limit=4)
    (running.host.models / BETA).unlink()
    assert [(e.title, e.samples) for e in running.service.states.gone()] == [("anime/beta", 4)]
    assert BETA not in running.states()
    titles = [row.candidate.title for row in running.service.answers.rank([drawn(1, 7)]).candidates]
    assert sorted(titles) == ["alpha", "gamma"]
    running.install(BETA, 1)
    assert running.service.states.gone() == []
    assert running.states()[BETA] == "quick"


def test_only_what_is_installed_is_found_by_name(running: Running) -> None:
    assert running.service.candidates.installed(BETA).path == running.host.models / BETA
    for name in ("", "beta", "../models/alpha.safetensors", "../../etc/passwd", "recipe:alpha"):
        with pytest.raises(RankingError, match="not an installed checkpoint"):
            running.service.candidates.installed(name)


# -- settings -------------------------------------------------------------------------------------


def test_the_users_settings_are_generated_with_and_shown(running: Running) -> None:
    candidate = running.service.candidates.installed(ALPHA)
    running.host.overrides.set(candidate.identity, {"steps": 7, "prefix": "film still, "})
    state = running.service.states.of(candidate)
    assert state.edited
    assert state.settings is not None
    assert state.settings.steps == 7
    assert state.preset is not None
    assert state.preset.settings.steps != 7
    assert running.service.states.settings(candidate) == state.settings
    running.build([ALPHA], limit=4)
    (entry,) = running.library.entries()
    assert entry.settings.steps == 7
    running.host.overrides.set(candidate.identity, None)
    assert not running.service.states.of(candidate).edited


def _renamed_to_what_has_another_preset(running: Running) -> Candidate:
    path = running.host.models / ALPHA
    path.rename(path.with_name("alpha-lcm.safetensors"))
    return running.service.candidates.installed("alpha-lcm.safetensors")


def test_what_was_begun_is_finished_with_the_settings_it_was_begun_with(running: Running) -> None:
    """Presets follow the file's name and the program's version; samples must not be mixed."""
    running.build([ALPHA], limit=4)
    begun = running.library.entries()[0].settings
    candidate = _renamed_to_what_has_another_preset(running)
    assert running.host.default_settings(candidate).steps != begun.steps
    assert running.service.states.settings(candidate).steps == begun.steps
    running.build([candidate.name])
    assert [entry.samples for entry in running.library.entries()] == [6]


def test_what_was_built_with_other_settings_is_outdated_and_answers_until_it_is_built_again(
    running: Running,
) -> None:
    running.build(limit=4)
    candidate = running.service.candidates.installed(ALPHA)
    running.host.overrides.set(candidate.identity, {"steps": 7})
    state = running.service.states.of(candidate)
    assert (state.state, state.samples, state.entry) == ("outdated", 0, None)
    assert "other settings" in (state.reason or "")
    assert state.shown is not None
    assert state.shown.samples == 4
    assert running.service.answers.rank([drawn(0, 7)]).best.candidate.name == ALPHA
    running.build([ALPHA])
    assert running.states()[ALPHA] == "ready"
    assert sorted(e.settings.steps or 0 for e in running.library.entries()) == [7, 20, 20, 20]
    assert len(running.service.answers.rank([drawn(0, 7)]).candidates) == 3


def test_the_settings_shown_are_those_that_samples_are_generated_with(running: Running) -> None:
    running.build([ALPHA], limit=4)
    candidate = _renamed_to_what_has_another_preset(running)
    shown = running.service.states.of(candidate).settings
    assert shown is not None
    assert shown.steps == running.service.states.settings(candidate).steps


def test_going_back_to_the_preset_goes_on_with_what_was_begun_with_it(running: Running) -> None:
    running.build([ALPHA], limit=4)
    candidate = running.service.candidates.installed(ALPHA)
    running.host.overrides.set(candidate.identity, {"steps": 7})
    running.build([ALPHA])
    running.host.overrides.set(candidate.identity, None)
    assert running.service.states.settings(candidate).steps == 20
    running.build([ALPHA])
    found = [(entry.settings.steps, entry.samples) for entry in running.library.entries()]
    assert sorted(found) == [(7, 6), (20, 6)]


# -- filters --------------------------------------------------------------------------------------

NAMES = (
    "dreamshaper_8.safetensors",
    "Anime/AnythingXL.safetensors",
    "anime/old/counterfeit.ckpt",
    "photo\\realvis.safetensors",
    "photo/anime-mix [v2].safetensors",
)


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("", {0, 1, 2, 3, 4}),
        (" , ,", {0, 1, 2, 3, 4}),
        ("*", {0, 1, 2, 3, 4}),
        ("anime/", {1, 2}),
        ("ANIME/", {1, 2}),
        ("anime\\", {1, 2}),
        ("anime/old/", {2}),
        ("photo/", {3, 4}),
        ("photo\\realvis", {3}),
        ("photo/realvis", {3}),
        ("old/", set()),  # folders are named from the top
        ("anime", {1, 2, 4}),
        ("xl", {1}),
        ("anime/*", {1, 2}),
        ("anime\\*", {1, 2}),
        ("*.ckpt", {2}),
        ("counter*", {2}),
        ("*XL", {1}),
        ("dreamshaper_?", {0}),
        ("dreamshaper?", set()),
        ("dream*, *.CKPT", {0, 2}),
        ("dream*,real", {0, 3}),
        ("!anime", {0, 3}),
        ("! anime/", {0, 3, 4}),
        ("*, !*.ckpt", {0, 1, 3, 4}),
        ("anime, !old", {1, 4}),
        ("!anime, !photo", {0}),
        ("nothing like it", set()),
    ],
)
def test_a_pattern_chooses_by_name(pattern: str, numbers: set[int]) -> None:
    candidates = [Candidate(name, name, name) for name in NAMES]
    wanted = Filter(pattern=pattern)
    assert {n for n, candidate in enumerate(candidates) if wanted(candidate)} == numbers


def test_an_exclamation_mark_that_takes_nothing_away_yet_changes_nothing() -> None:
    """People type it first, and the list follows what they type."""
    assert Filter(pattern="!")(Candidate("alpha", "alpha", "alpha.safetensors"))
    assert Filter(pattern="alpha, !")(Candidate("alpha", "alpha", "alpha.safetensors"))


@pytest.mark.parametrize(
    ("architecture", "names"),
    [(ANY, ["a", "b", "c"]), ("", ["a", "b", "c"]), ("sdxl", ["b"]), ("sd3", [])],
)
def test_an_architecture_chooses_its_checkpoints(architecture: str, names: list[str]) -> None:
    candidates = [
        Candidate(name, name, name, architecture=a)
        for name, a in (("a", "sd1"), ("b", "sdxl"), ("c", None))
    ]
    assert [c.name for c in candidates if Filter(architecture)(c)] == names


def test_only_what_passes_the_filter_is_ranked(running: Running) -> None:
    running.install("wide.safetensors", 3, "sdxl")
    running.build(limit=4)
    rank = running.service.answers.rank
    image = [drawn(1, 7)]
    assert [r.candidate.title for r in rank(image, wanted=Filter("sdxl")).candidates] == ["wide"]
    (best,) = rank(image, wanted=Filter(pattern="anime/")).candidates
    assert best.candidate.name == BETA
    assert best.probability is None, "of one alone nothing can be claimed"
    with pytest.raises(RankingError, match="passes the filter"):
        rank(image, wanted=Filter("sdxl", "anime/"))


# -- snapshots ------------------------------------------------------------------------------------


def test_an_empty_library_says_what_to_do(running: Running) -> None:
    with pytest.raises(RankingError, match="Build them first"):
        running.service.answers.rank([picture(0, 0)])
    running.build(limit=3)
    with pytest.raises(RankingError, match="only 3 samples; 4 are needed"):
        running.service.answers.rank([picture(0, 0)])
    running.build(limit=4)
    assert len(running.service.answers.rank([picture(0, 0)]).candidates) == 3


def test_a_checkpoint_is_found_by_its_pictures(running: Running) -> None:
    running.build()
    for style, name in enumerate((ALPHA, BETA, GAMMA)):
        assert running.service.answers.rank([drawn(style, 7)]).best.candidate.name == name
        assert (
            restarted(running).service.answers.rank([drawn(style, 7)]).best.candidate.name == name
        )


def test_a_snapshot_answers_until_it_is_told_to_move_on(running: Running) -> None:
    running.build([ALPHA, BETA], limit=4)
    name = running.service.snapshots.name
    before = running.service.answers.rank([drawn(2, 7)]).to_json()
    added = replace(
        running.library.snapshot().specifications[0],
        candidate=replace(
            running.library.snapshot().specifications[0].candidate,
            identity=running.service.candidates.installed(GAMMA).identity,
            title="gamma",
        ),
    )
    running.library.add(added)
    assert running.service.snapshots.name == name
    assert running.service.answers.rank([drawn(2, 7)]).to_json() == before
    running.service.snapshots.advance()
    assert running.service.snapshots.name != name
    assert len(running.service.answers.rank([drawn(2, 7)]).candidates) == 3


def test_every_new_snapshot_is_announced_once(running: Running) -> None:
    running.build(limit=4)
    assert running.moved == [running.service.snapshots.name]
    running.service.snapshots.advance()
    running.service.answers.rank([drawn(0, 7)])
    assert len(running.moved) == 1
    running.build([ALPHA])
    assert running.moved[1:] == [running.service.snapshots.name]
    assert len(set(running.moved)) == 2


def test_the_name_of_a_snapshot_is_the_same_after_a_restart(running: Running) -> None:
    running.build(limit=4)
    again = restarted(running)
    assert again.service.snapshots.name == running.service.snapshots.name
    assert again.service.snapshots.snapshot().name == running.service.snapshots.name


def test_a_snapshot_that_was_fitted_within_a_pass_does_not_outlive_it(running: Running) -> None:
    """The library can come back to what it was when the snapshot got its name."""
    running.build([ALPHA, BETA], limit=4)
    again = restarted(running)
    assert again.service.snapshots.name  # the front end asks for it first
    gamma = again.service.candidates.installed(GAMMA)
    first = again.library.snapshot().specifications[0]
    described = replace(first.candidate, identity=gamma.identity, title="gamma")
    again.library.add(replace(first, candidate=described))
    again.service.answers.rank([drawn(2, 7)])
    again.service.remove([gamma.identity])
    titles = [row.candidate.title for row in again.service.answers.rank([drawn(2, 7)]).candidates]
    assert sorted(titles) == ["alpha", "anime/beta"]


def test_specifications_of_another_encoder_never_push_out_ones_own(running: Running) -> None:
    """The command line builds into the same folder, with the encoder that it is told."""
    running.build()
    for number in range(4):
        other = make_specification(f"other {number}", 6, seed=number, encoder_id=OTHER)
        running.library.add(other)
    running.service.snapshots.advance()
    ranking = running.service.answers.rank([drawn(1, 7)])
    assert ranking.best.candidate.name == BETA
    assert running.service.snapshots.snapshot().identifier.library.stack.encoder_id == TINY


def test_specifications_of_another_prompt_set_never_push_out_ones_own(running: Running) -> None:
    running.build()
    for number in range(4):
        running.library.add(make_specification(f"other {number}", 6, seed=number))
    running.service.snapshots.advance()
    assert running.service.answers.rank([drawn(1, 7)]).best.candidate.name == BETA


def test_queries_are_answered_while_a_new_snapshot_is_being_fitted(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit of a large library takes longer than anybody waits for an answer."""
    running.build(limit=4)
    fit, begun, finish = snapshots.open_fitted, threading.Event(), threading.Event()

    def slow_fit(*arguments: Any, **named: Any) -> FittedLibrary:
        begun.set()
        assert finish.wait(20)
        return fit(*arguments, **named)

    monkeypatch.setattr(snapshots, "open_fitted", slow_fit)
    running.library.remove(running.library.entries()[:1])
    advancing = threading.Thread(target=running.service.snapshots.advance)
    advancing.start()
    assert begun.wait(20)
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(len(running.service.answers.rank([drawn(0, 7)]).candidates))
    )
    asking.start()
    asking.join(1)
    answered_meanwhile = list(answers)
    finish.set()
    advancing.join(20)
    asking.join(20)
    assert answered_meanwhile == [3]


def test_a_prompt_without_its_text_encoder_is_noted_and_the_images_still_count(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.build()

    def missing(name: str, device: str = "cpu") -> None:
        raise MissingExtraError("install the text encoder")

    monkeypatch.setattr(identify, "load_text", missing)
    ranking = running.service.answers.rank([drawn(1, 7)], "a picture")
    assert ranking.best.candidate.name == BETA
    assert any("install the text encoder" in note for note in ranking.notes)


def test_a_prompt_takes_part_where_there_is_a_text_encoder(running: Running) -> None:
    running.build()
    ranking = running.service.answers.rank([drawn(1, 7)], "picture number 3")
    assert ranking.notes == ()
    assert all(row.weighted_rkme is not None for row in ranking.candidates)


# -- what a query shows ---------------------------------------------------------------------------


def test_the_users_own_words_describe_a_query_best(running: Running) -> None:
    running.build()
    ranking = running.service.answers.rank([drawn(1, BASE_SEED + 3)])
    found = running.service.descriptions.pseudo_prompt(ranking, "  a red fox \n")
    assert found is not None
    assert (found.text, found.source) == ("a red fox", "user")
    for nothing in (None, "", " \n"):
        found = running.service.descriptions.pseudo_prompt(ranking, nothing)
        assert found is not None
        assert (found.text, found.source) == ("picture number 3", "library")
    unknown = replace(ranking, nearest_prompt="of another prompt set")
    assert running.service.descriptions.pseudo_prompt(unknown, None) is None


def test_the_users_order_describes_a_query(running: Running) -> None:
    running.build()
    service, asked = running.service, []

    def program(image: Any) -> str:
        asked.append(image.size)
        return "the program's words"

    def sources() -> tuple[str | None, str | None, str | None]:
        images = [drawn(1, BASE_SEED + 3)]
        found = (
            service.descriptions.pseudo_prompt(service.answers.rank(images), None, images),
            service.descriptions.describe(images, None),
            service.descriptions.interrogate(images, Making("a1111", "of the file")).prompt,
        )
        said = [None if one is None else one.source for one in found]
        return said[0], said[1], said[2]

    running.host.interrogator = program
    running.host.order = lambda: ("host", "library")
    assert sources() == ("library", "library", "host"), "only a description waits for the program"
    assert sources() == ("host", "host", "host"), "what it said is remembered"
    assert len(asked) == 1
    running.host.order = lambda: ("metadata", "library")
    assert sources() == ("library", "library", "metadata")
    running.host.order = lambda: ("none", "library")
    assert sources() == (None, None, None)
    assert (running.library.folder / "interrogations.json").is_file()


def test_a_wrong_order_stops_no_ranking(running: Running) -> None:
    running.build()
    service, images = running.service, [drawn(1, BASE_SEED + 3)]
    running.host.order = lambda: parse_order("libary")
    found = service.descriptions.pseudo_prompt(service.answers.rank(images), None, images)
    assert found is not None
    assert found.source == "library"
    with pytest.raises(InterrogatorError, match="Did you mean library"):
        service.descriptions.interrogate(images)


def test_a_query_is_described_without_any_library(running: Running) -> None:
    found = running.service.descriptions.describe([drawn(1, 7)], None)
    assert found is not None
    assert found.source == "labels"


def test_a_kept_sample_is_found_by_its_prompt(running: Running) -> None:
    running.build([BETA], limit=4)
    (entry,) = running.library.entries()
    path = running.service.samples.sample(entry, "p02")
    assert path is not None
    assert path.name == "p02-1002.webp"
    assert path.is_file()
    assert running.service.samples.sample(entry, "p05") is None
    path.unlink()
    assert running.service.samples.sample(entry, "p02") is None


def test_what_is_removed_is_kept_aside_and_never_ranked(running: Running) -> None:
    running.build(limit=4)
    beta = running.service.candidates.installed(BETA).identity
    assert running.service.remove([beta, "quick:unknown"]) == 1
    assert running.states() == {ALPHA: "quick", BETA: "none", GAMMA: "quick"}
    titles = [row.candidate.title for row in running.service.answers.rank([drawn(1, 7)]).candidates]
    assert sorted(titles) == ["alpha", "gamma"]
    assert running.moved[-1] == running.service.snapshots.name
    removed = running.library.folder / "removed"
    assert len(list(removed.glob("*.safetensors"))) == 1
    assert len(list(removed.glob("*/*.webp"))) == 4


def test_what_failed_is_tried_again_once_it_was_removed(running: Running) -> None:
    running.host.unloadable[BETA] = "no memory"
    running.build(limit=4)
    running.service.remove([running.service.candidates.installed(BETA).identity])
    assert running.states()[BETA] == "none"


# -- how a query's content is told ----------------------------------------------------------------


def nearest_prompt_by_loops(stack: Stack, query: np.ndarray) -> str:
    """argmax_j cos(z, z̄_j), standardised over all samples, written out.

    In z̄_j each sample counts less what its candidate makes of all its prompts.
    """
    rows, columns = np.nonzero(stack.mask)
    every = np.array([stack.features[m, j] for m, j in zip(rows, columns, strict=True)])
    mean, deviation = every.mean(axis=0), every.std(axis=0)
    cosines = []
    for column in range(len(stack.prompt_ids)):
        own = [
            stack.features[m, column] - stack.features[m][stack.mask[m]].mean(axis=0)
            for m in range(len(stack.mask))
            if stack.mask[m, column]
        ]
        centre = np.mean(own, axis=0) / deviation
        wish = np.mean([(z - mean) / deviation for z in query], axis=0)
        cosines.append(centre @ wish / np.linalg.norm(centre) / np.linalg.norm(wish))
    return stack.prompt_ids[int(np.argmax(cosines))]


@pytest.mark.parametrize("share", [1.0, 0.6])
@pytest.mark.parametrize("images", [1, 3])
def test_the_nearest_prompt_is_the_one_whose_samples_look_most_alike(
    share: float, images: int
) -> None:
    whole = random_stack(candidates=5, prompts=10)
    mask = np.random.default_rng(1).random(whole.mask.shape) < share
    mask[0] = True  # every prompt has a sample
    stack = replace(whole, mask=mask, features=whole.features * mask[:, :, None])
    library = FittedLibrary(stack, Findings())
    noise = np.random.default_rng(2).standard_normal((10, images, 40)) * 15
    queries = (whole.features[1][:, None] + noise).astype(np.float32)
    found = [library.nearest_prompt(query) for query in queries]
    assert found == [nearest_prompt_by_loops(stack, query) for query in queries]
    assert len(set(found)) > 3, "the answer depends on the query"
    assert found != list(stack.prompt_ids), "the queries are not too easy"


def test_a_sample_is_nearest_to_its_own_prompt() -> None:
    stack = random_stack(candidates=5, prompts=10)
    library = FittedLibrary(stack, Findings())
    for column, prompt_id in enumerate(stack.prompt_ids):
        for row in range(5):
            assert library.nearest_prompt(stack.features[row, column : column + 1]) == prompt_id


def test_features_that_never_change_say_nothing_of_the_prompt() -> None:
    stack = random_stack(candidates=3, prompts=6)
    features = stack.features.copy()
    features[:, :, 7] = 3.0
    library = FittedLibrary(replace(stack, features=features), Findings())
    for column, prompt_id in enumerate(stack.prompt_ids):
        assert library.nearest_prompt(features[1, column : column + 1]) == prompt_id


def test_a_prompt_that_only_one_candidate_has_is_not_told_by_its_style() -> None:
    """After a quick pass some checkpoints have 4 samples and others 16."""
    rng = np.random.default_rng(0)
    content, style = rng.standard_normal((12, 40)), 2 * rng.standard_normal((6, 40))
    features = style[:, None] + content[None] + 0.1 * rng.standard_normal((6, 12, 40))
    mask = np.ones((6, 12), bool)
    mask[1:, 4:] = False
    whole = make_stack(features * mask[:, :, None], random_stack().encoder_id, mask=mask)
    library = FittedLibrary(whole, Findings())
    found = [library.nearest_prompt(features[0, j : j + 1].astype(np.float32)) for j in range(4)]
    assert found == list(whole.prompt_ids[:4])


# -- recording ------------------------------------------------------------------------------------


@pytest.fixture
def recorder(running: Running) -> Recorder:
    """Stores samples in the host's library."""
    return running.service.samples.recorder()


def test_an_image_becomes_a_row_with_its_copy_and_its_prompts_embedding(
    running: Running, recorder: Recorder
) -> None:
    candidate = running.service.candidates.installed(ALPHA)
    empty = recorder.empty(candidate, running.host.default_settings(candidate), {"by": "hand"})
    assert running.library.entries() == [], "nothing is stored before the first image"
    prompt = running.service.prompt_set.get("p04")
    added = recorder.add(recorder.begin(empty), prompt, drawn(0, 1004))
    assert (added.prompt_ids, added.seeds, added.rejected) == (("p04",), (1004,), ())
    assert added.provenance == {"by": "hand"}
    expected = words_encoder().encode_texts([prompt.text])[0]
    assert added.prompt_embeddings is not None
    assert np.allclose(added.prompt_embeddings[0], expected, atol=1e-3)
    (entry,) = running.library.entries()
    assert running.service.samples.sample(entry, "p04") is not None


def test_a_broken_image_is_kept_to_be_looked_at_but_never_ranked(
    running: Running, recorder: Recorder
) -> None:
    candidate = running.service.candidates.installed(ALPHA)
    begun = recorder.empty(candidate, running.host.default_settings(candidate))
    prompts = running.service.prompt_set.prompts
    good = recorder.add(begun, prompts[0], drawn(0, 1000))
    bad = recorder.add(good, prompts[1], drawn(BLACK, 1001))
    assert bad.prompt_ids == ("p00",)
    assert [(r.prompt_id, r.seed, r.reason) for r in bad.rejected] == [("p01", 1001, "black")]
    assert bad.done == {"p00", "p01"}
    assert len(list(running.library.samples.folder.glob("*/p01-1001.webp"))) == 1


def test_what_is_stored_is_gone_on_with_under_todays_title(
    running: Running, recorder: Recorder
) -> None:
    candidate = running.service.candidates.installed(ALPHA)
    settings = running.host.default_settings(candidate)
    begun = recorder.empty(candidate, settings)
    recorder.add(begun, running.service.prompt_set.prompts[0], drawn(0, 1000))
    renamed = recorder.begin(recorder.empty(replace(candidate, title="New title"), settings))
    assert (renamed.prompt_ids, renamed.candidate.title) == (("p00",), "New title")
    assert [entry.title for entry in running.library.entries()] == ["New title"]


def test_settings_are_completed_with_the_dialects_negative_and_keep_their_own() -> None:
    prompts = prompt_set()
    quiet = replace(prompts.dialects["natural"], negative="noise")
    prompts = replace(prompts, dialects={"natural": quiet})
    assert completed(GenerationSettings(), prompts).negative == "noise"
    own = GenerationSettings(negative="fog")
    assert completed(own, prompts) == own
    unknown = GenerationSettings(dialect="klingon")
    assert completed(unknown, prompts) == unknown


# -- threads --------------------------------------------------------------------------------------


def at_once(*works: Callable[[], object], seconds: float = 60) -> list[BaseException]:
    """Run all at the same time, each in a thread of its own; what they raised."""
    raised: list[BaseException] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=attempt, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    return raised


def test_people_rank_from_two_threads_while_a_job_runs(running: Running) -> None:
    running.build(limit=4)
    running.builds.start(None, None)
    ended = threading.Event()
    answers: list[str] = []

    def build() -> None:
        try:
            running.queue.run_all()
        finally:
            ended.set()

    def ask() -> None:
        while not ended.wait(0.005):
            answers.append(running.service.answers.rank([drawn(1, 7)]).best.candidate.name)
            json.dumps(running.api.library(), allow_nan=False)
            running.builds.state()

    assert at_once(build, ask, ask) == []
    assert running.queue.errors == []
    assert set(answers) == {BETA}
    assert set(running.states().values()) == {"ready"}


def test_the_first_queries_of_several_threads_fit_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.build(limit=4)
    again = restarted(running)
    fit, fits = snapshots.open_fitted, []

    def counting(*arguments: Any, **named: Any) -> FittedLibrary:
        fits.append(arguments)
        return fit(*arguments, **named)

    monkeypatch.setattr(snapshots, "open_fitted", counting)
    ask = lambda: again.service.answers.rank([drawn(1, 7)])  # noqa: E731
    assert at_once(ask, ask, ask, ask) == []
    assert len(fits) == 1


def test_a_file_that_is_not_this_hosts_has_no_settings(running: Running) -> None:
    with pytest.raises(HostError, match="not installed"):
        running.service.states.settings(Candidate("elsewhere", "quick:0", "elsewhere.safetensors"))


def test_a_checkpoint_added_while_the_host_runs_is_there_at_once(running: Running) -> None:
    assert "new.safetensors" not in running.states()
    write_checkpoint(running.host.models / "new.safetensors", 4)
    assert running.states()["new.safetensors"] == "none"


def test_an_image_that_is_asked_about_again_is_not_encoded_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.build(limit=4)
    encoder = running.service.snapshots.snapshot().identifier.encoder.encoder
    encode, encoded = encoder.encode_images, []

    def counting(images: list[Any]) -> Any:
        encoded.append(len(images))
        return encode(images)

    monkeypatch.setattr(encoder, "encode_images", counting)
    first = running.service.answers.rank([drawn(1, 7), drawn(1, 8)])
    again = running.service.answers.rank([drawn(1, 8), drawn(1, 7)], method="rkme-clip")
    third = running.service.answers.rank([drawn(1, 7), drawn(1, 8), drawn(1, 9), drawn(1, 9)])

    assert encoded == [2, 1]
    assert len(first.candidates) == len(again.candidates) == len(third.candidates)


def test_faces_hear_of_the_first_fit_although_the_name_was_known_before(running: Running) -> None:
    """They may have drawn the library without near-duplicates, which only a fit can tell."""
    running.build(limit=4)
    heard: list[str] = []
    again = start(running.host.models, running.library.folder, on_advance=heard.append)
    name = again.service.snapshots.name

    again.service.snapshots.advance()
    again.service.snapshots.advance()

    assert heard == [name]


# -- hashes that become known ---------------------------------------------------------------------


def known_hash(running: Running, name: str) -> tuple[str, str]:
    """The host finds out a file's whole hash; its identity before and after."""
    before = running.service.candidates.installed(name).identity
    after = f"sha256:{name}"
    identity = running.host.files.identity

    def better(path: Path) -> str:
        found = identity(path)
        return running.host.hashes.get(found, found)

    running.host.hashes[before] = after
    running.host.files.identity = better  # type: ignore[method-assign]
    assert running.service.candidates.installed(name).identity == after
    return before, after


def test_samples_and_settings_follow_a_hash(running: Running) -> None:
    running.build(limit=4)
    quick = running.service.candidates.installed(BETA).identity
    running.host.overrides.set(quick, {"steps": 9})
    running.build([BETA])
    before, after = known_hash(running, BETA)
    assert before == quick

    states = {s.candidate.name: s for s in running.service.states.all()}

    assert (states[BETA].state, states[BETA].edited) == ("ready", True)
    assert states[BETA].settings is not None
    assert states[BETA].settings.steps == 9
    assert states[ALPHA].state == states[GAMMA].state == "quick"
    assert running.service.states.gone() == []
    assert running.host.overrides.get(before) == {}
    assert running.host.overrides.get(after) == {"steps": 9}
    assert running.library.verify().damaged == ()


def test_a_hash_is_followed_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    running.build(limit=4)
    known_hash(running, BETA)
    running.service.candidates.settle()
    monkeypatch.setattr(running.library, "reidentify", None)  # it would not survive a call
    running.service.candidates.settle()
    running.service.snapshots.advance()
    assert running.samples()[BETA] == 4


def test_what_a_running_job_stores_after_a_hash_became_known_follows_as_well(
    running: Running,
) -> None:
    """It goes on under the identity that its checkpoint had when it began."""
    running.build(limit=4)
    before, _ = known_hash(running, BETA)
    (begun,) = [
        s for s in running.library.snapshot().specifications if s.candidate.identity == before
    ]
    running.service.candidates.settle()
    running.library.add(begun)

    running.service.candidates.settle()

    assert before not in {entry.identity for entry in running.library.entries()}
    assert running.samples()[BETA] == 4
    assert running.library.verify().damaged == ()


def test_a_hash_that_two_threads_follow_at_once_is_followed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that finds nothing left to move must not undo what the other has found out."""
    running.build(limit=4)
    running.service.answers.rank([drawn(1, 7)])
    known_hash(running, BETA)
    reidentify, moves = running.library.reidentify, []

    def slowly(old: str, new: str) -> int:
        moved = reidentify(old, new)
        moves.append(moved)
        threading.Event().wait(0.1 if moved else 0.3)  # the one that moved nothing ends last
        return moved

    monkeypatch.setattr(running.library, "reidentify", slowly)
    threads = [threading.Thread(target=running.service.candidates.settle) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ranked = {row.candidate.title for row in running.service.answers.rank([drawn(1, 7)]).candidates}
    assert ranked == {"alpha", "anime/beta", "gamma"}
    assert sum(moves) == 1


def test_a_hash_without_samples_touches_nothing(running: Running) -> None:
    running.build([ALPHA], limit=4)
    files = sorted(running.library.folder.rglob("*.safetensors"))
    known_hash(running, BETA)
    running.service.candidates.settle()
    assert sorted(running.library.folder.rglob("*.safetensors")) == files


def test_a_library_that_cannot_be_written_follows_when_it_can(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.build(limit=4)
    known_hash(running, BETA)

    def full(old: str, new: str) -> int:
        raise LibraryError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(running.library, "reidentify", full)
        with pytest.raises(LibraryError, match="the disk is full"):
            running.service.candidates.settle()
    running.service.candidates.settle()
    assert running.samples()[BETA] == 4


def test_answers_follow_a_hash_with_the_next_snapshot(running: Running) -> None:
    running.build(limit=4)
    known_hash(running, BETA)
    running.service.snapshots.advance()
    ranking = running.service.answers.rank([drawn(1, 77)])
    assert ranking.candidates[0].candidate.identity == f"sha256:{BETA}"
    assert running.service.answers.ranked_checkpoints(ranking)[0][0].name == BETA


# -- the last answer ------------------------------------------------------------------------------


def test_the_last_ranking_is_the_newest_answer(running: Running) -> None:
    assert running.service.answers.last_ranking is None
    with pytest.raises(RankingError):
        running.service.answers.rank([drawn(1, 77)])
    assert running.service.answers.last_ranking is None
    running.build(limit=4)
    first = running.service.answers.rank([drawn(1, 77)])
    second = running.service.answers.rank([drawn(2, 77)])
    assert running.service.answers.last_ranking is second
    assert second is not first
    with pytest.raises(RankingError):
        running.service.answers.rank([drawn(1, 77)], wanted=Filter(pattern="nothing-like-it"))
    assert running.service.answers.last_ranking is second, "a question without an answer is none"


def test_ranked_checkpoints_are_those_that_are_installed_now(running: Running) -> None:
    running.build(limit=4)
    ranking = running.service.answers.rank([drawn(1, 77)])
    rows = running.service.answers.ranked_checkpoints(ranking)
    assert rows[0][0].name == BETA
    assert [row.rank for _, row in rows] == [1, 2, 3]
    (running.host.models / BETA).rename(running.host.models / "renamed.safetensors")
    (running.host.models / ALPHA).unlink()
    names = [candidate.name for candidate, _ in running.service.answers.ranked_checkpoints(ranking)]
    assert names[0] == "renamed.safetensors", "the same file under the name that it has now"
    assert ALPHA not in names
    assert len(names) == 2


def test_of_equal_files_the_first_is_ranked(running: Running) -> None:
    running.install("zeta.safetensors", 1)  # equal to BETA
    running.build(limit=4)
    rows = running.service.answers.ranked_checkpoints(running.service.answers.rank([drawn(1, 77)]))
    assert [candidate.name for candidate, _ in rows].count(BETA) == 1
    assert "zeta.safetensors" not in [candidate.name for candidate, _ in rows]


# -- reading one specification --------------------------------------------------------------------


def test_a_specification_is_read_as_it_is_stored_now(running: Running) -> None:
    running.build(limit=4)
    entry = running.service.states.entries(running.service.candidates.installed(BETA).identity)[0]
    assert running.library.read(entry).prompt_ids == tuple(entry.described["prompt_ids"])
    running.build([BETA])
    assert len(running.library.read(entry).prompt_ids) == 6, "it was extended since"
    path = running.library.specifications_folder / entry.file
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SpecificationError):
        running.library.read(entry)
    path.unlink()
    with pytest.raises(LibraryError, match="its specification is gone"):
        running.library.read(entry)


def test_a_changed_file_under_the_same_name_is_outdated(running: Running) -> None:
    made = make_specification("before", prompts=6)
    known = replace(made.candidate, name=ALPHA)
    prompts = replace(made.prompt_set, hash=running.service.prompt_set.hash)
    running.library.add(replace(made, candidate=known, prompt_set=prompts))

    state = next(s for s in running.service.states.all() if s.candidate.name == ALPHA)

    assert state.state == "outdated"
    assert "has changed" in str(state.reason)
    assert running.builds.missing(state, 4) == 4


def test_what_another_encoder_or_prompt_set_made_is_counted(running: Running) -> None:
    made = make_specification("x", prompts=6)
    for name, encoder in ((ALPHA, f"{TINY}-old"), (BETA, TINY)):
        candidate = CandidateRef.of(running.service.candidates.installed(name))
        running.library.add(replace(made, candidate=candidate, encoder_id=encoder))

    assert running.service.states.superseded() == {"encoder": 1, "prompt set": 1}


def test_a_pack_stands_in_where_nothing_was_built(running: Running) -> None:
    prompts = PromptSetRef("test", "1", running.service.prompt_set.hash, 6)
    gamma = running.service.candidates.installed(GAMMA)
    known = {gamma.identity: f"sha256:{'a' * 64}"}
    running.host.hashed = lambda: known  # type: ignore[method-assign]
    entries = []
    for number, identity in enumerate((known[gamma.identity], f"sha256:{'b' * 64}")):
        made = make_specification(f"packed {number}", prompts=6, seed=number, prompt_set=prompts)
        candidate = replace(made.candidate, identity=identity)
        settings = GenerationSettings(codec=running.service.states.settings(gamma).codec)
        entries.append(replace(made, candidate=candidate, settings=settings))
    file = running.library.folder.parent / "good.gmipack"
    write_pack(file, entries, PackAbout("good", "ann"))
    running.service.states.packs.import_file(file)

    assert {row.identity[-1] for row in running.service.states.packed()} == {"a", "b"}
    assert "prompt set" not in running.service.states.superseded()
    running.service.snapshots.advance()
    assert running.service.snapshots.answering is not None
    ranked = {
        c.identity for c in running.service.snapshots.answering.identifier.library.stack.candidates
    }
    assert ranked == {entry.candidate.identity for entry in entries}


def test_checkpoints_that_only_packs_know_are_named_where_they_are_closer(
    running: Running,
) -> None:
    running.builds.start(None, None)
    running.queue.run_all()
    running.service.snapshots.advance()
    built = running.library.snapshot().specifications
    winner = next(s for s in built if s.candidate.name == BETA)
    stranger = replace(winner.candidate, identity=f"sha256:{'c' * 64}", title="stranger")
    file = running.library.folder.parent / "good.gmipack"
    write_pack(file, [replace(winner, candidate=stranger)], PackAbout("good", "ann"))
    (entry,) = [e for e in running.library.entries() if e.identity == winner.candidate.identity]
    running.library.remove([entry])
    running.service.states.packs.import_file(file)
    running.service.snapshots.advance()

    images = [drawn(1, 3)]
    answer = running.service.answers.answer(images)
    elsewhere = answer.elsewhere

    assert "stranger" not in [row.candidate.title for row in answer.ranking.candidates]
    assert [row.packed.specification.candidate.title for row in elsewhere] == ["stranger"]
    assert elsewhere[0].packed.page is not None
