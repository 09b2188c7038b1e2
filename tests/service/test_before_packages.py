"""What the version before ``lib_gmi`` became packages wrote, read by this one.

``tests/data/before_packages`` holds what that version's own code stored for the stand-in host:
checkpoints, a library with a pack, a recipe, what was removed, settings, favourites, a build under
way and an indexed folder; and in ``expected.json`` what it said of them after a restart.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import words_encoder
from standins.host import Running, drawn, start

from lib_gmi.encoders import load_joint
from lib_gmi.library.catalogue import Library
from lib_gmi.search.folder_images import FolderImages
from lib_gmi.search.index import FolderIndex
from lib_gmi.service import recipes

BEFORE = Path(__file__).resolve().parents[1] / "data" / "before_packages"
EXPECTED: dict[str, Any] = json.loads((BEFORE / "expected.json").read_bytes())
#: Images of this folder were indexed. It is not here, as on a drive that is not plugged in.
PICTURES = Path("/home/somebody/pictures")


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """The host, started on copies of what was stored."""
    monkeypatch.setattr("lib_gmi.service.samples.optional_text_encoder", words_encoder)
    for name in ("models", "library"):
        shutil.copytree(BEFORE / name, tmp_path / name, copy_function=shutil.copy)
    return start(tmp_path / "models", tmp_path / "library")


def test_every_checkpoint_has_the_state_and_the_settings_it_had(running: Running) -> None:
    states = running.service.states.all()
    found = {s.candidate.name: [s.state, s.samples, s.edited] for s in states}
    assert found == EXPECTED["states"]
    settings = {s.candidate.name: s.settings.to_json() for s in states if s.settings is not None}
    assert settings == EXPECTED["settings"]


def test_the_same_query_gets_the_same_ranking(running: Running) -> None:
    ranking = running.service.answers.rank([drawn(1, 3)])
    assert ranking.method == EXPECTED["method"]
    identities, scores, probabilities = zip(*EXPECTED["ranking"], strict=True)
    assert [row.candidate.identity for row in ranking.candidates] == list(identities)
    assert [row.score for row in ranking.candidates] == pytest.approx(scores, rel=1e-4)
    assert [row.probability for row in ranking.candidates] == pytest.approx(probabilities, rel=1e-2)


def test_every_sample_has_its_picture(running: Running) -> None:
    entries = running.library.entries()
    sample = running.service.samples.sample
    found = {
        entry.title: sorted(id_ for id_ in entry.described["prompt_ids"] if sample(entry, id_))
        for entry in entries
    }
    assert found == EXPECTED["samples"]


def test_favourites_recipes_and_the_build_under_way_are_there(running: Running) -> None:
    service = running.service
    assert sorted(service.favourites.names()) == EXPECTED["favourites"]
    assert recipes.graph(service, "mine") == EXPECTED["recipe"]
    state = running.builds.state()
    found = {"state": state.state, "total": state.total, "done": state.done}
    assert found == EXPECTED["build"]


def test_the_build_under_way_is_finished(running: Running) -> None:
    running.builds.resume()
    running.queue.run_all()
    assert running.samples()["gamma.safetensors"] == 6


def test_packs_are_there_and_their_file_can_be_imported_again(running: Running) -> None:
    assert sorted(row.identity for row in running.service.states.packed()) == EXPECTED["packed"]
    assert [pack["title"] for pack in running.api.packs()] == EXPECTED["packs"]
    name = running.api.packs()[0]["id"]
    running.service.states.packs.remove(name)
    assert running.service.states.packed() == []
    running.service.states.packs.import_file(BEFORE / "good.gmipack")
    assert sorted(row.identity for row in running.service.states.packed()) == EXPECTED["packed"]


def test_what_was_removed_is_still_set_aside(running: Running) -> None:
    running.service.snapshots.advance()  # which deletes what has been there for long
    kept = (running.library.folder / "removed").rglob("*")
    assert sorted(path.name for path in kept if path.is_file()) == EXPECTED["removed"]


def test_an_indexed_folder_is_searched_without_being_read_again(running: Running) -> None:
    joint = load_joint("labels/conse-efficientnet-lite0")
    opened = FolderImages(FolderIndex(running.library.folder, PICTURES, joint.id, joint.dim))
    found = [str(PICTURES / row["path"]) for row in opened.descriptions()]
    assert found == EXPECTED["indexed"]


def test_nothing_of_it_is_damaged_and_nothing_is_written_anew(running: Running) -> None:
    """Sizes included: whoever goes back to the version before finds its files."""
    stored = running.library.folder / "specifications"
    before = {path.name: path.read_bytes() for path in stored.iterdir()}
    assert running.library.verify().damaged == ()
    running.service.snapshots.advance()
    assert {path.name: path.read_bytes() for path in stored.iterdir()} == before


def test_a_specification_that_is_stored_again_has_the_bytes_it_had(
    running: Running, tmp_path: Path
) -> None:
    copy = Library(tmp_path / "copy")
    for specification in running.library.snapshot().specifications:
        copy.add(specification)
    for path in (copy.folder / "specifications").iterdir():
        assert path.read_bytes() == (BEFORE / "library/specifications" / path.name).read_bytes()
