"""Pictures beside each other: all there, in order, captioned, and the query framed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFont

from lib_gmi.base.grids import side_by_side

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (200, 30, 200))
FRAME = (99, 102, 241)


def plain(number: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, COLOURS[number])


def pixels_of(sheet: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns where the sheet has just this colour, ``[n, 2]``."""
    return np.argwhere((np.asarray(sheet) == colour).all(axis=2))


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (4, 4, 1), (5, 4, 2)])
def test_every_picture_has_its_place_in_order(count: int, columns: int, rows: int) -> None:
    sheet = side_by_side([(f"name {n}", plain(n)) for n in range(count)], side=64)
    single = side_by_side([("name", plain(0))], side=64)
    margin = 12
    assert sheet.width == (single.width - margin) * columns + margin
    assert sheet.height == (single.height - margin) * rows + margin
    places = []
    for number in range(count):
        found = pixels_of(sheet, COLOURS[number])
        assert len(found) == 64 * 64, "it is shown whole"
        places.append(tuple(found.min(axis=0)))
    assert places == sorted(places)
    assert len({top for top, _ in places}) == rows


@pytest.mark.parametrize("size", [(640, 320), (320, 640), (16, 8), (640, 20), (1, 1)])
def test_pictures_of_any_size_fit_into_their_square(size: tuple[int, int]) -> None:
    sheet = side_by_side([("query", plain(0, size)), ("answer", plain(1))], side=64)
    found = pixels_of(sheet, COLOURS[0])
    height, width = found.max(axis=0) - found.min(axis=0) + 1
    assert max(height, width) == 64
    assert width / height == pytest.approx(size[0] / size[1], rel=0.02) or 1 in (height, width)
    assert len(pixels_of(sheet, COLOURS[1])) == 64 * 64, "and leave the others alone"


def test_the_query_and_nothing_else_is_framed() -> None:
    sheet = side_by_side([("query", plain(0)), ("answer", plain(1))], side=64)
    frame, query = pixels_of(sheet, FRAME), pixels_of(sheet, COLOURS[0])
    assert len(frame) > 0
    assert (frame.min(axis=0) < query.min(axis=0)).all()
    assert (frame.max(axis=0) > query.max(axis=0)).all()
    assert frame[:, 1].max() < pixels_of(sheet, COLOURS[1])[:, 1].min()


def below(sheet: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """The caption's part of the sheet, below the picture of this colour."""
    found = pixels_of(sheet, colour)
    (_, left), (bottom, right) = found.min(axis=0), found.max(axis=0)
    return np.asarray(sheet)[bottom + 4 : bottom + 42, left - 12 : right + 13]


@pytest.mark.parametrize(
    "caption",
    [
        "a",
        "stabilityai_stable-diffusion-3.5-medium-turbo-fp8-scaled-v2.1.safetensors" * 2,
        "W" * 500,
        "モデル" * 40,
        "caf\udce9",
        "two\nlines",
        "tab\there",
    ],
    ids=range(7),
)
def test_a_caption_is_written_below_its_picture_and_not_beyond(caption: str) -> None:
    pictures = [("", plain(0)), (caption, plain(1)), ("", plain(2))]
    sheet = side_by_side(pictures, side=128)
    written = (below(sheet, COLOURS[1]) != (24, 24, 27)).any(axis=2)
    assert written.any()
    assert not written[:, :8].any(), "it does not begin before its picture"
    assert not written[:, -8:].any(), "it does not run into the next one's"
    assert not (below(sheet, COLOURS[2]) != (24, 24, 27)).any()


def test_both_ends_of_a_long_caption_can_be_told_apart() -> None:
    base = "a-model-with-a-long-name-" * 6
    sheets = [
        side_by_side([(caption, plain(0))], side=128).tobytes()
        for caption in (base, base + "v2", "x" + base)
    ]
    assert len(set(sheets)) == 3


def test_pictures_of_any_mode_are_shown() -> None:
    modes = ("L", "RGBA", "P", "CMYK", "1", "I;16", "F")
    pictures = [(mode, Image.new(mode, (8, 8))) for mode in modes]
    assert side_by_side(pictures, side=32).mode == "RGB"


def test_it_works_with_the_one_font_of_older_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 10.1 there was a bitmap font only, of one size and without most letters."""
    old = ImageFont.load_default_imagefont()

    def load_default(**arguments: float) -> object:
        if arguments:
            raise TypeError("load_default() got an unexpected keyword argument 'size'")
        return old

    monkeypatch.setattr(ImageFont, "load_default", load_default)
    for caption in ("short", "stable-diffusion-" * 10, "モデル"):
        sheet = side_by_side([(caption, plain(0)), ("", plain(1))], side=64)
        assert (below(sheet, COLOURS[0]) != (24, 24, 27)).any()
