"""Which specifications can be ranked together, and why the others cannot.

Only those that were built in one way can be compared; other people's may join the user's own, and
decide nothing where there are any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..base.errors import EncoderError, ImageError
from ..base.images import check_codec
from ..encoders import registry
from ..records.prompts import default_prompt_set
from ..records.protocols import Exclusion
from ..records.specification import OWN_PROMPTS, Specification

#: With fewer prompts a candidate is listed, not ranked.
MIN_PROMPTS = 4

#: Bytes of the features ``[M, N, d]`` that other people's specifications may bring a stack to.
BUDGET = 1 << 30


def ready_of(
    specifications: Sequence[Specification], encoder_id: str | None
) -> tuple[list[Specification], list[Exclusion]]:
    """Those that could be ranked, each by itself, and the others with the reason."""
    excluded: list[Exclusion] = []
    ready: list[Specification] = []
    for specification in specifications:
        title = specification.candidate.title
        if encoder_id is not None and specification.encoder_id != encoder_id:
            reason = f"built with the encoder {specification.encoder_id}, not {encoder_id}"
        elif (problem := _misfit(specification)) is not None:
            reason = problem
        elif specification.suspect:
            reason = f"suspect: {specification.suspect}"
        elif (prompts := len(set(specification.prompt_ids))) < MIN_PROMPTS:
            reason = f"only {prompts} samples; {MIN_PROMPTS} are needed"
            if prompts < len(specification):
                reason = f"only {prompts} prompts, with several seeds; {MIN_PROMPTS} are needed"
        else:
            ready.append(specification)
            continue
        excluded.append(Exclusion(title, reason))
    return ready, excluded


def choose(
    specifications: Sequence[Specification],
    group: tuple[str, ...],
    chosen: dict[tuple[str, bool], Specification],
) -> list[Exclusion]:
    """Add those that were built like the group; returns the others, with the reason."""
    excluded = []
    for specification in sorted(specifications, key=lambda s: (len(s), s.updated), reverse=True):
        kind = (specification.candidate.identity, specification.own_prompts)
        if not _comparable(group, specification.comparability):
            reason = _difference(group, specification.comparability)
        elif kind in chosen:
            reason = "built twice with other settings; the one with more samples is ranked"
        else:
            chosen[kind] = specification
            continue
        excluded.append(Exclusion(specification.candidate.title, reason))
    return excluded


def add_affordable(
    others: Sequence[Specification], chosen: dict[tuple[str, bool], Specification]
) -> list[Exclusion]:
    """Add what leaves the stack within its budget; returns the rest, with the reason.

    Those of few prompts go first: a single one of ten thousand makes every row as long. Prompts of
    a set are no more than the set has, whatever ids the specifications name.
    """
    excluded = []
    shared = {p for s in chosen.values() if not s.own_prompts for p in s.prompt_ids}
    width = max((prompt_count(s) for s in chosen.values() if s.own_prompts), default=0)
    rows = {identity for identity, _ in chosen}
    for specification in sorted(others, key=lambda s: (prompt_count(s), -s.updated, s.key)):
        ids = set(specification.prompt_ids)
        named = shared if specification.own_prompts else shared | ids
        longest = max(width, len(ids)) if specification.own_prompts else width
        more = rows | {specification.candidate.identity}
        size = len(more) * (len(named) + longest) * specification.features.shape[1] * 4
        if not specification.own_prompts and len(named) > specification.prompt_set.size:
            reason = "names prompts that others of its prompt set do not have"
        elif size > BUDGET:
            reason = f"too much to be ranked at once ({size / 1e9:.1f} GB with what goes before)"
        else:
            shared, width, rows = named, longest, more
            chosen[specification.candidate.identity, specification.own_prompts] = specification
            continue
        excluded.append(Exclusion(specification.candidate.title, reason))
    return excluded


def joined_group(group: tuple[str, ...], others: Sequence[Specification]) -> tuple[str, ...]:
    """Where the user's are all of own prompts, one prompt set of the others' may join them."""
    if group[1] != OWN_PROMPTS:
        return group
    alike = [s for s in others if _comparable(group, s.comparability)]
    return largest_group(alike) if alike else group


def _comparable(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Own prompts may be ranked beside any others: see :mod:`.kernels`."""
    prompts_fit = ours[1] == theirs[1] or OWN_PROMPTS in (ours[1], theirs[1])
    return prompts_fit and ours[0] == theirs[0] and ours[2] == theirs[2]


def _misfit(specification: Specification) -> str | None:
    """Why a specification cannot be used by this version of the program, or ``None``."""
    try:
        info = registry.info(specification.encoder_id)
        check_codec(specification.settings.codec)
    except (EncoderError, ImageError) as error:
        return str(error)
    width = specification.features.shape[1]
    if width != info.dim:
        return f"holds {width} numbers per image, but {info.id} makes {info.dim}; build it again"
    return unknown_prompts(specification)


def largest_group(specifications: Sequence[Specification]) -> tuple[str, ...]:
    """The commonest way of building; one with a prompt set, as long as there is any."""
    if any(not s.own_prompts for s in specifications):
        specifications = [s for s in specifications if not s.own_prompts]
    candidates = Counter(s.comparability for s in specifications)
    samples: Counter[tuple[str, ...]] = Counter()
    for specification in specifications:
        samples[specification.comparability] += len(specification)
    return max(sorted(candidates), key=lambda group: (candidates[group], samples[group]))


def _difference(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    names = ("encoder", "prompt set", "codec")
    parts = [
        f"another {name} ({b[:48]})"
        for name, a, b in zip(names, ours, theirs, strict=True)
        if a != b
    ]
    return f"built with {' and '.join(parts)} than most; build it again to rank it"


def prompt_count(specification: Specification) -> int:
    """How many prompts it has samples of; there may be several seeds of one."""
    return len(set(specification.prompt_ids))


def unknown_prompts(specification: Specification) -> str | None:
    """What is wrong with the ids of a specification's prompts, or ``None``."""
    if specification.own_prompts:
        return None
    ids, known = set(specification.prompt_ids), default_prompt_set()
    if specification.prompt_set.hash == known.hash and not ids <= set(known.ids):
        return f"names prompts that the prompt set '{known.name}' does not have"
    size = specification.prompt_set.size
    return None if len(ids) <= size else f"names {len(ids)} prompts of a prompt set of {size}"
