"""HTML without accidents, and the words on the page."""

from __future__ import annotations

import pytest

from lib_gmi.ui import words
from lib_gmi.ui.markup import Html, digest, icon, tag, together

EVIL = "\"><script>alert('x')</script>&"


def test_texts_and_attributes_are_escaped() -> None:
    html = tag("p", {"title": EVIL}, EVIL, [EVIL, None, False])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 3
    assert 'title="&quot;&gt;&lt;' in html


def test_markup_is_not_escaped_again() -> None:
    inner = tag("b", None, "<")
    assert tag("p", None, inner) == "<p><b>&lt;</b></p>"
    assert together(inner, " ", inner) == "<b>&lt;</b> <b>&lt;</b>"


def test_what_is_derived_from_markup_is_text_again() -> None:
    assert not isinstance(tag("b") + "<i>", Html)
    assert tag("p", None, tag("b") + "<i>") == "<p>&lt;b&gt;&lt;/b&gt;&lt;i&gt;</p>"


def test_attributes_without_a_value() -> None:
    assert tag("input", {"checked": True, "disabled": False, "name": None}) == "<input checked>"
    assert tag("i", {"data-n": 0}) == '<i data-n="0"></i>'


def test_icons_are_silent() -> None:
    assert 'aria-hidden="true"' in icon("star")


def test_digests_follow_the_text() -> None:
    assert digest("a") == digest("a") != digest("b")
    assert digest("\udcff")


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "0%"), (0.004, "<1%"), (0.5, "50%"), (0.994, ">99%"), (1.0, "100%")],
)
def test_percent(share: float, expected: str) -> None:
    assert words.percent(share) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1, "5 seconds"),
        (31, "30 seconds"),
        (60, "1 minute"),
        (125, "2 minutes"),
        (3600, "1 hour"),
        (3600 * 1.5, "1 h 30 min"),
        (3600 * 30, "30 hours"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected


def test_size() -> None:
    assert [words.size(n) for n in (0, 40_000, 7_000_000, 6_940_000_000)] == [
        "",
        "40 kB",
        "7 MB",
        "6.9 GB",
    ]


def test_ago() -> None:
    day, now = 86_400.0, 1_700_000_000.0
    shown = [words.ago(now - days * day, now) for days in (0, 1, 5, 20, 70, 800)]
    assert shown == [
        "today",
        "yesterday",
        "5 days ago",
        "2 weeks ago",
        "2 months ago",
        "2 years ago",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b\\c/dreamy_v1.safetensors", "dreamy_v1"),
        ("x.y.ckpt", "x.y"),
        ("plain", "plain"),
        (".ckpt", ".ckpt"),
    ],
)
def test_last_part(name: str, expected: str) -> None:
    assert words.last_part(name) == expected


@pytest.mark.parametrize(
    "title", ["short", "a/deep/folder/with_a_long_name_at_its_end_v12", EVIL, ""]
)
def test_an_elided_title_is_there_in_full(title: str) -> None:
    import html
    import re

    shown = words.elided(title, "its name")
    assert html.unescape(re.sub(r"<[^>]*>", "", shown)) == title
    assert 'title="its name"' in shown
