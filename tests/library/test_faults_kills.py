"""A writer that is killed 200 times, and several processes and threads at once on one library.

This file is also the program that the tests start: ``python test_faults_kills.py ROLE FOLDER …``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SOURCE_ROOT, make_specification

from lib_gmi.base import locks
from lib_gmi.base.files import TEMPORARY_PREFIX
from lib_gmi.checkpoints.overrides import Overrides
from lib_gmi.library.catalogue import Library
from lib_gmi.library.entries import stem
from lib_gmi.library.favourites import Favourites
from lib_gmi.library.store import SUFFIX
from lib_gmi.records.specification import CandidateRef, Specification
from lib_gmi.records.specification_file import from_bytes, to_bytes

KILLS = 200
#: Of the writer's candidates; each is known by a quick identity until its whole hash is.
NAMES = ("Alpha", "Beta", "Victim")
QUICK, WHOLE = "quick:", "sha256:"
VICTIM = NAMES[2]
PER_ROUND = 100


def row(name: str, number: int, scheme: str = WHOLE) -> Specification:
    """A specification of one sample; the number decides its features."""
    one = make_specification(name, 1, first_prompt=number, seed=number)
    return replace(one, candidate=CandidateRef(scheme + name, name, name))


def copy_of(name: str, number: int) -> bytes:
    """The kept copy of that sample; a stand-in, of several blocks of a disk."""
    return hashlib.sha256(f"{name} {number}".encode()).digest() * 300


# -- in the other process -------------------------------------------------------------------------


class Writer:
    """Changes a library in every way there is, and tells after each change what is stored now.

    Args:
        folder: of the library.
        turn: numbers of different turns are different.
        tell: takes a line.
    """

    def __init__(self, folder: Path, turn: int, tell: Callable[[str], None]) -> None:
        self.library = Library(folder)
        self.settings = Overrides(folder / "settings.json")
        self.favourites = Favourites(folder / "favourites.json")
        self.numbers = itertools.count(turn * PER_ROUND)
        self.rng = random.Random(turn)
        self.tell = tell

    def work(self) -> None:
        """Some changes in an order of chance."""
        ways = [self.sample] * 10 + [self.edit, self.mark] * 3 + [self.identify] * 2 + [self.remove]
        for _ in range(PER_ROUND // 2):
            self.rng.choice(ways)()

    def sample(self) -> None:
        name, number = self.rng.choice(NAMES), next(self.numbers)
        new = row(name, number, self.rng.choice((QUICK, WHOLE)))
        copies = {(new.prompt_ids[0], new.seeds[0]): copy_of(name, number)}
        self.library.extend(new, copies)
        self.tell(f"sample {name} {number}")

    def edit(self) -> None:
        number = next(self.numbers)
        self.settings.set(WHOLE + NAMES[0], {"cfg": 7.0, "prefix": str(number)})
        self.tell(f"edit {number} -")

    def mark(self) -> None:
        number = next(self.numbers)
        self.favourites.set(str(number), True)
        self.tell(f"mark {number} -")

    def identify(self) -> None:
        name = self.rng.choice(NAMES)
        self.library.reidentify(QUICK + name, WHOLE + name)

    def remove(self) -> None:
        self.library.remove(self.library.find(VICTIM))


def _die_at(point: int, rng: random.Random, folder: Path) -> None:
    """Let this process be killed right before so many operations on files from now.

    Before a file is flushed to the disk its content may be there in part only.
    """
    left = itertools.count(point, -1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link")
        opens = event == "open" and str(folder) in str(arguments[0])
        if (changes or opens) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def fsync(handle: int) -> None:
        if next(left) == 0:
            if os.path.isfile(f"/proc/self/fd/{handle}"):  # noqa: PTH113  a link to what is open
                os.ftruncate(handle, rng.randrange(os.fstat(handle).st_size + 1))
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = fsync
    sys.addaudithook(hook)


def _tell(pipe: int, line: str) -> None:
    os.write(pipe, f"{line}\n".encode())


def kill_writers(folder: Path) -> None:
    """Fork, let the child write, kill it, and print what it told; once for each line of input."""
    os.fsync = lambda handle: None  # the system stays up; kills then hit the other calls, too
    with tempfile.TemporaryDirectory() as elsewhere:
        Writer(Path(elsewhere), 0, lambda line: None).work()  # everything is imported now
    for line in sys.stdin:
        turn = int(line)
        rng = random.Random(turn)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            writer = Writer(folder, turn, lambda told, to=writing: _tell(to, told))
            if turn % 2:
                _die_at(rng.randrange(250), rng, folder)
            _tell(writing, "begun - -")
            writer.work()
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            lines = [told.readline()]
            if turn % 2 == 0:
                time.sleep(rng.uniform(0, 0.05))
                os.kill(child, signal.SIGKILL)
            lines += told.readlines()
        status = os.waitpid(child, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        failed = not killed and status != 0
        print(json.dumps({"told": lines, "killed": killed, "failed": failed}), flush=True)


def extend(folder: Path, start: int, count: int) -> None:
    """Add samples of every candidate in turn; begins with a line of input."""
    library = Library(folder)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(start, start + count):
        name = NAMES[number % len(NAMES)]
        new = row(name, number)
        copies = {(new.prompt_ids[0], new.seeds[0]): copy_of(name, number)}
        library.extend(new, copies)


@contextmanager
def other_process(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """This file as a program."""
    paths = (str(SOURCE_ROOT), str(Path(__file__).parents[1]), *sys.path)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def asked(process: subprocess.Popen[str], line: str) -> str:
    """What a program answers to a line."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline()


# -- killed 200 times -----------------------------------------------------------------------------


class Expected:
    """What the killed writers reported as stored, and where a library has it."""

    def __init__(self) -> None:
        self.samples: list[tuple[str, int]] = []
        self.edited = -1
        self.marked: set[str] = set()

    def note(self, lines: list[str]) -> list[tuple[str, int]]:
        """Take down a writer's whole lines; returns the samples among them."""
        new = []
        for kind, first, second in (line.split() for line in lines if line.endswith("\n")):
            if kind == "sample":
                new.append((first, int(second)))
            elif kind == "edit":
                self.edited = int(first)
            elif kind == "mark":
                self.marked.add(first)
        self.samples += new
        return new

    def check(self, folder: Path, copies_of: list[tuple[str, int]]) -> None:
        """Everything is there and intact, for a process that knows nothing yet."""
        library = Library(folder)
        report = library.verify()
        assert report.damaged == report.unreadable == ()
        snapshot = library.snapshot()
        assert snapshot.excluded == ()
        stored = [*snapshot.specifications, *_removed(folder)]
        rows = {
            (s.candidate.title, seed): features
            for s in stored
            for seed, features in zip(s.seeds, s.features, strict=True)
        }
        for name, number in self.samples:
            assert (name, 1000 + number) in rows, f"{name} {number} is lost"
        for name, number in copies_of:
            assert np.array_equal(rows[name, 1000 + number], row(name, number).features[0])
            found = _copies(folder, name, number)
            assert found, f"the copy of {name} {number} is lost"
            assert all(path.read_bytes() == copy_of(name, number) for path in found)
        edited = int(Overrides(folder / "settings.json").get(WHOLE + NAMES[0]).get("prefix", -1))
        assert edited >= self.edited, "at least the change that was reported last"
        assert self.marked <= Favourites(folder / "favourites.json").names()


def _removed(folder: Path) -> list[Specification]:
    files = (folder / "removed").glob(f"*{SUFFIX}*")
    return [from_bytes(path.read_bytes()) for path in files if path.is_file()]


def _copies(folder: Path, name: str, number: int) -> list[Path]:
    """Wherever a sample may be after moves that were cut short."""
    found = []
    for scheme in (QUICK, WHOLE):
        key = row(name, number, scheme)
        file = Library(folder).samples.path(stem(key.key), key.prompt_ids[0], key.seeds[0])
        removed = (folder / "removed").glob(f"{stem(key.key)}*/{file.name}")
        found += [file, *removed]
    return [path for path in found if path.is_file()]


def temporary_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"{TEMPORARY_PREFIX}*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork, and has no SIGKILL")
def test_a_writer_killed_200_times_loses_nothing_that_it_reported(
    library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 2.0)
    expected = Expected()
    killed = 0
    with other_process("kill-writers", library_folder) as process:
        for turn in range(KILLS):
            answer = json.loads(asked(process, str(turn)))
            assert not answer["failed"], answer
            killed += answer["killed"]
            expected.check(library_folder, expected.note(answer["told"]))
            if turn % 10 == 9:
                # the lock is free, and a write tidies up
                Library(library_folder).extend(row("Checker", turn))
                kept = temporary_files(library_folder)
                assert all(path.parent == library_folder for path in kept), kept
    assert killed > KILLS * 0.75, "the kills hit a writer at work"
    assert len(expected.samples) > 300
    assert len(expected.marked) > 20
    assert expected.edited > 0
    expected.check(library_folder, expected.samples)


def test_what_kills_leave_in_the_librarys_own_folder_is_tidied_up_when_it_is_old(
    library_folder: Path,
) -> None:
    """Young ones may be somebody's who writes just now: not all files there have the same lock."""
    library = Library(library_folder)
    library.add(make_specification("Alpha"))
    old, young = (library_folder / f"{TEMPORARY_PREFIX}{n}" for n in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 100_000,) * 2)
    library.add(make_specification("Beta"))
    assert temporary_files(library_folder) == [young]


def test_what_cannot_be_tidied_up_keeps_nothing_else_from_it(library_folder: Path) -> None:
    library = Library(library_folder)
    library.add(make_specification("Alpha"))
    for number in range(4):
        odd = library.specifications_folder / f"{TEMPORARY_PREFIX}{number}"
        if number < 3:
            odd.mkdir()
        else:
            odd.write_bytes(b"half")
    library.add(make_specification("Beta"))
    assert all(path.is_dir() for path in temporary_files(library_folder))


def test_what_a_kill_left_among_samples_does_not_move_with_them(library_folder: Path) -> None:
    library = Library(library_folder)
    for name in ("Alpha", "Beta"):
        new = row(name, 0, QUICK)
        library.extend(new, {(new.prompt_ids[0], new.seeds[0]): copy_of(name, 0)})
    for folder in library.samples.folder.iterdir():
        (folder / f"{TEMPORARY_PREFIX}left").write_bytes(b"half")
    library.remove(library.find("Alpha"))
    library.reidentify(QUICK + "Beta", WHOLE + "Beta")
    assert temporary_files(library_folder) == []


# -- several at once ------------------------------------------------------------------------------


def fingerprint_of(specifications: tuple[Specification, ...]) -> str:
    """Worked out from the content alone; equal specifications have equal bytes."""
    lines = {stem(s.key) + SUFFIX: hashlib.sha256(to_bytes(s)) for s in specifications}
    text = "".join(f"{name} {lines[name].hexdigest()}\n" for name in sorted(lines))
    return hashlib.sha256(text.encode()).hexdigest()


def test_two_writers_and_a_reader_the_union_is_complete_and_nothing_is_half_read(
    library_folder: Path,
) -> None:
    count = 45
    seen: dict[str, int] = dict.fromkeys(NAMES, 0)
    fingerprints = set()
    with (
        other_process("extend", library_folder, 0, count) as first,
        other_process("extend", library_folder, count, count) as second,
    ):
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        reader = Library(library_folder)
        while first.poll() is None or second.poll() is None:
            snapshot = reader.snapshot()
            assert snapshot.excluded == ()
            assert snapshot.fingerprint == fingerprint_of(snapshot.specifications)
            fingerprints.add(snapshot.fingerprint)
            for specification in snapshot.specifications:
                title = specification.candidate.title
                assert len(specification) >= seen[title], "what was there stays there"
                seen[title] = len(specification)
        assert first.returncode == second.returncode == 0
    assert len(fingerprints) > 5, "the reader saw the library grow"
    library = Library(library_folder)
    for specification in library.snapshot().specifications:
        name = specification.candidate.title
        numbers = [number for number in range(2 * count) if NAMES[number % 3] == name]
        assert sorted(specification.seeds) == [1000 + number for number in numbers]
        for seed, features in zip(specification.seeds, specification.features, strict=True):
            assert np.array_equal(features, row(name, seed - 1000).features[0])
        folder = library.samples.folder / stem(specification.key)
        assert len(list(folder.iterdir())) == len(numbers)
    assert not (library_folder / "damaged").exists()


def test_favourites_of_two_processes_are_all_kept(library_folder: Path) -> None:
    with (
        other_process("mark", library_folder, "a", 60) as first,
        other_process("mark", library_folder, "b", 60) as second,
    ):
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert first.wait(60) == second.wait(60) == 0
    names = Favourites(library_folder / "favourites.json").names()
    assert names == {f"{letter}{number}" for letter in "ab" for number in range(60)}


def mark(folder: Path, letter: str, count: int) -> None:
    """Mark checkpoints; begins with a line of input."""
    favourites = Favourites(folder / "favourites.json")
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(count):
        favourites.set(f"{letter}{number}", True)


def test_threads_that_read_one_library_get_snapshots_that_agree_with_themselves(
    library_folder: Path,
) -> None:
    """One thread may hold an older list of files than another; neither may spoil the other's."""
    library = Library(library_folder)
    stop = threading.Event()
    errors: list[BaseException] = []

    def guarded(work: Callable[[int], None]) -> Callable[[], None]:
        def run() -> None:
            for number in itertools.count():
                if stop.is_set():
                    return
                try:
                    work(number)
                except BaseException as error:
                    errors.append(error)
                    stop.set()

        return run

    def read(number: int) -> None:
        snapshot = library.snapshot()
        assert snapshot.fingerprint == fingerprint_of(snapshot.specifications)

    def write(number: int) -> None:
        name = NAMES[number % len(NAMES)]
        if number % 4 == 3:
            library.remove(library.find(name))
        else:
            library.add(make_specification(name, seed=number))

    def verify(number: int) -> None:
        assert library.verify().damaged == ()
        time.sleep(0.005)

    threads = [threading.Thread(target=guarded(work)) for work in (read, read, write, verify)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        stop.wait(2.5)
        stop.set()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []


def test_a_snapshot_is_named_after_what_it_holds_whatever_another_thread_reads_meanwhile(
    library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(library_folder)
    library.add(make_specification("Alpha", seed=1))
    key = Specification.key.fget
    assert key is not None
    others = [lambda: library.add(make_specification("Alpha", seed=2)), library.snapshot]

    def in_between(specification: Specification) -> str:
        if others and sys._getframe(2).f_code.co_name == "snapshot":
            waiting, others[:] = list(others), []
            other = threading.Thread(target=lambda: [work() for work in waiting])
            other.start()
            other.join()
        return str(key(specification))

    monkeypatch.setattr(Specification, "key", property(in_between))
    snapshot = library.snapshot()
    monkeypatch.undo()
    assert not others, "another thread was in between"
    assert snapshot.fingerprint == fingerprint_of(snapshot.specifications)


def main(role: str, folder: str, *arguments: str) -> None:
    if role == "kill-writers":
        kill_writers(Path(folder))
    elif role == "extend":
        extend(Path(folder), *map(int, arguments))
    elif role == "mark":
        mark(Path(folder), arguments[0], int(arguments[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
