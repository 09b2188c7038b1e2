"""Packs: what goes into one, what never does, and what an import leaves alone."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import (
    OTHER,
    SOURCE_ROOT,
    assert_same_specification,
    make_specification,
    picture,
)
from pack_files import ABOUT, forged, good_pack, sha256, shared

from lib_gmi.base import files
from lib_gmi.base.errors import GMIError, LibraryError, PackError
from lib_gmi.base.images import stored_copy
from lib_gmi.checkpoints.identity import full_identity, quick_identity
from lib_gmi.library.catalogue import Library
from lib_gmi.library.embedded import embedded_library
from lib_gmi.library.entries import stem
from lib_gmi.library.packs import (
    PackAbout,
    Packs,
    Sharing,
    checkpoint_files,
    read_pack,
    shareable,
    thumbnails_of,
    visible,
    with_full_hashes,
    write_pack,
)
from lib_gmi.library.packs import store as store_module
from lib_gmi.library.packs.thumbnails import check_thumbnail
from lib_gmi.library.packs.writing import _without_folders
from lib_gmi.library.samples import SampleStore
from lib_gmi.ranking.stack import stack
from lib_gmi.records.prompts import default_prompt_set
from lib_gmi.records.protocols import GenerationSettings
from lib_gmi.records.specification import OWN_PROMPTS, PromptSetRef, Rejection, Specification
from lib_gmi.records.specification_file import from_bytes


@pytest.fixture
def library(library_folder: Path) -> Library:
    """An empty library."""
    return Library(library_folder)


@pytest.fixture
def packs(library: Library) -> Packs:
    """Its packs: none yet."""
    return Packs(library)


@pytest.fixture
def pack_file(tmp_path: Path) -> Path:
    """A pack of three."""
    path = tmp_path / "three.gmipack"
    good_pack(path, 3)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the locks."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


# -- writing and reading --------------------------------------------------------------------------


def test_what_is_written_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.gmipack"
    first = shared(1, rejected=(Rejection("p99", 7, "black"),))
    second = shared(2, text_encoder_id=None, prompt_embeddings=None)
    first = replace(first, prompt_set=replace(first.prompt_set, name="prompts-hash-1"))
    second = replace(second, prompt_set=replace(second.prompt_set, name="prompts-hash-1"))
    written = write_pack(path, [second, first], ABOUT)
    pack = read_pack(path)
    assert pack.id == written.id
    assert pack.about == ABOUT
    assert pack.manifest["tool"].startswith("find-best-model ")
    for ours, theirs in zip((first, second), pack.specifications, strict=True):
        assert_same_specification(ours, theirs)
    pages = [entry["page"] for entry in pack.manifest["entries"]]
    assert pages == ["https://civitai.com/search/models?query=0000000000"] * 2


def test_the_same_content_makes_the_same_file(tmp_path: Path) -> None:
    good_pack(tmp_path / "a.gmipack")
    good_pack(tmp_path / "b.gmipack")
    assert (tmp_path / "a.gmipack").read_bytes() == (tmp_path / "b.gmipack").read_bytes()


def test_safetensors_itself_reads_a_pack(tmp_path: Path) -> None:
    from safetensors.numpy import load

    path = tmp_path / "a.gmipack"
    pack = good_pack(path)
    tensors = load(path.read_bytes())
    assert np.array_equal(tensors["0/features"], pack.specifications[0].features)
    assert tensors["0/features"].dtype == np.float16


def test_a_pack_without_a_time_gets_the_present_one(tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "a.gmipack", [shared()], PackAbout("A"))
    assert abs(pack.about.created - time.time()) < 60


def test_nothing_and_what_is_no_plain_link_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.gmipack"
    with pytest.raises(PackError, match="1 to 10000"):
        write_pack(path, [], ABOUT)
    with pytest.raises(PackError, match="not a plain http"):
        write_pack(path, [shared()], replace(ABOUT, link="javascript:alert(1)"))
    assert not path.exists()


def test_control_characters_and_turned_writing_do_not_come_along(tmp_path: Path) -> None:
    specification = shared()
    candidate = replace(specification.candidate, title="a\u202eb\x07\nc", name="\u2066x.ckpt")
    settings = GenerationSettings(negative="line\nline\x00\u200b", extra={"prefix": "a\u202e"})
    specification = replace(specification, candidate=candidate, settings=settings)
    pack = write_pack(tmp_path / "a.gmipack", [specification], replace(ABOUT, title=" \u202eT\n"))
    (read,) = pack.specifications
    assert (read.candidate.title, read.candidate.name) == ("ab c", "x.ckpt")
    assert read.settings.negative == "line\nline"
    assert read.settings.extra == {"prefix": "a"}
    assert pack.about.title == "T"


OWN_SET = PromptSetRef("own prompts", "1", OWN_PROMPTS, 0)

# -- who may go along -----------------------------------------------------------------------------


def identified(identity: str, **changes: Any) -> Specification:
    """A specification of the candidate with this identity."""
    specification = make_specification(**changes)
    return replace(specification, candidate=replace(specification.candidate, identity=identity))


@pytest.mark.parametrize(
    ("specification", "reason"),
    [
        (identified("quick:" + "0" * 32), "--hash"),
        (identified("recipe:Mine"), "--recipes"),
        (shared(1, prompt_set=OWN_SET), "--own-prompts"),
        (identified("missing:a.ckpt"), "not known by a hash"),
        (identified("sha256:short"), "not known by a hash"),
        (shared(prompts=0), "no samples"),
    ],
)
def test_what_cannot_be_shared_is_left_out_with_the_reason(
    specification: Specification, reason: str, tmp_path: Path
) -> None:
    good, excluded = shareable([specification, shared(7)])
    assert [s.candidate.identity for s in good] == [sha256(7)]
    assert [e.title for e in excluded] == [specification.candidate.title]
    assert reason in excluded[0].reason
    with pytest.raises(PackError, match=reason):
        write_pack(tmp_path / "a.gmipack", [specification], ABOUT)


def test_a_file_is_hashed_on_request_and_the_library_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "deep"
    folder.mkdir(parents=True)
    file = folder / "a.safetensors"
    file.write_bytes(b"weights of a checkpoint" * 9)
    (folder / "same-size.ckpt").write_bytes(b"others! of a checkpoint" * 9)
    (folder / "notes.txt").write_bytes(b"weights of a checkpoint" * 9)
    size = file.stat().st_size
    known = identified(quick_identity(file))
    known = replace(known, candidate=replace(known.candidate, size=size))
    gone = identified("quick:" + "1" * 32)

    hashed = with_full_hashes([known, gone, shared(3)], tmp_path / "models")

    identities = [s.candidate.identity for s in hashed]
    assert identities == [full_identity(file), "quick:" + "1" * 32, sha256(3)]
    assert [p.name for p in checkpoint_files(folder, {size})] == ["a.safetensors", "same-size.ckpt"]
    assert checkpoint_files(folder, {5}) == []
    with pytest.raises(PackError, match="Name the one that holds your checkpoints"):
        checkpoint_files(tmp_path / "nowhere", {5})


def test_the_embedded_library_is_a_pack_of_models_without_known_files(
    tmp_path: Path, packs: Packs
) -> None:
    specifications = embedded_library().snapshot().specifications
    good, excluded = shareable(specifications)
    assert (len(good), excluded) == (63, [])
    path = tmp_path / "first.gmipack"
    write_pack(path, good, PackAbout("63 public models"), sharing=Sharing(folders=True))
    packs.import_file(path)
    found = packs.specifications()
    assert len(found) == 63
    assert {p.identity.partition(":")[0] for p in found} == {"folder"}
    assert {p.page for p in found} == {None}
    by_key = {s.key: s for s in specifications}
    for packed in found:
        assert_same_specification(packed.specification, by_key[packed.specification.key])


# -- privacy --------------------------------------------------------------------------------------

SECRETS = (
    "home/jane",
    "jane",
    "secret-project",
    "my-folder",
    "LoadImage",
    "unreleased",
    "private-note",
)


def private(identity: str) -> Specification:
    """A specification that is full of things that are nobody's business."""
    specification = identified(identity)
    candidate = replace(
        specification.candidate,
        title="secret-project/model",
        name="C:\\home/jane\\secret-project\\model.safetensors",
        unknown={"path": "/home/jane/model.safetensors"},
    )
    settings = GenerationSettings(
        vae="my-folder\\fine.vae.pt",
        negative="blurry",
        extra={"prefix": "score_9, ", "cache": "/home/jane/cache", "shift": 3.0},
        unknown={"note": "private-note"},
    )
    return replace(
        specification,
        candidate=candidate,
        settings=settings,
        prompt_set=PromptSetRef("jane", "1", "0123456789abcdef", 20, {"from": "/home/jane"}),
        provenance={"workflow": {"1": {"class_type": "LoadImage", "image": "/home/jane/x.png"}}},
        extra={"later": "unreleased"},
        extra_tensors={"unreleased": np.ones((4, 2), np.float16)},
    )


@pytest.mark.parametrize("identity", [sha256(1), "recipe:a/b"])
def test_nothing_private_is_in_the_bytes(tmp_path: Path, identity: str) -> None:
    path = tmp_path / "a.gmipack"
    if identity.startswith("recipe:"):
        specification = private(identity)
        named = replace(specification.candidate, title="a/b", name=identity)
        specification = replace(specification, candidate=named)
    else:
        specification = private(identity)
    pack = write_pack(path, [specification], PackAbout("A"), sharing=Sharing(recipes=True))
    data = path.read_bytes()
    for secret in (*SECRETS, str(tmp_path), str(Path.home())):
        assert secret.encode() not in data
    (read,) = pack.specifications
    assert read.settings.vae == "fine.vae.pt"
    assert read.settings.extra == {"prefix": "score_9, ", "shift": 3.0}
    assert read.settings.negative == "blurry"
    if identity == sha256(1):
        assert (read.candidate.title, read.candidate.name) == ("model", "model.safetensors")
        assert read.prompt_set.name == "prompts-01234567"
    else:
        assert read.candidate.title == "a/b"


def test_what_a_later_version_notes_down_stays_private_until_packs_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification, describe = shared(), Specification.describe

    def more(self: Specification) -> dict[str, Any]:
        described = describe(self)
        described["texts"] = {"p00": "private-note"}
        described["settings"]["cache"] = described["candidate"]["path"] = "private-note"
        return described

    monkeypatch.setattr(Specification, "describe", more)
    write_pack(tmp_path / "a.gmipack", [specification], ABOUT, sharing=Sharing(True, True, True))
    assert b"private-note" not in (tmp_path / "a.gmipack").read_bytes()


def test_own_prompts_go_along_under_numbers_only(tmp_path: Path) -> None:
    specification = shared(
        1,
        prompts=3,
        prompt_set=OWN_SET,
        prompt_ids=("own-aaaa", "own-bbbb", "own-aaaa"),
        seeds=(918273, 918274, 918275),
        texts={"own-aaaa": "private-note", "own-bbbb": "private-note too"},
        provenance={"folders": ["/home/jane/outputs"]},
        rejected=(Rejection("own-cccc", 918276, "black"),),
    )
    copies = {("own-bbbb", 918274): stored_copy(picture(1, 1, 300), "webp90-512")}
    path = tmp_path / "a.gmipack"
    pack = write_pack(
        path, [specification], ABOUT, {specification.key: copies}, Sharing(own_prompts=True)
    )
    (read,) = pack.specifications
    assert read.prompt_ids == ("own-1", "own-2", "own-1")
    assert read.seeds == (0, 1, 2)
    assert read.own_prompts
    assert np.array_equal(read.features, specification.features)
    assert set(pack.thumbnails[read.key]) == {("own-2", 1)}
    for secret in (b"private-note", b"jane", b"9182", b"aaaa", b"bbbb", b"cccc"):
        assert secret not in path.read_bytes()


def test_folders_go_along_if_asked_and_nothing_else_does(tmp_path: Path) -> None:
    pack = write_pack(
        tmp_path / "a.gmipack", [private(sha256(1))], PackAbout("A"), sharing=Sharing(folders=True)
    )
    (read,) = pack.specifications
    assert read.candidate.title == "secret-project/model"
    assert read.prompt_set.name == "jane"
    assert read.provenance == {}
    for secret in ("LoadImage", "unreleased", "private-note", "/home/jane/cache"):
        assert secret.encode() not in (tmp_path / "a.gmipack").read_bytes()


def test_the_shared_prompt_set_keeps_its_name(tmp_path: Path) -> None:
    ours = default_prompt_set()
    ref = PromptSetRef(ours.name, ours.version, ours.hash, len(ours))
    pack = write_pack(tmp_path / "a.gmipack", [shared(prompt_set=ref)], ABOUT)
    assert pack.specifications[0].prompt_set == ref


def test_prompt_embeddings_can_stay_at_home(tmp_path: Path) -> None:
    sharing = Sharing(prompt_embeddings=False)
    pack = write_pack(tmp_path / "a.gmipack", [shared()], ABOUT, sharing=sharing)
    (read,) = pack.specifications
    assert (read.prompt_embeddings, read.text_encoder_id) == (None, None)


def test_of_those_that_become_equal_the_one_with_most_samples_is_written(tmp_path: Path) -> None:
    built = [
        shared(1, prompts=n, settings=GenerationSettings(vae=f"{n}/same.vae.pt")) for n in (2, 5, 3)
    ]
    pack = write_pack(tmp_path / "a.gmipack", built, ABOUT)
    assert [len(s) for s in pack.specifications] == [5]


# -- thumbnails -----------------------------------------------------------------------------------


@pytest.fixture
def with_copies(library: Library) -> Specification:
    """A specification in the library, with copies of two of its samples."""
    specification = shared(1, settings=GenerationSettings(codec="webp90-512"))
    copies = {
        pair: stored_copy(picture(1, row, 600), "webp90-512")
        for row, pair in enumerate([("p00", 1000), ("p02", 1002)])
    }
    return library.extend(specification, copies)


def test_thumbnails_go_along_only_if_asked(
    tmp_path: Path, library: Library, with_copies: Specification
) -> None:
    plain = write_pack(tmp_path / "plain.gmipack", [with_copies], ABOUT)
    assert not any(plain.thumbnails.values())
    assert b"WEBPVP8" not in (tmp_path / "plain.gmipack").read_bytes()

    path = tmp_path / "pictures.gmipack"
    write_pack(path, [with_copies], ABOUT, thumbnails_of(library, [with_copies]))
    other = Packs(Library(tmp_path / "other"))
    other.import_file(path)
    (packed,) = other.specifications()
    samples, folder = SampleStore(packed.pack.folder / "samples"), Path(packed.file).stem
    for prompt_id, seed in (("p00", 1000), ("p02", 1002)):
        file = samples.find(folder, prompt_id, seed)
        assert file is not None
        check_thumbnail(file.read_bytes(), "thumbnail")
    assert samples.find(folder, "p01", 1001) is None
    assert samples.find(folder, "p77", 1077) is None
    file.unlink()
    assert other.verify(other.installed()[0]).problem is not None


# -- importing ------------------------------------------------------------------------------------


def test_an_import_adds_ordinary_specification_files_and_touches_nothing_else(
    library: Library, packs: Packs, pack_file: Path
) -> None:
    library.add(shared(1, prompts=5))
    before = contents(library.folder)
    fingerprint = packs.fingerprint()

    report = packs.import_file(pack_file)

    assert (report.new, report.repaired) == (True, False)
    after = contents(library.folder)
    assert {name: after[name] for name in before} == before
    inside = f"packs{os.sep}{report.pack.id}{os.sep}"
    assert all(name.startswith(inside) for name in set(after) - set(before))
    assert [e.title for e in library.entries()] == ["model-1"]
    assert packs.fingerprint() != fingerprint
    for packed in packs.specifications():
        path = report.pack.folder / "specifications" / packed.file
        assert path.name == stem(packed.specification.key) + ".safetensors"
        assert_same_specification(from_bytes(path.read_bytes()), packed.specification)
    (info,) = packs.installed()
    assert info.about == ABOUT
    assert info.installed({sha256(1), sha256(9)}) == 1
    assert [(e.title, e.samples, e.of_samples) for e in info.entries] == [
        (f"model-{n}", 4, 20) for n in (1, 2, 3)
    ]
    assert packs.verify(info).problem is None
    assert packs.verify(pack_file).specifications == 3


def test_importing_again_says_so_and_changes_nothing(
    library: Library, packs: Packs, pack_file: Path
) -> None:
    first = packs.import_file(pack_file)
    before = contents(library.folder)
    again = Packs(Library(library.folder)).import_file(pack_file)
    assert (again.new, again.pack) == (False, first.pack)
    assert contents(library.folder) == before


def test_looking_creates_nothing(library: Library, packs: Packs) -> None:
    assert packs.installed() == []
    assert packs.specifications() == []
    assert packs.fingerprint() == packs.fingerprint()
    assert not library.folder.exists()


def test_what_is_read_once_is_not_read_again_until_it_changes(
    packs: Packs, pack_file: Path
) -> None:
    packs.import_file(pack_file)
    first = packs.specifications()
    assert all(a is b for a, b in zip(first, packs.specifications(), strict=True))
    packs.remove(packs.installed()[0].id)
    assert packs.specifications() == []


def test_removing_can_be_undone(library: Library, packs: Packs, pack_file: Path) -> None:
    report = packs.import_file(pack_file)
    before = contents(report.pack.folder)
    kept = packs.remove(report.pack.id[:8])
    assert kept == library.folder / "removed" / f"pack-{report.pack.id}"
    assert contents(kept) == before
    assert packs.installed() == []

    again = packs.import_file(kept)

    assert (again.new, again.pack.id) == (True, report.pack.id)
    assert len(packs.specifications()) == 3
    assert packs.remove("Some checkpoints").name == f"pack-{report.pack.id}.1"


def test_packs_are_found_by_title_or_id(packs: Packs, pack_file: Path, tmp_path: Path) -> None:
    first = packs.import_file(pack_file).pack
    good_pack(tmp_path / "same-title.gmipack", 1)
    assert packs.find("Some checkpoints").id == first.id
    packs.import_file(tmp_path / "same-title.gmipack")
    with pytest.raises(PackError, match="fits several packs"):
        packs.find("Some checkpoints")
    assert packs.find(first.id.upper()[:6]).id == first.id
    with pytest.raises(PackError, match="There is no pack '12345'"):
        packs.find("12345")


def test_a_library_that_is_read_only_is_left_alone(library_folder: Path, pack_file: Path) -> None:
    packs = Packs(Library(library_folder, read_only=True))
    with pytest.raises(LibraryError, match="read-only"):
        packs.import_file(pack_file)
    with pytest.raises(LibraryError, match="read-only"):
        packs.remove("any")
    assert not library_folder.exists()


def test_a_pack_that_is_refused_leaves_nothing(
    library: Library, packs: Packs, pack_file: Path
) -> None:
    pack_file.write_bytes(pack_file.read_bytes()[:-1])
    with pytest.raises(PackError, match="cut short"):
        packs.import_file(pack_file)
    assert contents(library.folder) == {}


# -- the user's own count first -------------------------------------------------------------------


def test_what_the_user_has_built_always_wins(
    library: Library, packs: Packs, pack_file: Path
) -> None:
    packs.import_file(pack_file)
    library.add(shared(1, prompts=1))
    library.add(shared(2, encoder_id=OTHER))
    own = library.snapshot().specifications

    seen = visible(own, packs.specifications())

    assert sorted(p.identity for p in seen) == [sha256(2), sha256(3)], "2 is not comparable"


def test_a_file_whose_hash_has_become_known_is_the_users_own(packs: Packs, pack_file: Path) -> None:
    packs.import_file(pack_file)
    own = [identified("quick:" + "5" * 32)]
    hashed = {"quick:" + "5" * 32: sha256(2)}
    assert len(visible(own, packs.specifications())) == 3
    seen = visible(own, packs.specifications(), hashed)
    assert sorted(p.identity for p in seen) == [sha256(1), sha256(3)]


@pytest.mark.parametrize("users", [True, False])
def test_own_prompts_count_as_the_same_as_shared_ones(
    packs: Packs, tmp_path: Path, users: bool
) -> None:
    """They are ranked beside each other, so a pack's must not stand beside the user's."""
    harvested, built = shared(1, prompt_set=OWN_SET), shared(1, seed=5)
    mine, theirs = (harvested, built) if users else (built, harvested)
    for name, specification in (("a", theirs), ("b", shared(2, prompt_set=OWN_SET, prompts=9))):
        path = tmp_path / f"{name}.gmipack"
        write_pack(path, [specification], ABOUT, sharing=Sharing(own_prompts=True))
        packs.import_file(path)
    path = tmp_path / "c.gmipack"
    write_pack(path, [shared(2)], ABOUT)
    packs.import_file(path)

    (seen,) = visible([mine], packs.specifications())

    assert seen.identity == sha256(2)
    assert not seen.specification.own_prompts, "of packs, shared prompts go first"


def test_of_several_packs_the_one_with_most_samples_counts(packs: Packs, tmp_path: Path) -> None:
    for prompts in (4, 7, 5):
        path = tmp_path / f"{prompts}.gmipack"
        write_pack(path, [shared(1, prompts=prompts)], replace(ABOUT, title=f"{prompts}"))
        packs.import_file(path)
    (seen,) = visible([], packs.specifications())
    assert len(seen.specification) == 7
    assert seen.pack.about.title == "7"


def test_those_that_cannot_be_compared_are_left_out_by_the_stack_with_the_reason(
    packs: Packs, tmp_path: Path
) -> None:
    strange = [shared(1, encoder_id="style/next@v9", dim=77), shared(2, encoder_id=OTHER)]
    path = tmp_path / "strange.gmipack"
    write_pack(path, strange, ABOUT)
    packs.import_file(path)
    packed = [p.specification for p in packs.specifications()]
    stacked, excluded = stack([shared(3), shared(4), *packed])
    assert stacked is not None
    assert [c.identity for c in stacked.candidates] == [sha256(3), sha256(4)]
    reasons = {e.title: e.reason for e in excluded}
    assert "Unknown encoder" in reasons["model-1"]
    assert "another encoder" in reasons["model-2"]


# -- damage ---------------------------------------------------------------------------------------


def damage(packs: Packs) -> Path:
    """Spoil one file of the only installed pack."""
    folder = packs.installed()[0].folder / "specifications"
    path = min(folder.iterdir())
    path.write_bytes(path.read_bytes()[:-5])
    return path


def test_a_damaged_file_stops_no_other_and_is_told(packs: Packs, pack_file: Path) -> None:
    packs.import_file(pack_file)
    damage(packs)
    found, problems = packs.look()
    assert (len(found), len(problems)) == (2, 1)
    problem = packs.verify(packs.installed()[0]).problem
    assert problem is not None
    assert "cut short" in problem


def test_importing_again_replaces_a_damaged_copy_and_keeps_it(
    library: Library, packs: Packs, pack_file: Path
) -> None:
    pack_id = packs.import_file(pack_file).pack.id
    damage(packs)
    report = packs.import_file(pack_file)
    assert (report.new, report.repaired) == (True, True)
    assert packs.verify(packs.installed()[0]).problem is None
    assert (library.folder / "damaged" / f"pack-{pack_id}" / "pack.json").exists()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": "1.0", "manifest": {"entries": []}, "files": []}', "\udc80"],
)
def test_a_pack_whose_description_is_damaged_says_so_and_can_be_removed(
    packs: Packs, pack_file: Path, text: str
) -> None:
    info = packs.import_file(pack_file).pack
    (info.folder / "pack.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    (damaged,) = packs.installed()
    assert damaged.problem is not None
    assert packs.specifications() == []
    assert len(packs.look()[1]) == 1
    packs.remove(info.id)
    assert packs.installed() == []


def test_files_that_were_exchanged_are_noticed(packs: Packs, pack_file: Path) -> None:
    folder = packs.import_file(pack_file).pack.folder / "specifications"
    first, second, _ = sorted(folder.iterdir())
    first.write_bytes(second.read_bytes())
    assert len(packs.specifications()) == 2
    assert packs.verify(packs.installed()[0]).problem is not None


def test_a_folder_that_is_called_like_another_pack_is_none(
    packs: Packs, pack_file: Path, library: Library
) -> None:
    folder = packs.import_file(pack_file).pack.folder
    shutil.copytree(folder, folder.with_name("0" * 32))
    (library.folder / "packs" / "notes").mkdir()
    bad = next(info for info in packs.installed() if info.id == "0" * 32)
    assert bad.problem is not None
    assert packs.verify(bad).problem is not None
    assert len(packs.specifications()) == 3


# -- crashes, full disks --------------------------------------------------------------------------


def test_a_crash_before_the_rename_leaves_no_pack_and_the_next_import_clears_up(
    library: Library, packs: Packs, pack_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add(shared(1))
    before = contents(library.folder)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "move_file", die)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # as if the process were gone
        with pytest.raises(KeyboardInterrupt):
            packs.import_file(pack_file)
    left = list(packs.folder.glob(".importing-*"))
    assert len(left) == 1
    assert packs.installed() == []
    assert packs.specifications() == []
    library.add(shared(1))  # the library's own cleaning does not stumble over it
    assert {n: d for n, d in contents(library.folder).items() if n in before} == before

    assert packs.import_file(pack_file).new
    assert not list(packs.folder.glob(".importing-*"))
    assert packs.verify(packs.installed()[0]).problem is None


@pytest.mark.parametrize("place", range(5))
def test_a_full_disk_leaves_everything_as_it_was(
    library: Library, packs: Packs, pack_file: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """Wherever it happens: in one of four files, or when the folder is moved."""
    library.add(shared(1))
    before = contents(library.folder)
    calls = 0
    real = files.replace_file

    def full(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == place + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files, "replace_file", full)
        with pytest.raises(PackError, match=r"three\.gmipack: was not imported .*(full|space)"):
            packs.import_file(pack_file)
    assert contents(library.folder) == before
    assert packs.installed() == []
    assert packs.import_file(pack_file).new


def test_a_full_disk_leaves_no_half_written_pack_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gmipack"
    good_pack(path, 1)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(LibraryError, match="the disk is full"):
        good_pack(path, 2)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


_IMPORT = """
import sys
from pathlib import Path
from lib_gmi.library.catalogue import Library
from lib_gmi.library.packs import Packs
packs = Packs(Library(sys.argv[1]))
print("ready", flush=True)
while True:
    report = packs.import_file(Path(sys.argv[2]))
    packs.remove(report.pack.id)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_pack_is_whole_or_not_there_whenever_the_process_is_killed(
    library_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ten.gmipack"
    good_pack(path, 10)
    rng = random.Random(7)
    library = Library(library_folder)
    library.add(shared(1))
    own = contents(library.specifications_folder)
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", _IMPORT, str(library_folder), str(path)],
            cwd=SOURCE_ROOT,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        packs = Packs(library)
        for info in packs.installed():
            assert packs.verify(info).problem is None
        assert len(packs.specifications()) in (0, 10)
    assert contents(library.specifications_folder) == own
    packs.import_file(path)
    assert len(packs.specifications()) == 10
    assert not list(packs.folder.glob(".importing-*"))


def test_every_trouble_is_a_message_for_people() -> None:
    assert issubclass(PackError, GMIError)


def test_a_pack_of_a_newer_minor_version_survives_import_and_undo(
    packs: Packs, pack_file: Path, tmp_path: Path
) -> None:
    def change(manifest: dict[str, Any], _: object) -> None:
        manifest["subtitle"] = "new"
        manifest["entries"][0]["rating"] = 5

    newer = tmp_path / "newer.gmipack"
    newer.write_bytes(forged(pack_file, change, schema="1.3"))
    info = packs.import_file(newer).pack
    assert packs.verify(info).problem is None
    assert packs.import_file(packs.remove(info.id)).pack.id == info.id


@pytest.mark.parametrize(
    ("text", "bare"),
    [("a/b\\c.ckpt", "c.ckpt"), ("C:\\m\\x\\", "x\\"), ("plain", "plain"), ("//", "//"), ("", "")],
)
def test_folders_before_a_name(text: str, bare: str) -> None:
    assert _without_folders(text) == bare
