"""Whatever others say, the user's own specifications count first: by construction, for any pack."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import OTHER, make_specification
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_gmi.ranking import comparable
from lib_gmi.ranking.stack import Stack, stack
from lib_gmi.records.prompts import default_prompt_set
from lib_gmi.records.protocols import GenerationSettings
from lib_gmi.records.specification import OWN_PROMPTS, PromptSetRef, Specification

PROMPT_SETS = ("hash-1", "hash-2", OWN_PROMPTS)
CODECS = ("source", "webp90-512", "webp90-511", "webp90-" + "9" * 5000)
TITLES = "abcdefgh"


@st.composite
def specifications(draw: st.DrawFn) -> list[Specification]:
    """Of up to eight candidates, each built in any way, some of them of nothing usable."""
    found = []
    for title in draw(st.lists(st.sampled_from(TITLES), max_size=8)):
        made = make_specification(
            title,
            prompts=draw(st.integers(1, 7)),
            seed=draw(st.integers(0, 99)),
            settings=GenerationSettings(codec=draw(st.sampled_from(CODECS))),
            encoder_id=draw(st.sampled_from((make_specification().encoder_id, OTHER))),
        )
        prompts = draw(st.sampled_from(PROMPT_SETS))
        texts = dict.fromkeys(made.prompt_ids, "a text") if prompts == OWN_PROMPTS else {}
        reference = PromptSetRef("test", "1", prompts, 20)
        found.append(replace(made, prompt_set=reference, texts=texts))
    return found


def rows(data: Stack | None) -> dict[str, list[bytes]]:
    """Every sample's features, by identity."""
    if data is None:
        return {}
    samples = (data.features[row][data.mask[row]] for row in range(len(data.candidates)))
    found = [sorted(features.tobytes() for features in some) for some in samples]
    return dict(zip((c.identity for c in data.candidates), found, strict=True))


@settings(max_examples=300, deadline=None)
@given(own=specifications(), theirs=specifications())
def test_no_pack_takes_or_changes_a_row_of_the_users_own(
    own: list[Specification], theirs: list[Specification]
) -> None:
    before, (data, excluded) = rows(stack(own)[0]), stack(own, joining=theirs)
    after = rows(data)
    for identity, row in before.items():
        assert after[identity] == row
    strangers = after.keys() - before.keys()
    if before:
        assert strangers <= {s.candidate.identity for s in theirs}
        assert not strangers & {s.candidate.identity for s in own if _rankable(s)}
    # nobody disappears without a word
    told = {exclusion.title for exclusion in excluded}
    assert {s.candidate.title for s in (*own, *theirs)} <= told | {
        c.title for c in (data.candidates if data else ())
    }


def _rankable(specification: Specification) -> bool:
    return stack([specification])[0] is not None


def test_prompt_sets_of_two_packs_do_not_mix_beside_harvested_images() -> None:
    ids = {"prompt_set": PromptSetRef("test", "1", OWN_PROMPTS, 20)}
    mine = replace(make_specification("a"), texts=dict.fromkeys(("p00", "p01", "p02", "p03"), "x"))
    mine = replace(mine, **ids)
    one = [make_specification(title) for title in "bc"]
    other = replace(make_specification("d"), prompt_set=PromptSetRef("test", "2", "hash-2", 20))
    data, excluded = stack([mine], joining=[*one, other])
    assert data is not None
    assert [c.title for c in data.candidates] == ["a", "b", "c"]
    assert [e.title for e in excluded] == ["d"]
    assert "prompt set" in excluded[0].reason


def test_of_a_candidate_that_is_the_users_own_a_pack_says_nothing() -> None:
    data, excluded = stack([make_specification("a")], joining=[make_specification("a", 7, seed=5)])
    assert data is not None
    assert data.counts.tolist() == [4]
    assert excluded[0].reason == "you have a specification of your own, and that one counts"


def test_packs_alone_are_ranked_where_the_user_has_nothing() -> None:
    data, _ = stack([make_specification("a", prompts=2)], joining=[make_specification("b")])
    assert data is not None
    assert [c.title for c in data.candidates] == ["b"]


def test_a_pack_that_names_other_prompts_than_its_set_has_is_left_out() -> None:
    many = make_specification("many", prompts=21)
    data, excluded = stack([make_specification("a")], joining=[many])
    assert data is not None
    assert [c.title for c in data.candidates] == ["a"]
    assert excluded[0].reason == "names 21 prompts of a prompt set of 20"
    known = default_prompt_set()
    reference = PromptSetRef(known.name, "1", known.hash, len(known))
    strange = replace(make_specification("strange"), prompt_set=reference)
    _, excluded = stack([strange])
    assert excluded[0].reason == f"names prompts that the prompt set '{known.name}' does not have"


def test_entries_of_a_set_that_agree_on_none_of_its_prompts_do_not_widen_it() -> None:
    theirs = [make_specification(t, 20, first_prompt=20 * n) for n, t in enumerate("bcd")]
    data, excluded = stack([make_specification("a")], joining=theirs)
    assert data is not None
    assert [c.title for c in data.candidates] == ["a", "b"]
    assert len(data.prompt_ids) == 20
    assert {e.reason for e in excluded} == {
        "names prompts that others of its prompt set do not have"
    }


def test_what_others_bring_stays_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry of a thousand prompts makes every row as long."""
    own = make_specification("a")
    monkeypatch.setattr(comparable, "BUDGET", 4 * own.features.shape[1] * 5 * 30)
    reference = PromptSetRef("test", "1", OWN_PROMPTS, 0)
    wide = make_specification("b", prompts=1000)
    wide = replace(wide, prompt_set=reference, texts=dict.fromkeys(wide.prompt_ids, "x"))
    others = [make_specification(title) for title in "cde"]
    data, excluded = stack([own], joining=[wide, *others])
    assert data is not None
    assert [c.title for c in data.candidates] == ["a", "c", "d", "e"]
    assert [e.title for e in excluded] == ["b"]
    assert excluded[0].reason.startswith("too much to be ranked at once")
    monkeypatch.setattr(comparable, "BUDGET", 0)
    data, _ = stack([own], joining=others)
    assert data is not None
    assert [c.title for c in data.candidates] == ["a"], "the user's own cost nobody's leave"
