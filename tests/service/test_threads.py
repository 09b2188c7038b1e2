"""Builds, polls, rankings, settings, favourites, packs and hashes at once, and what is left of it.

Every thread works on what is its own; what all of them leave must be what one after the other
leaves. The library, the snapshot, the settings and the list of packs are everybody's.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_encoder, words_encoder
from pack_files import good_pack
from standins.host import Running, drawn, start

from lib_gmi.base.background import Background
from lib_gmi.records.protocols import Candidate
from lib_gmi.service import filters, samples
from lib_gmi.service.worker import WorkerQueue

BUILT = [f"b{style}.safetensors" for style in range(3)]
SET = [f"s{style}.safetensors" for style in range(3, 6)]
STEPS = {name: {"steps": 7 + number} for number, name in enumerate(SET)}


@pytest.fixture(autouse=True)
def _encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)
    tiny_encoder()


def busy_host(folder: Path) -> Running:
    """Six checkpoints, half of them built; jobs run in a thread of ours, fits in another."""
    running = start(
        folder / "models",
        folder / "library",
        background=Background,
        queue_of=lambda host, work: WorkerQueue(work),
    )
    for style, name in enumerate([*BUILT, *SET]):
        running.install(name, style)
    running.builds.start(BUILT, 4)
    settled(running)
    plain = running.host._candidate

    def known(path: Path) -> Candidate:
        found = plain(path)
        return replace(found, identity=running.host.hashes.get(found.identity, found.identity))

    running.host._candidate = known  # type: ignore[method-assign]
    return running


def settled(running: Running) -> None:
    """Until nothing works any more."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        background = running.service.snapshots.advance_soon
        assert isinstance(background, Background)
        if not (
            running.builds.queue.pending() or background.busy or running.service.snapshots.fitting
        ):
            return
        time.sleep(0.02)
    raise AssertionError("it does not end")


class Work:
    """What the threads do; each method does a little, and may be called again and again."""

    def __init__(self, running: Running, pack: Path) -> None:
        self.running, self.api, self.pack = running, running.api, pack
        self.quick = {c.name: c.identity for c in running.host.list_checkpoints()}

    def poll(self) -> None:
        rows = self.api.library()["checkpoints"]
        assert sorted(row["name"] for row in rows) == sorted([*BUILT, *SET])
        json.dumps(rows)

    def rank(self) -> None:
        ranking = self.running.service.answers.rank([drawn(1, 77)])
        answer = self.api.ranking_json(ranking, 12)
        names = {row["name"] for row in answer["candidates"]}
        assert names >= set(BUILT), "what was built never disappears from an answer"
        assert answer["candidates"][0]["name"] == BUILT[1]

    def filtered(self) -> None:
        ranking = self.running.service.answers.rank(
            [drawn(2, 78)], wanted=filters.Filter(pattern="b0,b2")
        )
        assert ranking.best.candidate.title == "b2"

    def build(self) -> None:
        self.api.start_build({"names": BUILT})
        time.sleep(0.02)

    def pause(self) -> None:
        self.api.pause_build({})
        self.api.resume_build({})

    def settings(self, name: str) -> None:
        self.api.set_settings({"name": name, "settings": {"steps": 5}})
        self.api.set_settings({"name": name, "settings": None})
        self.api.set_settings({"name": name, "settings": STEPS[name]})
        identity = self.running.service.candidates.installed(name).identity
        assert self.running.host.overrides.get(identity) == STEPS[name]

    def favourite(self, name: str) -> None:
        self.api.set_favourite({"name": name, "marked": False})
        self.api.set_favourite({"name": name, "marked": True})
        assert name in self.running.service.favourites.names()

    def packs(self) -> None:
        report = self.running.service.states.packs.import_file(self.pack)
        self.running.service.states.packs.remove(report.pack.id)
        self.running.service.states.packs.import_file(self.pack)
        assert len(self.api.packs()) == 1

    def hash(self, number: Any) -> None:
        name = BUILT[next(number) % len(BUILT)]
        whole = f"sha256:{name.encode().hex():0>64}"
        self.running.host.hashes = {**self.running.host.hashes, self.quick[name]: whole}
        self.running.service.candidates.settle()
        time.sleep(0.05)

    def verify(self) -> None:
        assert not self.api.verify({})["damaged"]
        time.sleep(0.05)

    def all(self) -> list[Callable[[], None]]:
        """One for each of sixteen threads."""
        numbers = itertools.count()
        return [
            self.poll,
            self.poll,
            self.rank,
            self.rank,
            self.filtered,
            self.build,
            self.pause,
            *(lambda name=name: self.settings(name) for name in SET),  # type: ignore[misc]
            *(lambda name=name: self.favourite(name) for name in BUILT),  # type: ignore[misc]
            self.packs,
            lambda: self.hash(numbers),
            self.verify,
        ]

    def end(self) -> None:
        """What is left to do, one after the other."""
        for _ in BUILT:
            self.hash(itertools.count(BUILT.index(_)))
        self.running.builds.cancel()
        settled(self.running)
        self.api.start_build({})
        settled(self.running)
        self.running.service.snapshots.advance()


def left(running: Running) -> dict[str, Any]:
    """Everything that a person would miss."""
    specifications = {
        s.candidate.identity: (
            s.settings.to_json(),
            sorted(zip(s.prompt_ids, s.seeds, strict=True)),
        )
        for s in running.library.snapshot().specifications
    }
    states = running.service.states.all()
    # not the identity, which is of what was built, and not the time
    return {
        "specifications": specifications,
        "states": {s.candidate.name: (s.state, s.samples, s.edited) for s in states},
        "settings": json.loads(running.host.overrides.path.read_bytes()),
        "favourites": sorted(running.service.favourites.names()),
        "packs": [pack["id"] for pack in running.api.packs()],
        "build": running.api.build()["state"],
    }


def scores(running: Running) -> dict[str, tuple[float, float | None]]:
    rows = running.service.answers.rank([drawn(4, 79)]).candidates
    return {row.candidate.title: (row.score, row.probability) for row in rows}


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.long)])
def test_sixteen_threads_leave_what_one_after_the_other_leaves(
    tmp_path: Path, library_folder: Path, seconds: float
) -> None:
    pack = tmp_path / "some.gmipack"
    good_pack(pack)
    together = Work(busy_host(tmp_path / "together"), pack)
    errors: list[BaseException] = []
    rounds = [0] * 16
    until = time.monotonic() + seconds

    def repeat(number: int, work: Callable[[], None]) -> None:
        try:
            while not rounds[number] or (time.monotonic() < until and not errors):
                work()
                rounds[number] += 1
        except BaseException as error:
            errors.append(error)
            raise

    everybody = together.all()
    assert len(everybody) == len(rounds)
    threads = [threading.Thread(target=repeat, args=each) for each in enumerate(everybody)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert all(rounds), rounds
    together.end()

    alone = Work(busy_host(tmp_path / "alone"), pack)
    for work in alone.all():
        work()
    alone.end()
    assert left(together.running) == left(alone.running)
    mine, theirs = scores(together.running), scores(alone.running)
    assert mine.keys() == theirs.keys()
    for title, (score, probability) in theirs.items():
        assert np.allclose(mine[title][0], score, rtol=1e-3)
        assert mine[title][1] == pytest.approx(probability, abs=1e-3)
