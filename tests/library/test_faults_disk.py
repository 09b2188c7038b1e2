"""Full disks, folders that cannot be written, drives that rename in steps: nothing is lost.

This file is also a program for limits that a process can only set for itself:
``python test_faults_disk.py FOLDER``.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import (
    SOURCE_ROOT,
    TINY,
    assert_same_specification,
    make_specification,
    part_of,
    prompt_set,
)
from standins.host import StandInHost, write_checkpoint

from lib_gmi.base import json_file
from lib_gmi.base.errors import GMIError, LibraryError
from lib_gmi.base.files import TEMPORARY_PREFIX
from lib_gmi.checkpoints.file_index import FileIndex
from lib_gmi.checkpoints.identity import quick_identity
from lib_gmi.checkpoints.overrides import Overrides
from lib_gmi.library import store as library_module
from lib_gmi.library.catalogue import Library
from lib_gmi.library.entries import stem
from lib_gmi.library.favourites import Favourites
from lib_gmi.records.specification import Specification
from lib_gmi.records.specification_file import to_bytes
from lib_gmi.service.service import Service

COPY = b"a stand-in for a picture" * 400


@pytest.fixture
def library(library_folder: Path) -> Library:
    """A library of Alpha and Beta with four samples each."""
    library = Library(library_folder)
    for number, title in enumerate(("Alpha", "Beta")):
        library.add(make_specification(title, seed=number))
    return library


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but locks and what is only a cache."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and not p.name.endswith("lock") and p.name != "catalogue.json"
    }


def one_sentence(error: GMIError, *parts: str) -> str:
    """An error's message: for people, with these parts."""
    message = str(error)
    assert "\n" not in message
    assert message.endswith(".")
    assert "Errno" not in message
    assert all(part in message for part in parts), message
    return message


def file_of(library: Library, title: str) -> Path:
    return library.specifications_folder / library.find(title)[0].file


# -- a disk that is really full -------------------------------------------------------------------


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here; the test with RLIMIT_FSIZE is run")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(library: Library, title: str = "Alpha", start: int = 0) -> tuple[Specification, str]:
    """Add samples until it fails; what was stored then, and the message."""
    stored = make_specification(title, 0, dim=3000)
    for number in range(start, start + 400):
        new = make_specification(title, 1, first_prompt=number, seed=number, dim=3000)
        copies = {(new.prompt_ids[0], new.seeds[0]): COPY}
        try:
            stored = library.extend(new, copies)
        except LibraryError as error:
            return stored, one_sentence(error, str(library.folder))
    raise AssertionError("the disk was never full")


def intact(folder: Path, expected: Specification) -> None:
    """A fresh look finds this specification with all samples that belong to it."""
    library = Library(folder)
    report = library.verify()
    assert report.damaged == report.unreadable == ()
    stored = library.get(expected.key)
    assert stored is not None
    assert_same_specification(stored, expected)
    for prompt_id, seed in zip(stored.prompt_ids, stored.seeds, strict=True):
        path = library.samples.find(stem(stored.key), prompt_id, seed)
        assert path is not None
        assert path.read_bytes() == COPY
    assert not list(folder.rglob(TEMPORARY_PREFIX + "*"))


def test_a_full_disk_of_one_megabyte_costs_only_what_did_not_fit(mounted: Path) -> None:
    folder = mounted / "library"
    ballast = mounted / "ballast"
    ballast.write_bytes(bytes(300_000))
    library = Library(folder)
    stored, message = fill(library)
    assert "the disk is full" in message
    assert len(stored) > 5
    ballast.write_bytes(bytes(shutil.disk_usage(mounted).free + 300_000))  # to the last byte
    intact(folder, stored)
    for write in (
        lambda: Favourites(folder / "favourites.json").set("a", True),
        lambda: Overrides(folder / "settings.json").set("sha256:a", {"steps": 5}),
        lambda: library.extend(make_specification("Alpha", 1, first_prompt=399, dim=3000)),
        lambda: library.add(make_specification("Beta", 60, dim=3000)),
    ):
        with pytest.raises(LibraryError) as caught:
            write()
        one_sentence(caught.value, str(folder), "the disk is full")
    intact(folder, stored)
    # everything that needs no room works, in a new process too
    assert [entry.title for entry in Library(folder).entries()] == ["Alpha"]
    assert len(Library(folder).snapshot().specifications) == 1
    ballast.unlink()
    more, _ = fill(Library(folder), start=300)
    assert set(stored.prompt_ids) < set(more.prompt_ids)
    intact(folder, more)


def test_a_damaged_file_on_a_full_disk_stops_nobody(mounted: Path) -> None:
    folder = mounted / "library"
    library = Library(folder)
    for title in ("Alpha", "Beta"):
        library.add(make_specification(title))
    path = file_of(library, "Alpha")
    path.write_bytes(b"damaged")
    with pytest.raises(OSError, match="space"):
        (mounted / "ballast").write_bytes(bytes(2 << 20))
    snapshot = Library(folder).snapshot()
    assert [s.candidate.title for s in snapshot.specifications] == ["Beta"]
    assert len(snapshot.excluded) == 1
    kept = [path, folder / "damaged" / path.name]
    assert [p.read_bytes() for p in kept if p.exists()] == [b"damaged"]


LIMIT = 60_000


def limited(folder: Path) -> None:
    """The same with a limit to the size of files, which needs no rights."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    stored, message = fill(Library(folder))
    assert os.strerror(errno.EFBIG) in message
    assert len(stored) > 5
    intact(folder, stored)
    print(len(stored), flush=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no RLIMIT_FSIZE")
def test_a_limit_to_the_size_of_files_costs_only_what_did_not_fit_rlimit_fsize(
    library_folder: Path,
) -> None:
    paths = (str(SOURCE_ROOT), str(Path(__file__).parents[1]), *sys.path)
    done = subprocess.run(
        [sys.executable, __file__, str(library_folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=True,
        stdout=subprocess.PIPE,
        timeout=60,
    )
    count = int(done.stdout)
    stored = Library(library_folder).snapshot().specifications[0]
    assert len(stored) == count
    library = Library(library_folder)
    union = library.extend(make_specification("Alpha", 5, first_prompt=500, dim=3000))
    assert len(union) == count + 5, "without the limit it goes on"


# -- every call that can fail ---------------------------------------------------------------------


class FailingFile:
    """An open file, one of whose calls fails; of what is written the first half may arrive."""

    def __init__(self, file: Any, call: str, code: int, half: bool) -> None:
        self._file, self._call, self._code, self._half = file, call, code, half

    def __enter__(self) -> FailingFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        if self._call == "write":
            if self._half:
                self._file.write(data[: len(data) // 2])
                self._file.flush()
            raise OSError(self._code, os.strerror(self._code))
        return int(self._file.write(data))

    def flush(self) -> None:
        if self._call == "flush":
            raise OSError(self._code, os.strerror(self._code))
        self._file.flush()

    def fileno(self) -> int:
        return int(self._file.fileno())


def fail_at(patch: pytest.MonkeyPatch, call: str, code: int, skip: int = 0) -> None:
    """Let one call of :mod:`lib_gmi.base.files` fail, after so many that do not."""
    left = [skip]

    def due() -> bool:
        left[0] -= 1
        return left[0] < 0

    def failing(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            if due():
                raise OSError(code, os.strerror(code))
            return original(*arguments, **named)

        return run

    if call in ("replace", "fsync", "mkdir"):
        patch.setattr(os, call, failing(getattr(os, call)))
        return
    opened = Path.open

    def open_path(self: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if not self.name.startswith(TEMPORARY_PREFIX) or "x" not in mode or not due():
            return opened(self, mode, *arguments, **named)
        if call == "open":
            raise OSError(code, os.strerror(code))
        return FailingFile(opened(self, mode), call.split(maxsplit=1)[0], code, "half" in call)

    patch.setattr(Path, "open", open_path)


CALLS = ("open", "write", "write half", "flush", "fsync", "replace")


def _sample(library: Library) -> None:
    new = make_specification("Beta", 1, first_prompt=4, seed=9)
    library.extend(new, {("p04", 1004): COPY})


def _mark(library: Library) -> None:
    Favourites(library.folder / "favourites.json").set("new", True)


def _edit(library: Library) -> None:
    Overrides(library.folder / "settings.json").set("sha256:new", {"steps": 5})


@pytest.mark.parametrize(("code", "said"), [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "uota")])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("change", "skip"),
    [
        pytest.param(_sample, 0, id="copy of a sample"),
        pytest.param(_sample, 1, id="row of a sample"),
        pytest.param(_mark, 0, id="favourite"),
        pytest.param(_edit, 0, id="settings"),
    ],
)
def test_a_disk_that_is_full_in_the_middle_of_a_call_changes_nothing_that_was_stored(
    library: Library,
    change: Callable[[Library], None],
    skip: int,
    call: str,
    code: int,
    said: str,
) -> None:
    Favourites(library.folder / "favourites.json").set("old", True)
    Overrides(library.folder / "settings.json").set("sha256:old", {"steps": 4})
    library.entries()
    before = contents(library.folder)
    with pytest.MonkeyPatch.context() as patch:
        # a file is flushed once and its folder once
        fail_at(patch, call, code, skip * 2 if call == "fsync" else skip)
        with pytest.raises(LibraryError) as caught:
            change(library)
    one_sentence(caught.value, str(library.folder), said, "unchanged")
    after = contents(library.folder)
    new = {name for name in after if name not in before}
    assert len(new) == skip, "a copy without its row is harmless"
    assert {name: after[name] for name in before} == before
    change(library)
    assert contents(library.folder) != before, "and it goes on"


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ESTALE])
@pytest.mark.parametrize("call", ["mkdir", *CALLS])
def test_a_first_write_that_fails_names_the_place(
    library_folder: Path, call: str, code: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fail_at(patch, call, code)
        with pytest.raises(LibraryError) as caught:
            Library(library_folder).add(make_specification("Alpha"))
    one_sentence(caught.value, str(library_folder))
    assert not list(library_folder.rglob("*.safetensors"))
    Library(library_folder).add(make_specification("Alpha"))


# -- folders that cannot be written ---------------------------------------------------------------


def _refuse(patch: pytest.MonkeyPatch, folder: Path, code: int) -> None:
    """Let everything below a folder be read and nothing be changed, also for the superuser."""

    def below(path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and str(path).startswith(str(folder))

    def refuse(path: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    def refusing(original: Callable[..., Any]) -> Callable[..., Any]:
        def change(*paths: Any, **named: Any) -> Any:
            return refuse(paths[0]) if any(map(below, paths)) else original(*paths, **named)

        return change

    for name in ("replace", "rename", "mkdir", "unlink", "rmdir", "utime", "link", "truncate"):
        patch.setattr(os, name, refusing(getattr(os, name)))
    opened, opened_low = io.open, os.open

    def open_file(path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if below(path) and set(mode) & set("wxa+"):
            refuse(path)
        return opened(path, mode, *arguments, **named)

    def open_low(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if below(path) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(path)
        return opened_low(path, flags, *arguments, **named)

    patch.setattr(io, "open", open_file)
    patch.setattr(builtins, "open", open_file)
    patch.setattr(os, "open", open_low)


def _remounted(folder: Path, mode: str) -> None:
    mount = shutil.which("mount") or "mount"
    subprocess.run([mount, "-o", f"remount,{mode}", str(folder)], check=True)


@pytest.fixture(params=["remounted", "EACCES", "EROFS"])
def writable_until(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, Callable[[], None], Callable[[], None]]]:
    """A folder, and what makes it read-only and writable again."""
    if request.param == "remounted":
        folder = request.getfixturevalue("mounted")
        yield folder, lambda: _remounted(folder, "ro"), lambda: _remounted(folder, "rw")
        return
    folder = tmp_path / "drive"
    folder.mkdir()
    code = getattr(errno, request.param)
    yield folder, lambda: _refuse(monkeypatch, folder, code), monkeypatch.undo


def test_a_library_in_a_read_only_folder_is_read_and_says_why_it_is_not_written(
    writable_until: tuple[Path, Callable[[], None], Callable[[], None]],
) -> None:
    drive, lock_up, open_up = writable_until
    folder = drive / "library"
    library = Library(folder)
    for title in ("Alpha", "Beta", "Gamma"):
        library.add(make_specification(title))
    Favourites(folder / "favourites.json").set("old", True)
    Overrides(folder / "settings.json").set("sha256:old", {"steps": 4})
    file_of(library, "Gamma").write_bytes(b"damaged")
    (folder / "catalogue.json").unlink()
    models = drive / "models"
    model = write_checkpoint(models / "alpha.safetensors", 1)
    (drive / "library" / "settings.json").chmod(0o644)
    before = contents(drive)
    lock_up()
    try:
        for fresh in (Library(folder), Library(folder, read_only=True)):
            assert [entry.title for entry in fresh.entries()] == ["Alpha", "Beta"]
            snapshot = fresh.snapshot()
            assert [s.candidate.title for s in snapshot.specifications] == ["Alpha", "Beta"]
            assert len(snapshot.excluded) == 1
            assert len(fresh.verify().damaged) == 1
            assert fresh.get(make_specification("Gamma").key) is None
            fresh.write_fitted("a.json", b"{}")
            assert fresh.read_fitted("a.json") is None
        assert Favourites(folder / "favourites.json").names() == {"old"}
        assert Overrides(folder / "settings.json").get("sha256:old") == {"steps": 4}
        index = FileIndex(folder / "files.json")
        assert index.identity(model) == quick_identity(model)
        index.save()
        service = Service(StandInHost(models, folder), Library(folder), prompt_set(), TINY)
        assert [state.state for state in service.states.all()] == ["none"]
        fresh = Library(folder)
        for change in (
            lambda: fresh.add(make_specification("Delta")),
            lambda: _sample(fresh),
            lambda: fresh.remove(fresh.find("Alpha")),
            lambda: fresh.reidentify("sha256:Alpha", "sha256:New"),
            lambda: _mark(fresh),
            lambda: _edit(fresh),
        ):
            with pytest.raises(GMIError) as caught:
                change()
            one_sentence(caught.value, str(folder))
    finally:
        open_up()
    assert contents(drive) == before
    library = Library(folder)
    library.add(make_specification("Delta"))
    _mark(library)
    _edit(library)
    assert len(library.snapshot().specifications) == 3


def test_a_file_that_cannot_even_be_looked_at_is_named_and_stops_nobody(library: Library) -> None:
    """A link that leads to itself; a drive that has gone does the same with other errors."""
    odd = library.specifications_folder / ("0" * 32 + ".safetensors")
    try:
        odd.symlink_to(odd)
    except OSError as error:
        pytest.skip(f"no links here: {error}")
    entries, problems = Library(library.folder).look()
    assert [entry.title for entry in entries] == ["Alpha", "Beta"]
    assert [problem.title for problem in problems] == [odd.name]
    snapshot = Library(library.folder).snapshot()
    assert len(snapshot.specifications) == 2
    assert str(odd) in snapshot.excluded[0].reason
    assert [exclusion.title for exclusion in library.verify().unreadable] == [odd.name]


def test_a_drive_without_locks_is_written_all_the_same(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old versions of filelock raise NotImplementedError there."""
    import filelock

    def refuse(self: object, *arguments: object, **named: object) -> None:
        raise NotImplementedError("the file system does not support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    fresh, before = Library(library.folder), library.find("Beta")[0].samples
    for change in (_sample, _mark, _edit):
        change(fresh)
    assert fresh.find("Beta")[0].samples == before + 1
    assert not list(library.folder.rglob("*-held*")), "and nothing is left behind"


# -- favourites -----------------------------------------------------------------------------------


def test_favourites_that_cannot_be_read_just_now_are_not_overwritten(
    library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = library_folder / "favourites.json"
    Favourites(path).set("old", True)
    fresh = Favourites(path)
    with monkeypatch.context() as patch:
        fail = OSError(errno.EIO, os.strerror(errno.EIO))

        def refuse(file: Path, *limit: int) -> bytes:
            raise fail

        patch.setattr(json_file, "read_regular", refuse)
        assert fresh.names() == frozenset()
        with pytest.raises(LibraryError) as caught:
            fresh.set("new", True)
        one_sentence(caught.value, str(path))
    assert fresh.names() == {"old"}, "and once the drive is back they are there"
    fresh.set("new", True)
    assert Favourites(path).names() == {"old", "new"}


def test_damaged_favourites_are_kept_for_whoever_can_mend_them(library_folder: Path) -> None:
    path = library_folder / "favourites.json"
    for number, damage in enumerate((b'{"names": ["a", "b"', b"", b'{"names": "abc"}'), 1):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(damage)
        Favourites(path).set("new", True)
        assert Favourites(path).names() == {"new"}
        assert path.with_name(f"favourites.json.damaged-{number}").read_bytes() == damage


# -- drives that rename in steps ------------------------------------------------------------------


class BreaksOff(Exception):  # noqa: N818  not an error of ours: the process ends here
    """The power fails, or the process is killed, at this point."""


def rename_in_steps(
    patch: pytest.MonkeyPatch, stop: str, how: BaseException | None, times: int = 1
) -> None:
    """Let ``os.replace`` be several steps, and stop after one of them.

    Args:
        patch: undoes it.
        stop: ``deleted`` (of the target nothing is there), ``half`` (the first half of the new
            content is), ``copied`` (the source is still there).
        how: what is raised; ``None`` says that it went well, and deletes the source.
        times: how often; then it works.
    """
    original, left = os.replace, [times]

    def replace_in_steps(source: Any, target: Any) -> None:
        if left[0] <= 0 or Path(target).suffix != ".safetensors":
            original(source, target)
            return
        left[0] -= 1
        data = Path(source).read_bytes()
        if stop == "deleted":
            Path(target).unlink(missing_ok=True)
        else:
            Path(target).write_bytes(data[: len(data) // 2] if stop == "half" else data)
        if how is not None:
            raise how
        Path(source).unlink()

    patch.setattr(os, "replace", replace_in_steps)


def killed_write(path: Path, data: bytes) -> None:
    """What :func:`.files.write_atomic` does up to a rename during which the process ends."""
    temporary = path.with_name(TEMPORARY_PREFIX + "0123")
    temporary.write_bytes(data)
    os.replace(temporary, path)


ROWS = {("p04", 1004): COPY}


@pytest.mark.parametrize("stop", ["deleted", "half", "copied"])
@pytest.mark.parametrize("killed", [False, True], ids=["drive reports it", "process killed"])
@pytest.mark.parametrize("next_step", ["read", "write the same", "write another"])
def test_a_rename_that_stops_halfway_loses_no_sample(
    library: Library, stop: str, killed: bool, next_step: str
) -> None:
    old = make_specification("Beta", seed=1)
    new = make_specification("Beta", 1, first_prompt=4, seed=9)
    with pytest.MonkeyPatch.context() as patch:
        if killed:
            patch.setattr(library_module, "write_atomic", killed_write)
            rename_in_steps(patch, stop, BreaksOff())
            with pytest.raises(BreaksOff):
                library.extend(new)
        else:
            rename_in_steps(patch, stop, OSError(errno.EIO, os.strerror(errno.EIO)))
            with pytest.raises(LibraryError) as caught:
                library.extend(new)
            assert "unchanged" not in str(caught.value)
            kept = list(library.specifications_folder.glob(TEMPORARY_PREFIX + "*"))
            one_sentence(caught.value, str(library.folder), kept[0].name)
    fresh = Library(library.folder)
    if next_step == "read":
        snapshot = fresh.snapshot()
        assert all(len(s) == 4 for s in snapshot.specifications if s.candidate.title == "Alpha")
        if stop == "half":
            assert len(snapshot.excluded) == 1, "damage is reported, not read"
    elif next_step == "write the same":
        fresh.extend(make_specification("Beta", 1, first_prompt=5, seed=3))
    fresh.add(make_specification("Other"))
    stored = Library(library.folder).get(old.key)
    assert stored is not None
    assert set(old.prompt_ids + new.prompt_ids) <= set(stored.prompt_ids)
    assert np.array_equal(part_of(stored, old.prompt_ids).features, old.features)
    assert np.array_equal(part_of(stored, new.prompt_ids).features, new.features)
    assert len(fresh.snapshot().specifications) == 3
    assert not list(library.folder.rglob(TEMPORARY_PREFIX + "*"))


def test_a_drive_that_says_it_renamed_and_did_not_gets_a_second_chance(library: Library) -> None:
    new = make_specification("Beta", 1, first_prompt=4, seed=9)
    with pytest.MonkeyPatch.context() as patch:
        rename_in_steps(patch, "half", None, times=1)
        library.extend(new)
    stored = Library(library.folder).get(new.key)
    assert stored is not None
    assert len(stored) == 5


def test_a_drive_that_never_keeps_what_is_written_is_named(library: Library) -> None:
    with pytest.MonkeyPatch.context() as patch:
        rename_in_steps(patch, "half", None, times=9)
        with pytest.raises(LibraryError) as caught:
            library.extend(make_specification("Delta"))
    assert str(library.folder) in str(caught.value)
    assert "unchanged" not in str(caught.value)
    assert len(Library(library.folder).snapshot().specifications) == 2


def test_what_a_killed_write_left_takes_no_place_of_what_is_whole(library: Library) -> None:
    """The row of that sample was never reported as stored, and what is there may be newer."""
    current = make_specification("Beta", seed=1)
    left = library.specifications_folder / f"{TEMPORARY_PREFIX}left"
    left.write_bytes(to_bytes(make_specification("Beta", 9, seed=5)))
    library.add(make_specification("Other"))
    stored = library.get(current.key)
    assert stored is not None
    assert_same_specification(stored, current)
    assert not left.exists()


def test_what_was_removed_does_not_come_back_out_of_what_a_killed_write_left(
    library: Library,
) -> None:
    left = library.specifications_folder / f"{TEMPORARY_PREFIX}left"
    left.write_bytes(to_bytes(make_specification("Beta", 9, seed=5)))
    library.remove(library.find("Beta"))
    library.add(make_specification("Other"))
    assert [entry.title for entry in library.entries()] == ["Alpha", "Other"]


if __name__ == "__main__":
    limited(Path(sys.argv[1]))
