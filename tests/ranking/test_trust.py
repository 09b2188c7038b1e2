"""Spot checks of what packs say."""

from __future__ import annotations

import numpy as np
import pytest
from support import random_stack

from lib_gmi.base.errors import RankingError
from lib_gmi.ranking.trust import DOUBTFUL, SpotCheck, columns_to_check, spot_check

#: The same candidates twice: what was stored, and what they make of the same prompts anew.
WHOLE = random_stack(candidates=6, prompts=40, style=1.5, content=2.0)
STORED = WHOLE.with_prompts(range(20))


def anew(row: int, columns: list[int], seed: int) -> np.ndarray:
    """Images of the same prompts by a candidate: the same content and style, other noise."""
    rng = np.random.default_rng(seed)
    content = STORED.features.mean(axis=0)[columns]
    style = (STORED.features - STORED.features.mean(axis=0)).mean(axis=1)[row]
    noise = rng.standard_normal((len(columns), STORED.features.shape[-1]))
    return (content + style + noise).astype(np.float32)


def test_the_right_checkpoint_is_not_doubted() -> None:
    doubted = []
    for row in range(6):
        columns = columns_to_check(STORED, row)
        for seed in range(4):
            found = spot_check(STORED, row, columns, anew(row, columns, seed))
            doubted.append(found.doubtful)
    assert np.mean(doubted) <= 0.05


def test_another_checkpoint_is_found_out() -> None:
    found_out = []
    for row in range(6):
        columns = columns_to_check(STORED, row)
        other = (row + 1) % 6
        found = spot_check(STORED, row, columns, anew(other, columns, 1))
        found_out.append(found.doubtful and found.nearest == STORED.candidates[other].title)
    assert np.mean(found_out) >= 0.8


def test_prompts_are_spread() -> None:
    columns = columns_to_check(STORED, 0)
    assert columns[0] == 0
    assert columns[-1] == 19
    assert len(set(columns)) == 3


@pytest.mark.parametrize(("candidates", "prompts"), [(2, 20), (6, 6)])
def test_too_little_to_compare_with_is_said(candidates: int, prompts: int) -> None:
    stack = random_stack(candidates=candidates, prompts=prompts)
    with pytest.raises(RankingError, match="too little"):
        columns_to_check(stack, 0)


def test_sentences() -> None:
    good = SpotCheck("a", 0.4, "a", 3)
    bad = SpotCheck("a", DOUBTFUL / 2, "b", 3)
    assert "nothing speaks against" in good.sentence
    assert "look like b" in bad.sentence
    assert bad.doubtful
