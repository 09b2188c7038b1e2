"""The prompt that an image file names, and files that name nothing or lie."""

from __future__ import annotations

import io

import pytest
from PIL import Image, PngImagePlugin

from lib_gmi.metadata import MAX_PROMPT, prompt_in, prompt_of
from lib_gmi.routes import fields

PROMPT = "a lighthouse at dusk, <lora:detail:0.8> volumetric light"
WORDS = "a lighthouse at dusk, volumetric light"
SETTINGS = "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 512x512"
INFOTEXT = f"{PROMPT}\nNegative prompt: blurry, text\n{SETTINGS}"


def png(text: str, key: str = "parameters") -> Image.Image:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(key, text)
    return reopened(Image.new("RGB", (8, 8)), "PNG", pnginfo=info)


def commented(comment: bytes | str, kind: str = "JPEG") -> Image.Image:
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    exif[0x8769] = {0x9286: comment}
    return reopened(image, kind, exif=exif)


def reopened(image: Image.Image, kind: str, **options: object) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def test_the_prompt_of_a_png() -> None:
    assert prompt_of(png(INFOTEXT)) == WORDS


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + INFOTEXT.encode("utf-16-be"),
        b"UNICODE\0" + INFOTEXT.encode("utf-16-le"),
        b"ASCII\0\0\0" + INFOTEXT.encode(),
        bytes(8) + INFOTEXT.encode(),
    ],
    ids=["utf-16-be", "utf-16-le", "ascii", "undefined"],
)
def test_the_prompt_of_a_photograph_format(comment: bytes, kind: str) -> None:
    assert prompt_of(commented(comment, kind)) == WORDS


def test_letters_beyond_latin() -> None:
    text = "灯台の夕暮れ、光"
    assert prompt_of(commented(b"UNICODE\0" + f"{text}, a b c".encode("utf-16-be"))) == (
        f"{text}, a b c"
    )
    assert prompt_of(png(f"{text}\n{SETTINGS}")) == text


@pytest.mark.parametrize(
    ("infotext", "prompt"),
    [
        ("a cat", "a cat"),
        (f"a cat\n{SETTINGS}", "a cat"),
        ("a cat\non a roof\nNegative prompt: dog\nmore of it\n" + SETTINGS, "a cat\non a roof"),
        ("a sign that says Steps: 3", "a sign that says Steps: 3"),
        (SETTINGS, None),
        (f"Negative prompt: dog\n{SETTINGS}", None),
        ("", None),
        ("  \n ", None),
        ("a\0 cat\x1b[31m", "a cat[31m"),
        ("a cat, <lora:x:1>, <hypernet:y:1>, on a roof", "a cat, on a roof"),
        ("a cat\r\nNegative prompt: dog", "a cat"),
    ],
)
def test_only_the_prompt_is_taken(infotext: str, prompt: str | None) -> None:
    assert prompt_in(infotext) == prompt


def test_an_image_without_a_word() -> None:
    assert prompt_of(Image.new("RGB", (8, 8))) is None
    assert prompt_of(png("a photograph", "Title")) is None


@pytest.mark.parametrize(
    "comment", [b"", b"UNICODE\0", b"UNICODE\0\xd8", b"EBCDIC\0\0abc", b"\xff" * 40]
)
def test_comments_that_say_nothing(comment: bytes) -> None:
    assert prompt_of(commented(comment)) is None


def test_damaged_exif_is_no_reason_to_fail() -> None:
    image = Image.new("RGB", (8, 8))
    image.info["exif"] = b"Exif\0\0II*\0\xff\xff\xff\xff"
    assert prompt_of(image) is None
    image = Image.new("RGB", (8, 8))
    image.info["parameters"] = 7
    assert prompt_of(image) is None


def test_endless_texts_are_cut_before_they_cost_anything() -> None:
    for hostile in ("a, " * 2_000_000, "Steps: " * 1_000_000, '"' * 3_000_000, "<lora:" * 900_000):
        prompt = prompt_in(hostile)
        assert prompt is not None
        assert len(prompt) <= MAX_PROMPT == fields.MAX_PROMPT
