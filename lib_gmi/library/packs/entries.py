"""Specifications as entries of a pack: their part of the manifest, and their tensors."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...base.errors import EncoderError, PackError, SchemaVersionError, SpecificationError
from ...encoders import registry
from ...records.specification import Specification
from ...records.specification_file import from_bytes
from .container import Tensors, kind
from .texts import one_name, page_link
from .thumbnails import check_thumbnail

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Tensors that an entry may have.
ARRAYS = ("features", "prompt_embeddings")
#: What a candidate can be known by in a pack: a file's hash, or only a name.
IDENTITY = re.compile(r"sha256:[0-9a-f]{64}|(?:folder|recipe):[^\t\n\r]{1,900}")
_MAX_SAMPLES = 10_000
_MAX_NUMBERS = 100_000
_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}")
_PAGE = "page"
#: What of a description is shared, and what is taken from a stranger: nothing else, so that what a
#: later version notes down stays private until somebody has thought about it.
_SHARED: dict[str, tuple[str, ...]] = {
    "candidate": ("identity", "title", "name", "size", "architecture", "popularity"),
    "encoder_id": (),
    "text_encoder_id": (),
    "prompt_ids": (),
    "seeds": (),
    "prompt_set": ("name", "version", "hash", "size"),
    "settings": (
        *("width", "height", "steps", "cfg", "sampler", "scheduler", "clip_skip", "vae"),
        *("dialect", "negative", "codec", "extra"),
    ),
    "rejected": ("prompt_id", "seed", "reason"),
    "updated": (),
}


def read_entry(entry: Any, tensors: Tensors, schema: Any, label: str) -> Specification:
    """The specification that an entry of a manifest describes.

    Args:
        entry: strict JSON of any kind, its texts checked.
        tensors: of this entry, by name.
        schema: of specifications, major.minor.
        label: what errors call it.

    Raises:
        PackError: it is malformed, of a newer version, or does not fit its tensors.
    """
    from safetensors.numpy import save

    if not isinstance(entry, dict) or not isinstance(schema, str) or not _VERSION.fullmatch(schema):
        raise PackError(f"{label}: is malformed.")
    for key in ARRAYS:
        _check_array(tensors.get(key), key, label)
    metadata = {"gmi.schema": schema, "gmi.specification": json.dumps(_shared(entry))}
    specification = parse_specification(save(dict(tensors), metadata), label)
    _check_description(specification, label)
    return specification


def parse_specification(data: bytes, label: str) -> Specification:
    """The specification in a file's bytes, which somebody else has built.

    Raises:
        PackError: it is malformed, or of a newer version.
    """
    try:
        return from_bytes(data, label)
    except SchemaVersionError as error:
        raise PackError(str(error).replace(", or build it again", "")) from None
    except SpecificationError as error:
        raise PackError(str(error).replace(" Build it again.", "")) from None


def _check_array(array: NDArray[Any] | None, key: str, label: str) -> None:
    if array is None:
        if key == "features":
            raise PackError(f"{label}: has no features.")
        return
    rows, width = array.shape if array.ndim == 2 else (0, 0)
    small = 1 <= rows <= _MAX_SAMPLES and 1 <= width <= _MAX_NUMBERS
    if kind(array) != "F16" or not small:
        shape = list(array.shape)
        raise PackError(f"{label}: '{key}' is {kind(array)} {shape}, expected F16 [n, d].")


def _check_description(specification: Specification, label: str) -> None:
    candidate, prompt_set = specification.candidate, specification.prompt_set
    if not IDENTITY.fullmatch(candidate.identity):
        raise PackError(
            f"{label}: says that it is of '{candidate.identity[:60]}'. In a pack that is sha256: "
            "and 64 digits, or folder: or recipe: and a name."
        )
    names = {
        "title": candidate.title,
        "file name": candidate.name,
        "encoder": specification.encoder_id,
        "codec": specification.settings.codec,
        "prompt set": prompt_set.name,
        "prompt set's hash": prompt_set.hash,
    }
    for what, text in names.items():
        one_name(text, label, what)
    for prompt_id in specification.prompt_ids:
        one_name(prompt_id, label, "prompt id")
    if not 0 <= prompt_set.size <= _MAX_NUMBERS or not 0 <= candidate.size < 1 << 60:
        raise PackError(f"{label}: has an impossible size of its prompt set or file.")
    if any(abs(seed) >= 1 << 64 for seed in specification.seeds):
        raise PackError(f"{label}: has an impossible seed.")
    _check_widths(specification, label)


def _check_widths(specification: Specification, label: str) -> None:
    """Encoders that are not known may be a newer version's: those are listed, never compared."""
    found = []
    with contextlib.suppress(EncoderError):
        info = registry.info(specification.encoder_id)
        if info.id == specification.encoder_id:
            found.append((info.id, info.dim, specification.features))
    if specification.prompt_embeddings is not None:
        with contextlib.suppress(EncoderError):
            text = registry.text_info(str(specification.text_encoder_id))
            found.append((text.id, text.text_dim, specification.prompt_embeddings))
    for encoder_id, width, array in found:
        if array.shape[1] != width:
            raise PackError(
                f"{label}: has {array.shape[1]} numbers where {encoder_id} makes {width}."
            )


def read_thumbnails(
    specification: Specification, pictures: Mapping[int, NDArray[Any]], label: str
) -> dict[tuple[str, int], bytes]:
    """WebP files by prompt id and seed, out of tensors by the sample's row.

    Raises:
        PackError: one is not a small, plain WebP picture, or of no sample.
    """
    found = {}
    for row, picture in pictures.items():
        if row >= len(specification):
            raise PackError(f"{label}: has a thumbnail of a sample that it does not have.")
        if kind(picture) != "U8" or picture.ndim != 1:
            raise PackError(f"{label}: thumbnail {row} is not a row of bytes.")
        data = picture.tobytes()
        check_thumbnail(data, f"{label}: thumbnail {row}")
        found[specification.prompt_ids[row], specification.seeds[row]] = data
    return found


def entry_of(specification: Specification) -> dict[str, Any]:
    """A specification's entry in a manifest."""
    page = page_link(specification.candidate.identity)
    return {**_shared(specification.describe()), **({_PAGE: page} if page else {})}


def _shared(described: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a description that packs are about."""
    return {
        key: _picked(described[key], parts) for key, parts in _SHARED.items() if key in described
    }


def _picked(value: Any, parts: tuple[str, ...]) -> Any:
    if parts and isinstance(value, list):
        return [_picked(row, parts) for row in value]
    if parts and isinstance(value, dict):
        return {key: value[key] for key in parts if key in value}
    return value


def tensors_of(
    number: int, specification: Specification, pictures: Mapping[tuple[str, int], bytes]
) -> dict[str, NDArray[Any]]:
    """A specification's tensors in a pack.

    Args:
        number: of its entry, from 0.
        specification: what to write.
        pictures: WebP files by prompt id and seed.
    """
    found = {f"{number}/features": specification.features.astype("<f2", order="C")}
    if specification.prompt_embeddings is not None:
        found[f"{number}/prompt_embeddings"] = specification.prompt_embeddings.astype(
            "<f2", order="C"
        )
    for row, pair in enumerate(zip(specification.prompt_ids, specification.seeds, strict=True)):
        if pair in pictures:
            picture = np.frombuffer(pictures[pair], dtype=np.uint8)
            found[f"{number}/thumbnails/{row}"] = picture
    return found
