"""Names in the order that people expect."""

from __future__ import annotations

import random

import pytest

from lib_gmi.base.text import natural, readable


@pytest.mark.parametrize(
    "ordered",
    [
        ["v1", "v2", "v10", "v10a", "v11"],
        ["2", "10", "a", "b/1", "b/2", "b/10"],
        ["Alpha", "beta", "Gamma"],
        ["1.5", "1.10", "2.0"],
        ["x", "x1", "x01", "x2"],
        ["a\\2", "a/10"],
        ["n" + "9" * 5000, "n1" + "0" * 5000],
        ["", "0", "1", "é2", "é10"],
    ],
)
def test_numbers_in_names_count_as_numbers(ordered: list[str]) -> None:
    mixed = ordered.copy()
    random.Random(0).shuffle(mixed)
    assert [natural(name)[0] for name in sorted(mixed, key=natural)] == [
        natural(name)[0] for name in ordered
    ]
    if len({natural(name)[0] for name in ordered}) == len(ordered):
        assert sorted(mixed, key=natural) == ordered


def test_names_that_count_as_equal_keep_one_order() -> None:
    assert sorted(["A1", "a1", "a01"], key=natural) == sorted(["a01", "a1", "A1"], key=natural)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (12940.3, "12,940"),
        (-12940.3, "-12,940"),
        (999.0, "999"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (0.5, "0.500"),
        (0.01234, "0.0123"),
        (0.0, "0.000"),
    ],
)
def test_numbers_for_people_have_no_exponent(number: float, text: str) -> None:
    assert readable(number) == text
