"""Vectors of kept samples in a space of images and texts, each computed once and stored.

    <library>/embeddings/<hash of the joint encoder's id>/
      <as the specification's file>.safetensors          vectors of its samples
      <as the specification's file>.lines.safetensors    vectors of the samples as line drawings

Everything here can be computed again from the samples: a damaged file counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..base.errors import ImageError, LibraryError
from ..base.files import read_regular, write_atomic
from ..base.images import open_image
from ..base.stamps import time_stamp
from ..base.vectors import unit
from ..encoders.sketches import edge_map
from ..records.protocols import Progress, SilentProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..library.catalogue import Library
    from ..library.entries import Entry
    from ..records.protocols import FloatArray, JointEncoder

#: Prompt id and seed, which are a sample's name in its specification.
Pair = tuple[str, int]
#: Samples that are encoded and stored at a time.
_AT_ONCE = 32
_VERSION = "1"


class Sample(NamedTuple):
    """A kept sample: its specification, its row there, and the file of its copy."""

    entry: Entry
    row: int
    path: Path


class _Stored(NamedTuple):
    """The stamp of a sample when it was encoded; no vector if it could not be read."""

    stamp: str
    vector: NDArray[np.float16] | None


@dataclass(frozen=True, eq=False)
class Embedded:
    """Samples of one specification, and their vectors of unit length, float32 ``[n, d]``."""

    entry: Entry
    samples: Sequence[Sample]
    vectors: FloatArray


@dataclass(eq=False)
class _Survey:
    """Of one specification its kept samples, their stamps now, and what is stored of them."""

    entry: Entry
    samples: dict[Pair, Sample]
    stamps: dict[Pair, str]
    stored: dict[Pair, _Stored]

    def current(self, pair: Pair) -> bool:
        """Whether a sample has been encoded as it is now."""
        return pair in self.stored and self.stored[pair].stamp == self.stamps[pair]

    @property
    def missing(self) -> list[Pair]:
        """Samples that are new or have changed."""
        return [pair for pair in self.samples if not self.current(pair)]


class Embeddings:
    """See the module's docstring.

    Args:
        library: whose samples.
        joint: the encoder of images and texts.
    """

    def __init__(self, library: Library, joint: JointEncoder) -> None:
        self.library, self.joint = library, joint
        name = hashlib.sha256(joint.id.encode()).hexdigest()[:32]
        self.folder = library.folder / "embeddings" / name

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
        progress, surveys = progress or SilentProgress(), self._surveys(lines)
        total, done, answer = sum(len(each.missing) for each in surveys), 0, []
        for each in surveys:
            missing = each.missing
            for start in range(0, len(missing), _AT_ONCE):
                if stop():
                    break
                some = {pair: each.samples[pair] for pair in missing[start : start + _AT_ONCE]}
                each.stored |= self._encode(some, lines)
                self._write(each, lines)
                done += len(some)
                progress.update(done, total, each.entry.title)
            current = {
                pair: each.stored[pair].vector for pair in each.samples if each.current(pair)
            }
            good = {pair: vector for pair, vector in current.items() if vector is not None}
            if good:
                stacked = np.stack(list(good.values())).astype(np.float32)
                answer.append(Embedded(each.entry, [each.samples[p] for p in good], stacked))
        return answer

    def missing(self, lines: bool = False) -> int:
        """How many samples :meth:`read` would encode now.

        Raises:
            LibraryError: the library cannot be listed.
        """
        return sum(len(each.missing) for each in self._surveys(lines))

    def _surveys(self, lines: bool) -> list[_Survey]:
        """One for each way of building: encoders may share their samples."""
        chosen: dict[tuple[str, ...], tuple[Entry, dict[Pair, Sample]]] = {}
        for entry in self.library.entries():
            samples = self._samples(entry)
            if samples and len(chosen.get(entry.way, (entry, {}))[1]) < len(samples):
                chosen[entry.way] = entry, samples
        return [
            _Survey(
                entry,
                samples,
                {pair: _stamp(sample.path) for pair, sample in samples.items()},
                self._read(entry, lines),
            )
            for entry, samples in chosen.values()
        ]

    def _samples(self, entry: Entry) -> dict[Pair, Sample]:
        paths = {pair: self.library.samples.find(entry.stem, *pair) for pair in entry.pairs}
        return {
            pair: Sample(entry, row, path)
            for row, (pair, path) in enumerate(paths.items())
            if path is not None
        }

    def _encode(self, samples: Mapping[Pair, Sample], lines: bool) -> dict[Pair, _Stored]:
        """A sample that cannot be read has no vector, and is not tried again."""
        found: dict[Pair, _Stored] = {}
        images, readable = [], []
        for pair, sample in samples.items():
            found[pair] = _Stored(_stamp(sample.path), None)
            with contextlib.suppress(ImageError):
                image = open_image(sample.path)
                images.append(edge_map(image) if lines else image)
                readable.append(pair)
        if images:
            vectors = unit(self.joint.encode_images(images)).astype(np.float16)
            for pair, vector in zip(readable, vectors, strict=True):
                found[pair] = found[pair]._replace(vector=vector)
        return found

    def _path(self, entry: Entry, lines: bool) -> Path:
        return self.folder / f"{entry.stem}{'.lines' if lines else ''}.safetensors"

    def _read(self, entry: Entry, lines: bool) -> dict[Pair, _Stored]:
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
                (str(prompt), int(seed)): _Stored(str(stamp), vector if there else None)
                for (prompt, seed, stamp, there), vector in zip(rows, vectors, strict=True)
            }
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            return {}

    def _write(self, survey: _Survey, lines: bool) -> None:
        from safetensors.numpy import save

        if self.library.read_only:
            return
        empty = np.zeros(self.joint.dim, dtype=np.float16)
        rows = [
            [*pair, stamp, vector is not None] for pair, (stamp, vector) in survey.stored.items()
        ]
        vectors = [empty if vector is None else vector for _, vector in survey.stored.values()]
        tensors: dict[str, NDArray[Any]] = {
            "encoder": _text(f"{_VERSION} {self.joint.id}"),
            "rows": _text(json.dumps(rows)),
            "vectors": np.stack(vectors),
        }
        with contextlib.suppress(LibraryError):  # only a cache
            write_atomic(self._path(survey.entry, lines), save(tensors))

    def prune(self) -> int:
        """Delete what is not of a specification in the library, such as of one that was removed.

        Returns:
            How many files were deleted.
        """
        stems = {entry.stem for entry in self.library.entries()}
        gone = [p for p in self.folder.glob("*.safetensors") if p.name.split(".")[0] not in stems]
        for path in gone:
            with contextlib.suppress(OSError):
                path.unlink()
        return len(gone)


def _stamp(path: Path) -> str:
    """Empty if the file is gone."""
    with contextlib.suppress(OSError):
        return time_stamp(path)
    return ""


def _text(text: str) -> NDArray[np.uint8]:
    """As a tensor: a safetensors header is no place for megabytes."""
    return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
