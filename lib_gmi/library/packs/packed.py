"""Which specifications of packs add something to the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...records.specification import Specification
    from .folder import PackedSpecification


def visible(
    own: Sequence[Specification],
    packed: Sequence[PackedSpecification],
    hashed: Mapping[str, str] | None = None,
) -> list[PackedSpecification]:
    """The packed specifications that add something to the user's own.

    What the user has of a candidate always wins over what a pack says of it, however either was
    built. Of several packs, the one with the most samples of a candidate counts.

    Args:
        own: the user's.
        packed: of all packs.
        hashed: better identities of files that the user's are known by another one of, old → new.
    """
    names = hashed or {}
    # one encoder's features say nothing to another
    known = {(s.encoder_id, names.get(s.candidate.identity, s.candidate.identity)) for s in own}
    chosen = []
    for candidate in sorted(packed, key=_preference):
        of = (candidate.specification.encoder_id, candidate.identity)
        if of not in known:
            known.add(of)
            chosen.append(candidate)
    return chosen


def _preference(packed: PackedSpecification) -> tuple[bool, int, float, str]:
    """Shared prompts first, which compare best, then most samples, then the newest; the rest only
    makes the order definite."""
    specification = packed.specification
    return (
        specification.own_prompts,
        -len(specification),
        -specification.updated,
        packed.pack.id + packed.file,
    )
