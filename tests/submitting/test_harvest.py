"""Specifications from images that say how they were made."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import picture, tiny_encoder, words_encoder
from PIL import Image, PngImagePlugin

from lib_gmi.base.errors import LibraryError
from lib_gmi.library.catalogue import Library
from lib_gmi.metadata import CheckpointMention, Making, Network
from lib_gmi.metadata.mentions import Installed, made_with
from lib_gmi.ranking.stack import stack
from lib_gmi.records.protocols import Candidate
from lib_gmi.submitting.harvest import HARVESTED, Harvester, difference_hash
from lib_gmi.submitting.survey import SPARE, Crop, Rules, survey

ALPHA_SHA, BETA_SHA = "ab" * 32, "cd" * 32
ALPHA = Candidate("alpha", f"sha256:{ALPHA_SHA}", "alpha.safetensors")
BETA = Candidate("sub/beta", "quick:1234", "sub/beta.safetensors")
EVERYTHING = Installed([ALPHA, BETA])


def infotext(prompt: str, number: int, model: str, extra: str = "") -> str:
    """As AUTOMATIC1111 writes it."""
    return (
        f"{prompt}\nNegative prompt: blurry\nSteps: 20, Sampler: Euler, CFG scale: 7, "
        f"Seed: {number}, Size: 300x300, {model}{extra}"
    )


def made(
    folder: Path,
    number: int,
    model: str = f"Model hash: {ALPHA_SHA[:10]}, Model: renamed",
    prompt: str | None = None,
    extra: str = "",
    suffix: str = ".png",
) -> Path:
    """An image that says how it was made."""
    folder.mkdir(parents=True, exist_ok=True)
    text = infotext(prompt or f"subject number {number}", number, model, extra)
    path = folder / f"{number:05d}{suffix}"
    image = picture(1, number, side=300)
    if suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", text)
        image.save(path, pnginfo=info)
    else:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
        image.save(path, exif=exif)
    return path


# -- which checkpoint is meant --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mention", "meant"),
    [
        (CheckpointMention("anything", (ALPHA_SHA[:10],)), ALPHA),
        (CheckpointMention(None, (ALPHA_SHA,)), ALPHA),
        (CheckpointMention("alpha"), ALPHA),
        (CheckpointMention("ALPHA.safetensors"), ALPHA),
        (CheckpointMention("sub\\beta.safetensors"), BETA),
        (CheckpointMention("beta"), BETA),
        (CheckpointMention("alpha", (BETA_SHA[:10],)), None),  # another version of it
        (CheckpointMention("beta", (BETA_SHA[:10],)), BETA),  # its own hash is not known yet
        (CheckpointMention("alph"), None),
        (CheckpointMention("alpha", (ALPHA_SHA[:8],)), ALPHA),  # too short a hash to count
        (CheckpointMention(None, (ALPHA_SHA[:8],)), None),
        (CheckpointMention("", ()), None),
        (None, None),
    ],
)
def test_a_mention_means_one_checkpoint_or_none(
    mention: CheckpointMention | None, meant: Candidate | None
) -> None:
    assert EVERYTHING.find(mention) is meant


def test_names_that_fit_two_files_mean_neither() -> None:
    twins = [replace(BETA, identity=f"quick:{n}", name=f"{n}/beta.safetensors") for n in (1, 2)]
    assert Installed(twins).find(CheckpointMention("beta")) is None
    assert Installed(twins).find(CheckpointMention("2/beta")) is twins[1]


def test_copies_of_one_file_are_one_checkpoint() -> None:
    copy = replace(ALPHA, name="copy/alpha.safetensors")
    assert Installed([ALPHA, copy]).find(CheckpointMention("alpha")) is ALPHA


def test_a_hash_that_is_known_by_now_decides() -> None:
    known = Installed([BETA], {"quick:1234": f"sha256:{BETA_SHA}"})
    assert known.find(CheckpointMention("renamed", (BETA_SHA[:10],))) is BETA
    assert known.find(CheckpointMention("beta", (ALPHA_SHA[:10],))) is None


def test_what_is_said_above_a_ranking() -> None:
    making = Making("a1111", checkpoint=CheckpointMention("beta"))
    networks = tuple(Network("lora", f"lora {n}") for n in range(4))
    other = replace(making, checkpoint=CheckpointMention("gamma"), networks=networks)
    said = made_with([None, making, Making("a1111"), other], EVERYTHING)
    assert [row.image for row in said] == [2, 4]
    assert said[0].sentence == "Made with sub/beta, according to the file."
    assert said[1].sentence == (
        "Made with gamma, according to the file; it is not installed. "
        "With lora 0, lora 1, lora 2 and 1 more."
    )
    assert said[0].to_json()["installed"] == BETA.name


# -- what the folders hold ------------------------------------------------------------------------


def test_images_are_grouped_by_checkpoint(tmp_path: Path) -> None:
    for number in range(9):
        made(tmp_path / "a", number)
    for number in range(20, 23):
        made(tmp_path / "b" / "deep", number, "Model: beta")
    made(tmp_path / "b", 30, "Model: gamma")
    picture(0, 0).save(tmp_path / "says-nothing.png")
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "broken.png").write_bytes(b"no image either")

    found = survey([tmp_path, tmp_path / "a"], EVERYTHING)

    assert [(crop.candidate, len(crop.finds), crop.missing) for crop in found.crops] == [
        (ALPHA, 9, 0),
        (BETA, 3, 5),
    ]
    assert found.enough == [found.crops[0]]
    assert found.files == 15
    assert found.silent == 2
    assert found.foreign == {"gamma": 1}
    assert not found.cut_short


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (", Denoising strength: 0.5", "img2img"),
        (", Denoising strength: 0.5, Hires upscale: 2, Hires upscaler: Latent", "hires"),
        (", ADetailer model: face_yolov8n.pt, ADetailer version: 24.1", "adetailer"),
        (", Mask blur: 4, Denoising strength: 0.5", "inpaint"),
    ],
)
def test_images_that_something_else_shaped_are_left_out(
    tmp_path: Path, extra: str, reason: str
) -> None:
    made(tmp_path, 1, extra=extra)
    found = survey([tmp_path], EVERYTHING)
    assert found.crops == []
    assert list(found.left_out) == [f"shaped by {reason}"]
    allowed = Rules(allowed=frozenset({reason, "img2img"}))
    assert len(survey([tmp_path], EVERYTHING, allowed).crops) == 1


@pytest.mark.parametrize(("weight", "kept"), [("0.3", True), ("-0.9", False), ("1", False)])
def test_networks_that_change_much_are_left_out(tmp_path: Path, weight: str, kept: bool) -> None:
    made(tmp_path, 1, prompt=f"a fox <lora:watercolour:{weight}>")
    found = survey([tmp_path], EVERYTHING)
    assert bool(found.crops) is kept
    if kept:
        assert found.crops[0].finds[0].prompt == "a fox"
    else:
        assert list(found.left_out) == ["LoRAs change it too much"]


def test_lossy_images_only_on_request(tmp_path: Path) -> None:
    made(tmp_path, 1, suffix=".jpg")
    found = survey([tmp_path], EVERYTHING)
    assert found.left_out == {"compressed with losses": 1}
    assert len(survey([tmp_path], EVERYTHING, Rules(lossy=True)).crops) == 1


def test_one_image_of_each_prompt_first(tmp_path: Path) -> None:
    for number in range(6):
        made(tmp_path, number, prompt="the same thing")
    for number in range(10, 14):
        made(tmp_path, number)
    found = survey([tmp_path], EVERYTHING, Rules(most=6))
    prompts = [find.prompt for find in found.crops[0].finds]
    assert len(set(prompts)) == 5
    assert prompts.count("the same thing") == 2
    assert found.left_out.total() == 4


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    made(tmp_path / "a", 1)
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert survey([tmp_path], EVERYTHING).files == 1


def test_somebody_cancels(tmp_path: Path) -> None:
    made(tmp_path, 1)
    found = survey([tmp_path], EVERYTHING, stop=lambda: True)
    assert found.cut_short
    assert found.files == 0


# -- specifications -------------------------------------------------------------------------------


def harvester(folder: Path) -> Harvester:
    return Harvester(Library(folder), tiny_encoder(), words_encoder())


def crop_of(folder: Path, numbers: Sequence[int], **changes: str) -> Crop:
    """What is found of the checkpoint alpha."""
    for number in numbers:
        made(folder, number, **changes)
    return survey([folder], EVERYTHING).crops[0]


def test_a_specification_of_what_was_found(tmp_path: Path) -> None:
    crop = crop_of(tmp_path / "images", range(9))
    stored, left_out = harvester(tmp_path / "library").gather(crop)
    assert stored is not None
    assert left_out == {}
    assert len(stored) == 9
    assert stored.own_prompts
    assert sorted(stored.texts.values()) == [f"subject number {n}" for n in range(9)]
    assert sorted(stored.seeds) == list(range(9))
    assert stored.prompt_embeddings is not None
    assert stored.provenance[HARVESTED]["programs"] == {"a1111": 9}
    library = Library(tmp_path / "library")
    (entry,) = library.entries()
    assert library.samples.find(entry.stem, stored.prompt_ids[0], stored.seeds[0])
    data, excluded = stack([stored])
    assert data is not None
    assert excluded == []


def test_harvesting_again_encodes_only_what_is_new(tmp_path: Path) -> None:
    first = crop_of(tmp_path / "images", range(9))
    harvester(tmp_path / "library").gather(first)
    encoded: list[int] = []
    again = harvester(tmp_path / "library")
    encode = again.encoder.encode_images

    class Counting:
        id, dim = again.encoder.id, again.encoder.dim

        @staticmethod
        def encode_images(images: Sequence[Image.Image]) -> object:
            encoded.append(len(images))
            return encode(images)

    again.encoder = Counting()  # type: ignore[assignment]
    stored, _ = again.gather(crop_of(tmp_path / "images", range(8, 12)))
    assert stored is not None
    assert len(stored) == 12
    assert len(encoded) == 3
    assert len(stored.texts) == 12


def test_limits_hold_for_all_harvests_together(tmp_path: Path) -> None:
    """Six harvests, each of ten new images of five prompts."""
    rules, library = Rules(least=4, most=8, of_prompt=2), Library(tmp_path / "library")
    for month in range(6):
        for number in range(10 * month, 10 * month + 10):
            path = made(tmp_path / "out", number, prompt=f"subject number {number % 5}")
            os.utime(path, (1e9 + 1000 * number,) * 2)
        (crop,) = survey([tmp_path / "out"], EVERYTHING, rules).crops
        stored, left_out = harvester(library.folder).gather(crop, rules)
        assert stored is not None
        assert len(stored) == 8
        assert max(Counter(stored.prompt_ids).values()) == 2
        assert month == 0 or left_out[SPARE] == 8
    (crop,) = survey([tmp_path / "out"], EVERYTHING, replace(rules, most=10)).crops
    stored, _ = harvester(library.folder).gather(crop, replace(rules, most=10))
    assert stored is not None
    assert len(stored) == 10, "who allows more gets more"


def test_a_picture_that_an_earlier_harvest_took_is_not_taken_again(tmp_path: Path) -> None:
    rules, library = Rules(least=4), Library(tmp_path / "library")
    for number in range(4):
        made(tmp_path / "out", number)
    (crop,) = survey([tmp_path / "out"], EVERYTHING, rules).crops
    harvester(library.folder).gather(crop, rules)
    again = made(tmp_path / "more", 90, prompt="other words")
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", infotext("other words", 90, "Model: alpha"))
    with Image.open(tmp_path / "out" / "00002.png") as image:
        image.save(again, pnginfo=info)
    (crop,) = survey([tmp_path / "more"], EVERYTHING, rules).crops
    stored, left_out = harvester(library.folder).gather(crop, rules)
    assert stored is not None
    assert len(stored) == 4
    assert left_out == {"nearly the same picture": 1}


def test_pictures_that_show_nothing_or_the_same_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    crop = crop_of(folder, range(9))
    black = made(folder, 50)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", infotext("black", 50, f"Model hash: {ALPHA_SHA[:10]}"))
    Image.new("RGB", (300, 300)).save(black, pnginfo=info)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", infotext("copy", 51, f"Model hash: {ALPHA_SHA[:10]}"))
    copy = picture(1, 3, side=300).resize((200, 200)).resize((300, 300))
    copy.save(folder / "00051.png", pnginfo=info)
    crop = survey([folder], EVERYTHING).crops[0]
    stored, left_out = harvester(tmp_path / "library").gather(crop)
    assert stored is not None
    assert len(stored) == 9
    assert left_out == {"shows nothing": 1, "nearly the same picture": 1}


def test_too_few_that_are_of_use_make_no_specification(tmp_path: Path) -> None:
    crop = crop_of(tmp_path / "images", range(8))
    crop.finds[0].path.unlink()
    stored, left_out = harvester(tmp_path / "library").gather(crop)
    assert stored is None
    assert left_out == {"cannot be read": 1}
    assert Library(tmp_path / "library").entries() == []


def test_stopping_keeps_what_is_done(tmp_path: Path) -> None:
    crop = crop_of(tmp_path / "images", range(9))
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 5

    stored, _ = harvester(tmp_path / "library").gather(crop, stop=stop)
    assert stored is not None
    assert len(stored) == 5
    stored, _ = harvester(tmp_path / "library").gather(crop)
    assert stored is not None
    assert len(stored) == 9


def test_a_library_that_cannot_be_written_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crop = crop_of(tmp_path / "images", range(9))

    def full(*_: object) -> None:
        raise LibraryError("the disk is full")

    monkeypatch.setattr("lib_gmi.library.samples.write_atomic", full)
    with pytest.raises(LibraryError, match="full"):
        harvester(tmp_path / "library").gather(crop)


def test_what_was_generated_stays_apart(tmp_path: Path) -> None:
    from conftest import make_specification

    library = Library(tmp_path / "library")
    generated = make_specification("x", prompts=6)
    generated = replace(generated, candidate=replace(generated.candidate, identity=ALPHA.identity))
    library.add(generated)
    harvester(tmp_path / "library").gather(crop_of(tmp_path / "images", range(9)))
    kinds: Mapping[str, int] = {e.prompt_set_hash: e.samples for e in library.entries()}
    assert kinds == {"hash-1": 6, "own": 9}


def test_difference_hashes_survive_scaling_and_compression(tmp_path: Path) -> None:
    image = picture(2, 5, side=300)
    image.resize((200, 200)).save(tmp_path / "x.jpg", quality=60)
    with Image.open(tmp_path / "x.jpg") as small:
        near = (difference_hash(image) ^ difference_hash(small)).bit_count()
    far = (difference_hash(image) ^ difference_hash(picture(2, 6, side=300))).bit_count()
    assert near < 4
    assert far > 8
