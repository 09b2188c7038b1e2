"""Specifications stacked into arrays, ready to be fitted and ranked.

Only specifications that were built the same way can be ranked against each other. What does not
fit is named with its reason, never silently dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .encoders import registry
from .errors import EncoderError, ImageError
from .images import check_codec
from .specification import CandidateRef, Specification

if TYPE_CHECKING:
    from .protocols import FloatArray
    from .rkme import BoolArray, IntArray

#: With fewer prompts a candidate is listed, not ranked.
MIN_PROMPTS = 4


@dataclass(frozen=True)
class Exclusion:
    """A candidate or file that takes no part in the ranking, and why."""

    title: str
    reason: str


@dataclass(frozen=True, eq=False)
class Stack:
    """M candidates × N prompts.

    Attributes:
        candidates: M of them.
        prompt_ids: N ids, in the order of the prompt set where it is known.
        features: raw, float32 ``[M, N, d]``; several seeds of a prompt are averaged; zero where
            ``mask`` is false.
        mask: which samples exist, bool ``[M, N]``.
        prompt_embeddings: float32 ``[N, t]``, or ``None``.
        encoder_id: of the features.
        text_encoder_id: of the prompt embeddings.
        prompt_set_size: prompts in the whole set; a complete specification has as many.
        codec: how the samples' pixels went to the encoder.
    """

    candidates: tuple[CandidateRef, ...]
    prompt_ids: tuple[str, ...]
    features: FloatArray
    mask: BoolArray
    prompt_embeddings: FloatArray | None
    encoder_id: str
    text_encoder_id: str | None
    prompt_set_size: int
    codec: str = "source"

    @property
    def counts(self) -> IntArray:
        """Samples per candidate, ``[M]``."""
        return np.asarray(self.mask.sum(axis=1), dtype=np.int64)

    def take(self, rows: Sequence[int] | IntArray) -> Stack:
        """The stack of some of its candidates."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            candidates=tuple(self.candidates[i] for i in index),
            features=self.features[index],
            mask=self.mask[index],
        )

    def without_prompts(self, columns: Sequence[int]) -> Stack:
        """The stack with some prompts left out, as if they had never been generated."""
        keep = np.setdiff1d(np.arange(len(self.prompt_ids)), columns)
        return self.with_prompts(keep)

    def with_prompts(self, columns: Sequence[int] | IntArray) -> Stack:
        """The stack of some of its prompts."""
        index = np.asarray(columns, dtype=np.int64)
        embeddings = self.prompt_embeddings
        return replace(
            self,
            prompt_ids=tuple(self.prompt_ids[i] for i in index),
            features=self.features[:, index],
            mask=self.mask[:, index],
            prompt_embeddings=None if embeddings is None else embeddings[index],
        )


def stack(
    specifications: Sequence[Specification], encoder_id: str | None = None
) -> tuple[Stack | None, list[Exclusion]]:
    """Stack the specifications that can be ranked together.

    Of several ways of building in one library, the one with the most candidates is taken, then the
    one with the most samples.

    Args:
        specifications: any; the one with most samples wins where two describe the same candidate.
        encoder_id: only those of this encoder.

    Returns:
        The stack (``None`` if nothing can be ranked), and who is left out and why.
    """
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
    if not ready:
        return None, excluded
    best = _largest_group(ready)
    chosen: dict[str, Specification] = {}
    for specification in sorted(ready, key=lambda s: (len(s), s.updated), reverse=True):
        if specification.comparability != best:
            reason = _difference(best, specification.comparability)
        elif specification.candidate.identity in chosen:
            reason = "built twice with other settings; the one with more samples is ranked"
        else:
            chosen[specification.candidate.identity] = specification
            continue
        excluded.append(Exclusion(specification.candidate.title, reason))
    ordered = sorted(chosen.values(), key=lambda s: (s.candidate.title.casefold(), s.key))
    return _stacked(ordered), excluded


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
    return None


def _largest_group(specifications: Sequence[Specification]) -> tuple[str, ...]:
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


def _stacked(specifications: Sequence[Specification]) -> Stack:
    # The longest specification has the most of the prompt set's order.
    order: dict[str, int] = {}
    for specification in sorted(specifications, key=lambda s: -len(s)):
        for prompt_id in specification.prompt_ids:
            order.setdefault(prompt_id, len(order))
    first = specifications[0]
    shape = (len(specifications), len(order))
    features = np.zeros((*shape, first.features.shape[1]), dtype=np.float32)
    seeds = np.zeros(shape, dtype=np.int64)
    for row, specification in enumerate(specifications):
        columns = [order[p] for p in specification.prompt_ids]
        np.add.at(features[row], columns, specification.features)
        np.add.at(seeds[row], columns, 1)
    text_encoder_id, embeddings = _prompt_embeddings(specifications, order)
    features /= np.maximum(seeds, 1)[:, :, None]
    return Stack(
        candidates=tuple(s.candidate for s in specifications),
        prompt_ids=tuple(order),
        features=features,
        mask=seeds > 0,
        prompt_embeddings=embeddings,
        encoder_id=first.encoder_id,
        text_encoder_id=text_encoder_id,
        prompt_set_size=first.prompt_set.size,
        codec=first.settings.codec,
    )


def _prompt_embeddings(
    specifications: Sequence[Specification], order: dict[str, int]
) -> tuple[str | None, FloatArray | None]:
    """Embeddings of all prompts ``[N, t]`` by the commonest text encoder, if every prompt has one.

    They depend on the prompt alone, so any specification can lend its own to the others.
    """
    embedded = [s for s in specifications if _embedded(s)]
    if not embedded:
        return None, None
    text_encoder_id = Counter(s.text_encoder_id for s in embedded).most_common(1)[0][0]
    rows: dict[str, FloatArray] = {}
    for specification in embedded:
        if specification.text_encoder_id == text_encoder_id:
            assert specification.prompt_embeddings is not None
            pairs = zip(specification.prompt_ids, specification.prompt_embeddings, strict=True)
            rows.update(pairs)
    if set(rows) != set(order):
        return None, None
    return text_encoder_id, np.stack([rows[prompt_id] for prompt_id in order])


def _embedded(specification: Specification) -> bool:
    """Whether it has prompt embeddings that this version of the program can use."""
    if specification.prompt_embeddings is None or specification.text_encoder_id is None:
        return False
    try:
        info = registry.text_info(specification.text_encoder_id)
    except EncoderError:
        return False
    return bool(specification.prompt_embeddings.shape[1] == info.text_dim)
