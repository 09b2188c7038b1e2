"""Rankings as HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from lib_gmi.ui import cards
from lib_gmi.ui.bridge import Abilities
from lib_gmi.ui.ranking import ranking

EVIL = "<img src=x onerror=alert(1)>'\"&"
EVERYTHING = Abilities(True, True, True, True, True, True)


class Balanced(HTMLParser):
    """Fails where elements are not closed in order; knows which tags and attributes there are."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {key for key, _ in attrs}
        if tag not in ("img", "input", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def candidate(rank: int = 1, **changes: Any) -> dict[str, Any]:
    name = changes.pop("name", f"folder/model{rank}.safetensors")
    return {
        "rank": rank,
        "name": name,
        "title": name,
        "kind": "checkpoint",
        "architecture": "sdxl",
        "installed": True,
        "score": 1.5 + rank,
        "probability": 0.6 / rank,
        "margin": 0.2,
        "weighted_rkme": None,
        "samples": 55,
        "of_samples": 55,
        "group": None,
        "evidence": [
            {"prompt_id": "p1", "prompt": "a cat", "image": "/gmi/v1/samples/ab/p1-7.webp"},
            {"prompt_id": "p2", "prompt": "a dog", "image": None},
        ],
    } | changes


def answer(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "verdict": "model1 makes images like this.",
        "method": "learned",
        "reason": "it does best on this library",
        "foreign": False,
        "conformal": 0,
        "notes": [],
        "prompt": {"text": "a cat", "source": "library", "confidence": None},
        "candidates": list(rows),
        "near_duplicates": [],
        "excluded": [],
        "missing": 0,
    } | changes


def query(abilities: Abilities = EVERYTHING, **changes: Any) -> cards.Query:
    return cards.Query("key", abilities, **changes)


def test_every_text_from_outside_is_escaped() -> None:
    row = candidate(name=EVIL, architecture=EVIL, group=1)
    row["evidence"][0]["prompt"] = EVIL
    evil = answer(
        row,
        candidate(2),
        verdict=EVIL,
        method=EVIL,
        reason=EVIL,
        notes=[EVIL],
        prompt={"text": EVIL, "source": "user", "confidence": None},
        near_duplicates=[{"titles": [EVIL, EVIL + "2"], "probability": 0.5}],
        excluded=[{"title": EVIL, "reason": EVIL}],
    )
    html = ranking(evil, query())
    assert "<img src=x" not in html
    assert "onerror" not in parsed(html).attributes
    grid = cards.samples_grid(EVIL, [("ab/c.webp", EVIL)])
    assert "<img src=x" not in grid
    assert "onerror" not in parsed(grid).attributes


def test_cards_come_in_order_with_rank_share_and_samples() -> None:
    html = ranking(answer(candidate(1), candidate(2), candidate(3)), query())
    assert re.findall(r'data-gmi-rank="(\d)"', html) == ["1", "2", "3"]
    assert [t for t in ("60%", "30%", "20%") if f">{t}<" in html] == ["60%", "30%", "20%"]
    assert html.count('data-gmi-thumb="ab/p1-7.webp"') == 3
    assert html.count("gmi-card-first") == 1


def test_without_a_probability_the_score_is_shown() -> None:
    html = ranking(answer(candidate(probability=None, score=0.00012346)), query())
    assert "0.0001235" in html
    assert "%" not in re.sub("<[^>]*>", "", html)


@pytest.mark.parametrize(
    ("share", "following", "expected"),
    [
        (0.9, 0.05, "far ahead of the next"),
        (0.5, 0.2, "ahead of the next"),
        (0.3, 0.25, "just ahead"),
        (0.3, 0.3, "level with the next"),
        (0.001, 0.0001, ""),
        (0.9, 0.0, "far ahead of the next"),
    ],
)
def test_lead_in_words(share: float, following: float, expected: str) -> None:
    assert cards.lead(share, candidate(2, probability=following)) == expected


def test_the_last_one_leads_nobody() -> None:
    assert cards.lead(0.9, None) == ""


def test_a_foreign_image_looks_different() -> None:
    usual = ranking(answer(candidate()), query())
    foreign = ranking(answer(candidate(), foreign=True, conformal=1), query())
    assert "gmi-verdict-foreign" in foreign
    assert "Nothing fits well" in foreign
    assert "gmi-card-first" not in foreign
    assert "gmi-verdict-foreign" not in usual


def test_only_what_the_program_can_do() -> None:
    rows = [candidate(1), candidate(2)]
    able, unable = (
        ranking(answer(*rows, missing=3), query(abilities))
        for abilities in (EVERYTHING, Abilities())
    )
    for action in ("load", "send", "compare", "build-missing"):
        assert f'data-gmi="{action}"' in able
        assert f'data-gmi="{action}"' not in unable
    for action in ("samples", "share", "favourite"):
        assert f'data-gmi="{action}"' in unable


def test_workflows_are_shown_and_not_loaded() -> None:
    html = ranking(answer(candidate(kind="recipe")), query())
    assert "Workflow" in html
    assert 'data-gmi="load"' not in html


def test_what_is_loaded_says_so() -> None:
    rows = [candidate(1), candidate(2)]
    html = ranking(answer(*rows), query(current=rows[1]["name"]))
    for name, hidden in ((rows[0]["name"], False), (rows[1]["name"], True)):
        button = re.search(rf'<button[^>]*data-gmi="load"[^>]*data-name="{name}"[^>]*>', html)
        label = re.search(rf'<span[^>]*data-gmi-loaded="{name}"[^>]*>', html)
        assert button is not None
        assert label is not None
        assert (" hidden" in button[0]) is hidden
        assert (" hidden" in label[0]) is not hidden


def test_favourites_are_pressed() -> None:
    html = ranking(answer(candidate()), query(favourites=frozenset([candidate()["name"]])))
    assert 'aria-pressed="true"' in html


def test_few_samples_are_said() -> None:
    assert "4 of 55 samples" in ranking(answer(candidate(samples=4)), query())
    assert "of 55 samples" not in ranking(answer(candidate(samples=16)), query())
    complete = candidate(samples=4, of_samples=4)
    assert "of 4 samples" not in ranking(answer(complete), query())


def test_near_duplicates_name_the_others() -> None:
    groups = [{"titles": ["one", "two", "three", "four"], "probability": 0.84}]
    row = candidate(name="one", title="one", group=1)
    text = re.sub("<[^>]*>", " ", ranking(answer(row, near_duplicates=groups), query()))
    assert "two, three and 1 more" in text
    assert "84% together" in text


def test_a_comparison_needs_a_prompt() -> None:
    rows = [candidate(1), candidate(2), candidate(3)]
    without = ranking(answer(*rows, prompt=None), query())
    button = re.search(r'<button[^>]*data-gmi="compare"[^>]*>', without)
    assert button is not None
    assert " disabled" in button[0]
    assert "Needs a prompt" in button[0]
    assert re.findall(r'<option value="(\d)"', without) == ["2", "3"]
    assert 'data-gmi="compare"' not in ranking(answer(candidate()), query())


def test_the_conformal_sentence() -> None:
    rows = [candidate(rank) for rank in range(1, 5)]
    assert "first 2." in ranking(answer(*rows, conformal=2), query())
    assert "Nine times" not in ranking(answer(*rows, conformal=4), query())
    assert "Nine times" not in ranking(answer(*rows, conformal=2, foreign=True), query())


def test_what_was_left_out_is_in_a_fold() -> None:
    left_out = [{"title": "tiny", "reason": "it has too few samples"}]
    html = ranking(answer(candidate(), excluded=left_out), query())
    assert "Left out" in html
    assert "It has too few samples" in html


def test_nothing_ranked_is_no_error() -> None:
    html = ranking(answer(), query())
    parsed(html)
    assert 'data-gmi="share"' not in html


def without_pictures(rank: int = 1) -> dict[str, Any]:
    row = candidate(rank)
    row["evidence"] = [sample | {"image": None} for sample in row["evidence"]]
    return row


def test_without_pictures_the_prompts_say_what_it_looks_like() -> None:
    html = ranking(answer(without_pictures(1), without_pictures(2)), query())
    parsed(html)
    assert html.count("gmi-card-bare") == 2
    assert "gmi-thumb" not in html
    assert 'data-gmi="samples"' not in html
    assert html.count("a cat · a dog") == 2


def test_one_picture_stands_without_a_placeholder() -> None:
    html = ranking(answer(candidate(), without_pictures(2)), query())
    assert html.count("data-gmi-thumb=") == 1
    assert html.count('data-gmi="samples"') == 1
    assert "gmi-thumb-none" not in html
    assert html.count("gmi-card-bare") == 1


def test_a_card_without_evidence_and_abilities_has_no_empty_parts() -> None:
    html = cards.card(candidate(evidence=[]), None, answer(), query(Abilities()))
    parsed(html)
    for part in ("gmi-samples", "gmi-prompts"):
        assert part not in html
    assert re.findall(r'data-gmi="([a-z]+)"', html) == ["favourite", "similar"]


NOTE = "The prompt was not used: the library's prompts are not embedded the same way."


@pytest.mark.parametrize("found", [True, False])
def test_a_prompt_that_nobody_typed_is_not_missed_aloud(found: bool) -> None:
    asked = answer(candidate(), notes=[NOTE, "Another note."])
    html = ranking(asked, query(found_prompt=found))
    aloud, how = html.split("How this was ranked")
    said = NOTE.replace("'", "&#x27;")
    assert (said in how, said in aloud) == (found, not found)
    assert "Another note." in aloud


def test_where_a_prompt_comes_from() -> None:
    given = {"text": "a cat", "source": "user", "confidence": None}
    found, typed = (
        ranking(answer(candidate(), prompt=given), query(found_prompt=found))
        for found in (True, False)
    )
    assert "from the image&#x27;s metadata" in found
    assert "as it was given" in typed


@pytest.mark.parametrize(("number", "noun"), [(1, "checkpoint was"), (2, "checkpoints were")])
def test_what_was_not_compared_is_one_sentence(number: int, noun: str) -> None:
    html = ranking(answer(candidate(), missing=number), query())
    assert f"{number} {noun} not compared" in re.sub("<[^>]*>", "", html)
