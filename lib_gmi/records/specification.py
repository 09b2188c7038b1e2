"""Specifications and requirements, and the file that holds a specification.

A file is one safetensors file: tensors ``features`` (float16 ``[n, d]``) and, where prompts could
be embedded, ``prompt_embeddings`` (float16 ``[n, t]``), with two metadata entries: ``gmi.schema``
and ``gmi.specification`` (JSON). ``docs/file-format.md`` describes it field by field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import SchemaVersionError, SpecificationError
from .protocols import GenerationSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .protocols import Candidate, FloatArray

#: major.minor. A newer minor version is read (unknown keys are kept), a newer major one refused.
SCHEMA = (1, 2)
#: After so many samples with broken output a candidate is shown as suspect and not ranked.
SUSPECT_AFTER = 2

_SCHEMA_KEY = "gmi.schema"
_JSON_KEY = "gmi.specification"
# Far above any real specification; a file that claims more is damaged or hostile.
_MAX_SAMPLES = 100_000
_MAX_DIM = 1_000_000
MAX_BYTES = 1 << 30
_MAX_TEXT = 10_000
_MAX_DEPTH = 50


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

    def select(self, prompt_ids: Sequence[str]) -> Specification:
        """The part of this specification that was built on the given prompts."""
        wanted = set(prompt_ids)
        rows = [i for i, p in enumerate(self.prompt_ids) if p in wanted]
        return replace(
            self,
            features=self.features[rows],
            prompt_ids=tuple(self.prompt_ids[i] for i in rows),
            seeds=tuple(self.seeds[i] for i in rows),
            prompt_embeddings=None
            if self.prompt_embeddings is None
            else self.prompt_embeddings[rows],
            rejected=tuple(r for r in self.rejected if r.prompt_id in wanted),
            extra_tensors={},
        )

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

    def to_bytes(self) -> bytes:
        """The file's content."""
        from safetensors.numpy import save

        tensors = {**self.extra_tensors, "features": self.features.astype(np.float16)}
        if self.prompt_embeddings is not None:
            tensors["prompt_embeddings"] = self.prompt_embeddings.astype(np.float16)
        metadata = {
            _SCHEMA_KEY: f"{SCHEMA[0]}.{max(SCHEMA[1], self.minor)}",
            _JSON_KEY: json.dumps(self.describe(), sort_keys=True, ensure_ascii=False),
        }
        return _canonical(save(tensors, metadata))

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

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "specification") -> Specification:
        """Read a file's content. Nothing in it is believed before it was checked.

        Args:
            data: the bytes of a specification file.
            name: what errors call it.

        Raises:
            SchemaVersionError: written by a newer major version.
            SpecificationError: anything else that is wrong with it; the message names the file.
        """
        known, minor = read_description(data, name)
        tensors = _read_tensors(data, name)
        if "features" not in tensors:
            raise SpecificationError(f"{name}: holds no features.")
        try:
            candidate = _pick(CandidateRef, known.pop("candidate"))
            prompt_set = _pick(PromptSetRef, known.pop("prompt_set"))
            settings = _pick(GenerationSettings, known.pop("settings"))
            rejected = tuple(_pick(Rejection, r) for r in known.pop("rejected", ()))
            return cls(
                candidate=candidate,
                encoder_id=_text(known.pop("encoder_id")),
                features=tensors.pop("features"),
                prompt_ids=tuple(_text(p) for p in _list(known.pop("prompt_ids"))),
                seeds=tuple(_integer(s) for s in _list(known.pop("seeds"))),
                prompt_set=prompt_set,
                settings=settings,
                text_encoder_id=_text_or_none(known.pop("text_encoder_id", None)),
                prompt_embeddings=tensors.pop("prompt_embeddings", None),
                rejected=rejected,
                updated=_finite(known.pop("updated", 0.0)),
                provenance=_mapping(known.pop("provenance", {})),
                texts={k: _text(v) for k, v in _mapping(known.pop("texts", {})).items()},
                extra=known,
                extra_tensors=tensors,
                minor=minor,
            )
        except SpecificationError as error:
            raise SpecificationError(f"{name}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise SpecificationError(
                f"{name}: its description is incomplete or malformed "
                f"({type(error).__name__}: {error}). Build it again."
            ) from None


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


def storable(value: Any) -> bool:
    """Whether a value can be part of a description."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError):
        return False
    return not _deeper_than(value, _MAX_DEPTH - 5)


def read_settings(described: Any) -> GenerationSettings:
    """Settings out of a description that was checked before."""
    settings: GenerationSettings = _pick(GenerationSettings, described)
    return settings


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


def _canonical(data: bytes) -> bytes:
    """The same file with its header's keys sorted: equal specifications have equal bytes.

    safetensors writes them in an order that changes from call to call.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    padded = text.ljust(-(-len(text) // 8) * 8)  # safetensors aligns the arrays to 8 bytes
    return len(padded).to_bytes(8, "little") + padded + data[8 + length :]


def read_description(data: bytes, name: str) -> tuple[dict[str, Any], int]:
    """The JSON part of a file's content and the schema's minor version, without the arrays.

    Raises:
        SchemaVersionError: written by a newer major version.
        SpecificationError: not a specification file.
    """
    if len(data) > MAX_BYTES:
        raise SpecificationError(f"{name}: is too large for a specification.")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= len(data) - 8:
        raise SpecificationError(f"{name}: is not a specification, or is truncated.")
    try:
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        major, minor = (int(part) for part in metadata[_SCHEMA_KEY].split(".")[:2])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SpecificationError(f"{name}: is not a specification file.") from None
    if major > SCHEMA[0]:
        raise SchemaVersionError(
            f"{name}: was written by a newer version of this program (schema "
            f"{metadata[_SCHEMA_KEY]}, this one reads {SCHEMA[0]}.x). Update, or build it again."
        )
    try:
        described = json.loads(metadata[_JSON_KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SpecificationError(f"{name}: its description is not valid JSON.") from None
    if not isinstance(described, dict):
        raise SpecificationError(f"{name}: its description is not a JSON object.")
    if _deeper_than(described, _MAX_DEPTH):
        raise SpecificationError(f"{name}: its description is nested too deeply.")
    try:
        metadata[_JSON_KEY].encode()
        json.dumps(described, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise SpecificationError(
            f"{name}: its description holds text or numbers that cannot be stored."
        ) from None
    return described, minor


def _deeper_than(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    children = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_deeper_than(child, depth - 1) for child in children)


def _read_tensors(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except Exception as error:  # safetensors has its own type, numpy's dtypes add KeyError
        raise SpecificationError(f"{name}: is damaged ({error}). Build it again.") from None
    for key in ("features", "prompt_embeddings"):
        array = tensors.get(key)
        if array is None:
            continue
        if array.dtype not in (np.float16, np.float32) or array.ndim != 2:
            raise SpecificationError(
                f"{name}: '{key}' is {array.dtype} {array.shape}, expected float16 [n, d]."
            )
        if array.shape[0] > _MAX_SAMPLES or array.shape[1] > _MAX_DIM:
            raise SpecificationError(f"{name}: '{key}' has an implausible shape {array.shape}.")
    return tensors


_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "None": type(None),
}


def _pick(cls: type[Any], data: Any) -> Any:
    """A small dataclass out of JSON, types checked; unknown keys are kept where it has a place."""
    if not isinstance(data, dict):
        raise TypeError(f"{cls.__name__} is not an object")
    fields = {k: f for k, f in cls.__dataclass_fields__.items() if k != "unknown"}
    values = {k: v for k, v in data.items() if k in fields}
    for key, value in values.items():
        # A string such as "int | None", because annotations are postponed in every module here.
        allowed = str(fields[key].type)
        if allowed.startswith("Mapping"):
            types: list[Any] = [dict]
        else:
            types = [_TYPES[option] for option in allowed.split(" | ")]
        if isinstance(value, bool) or not any(isinstance(value, t) for t in types):
            raise TypeError(f"{cls.__name__}.{key} is {type(value).__name__}, expected {allowed}")
        if isinstance(value, str) and len(value) > _MAX_TEXT:
            raise TypeError(f"{cls.__name__}.{key} is longer than {_MAX_TEXT} characters")
    if "unknown" in cls.__dataclass_fields__:
        values["unknown"] = {k: v for k, v in data.items() if k not in fields}
    return cls(**values)


def _flat(value: Any) -> dict[str, Any]:
    """The inverse of :func:`_pick`."""
    known = dict(vars(value))
    return {**known.pop("unknown"), **known}


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {type(value).__name__}")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, found {type(value).__name__}")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"expected a whole number, found {type(value).__name__}")
    return value


def _finite(value: Any) -> float:
    number = float(value)
    if not np.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise TypeError(f"expected a text, found {type(value).__name__}")
    return value
