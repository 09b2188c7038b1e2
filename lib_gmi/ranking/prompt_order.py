"""Which prompts to generate first for a checkpoint that has none yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..records.prompts import Prompt
    from .kernels import LearnedKernel
    from .stack import Stack


#: With fewer candidates, how well prompts tell them apart is mostly chance.
_MIN_CANDIDATES = 8


def informative_first(
    prompts: Sequence[Prompt], stack: Stack | None, kernel: LearnedKernel | None
) -> list[Prompt]:
    """Which prompts to generate first for a checkpoint that has none yet.

    They are ordered by their Fisher ratio over a library; then come those that nobody knows.

    Candidates can only be compared by prompts that the others have as well, so what the library
    knows comes first anyway; ``benchmarks/prompt_order.py`` measures what the order is worth.

    Args:
        prompts: of the set, in its order.
        stack: the library's; ``None`` for none.
        kernel: fitted to it.
    """
    if stack is None or kernel is None or len(stack.candidates) < _MIN_CANDIDATES:
        return list(prompts)
    ratios = dict(zip(stack.prompt_ids, kernel.space.fisher_ratios().tolist(), strict=True))
    known = [p for p in prompts if np.isfinite(ratios.get(p.id, np.nan))]
    rest = [p for p in prompts if p not in known]
    return sorted(known, key=lambda prompt: -ratios[prompt.id]) + rest
