"""The index of an output folder: incremental, resumable, and patient with what it finds there."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors import numpy
from standins.colours import COLOURS, ColourSpace, plain

from lib_gmi import encoders
from lib_gmi.base import images
from lib_gmi.base.errors import ImageError
from lib_gmi.base.vectors import unit
from lib_gmi.cli.main import main
from lib_gmi.library.catalogue import Library
from lib_gmi.search import chunks, index
from lib_gmi.search.folder_images import FolderImages, OpenFolders
from lib_gmi.search.hits import SampleAnswer
from lib_gmi.search.index import FolderIndex, indexed_folders, named_by_host
from lib_gmi.search.pictures import FolderPictures
from lib_gmi.search.query import Query
from lib_gmi.search.searcher import Searcher
from lib_gmi.service.filters import Filter

INFOTEXT = (
    "a {0} wall\nNegative prompt: text\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, "
    "Size: 24x24, Model hash: 0123456789, Model: {0}-model"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine images in two folders, with A1111's metadata."""
    folder = tmp_path / "outputs"
    (folder / "old").mkdir(parents=True)
    for shade in range(3):
        for colour in COLOURS:
            about = PngInfo()
            about.add_text("parameters", INFOTEXT.format(colour))
            place = folder / "old" if shade == 2 else folder
            plain(colour, shade).save(place / f"{colour}-{shade}.png", pnginfo=about)
    return folder


def of(folder: Path, home: Path) -> FolderIndex:
    return FolderIndex(home, folder, ColourSpace.id, ColourSpace.dim)


def found_in(home: Path, query: Query, top: int, wanted: Any = None) -> SampleAnswer:
    folders = [FolderImages(i) for i in indexed_folders(home, ColourSpace.id)]
    return Searcher(Library(home), ColourSpace()).samples(query, top, wanted, folders)


def test_indexes_stay_open_until_they_change(folder: Path, library_folder: Path) -> None:
    kept, mine = OpenFolders(), of(folder, library_folder)
    mine.update(ColourSpace())
    first = kept.open([mine])
    assert len(first[0]) == 9
    assert kept.open([mine])[0] is first[0]
    (folder / "red-0.png").unlink()
    mine.update(ColourSpace())
    assert len(kept.open([mine])[0]) == 8
    mine.remove()
    assert len(kept.open([mine])[0]) == 0
    assert kept.open([]) == []


def test_only_the_files_that_changed_are_read_again(
    folder: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_PER_CHUNK", 3)
    monkeypatch.setattr(index, "_AT_ONCE", 3)
    kept, mine = OpenFolders(), of(folder, library_folder)
    mine.update(ColourSpace())
    read: list[str] = []
    plain_read = chunks.read_chunk

    def counted(path: Path, dim: int) -> chunks.Chunk:
        read.append(path.name)
        return plain_read(path, dim)

    monkeypatch.setattr(chunks, "read_chunk", counted)
    kept.open([mine])
    names = sorted(path.name for path in mine.place.glob("*.safetensors"))
    assert (read, len(names)) == (names, 3)
    last = mine.place / names[-1]
    for content in (last.read_bytes(), b"damaged"):
        read.clear()
        last.write_bytes(content)
        os.utime(last, ns=(1, len(content)))
        (opened,) = kept.open([mine])
        assert read == [last.name]
    assert len(opened) == 6, "without the damaged one"
    read.clear()
    (mine.place / names[0]).unlink()
    (opened,) = kept.open([mine])
    assert (read, len(opened)) == ([], 3)


def test_images_are_found_with_what_they_say(folder: Path, library_folder: Path) -> None:
    done = of(folder, library_folder).update(ColourSpace())
    assert (done.new, done.kept, done.gone) == (9, 0, 0)
    hit = found_in(library_folder, Query(images=[plain("red", 2)]), 1).hits[0]
    assert hit.file == str(folder / "old" / "red-2.png")
    assert (hit.checkpoint, hit.prompt, hit.seed) == ("red-model", "a red wall", 42)
    assert hit.settings["sampler"] == "Euler a"
    assert hit.source == str(folder)
    tagged = found_in(library_folder, Query(tags=["green wall"]), 3)
    assert {h.checkpoint for h in tagged.hits} == {"green-model"}


def test_only_what_is_new_or_changed_is_read(folder: Path, library_folder: Path) -> None:
    joint = ColourSpace()
    of(folder, library_folder).update(joint)
    (folder / "red-0.png").unlink()
    plain("blue", 9, 30).save(folder / "green-0.png")
    plain("green", 9).save(folder / "new.png")
    done = of(folder, library_folder).update(joint)
    assert (done.new, done.changed, done.gone, done.kept) == (2, 1, 1, 7)
    assert joint.encoded == 11
    opened = FolderImages(of(folder, library_folder))
    paths = sorted(str(row["path"]) for row in opened.descriptions())
    assert len(paths) == len(set(paths)) == len(opened) == 9
    assert "red-0.png" not in paths
    hit = found_in(library_folder, Query(images=[plain("blue", 9)]), 1).hits[0]
    assert Path(hit.file).name == "green-0.png"
    again = of(folder, library_folder).update(joint)
    assert (again.new, again.kept) == (0, 9)


def test_a_stopped_update_goes_on(
    folder: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_AT_ONCE", 2)
    monkeypatch.setattr(index, "_PER_CHUNK", 4)
    joint, asked = ColourSpace(), iter([False, False, True])
    done = of(folder, library_folder).update(joint, stop=lambda: next(asked))
    assert (done.new, done.stopped) == (4, True)
    assert len(FolderImages(of(folder, library_folder))) == 4
    done = of(folder, library_folder).update(joint)
    assert (done.new, done.kept, done.stopped) == (5, 4, False)
    assert joint.encoded == 9
    opened = FolderImages(of(folder, library_folder))
    assert [Path(opened.hit(row, 0).file).is_file() for row in range(9)] == [True] * 9


def test_what_cannot_be_read_is_counted(
    folder: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    (folder / "notes.txt").write_text("no image")
    real, gone = index.read_regular, folder / "blue-0.png"

    def reading(path: Path, limit: int) -> bytes:
        if path == gone:
            path.unlink()
        if path.name == "red-0.png":
            path.write_bytes(path.read_bytes() + b"more")
        return real(path, limit)

    monkeypatch.setattr(index, "read_regular", reading)
    done = of(folder, library_folder).update(ColourSpace())
    assert done.new == 7
    assert dict(done.skipped) == {
        "no images that can be read": 1,
        "gone while they were read": 1,
        "changed while they were read": 1,
    }
    assert sorted(done.left_out) == [
        ("blue-0.png", "gone while they were read"),
        ("broken.png", "no images that can be read"),
        ("red-0.png", "changed while they were read"),
    ]


def test_of_very_many_that_are_left_out_the_first_are_named() -> None:
    done = index.Update()
    for number in range(1500):
        done.leave_out(f"{number}.png", "no images that can be read")
    told = json.loads(json.dumps(done.to_json()))
    assert told["skipped"] == {"no images that can be read": 1500}
    assert len(told["left_out"]) == 1000
    assert told["left_out"][0] == {"file": "0.png", "reason": "no images that can be read"}


def test_a_format_that_pillow_lacks_is_passed_over_with_a_word(
    folder: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "new.avif").write_bytes(b"a")
    monkeypatch.setattr(images, "_readable", lambda: frozenset({"PNG"}))
    done = of(folder, library_folder).update(ColourSpace())
    assert done.new == 9
    assert done.left_out == [("new.avif", "AVIF, which the Pillow here cannot read")]


@pytest.mark.skipif("AVIF" not in images._readable(), reason="this Pillow reads no AVIF")
def test_avif_is_read_like_the_others(folder: Path, library_folder: Path) -> None:
    plain("red", 5).save(folder / "new.avif")
    assert of(folder, library_folder).update(ColourSpace()).new == 10


@pytest.mark.skipif(os.name == "nt", reason="making links needs a right that few have")
def test_linked_folders_are_read_once_and_pipes_never(
    folder: Path, tmp_path: Path, library_folder: Path
) -> None:
    (tmp_path / "disk").mkdir()
    plain("red", 6).save(tmp_path / "disk" / "far.png")
    (folder / "disk").symlink_to(tmp_path / "disk")
    (folder / "round").symlink_to(folder)
    (folder / "dead.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    done = of(folder, library_folder).update(ColourSpace())
    assert (done.new, dict(done.skipped)) == (10, {})
    paths = [row["path"] for row in FolderImages(of(folder, library_folder)).descriptions()]
    assert "disk/far.png" in paths


def test_few_pictures_are_held_at_once(
    folder: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as are stored together would fill the memory, if they are large."""
    monkeypatch.setattr(images.groups, "__defaults__", (24 * 24 * 2,))
    seen: list[int] = []

    class Watching(ColourSpace):
        def encode_images(self, some: Sequence[Image.Image]) -> np.ndarray:
            seen.append(len(some))
            return super().encode_images(some)

    of(folder, library_folder).update(Watching())
    assert seen == [2, 2, 2, 2, 1]
    hit = found_in(library_folder, Query(images=[plain("red", 2)]), 1).hits[0]
    assert hit.file == str(folder / "old" / "red-2.png")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is closed to this user")
def test_a_closed_folder_is_said_and_forgets_nothing(folder: Path, library_folder: Path) -> None:
    of(folder, library_folder).update(ColourSpace())
    (folder / "old").chmod(0)
    try:
        done = of(folder, library_folder).update(ColourSpace())
        assert done.skipped["folders that cannot be read"] == 1
        assert (done.kept, done.gone) == (9, 0)
    finally:
        (folder / "old").chmod(0o755)


def test_a_folder_that_is_closed_forgets_nothing(
    folder: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above for any user: the walk is told what a closed folder answers."""
    of(folder, library_folder).update(ColourSpace())
    scandir = os.scandir

    def closed(place: Path) -> object:
        if Path(place).name == "old":
            raise PermissionError(13, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", closed)
    done = of(folder, library_folder).update(ColourSpace())
    assert done.skipped["folders that cannot be read"] == 1
    assert (done.kept, done.gone) == (9, 0)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, library_folder: Path) -> None:
    with pytest.raises(ImageError, match="cannot be listed"):
        of(tmp_path / "nowhere", library_folder).update(ColourSpace())


def test_a_damaged_part_is_read_again(folder: Path, library_folder: Path) -> None:
    joint = ColourSpace()
    own = of(folder, library_folder)
    own.update(joint)
    part = next(own.place.glob("0*.safetensors"))
    part.write_bytes(part.read_bytes()[:-9])
    assert len(FolderImages(own)) == 0
    assert own.update(joint).new == 9


def test_damage_anywhere_in_a_part_leaves_it_out(folder: Path, library_folder: Path) -> None:
    mine = of(folder, library_folder)
    mine.update(ColourSpace())
    chunk = next(mine.place.glob("0*.safetensors"))
    good, chance, whole = chunk.read_bytes(), random.Random(3), 0
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        chunk.write_bytes(bad)
        opened = FolderImages(mine)
        whole += len(opened) > 0 and bad != good
        for row in range(len(opened)):
            assert opened.hit(row, 0).prompt.endswith("wall")
        assert FolderPictures(library_folder).find(str(folder), "no.png", [folder]) is None
    assert whole == 0


@pytest.mark.parametrize(
    "change",
    [
        {"path": 5},
        {"path": ""},
        {"stamp": None},
        {"prompt": ["a"]},
        {"seed": "1"},
        {"settings": []},
        {"checkpoint": "a"},
        {"checkpoint": {"name": "a"}},
        {"checkpoint": {"name": "a", "hashes": [1]}},
    ],
)
def test_a_part_of_an_older_version_is_read_unless_it_is_malformed(
    folder: Path, library_folder: Path, change: dict[str, object]
) -> None:
    """It has no checksum, so that its descriptions are looked at."""
    mine = of(folder, library_folder)
    mine.update(ColourSpace())
    chunk = next(mine.place.glob("0*.safetensors"))
    tensors = numpy.load(chunk.read_bytes())
    del tensors["checksum"]
    chunk.write_bytes(numpy.save(tensors))
    assert len(FolderImages(mine)) == 9
    rows = json.loads(bytes(tensors["rows"]))
    rows[4] |= change
    tensors["rows"] = np.frombuffer(json.dumps(rows).encode(), dtype=np.uint8)
    chunk.write_bytes(numpy.save(tensors))
    assert len(FolderImages(mine)) == 0
    assert mine.update(ColourSpace()).new == 9


def test_a_picture_of_fifty_megapixels(folder: Path, library_folder: Path) -> None:
    Image.new("RGB", (8660, 5774), (200, 10, 10)).save(folder / "large.jpg")
    assert of(folder, library_folder).update(ColourSpace()).new == 10


def test_a_text_finds_the_files_whose_own_prompts_hold_it_first(
    folder: Path, library_folder: Path
) -> None:
    """What the pictures show says otherwise: only the prompts can tell."""
    for number, subject in enumerate(("tram in the fog", "glacier", "tram")):
        about = PngInfo()
        about.add_text("parameters", INFOTEXT.format(f"red {subject}"))
        plain("blue", number + 4).save(folder / f"{number}.png", pnginfo=about)
    of(folder, library_folder).update(ColourSpace())
    for text in ("a red tram", "red trams", "RED_TRAM"):
        hits = found_in(library_folder, Query(text=text), 5).hits
        assert ["tram" in hit.prompt for hit in hits] == [True] * 2 + [False] * 3
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    # of those whose prompts say as much, the pictures decide; and without words only they count
    hits = found_in(library_folder, Query(text="red wall"), 3).hits
    assert [Path(hit.file).name[:3] for hit in hits] == ["red"] * 3
    joined = found_in(library_folder, Query(text="glacier", images=[plain("blue", 5)]), 1).hits
    assert "glacier" in joined[0].prompt


def test_nearest_and_all_scores_agree(folder: Path, library_folder: Path) -> None:
    of(folder, library_folder).update(ColourSpace())
    for text in ("green", "a green wall", "green tram", "something blue"):
        quick = found_in(library_folder, Query(text=text), 4).hits
        slow = found_in(library_folder, Query(text=text), 4, lambda candidate: True).hits
        assert not slow, "no file here is of a candidate of the library"
        (images,) = (FolderImages(i) for i in indexed_folders(library_folder))
        (vector,) = unit(ColourSpace().encode_texts([text]))
        whole = images.vectors @ vector + images.words.scores(text)
        assert [hit.score for hit in quick] == pytest.approx(sorted(whole, reverse=True)[:4])


def test_a_filter_knows_the_checkpoints_of_the_library(folder: Path, library_folder: Path) -> None:
    of(folder, library_folder).update(ColourSpace())
    found = found_in(library_folder, Query(text="red"), 9, Filter(pattern="red"))
    assert not found.hits  # none of these checkpoints is in the library


def test_an_approximate_index_is_used_until_something_changes(
    folder: Path, library_folder: Path
) -> None:
    pytest.importorskip("faiss")
    own = of(folder, library_folder)
    own.update(ColourSpace())
    FolderImages(own).approximate()
    hit = found_in(library_folder, Query(images=[plain("green", 1)]), 1).hits[0]
    assert Path(hit.file).name == "green-1.png"
    assert (own.place / "approximate.faiss").is_file()
    plain("red", 5).save(folder / "new.png")
    own.update(ColourSpace())
    assert not (own.place / "approximate.faiss").exists()


def test_indexes_are_listed_and_removed(folder: Path, library_folder: Path) -> None:
    own = of(folder, library_folder)
    own.update(ColourSpace())
    assert [i.folder for i in indexed_folders(library_folder, ColourSpace.id)] == [folder]
    assert indexed_folders(library_folder, "another encoder") == []
    own.remove()
    own.remove()
    assert indexed_folders(library_folder, ColourSpace.id) == []
    assert (folder / "red-0.png").is_file()


def test_only_folders_of_the_host_may_be_named(folder: Path, tmp_path: Path) -> None:
    assert named_by_host(folder / "old", [folder])
    assert not named_by_host(tmp_path, [folder])
    assert not named_by_host(folder / ".." / "elsewhere", [folder])


def test_gmi_index(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "load_joint", lambda name, device="cpu": ColourSpace())
    assert main(["index"]) == 0
    assert "gmi index FOLDER" in capsys.readouterr().out
    assert main(["index", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 9
    (folder / "broken.png").write_bytes(b"")
    assert main(["index", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "9 images can be searched (0 read now" in said
    assert "left out: 1 no images that can be read" in said
    assert "    broken.png" in said.splitlines()
    assert main(["index", str(folder), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["skipped"] == {"no images that can be read": 1}
    assert told["left_out"] == [{"file": "broken.png", "reason": "no images that can be read"}]
    assert main(["search", "--samples", "red", "--top", "3"]) == 0
    assert "3 of 3 from: red-model" in capsys.readouterr().out
    assert main(["index", "--list"]) == 0
    assert f"{folder}: 9 images" in capsys.readouterr().out
    assert main(["index", str(folder), "--remove"]) == 0
    assert np.array_equal(sorted(folder.glob("red*")), sorted(folder.glob("red*.png")))
