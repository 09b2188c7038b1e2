"""The images of an indexed folder as something to search."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import LibraryError, MissingExtraError
from ..metadata import CheckpointMention
from .chunks import Files, read_files
from .hits import Hit
from .prompt_words import PromptWords
from .vectors import Approximate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..metadata.mentions import Installed
    from ..ranking.rkme import IntArray
    from ..records.protocols import Candidate, FloatArray
    from .index import FolderIndex


class FolderImages:
    """What there is in an index, to be searched as :class:`.LibrarySamples` are.

    Args:
        index: of the folder.
        before: what was read of it earlier: files that have not changed since are not read again.
    """

    def __init__(self, index: FolderIndex, before: FolderImages | None = None) -> None:
        self.index = index
        known = {} if before is None else before._files
        self._files: Files = read_files(index.place, index.dim, known)
        found = (chunk for _, chunk in self._files.values())
        self._chunks = [chunk for chunk in found if chunk is not None and len(chunk.vectors)]
        self._starts = np.cumsum([0, *[len(chunk.vectors) for chunk in self._chunks]])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def vectors(self) -> FloatArray:
        """Of all images, of unit length, ``[n, d]``."""
        return self._stacked([chunk.vectors for chunk in self._chunks])

    @cached_property
    def prompts(self) -> Sequence[str]:
        """What the files say of their prompts; reads every description."""
        return [str(row.get("prompt") or "") for row in self.descriptions()]

    @cached_property
    def words(self) -> PromptWords:
        """Of the prompts."""
        return PromptWords(self.prompts)

    @cached_property
    def _approximate(self) -> Approximate | None:
        """The approximate index, if one was made of exactly these images."""
        with contextlib.suppress(LibraryError, MissingExtraError):
            if self.index.approximate.is_file():
                found = Approximate.load(self.index.approximate)
                return found if len(found) == len(self) else None
        return None

    def approximate(self) -> None:
        """Build and keep an approximate index of all images. Any later change drops it.

        Raises:
            MissingExtraError: faiss is not installed.
            LibraryError: it cannot be written.
        """
        if len(self):
            Approximate.build(self.vectors).save(self.index.approximate)

    def cosines(self, vector: FloatArray, nearest: int | None, also: IntArray) -> FloatArray:
        """Of all images, ``[n]``; see :meth:`.LibrarySamples.cosines`."""
        if nearest is None or self._approximate is None:
            return np.asarray(self.vectors @ vector)
        rows, products = self._approximate.nearest(vector, nearest)
        scores = np.full(len(self), -np.inf, dtype=np.float32)
        scores[rows], scores[also] = products, self._some(also) @ vector
        return scores

    def maker(self, row: int, installed: Installed) -> Candidate | None:
        """The candidate that the file names, if it is in the library."""
        said = self._row(row).get("checkpoint")
        if not said:
            return None
        return installed.find(CheckpointMention(said.get("name"), tuple(said["hashes"])))

    def hit(self, row: int, score: float) -> Hit:
        """What there is to show of an image: what its file says."""
        about = self._row(row)
        seed = about.get("seed")
        return Hit(
            score,
            str(about.get("checkpoint", {}).get("name") or ""),
            None,
            str(about.get("prompt") or ""),
            None if seed is None else int(seed),
            dict(about.get("settings") or {}),
            str(self.index.folder / str(about["path"])),
            str(self.index.folder),
        )

    def descriptions(self) -> Iterator[dict[str, Any]]:
        """Of all images, in order: ``path`` below the folder, and what the files say."""
        for chunk in self._chunks:
            yield from chunk.rows

    def _row(self, row: int) -> dict[str, Any]:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._chunks[number].rows[row - int(self._starts[number])]

    def _some(self, rows: IntArray) -> FloatArray:
        """Vectors of some images, ``[k, d]``; rows in rising order."""
        bounds = np.searchsorted(rows, self._starts)
        return self._stacked(
            [
                chunk.vectors[rows[begin:end] - start]
                for chunk, start, begin, end in zip(
                    self._chunks, self._starts, bounds, bounds[1:], strict=False
                )
            ]
        )

    def _stacked(self, parts: Sequence[NDArray[np.float16]]) -> FloatArray:
        whole = np.concatenate([np.empty((0, self.index.dim), dtype=np.float16), *parts])
        return whole.astype(np.float32)


class OpenFolders:
    """Images of folders that stay read while their indexes do not change. For any thread."""

    def __init__(self) -> None:
        self._open: dict[Path, tuple[object, FolderImages]] = {}
        self._lock = threading.Lock()

    def open(self, indexes: Sequence[FolderIndex]) -> list[FolderImages]:
        """What there is now in these; others are forgotten."""
        with self._lock:
            found = {}
            for index in indexes:
                stamp, known = index.stamp(), self._open.get(index.place)
                if known is None or known[0] != stamp:
                    known = stamp, FolderImages(index, None if known is None else known[1])
                found[index.place] = known
            self._open = found
            return [images for _, images in found.values()]
