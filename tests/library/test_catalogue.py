"""The library: what is stored is safe, what is damaged is put aside, who is left out is named."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import (
    OTHER,
    OTHER_WORDS,
    OTHER_WORDS_DIM,
    SOURCE_ROOT,
    TINY,
    assert_same_specification,
    make_specification,
    part_of,
)

from lib_gmi.base import locks
from lib_gmi.base.errors import LibraryError, SchemaVersionError
from lib_gmi.library import store as module
from lib_gmi.library.catalogue import Library
from lib_gmi.library.store import Store
from lib_gmi.ranking.stack import stack
from lib_gmi.records import specification_file as specification_module
from lib_gmi.records.protocols import GenerationSettings
from lib_gmi.records.specification import PromptSetRef, Rejection, Specification
from lib_gmi.records.specification_file import to_bytes


@pytest.fixture
def library(library_folder: Path) -> Library:
    """An empty library."""
    return Library(library_folder)


@pytest.fixture
def three(library: Library) -> Library:
    """A library of Alpha, Beta and Gamma with four samples each."""
    for number, title in enumerate(("Gamma", "Alpha", "Beta")):
        library.add(make_specification(title, seed=number))
    return library


def titles(library: Library) -> list[str]:
    """What a fresh look at the folder finds."""
    return [s.candidate.title for s in Library(library.folder).snapshot().specifications]


def file_of(library: Library, title: str) -> Path:
    """Where a specification is stored."""
    return library.specifications_folder / library.find(title)[0].file


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def newer_schema(specification: Specification, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file as a later, incompatible version of this program would write it."""
    with monkeypatch.context() as patch:
        patch.setattr(specification_module, "SCHEMA", (9, 0))
        return to_bytes(specification)


# -- storing and finding --------------------------------------------------------------------------


def test_a_library_that_does_not_exist_yet_is_empty_and_is_not_created_by_looking(
    library: Library,
) -> None:
    assert library.entries() == []
    assert library.snapshot().specifications == ()
    assert library.get("anything") is None
    assert library.verify().good == ()
    assert not library.folder.exists()


def test_a_library_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LibraryError, match="not a folder"):
        Library(tmp_path / "file")


def test_what_is_added_is_listed_by_title_and_read_back_exactly(three: Library) -> None:
    assert [entry.title for entry in three.entries()] == ["Alpha", "Beta", "Gamma"]
    entry = three.entries()[0]
    assert (entry.identity, entry.encoder_id) == ("sha256:Alpha", TINY)
    assert (entry.samples, entry.prompt_set_size) == (4, 20)
    stored = make_specification("Alpha", seed=1)
    read = Library(three.folder).get(stored.key)
    assert read is not None
    assert_same_specification(read, stored)
    assert titles(three) == ["Alpha", "Beta", "Gamma"]


def test_adding_again_replaces(library: Library) -> None:
    library.add(make_specification(prompts=8, seed=1))
    library.add(make_specification(prompts=2, seed=2))
    (only,) = Library(library.folder).snapshot().specifications
    assert_same_specification(only, make_specification(prompts=2, seed=2))


def test_extending_keeps_what_was_there_and_returns_the_union(library: Library) -> None:
    first, second = make_specification(prompts=3), make_specification(prompts=2, first_prompt=3)
    assert_same_specification(library.extend(first), first)
    union = library.extend(second)
    assert union.prompt_ids == ("p00", "p01", "p02", "p03", "p04")
    (stored,) = Library(library.folder).snapshot().specifications
    assert_same_specification(stored, union)


def test_files_are_named_by_hash_and_titles_may_be_anything(library: Library) -> None:
    title = "../../etc/пароль\n<b>|con.ckpt "
    library.add(make_specification(title))
    (path,) = library.specifications_folder.iterdir()
    assert path.suffix == ".safetensors"
    assert set(path.stem) <= set("0123456789abcdef")
    assert titles(library) == [title]


@pytest.mark.parametrize("name", ["Alpha", "sha256:Alpha", "Alphaville"])
def test_entries_are_found_by_title_or_identity(library: Library, name: str) -> None:
    library.add(make_specification("Alpha"))
    library.add(make_specification("Alphaville"))
    expected = "Alphaville" if name == "Alphaville" else "Alpha"
    assert [entry.title for entry in library.find(name)] == [expected]


def test_of_a_hash_six_digits_are_enough_and_five_are_not(library: Library) -> None:
    library.add(make_specification("0123456789"))
    assert len(library.find("012345")) == 1
    assert library.find("01234") == []


def test_digits_that_fit_several_candidates_are_refused_with_their_titles(
    library: Library,
) -> None:
    library.add(make_specification("0123456789"))
    library.add(make_specification("012345abcd"))
    with pytest.raises(LibraryError, match="0123456789, 012345abcd"):
        library.find("012345")
    assert len(library.find("0123456")) == 1


def test_a_change_sees_what_is_stored_and_its_result_is_stored(library: Library) -> None:
    key = make_specification().key
    seen: list[Specification | None] = []

    def change(stored: Specification | None) -> Specification:
        seen.append(stored)
        return make_specification(prompts=2 + len(seen))

    for _ in range(2):
        library.update(key, change)
    assert seen[0] is None
    assert seen[1] is not None
    assert len(seen[1]) == 3
    assert titles(library) == ["Alpha"]


def test_removing_moves_files_away_without_deleting_them(three: Library) -> None:
    before = file_of(three, "Beta").read_bytes()
    (moved,) = three.remove(three.find("Beta"))
    assert titles(three) == ["Alpha", "Gamma"]
    assert moved.parent == three.folder / "removed"
    assert moved.read_bytes() == before


def test_removing_the_same_candidate_twice_keeps_both_versions(library: Library) -> None:
    moved = []
    for seed in (1, 2):
        library.add(make_specification(seed=seed))
        moved += library.remove(library.find("Alpha"))
    assert len(set(moved)) == 2
    assert all(path.exists() for path in moved)


def test_removing_what_another_process_removed_before_is_a_library_error(three: Library) -> None:
    entries = three.find("Beta")
    Library(three.folder).remove(entries)
    with pytest.raises(LibraryError, match=r"cannot be moved"):
        three.remove(entries)


# -- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:20] + b"\xff" * 8 + data[28:], id="header overwritten"),
        pytest.param(lambda data: bytes(len(data)), id="zeros, as after a power cut"),
    ],
)
def test_a_damaged_file_is_set_aside_with_its_reason_and_never_stops_the_others(
    three: Library, damage: Callable[[bytes], bytes]
) -> None:
    path = file_of(three, "Beta")
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    fresh = Library(three.folder)
    snapshot = fresh.snapshot()
    assert [s.candidate.title for s in snapshot.specifications] == ["Alpha", "Gamma"]
    (exclusion,) = snapshot.excluded
    assert exclusion.reason.startswith("set aside in damaged/: ")
    aside = three.folder / "damaged" / path.name
    assert aside.read_bytes() == broken, "it is kept, for whoever can repair it"
    assert str(path) in aside.with_name(path.name + ".txt").read_text(encoding="utf-8")
    assert fresh.snapshot().excluded == (), "it is reported once"


def test_building_starts_anew_where_a_file_is_damaged(three: Library) -> None:
    path = file_of(three, "Beta")
    path.write_bytes(b"damaged")
    specification = make_specification("Beta", first_prompt=9)
    assert_same_specification(three.extend(specification), specification)
    assert (three.folder / "damaged" / path.name).read_bytes() == b"damaged"


def test_verify_reads_every_file_and_reports_by_kind(
    three: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_of(three, "Alpha").write_bytes(b"damaged")
    newer = three.specifications_folder / "newer.safetensors"
    newer.write_bytes(newer_schema(make_specification("Delta"), monkeypatch))
    report = three.verify()
    assert report.good == ("Beta", "Gamma")
    assert len(report.damaged) == 1
    assert [e.title for e in report.unreadable] == ["newer.safetensors"]
    assert Library(three.folder).verify().damaged == ()


def test_verify_finds_damage_that_the_catalogue_cannot_see(three: Library) -> None:
    """Same size, same time, other bytes: what a failing disk does."""
    path = file_of(three, "Beta")
    status = path.stat()
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    data = bytearray(path.read_bytes())
    data[header : header + 2] = b"\x00\x7e"  # NaN
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(three.verify().damaged) == 1


def test_a_file_under_another_name_than_its_own_is_set_aside(three: Library) -> None:
    """Otherwise the candidate could be there twice, and extending would miss this one."""
    path = file_of(three, "Beta")
    path.rename(path.with_name("0" * 32 + ".safetensors"))
    (damaged,) = three.verify().damaged
    assert "file name" in damaged.reason
    assert titles(three) == ["Alpha", "Gamma"]


def test_a_file_of_a_newer_version_is_left_alone_and_named(
    three: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = make_specification("Beta", seed=2)
    data = newer_schema(specification, monkeypatch)
    path = file_of(three, "Beta")
    path.write_bytes(data)
    fresh = Library(three.folder)
    snapshot = fresh.snapshot()
    assert [s.candidate.title for s in snapshot.specifications] == ["Alpha", "Gamma"]
    assert "newer version" in snapshot.excluded[0].reason
    with pytest.raises(SchemaVersionError):
        fresh.get(specification.key)
    with pytest.raises(SchemaVersionError):
        fresh.extend(specification)
    assert path.read_bytes() == data


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions work otherwise on Windows")
def test_a_file_that_may_not_be_read_is_left_where_it_is(three: Library) -> None:
    path = file_of(three, "Beta")
    original = module.read_regular

    def refuse(file: Path, *limit: int) -> bytes:
        if file == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(file, *limit)

    fresh = Library(three.folder)
    (three.folder / "catalogue.json").unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_regular", refuse)
        snapshot = fresh.snapshot()
    assert [s.candidate.title for s in snapshot.specifications] == ["Alpha", "Gamma"]
    assert "Permission denied" in snapshot.excluded[0].reason
    assert titles(three) == ["Alpha", "Beta", "Gamma"], "the drive may come back"


def test_foreign_and_half_written_files_are_passed_over(three: Library) -> None:
    folder = three.specifications_folder
    (folder / ".writing-crashed").write_bytes(b"half")
    (folder / ".hidden.safetensors").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    assert titles(three) == ["Alpha", "Beta", "Gamma"]
    three.add(make_specification("Delta"))
    assert not (folder / ".writing-crashed").exists(), "the next write tidies up after a crash"
    assert (folder / "notes.txt").read_text() == "mine"


# -- catalogue and fingerprint --------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"not JSON",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"version": 1}',
        b'{"version": 99, "files": {}}',
        b'{"version": 1, "files": []}',
        b'{"version": 1, "files": {"a": 5}}',
        b"[" * 90_000,
    ],
    ids=lambda content: "deleted" if content is None else content[:30].decode("latin-1"),
)
def test_the_catalogue_is_only_a_cache(three: Library, content: bytes | None) -> None:
    entries = three.entries()
    catalogue = three.folder / "catalogue.json"
    if content is None:
        catalogue.unlink()
    else:
        catalogue.write_bytes(content)
    assert Library(three.folder).entries() == entries
    assert titles(three) == ["Alpha", "Beta", "Gamma"]


def _with_surprises(value: Any) -> Iterator[Any]:
    """The JSON value with each of its parts, one after the other, missing or replaced."""
    yield from (None, "text", {})
    if isinstance(value, dict):
        for key, child in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: surprise} for surprise in _with_surprises(child))
    if isinstance(value, list):
        for index, child in enumerate(value[:1]):
            for surprise in _with_surprises(child):
                yield [*value[:index], surprise, *value[index + 1 :]]


def test_a_catalogue_that_is_valid_json_and_nonsense_never_stops_anything(
    library: Library,
) -> None:
    library.add(make_specification("Alpha", rejected=(Rejection("p09", 9, "flat"),)))
    library.entries()
    catalogue = library.folder / "catalogue.json"
    original = json.loads(catalogue.read_bytes())
    for damaged in _with_surprises(original):
        catalogue.write_text(json.dumps(damaged))
        fresh = Library(library.folder)
        (entry,) = fresh.entries()
        listed = (entry.title, entry.identity, entry.encoder_id)
        assert all(isinstance(text, str) for text in listed)
        assert isinstance(entry.samples + entry.prompt_set_size, int)
        assert len(entry.described["rejected"]) >= 0
        assert "architecture" in entry.described["candidate"]
        (specification,) = fresh.snapshot().specifications
        assert specification.prompt_ids == ("p00", "p01", "p02", "p03")


def test_the_fingerprint_changes_with_the_content(three: Library) -> None:
    seen = [three.fingerprint()]
    for change in (
        lambda: three.add(make_specification("Delta")),
        lambda: three.extend(make_specification("Delta", first_prompt=4)),
        lambda: three.add(make_specification("Alpha", seed=99)),
        lambda: three.remove(three.find("Beta")),
    ):
        change()
        seen.append(three.fingerprint())
    assert len(set(seen)) == len(seen)


def test_the_fingerprint_does_not_change_without_the_content(three: Library) -> None:
    before = three.fingerprint()
    for path in three.specifications_folder.iterdir():
        os.utime(path, (1, 1))
    (three.specifications_folder / "notes.txt").write_text("mine")
    assert three.fingerprint() == before
    (three.folder / "catalogue.json").unlink()
    assert Library(three.folder).fingerprint() == before
    for specification in Library(three.folder).snapshot().specifications:
        three.add(specification)
    assert Library(three.folder).fingerprint() == before


def test_a_replacement_of_the_same_size_within_one_tick_of_the_clock_is_noticed(
    library: Library,
) -> None:
    """File times are only as fine as the file system's clock: some milliseconds, or seconds."""
    library.add(make_specification(seed=1))
    before = library.fingerprint()
    path = file_of(library, "Alpha")
    status = path.stat()
    library.add(make_specification(seed=2))
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert library.fingerprint() != before
    assert_same_specification(library.snapshot().specifications[0], make_specification(seed=2))


# -- trouble with the disk ------------------------------------------------------------------------


def _fails(code: int) -> Callable[..., Any]:
    def fail(*args: object, **kwargs: object) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize(
    ("code", "explanation"),
    [(errno.ENOSPC, "the disk is full"), (errno.EIO, os.strerror(errno.EIO))],
)
@pytest.mark.parametrize("method", ["add", "extend"])
def test_a_write_that_fails_leaves_everything_as_it_was_and_says_so(
    three: Library,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
    explanation: str,
    method: str,
) -> None:
    before = contents(three.specifications_folder)
    monkeypatch.setattr(os, call, _fails(code))
    with pytest.raises(LibraryError, match=explanation) as caught:
        getattr(three, method)(make_specification("Beta", first_prompt=4, seed=9))
    monkeypatch.undo()
    assert "unchanged" in str(caught.value)
    assert contents(three.specifications_folder) == before
    assert titles(three) == ["Alpha", "Beta", "Gamma"]


def test_a_disk_that_returns_other_bytes_than_were_written_is_found_out(
    three: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(three.specifications_folder)
    original = Path.read_bytes

    def flip(self: Path) -> bytes:
        data = original(self)
        return data if not self.name.startswith(".writing-") else data[:-1] + b"\x00\x01"

    monkeypatch.setattr(Path, "read_bytes", flip)
    with pytest.raises(LibraryError, match="other bytes"):
        three.add(make_specification("Delta"))
    monkeypatch.undo()
    assert contents(three.specifications_folder) == before


def test_the_message_is_true_if_only_syncing_the_folder_fails(
    three: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has been replaced by then: saying that nothing changed would be wrong."""
    old = make_specification("Beta", seed=2)
    new = make_specification("Beta", seed=9)
    monkeypatch.setattr("lib_gmi.base.files.sync_folder", _fails(errno.EIO))
    try:
        three.add(new)
        claims_no_change = False
    except LibraryError as error:
        claims_no_change = "unchanged" in str(error)
    monkeypatch.undo()
    stored = Library(three.folder).get(old.key)
    assert stored is not None
    assert np.array_equal(stored.features, (old if claims_no_change else new).features)


def test_fitted_state_that_cannot_be_stored_is_no_error(
    three: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", _fails(errno.ENOSPC))
    three.write_fitted("a.json", b"{}")
    monkeypatch.undo()
    assert three.read_fitted("a.json") is None


def test_of_fitted_state_the_newest_is_kept_and_the_oldest_is_not(three: Library) -> None:
    names = [f"{number:02d}.json" for number in range(30)]
    for number, name in enumerate(names):
        three.write_fitted(name, name.encode())
        os.utime(three.folder / "fitted" / name, (number + 1, number + 1))
    assert three.read_fitted(names[-1]) == names[-1].encode()
    assert three.read_fitted(names[0]) is None


# -- other processes ------------------------------------------------------------------------------


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A second process that can import this package."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCE_ROOT), *sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def locked_by_another_process(folder: Path) -> Iterator[None]:
    """While it lasts, a second process holds the library's lock."""
    code = (
        "import sys\nfrom lib_gmi.library.catalogue import Library\n"
        "with Library(sys.argv[1]).locked():\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    with python(code, str(folder)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()


def test_waiting_for_another_process_ends_with_a_clear_error(
    three: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 0.05)
    with locked_by_another_process(three.folder):
        with pytest.raises(LibraryError, match="another process"):
            three.add(make_specification("Delta"))
        assert titles(three) == ["Alpha", "Beta", "Gamma"], "reading needs no lock"
    three.add(make_specification("Delta"))
    assert titles(three) == ["Alpha", "Beta", "Delta", "Gamma"]


_EXTEND = """
import sys
from dataclasses import replace
from pathlib import Path
from conftest import part_of
from lib_gmi.library.catalogue import Library
from lib_gmi.records.specification_file import from_bytes
folder, source, start, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
specification = from_bytes(source.read_bytes())
print("ready", flush=True)
sys.stdin.readline()
library = Library(folder)
for number in range(start, start + count):
    library.extend(part_of(specification, [f"p{number:02d}"]))
"""


def test_two_processes_that_extend_one_specification_at_once_lose_nothing(
    library: Library, tmp_path: Path
) -> None:
    everything = make_specification(prompts=60)
    source = tmp_path / "everything.safetensors"
    source.write_bytes(to_bytes(everything))
    processes = [
        python(_EXTEND, str(library.folder), str(source), str(start), "30") for start in (0, 30)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    (stored,) = Library(library.folder).snapshot().specifications
    assert set(stored.prompt_ids) == set(everything.prompt_ids)
    order = [everything.prompt_ids.index(prompt_id) for prompt_id in stored.prompt_ids]
    assert np.array_equal(stored.features, everything.features[order])


def test_a_file_that_disappears_while_the_folder_is_read_is_passed_over(
    three: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = file_of(three, "Beta")
    three.entries()
    original = Store.paths

    def files_then_removal(self: Store) -> list[Path]:
        found = original(self)
        gone.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Store, "paths", files_then_removal)
    snapshot = Library(three.folder).snapshot()
    assert [s.candidate.title for s in snapshot.specifications] == ["Alpha", "Gamma"]
    assert snapshot.excluded == ()


# -- read-only libraries --------------------------------------------------------------------------


def test_a_read_only_library_never_writes(three: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    file_of(three, "Alpha").write_bytes(b"damaged")
    (three.folder / "catalogue.json").unlink(missing_ok=True)
    (three.folder / ".lock").unlink(missing_ok=True)
    before = contents(three.folder)
    library = Library(three.folder, read_only=True)
    assert [entry.title for entry in library.entries()] == ["Beta", "Gamma"]
    assert [s.candidate.title for s in library.snapshot().specifications] == ["Beta", "Gamma"]
    assert len(library.verify().damaged) == 1
    assert library.get(make_specification("Alpha").key) is None
    library.fingerprint()
    library.write_fitted("a.json", b"{}")
    for write in (
        lambda: library.add(make_specification("Delta")),
        lambda: library.extend(make_specification("Beta", first_prompt=4)),
        lambda: library.remove(library.find("Beta")),
    ):
        with pytest.raises(LibraryError, match="read-only"):
            write()
    assert contents(three.folder) == before


# -- stacking: who can be ranked together ---------------------------------------------------------


def test_specifications_are_stacked_by_title_in_the_order_of_the_prompts() -> None:
    specifications = [make_specification(t, prompts=5, seed=i) for i, t in enumerate("cBa")]
    data, excluded = stack(specifications)
    assert data is not None
    assert excluded == []
    assert [c.title for c in data.candidates] == ["a", "B", "c"]
    assert data.prompt_ids == ("p00", "p01", "p02", "p03", "p04")
    assert data.mask.all()
    assert np.array_equal(data.features[2], specifications[0].features)
    assert (data.encoder_id, data.prompt_set_size, data.codec) == (TINY, 20, "source")


def test_nothing_can_be_ranked_without_specifications() -> None:
    assert stack([]) == (None, [])


BROKEN = (Rejection("p08", 8, "black"), Rejection("p09", 9, "noise"))


@pytest.mark.parametrize(
    ("odd_one", "reason"),
    [
        pytest.param(
            make_specification("Odd", encoder_id=OTHER), f"another encoder.*{OTHER}", id="encoder"
        ),
        pytest.param(
            make_specification("Odd", encoder_id="from/tomorrow@v1"),
            "from/tomorrow",
            id="encoder that nobody knows",
        ),
        pytest.param(
            make_specification("Odd", encoder_id="test/tiny@v0"),
            "test/tiny@v0.*[Bb]uild",
            id="encoder of another version",
        ),
        pytest.param(
            make_specification("Odd", prompt_set=PromptSetRef("x", "1", "hash-2", 9)),
            "another prompt set",
            id="prompt set",
        ),
        pytest.param(
            make_specification("Odd", settings=GenerationSettings(codec="webp80-512")),
            "another codec.*webp80-512",
            id="codec",
        ),
        pytest.param(
            make_specification("Odd", settings=GenerationSettings(codec="from-tomorrow")),
            "from-tomorrow",
            id="codec that nobody knows",
        ),
        pytest.param(make_specification("Odd", prompts=3), "only 3 .*; 4", id="too few"),
        pytest.param(make_specification("Odd", prompts=0), "only 0 .*; 4", id="none"),
        pytest.param(make_specification("Odd", rejected=BROKEN), "suspect: 2 broken", id="suspect"),
        pytest.param(
            make_specification("Odd", dim=7), "7 numbers.*makes 30", id="length of the features"
        ),
    ],
)
@pytest.mark.parametrize("position", [0, 2])
def test_who_cannot_be_ranked_with_the_others_is_named_with_the_reason(
    odd_one: Specification, reason: str, position: int
) -> None:
    specifications = [make_specification("Alpha"), make_specification("Beta", seed=1)]
    specifications.insert(position, odd_one)
    data, excluded = stack(specifications)
    assert data is not None
    assert [c.title for c in data.candidates] == ["Alpha", "Beta"]
    (exclusion,) = excluded
    assert exclusion.title == "Odd"
    assert re.search(reason, exclusion.reason), exclusion.reason


def test_four_samples_of_one_prompt_are_too_few_to_rank() -> None:
    four_seeds = replace(make_specification(), prompt_ids=("p00",) * 4)
    data, excluded = stack([four_seeds])
    assert data is None
    assert "1 prompt" in excluded[0].reason or "only 1" in excluded[0].reason


def test_other_settings_do_not_keep_candidates_apart_because_each_has_its_own() -> None:
    fast = make_specification("Fast", settings=GenerationSettings(steps=4, sampler="LCM"))
    data, excluded = stack([make_specification("Alpha"), fast])
    assert data is not None
    assert len(data.candidates) == 2
    assert excluded == []


def test_an_encoder_can_be_asked_for_even_if_it_is_the_rarer_one() -> None:
    rare = make_specification("Rare", encoder_id=OTHER)
    data, excluded = stack([make_specification("A"), make_specification("B"), rare], OTHER)
    assert data is not None
    assert [c.title for c in data.candidates] == ["Rare"]
    assert len(excluded) == 2
    assert all(f"not {OTHER}" in exclusion.reason for exclusion in excluded)


@pytest.mark.parametrize(
    ("prompts", "updated"),
    [pytest.param(5, 1.0, id="more samples"), pytest.param(4, 20.0, id="as many, but later")],
)
def test_of_two_specifications_of_one_candidate_the_better_one_is_ranked(
    prompts: int, updated: float
) -> None:
    worse = make_specification(seed=1, updated=10.0)
    steps = GenerationSettings(steps=30)
    better = make_specification(seed=2, prompts=prompts, updated=updated, settings=steps)
    for specifications in ([worse, better], [better, worse]):
        data, excluded = stack(specifications)
        assert data is not None
        assert np.array_equal(data.features[0], better.features)
        assert ["built twice" in exclusion.reason for exclusion in excluded] == [True]


def test_missing_prompts_are_masked_and_zero() -> None:
    data, _ = stack([make_specification("A", prompts=6), make_specification("B", first_prompt=2)])
    assert data is not None
    assert data.prompt_ids == ("p00", "p01", "p02", "p03", "p04", "p05")
    assert data.mask.tolist() == [[True] * 6, [False] * 2 + [True] * 4]
    assert data.counts.tolist() == [6, 4]
    assert not data.features[1, :2].any()


def test_several_seeds_of_a_prompt_are_averaged() -> None:
    once = make_specification(prompts=4, seed=1)
    again = replace(make_specification(prompts=4, seed=2), seeds=(1, 2, 3, 4))
    data, _ = stack([once.merged(part_of(again, ["p00"]))])
    assert data is not None
    assert data.counts.tolist() == [4]
    assert np.allclose(data.features[0, 0], (once.features[0] + again.features[0]) / 2)
    assert np.array_equal(data.features[0, 1], once.features[1])


def test_prompt_embeddings_are_lent_from_one_specification_to_the_others() -> None:
    lender, borrower = make_specification("A", prompts=6), make_specification("B", text_dim=None)
    data, _ = stack([lender, borrower])
    assert data is not None
    assert data.prompt_embeddings is not None
    assert np.array_equal(data.prompt_embeddings, lender.prompt_embeddings)


def test_without_an_embedding_for_every_prompt_there_are_none() -> None:
    data, _ = stack([make_specification("A"), make_specification("B", prompts=6, text_dim=None)])
    assert data is not None
    assert (data.prompt_embeddings, data.text_encoder_id) == (None, None)


def test_of_several_text_encoders_the_commonest_is_taken() -> None:
    rare = make_specification("C", text_encoder_id=OTHER_WORDS, text_dim=OTHER_WORDS_DIM)
    data, _ = stack([rare, make_specification("A", seed=1), make_specification("B", seed=1)])
    assert data is not None
    assert data.text_encoder_id == make_specification().text_encoder_id
    assert data.prompt_embeddings is not None
    assert data.prompt_embeddings.shape == (4, 8)


@pytest.mark.parametrize(
    ("text_encoder_id", "text_dim"), [("from/tomorrow", 8), (OTHER_WORDS, OTHER_WORDS_DIM + 1)]
)
def test_prompt_embeddings_that_nobody_can_use_are_passed_over(
    text_encoder_id: str, text_dim: int
) -> None:
    odd = [
        make_specification(title, text_encoder_id=text_encoder_id, text_dim=text_dim)
        for title in "BC"
    ]
    data, excluded = stack([*odd, make_specification("A")])
    assert data is not None
    assert excluded == []
    assert data.text_encoder_id == make_specification().text_encoder_id


def test_a_stack_can_be_cut_by_candidates_and_by_prompts() -> None:
    data, _ = stack([make_specification(t, prompts=5, seed=i) for i, t in enumerate("abc")])
    assert data is not None
    assert [c.title for c in data.take([2, 0]).candidates] == ["c", "a"]
    assert np.array_equal(data.take([2]).features[0], data.features[2])
    less = data.without_prompts([1, 3])
    assert less.prompt_ids == ("p00", "p02", "p04")
    assert less.prompt_embeddings is not None
    assert data.prompt_embeddings is not None
    assert np.array_equal(less.prompt_embeddings, data.prompt_embeddings[[0, 2, 4]])
    assert np.array_equal(less.features, data.features[:, [0, 2, 4]])
    assert less.mask.shape == (3, 3)
