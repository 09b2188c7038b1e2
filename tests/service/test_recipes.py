"""Workflows that are ranked like checkpoints: built one image at a time, and kept with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import prompt_set, words_encoder
from standins.host import BLACK, Running, drawn, start

from lib_gmi.base import files
from lib_gmi.base.errors import HostError, LibraryError, PromptSetError
from lib_gmi.library.catalogue import Library
from lib_gmi.records.prompts import Dialect, PromptSet
from lib_gmi.records.protocols import RECIPE
from lib_gmi.records.specification import Specification
from lib_gmi.service import recipes, samples
from lib_gmi.service.filters import Filter
from lib_gmi.service.recipes import MAX_GRAPH, MAX_NAME, Workflow

GRAPH = {"3": {"class_type": "KSampler", "inputs": {"model": ["4", 0], "cfg": 7.5, "text": "é猫"}}}
WORKFLOW = Workflow(GRAPH, "first")
OTHER = Workflow({"9": {"class_type": "Other", "inputs": {}}}, "second")


def prompts_with_dialects() -> PromptSet:
    """Six prompts, spoken in two dialects."""
    plain = prompt_set()
    loud = Dialect("natural", "LOUD ", "silence")
    return replace(plain, dialects={**plain.dialects, "loud": loud})


@pytest.fixture
def running(tmp_path: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A host with one checkpoint, and an empty library."""
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)
    running = start(tmp_path / "models", library_folder, prompts_with_dialects())
    running.install("alpha.safetensors", 0)
    return running


def run_workflow(
    running: Running,
    name: str = "mine",
    workflow: Workflow = WORKFLOW,
    style: int | str = 2,
    **options: Any,
) -> Specification:
    """What one run of a workflow does: take a prompt, generate, hand over the image."""
    wanted = recipes.next_prompt(running.service, name, options.pop("dialect", "natural"))
    return recipes.add(running.service, wanted, drawn(style, wanted.seed), workflow, **options)


# -- prompts --------------------------------------------------------------------------------------


def test_every_run_gets_the_next_prompt_that_is_missing_and_the_first_after_all(
    running: Running,
) -> None:
    asked = []
    for _ in range(7):
        asked.append(recipes.next_prompt(running.service, "mine", "natural").prompt.id)
        run_workflow(running)
    assert asked == [*running.service.prompt_set.ids, "p00"]
    (entry,) = running.library.entries()
    assert entry.samples == 6, "the same image twice counts once"


def test_a_prompt_is_worded_in_its_dialect_and_drawn_from_everybodys_noise(
    running: Running,
) -> None:
    found = recipes.next_prompt(running.service, "mine", "loud", "p03")
    assert (found.text, found.negative) == ("LOUD picture number 3", "silence")
    assert (found.recipe, found.seed, found.dialect) == ("mine", 1003, "loud")
    plain = recipes.next_prompt(running.service, "mine", "natural")
    assert (plain.text, plain.negative, plain.seed) == ("picture number 0", "", 1000)


def test_a_prompt_can_be_asked_for_out_of_order(running: Running) -> None:
    wanted = recipes.next_prompt(running.service, "mine", "natural", "p02")
    recipes.add(running.service, wanted, drawn(2, wanted.seed), WORKFLOW)
    assert recipes.next_prompt(running.service, "mine", "natural").prompt.id == "p00"
    for _ in range(2):
        run_workflow(running)
    assert recipes.next_prompt(running.service, "mine", "natural").prompt.id == "p03"


@pytest.mark.parametrize(("prompt_id", "dialect"), [("p99", "natural"), (None, "klingon")])
def test_unknown_prompts_and_dialects_are_named(
    running: Running, prompt_id: str | None, dialect: str
) -> None:
    with pytest.raises(PromptSetError, match=prompt_id or dialect):
        recipes.next_prompt(running.service, "mine", dialect, prompt_id)


def test_a_broken_image_is_not_asked_for_again(running: Running) -> None:
    """The same workflow would make it of the same seed again."""
    run_workflow(running)
    broken = run_workflow(running, style=BLACK)
    assert [r.prompt_id for r in broken.rejected] == ["p01"]
    assert recipes.next_prompt(running.service, "mine", "natural").prompt.id == "p02"
    assert run_workflow(running, style=BLACK).suspect is not None
    assert {
        s.state for s in running.service.states.all() if s.candidate.name == RECIPE + "mine"
    } == {"suspect"}


def test_a_new_prompt_set_begins_the_recipe_anew(running: Running) -> None:
    """A later version of this program words its prompts better; their ids stay."""
    for _ in range(6):
        run_workflow(running)
    reworded = tuple(
        replace(p, texts={"natural": p.text + ", a photo"})
        for p in running.service.prompt_set.prompts
    )
    later = start(
        running.host.models,
        running.library.folder,
        replace(running.service.prompt_set, prompts=reworded),
    )
    asked = []
    for _ in range(3):
        asked.append(recipes.next_prompt(later.service, "mine", "natural").prompt.id)
        run_workflow(later)
    assert asked == ["p00", "p01", "p02"]


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [" mine", "mine ", "\tmine\n"])
def test_names_are_trimmed(running: Running, name: str) -> None:
    run_workflow(running, name)
    assert recipes.next_prompt(running.service, "mine", "natural").prompt.id == "p01"
    assert [entry.title for entry in running.library.entries()] == ["mine"]


def test_spaces_within_a_name_are_one(running: Running) -> None:
    run_workflow(running, "my   own\nflow")
    assert [entry.title for entry in running.library.entries()] == ["my own flow"]
    assert recipes.find(running.service, " my own  flow ") is not None


@pytest.mark.parametrize("name", ["", " ", "\n\t", "x" * (MAX_NAME + 1)])
def test_a_name_that_is_none_is_refused(running: Running, name: str) -> None:
    for act in (
        lambda: recipes.next_prompt(running.service, name, "natural"),
        lambda: recipes.find(running.service, name),
    ):
        with pytest.raises(HostError, match=f"1 to {MAX_NAME} characters"):
            act()
    assert running.library.entries() == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "recipe:x", "x" * MAX_NAME, "猫 é"])
def test_any_other_name_will_do_and_touches_no_other_file(running: Running, name: str) -> None:
    run_workflow(running, name)
    (entry,) = running.library.entries()
    assert (entry.title, entry.identity) == (name, RECIPE + name)
    assert recipes.graph(running.service, RECIPE + name) == GRAPH
    assert len(list(running.library.folder.rglob("*.webp"))) == 1
    assert [candidate.title for candidate in running.service.candidates.recipes()] == [name]


# -- ranking --------------------------------------------------------------------------------------


def test_a_recipe_is_ranked_like_a_checkpoint_once_it_has_four_images(running: Running) -> None:
    running.build()
    for _ in range(3):
        run_workflow(running)
    assert running.states()[RECIPE + "mine"] == "none"
    run_workflow(running)
    assert running.states()[RECIPE + "mine"] == "quick"
    best = running.service.answers.rank([drawn(2, 7)]).best
    assert (best.candidate.title, best.candidate.name) == ("mine", RECIPE + "mine")
    for _ in range(2):
        run_workflow(running)
    assert running.states()[RECIPE + "mine"] == "ready"
    only = running.service.answers.rank([drawn(2, 7)], wanted=Filter("workflow"))
    assert [row.candidate.title for row in only.candidates] == ["mine"]


def test_answers_move_on_when_a_pass_of_the_recipe_ends(running: Running) -> None:
    running.build()
    running.moved.clear()
    counts = []
    for _ in range(6):
        run_workflow(running)
        counts.append(len(running.moved))
    assert counts == [0, 0, 0, 1, 1, 2]
    assert running.moved[-1] == running.service.snapshots.name


def test_a_build_leaves_recipes_to_their_workflows(running: Running) -> None:
    run_workflow(running)
    running.build()
    assert running.builds.state().total == 6
    assert running.samples()[RECIPE + "mine"] == 1


def test_recipes_are_no_files_and_never_gone(running: Running) -> None:
    run_workflow(running)
    assert running.service.states.gone() == []
    states = {s.candidate.name: s for s in running.service.states.all()}
    assert states[RECIPE + "mine"].preset is None
    assert states[RECIPE + "mine"].settings is None
    running.service.remove([RECIPE + "mine"])
    assert RECIPE + "mine" not in running.states()


# -- the workflow itself --------------------------------------------------------------------------


def test_the_workflow_is_kept_in_the_file(running: Running) -> None:
    for _ in range(2):
        run_workflow(running)
    fresh = Library(running.library.folder)
    (specification,) = fresh.snapshot().specifications
    assert specification.provenance == {"workflow": GRAPH}
    again = start(running.host.models, running.library.folder, running.service.prompt_set)
    assert recipes.graph(again.service, RECIPE + "mine") == GRAPH
    assert recipes.graph(again.service, "mine") == GRAPH
    assert recipes.graph(again.service, "theirs") is None


def sized(length: int) -> Mapping[str, Any]:
    """A workflow of so many characters as JSON."""
    empty = {"1": {"class_type": "Text", "inputs": {"text": ""}}}
    text = "x" * (length - len(json.dumps(empty)))
    return {"1": {"class_type": "Text", "inputs": {"text": text}}}


@pytest.mark.parametrize(("length", "kept"), [(MAX_GRAPH, True), (MAX_GRAPH + 1, False)])
def test_a_workflow_that_is_too_large_is_not_kept_and_nothing_else_suffers(
    running: Running, length: int, kept: bool
) -> None:
    workflow = Workflow(sized(length), "large")
    for _ in range(4):
        run_workflow(running, workflow=workflow)
    assert recipes.graph(running.service, "mine") == (workflow.graph if kept else None)
    assert running.samples()[RECIPE + "mine"] == 4


def _nested(depth: int) -> Any:
    return {"deeper": _nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), _nested(60), "caf\udce9", {1, 2}],
    ids=["NaN", "infinite", "deep", "half a character", "no JSON"],
)
def test_a_workflow_that_no_file_can_hold_is_not_kept_and_nothing_else_suffers(
    running: Running, value: Any
) -> None:
    """Widgets of other people's nodes hold anything."""
    workflow = Workflow({"1": {"class_type": "Odd", "inputs": {"value": value}}}, "odd")
    assert len(run_workflow(running, workflow=workflow)) == 1
    assert recipes.graph(running.service, "mine") is None


def test_another_workflow_under_the_same_name_is_refused_and_changes_nothing(
    running: Running,
) -> None:
    run_workflow(running)
    before = [entry.content_hash for entry in running.library.entries()]
    with pytest.raises(HostError, match="start over"):
        run_workflow(running, workflow=OTHER)
    assert [entry.content_hash for entry in running.library.entries()] == before
    run_workflow(running, workflow=Workflow({"other": "graph"}, WORKFLOW.fingerprint))
    assert recipes.graph(running.service, "mine") == GRAPH, "what was kept first is kept"


def test_another_dialect_under_the_same_name_is_refused(running: Running) -> None:
    """One specification cannot hold both, and two would keep asking for the same prompt."""
    run_workflow(running)
    with pytest.raises(HostError, match="start over"):
        run_workflow(running, dialect="loud")
    assert len(running.library.entries()) == 1


def test_starting_over_puts_the_old_specification_aside(running: Running) -> None:
    running.build()
    for _ in range(4):
        run_workflow(running)
    begun = run_workflow(running, workflow=OTHER, start_over=True)
    assert len(begun) == 1
    assert recipes.graph(running.service, "mine") == OTHER.graph
    assert running.samples()[RECIPE + "mine"] == 1
    assert len(list((running.library.folder / "removed").glob("*.safetensors"))) == 1
    run_workflow(running, workflow=OTHER, start_over=True)
    assert running.samples()[RECIPE + "mine"] == 2, "the switch may stay on"


def test_after_starting_over_the_first_prompt_is_asked_for_again(running: Running) -> None:
    for _ in range(3):
        run_workflow(running)
    begun = run_workflow(running, workflow=OTHER, start_over=True)
    assert begun.prompt_ids == ("p03",), "the prompt was handed out before the workflow was known"
    assert recipes.next_prompt(running.service, "mine", "natural").prompt.id == "p00"


def test_what_was_started_over_does_not_answer_any_more(running: Running) -> None:
    running.build()
    for _ in range(4):
        run_workflow(running)
    assert len(running.service.answers.rank([drawn(2, 7)]).candidates) == 2
    run_workflow(running, workflow=OTHER, start_over=True)
    titles = [row.candidate.title for row in running.service.answers.rank([drawn(2, 7)]).candidates]
    assert titles == ["alpha"], "one image of the new workflow is not enough to be ranked"


def test_an_image_that_cannot_be_stored_says_so(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    run_workflow(running)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(LibraryError, match="the disk is full"):
            run_workflow(running)
    assert running.samples()[RECIPE + "mine"] == 1
    assert len(run_workflow(running)) == 2
