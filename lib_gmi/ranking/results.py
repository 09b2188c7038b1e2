"""The answer of the identification stage: a ranking of candidates, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..records.protocols import Exclusion
from ..records.specification import CandidateRef
from .calibration import Calibration


@dataclass(frozen=True)
class RankedCandidate:
    """One line of a ranking.

    Attributes:
        rank: 1 is best; candidates with equal scores share a rank.
        candidate: which.
        score: of the method that ordered the ranking; lower is better.
        probability: that this candidate made the image(s), given that one of those that the
            library knows did, also of those that are not ranked; ``None`` where none can be
            claimed.
        margin: how much worse the next candidate's score is; 0 for the last.
        weighted_rkme: the paper's score (Eq. 9), or ``None`` without prompts.
        evidence: prompt ids of the samples that speak most for it, strongest first; only for
            the first 20.
        samples: how many samples its specification has.
        of_samples: how many a complete one has.
        group: number of its group of near-duplicates, or ``None``.
    """

    rank: int
    candidate: CandidateRef
    score: float
    probability: float | None
    margin: float
    weighted_rkme: float | None
    evidence: tuple[str, ...]
    samples: int
    of_samples: int
    group: int | None


@dataclass(frozen=True)
class Group:
    """Near-duplicates: candidates that the library cannot tell apart.

    Attributes:
        candidates: at least two.
        probability: theirs summed, or ``None``.
    """

    candidates: tuple[CandidateRef, ...]
    probability: float | None

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(candidate.title for candidate in self.candidates)


@dataclass(frozen=True)
class Alternative:
    """A candidate that is not ranked, and fits better than all that are.

    Attributes:
        candidate: which.
        probability: that it made the image(s).
        installed: whether a filter alone leaves it out.
        twin: the library cannot tell it from the best that is ranked.
    """

    candidate: CandidateRef
    probability: float
    installed: bool
    twin: bool

    def sentence(self, best: RankedCandidate) -> str:
        """For people, beside the best that is ranked."""
        why = "your filter leaves out" if self.installed else "is not installed"
        named, title = f"{self.candidate.title}, which {why}", best.candidate.title
        if self.twin:
            share = percent(self.probability + (best.probability or 0))
            return f"{title} makes images like this, or {named} and is nearly the same ({share})."
        return (
            f"Probably made by {named} ({percent(self.probability)}). Of those that are ranked, "
            f"{title} comes nearest."
        )


@dataclass(frozen=True)
class Ranking:
    """The answer to a query.

    Attributes:
        candidates: best first.
        method: that ordered them.
        reason: why this method, in one sentence.
        verdict: the answer in one plain sentence; says when nothing fits well.
        foreign: the image looks unlike what held-out samples of the library look like.
        conformal: how many of the first candidates together hold the true one in 90 % of the
            queries that are like the library's own samples; 0 where no probability is claimed.
        groups: near-duplicates, in the order of :attr:`RankedCandidate.group`.
        excluded: candidates that could not be ranked, and why.
        calibration: what is known of this method on this library.
        notes: what else people should know about this answer.
        nearest_prompt: id of the library's prompt whose samples look most like the query.
        alternative: what is more likely than all that are ranked, if anything is.
    """

    candidates: tuple[RankedCandidate, ...]
    method: str
    reason: str
    verdict: str
    foreign: bool
    conformal: int
    groups: tuple[Group, ...]
    excluded: tuple[Exclusion, ...]
    calibration: Calibration | None
    notes: tuple[str, ...] = ()
    nearest_prompt: str | None = None
    alternative: Alternative | None = None

    @property
    def best(self) -> RankedCandidate:
        return self.candidates[0]

    def to_json(self, top: int | None = None) -> dict[str, Any]:
        """JSON-ready; at most ``top`` candidates."""
        return {
            "method": self.method,
            "reason": self.reason,
            "verdict": self.verdict,
            "foreign": self.foreign,
            "conformal": self.conformal,
            "notes": list(self.notes),
            "candidates": [
                {
                    **{k: v for k, v in vars(row).items() if k != "candidate"},
                    "title": row.candidate.title,
                    "name": row.candidate.name,
                    "identity": row.candidate.identity,
                    "evidence": list(row.evidence),
                }
                for row in self.candidates[:top]
            ],
            "near_duplicates": [
                {
                    "titles": list(group.titles),
                    "identities": [candidate.identity for candidate in group.candidates],
                    "probability": group.probability,
                }
                for group in self.groups
            ],
            "excluded": [vars(e) for e in self.excluded],
            "calibration": None if self.calibration is None else vars(self.calibration),
        }


def percent(probability: float) -> str:
    """A probability for people."""
    return "more than 99%" if probability > 0.99 else f"{probability:.0%}"
