"""Specifications stacked into arrays, ready to be fitted and ranked.

Only specifications that were built the same way can be ranked against each other. What does not
fit is named with its reason, never silently dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import EncoderError
from ..encoders import registry
from ..records.protocols import Exclusion
from ..records.specification import CandidateRef, Specification
from .comparable import add_affordable, choose, joined_group, largest_group, prompt_count, ready_of

if TYPE_CHECKING:
    from ..records.protocols import FloatArray
    from .rkme import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class Stack:
    """M candidates × N prompts.

    Prompts of their own, which no other candidate has, share columns: column k of those holds each
    candidate's k-th, so that a library of ten candidates with a hundred own prompts each is no
    wider than one of a hundred shared prompts.

    Attributes:
        candidates: M of them.
        prompt_ids: N ids, in the order of the prompt set where it is known; empty texts for
            columns of own prompts, see :meth:`prompt_id`.
        features: raw, ``[M, N, d]``, float16 as in files; float32 where several seeds of a prompt
            are averaged; zero where ``mask`` is false.
        mask: which samples exist, bool ``[M, N]``.
        prompt_embeddings: float32 ``[N, t]``, with own prompts ``[M, N, t]``, or ``None``.
        encoder_id: of the features.
        text_encoder_id: of the prompt embeddings.
        prompt_set_size: prompts in the whole set; a complete specification has as many.
        codec: how the samples' pixels went to the encoder.
        own: which columns hold own prompts, bool ``[N]``; ``None`` for none of them.
        own_ids: ids of each candidate's own prompts by column.
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
    own: BoolArray | None = None
    own_ids: tuple[Mapping[int, str], ...] = ()

    @property
    def shared(self) -> BoolArray:
        """Which columns hold prompts that mean the same for everybody, ``[N]``."""
        if self.own is None:
            return np.ones(len(self.prompt_ids), dtype=bool)
        return ~self.own

    def prompt_id(self, candidate: int, column: int) -> str:
        """The id of a candidate's prompt."""
        if self.own is not None and self.own[column]:
            return self.own_ids[candidate][column]
        return self.prompt_ids[column]

    def embeddings_of(self, candidates: IntArray, column: int) -> FloatArray | None:
        """Of some candidates' prompts in a column, ``[k, t]``, or ``None``."""
        if self.prompt_embeddings is None:
            return None
        if self.prompt_embeddings.ndim == 3:
            return np.asarray(self.prompt_embeddings[candidates, column])
        return np.tile(self.prompt_embeddings[column], (len(candidates), 1))

    def samples(self) -> FloatArray:
        """Those that exist, ``[n, d]``."""
        if self.mask.all():
            return self.features.reshape(-1, self.features.shape[-1])
        return self.features[self.mask]

    @property
    def counts(self) -> IntArray:
        """Samples per candidate, ``[M]``."""
        return np.asarray(self.mask.sum(axis=1), dtype=np.int64)

    def take(self, rows: Sequence[int] | IntArray) -> Stack:
        """The stack of some of its candidates."""
        index = np.asarray(rows, dtype=np.int64)
        embeddings = self.prompt_embeddings
        return replace(
            self,
            candidates=tuple(self.candidates[i] for i in index),
            features=self.features[index],
            mask=self.mask[index],
            prompt_embeddings=embeddings[index]
            if embeddings is not None and embeddings.ndim == 3
            else embeddings,
            own_ids=tuple(self.own_ids[i] for i in index) if self.own_ids else (),
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
            prompt_embeddings=None if embeddings is None else embeddings[..., index, :],
            own=None if self.own is None else self.own[index],
            own_ids=tuple(
                {new: ids[old] for new, old in enumerate(index.tolist()) if old in ids}
                for ids in self.own_ids
            ),
        )


def stack(
    specifications: Sequence[Specification],
    encoder_id: str | None = None,
    joining: Sequence[Specification] = (),
) -> tuple[Stack | None, list[Exclusion]]:
    """Stack the specifications that can be ranked together.

    Of several ways of building in one library, the one with the most candidates is taken, then the
    one with the most samples.

    Args:
        specifications: any; the one with most samples wins where two describe the same candidate.
        encoder_id: only those of this encoder.
        joining: other people's. They may join what the specifications above decide, and decide
            only where none of those can be ranked; of a candidate that is there already they say
            nothing.

    Returns:
        The stack (``None`` if nothing can be ranked), and who is left out and why.
    """
    ready, excluded = ready_of(specifications, encoder_id)
    others, unfit = ready_of(joining, encoder_id)
    excluded += unfit
    if not ready and not others:
        return None, excluded
    best = joined_group(largest_group(ready), others) if ready else largest_group(others)
    chosen: dict[tuple[str, bool], Specification] = {}
    excluded += choose(ready, best, chosen)
    own = {specification.candidate.identity for specification in ready}
    reason = "you have a specification of your own, and that one counts"
    excluded += [
        Exclusion(s.candidate.title, reason) for s in others if s.candidate.identity in own
    ]
    fitting: dict[tuple[str, bool], Specification] = {}
    excluded += choose([s for s in others if s.candidate.identity not in own], best, fitting)
    excluded += add_affordable(list(fitting.values()), chosen)
    ordered = sorted(chosen.values(), key=lambda s: (s.candidate.title.casefold(), s.key))
    return _stacked(ordered), excluded


def _stacked(specifications: Sequence[Specification]) -> Stack:
    """Stack what can be ranked together; of a candidate there may be one with own prompts too."""
    shared = [s for s in specifications if not s.own_prompts]
    # The longest specification has the most of the prompt set's order.
    order: dict[str, int] = {}
    for specification in sorted(shared, key=lambda s: -len(s)):
        for prompt_id in specification.prompt_ids:
            order.setdefault(prompt_id, len(order))
    rows: dict[str, int] = {}
    for specification in specifications:
        rows.setdefault(specification.candidate.identity, len(rows))
    width = max((prompt_count(s) for s in specifications if s.own_prompts), default=0)
    first = next(iter(shared), specifications[0])
    shape = (len(rows), len(order) + width)
    several = any(prompt_count(s) < len(s) for s in specifications)
    # a specification's numbers are float16's, see Specification
    features = np.zeros(
        (*shape, first.features.shape[1]), dtype=np.float32 if several else np.float16
    )
    seeds = np.zeros(shape, dtype=np.int64)
    own_ids: list[dict[int, str]] = [{} for _ in rows]
    for specification in specifications:
        row, places = rows[specification.candidate.identity], order
        if specification.own_prompts:
            ids = dict.fromkeys(specification.prompt_ids)
            places = {prompt_id: len(order) + k for k, prompt_id in enumerate(ids)}
            own_ids[row] = {column: prompt_id for prompt_id, column in places.items()}
        columns = [places[p] for p in specification.prompt_ids]
        if several:
            np.add.at(features[row], columns, specification.features)
        else:
            features[row, columns] = specification.features
        np.add.at(seeds[row], columns, 1)
    if several:
        features /= np.maximum(seeds, 1)[:, :, None]
    text_encoder_id, embeddings = _prompt_embeddings(specifications, order, rows, own_ids)
    candidates = {s.candidate.identity: s.candidate for s in reversed(specifications)}
    return Stack(
        candidates=tuple(candidates[identity] for identity in rows),
        prompt_ids=(*order, *[""] * width),
        features=features,
        mask=seeds > 0,
        prompt_embeddings=embeddings,
        encoder_id=first.encoder_id,
        text_encoder_id=text_encoder_id,
        prompt_set_size=first.prompt_set.size,
        codec=first.settings.codec,
        own=np.arange(shape[1]) >= len(order) if width else None,
        own_ids=tuple(own_ids) if width else (),
    )


def _prompt_embeddings(
    specifications: Sequence[Specification],
    order: Mapping[str, int],
    rows: Mapping[str, int],
    own_ids: Sequence[Mapping[int, str]],
) -> tuple[str | None, FloatArray | None]:
    """Embeddings of all prompts by the commonest text encoder, if every prompt has one; ``[N, t]``,
    or ``[M, N, t]`` with own prompts.

    They depend on the prompt alone, so any specification can lend its own to the others.
    """
    embedded = [s for s in specifications if _embedded(s)]
    if not embedded:
        return None, None
    text_encoder_id = Counter(s.text_encoder_id for s in embedded).most_common(1)[0][0]
    shared: dict[str, FloatArray] = {}
    own: dict[tuple[int, str], FloatArray] = {}
    for specification in embedded:
        if specification.text_encoder_id == text_encoder_id:
            assert specification.prompt_embeddings is not None
            row = rows[specification.candidate.identity]
            pairs = zip(specification.prompt_ids, specification.prompt_embeddings, strict=True)
            if specification.own_prompts:
                own.update(((row, prompt_id), embedding) for prompt_id, embedding in pairs)
            else:
                shared.update(pairs)
    places = {(row, p): column for row, ids in enumerate(own_ids) for column, p in ids.items()}
    if set(shared) != set(order) or set(own) != set(places):
        return None, None
    width = max((column + 1 - len(order) for column in places.values()), default=0)
    if not width:
        return text_encoder_id, np.stack([shared[prompt_id] for prompt_id in order])
    size = len(next(iter(own.values())))
    embeddings = np.zeros((len(rows), len(order) + width, size), dtype=np.float32)
    for prompt_id, column in order.items():
        embeddings[:, column] = shared[prompt_id]
    for (row, prompt_id), column in places.items():
        embeddings[row, column] = own[row, prompt_id]
    return text_encoder_id, embeddings


def _embedded(specification: Specification) -> bool:
    """Whether it has prompt embeddings that this version of the program can use."""
    if specification.prompt_embeddings is None or specification.text_encoder_id is None:
        return False
    try:
        info = registry.text_info(specification.text_encoder_id)
    except EncoderError:
        return False
    return bool(specification.prompt_embeddings.shape[1] == info.text_dim)
