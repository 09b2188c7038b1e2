"""Regular expressions meet texts of strangers. Each one of the package is found by itself, looked
at by a static analyser (regexploit), and fed the texts that cost it the most.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Collection
from typing import Any

import pytest
from patterns import Found, ambiguities, patterns_in, worst_texts, written_in

import lib_gmi
from lib_gmi.search import prompt_words

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of sre_parse, which it imports
    pytest.importorskip("regexploit.ast.sre")

#: Characters of a short text and of one that is 16 times as long.
SHORT, LONG = 500, 8000
#: What 16 times the text may cost; in proportion it is 16, and each pair of repetitions squares it.
FACTOR = 40
#: Below so many seconds of the processor, a clock says nothing.
NOTICEABLE = 0.005

#: Patterns that are put together while the program runs: examples of each, from where it is done.
MADE: dict[str, Callable[[], list[re.Pattern[Any]]]] = {
    "lib_gmi.metadata.names _any": lambda: [],  # for constants of the module, which are found
    "lib_gmi.search.library_samples literal": lambda: [
        re.compile(r"(?<!\w)a\s+a\s+b(?!\w)", re.IGNORECASE)
    ],
    "lib_gmi.search.prompt_words _pattern": lambda: [
        prompt_words._pattern(w) for w in ("s", "\u4e00")
    ],
}


FOUND = list(patterns_in(lib_gmi))
WRITTEN = {found.pattern: found for found in reversed(FOUND) if found.pattern is not None}
MADE_HERE = {p: Found(place, p) for place, made in MADE.items() for p in made()}
ALL = [*WRITTEN.values(), *MADE_HERE.values()]


def each_pattern() -> Any:
    return pytest.mark.parametrize("found", [pytest.param(each, id=each.place) for each in ALL])


def test_the_patterns_of_the_package_are_found() -> None:
    assert len(WRITTEN) > 60


def test_each_pattern_that_is_made_in_a_run_has_examples_here() -> None:
    """Whoever adds one adds what it makes to the table above."""
    made = {re.sub(":\\d+", "", found.place) for found in FOUND if found.pattern is None}
    assert made == set(MADE)


def test_patterns_are_found_wherever_they_are_written() -> None:
    source = """
import re as r
A = (r.compile("a+"), 1)
def f(text, word):
    r.sub(r"b" + B, "", text, flags=r.I)
    return [r.match(word + "+", text)]
"""
    found = list(written_in(source, "m", {"r": re, "B": "c*"}))
    assert found == [
        Found("m:3", re.compile("a+")),
        Found("m:5 f", re.compile("bc*", re.IGNORECASE), frozenset({"sub"})),
        Found("m:6 f", None, frozenset({"match"})),
    ]
    with pytest.raises(AssertionError, match="import re"):
        list(written_in("from re import compile", "m", {}))


@each_pattern()
def test_no_repetition_is_ambiguous(found: Found) -> None:
    assert found.pattern is not None
    assert ambiguities(found.pattern) == []


@pytest.mark.parametrize("text", ["(a+)+$", "(?:a*)*b", r"\s*,*\s*\s*$", "a{1,99}a{1,99}a{1,99}!"])
def test_ambiguous_repetitions_are_seen(text: str) -> None:
    assert ambiguities(re.compile(text))


@each_pattern()
def test_a_longer_text_takes_longer_in_proportion(found: Found) -> None:
    assert found.pattern is not None
    assert _slow(found.pattern, found.asked) is None


@pytest.mark.parametrize("text", ["x.*x.*x", r"\s+$", "<[^>]*>", "a.*?b"])
def test_what_takes_longer_is_seen(text: str) -> None:
    assert _slow(re.compile(text)) is not None


def _slow(pattern: re.Pattern[Any], asked: Collection[str] = ()) -> str | None:
    """The beginning of a text on which a pattern takes more than in proportion, if any."""
    texts = worst_texts(pattern, SHORT, LONG)
    ask = _asking(pattern, asked)
    return next((repr(long[:40]) for short, long in texts if _is_slow(ask, short, long)), None)


def _asking(pattern: re.Pattern[Any], asked: Collection[str]) -> Callable[[Any], None]:
    """All that is asked of a pattern somewhere, of a text."""

    def ask(text: Any) -> None:
        if not asked or set(asked) - {"match", "fullmatch"}:
            pattern.sub(text[:0], text)
        if not asked or "fullmatch" in asked:
            pattern.fullmatch(text)
        if "match" in asked:
            pattern.match(text)

    return ask


def _is_slow(ask: Callable[[Any], None], short: Any, long: Any) -> bool:
    if (took := _seconds(ask, long)) < NOTICEABLE:
        return False
    before = min(_seconds(ask, short) for _ in range(5))
    for _ in range(4):
        if took <= FACTOR * before:
            return False
        took = min(took, _seconds(ask, long))
    return took > FACTOR * before


def _seconds(ask: Callable[[Any], None], text: Any) -> float:
    """Of the processor."""
    began = time.process_time()
    ask(text)
    return time.process_time() - began
