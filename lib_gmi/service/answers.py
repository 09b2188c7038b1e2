"""Answers to queries: the ranking of what is installed, and what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..base.errors import GMIError, MissingExtraError, RankingError
from ..metadata.mentions import Installed, MadeWith, made_with
from .candidates import by_best_identity
from .filters import Filter

if TYPE_CHECKING:
    from PIL import Image

    from ..library.packs import PackedSpecification
    from ..metadata import Making
    from ..ranking.identify import Identifier
    from ..ranking.results import RankedCandidate, Ranking
    from ..records.protocols import Candidate, PseudoPrompt
    from ..records.specification import Requirement
    from .descriptions import Descriptions
    from .samples import Samples
    from .snapshots import Snapshots
    from .states import States

#: Methods that a host offers; the others need a library of pixels, or popularities.
RANKERS = ("auto", "learned", "weighted-rkme", "rkme-clip", "rkme-concat")
#: So many checkpoints that are not installed are named beside a ranking.
_MOST_ABSENT = 3


@dataclass(frozen=True)
class Absent:
    """A checkpoint that only a pack knows, and that fits better than all that are installed.

    Attributes:
        packed: what the pack says of it.
        row: its line of a ranking by the answer's method.
    """

    packed: PackedSpecification
    row: RankedCandidate


@dataclass(frozen=True)
class Answer:
    """The whole answer to a query.

    Attributes:
        ranking: of what is installed and passes the filter.
        prompt: what describes the query, or ``None``.
        elsewhere: what is not installed and fits better, best first.
        made_with: what the images' metadata say of their checkpoints.
    """

    ranking: Ranking
    prompt: PseudoPrompt | None
    elsewhere: tuple[Absent, ...] = ()
    made_with: tuple[MadeWith, ...] = ()


@dataclass(frozen=True)
class _Ranked:
    """A ranking and what it came from: the query is read once for all that is asked about it."""

    ranking: Ranking
    identifier: Identifier
    wanted: Requirement


class Answers:
    """Ranks the candidates of a running program. All methods may be called from any thread.

    Args:
        states: of the candidates.
        snapshots: that answer.
        descriptions: put query images into words.
        samples: told of each ranking before it is shown.

    Attributes:
        last_ranking: the newest of all, for faces that go on with it.
    """

    def __init__(
        self, states: States, snapshots: Snapshots, descriptions: Descriptions, samples: Samples
    ) -> None:
        self._states, self._candidates = states, states.candidates
        self._snapshots, self._descriptions, self._samples = snapshots, descriptions, samples
        self.last_ranking: Ranking | None = None

    def answer(
        self,
        images: Sequence[Image.Image],
        prompt: str | None = None,
        method: str = "auto",
        wanted: Filter | None = None,
        makings: Sequence[Making | None] = (),
    ) -> Answer:
        """Rank what is installed and passes the filter, and say what there is to say besides.

        Args:
            images: examples of the same wish.
            prompt: the user's own words, if any.
            method: one of :data:`RANKERS`.
            wanted: which candidates; all by default.
            makings: what the images' files say of their making.

        Raises:
            ImageError: an image cannot be used.
            RankingError: nothing can be ranked, or the method cannot run.
        """
        with self._candidates.reading():
            found = self._rank(images, prompt, method, wanted or Filter())
            return Answer(
                ranking=found.ranking,
                prompt=self._descriptions.pseudo_prompt(found.ranking, prompt, images),
                elsewhere=self._absent(found),
                made_with=self._made_with(makings),
            )

    def rank(
        self,
        images: Sequence[Image.Image],
        prompt: str | None = None,
        method: str = "auto",
        wanted: Filter | None = None,
    ) -> Ranking:
        """The ranking alone; see :meth:`answer`."""
        return self._rank(images, prompt, method, wanted or Filter()).ranking

    def ranked_checkpoints(self, ranking: Ranking) -> list[tuple[Candidate, RankedCandidate]]:
        """The checkpoints of an answer as they are installed now, best first; no recipes."""
        installed = {c.identity: c for c in reversed(self._candidates.checkpoints())}
        return [
            (installed[row.candidate.identity], row)
            for row in ranking.candidates
            if row.candidate.identity in installed
        ]

    def _rank(
        self, images: Sequence[Image.Image], prompt: str | None, method: str, wanted: Filter
    ) -> _Ranked:
        snapshots = self._snapshots
        snapshot = snapshots.answering  # before what is installed: identities only get better
        with self._candidates.reading():
            listed = self._candidates.all()
            self._candidates.settle()
        # once for both, or one would be ahead of the other
        better = dict(self._candidates.host.hashed())
        installed = by_best_identity(listed, better)
        chosen = [candidate for candidate in installed if wanted(candidate)]
        if not chosen:
            raise RankingError("No installed checkpoint passes the filter. Widen it.")
        identifier = (snapshot or snapshots.snapshot()).identifier
        identifier = snapshots.known_by_now(identifier, better)
        only = {candidate.identity for candidate in chosen}
        titles = {candidate.identity: candidate.title for candidate in reversed(installed)}
        titles |= {candidate.identity: candidate.title for candidate in reversed(chosen)}
        note = None
        try:
            query = identifier.read(images, prompt)
        except MissingExtraError as error:
            query = identifier.read(images)
            note = f"The prompt was not used: {error}"
        ranking = identifier.rank(query, method=method, only=only, titles=titles)
        if note is not None:
            ranking = replace(ranking, notes=(*ranking.notes, note))
        self.last_ranking = ranking
        self._samples.before_shown(ranking)
        return _Ranked(ranking, identifier, query)

    def _absent(self, found: _Ranked) -> tuple[Absent, ...]:
        """Checkpoints that only packs know and that fit better than all installed ones."""
        installed = {c.identity for c in self._candidates.checkpoints()}
        packed = {row.identity: row for row in self._states.packed()}
        known = {candidate.identity for candidate in found.identifier.library.stack.candidates}
        wanted = (packed.keys() - installed) & known
        if not wanted:
            return ()
        try:  # by the method of the answer: scores of different ones cannot be compared
            others = found.identifier.rank(found.wanted, method=found.ranking.method, only=wanted)
        except GMIError:
            return ()
        best = found.ranking.best.score
        better = [row for row in others.candidates if row.score < best][:_MOST_ABSENT]
        return tuple(Absent(packed[row.candidate.identity], row) for row in better)

    def _made_with(self, makings: Sequence[Making | None]) -> tuple[MadeWith, ...]:
        if not any(makings):
            return ()
        installed = Installed(self._candidates.checkpoints(), self._candidates.host.hashed())
        return tuple(made_with(makings, installed))
