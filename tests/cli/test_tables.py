"""Tables fit the terminal, whatever the titles hold."""

from __future__ import annotations

import pytest

from lib_gmi.cli.tables import bar, display_width, table

LONG = "a-checkpoint-with-a-name-that-goes-on-and-on-and-on-and-on-and-on-v1.safetensors"


def widths(text: str) -> list[int]:
    """Columns that each line takes in a terminal."""
    return [display_width(line) for line in text.split("\n")]


def test_a_table_lines_up_names_to_the_left_and_numbers_to_the_right() -> None:
    text = table(["name", "score"], [["a", "1.5"], ["bcdef", "12.25"]], shrink=[0], width=40)
    assert text.split("\n") == [
        "name   score",
        "─────  ─────",
        "a        1.5",
        "bcdef  12.25",
    ]


def test_a_column_of_percentages_and_dashes_counts_as_numbers() -> None:
    lines = table(["p", "x"], [["12.5%", "a"], ["–", "b"]], shrink=[], width=40).split("\n")
    assert lines[3] == "    –  b"


def test_a_table_without_rows_is_its_headers() -> None:
    assert table(["a", "bc"], [], shrink=[0], width=10) == "a  bc\n─  ──"


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("title", [LONG, "模型" * 40, "é" * 90, "e\u0301" * 90, "🎨" * 50])
def test_no_line_is_wider_than_the_terminal(title: str, width: int) -> None:
    text = table(["#", "title", "why"], [["1", title, LONG]], shrink=[2, 1], width=width)
    assert max(widths(text)) <= width


def test_long_cells_are_cut_with_an_ellipsis_in_the_order_asked_for() -> None:
    lines = table(["title", "why"], [[LONG, LONG]], shrink=[1, 0], width=120).split("\n")
    assert LONG in lines[2], "the first column is spared while the second can give"
    assert lines[2].endswith("…")


def test_what_fits_is_not_cut() -> None:
    text = table(["title", "why"], [[LONG, LONG]], shrink=[1, 0], width=2 * len(LONG) + 2)
    assert text.count(LONG) == 2


def test_columns_line_up_under_wide_characters() -> None:
    rows = [["模型", "x"], ["abcd", "y"], ["e\u0301a", "z"]]
    lines = table(["t", "u"], rows, shrink=[], width=40).split("\n")
    starts = [
        display_width(line[: line.index(mark)]) for line, mark in zip(lines[2:], "xyz", strict=True)
    ]
    assert starts == [6, 6, 6]


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("abc", 3), ("模型", 4), ("e\u0301", 1), ("ｗｉｄｅ", 8), ("ﾊﾛｰ", 3), ("…", 1)],
)
def test_the_width_of_a_text_is_what_a_terminal_gives_it(text: str, width: int) -> None:
    assert display_width(text) == width


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("\x1b[31mred\x1b[0m", id="colours"),
        pytest.param("\x1b]0;new window title\x07", id="window title"),
        pytest.param("\x9b2J", id="clear the screen, in one byte"),
        pytest.param("a\nb", id="line break"),
        pytest.param("a\r\x08\x08b", id="return and backspace"),
        pytest.param("a\tb", id="tab"),
        pytest.param("\u202egnp.exe", id="written backwards"),
        pytest.param("a\u2028b", id="line separator"),
        pytest.param("a\x00b", id="null"),
        pytest.param("\ud800", id="half a character"),
    ],
)
def test_no_control_character_in_a_cell_reaches_the_terminal(hostile: str) -> None:
    text = table(["title"], [[hostile], ["plain"]], shrink=[0], width=60)
    lines = text.split("\n")
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
    assert "�" in lines[2], "it is shown that something was there"
    text.encode()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.999, 1.0, -1.0, 2.0])
def test_a_bar_always_has_the_same_width(share: float) -> None:
    assert len(bar(share, 10)) == 10


def test_a_bar_grows_with_the_share() -> None:
    assert bar(0, 4) == "    "
    assert bar(0.5, 4) == "██  "
    assert bar(1, 4) == "████"
    assert bar(1 / 32, 4) == "▏   "
