"""Content-based search: which checkpoint makes what I look for, and which sample shows it.

A query is any combination of text, images, a sketch, tags and another checkpoint. Each part is an
expert; the answer is the product of them (:func:`.content.product_of_experts`). Checkpoints are
ranked by the scores of Lu et al. (arXiv 2210.03116, :mod:`.content`) and, where images or another
checkpoint are given, by the learned kernel beside them; samples by the cosine of their vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import EncoderError, MissingExtraError, SearchError
from ..encoders.sketches import dark_on_light
from .content import SCORES, Statistics, monte_carlo, product_of_experts, standard
from .embeddings import Embeddings, unit
from .shelves import Found, LibraryShelf, literal
from .style import aligned

if TYPE_CHECKING:
    from PIL import Image

    from ..library.catalogue import Library
    from ..records.protocols import Candidate, FloatArray, JointEncoder, Progress
    from .style import Style

#: κ of the scores; chosen by ``benchmarks/search.py`` from 3, 10, 30 and 100.
KAPPA = 10.0
#: The score that measured best for each kind of query (``docs/results-more.md``).
BEST = {"text": "monte-carlo", "image": "density", "sketch": "density", "like": "monte-carlo"}
#: Parts of a query that have a weight. ``style`` is the learned kernel beside an image.
PARTS = ("text", "image", "sketch", "tags", "like", "style")
#: Samples of another checkpoint that are asked with.
_MOST_LIKE = 64
#: Beside an answer about checkpoints that made the same prompts.
SAME_PROMPTS = (
    "All these checkpoints made the same prompts, so they hardly differ in what they show."
)
EMPTY_QUERY = (
    "Say what to look for: a text, an image, a sketch, tags, or a checkpoint that it shall be like."
)
EMPTY_LIBRARY = (
    "There are no samples to search. The library keeps small copies of what it generates; build "
    "checkpoints with samples kept, or index a folder of images with: gmi index FOLDER"
)


@dataclass(frozen=True)
class Query:
    """What to look for. Everything that is given counts.

    Attributes:
        text: in words.
        images: examples of the same wish.
        sketches: drawings, dark on light or light on dark.
        tags: words of which a sample shall show any, or all with ``all_tags``.
        like: title, name or identity of a checkpoint.
        weights: of :data:`PARTS`; 1 where none is given, 0 leaves a part out.
        score: one of :data:`.content.SCORES` for all parts; by default the best for each.
    """

    text: str = ""
    images: Sequence[Image.Image] = ()
    sketches: Sequence[Image.Image] = ()
    tags: Sequence[str] = ()
    all_tags: bool = False
    like: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    score: str | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(PARTS))
        if unknown:
            raise SearchError(f"Unknown part '{unknown[0]}'. Parts with a weight: {_listed(PARTS)}")
        if any(not (0 <= weight < 1e6) for weight in self.weights.values()):
            raise SearchError("A weight is a number from 0 on.")
        if self.score is not None and self.score not in SCORES:
            raise SearchError(f"Unknown score '{self.score}'. Known: {_listed(SCORES)}")
        if not self.parts:
            raise SearchError(EMPTY_QUERY)

    @property
    def words(self) -> list[str]:
        """The tags without what is empty."""
        return list(dict.fromkeys(tag.strip() for tag in self.tags if tag.strip()))

    @property
    def parts(self) -> tuple[str, ...]:
        """What is given and counts."""
        given = {
            "text": bool(self.text.strip()),
            "image": bool(self.images),
            "sketch": bool(self.sketches),
            "tags": bool(self.words),
            "like": bool(self.like.strip()),
        }
        return tuple(part for part, there in given.items() if there and self.weight(part) > 0)

    def weight(self, part: str) -> float:
        """Of a part."""
        return float(self.weights.get(part, 1.0))


@dataclass(frozen=True)
class RankedContent:
    """A checkpoint in an answer.

    Attributes:
        rank: from 1.
        score: weighted sum of standardised log scores; only comparable within one answer.
        parts: standardised log score of each part of the query.
        samples: how many it was judged by.
        evidence: its samples that fit best, as files, best first.
    """

    rank: int
    title: str
    identity: str
    architecture: str | None
    score: float
    parts: Mapping[str, float]
    samples: int
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """Checkpoints, best first, and whole sentences on how the answer came about."""

    checkpoints: tuple[RankedContent, ...]
    notes: tuple[str, ...] = ()


class Searcher:
    """Searches the samples of a library. What was read is kept in memory until the library changes.

    Args:
        library: with kept samples.
        joint: encoder of images and texts.
        style: the fitted library, where there is one.
    """

    def __init__(self, library: Library, joint: JointEncoder, style: Style | None = None) -> None:
        #: What is installed now: files are renamed and deleted after they were built.
        self.installed: Callable[[], Sequence[Candidate]] = list
        self.embeddings = Embeddings(library, joint)
        self.joint, self.style = joint, style
        self._read: dict[bool, tuple[str, LibraryShelf]] = {}

    def shelf(
        self,
        lines: bool = False,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> LibraryShelf:
        """All kept samples with their vectors; encodes those that are new.

        Args:
            lines: as line drawings, for sketches.
            progress: told while samples are encoded.
            stop: asked after every few; the answer then knows the others only.

        Raises:
            LibraryError: the library cannot be listed.
            EncoderError: the encoder does not work.
            MissingExtraError: its weights are not installed.
        """
        fingerprint = self.embeddings.library.fingerprint()
        kept = self._read.get(lines)
        if kept is not None and kept[0] == fingerprint:
            return kept[1]
        shelf = LibraryShelf(self.embeddings.read(lines, progress, stop))
        if not stop():
            self._read[lines] = (fingerprint, shelf)
            if not self.embeddings.library.read_only:
                self.embeddings.prune()
        return shelf

    def checkpoints(
        self,
        query: Query,
        wanted: Callable[[Candidate], bool] | None = None,
        having: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Answer:
        """Rank checkpoints by what their samples show.

        Args:
            query: what to look for.
            wanted: which candidates take part, for instance a :class:`.service.Filter`.
            having: only samples whose prompt has one of these tags count.
            progress: told while samples are encoded.

        Raises:
            SearchError: nothing takes part, or the checkpoint to be like is unknown.
            ImageError: an image cannot be used.
            MissingExtraError: a text is given and the text encoder is not installed.
        """
        shelf = self.shelf(False, progress).select(wanted, having)
        lines = None
        if "sketch" in query.parts:
            lines = self.shelf(True, progress).select(wanted, having)
        _refuse_empty(shelf, self.shelf(), wanted is not None or bool(having))
        return _Ranking(self, query, shelf, lines).answer()

    def known(self, name: str) -> tuple[str, str]:
        """Identity and title of the checkpoint that a name means.

        Raises:
            SearchError: no sample is of such a checkpoint.
            LibraryError: the name fits several.
        """
        meant = [c for c in self.installed() if name in (c.name, c.title)]
        entries = self.embeddings.library.find(meant[0].identity if meant else name)
        if not entries:
            all_entries = self.embeddings.library.entries()
            entries = [e for e in all_entries if e.described["candidate"]["name"] == name]
        if not entries:
            raise SearchError(f"'{name}' is not in the library. See gmi library list.")
        identity = entries[0].identity
        return identity, self.titles().get(identity, entries[0].title)

    def titles(self) -> dict[str, str]:
        """Of what is installed, by identity; of equal files, the first that is listed."""
        return {c.identity: c.title for c in reversed(self.installed())}

    # -- vectors of a query -----------------------------------------------------------------------

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Vectors ``[n, d]`` of unit length.

        Raises:
            MissingExtraError: the text encoder is not installed.
        """
        return unit(self.joint.encode_texts(texts))

    def images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Vectors ``[n, d]`` of unit length.

        Raises:
            ImageError: an image cannot be used.
        """
        return unit(self.joint.encode_images(images))

    def sketches(self, sketches: Sequence[Image.Image]) -> FloatArray:
        """Vectors ``[n, d]`` of unit length, to be compared with samples as line drawings."""
        return self.images([dark_on_light(sketch) for sketch in sketches])

    def statistics(self, shelf: LibraryShelf, lines: bool) -> Statistics:
        """Of a shelf's checkpoints; stored, unless only some of the samples take part."""
        if shelf.partial:
            return Statistics.of(shelf.groups())
        key = shelf.key(self.embeddings.library.fingerprint())
        stored = self.embeddings.read_statistics(key, lines)
        if stored is not None:
            try:
                return Statistics.from_tensors(stored)
            except (ValueError, KeyError):
                pass  # a damaged cache: computed anew
        found = Statistics.of(shelf.groups())
        self.embeddings.write_statistics(key, lines, found.to_tensors())
        return found

    def find_near(self, shelf: LibraryShelf, identity: str) -> FloatArray:
        """Vectors of a checkpoint's samples, evenly chosen where it has many, ``[n, d]``."""
        rows = shelf.rows_of(identity)
        step = max(1, -(-len(rows) // _MOST_LIKE))
        return shelf.vectors[rows[::step]]


class _Ranking:
    """One question to checkpoints."""

    def __init__(
        self, searcher: Searcher, query: Query, shelf: LibraryShelf, lines: LibraryShelf | None
    ) -> None:
        self.searcher, self.query, self.shelf, self.lines = searcher, query, shelf, lines
        self.identities = shelf.identities
        self.notes: list[str] = []

    @cached_property
    def statistics(self) -> Statistics:
        return self.searcher.statistics(self.shelf, False)

    def answer(self) -> Answer:
        """Everything that is given, weighed."""
        experts: dict[str, FloatArray] = {}
        fit = np.zeros(len(self.shelf), dtype=np.float32)  # of each sample, to show the best
        asked: str | None = None
        for part in self.query.parts:
            if part == "like":
                asked, title = self.searcher.known(self.query.like.strip())
                experts[part] = self._like(asked, title)
            elif part == "tags":
                experts[part], products = self._tags()
                fit += products
            elif part == "sketch":
                experts[part] = self._sketch()
            else:
                texts = [self.query.text.strip()]
                images = self.query.images
                searcher = self.searcher
                vectors = searcher.texts(texts) if part == "text" else searcher.images(images)
                experts[part] = self._content(self.shelf, self.statistics, vectors, part)
                fit += self.shelf.vectors @ vectors.mean(axis=0)
            if part == "image":
                self._add_style(experts)
        if self.shelf.same_prompts and set(experts) - {"style", "like"}:
            self.notes.append(SAME_PROMPTS)
        weighed = [(scores, self.query.weight(part)) for part, scores in experts.items()]
        total = product_of_experts(weighed)
        each = {part: standard(scores) for part, scores in experts.items()}
        order = [i for i in np.argsort(-total, kind="stable") if self.identities[i] != asked]
        if not order:
            raise SearchError("There is no other checkpoint to compare it with.")
        titles = self.searcher.titles()
        rows = [
            RankedContent(
                rank,
                titles.get(self.identities[i], self.shelf.titles[i]),
                self.identities[i],
                self.shelf.architectures[i],
                float(total[i]),
                {part: float(scores[i]) for part, scores in each.items()},
                len(self.shelf.rows_of(self.identities[i])),
                self.shelf.best(self.identities[i], fit),
            )
            for rank, i in enumerate(order, 1)
        ]
        return Answer(tuple(rows), tuple(self.notes))

    def _content(
        self, shelf: LibraryShelf, statistics: Statistics, vectors: FloatArray, part: str
    ) -> FloatArray:
        """Log scores, the mean over the query's vectors: a product of experts as well."""
        score = self.query.score or BEST[part]
        found = [_scores(score, shelf, statistics, vector) for vector in vectors]
        return np.asarray(np.mean(found, axis=0), dtype=np.float32)

    def _add_style(self, experts: dict[str, FloatArray]) -> None:
        style = self.searcher.style
        if style is None or self.query.weight("style") == 0:
            return
        known = style.of_images(self.query.images)
        if not set(known) & set(self.identities):
            return
        experts["style"] = aligned(known, self.identities)
        if self.shelf.same_prompts and "image" not in self.query.weights:
            # an expert that can know nothing would cost half of the answers (docs/results-more.md)
            del experts["image"]
            self.notes.append("Only the look of the images counts. Weigh image=1 to change that.")
        else:
            self.notes.append("The look of the images counts as well as what they show.")

    def _sketch(self) -> FloatArray:
        assert self.lines is not None
        vectors = self.searcher.sketches(self.query.sketches)
        statistics = self.searcher.statistics(self.lines, True)
        scores = self._content(self.lines, statistics, vectors, "sketch")
        known = dict(zip(self.lines.identities, scores.tolist(), strict=True))
        return aligned(known, self.identities)

    def _tags(self) -> tuple[FloatArray, FloatArray]:
        """log of the mean over a checkpoint's samples of how well each shows the tags."""
        products, note = tag_scores(self.searcher, self.query, self.shelf)
        if note:
            self.notes.append(note)
        return monte_carlo(products, self.shelf.starts, KAPPA), products

    def _like(self, identity: str, title: str) -> FloatArray:
        style = self.searcher.style
        near = style.near(identity) if style is not None else {}
        if set(near) & set(self.identities):
            self.notes.append(f"Compared with {title} by how its images look.")
            return aligned(near, self.identities)
        whole = self.searcher.shelf()
        if identity not in whole.identities:
            raise SearchError(f"{title}: no samples of it are kept, so nothing can be like it.")
        self.notes.append(f"Compared with {title} by what its images show.")
        vectors = self.searcher.find_near(whole, identity)
        return self._content(self.shelf, self.statistics, vectors, "like")


def tag_scores(searcher: Searcher, query: Query, found: Found) -> tuple[FloatArray, str]:
    """How well each sample shows the tags, ``[n]``, and a note if the images were not looked at.

    A tag that the prompt names counts 1; half the cosine of image and tag is added. Of several
    tags the best counts, or the worst where all are asked for.
    """
    words, note = query.words, ""
    named = np.stack([literal(found.prompts, word) for word in words])
    try:
        seen = searcher.texts(words) @ found.matrix.T / 2
    except (MissingExtraError, EncoderError) as error:
        seen, note = np.zeros_like(named), f"Tags were looked for in prompts only: {error}"
    scores = named + seen
    chosen = scores.min(axis=0) if query.all_tags else scores.max(axis=0)
    return np.asarray(chosen, dtype=np.float32), note


def _scores(
    score: str, shelf: LibraryShelf, statistics: Statistics, vector: FloatArray
) -> FloatArray:
    if score == "monte-carlo":
        return monte_carlo(shelf.vectors @ vector, shelf.starts, KAPPA)
    if score == "first-moment":
        return statistics.first_moment(vector, KAPPA)
    if score == "two-moments":
        return statistics.two_moments(vector, KAPPA)
    return statistics.density(vector)


def _refuse_empty(shelf: LibraryShelf, whole: LibraryShelf, filtered: bool) -> None:
    if len(shelf):
        return
    if len(whole) and filtered:
        raise SearchError("No checkpoint with kept samples passes the filter. Widen it.")
    raise SearchError(EMPTY_LIBRARY)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) + "."
