"""How often one request reads the catalogue, the settings and the host's list: by counting."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import picture, words_encoder
from standins.host import Running, drawn, start

from lib_gmi.base.one_reading import OneReading
from lib_gmi.checkpoints.overrides import Overrides
from lib_gmi.library import store
from lib_gmi.library.catalogue import Library
from lib_gmi.library.scan import Scan
from lib_gmi.ranking import fitted, methods
from lib_gmi.records.specification import Specification
from lib_gmi.records.specification_file import from_bytes
from lib_gmi.service import candidates, samples
from lib_gmi.standalone import desktop

NAMES = [f"c{number:02d}.safetensors" for number in range(8)]


@pytest.fixture
def running(tmp_path: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)
    running = start(tmp_path / "models", library_folder)
    for style, name in enumerate(NAMES):
        running.install(name, style)
    running.build(limit=4)
    running.service.snapshots.snapshot()
    return running


class Counts(Counter[str]):
    """Calls of some methods, by name."""

    def watch(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def counted(*args: Any, **known: Any) -> Any:
            self[name] += 1
            return plain(*args, **known)

        monkeypatch.setattr(owner, name, counted)


@pytest.fixture
def counts(running: Running, monkeypatch: pytest.MonkeyPatch) -> Counts:
    counts = Counts()
    counts.watch(monkeypatch, Scan, "_scan")
    counts.watch(monkeypatch, Scan, "look")
    counts.watch(monkeypatch, Overrides, "_checked")
    counts.watch(monkeypatch, running.host, "list_checkpoints")
    return counts


def poll(running: Running) -> None:
    running.api.library()


def rank(running: Running) -> None:
    ranking = running.service.answers.rank([drawn(1, 7)])
    running.api.ranking_json(ranking, 12)


@pytest.mark.parametrize("request_of", [poll, rank])
def test_a_request_reads_everything_once_at_most(
    running: Running, counts: Counts, request_of: Callable[[Running], None]
) -> None:
    request_of(running)
    counts.clear()
    request_of(running)
    assert counts["_scan"] == counts["_parse"] == 0, "nothing has changed"
    assert counts["list_checkpoints"] <= 2
    assert counts["look"] <= 2, "of a ranking, and of what is shown of it"
    name = running.install("new.safetensors", 9)
    running.api.set_settings({"name": name, "settings": {"steps": 9}})
    running.queue.work = lambda job: None
    entry = running.library.entries()[0]
    running.library.remove([entry])
    counts.clear()
    request_of(running)
    assert counts["_scan"] == 1, "something has"
    assert counts["_parse"] <= 1


def test_a_poll_lists_once(running: Running, counts: Counts) -> None:
    poll(running)
    assert (counts["list_checkpoints"], counts["look"]) == (1, 1)


def test_the_models_that_ship_are_parsed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their folder holds no catalogue that could be written."""
    parsed = Counter[str]()

    def counted(data: bytes, name: str = "") -> Specification:
        parsed["specifications"] += 1
        return from_bytes(data, name)

    monkeypatch.setattr(store, "from_bytes", counted)
    found = desktop.of_library(Library(tmp_path / "mine"))
    for _ in range(3):
        assert len(found.api.library()["checkpoints"]) == 63
    assert parsed["specifications"] <= 63


def test_nothing_is_written_beside_the_models_that_ship(tmp_path: Path) -> None:
    found = desktop.of_library(Library(tmp_path / "mine"))
    shipped = found.api.service.library.folder
    before = {path: path.stat().st_mtime_ns for path in shipped.rglob("*")}
    said = found.api.service.descriptions.interrogate([picture(1, 5, side=64)], order=["labels"])
    assert said.prompt is not None
    found.api.set_favourite({"name": found.api.library()["checkpoints"][0]["name"], "marked": True})
    assert found.api.searches.state()["folders"] == []
    assert {path: path.stat().st_mtime_ns for path in shipped.rglob("*")} == before
    mine = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"interrogations.json", "favourites.json"} <= mine


def test_what_was_written_by_this_thread_is_seen_within_its_request(running: Running) -> None:
    library = running.library
    with library.reading():
        entries = library.entries()
        library.remove(entries[:1])
        assert len(library.entries()) == len(entries) - 1


def test_other_threads_do_not_share_a_request() -> None:
    one, read = OneReading[list[int]](), iter(range(10))

    def ask() -> list[int]:
        return one.get(lambda: [next(read)])

    other: list[list[int]] = []
    with one.lasting(), one.lasting():
        assert ask() is ask()
        thread = threading.Thread(target=lambda: other.append(ask()))
        thread.start()
        thread.join()
    assert other == [[1]]
    assert ask() == [2]


def test_settings_that_another_process_wrote_are_seen(running: Running) -> None:
    overrides, identity = (
        running.host.overrides,
        running.service.candidates.installed(NAMES[0]).identity,
    )
    overrides.set(identity, {"steps": 9})
    assert overrides.get(identity) == {"steps": 9}
    Overrides(overrides.path).set(identity, {"steps": 10})
    assert overrides.get(identity) == {"steps": 10}


def test_no_query_fits_in_its_own_thread(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that generates images asks too, and has state that a fit must not meet."""
    where: list[threading.Thread] = []

    def noted(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def noting(*args: Any, **known: Any) -> Any:
            where.append(threading.current_thread())
            return plain(*args, **known)

        monkeypatch.setattr(owner, name, noting)

    noted(fitted, "findings")
    noted(methods.LearnedKernel, "fit_grid")
    noted(methods.RKME, "__init__")
    again = start(running.host.models, running.library.folder)
    again.service.answers.rank([drawn(1, 7)], "a cat")
    assert where, "the first query waits for a fit"
    assert threading.current_thread() not in where
    where.clear()
    for prompt in (None, "a cat"):
        again.service.answers.rank([drawn(2, 8)], prompt)
    assert not where, "and no other does"


def test_a_query_does_not_wait_for_identities_that_changed(running: Running) -> None:
    quick = running.service.candidates.installed(NAMES[1]).identity
    plain, whole = running.host.list_checkpoints, "sha256:" + "ab" * 32
    running.host.hashes = {quick: whole}
    running.host.list_checkpoints = lambda: [  # type: ignore[method-assign]
        *candidates.by_best_identity(plain(), running.host.hashes)
    ]
    answering = running.service.snapshots.answering
    with running.service.snapshots._fitting:  # somebody fits, for minutes
        ranking = running.service.answers.rank([drawn(1, 7)])
        assert running.service.snapshots.answering is answering
        assert running.api.library()["fitting"]
    assert ranking.best.candidate.identity == whole
    assert len(ranking.candidates) == len(NAMES)
    running.service.snapshots.advance()
    assert running.service.answers.rank([drawn(1, 7)]).best.candidate.identity == whole
    assert json.dumps(running.api.library())
