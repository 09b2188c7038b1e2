"""The file that holds a specification.

It is one safetensors file: tensors ``features`` (float16 ``[n, d]``) and, where prompts could be
embedded, ``prompt_embeddings`` (float16 ``[n, t]``), with two metadata entries: ``gmi.schema`` and
``gmi.specification`` (JSON). ``docs/file-format.md`` describes it field by field.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..base.errors import SchemaVersionError, SpecificationError
from .protocols import GenerationSettings
from .specification import SCHEMA, CandidateRef, PromptSetRef, Rejection, Specification

if TYPE_CHECKING:
    from numpy.typing import NDArray

_T = TypeVar("_T")
_SCHEMA_KEY = "gmi.schema"
_JSON_KEY = "gmi.specification"
# Far above any real specification; a file that claims more is damaged or hostile.
_MAX_SAMPLES = 100_000
_MAX_DIM = 1_000_000
MAX_BYTES = 1 << 30
_MAX_TEXT = 10_000
_MAX_DEPTH = 50


def to_bytes(specification: Specification) -> bytes:
    """The content of a specification's file; equal specifications have equal bytes."""
    from safetensors.numpy import save

    tensors = {**specification.extra_tensors, "features": specification.features.astype(np.float16)}
    if specification.prompt_embeddings is not None:
        tensors["prompt_embeddings"] = specification.prompt_embeddings.astype(np.float16)
    metadata = {
        _SCHEMA_KEY: f"{SCHEMA[0]}.{max(SCHEMA[1], specification.minor)}",
        _JSON_KEY: json.dumps(specification.describe(), sort_keys=True, ensure_ascii=False),
    }
    return canonical(save(tensors, metadata))


def from_bytes(data: bytes, name: str = "specification") -> Specification:
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
        texts = _typed(known.pop("texts", {}), dict)
        text_encoder_id = known.pop("text_encoder_id", None)
        if text_encoder_id is not None:
            _typed(text_encoder_id, str)
        return Specification(
            candidate=_pick(CandidateRef, known.pop("candidate")),
            encoder_id=_typed(known.pop("encoder_id"), str),
            features=tensors.pop("features"),
            prompt_ids=tuple(_typed(p, str) for p in _typed(known.pop("prompt_ids"), list)),
            seeds=tuple(_typed(s, int) for s in _typed(known.pop("seeds"), list)),
            prompt_set=_pick(PromptSetRef, known.pop("prompt_set")),
            settings=_pick(GenerationSettings, known.pop("settings")),
            text_encoder_id=text_encoder_id,
            prompt_embeddings=tensors.pop("prompt_embeddings", None),
            rejected=tuple(_pick(Rejection, r) for r in known.pop("rejected", ())),
            updated=_finite(known.pop("updated", 0.0)),
            provenance=_typed(known.pop("provenance", {}), dict),
            texts={k: _typed(v, str) for k, v in texts.items()},
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


def canonical(data: bytes) -> bytes:
    """A safetensors file with its header's keys sorted: equal specifications get equal bytes.

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


_TEXT, _WHOLE, _NUMBER, _OBJECT = (str,), (int,), (int, float), (dict,)
_NONE = type(None)
#: What JSON may hold for each field of the dataclasses in a description.
_FIELDS: dict[type[Any], dict[str, tuple[type, ...]]] = {
    CandidateRef: {
        "identity": _TEXT,
        "title": _TEXT,
        "name": _TEXT,
        "size": _WHOLE,
        "architecture": (*_TEXT, _NONE),
        "popularity": (*_WHOLE, _NONE),
    },
    PromptSetRef: {"name": _TEXT, "version": _TEXT, "hash": _TEXT, "size": _WHOLE},
    Rejection: {"prompt_id": _TEXT, "seed": _WHOLE, "reason": _TEXT},
    GenerationSettings: {
        "width": (*_WHOLE, _NONE),
        "height": (*_WHOLE, _NONE),
        "steps": (*_WHOLE, _NONE),
        "cfg": (*_NUMBER, _NONE),
        "sampler": (*_TEXT, _NONE),
        "scheduler": (*_TEXT, _NONE),
        "clip_skip": (*_WHOLE, _NONE),
        "vae": (*_TEXT, _NONE),
        "dialect": _TEXT,
        "negative": _TEXT,
        "codec": _TEXT,
        "extra": _OBJECT,
    },
}


def _pick(cls: type[Any], data: Any) -> Any:
    """A small dataclass out of JSON, types checked; unknown keys are kept where it has a place."""
    if not isinstance(data, dict):
        raise TypeError(f"{cls.__name__} is not an object")
    fields = _FIELDS[cls]
    values = {k: v for k, v in data.items() if k in fields}
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, fields[key]):
            expected = " | ".join(
                "None" if kind is _NONE else kind.__name__ for kind in fields[key]
            )
            raise TypeError(f"{cls.__name__}.{key} is {type(value).__name__}, expected {expected}")
        if isinstance(value, str) and len(value) > _MAX_TEXT:
            raise TypeError(f"{cls.__name__}.{key} is longer than {_MAX_TEXT} characters")
    if "unknown" in cls.__dataclass_fields__:
        values["unknown"] = {k: v for k, v in data.items() if k not in fields}
    return cls(**values)


def _typed(value: Any, kind: type[_T]) -> _T:
    """A value of exactly this type, so that a flag is no number."""
    if type(value) is not kind or (isinstance(value, str) and len(value) > _MAX_TEXT):
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value


def _finite(value: Any) -> float:
    number = float(value)
    if not np.isfinite(number):
        raise ValueError("a number is not finite")
    return number
