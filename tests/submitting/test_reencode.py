"""A new encoder reads kept samples: nothing is generated again, and nothing of the old is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import OTHER, TINY, make_specification, tiny_encoder, words_encoder
from standins.host import Running, start

from lib_gmi.base.errors import LibraryError
from lib_gmi.cli.main import main
from lib_gmi.encoders import load
from lib_gmi.library import samples
from lib_gmi.library.catalogue import Library
from lib_gmi.service import builds
from lib_gmi.submitting import reencode

ALPHA, BETA = "alpha.safetensors", "beta.safetensors"


@pytest.fixture
def running(tmp_path: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Two checkpoints with all their six samples, by one encoder."""
    monkeypatch.setattr("lib_gmi.service.samples.optional_text_encoder", words_encoder)
    running = start(tmp_path / "models", library_folder)
    for style, name in enumerate((ALPHA, BETA)):
        running.install(name, style)
    running.build()
    running.host.asked.clear()
    return running


def with_other_encoder(running: Running) -> Running:
    """The same host after its user chose another encoder."""
    other = OTHER.partition("@")[0]
    return start(running.host.models, running.library.folder, encoder=other)


def of(library: Library, encoder_id: str) -> dict[str, np.ndarray]:
    """Features by title and prompt."""
    return {
        f"{s.candidate.title} {prompt}": row
        for s in library.snapshot().specifications
        if s.encoder_id == encoder_id
        for prompt, row in zip(s.prompt_ids, s.features, strict=True)
    }


def test_a_build_with_another_encoder_generates_nothing_that_is_kept(running: Running) -> None:
    again = with_other_encoder(running)
    assert again.service.states.superseded() == {"encoder": 2}
    assert again.service.samples.kept_by_others() == 2
    again.build()
    assert again.host.asked == []
    assert again.samples() == {ALPHA: 6, BETA: 6}
    assert again.service.samples.kept_by_others() == 0
    # the two encoders of the tests compute the same: what was generated and what was read again
    # must not differ in a single bit
    old, new = of(again.library, TINY), of(again.library, OTHER)
    assert old.keys() == new.keys()
    assert len(old) == 12
    assert all(np.array_equal(old[key], new[key]) for key in old)


def test_the_build_counts_only_what_has_to_be_generated(running: Running) -> None:
    again = with_other_encoder(running)
    lost = next(iter((again.library.folder / "samples").glob("*/p03-*.webp")))
    lost.unlink()
    again.build()
    assert [prompt for _, prompt in again.host.asked] == ["p03"]
    state = again.told[-1]
    assert (state.state, state.done, state.total) == (builds.IDLE, 1, 1)
    assert again.samples() == {ALPHA: 6, BETA: 6}


def test_prompts_and_pictures_come_along(running: Running) -> None:
    again = with_other_encoder(running)
    again.build()
    for state in again.service.states.all():
        assert state.shown is not None
        assert state.shown.encoder_id == OTHER
        assert again.service.samples.sample(state.shown, "p02") is not None
        assert again.library.read(state.shown).prompt_embeddings is not None


def test_shared_pictures_take_their_room_once(running: Running) -> None:
    store = running.library.samples
    before = store.size()
    with_other_encoder(running).build()
    files = list(store.folder.glob("*/*.webp"))
    assert len(files) == 24
    assert store.size() == before == sum(f.stat().st_size for f in files) // 2


def test_where_no_links_are_possible_pictures_are_copied(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError("this drive has no links")

    monkeypatch.setattr(os, "link", refuse)
    again = with_other_encoder(running)
    again.build()
    assert again.host.asked == []
    assert len(list(again.library.samples.folder.glob("*/*.webp"))) == 24


def test_removing_the_old_specification_keeps_the_new_one_whole(running: Running) -> None:
    again = with_other_encoder(running)
    again.build()
    old = [entry for entry in again.library.entries() if entry.encoder_id == TINY]
    again.library.remove(old)
    for state in again.service.states.all():
        assert state.shown is not None
        path = again.service.samples.sample(state.shown, "p00")
        assert path is not None
        assert path.read_bytes()[:4] == b"RIFF"


def test_an_interrupted_run_keeps_what_it_has_and_goes_on(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencode, "_AT_ONCE", 2)
    library, encoder = running.library, load(OTHER)
    asked = iter([False, False, True, True])
    chosen = reencode.waiting(library, OTHER)
    done = list(reencode.reencode(library, encoder, chosen, interrupted=lambda: next(asked)))
    assert [row.samples for row in done] == [2]
    assert len(of(library, OTHER)) == 2
    rest = reencode.waiting(library, OTHER)
    assert sum(len(each.rows) for each in rest) == 10
    list(reencode.reencode(library, encoder, rest))
    assert reencode.waiting(library, OTHER) == []
    assert len(of(library, OTHER)) == 12


def test_progress_counts_samples(running: Running) -> None:
    told: list[tuple[int, int]] = []

    class Told:
        def update(self, done: int, total: int, message: str = "") -> None:
            told.append((done, total))

    chosen = reencode.waiting(running.library, OTHER)
    list(reencode.reencode(running.library, load(OTHER), chosen, Told()))
    assert told == [(6, 12), (12, 12)]


def test_a_damaged_copy_is_named_as_missing(running: Running) -> None:
    damaged = next(iter((running.library.folder / "samples").glob("*/p01-*.webp")))
    damaged.write_bytes(b"RIFF, and then nothing")
    chosen = reencode.waiting(running.library, OTHER)
    done = list(reencode.reencode(running.library, load(OTHER), chosen))
    assert sorted((row.samples, row.missing) for row in done) == [(5, 1), (6, 0)]


def test_samples_that_were_never_kept_are_nobodys(library_folder: Path) -> None:
    library = Library(library_folder)
    library.add(make_specification())
    assert reencode.waiting(library, OTHER) == []


def test_the_same_encoder_has_nothing_to_read(running: Running) -> None:
    assert reencode.waiting(running.library, tiny_encoder().id) == []


def test_the_command_reads_what_it_is_told_to(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--library", str(running.library.folder), "--encoder", "test/other"]
    assert main(["library", "reencode", "alpha", *options, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["encoder"] == OTHER
    assert printed["specifications"] == [{"title": "alpha", "samples": 6, "missing": 0}]
    assert main(["library", "reencode", *options]) == 0
    assert "beta: 6 samples" in capsys.readouterr().out
    assert main(["library", "reencode", *options]) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert main(["library", "reencode", "nobody", *options]) == 2
    assert "'nobody' is not in the library" in capsys.readouterr().err


def test_a_library_keeps_no_more_pictures_than_its_limit(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = running.library.samples
    assert store.has_room(0)
    assert store.has_room(1)
    monkeypatch.setattr(samples.SampleStore, "size", lambda self: 1 << 20)
    assert not store.has_room(1)
    assert store.has_room(2)
    for text, limit in (("", 0), ("250", 250), ("many", 0), ("-1", 0)):
        monkeypatch.setenv(samples.LIMIT_VARIABLE, text)
        assert samples.limit_from_environment() == limit


def test_a_sample_that_is_not_there_cannot_be_shared(running: Running) -> None:
    with pytest.raises(LibraryError, match="cannot be read"):
        running.library.samples.share("0" * 32, "1" * 32, "p00", 1)
