"""The share card: a picture that says what it shall, and nothing more."""

from __future__ import annotations

import io

import numpy as np
import pytest
from conftest import picture
from PIL import Image, PngImagePlugin

from lib_gmi.ui.share import HEIGHT, WIDTH, ShareRow, share_card, short_hash


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def row(title: str = "dreamy", probability: float | None = 0.6, samples: int = 2) -> ShareRow:
    pictures = [picture(2, content, 64) for content in range(samples)]
    return ShareRow(title, probability, pictures, "0123456789", "SDXL")


def test_it_has_the_promised_size_and_no_metadata() -> None:
    query = picture(1, 1, 64)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a secret prompt")
    buffer = io.BytesIO()
    query.save(buffer, "PNG", pnginfo=info)
    data = share_card([opened(buffer.getvalue())], [row(), row("other", 0.3)])
    card = opened(data)
    assert card.size == (WIDTH, HEIGHT)
    assert card.info == {}
    assert not card.getexif()
    assert b"secret" not in data


def test_the_query_and_the_samples_are_on_it() -> None:
    red, blue = Image.new("RGB", (50, 50), (250, 0, 0)), Image.new("RGB", (50, 50), (0, 0, 250))
    card = np.asarray(opened(share_card([red], [ShareRow("a", 0.5, [blue, blue])])), int)
    reds = (card[..., 0] > 240) & (card[..., 1] < 10) & (card[..., 2] < 10)
    blues = (card[..., 2] > 240) & (card[..., 0] < 10) & (card[..., 1] < 10)
    assert reds.sum() > 150_000
    assert blues.sum() > 20_000
    assert np.argwhere(reds)[:, 1].max() < np.argwhere(blues)[:, 1].min()


def test_a_longer_bar_for_a_larger_share() -> None:
    def accent(share: float) -> int:
        card = np.asarray(opened(share_card([picture(0, 0)], [ShareRow("a", share)])), int)
        right = card[:, WIDTH // 2 :]
        return int(((right[..., 0] > 235) & (right[..., 2] < 130)).sum())

    assert accent(0.9) > 1.5 * accent(0.4)


def test_only_the_first_three_are_shown() -> None:
    rows = [row(str(number), 0.2) for number in range(5)]
    assert share_card([picture(0, 0)], rows) == share_card([picture(0, 0)], rows[:3])


@pytest.mark.parametrize(
    "title",
    [
        "x" * 400,
        "東京アニメ写実_v3",
        "مزيج",
        "a\nb\tc\x00d",
        "🦊" * 30,
        "",
    ],
)
def test_no_title_breaks_it(title: str) -> None:
    card = opened(share_card([picture(0, 0)], [row(title), row(title, None), row(title, 1e-9, 0)]))
    pixels = np.asarray(card, int)
    margin = pixels[:, WIDTH - 30 :]  # whatever the title, nothing is drawn over the edge
    assert (margin.max(axis=(0, 1)) < 60).all()


def test_titles_with_unknown_letters_differ_from_no_title() -> None:
    assert share_card([picture(0, 0)], [row("東京")]) != share_card([picture(0, 0)], [row("")])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_any_number_of_query_images(count: int) -> None:
    images = [picture(style, 0, 40) for style in range(count)]
    assert opened(share_card(images, [row()])).size == (WIDTH, HEIGHT)


def test_without_rows_it_is_still_a_card() -> None:
    plain = share_card([picture(0, 0)], [])
    assert opened(plain).size == (WIDTH, HEIGHT)
    assert plain != share_card([picture(0, 0)], [], "Nothing fits well")


def test_short_hash() -> None:
    assert short_hash("sha256:" + "ab" * 32) == "ababababab"
    assert short_hash("quick:" + "ab" * 32) == ""
