"""Words of a query in the prompts of images."""

from __future__ import annotations

import time

import numpy as np
import pytest

from lib_gmi.search import prompt_words
from lib_gmi.search.prompt_words import PromptWords, words_of


@pytest.mark.parametrize(
    ("prompt", "word", "held"),
    [
        ("an old lighthouse, soft light", "lighthouse", True),
        ("an old lighthouse, soft light", "house", False),
        ("an old lighthouse, soft light", "light", True),
        ("lights in the dark", "light", True),
        ("two foxes", "fox", True),
        ("fennec_ears, 1girl", "ears", True),
        ("Fennec Ears", "ear", True),
        ("1girl", "girl", False),
        ("(café:1.2)", "CAFÉ", True),
        ("cafés", "caf", False),
        ("一只狐狸在雪地里", "狐狸", True),
        ("glass", "glas", False),
        ("", "fox", False),
        ("line\nbreak", "break", True),
        ("a [b] (c) \\d+", "d+", True),
    ],
)
def test_a_word_is_held_as_a_whole(prompt: str, word: str, held: bool) -> None:
    (wanted,) = words_of(word)
    assert PromptWords(["nothing else", prompt, ""]).holding(wanted).tolist() == [
        False,
        held,
        False,
    ]


def test_words_that_say_nothing_do_not_count() -> None:
    assert words_of("An anime girl with the fennec ears, ears and an EAR") == [
        *("anime", "girl", "fennec", "ear"),
    ]
    assert words_of("the of") == []
    assert len(words_of(" ".join(f"word{number}" for number in range(500)))) == 40
    assert PromptWords(["a", "b"]).scores("of the").tolist() == [0, 0]
    assert len(PromptWords([]).scores("a fox")) == 0


def test_rare_words_count_more_and_all_words_most() -> None:
    prompts = ["girl, ears", "girl, tram", "girl", "girl, fennec", "fennec ears of a girl", ""]
    scores = PromptWords(prompts).scores("a girl with fennec ears")
    assert scores[4] == pytest.approx(3)
    assert scores[4] > scores[3] + 2 - 1
    assert scores[3] == pytest.approx(scores[0])
    assert scores[3] > scores[1] == scores[2] > scores[5] == 0


def test_prompts_beyond_one_block_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_words, "_AT_ONCE", 3)
    prompts = [f"{'fox' if number % 4 == 1 else 'cat'} {number}" for number in range(11)]
    assert np.flatnonzero(PromptWords(prompts).holding("fox")).tolist() == [1, 5, 9]


def test_a_hundred_thousand_prompts_are_looked_through_in_a_blink() -> None:
    words = [f"word{number}" for number in range(300)]
    prompts = [" ".join(words[(n * 7 + k) % 300] for k in range(40)) for n in range(100_000)]
    ready = PromptWords(prompts)
    begun = time.process_time()
    scores = ready.scores("word1 word77 nowhere")
    assert time.process_time() - begun < 3
    assert (scores > 0).any()
