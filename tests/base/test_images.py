"""Any image file becomes upright 8-bit RGB, or one clear error that names the file."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image, ImageChops

from lib_gmi.base import images, pixels
from lib_gmi.base.errors import ImageError
from lib_gmi.base.images import decode_image, list_images, open_image, through_codec, to_rgb

RED, WHITE, BLUE = (255, 0, 0), (255, 255, 255), (0, 0, 255)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    """The image as a file's content."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims this size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(64))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def red_and_blue() -> Image.Image:
    """Twice as wide as high; the left half is red, the right half blue."""
    image = Image.new("RGB", (32, 16), BLUE)
    image.paste(RED, (0, 0, 16, 16))
    return image


# -- every kind of image becomes upright RGB ------------------------------------------------------


@pytest.mark.parametrize(
    ("orientation", "size", "top_left", "bottom_right"),
    [
        (1, (32, 16), RED, BLUE),
        (2, (32, 16), BLUE, RED),
        (3, (32, 16), BLUE, RED),
        (4, (32, 16), RED, BLUE),
        (5, (16, 32), RED, BLUE),
        (6, (16, 32), RED, BLUE),
        (7, (16, 32), BLUE, RED),
        (8, (16, 32), BLUE, RED),
    ],
)
def test_the_exif_orientation_is_applied(
    tmp_path: Path,
    orientation: int,
    size: tuple[int, int],
    top_left: tuple[int, int, int],
    bottom_right: tuple[int, int, int],
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "camera.png"
    red_and_blue().save(path, exif=exif)
    image = open_image(path)
    assert image.size == size
    assert image.getpixel((0, 0)) == top_left
    assert image.getpixel((size[0] - 1, size[1] - 1)) == bottom_right


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_with_damaged_exif_is_read_all_the_same(format: str) -> None:
    data = encoded(picture(0, 0), format, exif=b"Exif\0\0M?\0*\xff\xff\xff\xff garbage")
    assert decode_image(data).size == (32, 32)


def _rgba() -> Image.Image:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    return image


def _half_transparent() -> Image.Image:
    return Image.new("RGBA", (2, 1), (255, 0, 0, 128))


def _palette_with_transparency() -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 9, 9, 9])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 1
    return image


def _colour_key() -> Image.Image:
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), (1, 2, 3))
    image.info["transparency"] = (1, 2, 3)
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(_rgba(), [RED, WHITE], id="RGBA"),
        pytest.param(_half_transparent(), [(255, 127, 127)] * 2, id="half transparent RGBA"),
        pytest.param(_palette_with_transparency(), [RED, WHITE], id="palette"),
        pytest.param(_colour_key(), [RED, WHITE], id="RGB with a transparent colour"),
        pytest.param(_rgba().convert("LA"), [(76, 76, 76), WHITE], id="LA"),
        pytest.param(_rgba().convert("RGBa"), [RED, WHITE], id="premultiplied"),
    ],
)
def test_transparency_is_laid_over_white(
    image: Image.Image, expected: list[tuple[int, int, int]]
) -> None:
    rgb = to_rgb(image)
    assert rgb.mode == "RGB"
    assert [rgb.getpixel((x, 0)) for x in range(2)] == expected


def test_transparency_survives_the_file_formats_that_have_it() -> None:
    for format in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if format == "WEBP" else {}
        rgb = decode_image(encoded(_rgba(), format, **options))
        assert [rgb.getpixel((x, 0)) for x in range(2)] == [RED, WHITE], format


def _grey16() -> Image.Image:
    return Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))


def _float(top: float) -> Image.Image:
    return Image.fromarray(np.array([[0, top / 2, top]], dtype=np.float32))


@pytest.mark.parametrize(
    ("image", "format"),
    [
        pytest.param(_grey16(), "PNG", id="16-bit PNG"),
        pytest.param(_grey16(), "TIFF", id="16-bit TIFF"),
        pytest.param(_grey16().convert("I"), "TIFF", id="32-bit integers"),
        pytest.param(_float(1.0), "TIFF", id="floats up to 1"),
        pytest.param(_float(255.0), "TIFF", id="floats up to 255"),
        pytest.param(_float(65535.0), "TIFF", id="floats up to 65535"),
        pytest.param(_float(1e6), "TIFF", id="floats up to a million"),
    ],
)
def test_deep_grey_is_scaled_rather_than_clipped(image: Image.Image, format: str) -> None:
    rgb = decode_image(encoded(image, format))
    black, middle, white = (rgb.getpixel((x, 0)) for x in range(3))
    assert black == (0, 0, 0)
    assert white == WHITE
    assert all(126 <= channel <= 129 for channel in middle)  # type: ignore[union-attr]


def test_floats_that_are_no_numbers_become_black() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, -5, 1]], dtype=np.float32)
    rgb = to_rgb(Image.fromarray(values))
    assert [rgb.getpixel((x, 0)) for x in range(5)] == [(0, 0, 0)] * 4 + [WHITE]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I"])
def test_every_mode_becomes_rgb_of_the_same_size(mode: str) -> None:
    rgb = to_rgb(Image.new(mode, (5, 3)))
    assert (rgb.mode, rgb.size) == ("RGB", (5, 3))


@pytest.mark.parametrize(
    ("mode", "format"), [("1", "PNG"), ("1", "TIFF"), ("P", "GIF"), ("L", "JPEG"), ("CMYK", "JPEG")]
)
def test_colours_of_a_red_picture_survive_a_mode_as_well_as_that_mode_allows(
    mode: str, format: str
) -> None:
    rgb = decode_image(encoded(Image.new("RGB", (16, 16), RED).convert(mode), format))
    grey = np.asarray(rgb, dtype=float).mean(axis=(0, 1)) @ [0.299, 0.587, 0.114]
    assert rgb.mode == "RGB"
    assert abs(grey - 76) < 6


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE, WHITE)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert decode_image(data).getpixel((8, 8)) == RED


@pytest.mark.parametrize("size", [(1, 1), (4000, 8), (8, 4000), (1, 300)])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_tiny_and_very_long_images_are_read(size: tuple[int, int], format: str) -> None:
    image = decode_image(encoded(Image.new("RGB", size, RED), format))
    assert (image.mode, image.size) == ("RGB", size)


def test_reading_the_same_file_twice_gives_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture(1, 1).save(path)
    assert open_image(path).tobytes() == open_image(str(path)).tobytes()


# -- what is very large ---------------------------------------------------------------------------


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if more than 64×64 pixels were very large."""
    monkeypatch.setattr(images, "KEPT_PIXELS", 64 * 64)
    monkeypatch.setattr(pixels, "_STRIP", 700)


def smooth(width: int, height: int) -> Image.Image:
    return picture(3, 5, 8).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        *[("RGB", name) for name in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "TGA")],
        *[(mode, "PNG") for mode in ("L", "LA", "RGBA", "P", "I;16", "1")],
        *[(mode, "TIFF") for mode in ("CMYK", "F", "I")],
    ],
)
@pytest.mark.parametrize("size", [(160, 100), (65, 64), (1000, 10)])
def test_a_very_large_picture_is_shrunk_and_looks_the_same(
    small_budget: None,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    format: str,
    size: tuple[int, int],
) -> None:
    image = smooth(*size)
    if mode in ("I;16", "F", "I"):
        deep = np.asarray(image.convert("L"), dtype=np.uint16) * 257
        image = Image.fromarray(deep if mode == "I;16" else deep.astype(np.int32))
        image = image.convert("F") if mode == "F" else image
    elif mode == "RGBA":
        image.putalpha(smooth(*size).convert("L"))
    else:
        image = image.convert(mode)
    data = encoded(image, format)
    shrunk = decode_image(data)
    assert shrunk.mode == "RGB"
    assert shrunk.width * shrunk.height <= 64 * 64
    monkeypatch.setattr(images, "KEPT_PIXELS", 1 << 20)
    whole = decode_image(data).resize(shrunk.size, Image.Resampling.BOX)
    difference = np.asarray(ImageChops.difference(shrunk, whole), dtype=float)
    assert difference.mean() < (30 if mode == "1" else 4)


def test_a_very_large_picture_is_upright_and_only_once(small_budget: None) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = red_and_blue().resize((320, 160), Image.Resampling.NEAREST)
    shrunk = decode_image(encoded(tall, "PNG", exif=exif))
    assert (shrunk.size, to_rgb(shrunk).size) == ((40, 80), (40, 80))
    assert shrunk.getpixel((0, 0)) == RED
    assert shrunk.getpixel((39, 79)) == BLUE


def test_a_picture_is_turned_only_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode_image(encoded(red_and_blue(), "PNG", exif=exif))
    assert to_rgb(to_rgb(image)).tobytes() == image.tobytes()


def test_what_is_ordinary_is_not_touched() -> None:
    side = 4096
    image = Image.new("RGB", (side, side), RED)
    image.putpixel((5, 7), BLUE)
    read = decode_image(encoded(image, "PNG", compress_level=1))
    assert (read.size, read.getpixel((5, 7)), read.getpixel((6, 7))) == ((side, side), BLUE, RED)


def test_16_bits_are_scaled_as_they_always_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_STRIP", 50)
    rng = np.random.default_rng(0)
    for top in (256, 40_000, 65_536):
        values = rng.integers(0, top, (33, 21), dtype=np.uint16)
        grey = np.asarray(to_rgb(Image.fromarray(values)))[..., 0]
        assert (grey == (values * (255.0 / 65535.0)).round()).all()
    for top in (0.9, 200.0, 60_000.0, 1e6):
        values = (rng.random((33, 21)) * top).astype(np.float32)
        white = next((w for w in (1.0, 255.0, 65535.0) if w >= top), float(values.max()))
        grey = np.asarray(to_rgb(Image.fromarray(values)))[..., 0]
        assert (grey == (values.astype(np.float64) * (255.0 / white)).round()).all()


@pytest.mark.parametrize(("format", "options"), [("WEBP", {}), ("JPEG", {"progressive": True})])
def test_what_takes_too_much_to_be_decoded_is_refused_before(
    monkeypatch: pytest.MonkeyPatch, format: str, options: dict[str, bool]
) -> None:
    data = encoded(Image.new("RGB", (300, 300), RED), format, **options)
    assert decode_image(data).size == (300, 300)
    monkeypatch.setattr(images, "MAX_DECODING", 300 * 300 * 8)
    with pytest.raises(ImageError, match="Shrink it"):
        decode_image(data)
    assert decode_image(encoded(Image.new("RGB", (300, 300)), "PNG")).size == (300, 300)


def test_an_icon_that_holds_a_poster_is_refused() -> None:
    data = encoded(Image.new("RGB", (64, 64), RED), "ICO", sizes=[(64, 64)])
    assert decode_image(data).size == (64, 64)
    at = data.index(b"IHDR")
    header = b"IHDR" + struct.pack(">II", 20_000, 20_000) + data[at + 12 : at + 17]
    forged = data[:at] + header + struct.pack(">I", zlib.crc32(header)) + data[at + 21 :]
    with pytest.raises(ImageError, match="too large"):
        decode_image(forged)


def test_groups_hold_few_pixels_and_keep_the_order() -> None:
    sides = [10, 10, 30, 5, 5, 5, 20]
    made = [(Image.new("L", (side, side)), number) for number, side in enumerate(sides)]
    found = [[about for _, about in group] for group in images.groups(iter(made), 400)]
    assert found == [[0, 1], [2], [3, 4, 5], [6]]


# -- everything else is an ImageError that names the file -----------------------------------------


def _nothing(path: Path) -> None:
    return None


def _folder(path: Path) -> None:
    path.mkdir()


def _content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


JPEG = encoded(picture(0, 0), "JPEG")


@pytest.mark.parametrize(
    ("create", "explanation"),
    [
        pytest.param(_nothing, "no such file", id="missing"),
        pytest.param(_folder, "is a folder", id="folder"),
        pytest.param(_content(b""), "not an image", id="empty"),
        pytest.param(_content(b"Dear diary,\nnothing happened.\n"), "not an image", id="text"),
        pytest.param(_content(JPEG[: len(JPEG) // 2]), "truncated", id="truncated JPEG"),
        pytest.param(_content(png_header(100_000, 100_000)), "large|limit", id="bomb"),
        pytest.param(_content(png_header(12_000, 12_000)), "limit", id="above our own limit"),
        pytest.param(_content(png_header(64, 64)), "truncated", id="PNG without pixels"),
        pytest.param(_content(png_header(0, 5)), "file.png", id="no width"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, create: Callable[[Path], object], explanation: str
) -> None:
    path = tmp_path / "file.png"
    create(path)
    with pytest.raises(ImageError, match=explanation) as caught:
        open_image(path)
    assert "file.png" in str(caught.value)


def test_a_name_that_no_file_can_have_is_an_image_error_too() -> None:
    with pytest.raises(ImageError):
        open_image("nul\0byte.png")


def test_what_is_in_a_file_counts_and_not_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encoded(red_and_blue(), "PNG"))
    assert open_image(path).getpixel((0, 0)) == RED


def _samples() -> list[bytes]:
    image = picture(2, 3, side=24)
    animation = [picture(2, content, side=12) for content in range(3)]
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(image, "PNG", exif=exif),
        encoded(image.convert("P"), "PNG", transparency=3),
        encoded(image, "JPEG", exif=exif),
        encoded(image, "JPEG", progressive=True),
        encoded(image, "WEBP"),
        encoded(image.convert("RGBA"), "WEBP", lossless=True),
        encoded(animation[0], "GIF", save_all=True, append_images=animation[1:]),
        encoded(image, "TIFF"),
        encoded(image, "TIFF", compression="tiff_lzw"),
        encoded(image, "BMP"),
    ]


def _damaged(rng: random.Random, samples: list[bytes]) -> bytes:
    """Some bytes flipped, the end cut off, or the head of one file on the tail of another."""
    data = bytearray(rng.choice(samples))
    kind = rng.randrange(3)
    if kind == 0:
        for _ in range(rng.choice((1, 1, 2, 8, 40))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 1:
        del data[rng.randrange(len(data)) :]
    else:
        other = rng.choice(samples)
        data = data[: rng.randrange(len(data))] + bytearray(other[rng.randrange(len(other)) :])
    return bytes(data)


def test_200_damaged_images_are_either_read_as_rgb_or_refused() -> None:
    """Nothing but an ImageError may come out of a decoder, whatever the bytes."""
    rng = random.Random(20240229)
    samples = _samples()
    assert all(decode_image(data).mode == "RGB" for data in samples)
    read = refused = 0
    for number in range(200):
        try:
            image = decode_image(_damaged(rng, samples), name=f"image-{number}")
        except ImageError as error:
            refused += f"image-{number}" in str(error)
        else:
            read += image.mode == "RGB" and np.asarray(image).shape == (*image.size[::-1], 3)
    assert read + refused == 200
    assert min(read, refused) > 20, "the damage should be neither always fatal nor never"


# -- folders --------------------------------------------------------------------------------------


def test_a_folder_lists_its_images_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "c.webp", "d.AVIF", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == [
        "a.jpeg",
        "b.PNG",
        "c.webp",
        "d.AVIF",
    ]


def test_every_format_that_is_decoded_has_its_suffixes() -> None:
    readable = images._readable()
    assert {"PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"} <= readable
    for name, suffixes in images.FORMATS.items():
        for suffix in suffixes:
            word = images.unreadable_here(Path("a" + suffix.upper()))
            assert (word is None) == (name in readable)
            assert word is None or word.startswith(name)
    assert images.unreadable_here(Path("notes.txt")) is None


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nowhere"):
        list_images(tmp_path / "nowhere")


# -- the way of the pixels ------------------------------------------------------------------------


def test_the_codec_source_leaves_an_image_as_it_is() -> None:
    image = picture(0, 0)
    assert through_codec(image, "source") is image


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 48), (21, 16)),
        ((48, 64), (16, 21)),
        ((16, 16), (16, 16)),
        ((10, 12), (10, 12)),
        ((4000, 8), (4000, 8)),
        ((32, 3200), (16, 1600)),
    ],
)
def test_a_codec_shrinks_the_shorter_side_and_never_enlarges(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    image = through_codec(Image.new("RGB", size, RED), "webp90-16")
    assert (image.mode, image.size) == ("RGB", expected)


def test_a_codec_leaves_its_traces_and_a_lower_quality_more_of_them() -> None:
    image = picture(0, 0, side=64)

    def damage(codec: str) -> float:
        difference = ImageChops.difference(image, through_codec(image, codec))
        return float(np.asarray(difference, dtype=float).mean())

    assert 0 < damage("webp90-64") < damage("webp10-64")


def test_a_codec_gives_the_same_pixels_every_time() -> None:
    first, second = (through_codec(picture(1, 2), "webp80-24").tobytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "codec",
    [
        *("", "png", "webp", "webp90", "webp-512", "webp90-0", "webpx-1", "webp101-8", "webp0-8"),
        *(
            "webp90-" + "9" * 400,
            "webp90-" + "9" * 5000,
            "webp9٠-512",
            "webp90-512\n",
            "webp090-512",
        ),
    ],
)
def test_an_unknown_codec_is_refused_with_an_example(codec: str) -> None:
    with pytest.raises(ImageError, match="webp90-512"):
        through_codec(picture(0, 0), codec)


def test_an_image_that_is_too_long_for_a_codec_is_shrunk_to_what_it_holds() -> None:
    """WebP holds at most 16,383 pixels a side; scrolling comics are longer."""
    image = through_codec(Image.new("RGB", (40, 20_000), RED), "webp90-512")
    assert image.size == (33, 16_383)
