"""Specifications that came with packs, and which of them add something to the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...base.errors import PackError
from ...records.protocols import Exclusion
from ...records.specification import Specification
from .folder import PackInfo, read_specification
from .texts import page_link


@dataclass(frozen=True, eq=False)
class PackedSpecification:
    """A specification and the pack that it came with."""

    specification: Specification
    pack: PackInfo
    file: str

    @property
    def identity(self) -> str:
        """Of the candidate."""
        return self.specification.candidate.identity

    @property
    def page(self) -> str | None:
        """Where a person may find the checkpoint; ``None`` where no file is known."""
        return page_link(self.identity)


@dataclass(frozen=True)
class Loaded:
    """What could be read of an installed pack, and what could not."""

    specifications: tuple[PackedSpecification, ...]
    problems: tuple[Exclusion, ...]


def load(info: PackInfo) -> Loaded:
    """Read an installed pack. A damaged file never stops the others."""
    if info.problem is not None:
        return Loaded((), (Exclusion(info.about.title, info.problem),))
    found, problems = [], []
    for entry in info.entries:
        try:
            specification = read_specification(info.folder, entry)
            found.append(PackedSpecification(specification, info, entry.file))
        except PackError as error:
            problems.append(Exclusion(entry.title, str(error)))
    return Loaded(tuple(found), tuple(problems))


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
