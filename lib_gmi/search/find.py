"""Find samples: text → image, image → image, tags → image, and any of them together.

The four modes of ModaCLIP, over the library's kept samples and the images of indexed folders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import SearchError
from ..metadata.mentions import Installed
from .checkpoints import EMPTY_LIBRARY, Query, Searcher, tag_scores
from .content import standard
from .embeddings import unit
from .hits import Hit, Origin, origins, to_json
from .shelves import FolderShelf, Found, LibraryShelf, candidates_of
from .vectors import Exact, largest, nearest

if TYPE_CHECKING:
    from ..ranking.rkme import BoolArray, IntArray
    from ..records.protocols import Candidate, FloatArray, Progress
    from .index import OpenIndex

NOTHING = "Nothing was found. Try other words, fewer tags, or a wider filter."


@dataclass(frozen=True)
class Finding:
    """Hits, best first, which checkpoints they come from, and whole sentences about the answer."""

    hits: tuple[Hit, ...]
    origins: tuple[Origin, ...]
    notes: tuple[str, ...] = ()
    searched: int = 0

    def to_json(self) -> dict[str, Any]:
        """For other programs."""
        return {
            "hits": to_json(self.hits),
            "checkpoints": [vars(row) for row in self.origins],
            "searched": self.searched,
            "notes": list(self.notes),
        }


class Finder:
    """Searches samples.

    Args:
        searcher: of the library.
        indexes: of folders that are searched as well.
    """

    def __init__(self, searcher: Searcher, indexes: Sequence[OpenIndex] = ()) -> None:
        self.searcher = searcher
        self._folders: list[FolderShelf] = []
        if indexes:
            installed = Installed(candidates_of(searcher.embeddings.library.entries()))
            self._folders = [FolderShelf(each, installed) for each in indexes if len(each)]

    def find(
        self,
        query: Query,
        top: int = 20,
        wanted: Callable[[Candidate], bool] | None = None,
        progress: Progress | None = None,
    ) -> Finding:
        """The samples that fit a query best.

        Args:
            query: what to look for. With ``like``, samples of other checkpoints that show what that
                one's samples show.
            top: hits at most.
            wanted: of which candidates, for instance a :class:`.service.Filter`; images that do not
                say where they come from are then left out.
            progress: told while samples are encoded.

        Raises:
            SearchError: there is nothing to search, or the checkpoint to be like is unknown.
            ImageError: an image cannot be used.
            MissingExtraError: a text is given and the text encoder is not installed.
        """
        library = self.searcher.shelf(False, progress)
        if not len(library) and not self._folders:
            raise SearchError(EMPTY_LIBRARY)
        notes: list[str] = []
        if "sketch" in query.parts:
            lines = self.searcher.shelf(True, progress)
            if not len(lines):
                raise SearchError(EMPTY_LIBRARY)
            if self._folders:
                notes.append("A sketch only searches the library's samples, not folders.")
            shelves: list[Found] = [_Drawn(library, lines)]
        else:
            shelves = [library] if len(library) else []
            shelves += self._folders
        searched = sum(map(len, shelves))
        plain = query.parts in (("text",), ("image",)) and wanted is None
        chosen = self._nearest(query, shelves, top) if plain else None
        if chosen is None:
            scores = self._scores(query, shelves, notes)
            masks = [self._allowed(query, shelf, wanted) for shelf in shelves]
            scores[~np.concatenate(masks)] = -np.inf
            chosen = _places(shelves, largest(scores, top), scores)
        titles = self.searcher.titles()
        hits = tuple(
            _titled(shelf.hit(row, score), titles)
            for shelf, row, score in chosen
            if np.isfinite(score)
        )
        if not hits:
            notes.append(NOTHING)
        return Finding(hits, tuple(origins(hits)), tuple(notes), searched)

    def _nearest(
        self, query: Query, shelves: Sequence[Found], top: int
    ) -> list[tuple[Found, int, float]]:
        """By one vector: nothing is looked at but the nearest rows and, of a text, those whose
        prompts hold some of its words."""
        vector = self._vector(query, query.parts[0])
        found = []
        for shelf in shelves:
            rows, scores = nearest(shelf.index, vector, top)
            pairs = dict(zip(rows.tolist(), scores.tolist(), strict=True))
            if query.parts == ("text",):
                named = shelf.words.scores(query.text)
                told = np.flatnonzero(named > 0)
                both = Exact(shelf.some(told)).scores(vector) + named[told]
                best = largest(both, top)
                pairs |= dict(zip(told[best].tolist(), both[best].tolist(), strict=True))
                # of those that are told but not among the best, the nearest rows know too little
                pairs = {row: s for row, s in pairs.items() if not named[row] or row in told[best]}
            found += [(shelf, row, score) for row, score in pairs.items()]
        return sorted(found, key=lambda place: -place[2])[:top]

    def _scores(self, query: Query, shelves: Sequence[Found], notes: list[str]) -> FloatArray:
        """Of all samples: of one part as it is; of several their weighted, standardised sum."""
        parts = []
        for part in query.parts:
            each = [self._part(query, part, shelf, notes) for shelf in shelves]
            parts.append((np.concatenate(each), query.weight(part)))
        if len(parts) == 1:
            return parts[0][0]
        ruled_out = np.any([~np.isfinite(scores) for scores, _ in parts], axis=0)
        total = np.zeros(len(ruled_out), dtype=np.float32)
        for scores, weight in parts:
            finite = np.where(np.isfinite(scores), scores, 0).astype(np.float32)
            total += weight * standard(finite)
        total[ruled_out] = -np.inf
        return total

    def _part(self, query: Query, part: str, shelf: Found, notes: list[str]) -> FloatArray:
        if part == "tags":
            scores, note = tag_scores(self.searcher, query, shelf)
            if note:
                scores[scores <= 0] = -np.inf  # nothing else speaks for them
                if note not in notes:
                    notes.append(note)
            return scores
        if part == "text":
            return text_scores(shelf, self._vector(query, part), query.text)
        matrix = shelf.matrix
        if part == "sketch":
            assert isinstance(shelf, _Drawn)
            return shelf.by_lines(self.searcher.sketches(query.sketches).mean(axis=0))
        return Exact(matrix).scores(self._vector(query, part))

    def _vector(self, query: Query, part: str) -> FloatArray:
        searcher = self.searcher
        if part == "text":
            found = searcher.texts([query.text.strip()])
        elif part == "image":
            found = searcher.images(query.images)
        else:
            identity, title = searcher.known(query.like.strip())
            shelf = searcher.shelf()
            if identity not in shelf.identities:
                raise SearchError(f"{title}: no samples of it are kept, so nothing can be like it.")
            found = searcher.find_near(shelf, identity)
        return unit(found.mean(axis=0))

    def _allowed(
        self, query: Query, shelf: Found, wanted: Callable[[Candidate], bool] | None
    ) -> BoolArray:
        asked = self.searcher.known(query.like.strip())[0] if "like" in query.parts else None
        if wanted is None and asked is None:
            return np.ones(len(shelf), dtype=bool)
        if wanted is None:
            others = shelf.passes(lambda candidate: candidate.identity == asked)
            return np.asarray(~others)
        accepts = wanted
        return shelf.passes(lambda c: c.identity != asked and accepts(c))


def _titled(hit: Hit, titles: Mapping[str, str]) -> Hit:
    """A hit under its checkpoint's title of today."""
    title = titles.get(hit.identity or "")
    return hit if title is None else replace(hit, checkpoint=title)


def text_scores(found: Found, vector: FloatArray, text: str) -> FloatArray:
    """How well samples fit a text, by what they show and by what their prompts say, ``[n]``.

    Args:
        found: the samples.
        vector: of the text, ``[d]``.
        text: whose words are looked for. Samples whose prompts hold all of them come first, among
            them those that show it best.
    """
    return np.asarray(Exact(found.matrix).scores(vector) + found.words.scores(text))


class _Drawn:
    """The library's samples that were read as pictures and as line drawings."""

    def __init__(self, pictures: LibraryShelf, lines: LibraryShelf) -> None:
        self._pictures, self._lines = pictures, lines
        self.matrix, self.prompts, self.index = pictures.matrix, pictures.prompts, pictures.index
        self.hit, self.passes = pictures.hit, pictures.passes
        self.words, self.some = pictures.words, pictures.some

    def __len__(self) -> int:
        return len(self._pictures)

    def by_lines(self, vector: FloatArray) -> FloatArray:
        """⟨row, vector⟩ of each picture's drawing; −inf where there is none, ``[n]``."""
        known = dict(zip(self._lines.files, Exact(self._lines.matrix).scores(vector), strict=True))
        found = [known.get(file, -np.inf) for file in self._pictures.files]
        return np.asarray(found, dtype=np.float32)


def _places(
    shelves: Sequence[Found], rows: IntArray, scores: FloatArray
) -> list[tuple[Found, int, float]]:
    """Positions among all samples → shelf, row of it, and score."""
    starts = np.cumsum([0, *map(len, shelves)])
    found = []
    for row in rows:
        number = int(np.searchsorted(starts, row, side="right")) - 1
        found.append((shelves[number], int(row - starts[number]), float(scores[row])))
    return found
