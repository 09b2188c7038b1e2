"""Specifications of candidates and requirements of queries, apart from the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import SpecificationError
from .protocols import GenerationSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .protocols import Candidate, FloatArray

#: major.minor. A newer minor version is read (unknown keys are kept), a newer major one refused.
SCHEMA = (1, 2)
#: After so many samples with broken output a candidate is shown as suspect and not ranked.
SUSPECT_AFTER = 2


@dataclass(frozen=True)
class CandidateRef:
    """Which candidate a specification describes. See :class:`~.protocols.Candidate`."""

    identity: str
    title: str
    name: str
    size: int = 0
    architecture: str | None = None
    popularity: int | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, candidate: Candidate) -> CandidateRef:
        return cls(
            candidate.identity,
            candidate.title,
            candidate.name,
            candidate.size,
            candidate.architecture,
            candidate.popularity,
        )


@dataclass(frozen=True)
class PromptSetRef:
    """Which prompt set a specification was built on."""

    name: str
    version: str
    hash: str
    size: int
    unknown: Mapping[str, Any] = field(default_factory=dict, compare=False)


#: In place of a prompt set's hash: each candidate has prompts of its own, which say nothing about
#: anybody else's of the same id.
OWN_PROMPTS = "own"


@dataclass(frozen=True)
class Rejection:
    """A sample that was generated but is broken, and so is not among the features."""

    prompt_id: str
    seed: int
    reason: str


@dataclass(frozen=True, eq=False)
class Specification:
    """S_m = {Z_m, Q_m} and its provenance.

    A partial one (4 of 55 prompts) is a specification like any other.

    Attributes:
        candidate: what it describes.
        encoder_id: of the image encoder, with its preprocessing.
        features: Z_m, raw, float32 ``[n, d]``. Rounded to float16, which is what files hold, so
            that a specification ranks the same before and after it was saved.
        prompt_ids: n ids out of the prompt set.
        seeds: n seeds. (prompt id, seed) is unique.
        prompt_set: which one.
        settings: how the samples were generated.
        text_encoder_id: of Q_m, or ``None`` without prompt embeddings.
        prompt_embeddings: Q_m, float32 ``[n, t]``, or ``None``.
        rejected: broken samples.
        updated: Unix time of the last change, in seconds.
        provenance: how the candidate came about where it is no file, for instance the workflow
            that generates with it, or where its samples were found. JSON-ready.
        texts: of prompts that are in no prompt set, by id.
        extra: keys that a later version wrote; kept as they are.
        extra_tensors: arrays that a later version wrote; kept until rows change.
        minor: of the schema that the file was read from.
    """

    candidate: CandidateRef
    encoder_id: str
    features: FloatArray
    prompt_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    prompt_set: PromptSetRef
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    text_encoder_id: str | None = None
    prompt_embeddings: FloatArray | None = None
    rejected: tuple[Rejection, ...] = ()
    updated: float = 0.0
    provenance: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    extra_tensors: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    minor: int = SCHEMA[1]

    def __post_init__(self) -> None:
        name = self.candidate.title
        object.__setattr__(self, "features", _as_stored(self.features, "features", name))
        n = len(self.features)
        if len(self.prompt_ids) != n or len(self.seeds) != n:
            raise SpecificationError(
                f"{name}: {n} rows of features, but {len(self.prompt_ids)} prompt ids "
                f"and {len(self.seeds)} seeds."
            )
        if len(set(zip(self.prompt_ids, self.seeds, strict=True))) != n:
            raise SpecificationError(f"{name}: the same prompt and seed occur twice.")
        if (self.prompt_embeddings is None) != (self.text_encoder_id is None):
            raise SpecificationError(
                f"{name}: prompt embeddings and the text encoder's id go together."
            )
        if self.prompt_embeddings is not None:
            stored = _as_stored(self.prompt_embeddings, "prompt embeddings", name)
            object.__setattr__(self, "prompt_embeddings", stored)
            if len(stored) != n:
                raise SpecificationError(
                    f"{name}: {n} rows of features, but {len(stored)} prompt embeddings."
                )

    def __len__(self) -> int:
        return len(self.prompt_ids)

    @property
    def own_prompts(self) -> bool:
        """Whether its prompts are its own, see :data:`OWN_PROMPTS`."""
        return self.prompt_set.hash == OWN_PROMPTS

    @property
    def done(self) -> frozenset[str]:
        """Prompt ids that need not be generated again: sampled, or rejected as broken."""
        return frozenset(self.prompt_ids) | {r.prompt_id for r in self.rejected}

    @property
    def suspect(self) -> str | None:
        """Why this candidate should not be trusted, or ``None``."""
        return suspect_reason([r.reason for r in self.rejected])

    def merged(self, other: Specification) -> Specification:
        """This specification with the rows of ``other`` that it lacks.

        Prompt embeddings are kept where every row has one; they can be computed again from the
        prompt set.

        Raises:
            SpecificationError: they were not built the same way.
        """
        if self.key != other.key or self.features.shape[1] != other.features.shape[1]:
            raise SpecificationError(
                f"{self.candidate.title}: cannot join specifications that were built differently."
            )
        have = set(zip(self.prompt_ids, self.seeds, strict=True))
        pairs = enumerate(zip(other.prompt_ids, other.seeds, strict=True))
        rows = [i for i, pair in pairs if pair not in have]
        text_encoder_id, embeddings = self._joined_embeddings(other, rows)
        return replace(
            self,
            features=np.concatenate([self.features, other.features[rows]]),
            prompt_ids=self.prompt_ids + tuple(other.prompt_ids[i] for i in rows),
            seeds=self.seeds + tuple(other.seeds[i] for i in rows),
            text_encoder_id=text_encoder_id,
            prompt_embeddings=embeddings,
            rejected=tuple(dict.fromkeys(self.rejected + other.rejected)),
            updated=max(self.updated, other.updated),
            provenance={**other.provenance, **self.provenance},
            texts={**other.texts, **self.texts},
            extra={**self.extra, **other.extra},
            extra_tensors={},
        )

    def _joined_embeddings(
        self, other: Specification, rows: Sequence[int]
    ) -> tuple[str | None, FloatArray | None]:
        """Prompt embeddings of this specification's rows and of some of the other's.

        An embedding depends on the prompt alone, so a row that lacks one takes that of its prompt.
        """
        text_encoder_id = self.text_encoder_id or other.text_encoder_id
        known: dict[str, FloatArray] = {}
        for part in (self, other):
            if part.prompt_embeddings is not None and part.text_encoder_id == text_encoder_id:
                known.update(zip(part.prompt_ids, part.prompt_embeddings, strict=True))
        wanted = self.prompt_ids + tuple(other.prompt_ids[i] for i in rows)
        if text_encoder_id is None or not all(p in known for p in wanted):
            return None, None
        if not wanted:
            empty = other if self.prompt_embeddings is None else self
            return empty.text_encoder_id, empty.prompt_embeddings
        return text_encoder_id, np.stack([known[p] for p in wanted])

    @property
    def comparability(self) -> tuple[str, ...]:
        """Candidates can be ranked against each other where these agree.

        Steps, sampler and the like differ between checkpoints by design (each runs as it is meant
        to run), so of the settings only the path of the pixels counts here.
        """
        return (self.encoder_id, self.prompt_set.hash, self.settings.codec)

    @property
    def key(self) -> str:
        """One per candidate and way of building; the library's file names derive from it."""
        settings = json.dumps(self.settings.to_json(), sort_keys=True)
        return "\n".join((self.candidate.identity, *self.comparability, settings))

    def describe(self) -> dict[str, Any]:
        """Everything but the arrays, JSON-ready."""
        return {
            **self.extra,
            "candidate": _flat(self.candidate),
            "encoder_id": self.encoder_id,
            "text_encoder_id": self.text_encoder_id,
            "prompt_ids": list(self.prompt_ids),
            "seeds": list(self.seeds),
            "prompt_set": _flat(self.prompt_set),
            "settings": self.settings.to_json(),
            "rejected": [vars(r) for r in self.rejected],
            "updated": self.updated,
            **({"provenance": dict(self.provenance)} if self.provenance else {}),
            **({"texts": dict(self.texts)} if self.texts else {}),
        }


@dataclass(frozen=True, eq=False)
class Requirement:
    """R_τ = {z_τ, q_τ}: what the user is looking for.

    Attributes:
        features: raw features of the query images, float32 ``[n, d]``.
        encoder_id: of the features.
        prompt_embedding: q_τ, float32 ``[t]``, or ``None`` without a prompt.
        text_encoder_id: of q_τ.
        prompt: the (pseudo-)prompt itself.
        notes: whole sentences on how it was made, to show with the ranking.
        trimmed: the images once more, without plain borders, ``[n, d]``; ``None`` if none has any.
    """

    features: FloatArray
    encoder_id: str
    prompt_embedding: FloatArray | None = None
    text_encoder_id: str | None = None
    prompt: str | None = None
    notes: tuple[str, ...] = ()
    trimmed: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) < 1:
            raise SpecificationError("A requirement needs at least one image.")
        if (self.prompt_embedding is None) != (self.text_encoder_id is None):
            raise SpecificationError(
                "A requirement's prompt embedding and text encoder id go together."
            )


def suspect_reason(rejected: Sequence[str]) -> str | None:
    """Why a candidate should not be trusted, by the reasons of its broken samples."""
    if len(rejected) < SUSPECT_AFTER:
        return None
    return f"{len(rejected)} broken samples ({', '.join(sorted(set(rejected)))})"


def _as_stored(array: NDArray[Any], what: str, name: str) -> FloatArray:
    """float32 values on float16's grid, checked."""
    array = np.asarray(array)
    if array.ndim != 2 or array.shape[1] < 1:
        raise SpecificationError(f"{name}: {what} have shape {array.shape}, expected [n, d].")
    with np.errstate(over="ignore"):
        stored = array.astype(np.float16).astype(np.float32)
    if not np.isfinite(stored).all():
        raise SpecificationError(
            f"{name}: {what} hold numbers that are not finite or do not fit float16."
        )
    stored.setflags(write=False)
    return stored


def _flat(value: Any) -> dict[str, Any]:
    """A part of a description, with the keys that a later version wrote."""
    known = dict(vars(value))
    return {**known.pop("unknown"), **known}
