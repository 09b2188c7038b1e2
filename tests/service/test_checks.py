"""Spot checks as faces ask for them, in a host that runs them at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pack_files import sha256
from standins.host import Running, start

from lib_gmi.base.errors import HostError, RankingError, RequestError
from lib_gmi.library.packs import PackAbout, write_pack
from lib_gmi.ranking import trust

NAMES = ("alpha.safetensors", "beta.safetensors", "gamma.safetensors")


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Alpha and beta are built, and a pack describes gamma."""
    monkeypatch.setattr(trust, "MIN_PROMPTS", 1)
    found = start(tmp_path / "models", tmp_path / "library")
    for style, name in enumerate(NAMES):
        found.install(name, style)
    found.build()
    gamma = found.service.candidates.installed(NAMES[2])
    (made,) = [s for s in found.library.snapshot().specifications if s.candidate.name == gamma.name]
    file = tmp_path / "theirs.gmipack"
    known = replace(made, candidate=replace(made.candidate, identity=sha256(1)))
    write_pack(file, [known], PackAbout("theirs"))
    found.service.remove([gamma.identity])
    found.service.states.packs.import_file(file)
    original = found.host.list_checkpoints
    renamed = {gamma.identity: sha256(1)}  # a host that knows the whole hash
    found.host.list_checkpoints = lambda: [  # type: ignore[method-assign]
        replace(c, identity=renamed.get(c.identity, c.identity)) for c in original()
    ]
    found.service.snapshots.advance()
    return found


def test_a_check_answers_with_what_came_of_it(running: Running) -> None:
    told = []
    running.api.checks.notify = lambda outcome: told.append(outcome["state"])
    outcome = running.api.check_pack({"name": NAMES[2]})
    assert (outcome["state"], outcome["doubtful"]) == ("done", False)
    assert "nothing speaks against the pack" in outcome["sentence"]
    assert running.api.shared()["checks"] == {NAMES[2]: outcome}
    assert told == ["comparing", "done"]


def test_only_what_a_pack_says_can_be_checked(running: Running) -> None:
    for name, reason in ((NAMES[0], "no pack says anything"), ("nobody", "not an installed")):
        with pytest.raises(RankingError, match=reason):
            running.api.check_pack({"name": name})
    with pytest.raises(RequestError, match="'name' must be a text"):
        running.api.check_pack({})
    assert running.api.shared()["checks"] == {}


def test_what_goes_wrong_is_kept_as_a_sentence(running: Running) -> None:
    running.host.unloadable[NAMES[2]] = "is damaged"
    outcome = running.api.check_pack({"name": NAMES[2]})
    assert outcome["state"] == "failed"
    assert "is damaged" in outcome["sentence"]
    del running.host.unloadable[NAMES[2]]
    assert running.api.check_pack({"name": NAMES[2]})["state"] == "done", "it can be asked again"


def test_an_interruption_ends_a_check_and_goes_on_to_the_host(running: Running) -> None:
    class Interruption(BaseException):
        """What hosts raise is theirs to name."""

    def interrupt(name: str) -> None:
        raise Interruption

    running.api.checks.begin = interrupt  # type: ignore[assignment]
    with pytest.raises(Interruption):
        running.api.checks.run(NAMES[2])
    assert running.api.checks.outcomes()[NAMES[2]]["state"] == "failed"


@pytest.mark.parametrize("error", [HostError("Full."), ValueError("a bug")])
def test_trouble_with_the_comparison_is_told(running: Running, error: Exception) -> None:
    def finish() -> trust.SpotCheck:
        raise error

    running.api.checks.begin = lambda name: finish  # type: ignore[method-assign]
    outcome = running.api.check_pack({"name": NAMES[2]})
    assert outcome["state"] == "failed"
    assert outcome["sentence"].endswith(".")
    assert "a bug" not in outcome["sentence"]
