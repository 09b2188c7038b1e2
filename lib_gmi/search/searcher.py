"""Content-based search: which checkpoint makes what I look for, and which sample shows it.

A query is any combination of text, images, a sketch, tags and another checkpoint. Samples are those
that the library keeps and the images of indexed folders (the four modes of ModaCLIP, and more).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import SearchError
from ..metadata.mentions import Installed
from .content import product_of_experts, standard
from .embeddings import Embeddings
from .hits import NOTHING, CheckpointAnswer, FoundCheckpoint, Hit, SampleAnswer
from .library_samples import LibrarySamples, candidates_of
from .scoring import Scorer
from .vectors import largest

if TYPE_CHECKING:
    from ..library.catalogue import Library
    from ..ranking.rkme import BoolArray
    from ..records.protocols import Candidate, FloatArray, JointEncoder, Progress
    from .query import Query
    from .scoring import Source
    from .style import Style

#: Samples of a checkpoint that are shown beside it.
_EVIDENCE = 3
#: Beside an answer about checkpoints that made the same prompts.
SAME_PROMPTS = (
    "All these checkpoints made the same prompts, so they hardly differ in what they show."
)
EMPTY_LIBRARY = (
    "There are no samples to search. The library keeps small copies of what it generates; build "
    "checkpoints with samples kept, or index a folder of images with: gmi index FOLDER"
)
Wanted = Callable[["Candidate"], bool]


class Searcher:
    """Searches the samples of a library. What was read is kept in memory until the library changes.

    Args:
        library: with kept samples.
        joint: encoder of images and texts.
        style: says what the fitted library is now, where there is one.
        installed: says what is installed now: files are renamed and deleted after they were built.
    """

    def __init__(
        self,
        library: Library,
        joint: JointEncoder,
        style: Callable[[], Style | None] = lambda: None,
        installed: Callable[[], Sequence[Candidate]] = list,
    ) -> None:
        self.embeddings, self.joint = Embeddings(library, joint), joint
        self._style, self._installed = style, installed
        self._read: dict[bool, tuple[str, LibrarySamples]] = {}

    def read(
        self,
        lines: bool = False,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> LibrarySamples:
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
        library = self.embeddings.library
        fingerprint = library.fingerprint()
        known = self._read.get(lines)
        if known is not None and known[0] == fingerprint:
            return known[1]
        samples = LibrarySamples.of(self.embeddings.read(lines, progress, stop))
        if not stop():
            self._read[lines] = (fingerprint, samples)
            if not library.read_only:
                self.embeddings.prune()
        return samples

    def checkpoints(
        self,
        query: Query,
        wanted: Wanted | None = None,
        having: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> CheckpointAnswer:
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
        whole, lines = self.read(False, progress), None
        samples = whole.select(wanted, having)
        if "sketch" in query.parts:
            lines = self.read(True, progress).select(wanted, having)
        if not len(samples):
            # only a filter takes out what there is
            reason = "No checkpoint with kept samples passes the filter. Widen it."
            raise SearchError(reason if len(whole) else EMPTY_LIBRARY)
        like = self._like(query)
        scorer = Scorer(query, self.joint, whole, like)
        style = self._style() if {"image", "like"} & set(query.parts) else None
        experts, fit = scorer.checkpoints(samples, lines, style)
        notes = list(scorer.notes)
        if samples.same_prompts and set(experts) - {"style", "like"}:
            notes.append(SAME_PROMPTS)
        weighed = [(scores, query.weight(part)) for part, scores in experts.items()]
        total = product_of_experts(weighed)
        each = {part: standard(scores) for part, scores in experts.items()}
        titles = self.titles()
        rows: list[FoundCheckpoint] = []
        for number in np.argsort(-total, kind="stable"):
            candidate = samples.checkpoints[number]
            identity = candidate.identity
            if like is not None and identity == like[0]:
                continue
            own = samples.rows_of(identity)
            best = own[np.argsort(-fit[own], kind="stable")[:_EVIDENCE]]
            rows.append(
                FoundCheckpoint(
                    rank=len(rows) + 1,
                    title=titles.get(identity, candidate.title),
                    identity=identity,
                    architecture=candidate.architecture,
                    score=float(total[number]),
                    parts={part: float(scores[number]) for part, scores in each.items()},
                    samples=len(own),
                    evidence=tuple(samples.files[row] for row in best),
                )
            )
        if not rows:
            raise SearchError("There is no other checkpoint to compare it with.")
        return CheckpointAnswer(tuple(rows), tuple(notes))

    def samples(
        self,
        query: Query,
        top: int = 20,
        wanted: Wanted | None = None,
        folders: Sequence[Source] = (),
        progress: Progress | None = None,
    ) -> SampleAnswer:
        """The samples that fit a query best.

        Args:
            query: what to look for. With ``like``, samples of other checkpoints that show what that
                one's samples show.
            top: hits at most.
            wanted: of which candidates, for instance a :class:`.service.Filter`; images that do not
                say where they come from are then left out.
            folders: indexed folders that are searched as well.
            progress: told while samples are encoded.

        Raises:
            SearchError: there is nothing to search, or the checkpoint to be like is unknown.
            ImageError: an image cannot be used.
            MissingExtraError: a text is given and the text encoder is not installed.
        """
        whole, lines, notes = self.read(False, progress), None, []
        sources = [each for each in (whole, *folders) if len(each)]
        if "sketch" in query.parts:
            lines = self.read(True, progress)
            if len(sources) > 1:
                notes.append("A sketch only searches the library's samples, not folders.")
            sources = [whole] if len(lines) else []
        if not sources:
            raise SearchError(EMPTY_LIBRARY)
        like = self._like(query)
        scorer = Scorer(query, self.joint, whole, like)
        scores = scorer.samples(sources, lines, top if wanted is None else None)
        installed = Installed(candidates_of(self.embeddings.library.entries()) if folders else ())
        if wanted is not None or like is not None:
            masks = [_passing(source, installed, wanted, like) for source in sources]
            scores[~np.concatenate(masks)] = -np.inf
        hits = self._hits(sources, scores, top, installed)
        notes += scorer.notes + ([] if hits else [NOTHING])
        return SampleAnswer(tuple(hits), tuple(notes), len(scores))

    def _hits(
        self, sources: Sequence[Source], scores: FloatArray, top: int, installed: Installed
    ) -> list[Hit]:
        """The best, under the titles that their checkpoints have today."""
        starts, titles, hits = np.cumsum([0, *map(len, sources)]), self.titles(), []
        for row in largest(scores, top):
            if not np.isfinite(scores[row]):
                break
            number = int(np.searchsorted(starts, row, side="right")) - 1
            own = int(row - starts[number])
            hit = sources[number].hit(own, float(scores[row]))
            maker = sources[number].maker(own, installed)
            if maker is not None:
                title = titles.get(maker.identity, maker.title)
                hit = replace(hit, checkpoint=title, identity=maker.identity)
            hits.append(hit)
        return hits

    def _like(self, query: Query) -> tuple[str, str] | None:
        return self.known(query.like.strip()) if "like" in query.parts else None

    def known(self, name: str) -> tuple[str, str]:
        """Identity and title of the checkpoint that a name means.

        Raises:
            SearchError: no sample is of such a checkpoint.
            LibraryError: the name fits several.
        """
        meant = [c for c in self._installed() if name in (c.name, c.title)]
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
        return {c.identity: c.title for c in reversed(self._installed())}


def _passing(
    source: Source, installed: Installed, wanted: Wanted | None, like: tuple[str, str] | None
) -> BoolArray:
    """Which samples of a source are of a wanted candidate, and not of the one to be like."""
    makers = [source.maker(row, installed) for row in range(len(source))]
    identity = None if like is None else like[0]
    others = (m is None or m.identity != identity for m in makers)
    if wanted is None:
        return np.fromiter(others, dtype=bool)
    verdicts = {m.identity: wanted(m) for m in {m.identity: m for m in makers if m}.values()}
    passing = (m is not None and verdicts[m.identity] for m in makers)
    return np.asarray(np.fromiter(passing, dtype=bool) & np.fromiter(others, dtype=bool))
