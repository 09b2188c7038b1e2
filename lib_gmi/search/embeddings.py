"""Vectors of kept samples in a space of images and texts, each computed once and stored.

    <library>/embeddings/<hash of the joint encoder's id>/
      <as the specification's file>.safetensors          vectors of its samples
      <as the specification's file>.lines.safetensors    vectors of the samples as line drawings
      statistics….safetensors                            of the checkpoints, for one fingerprint

Everything here can be computed again from the samples: a damaged file counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import ImageError, LibraryError
from ..base.files import read_regular, write_atomic
from ..base.images import open_image
from ..encoders.sketches import edge_map
from ..records.protocols import Progress, SilentProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..library.catalogue import Library
    from ..library.entries import Entry
    from ..records.protocols import FloatArray, JointEncoder

#: Samples that are encoded and stored at a time.
_AT_ONCE = 32
_VERSION = "1"


@dataclass(frozen=True, eq=False)
class Embedded:
    """The vectors of one specification's samples.

    Attributes:
        entry: the specification.
        rows: of it, that have a vector.
        vectors: of unit length, float32 ``[len(rows), d]``.
        paths: of the samples.
    """

    entry: Entry
    rows: tuple[int, ...]
    vectors: FloatArray
    paths: tuple[Path, ...]


class Embeddings:
    """See the module's docstring.

    Args:
        library: whose samples.
        joint: the encoder of images and texts.
    """

    def __init__(self, library: Library, joint: JointEncoder) -> None:
        self.library, self.joint = library, joint
        self.folder = library.folder / "embeddings" / folder_name(joint.id)

    def entries(self) -> list[Entry]:
        """One specification for each way of building: encoders may share their samples.

        Raises:
            LibraryError: the library cannot be listed.
        """
        chosen: dict[tuple[str, ...], tuple[int, Entry]] = {}
        for entry in self.library.entries():
            way = (entry.identity, entry.prompt_set_hash, repr(entry.settings.to_json()))
            kept = len(self._samples(entry))
            if kept and (way not in chosen or chosen[way][0] < kept):
                chosen[way] = (kept, entry)
        return [entry for _, entry in chosen.values()]

    def read(
        self,
        lines: bool = False,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[Embedded]:
        """Vectors of all kept samples; those that are missing or outdated are computed now.

        Args:
            lines: of the samples as line drawings.
            progress: told while samples are encoded.
            stop: asked after every few; what is finished is stored, and returned.

        Raises:
            LibraryError: the library cannot be listed. One that cannot be written is no error.
            EncoderError: the encoder does not work.
            MissingExtraError: its weights are not installed.
        """
        progress = progress or SilentProgress()
        found, known, stamps, missing = self._survey(lines)
        total, done, answer = sum(map(len, missing)), 0, []
        for number, (entry, samples) in enumerate(found):
            kept, todo = known[number], missing[number]
            for start in range(0, len(todo), _AT_ONCE):
                if stop():
                    break
                some = todo[start : start + _AT_ONCE]
                kept |= self._encode(entry, samples, some, lines)
                self._write(entry, kept, lines)
                done += len(some)
                progress.update(done, total, entry.title)
            good = [row for row in samples if _known(kept, entry, row) == stamps[number][row]]
            good = [row for row in good if kept[_pair(entry, row)][1] is not None]
            vectors = [kept[_pair(entry, row)][1] for row in good]
            if good:
                paths = tuple(samples[row] for row in good)
                stacked = np.stack([v for v in vectors if v is not None]).astype(np.float32)
                answer.append(Embedded(entry, tuple(good), stacked, paths))
        return answer

    def missing(self, lines: bool = False) -> int:
        """How many samples :meth:`read` would encode now.

        Raises:
            LibraryError: the library cannot be listed.
        """
        return sum(map(len, self._survey(lines)[3]))

    def _survey(
        self, lines: bool
    ) -> tuple[
        list[tuple[Entry, dict[int, Path]]], list[_Known], list[dict[int, str]], list[list[int]]
    ]:
        """Of each specification its samples, what is known, their stamps, and rows to encode."""
        found = [(entry, self._samples(entry)) for entry in self.entries()]
        known = [self._read(entry, lines) for entry, _ in found]
        stamps = [{row: _stamp(path) for row, path in samples.items()} for _, samples in found]
        missing = [
            [row for row in samples if _known(kept, entry, row) != stamp[row]]
            for (entry, samples), kept, stamp in zip(found, known, stamps, strict=True)
        ]
        return found, known, stamps, missing

    def _samples(self, entry: Entry) -> dict[int, Path]:
        """Kept copies by row of the specification."""
        pairs = (_pair(entry, row) for row in range(entry.samples))
        paths = [self.library.samples.find(entry.stem, *pair) for pair in pairs]
        return {row: path for row, path in enumerate(paths) if path is not None}

    def _encode(
        self, entry: Entry, samples: Mapping[int, Path], rows: Sequence[int], lines: bool
    ) -> _Known:
        """A sample that cannot be read has no vector, and is not tried again."""
        found: _Known = {}
        images, readable = [], []
        for row in rows:
            stamp = _stamp(samples[row])
            found[_pair(entry, row)] = (stamp, None)
            with contextlib.suppress(ImageError):
                image = open_image(samples[row])
                images.append(edge_map(image) if lines else image)
                readable.append((row, stamp))
        if images:
            vectors = unit(self.joint.encode_images(images))
            for (row, stamp), vector in zip(readable, vectors, strict=True):
                found[_pair(entry, row)] = (stamp, vector.astype(np.float16))
        return found

    def _path(self, entry: Entry, lines: bool) -> Path:
        return self.folder / f"{entry.stem}{'.lines' if lines else ''}.safetensors"

    def _read(self, entry: Entry, lines: bool) -> _Known:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors = load(read_regular(self._path(entry, lines)))
            if bytes(tensors["encoder"]) != f"{_VERSION} {self.joint.id}".encode():
                return {}
            rows = json.loads(bytes(tensors["rows"]))
            vectors = tensors["vectors"]
            if vectors.shape != (len(rows), self.joint.dim) or not np.isfinite(vectors).all():
                return {}
            return {
                (str(prompt), int(seed)): (str(stamp), vector if there else None)
                for (prompt, seed, stamp, there), vector in zip(rows, vectors, strict=True)
            }
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            return {}

    def _write(self, entry: Entry, known: _Known, lines: bool) -> None:
        empty = np.zeros(self.joint.dim, dtype=np.float16)
        rows = [[*pair, stamp, vector is not None] for pair, (stamp, vector) in known.items()]
        vectors = [empty if vector is None else vector for _, vector in known.values()]
        data: dict[str, NDArray[Any]] = {
            "encoder": _text(f"{_VERSION} {self.joint.id}"),
            "rows": _text(json.dumps(rows)),
            "vectors": np.stack(vectors),
        }
        self._store(self._path(entry, lines), data)

    def _store(self, path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
        from safetensors.numpy import save

        if not self.library.read_only:
            with contextlib.suppress(LibraryError):  # only a cache
                write_atomic(path, save(dict(tensors)))

    # -- statistics -------------------------------------------------------------------------------

    def read_statistics(self, key: str, lines: bool) -> dict[str, NDArray[Any]] | None:
        """What :meth:`write_statistics` stored for exactly this key, or ``None``."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors: dict[str, NDArray[Any]] = load(read_regular(self._statistics(lines)))
            return tensors if bytes(tensors.pop("key")) == key.encode() else None
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    def write_statistics(self, key: str, lines: bool, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Store statistics in place of older ones; a library that cannot be written is no error."""
        self._store(self._statistics(lines), {**tensors, "key": _text(key)})

    def _statistics(self, lines: bool) -> Path:
        return self.folder / f"statistics{'-lines' if lines else ''}.safetensors"

    def prune(self) -> int:
        """Delete the vectors of specifications that are not in the library any more.

        Returns:
            How many files were deleted.
        """
        stems = {entry.stem for entry in self.library.entries()} | {
            "statistics",
            "statistics-lines",
        }
        gone = [p for p in self.folder.glob("*.safetensors") if p.name.split(".")[0] not in stems]
        for path in gone:
            with contextlib.suppress(OSError):
                path.unlink()
        return len(gone)


#: Stamp and vector of a sample by prompt id and seed; no vector where it cannot be read.
_Known = dict[tuple[str, int], tuple[str, "NDArray[np.float16] | None"]]


def folder_name(encoder_id: str) -> str:
    """Of an encoder's vectors."""
    return hashlib.sha256(encoder_id.encode()).hexdigest()[:32]


def unit(vectors: FloatArray) -> FloatArray:
    """Of length 1 along the last axis; a zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def _pair(entry: Entry, row: int) -> tuple[str, int]:
    described = entry.described
    return str(described["prompt_ids"][row]), int(described["seeds"][row])


def _known(known: _Known, entry: Entry, row: int) -> str | None:
    found = known.get(_pair(entry, row))
    return None if found is None else found[0]


def _stamp(path: Path) -> str:
    """Changes when a sample does; a hard link, or a copy with its time, is the same sample."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _text(text: str) -> NDArray[np.uint8]:
    """As a tensor: a safetensors header is no place for megabytes."""
    return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
