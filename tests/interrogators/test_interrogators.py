"""Interrogators behind one protocol: their order, their cache, and what they say."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import picture, write_image_folder
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_gmi import interrogators
from lib_gmi.base.errors import InterrogatorError
from lib_gmi.base.images import pixel_hash
from lib_gmi.cli.main import main
from lib_gmi.interrogators import DEFAULT_ORDER, Interrogators, Query, parse_order
from lib_gmi.interrogators.cache import MOST, Cache
from lib_gmi.metadata.making import Making
from lib_gmi.records.protocols import PseudoPrompt


def ask(order: str, query: Query | None = None, **chain: Any) -> PseudoPrompt | None:
    query = query or Query(picture(1, 1))
    return Interrogators(**chain).describe(query, order=parse_order(order)).prompt


FULL = Query(picture(1, 1), " my words ", Making("a1111", "from the file"), lambda: "the nearest")


@pytest.mark.parametrize(
    ("order", "text", "source"),
    [
        ("user", "my words", "user"),
        ("metadata, user", "from the file", "metadata"),
        ("library,metadata", "the nearest", "library"),
        ("host,user", "a host's words", "host"),
        ("", "my words", "user"),
    ],
)
def test_the_first_that_has_something_to_say(order: str, text: str, source: str) -> None:
    found = ask(order, FULL, host=lambda image: "a host's words\n")
    assert found == PseudoPrompt(text, source)


def test_those_with_nothing_to_say_are_passed_over() -> None:
    empty = Query(picture(1, 1), " \n", Making("a1111"))
    for order in ("user", "metadata", "host", "library", "user,metadata,host,library"):
        assert ask(order, empty) is None
    assert ask("host", empty, host=lambda image: "  ") is None


def test_none_ends_the_order() -> None:
    assert ask("none,user", FULL) is None
    assert ask("metadata,none,labels") is None


def test_labels_are_always_there() -> None:
    data = pytest.importorskip("skimage.data")
    found = ask("user,metadata,labels", Query(Image.fromarray(data.chelsea())))
    assert found is not None
    assert found.source == "labels"
    assert found.text.startswith("a photo of ")
    assert any(cat in found.text for cat in ("tabby", "tiger cat", "Egyptian cat"))
    assert found.confidence is not None
    assert 0.3 < found.confidence <= 1


def test_one_that_fails_is_passed_over_with_a_note() -> None:
    def broken(image: Image.Image) -> str:
        raise RuntimeError("no model")

    chain = Interrogators(host=broken)
    described = chain.describe(FULL, order=("host", "metadata"))
    assert described.prompt == PseudoPrompt("from the file", "metadata")
    assert described.notes == ("host: The program's interrogator failed (no model).",)


def test_quick_descriptions_do_not_wait_for_slow_ones() -> None:
    asked: list[int] = []

    def slow(image: Image.Image) -> str:
        asked.append(1)
        return "slow words"

    chain = Interrogators(host=slow)
    order = ("host", "library")
    assert chain.describe(FULL, quick=True, order=order).prompt == PseudoPrompt(
        "the nearest", "library"
    )
    assert not asked
    chain.describe(FULL, order=order)
    assert chain.describe(FULL, quick=True, order=order).prompt == PseudoPrompt(
        "slow words", "host"
    ), "what it said once is known"
    chain.describe(FULL, order=order)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("order", "hint"),
    [("metdata", "Did you mean metadata"), ("blip!", "Known: user"), ("user,clip", "Unknown")],
)
def test_an_unknown_name_lists_near_ones(order: str, hint: str) -> None:
    with pytest.raises(InterrogatorError, match=hint):
        parse_order(order)


def test_orders_are_read_generously() -> None:
    assert parse_order(" Metadata , ,labels,metadata ") == ("metadata", "labels")
    assert parse_order(" ") == DEFAULT_ORDER
    assert parse_order("clip-interrogator") == ("clip-interrogator",)
    assert interrogators.row("clip-interrogator").name == "clip-interrogator:fast"
    names = [row.name for row in interrogators.rows()]
    assert set(DEFAULT_ORDER) < set(names)


def test_a_description_of_any_length_is_cut() -> None:
    found = ask("host", host=lambda image: "very " * 100_000)
    assert found is not None
    assert len(found.text) <= interrogators.MAX_TEXT


# -- the cache ------------------------------------------------------------------------------------


SAID = PseudoPrompt("a cat", "host", 0.5)


def test_answers_survive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "library" / "said.json"
    Cache(path).put("one", SAID)
    again = Cache(path)
    assert again.get("one") == SAID
    assert again.get("two") is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"null",
        b'{"said": {"one": ["a cat", "host"]}}',
        b'{"said": {"one": ["a cat", "host", NaN]}}',
        b'{"said": {"one": [1, 2, 3]}}',
        b'{"said": []}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_ignored_and_written_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "said.json"
    path.write_bytes(damage)
    cache = Cache(path)
    assert cache.get("one") is None
    cache.put("one", SAID)
    assert Cache(path).get("one") == SAID


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "said.json"
    many = {f"key {i}": ["text", "host", None] for i in range(MOST + 20)}
    path.write_text(json.dumps({"said": many}))
    cache = Cache(path)
    cache.put("newest", SAID)
    stored = json.loads(path.read_bytes())["said"]
    assert len(stored) == MOST
    assert list(stored)[-1] == "newest"
    assert "key 0" not in stored


def test_a_folder_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "said.json")
    cache.put("one", SAID)
    assert cache.get("one") == SAID


def _put(path: str, name: str) -> None:
    cache = Cache(Path(path))
    cache.get("anything")
    for number in range(10):
        cache.put(f"{name} {number}", SAID)


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "said.json"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_put, args=(str(path), name)) for name in ("a", "b")]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    cache = Cache(path)
    assert all(cache.get(f"{name} {i}") == SAID for name in ("a", "b") for i in range(10))


def test_images_are_known_by_their_pixels() -> None:
    image = picture(1, 1)
    assert pixel_hash(image) == pixel_hash(image.copy())
    assert pixel_hash(image) != pixel_hash(picture(1, 2))
    assert pixel_hash(image) != pixel_hash(image.resize((16, 64)))


# -- the command line -----------------------------------------------------------------------------


def told(path: Path, prompt: str) -> Path:
    info = PngInfo()
    info.add_text("parameters", f"{prompt}\nSteps: 20, Sampler: Euler a, Size: 512x512")
    picture(1, 3).save(path, pnginfo=info)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, Any]:
    code = main([str(argument) for argument in arguments])
    return code, json.loads(capsys.readouterr().out)


def test_interrogate_says_what_it_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = tmp_path / "plain.png"
    picture(1, 3).save(plain)
    images: Sequence[Path] = [told(tmp_path / "told.png", "a red fox"), plain]
    code, (first, second) = run(capsys, "interrogate", *images, "--with", "metadata", "--json")
    assert code == 1
    assert first["prompt"] == {"text": "a red fox", "source": "metadata", "confidence": None}
    assert second["prompt"] is None
    assert main(["interrogate", *map(str, images)]) == 0
    printed = capsys.readouterr().out
    assert "a red fox (metadata)" in printed
    assert "(labels, " in printed


def test_interrogate_goes_on_after_a_bad_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG nothing")
    good = told(tmp_path / "told.png", "a red fox")
    code, (first, second) = run(capsys, "interrogate", tmp_path / "bad.png", good, "--json")
    assert code == 1
    assert "bad.png" in first["error"]
    assert second["prompt"]["text"] == "a red fox"


def test_interrogators_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interrogate", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(row.name in listed for row in interrogators.rows())
    assert main(["interrogate", "x.png", "--with", "oracle"]) == 2
    assert "Unknown interrogator 'oracle'" in capsys.readouterr().err


def test_a_ranking_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_image_folder(tmp_path / "images", ["alpha", "beta"])
    assert main(["build", str(folder), "--encoder", "test/tiny", "--json"]) == 0
    capsys.readouterr()
    image = told(tmp_path / "told.png", "a red fox")
    code, said = run(capsys, "rank", image, "--interrogator", "metadata,labels", "--json")
    assert code == 0
    assert said["prompt"] == {"text": "a red fox", "source": "metadata", "confidence": None}
    code, said = run(capsys, "rank", image, "--prompt", "mine", "--interrogator=metadata", "--json")
    assert said["prompt"]["source"] == "user"
    code, said = run(capsys, "rank", image, "--json")
    assert said["prompt"] is None
    code, said = run(capsys, "rank", image, "--interrogator", "none", "--json")
    assert said["prompt"] is None
    long = told(tmp_path / "long.png", "a red fox, " * 300)
    code, said = run(capsys, "rank", long, "--interrogator", "metadata", "--json")
    assert any("at most 256 tokens" in note for note in said["notes"])


def test_hostile_metadata_describe_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = told(tmp_path / "hostile.png", "__import__('os').system('x')" + "(" * 5000)
    code, (said,) = run(capsys, "interrogate", hostile, "--with", "metadata", "--json")
    assert code in (0, 1)
    prompt = said["prompt"]
    assert prompt is None or len(prompt["text"]) <= interrogators.MAX_TEXT


def test_the_environment_names_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GMI_INTERROGATORS", raising=False)
    assert interrogators.order_from_environment() == DEFAULT_ORDER
    monkeypatch.setenv("GMI_INTERROGATORS", "clip-interrogator, labels")
    assert interrogators.order_from_environment() == ("clip-interrogator", "labels")
    monkeypatch.setenv("GMI_INTERROGATORS", "labels, nobody")
    with pytest.raises(InterrogatorError, match="nobody"):
        interrogators.order_from_environment()


def test_hosts_that_cannot_name_a_default_library_have_clip_interrogator_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ComfyUI nor AUTOMATIC1111 ships platformdirs."""
    monkeypatch.delenv("GMI_LIBRARY", raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    monkeypatch.setenv("GMI_CLIP_WEIGHTS", str(tmp_path / "missing.safetensors"))
    query = Query(picture(1, 1), tables=tmp_path)
    order = parse_order("clip-interrogator, none")
    assert Interrogators().describe(query, quick=True, order=order).notes == ()
    (note,) = Interrogators().describe(query, order=order).notes
    assert note.startswith("clip-interrogator: ")
