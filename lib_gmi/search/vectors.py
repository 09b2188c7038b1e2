"""Nearest vectors: exactly, or with faiss in a hundredth of the time at a small loss.

Exact search is one product of a matrix and a vector, and a partition of the scores. An approximate
index (Jégou, Douze & Schmid 2011: an inverted file over the cells of a k-means) only looks at the
cells near a query. It pays from some hundred thousand vectors on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import LibraryError, MissingExtraError
from ..base.files import read_regular, write_atomic

if TYPE_CHECKING:
    from ..ranking.rkme import IntArray
    from ..records.protocols import FloatArray

#: Cells that a query looks at, and vectors that a cell's centre is learned from.
_PROBES, _PER_CELL = 16, 40
#: Bytes of a stored index: some ten million vectors.
_MOST = 32 << 30


def largest(scores: FloatArray, count: int) -> IntArray:
    """Positions of the largest of ``[n]`` numbers, best first; equal ones in their order."""
    count = min(count, len(scores))
    if count < 1:
        return np.empty(0, dtype=np.int64)
    rows: IntArray = np.arange(len(scores))
    if count < len(scores):
        rows = np.sort(np.argpartition(scores, -count)[-count:])
    return np.asarray(rows[np.argsort(-scores[rows], kind="stable")], dtype=np.int64)


class Approximate:
    """faiss's inverted file over rows of vectors; see the module's docstring. Scores are exact."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @classmethod
    def build(cls, matrix: FloatArray) -> Approximate:
        """Index rows ``[n, d]``; takes about a minute for a million rows of 512 numbers.

        Raises:
            MissingExtraError: faiss is not installed.
        """
        faiss = load_faiss()
        rows, dim = matrix.shape
        cells = max(1, min(int(np.sqrt(rows)), rows // _PER_CELL))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
        chosen = np.random.default_rng(0).permutation(rows)[: cells * _PER_CELL]
        index.train(np.ascontiguousarray(matrix[np.sort(chosen)], dtype=np.float32))
        for start in range(0, rows, 1 << 16):
            index.add(np.ascontiguousarray(matrix[start : start + (1 << 16)], dtype=np.float32))
        index.nprobe = min(_PROBES, cells)
        return cls(index)

    def nearest(self, query: FloatArray, count: int) -> tuple[IntArray, FloatArray]:
        """Rows with the largest products with ``[d]``, best first, and these; at most ``count``."""
        scores, rows = self._index.search(np.asarray(query[None], dtype=np.float32), count)
        there = rows[0] >= 0
        return np.asarray(rows[0][there], dtype=np.int64), np.asarray(scores[0][there])

    def save(self, path: Path) -> None:
        """Keep the index in a file.

        Raises:
            LibraryError: it cannot be written.
        """
        write_atomic(path, load_faiss().serialize_index(self._index).tobytes())

    @classmethod
    def load(cls, path: Path) -> Approximate:
        """An index that :meth:`save` wrote.

        Raises:
            LibraryError: it cannot be read.
            MissingExtraError: faiss is not installed.
        """
        faiss = load_faiss()
        try:
            return cls(
                faiss.deserialize_index(np.frombuffer(read_regular(path, _MOST), dtype=np.uint8))
            )
        except OSError as error:
            raise LibraryError(f"{path}: cannot be read ({error.strerror or error}).") from None
        except RuntimeError as error:  # what faiss makes of damage
            raise LibraryError(f"{path}: is damaged ({error}). Delete it.") from None


def load_faiss() -> Any:
    """The optional package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise MissingExtraError(
            "Approximate search needs faiss. Install it with: pip install faiss-cpu. Without it "
            "search is exact."
        ) from None
    return faiss
