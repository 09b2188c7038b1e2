"""The container of a pack: the safetensors layout, read more strictly than its library reads it.

    8 bytes   length of the header, little-endian
    header    JSON: ``__metadata__`` (texts), and for each tensor its dtype, shape and place
    tensors   one after the other, without gap, overlap or rest

Nothing here maps a file into memory or evaluates anything; arrays are views of the file's bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ...base.errors import PackError
from ...records.specification_file import canonical
from .texts import check_texts, strict_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 1 << 30
MAX_HEADER = 32 << 20
#: The two types of numbers that packs hold: what the header calls them, and numpy's.
_TYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "U8": np.dtype("u1")}
_MAX_SIDE = 1 << 30
_METADATA = "__metadata__"
_NAME = re.compile(r"[a-z0-9_]{1,40}(?:/[a-z0-9_]{1,40}){0,3}")
_BEGINNINGS = (
    (b"PK", "a zip archive (.zip, .pt and .ckpt files are)"),
    (b"\x80", "a pickle file, which could run code when it is opened"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"GGUF", "a GGUF checkpoint"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"RIFF", "a WebP image or another media file"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"<", "a web page; download the file itself, not the page about it"),
    (b"{", "a JSON text"),
)


#: Arrays of float16 or bytes, by name.
Tensors = Mapping[str, "NDArray[Any]"]


def kind(array: NDArray[Any]) -> str:
    """What a header calls the type of an array that packs can hold."""
    return "U8" if array.dtype == np.uint8 else "F16"


def encode(metadata: Mapping[str, str], tensors: Tensors) -> bytes:
    """The bytes of a container. Equal content gives equal bytes."""
    from safetensors.numpy import save

    return canonical(save(dict(tensors), dict(metadata)))


def decode(data: bytes, name: str) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Metadata and tensors of a container.

    Args:
        data: the whole file.
        name: what errors call it.

    Raises:
        PackError: it is something else, damaged, or not laid out as :func:`encode` does.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 10 or data[8:9] != b"{" or not 2 <= length <= min(len(data) - 8, MAX_HEADER):
        raise PackError(f"{name}: {_what(data)}")
    try:
        text = data[8 : 8 + length].decode()
    except UnicodeDecodeError:
        raise PackError(f"{name}: is damaged: its header is not UTF-8.") from None
    header = strict_json(text, name, "header")
    metadata = header.pop(_METADATA, {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise PackError(f"{name}: its header is not that of a pack, nor of another file.")
    check_texts(list(metadata), name)
    return metadata, _tensors(header, data, 8 + length, name)


def _tensors(
    header: Mapping[str, Any], data: bytes, start: int, name: str
) -> dict[str, NDArray[Any]]:
    places: dict[str, tuple[int, int]] = {}
    shapes: dict[str, tuple[np.dtype[Any], list[int]]] = {}
    for key, row in header.items():
        if not _NAME.fullmatch(key):
            raise PackError(f"{name}: holds a tensor of an impossible name.")
        if not isinstance(row, dict) or set(row) != {"dtype", "shape", "data_offsets"}:
            raise PackError(f"{name}: its header does not describe '{key}'.")
        dtype, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
        if not isinstance(offsets, list) or len(offsets) != 2:
            raise PackError(f"{name}: its header does not say where '{key}' is.")
        begin, end = offsets
        if type(begin) is not int or type(end) is not int or not 0 <= begin < end <= MAX_BYTES:
            raise PackError(f"{name}: '{key}' has an impossible place.")
        if not isinstance(dtype, str) or dtype not in _TYPES:
            raise PackError(f"{name}: '{key}' is {str(dtype)[:20]}; packs hold F16 and U8 only.")
        if not isinstance(shape, list) or len(shape) > 2 or not all(_is_size(s) for s in shape):
            raise PackError(f"{name}: '{key}' has an impossible shape.")
        if prod(shape) * _TYPES[dtype].itemsize != end - begin:
            raise PackError(f"{name}: '{key}' is not as long as its shape says.")
        places[key], shapes[key] = (begin, end), (_TYPES[dtype], shape)
    expected = 0
    for key, (begin, end) in sorted(places.items(), key=lambda item: item[1]):
        if begin != expected:
            kind = "overlaps another tensor" if begin < expected else "comes after a gap"
            raise PackError(f"{name}: '{key}' {kind}. Get the pack anew from its author.")
        expected = end
    if start + expected != len(data):
        reason = "is cut short" if start + expected > len(data) else "goes on after its end"
        raise PackError(f"{name}: {reason}. Get the pack anew from its author.")
    # views: a copy of each would let a small header ask for much memory
    return {
        key: np.frombuffer(data, dtype, prod(shape), start + places[key][0]).reshape(shape)
        for key, (dtype, shape) in shapes.items()
    }


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MAX_SIDE


def _what(data: bytes) -> str:
    """What these bytes are, if not a pack."""
    if not data:
        return "is empty. Get the pack anew from its author."
    if data[257:262] == b"ustar":
        return "is not a pack but a tar archive."
    start = data[:64]
    for beginning, what in _BEGINNINGS:
        if start.startswith(beginning) or start.lstrip().startswith(beginning):
            return f"is not a pack but {what}."
    length = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and MAX_HEADER < length < 1 << 40:
        return f"claims a header of {length} bytes, more than any real pack has."
    return "is not a pack of specifications, or is damaged. Get it anew from its author."
