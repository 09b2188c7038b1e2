"""Clocks that are set back or tick coarsely, names of all kinds, queries during a build."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_same_specification, make_specification, part_of, picture, words_encoder
from standins.host import Running, start, write_checkpoint

from lib_gmi.base.files import TEMPORARY_PREFIX
from lib_gmi.checkpoints.file_index import FileIndex
from lib_gmi.checkpoints.identity import quick_identity
from lib_gmi.checkpoints.overrides import Overrides
from lib_gmi.library.catalogue import Library
from lib_gmi.library.entries import stem
from lib_gmi.library.favourites import Favourites
from lib_gmi.ranking.results import Ranking
from lib_gmi.records.protocols import Candidate, GenerationRequest
from lib_gmi.service import samples

YEAR = 365 * 86_400.0


@pytest.fixture(autouse=True)
def _words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)


# -- clocks ---------------------------------------------------------------------------------------


class CoarseDrive:
    """Lets every look at a file say what it would on FAT: no inode, times of so many seconds.

    Args:
        patch: undoes it.
        tick: in nanoseconds.
        change_time: whether the time of change in the narrow sense is known.
    """

    def __init__(self, patch: pytest.MonkeyPatch, tick: int, change_time: bool = False) -> None:
        original = Path.stat

        def stat(path: Path, **named: bool) -> os.stat_result:
            status = original(path, **named)
            fields = list(status)
            fields[1] = 0
            changed = status.st_mtime_ns // tick * tick
            narrow = status.st_ctime_ns if change_time else 1
            return os.stat_result(
                fields,
                {
                    "st_mtime": changed / 1e9,
                    "st_mtime_ns": changed,
                    "st_ctime": narrow / 1e9,
                    "st_ctime_ns": narrow,
                    "st_atime_ns": status.st_atime_ns,
                },
            )

        patch.setattr(Path, "stat", stat)


@pytest.mark.parametrize("tick", [10_000_000, 1_000_000_000, 2_000_000_000], ids=str)
def test_a_library_on_a_drive_that_ticks_coarsely_answers_with_what_was_written_last(
    library_folder: Path, monkeypatch: pytest.MonkeyPatch, tick: int
) -> None:
    """Files of equal size within one tick, seen by another process that keeps what it read."""
    CoarseDrive(monkeypatch, tick)
    writer, reader = Library(library_folder), Library(library_folder)
    fingerprints = set()
    for seed in range(6):
        writer.add(make_specification("Alpha", seed=seed))
        (read,) = reader.snapshot().specifications
        assert_same_specification(read, make_specification("Alpha", seed=seed))
        fingerprints.add(reader.fingerprint())
        (read,) = Library(library_folder).snapshot().specifications
        assert_same_specification(read, make_specification("Alpha", seed=seed))
    assert len(fingerprints) == 6


def test_a_clock_that_is_set_back_to_an_earlier_write_hides_no_later_one(
    library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CoarseDrive(monkeypatch, 1)
    writer, reader = Library(library_folder), Library(library_folder)
    replaced = os.replace
    now = time.time()

    def at(moment: float) -> Callable[[object, object], None]:
        def replace_then(source: object, target: object) -> None:
            os.utime(str(source), (moment, moment))
            replaced(str(source), str(target))

        return replace_then

    for seed, moment in enumerate((now, now, now - YEAR, now, now + YEAR, now + YEAR, now)):
        monkeypatch.setattr(os, "replace", at(moment))
        writer.add(make_specification("Alpha", seed=seed))
        (read,) = reader.snapshot().specifications
        assert_same_specification(read, make_specification("Alpha", seed=seed))


@pytest.mark.parametrize(
    "jump",
    [-YEAR, YEAR, -time.time(), 40 * YEAR],
    ids=["a year back", "a year ahead", "to 1970", "40 years ahead"],
)
def test_builds_and_answers_do_not_mind_the_clock(
    tmp_path: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    running = start(tmp_path / "models", library_folder)
    names = [running.install(f"{style}.safetensors", style) for style in range(2)]
    running.build(limit=4)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    running.build()
    assert running.samples() == dict.fromkeys(names, 6)
    assert set(running.states().values()) == {"ready"}
    again = start(tmp_path / "models", library_folder)
    assert again.states() == running.states()
    for name, style in zip(names, range(2), strict=True):
        ranking = again.service.answers.rank([picture(style, 1003), picture(style, 1004)])
        assert again.service.answers.ranked_checkpoints(ranking)[0][0].name == name
    for specification in Library(library_folder).snapshot().specifications:
        assert specification.updated >= 0


def test_fitted_state_is_kept_though_all_others_look_newer(library_folder: Path) -> None:
    library = Library(library_folder)
    future = time.time() + YEAR
    for number in range(20):
        library.write_fitted(f"{number}.json", b"old")
        os.utime(library_folder / "fitted" / f"{number}.json", (future + number,) * 2)
    library.write_fitted("now.json", b"new")
    assert library.read_fitted("now.json") == b"new"
    assert library.read_fitted("19.json") == b"old"
    assert len(list((library_folder / "fitted").iterdir())) < 20


def other_content(path: Path) -> Path:
    """The checkpoint written over with another one of the same size, in place."""
    data = path.read_bytes()
    assert b'"style": "1"' in data
    with path.open("r+b") as file:
        file.write(data.replace(b'"style": "1"', b'"style": "2"'))
    return path


def test_a_checkpoint_written_over_in_place_with_its_old_time_is_read_again(
    tmp_path: Path,
) -> None:
    """Unpacking and copying give files times of long ago; those who merge make equal sizes."""
    if os.name == "nt":
        pytest.skip("Windows does not tell the time of such a change")
    path = write_checkpoint(tmp_path / "a.safetensors", 1)
    os.utime(path, (1_000_000_000,) * 2)
    index = FileIndex(tmp_path / "files.json")
    before = index.identity(path)
    assert index.facts(path).metadata["style"] == "1"
    index.save()
    time.sleep(0.02)  # the clock of the file system ticks
    other_content(path)
    os.utime(path, (1_000_000_000,) * 2)
    for fresh in (index, FileIndex(tmp_path / "files.json")):
        assert fresh.identity(path) == quick_identity(path) != before
        assert fresh.facts(path).metadata["style"] == "2"


def test_a_checkpoint_that_is_still_being_written_within_one_tick_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CoarseDrive(monkeypatch, 2_000_000_000)
    path = write_checkpoint(tmp_path / "a.safetensors", 1)
    moment = path.stat().st_mtime
    monkeypatch.setattr(time, "time", lambda: moment + 1.0)
    index = FileIndex(tmp_path / "files.json")
    assert index.identity(path) == quick_identity(path)
    index.facts(path)
    index.save()
    other_content(path)
    os.utime(path, (moment, moment))
    for fresh in (index, FileIndex(tmp_path / "files.json")):
        assert fresh.identity(path) == quick_identity(path)
        assert fresh.facts(path).metadata["style"] == "2"


def test_a_checkpoint_on_a_drive_that_ticks_coarsely_is_read_once_when_it_has_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CoarseDrive(monkeypatch, 2_000_000_000)
    path = write_checkpoint(tmp_path / "a.safetensors", 1)
    moment = path.stat().st_mtime
    read = []
    monkeypatch.setattr(
        "lib_gmi.checkpoints.file_index.quick_identity",
        lambda path: read.append(path) or quick_identity(path),
    )
    for later in (60.0, -YEAR):
        monkeypatch.setattr(time, "time", lambda later=later: moment + later)
        index = FileIndex(tmp_path / f"{later}.json")
        for _ in range(3):
            index.identity(path)
    assert len(read) == 2, "once for each index"


# -- names ----------------------------------------------------------------------------------------

LONGEST = 255


def long_name(letter: str) -> str:
    """As many bytes as a file name may have."""
    suffix = ".safetensors"
    return letter * ((LONGEST - len(suffix)) // len(letter.encode())) + suffix


NAMES = (
    "emoji 🦊👩🏽‍🎨.safetensors",
    unicodedata.normalize("NFC", "é combined.safetensors"),
    unicodedata.normalize("NFD", "é combined.safetensors"),
    "Z̸̢a̵͝l̷͘g̴̚o̸͠.safetensors",
    "שלום مرحبا\u202e.safetensors",
    "newline\nand\ttab.safetensors",
    "-rf; $(x) `y` 'z' \"w\" <b>&amp;.safetensors",
    "con.safetensors",
    "...safetensors",
    long_name("a"),
    long_name("ж"),
    long_name("🦊"),
)
LINUX = sys.platform == "linux"


@pytest.mark.skipif(not LINUX, reason="elsewhere file systems refuse or change some of these names")
def test_checkpoints_of_any_name_are_built_ranked_edited_marked_and_removed(
    tmp_path: Path, library_folder: Path
) -> None:
    running = start(tmp_path / "models", library_folder, prompts=4)
    for style, name in enumerate(NAMES):
        running.install(name, style)
    running.build()
    assert running.queue.errors == []
    assert running.states() == dict.fromkeys(NAMES, "ready")
    again = start(tmp_path / "models", library_folder, prompts=4)
    for candidate in again.host.list_checkpoints():
        again.service.favourites.set(candidate.name, True)
        again.host.overrides.set(candidate.identity, {"prefix": candidate.name[:99]})
        assert again.host.default_settings(candidate).extra["prefix"] == candidate.name[:99]
        again.host.overrides.set(candidate.identity, None)
    assert Favourites(library_folder / "favourites.json").names() == set(NAMES)
    ranking = again.service.answers.rank([picture(0, 1001), picture(0, 1002)])
    assert {c.name for c, _ in again.service.answers.ranked_checkpoints(ranking)} == set(NAMES)
    identities = [candidate.identity for candidate in again.host.list_checkpoints()]
    assert again.service.remove(identities) == len(NAMES)
    assert set(again.states().values()) == {"none"}
    assert len(list((library_folder / "removed").glob("*.safetensors"))) == len(NAMES)


@pytest.mark.skipif(not LINUX, reason="elsewhere file names are Unicode")
def test_checkpoints_whose_names_are_no_text_stop_nobody_and_can_be_marked(
    tmp_path: Path, library_folder: Path
) -> None:
    odd = os.fsdecode(b"caf\xe9 \xff.safetensors")
    running = start(tmp_path / "models", library_folder, prompts=4)
    for style, name in enumerate((odd, "good.safetensors")):
        running.install(name, style)
    running.build()
    assert running.queue.errors == []
    assert len(running.builds.state().problems) <= 1
    assert running.states()[odd] in ("failed", "ready")
    again = start(tmp_path / "models", library_folder, prompts=4)
    assert again.states()["good.safetensors"] == "ready"
    assert set(again.states()) == {odd, "good.safetensors"}
    assert again.builds.state().state in ("idle", "paused")
    again.service.favourites.set("other", True)
    again.service.favourites.set(odd, True)
    assert Favourites(library_folder / "favourites.json").names() == {"other", odd}
    Favourites(library_folder / "favourites.json").set("other", False)
    assert Favourites(library_folder / "favourites.json").names() == {odd}
    index = FileIndex(library_folder / "files.json")
    path = tmp_path / "models" / odd
    assert index.identity(path) == quick_identity(path)


PROMPT_IDS = (
    "a" * 80,
    "a" * 81,
    "🦊" * 60,
    "é",
    "e\u0301",
    "שלום",
    "con",
    "..",
    "a/b",
    "a\0b",
    "A",
    "a",
    " ",
    "x" * 255,
)


def test_samples_of_prompts_with_any_id_are_kept_and_moved(library_folder: Path) -> None:
    """Files of samples differ even where letters only differ in case, or in how they are coded."""
    library = Library(library_folder)
    several = replace(
        make_specification("Alpha", len(PROMPT_IDS)),
        prompt_ids=PROMPT_IDS,
        text_encoder_id=None,
        prompt_embeddings=None,
    )
    copies = {
        (prompt_id, seed): prompt_id.encode() + b"!"
        for prompt_id, seed in zip(several.prompt_ids, several.seeds, strict=True)
    }
    library.extend(several, copies)
    library.reidentify("sha256:Alpha", "sha256:Better")
    (stored,) = Library(library_folder).snapshot().specifications
    assert stored.prompt_ids == PROMPT_IDS
    names = set()
    for prompt_id, seed in copies:
        path = library.samples.find(stem(stored.key), prompt_id, seed)
        assert path is not None
        assert path.read_bytes() == prompt_id.encode() + b"!"
        assert len(path.name.encode()) + len(TEMPORARY_PREFIX) < LONGEST
        names.add(path.name.casefold())
    assert len(names) == len(PROMPT_IDS)


def test_a_library_in_a_folder_of_any_name(tmp_path: Path) -> None:
    for name in ("🦊 é e\u0301 שלום", "x" * LONGEST, "%s {} \\n"):
        folder = tmp_path / name
        Library(folder).add(make_specification("Alpha"))
        Favourites(folder / "favourites.json").set("a", True)
        Overrides(folder / "settings.json").set("sha256:a", {"steps": 5})
        assert len(Library(folder).snapshot().specifications) == 1
        shutil.rmtree(folder)


# -- queries during a build -----------------------------------------------------------------------


def test_queries_during_a_build_are_answered_from_one_snapshot_each(
    tmp_path: Path, library_folder: Path
) -> None:
    """Two faces in threads, one build; another process' face looks at the same library."""
    running = start(tmp_path / "models", library_folder, prompts=8)
    for style in range(3):
        running.install(f"{style}.safetensors", style)
    running.build(limit=4)
    query = [picture(1, 1001), picture(1, 1002)]
    other = start(tmp_path / "models", library_folder, prompts=8)
    answers: dict[str, set[tuple[tuple[str, float], ...]]] = {}
    errors: list[BaseException] = []
    stop = threading.Event()

    def told(ranking: Ranking) -> tuple[tuple[str, float], ...]:
        return tuple((row.candidate.identity, row.score) for row in ranking.candidates)

    def ask(face: Running) -> None:
        try:
            while not stop.is_set():
                before = face.service.snapshots.snapshot()
                answer = told(face.service.answers.rank(query))
                if face.service.snapshots.snapshot() is before:
                    answers.setdefault(before.name, set()).add(answer)
                face.service.states.all()
                face.builds.state()
        except BaseException as error:
            errors.append(error)

    slow = threading.Event()
    running.host.before_drawing = lambda candidate, request: slow.wait(0.01) and None
    threads = [threading.Thread(target=ask, args=(face,)) for face in (running, running, other)]
    for thread in threads:
        thread.start()
    try:
        running.install("late.safetensors", 3)
        running.build()
        other.service.snapshots.advance()
        running.service.remove([running.service.candidates.installed("0.safetensors").identity])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert running.queue.errors == []
    assert len(answers) >= 3, "answers moved on with the passes"
    assert all(len(told) == 1 for told in answers.values()), "one answer for each snapshot"
    assert set(running.states().values()) == {"ready", "none"}
    stored = Library(library_folder).snapshot()
    assert [len(specification) for specification in stored.specifications] == [8] * 3
    assert all(np.isfinite(s.features).all() for s in stored.specifications)


def test_two_builds_at_once_in_two_processes_make_one_library(
    tmp_path: Path, library_folder: Path
) -> None:
    """Stood in for by two hosts with libraries of their own on one folder, in threads."""
    faces = [start(tmp_path / "models", library_folder, prompts=8) for _ in range(2)]
    for style in range(2):
        faces[0].install(f"{style}.safetensors", style)
    meeting = threading.Barrier(2)
    asked = [0, 0]

    def together(which: int) -> Callable[[Candidate, GenerationRequest], None]:
        def before_drawing(candidate: Candidate, request: GenerationRequest) -> None:
            asked[which] += 1
            if asked[which] <= 10:  # the same image at the same time
                meeting.wait(20)

        return before_drawing

    for which, face in enumerate(faces):
        face.host.before_drawing = together(which)
    threads = [threading.Thread(target=face.build) for face in faces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for face in faces:
        assert face.queue.errors == []
        assert face.samples() == {f"{style}.safetensors": 8 for style in range(2)}
    alone = start(tmp_path / "models", tmp_path / "alone", prompts=8)
    alone.build()
    for specification in Library(tmp_path / "alone").snapshot().specifications:
        stored = Library(library_folder).get(specification.key)
        assert stored is not None
        whole = part_of(stored, specification.prompt_ids)
        assert sorted(whole.seeds) == sorted(specification.seeds)
        order = [whole.prompt_ids.index(p) for p in specification.prompt_ids]
        assert np.array_equal(whole.features[order], specification.features)
