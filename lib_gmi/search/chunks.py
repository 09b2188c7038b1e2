"""Files of an index of images: up to 1,024 vectors in float16 each, and descriptions of the images.

A file that is damaged counts as absent: its images are read again.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.files import read_regular, write_atomic
from ..base.stamps import time_stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bytes of a file of vectors.
_MOST_BYTES = 256 << 20


class Chunk:
    """The images of one file.

    Args:
        path: of the file.
        vectors: of unit length, float16 ``[n, d]``.
        described: JSON of n descriptions; only read where somebody needs them.
    """

    def __init__(self, path: Path, vectors: NDArray[np.float16], described: bytes) -> None:
        self.path, self.vectors, self._described = path, vectors, described

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """``path`` relative to the folder, ``stamp``, and what the file says."""
        found = json.loads(self._described)
        if len(found) != len(self.vectors):
            raise ValueError("descriptions and vectors differ in number")
        return [_checked(row) for row in found]


#: Of an index, by name: when a file was changed, and what it holds; ``None`` if it is damaged.
Files = dict[str, tuple[str, "Chunk | None"]]


def read_files(folder: Path, dim: int, known: Files) -> Files:
    """What each file of an index holds now; of ``known``, what has not changed is not read."""
    found: Files = {}
    for path in sorted(folder.glob("[0-9]*.safetensors")):
        with contextlib.suppress(Exception):  # damage can raise almost anything in a parser
            now = time_stamp(path)  # before it is read: what changes meanwhile is read once more
            if path.name in known and known[path.name][0] == now:
                found[path.name] = known[path.name]
            else:
                found[path.name] = now, None
                found[path.name] = now, read_chunk(path, dim)
    return found


def read_chunk(path: Path, dim: int) -> Chunk:
    """What a file holds, if that is what was written.

    Files of older versions have no checksum: of those every description is looked at.

    Raises:
        Exception: of nearly any kind, from the parsers, if it is damaged.
    """
    from safetensors.numpy import load

    tensors = load(read_regular(path, _MOST_BYTES))
    vectors, text = tensors["vectors"], bytes(tensors["rows"])
    good = vectors.dtype == np.float16 and vectors.shape[1:] == (dim,)
    if not good or not np.isfinite(vectors).all():
        raise ValueError("other vectors than these are")
    chunk = Chunk(path, vectors, text)
    if "checksum" not in tensors:
        chunk.rows  # noqa: B018  raises what is wrong with them
    elif int(tensors["checksum"][0]) != _checksum(vectors, text):
        raise ValueError("not what was written")
    return chunk


def write_chunk(path: Path, vectors: NDArray[np.float16], rows: list[dict[str, Any]]) -> Chunk:
    """Store images in a file.

    Raises:
        LibraryError: it cannot be written.
    """
    from safetensors.numpy import save

    text, vectors = json.dumps(rows).encode(), np.ascontiguousarray(vectors)
    tensors: dict[str, NDArray[Any]] = {
        "vectors": vectors,
        "rows": np.frombuffer(text, dtype=np.uint8),
        "checksum": np.asarray([_checksum(vectors, text)], dtype=np.uint32),
    }
    write_atomic(path, save(tensors))
    return Chunk(path, vectors, text)


def _checksum(vectors: NDArray[Any], text: bytes) -> int:
    return zlib.crc32(text, zlib.crc32(np.ascontiguousarray(vectors).tobytes()))


def _checked(row: Any) -> dict[str, Any]:
    """A description that everybody can rely on.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(row, dict) or not isinstance(row.get("path"), str) or not row["path"]:
        raise ValueError("a description without a path")
    said = row.get("checkpoint", {})
    good = (
        isinstance(row.get("stamp"), str)
        and isinstance(row.get("prompt", ""), str)
        and isinstance(row.get("seed"), int | None)
        and isinstance(row.get("settings", {}), dict)
        and isinstance(said, dict)
        and isinstance(said.get("name"), str | None)
        and isinstance(said.get("hashes", []), list)
        and all(isinstance(digits, str) for digits in said.get("hashes", []))
        and (not said or "hashes" in said)
    )
    if not good:
        raise ValueError("a malformed description")
    return row
