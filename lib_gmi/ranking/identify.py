"""The identification stage: requirement × library → ranking."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import RankingError
from ..base.images import through_codec, to_rgb, trim_borders
from ..records.protocols import Exclusion
from ..records.specification import CandidateRef, Requirement
from .calibration import Calibration, for_images, softmax

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import Encoder, FloatArray, TextEncoder
    from .fitted import FittedLibrary

#: Scores that are this share of the largest apart are equal: float32 cannot tell.
_ROUNDING = 1e-6
#: So many samples are named for each of the first so many candidates.
_EVIDENCE = 2
_EXPLAINED = 20
#: Below this probability nothing is said of a candidate that was not asked for.
_LIKELY = 0.4
#: Said where an image fits better without what :func:`.images.trim_borders` cuts off.
TRIMMED = "Plain borders around the image were left out of the comparison."


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
            share = _share(self.probability + (best.probability or 0))
            return f"{title} makes images like this, or {named} and is nearly the same ({share})."
        return (
            f"Probably made by {named} ({_share(self.probability)}). Of those that are ranked, "
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
            "calibration": None if self.calibration is None else self.calibration.to_json(),
        }


def requirement(
    images: Sequence[Image.Image],
    encoder: Encoder,
    codec: str = "source",
    prompt: str | None = None,
    text_encoder: TextEncoder | None = None,
) -> Requirement:
    """Turn images and an optional prompt into a requirement.

    Args:
        images: one or more; all are examples of the same wish.
        encoder: the library's.
        codec: the library's; the images go through it first, as samples did.
        prompt: describes the images.
        text_encoder: needed to use the prompt.

    Raises:
        ImageError: an image cannot be used.
    """
    whole = [to_rgb(image) for image in images]
    cut = [trim_borders(image) for image in whole]
    bordered = [n for n, image in enumerate(whole) if cut[n] is not image]
    pixels = (through_codec(image, codec) for image in (*whole, *(cut[n] for n in bordered)))
    encoded = encoder.encode_images(list(pixels))
    features, trimmed = encoded[: len(whole)], None
    if bordered:
        trimmed = features.copy()
        trimmed[bordered] = encoded[len(whole) :]
    if prompt is None or not prompt.strip() or text_encoder is None:
        return Requirement(features, encoder.id, prompt=prompt, trimmed=trimmed)
    embedding = text_encoder.encode_texts([prompt])[0]
    notes: tuple[str, ...] = ()
    longer = getattr(text_encoder, "longer_than_context", None)
    if longer is not None and longer([prompt])[0]:
        notes = (f"The prompt is longer than {text_encoder.id} reads: its end was not used.",)
    return Requirement(features, encoder.id, embedding, text_encoder.id, prompt, notes, trimmed)


def as_it_fits(library: FittedLibrary, wanted: Requirement) -> Requirement:
    """Each image with its plain borders or without them, whichever is nearer to a candidate.

    Samples keep their borders: a drawing on white is mostly border. A screenshot has borders that
    no sample has. What the library knows tells these apart.
    """
    if wanted.trimmed is None:
        return wanted
    kernel = library.learned
    better = kernel.distance(wanted.trimmed) < kernel.distance(wanted.features)
    features = np.where(better[:, None], wanted.trimmed, wanted.features)
    notes = (TRIMMED, *wanted.notes) if better.any() else wanted.notes
    return replace(wanted, features=features, trimmed=None, notes=notes)


def identify(
    library: FittedLibrary,
    wanted: Requirement,
    method: str = "auto",
    only: Collection[str] | None = None,
    installed: Collection[str] = (),
) -> Ranking:
    """Rank the library's candidates for a requirement.

    Those that are not asked for stay alternatives: a checkpoint does not become likely because the
    one that made the image is not looked at.

    Args:
        library: fitted, on everything that is comparable.
        wanted: the requirement.
        method: a method's name, or ``auto``.
        only: identities of the candidates to rank, for instance those that are installed and
            match a filter; all by default.
        installed: identities of candidates that a filter alone leaves out, and others.

    Raises:
        RankingError: the requirement's features are of another encoder, the method is unknown, it
            needs a prompt and there is none, or no candidate is selected.
    """
    data = library.stack
    if wanted.encoder_id != data.encoder_id:
        raise RankingError(
            f"The image was encoded with {wanted.encoder_id}, the library with {data.encoder_id}. "
            "Encode it with the library's encoder."
        )
    rows = [i for i, c in enumerate(data.candidates) if only is None or c.identity in only]
    if not rows:
        raise RankingError(
            "None of the selected checkpoints has a specification. Build them first."
        )
    wanted = as_it_fits(library, wanted)
    prompts = _prompts(library, wanted)
    if method == "auto":
        method, reason = library.choose(prompt_given=prompts is not None)
    else:
        reason = "it was asked for"
    fitted = library.method(method)
    all_scores = _equalised(fitted.scores(wanted.features, prompts).mean(axis=0))
    scores, images = all_scores[rows], len(wanted.features)
    report = library.findings.reports.get(method)
    calibration = None if report is None else for_images(report.calibrations, images)
    shares = None if calibration is None else softmax(all_scores, calibration.temperature)
    alternative = None if shares is None else _alternative(library, rows, shares, installed)
    if len(rows) < 2:
        calibration = shares = None  # of one alone nothing is claimed
    probabilities = None if shares is None else shares[rows]
    paper = None
    if prompts is not None:
        paper = library.method("weighted-rkme").scores(wanted.features, prompts).mean(axis=0)[rows]
    groups = _groups(library, rows, probabilities)
    group_of = {c.identity: n for n, group in enumerate(groups, 1) for c in group.candidates}

    ranked: list[RankedCandidate] = []
    order = np.argsort(scores, kind="stable")  # the stack, and so equal scores, are by title
    for position, index in enumerate(order):
        row = rows[index]
        following = scores[order[min(position + 1, len(order) - 1)]]
        evidence: tuple[str, ...] = ()
        if position < _EXPLAINED:
            evidence = _evidence(library, row, fitted.evidence(wanted.features, prompts, row))
        ranked.append(
            RankedCandidate(
                rank=int((scores < scores[index]).sum()) + 1,
                candidate=data.candidates[row],
                score=float(scores[index]),
                probability=None if probabilities is None else float(probabilities[index]),
                margin=float(following - scores[index]),
                weighted_rkme=None if paper is None else float(paper[index]),
                evidence=evidence,
                samples=int(data.counts[row]),
                of_samples=data.prompt_set_size,
                group=group_of.get(data.candidates[row].identity),
            )
        )
    foreign = library.is_foreign(wanted.features)
    conformal = 0
    if calibration is not None and probabilities is not None:
        conformal = max(int((probabilities >= calibration.conformal_floor).sum()), 1)
    return Ranking(
        candidates=tuple(ranked),
        method=method,
        reason=reason,
        verdict=_verdict(ranked, groups, foreign, images, alternative),
        foreign=foreign,
        conformal=conformal,
        groups=tuple(groups),
        excluded=library.excluded,
        calibration=calibration,
        notes=_notes(wanted, prompts),
        nearest_prompt=library.nearest_prompt(wanted.features),
        alternative=alternative,
    )


def _alternative(
    library: FittedLibrary, rows: Sequence[int], shares: FloatArray, installed: Collection[str]
) -> Alternative | None:
    """The most likely candidate, if it is none of these rows."""
    first, best = int(shares.argmax()), rows[int(shares[rows].argmax())]
    if shares[first] <= shares[best] or shares[first] < _LIKELY:
        return None
    candidate = library.stack.candidates[first]
    twin = any(first in group and best in group for group in library.findings.groups)
    return Alternative(candidate, float(shares[first]), candidate.identity in installed, twin)


def _equalised(scores: FloatArray) -> FloatArray:
    """The scores, where those that only rounding tells apart are equal: of two copies of a file."""
    found = scores.copy()
    order = np.argsort(scores, kind="stable")
    least = _ROUNDING * float(np.abs(scores).max(initial=0))
    for before, after in itertools.pairwise(order):
        if scores[after] - scores[before] <= least:
            found[after] = found[before]
    return found


def _groups(
    library: FittedLibrary, rows: Sequence[int], probabilities: FloatArray | None
) -> list[Group]:
    position = {row: index for index, row in enumerate(rows)}
    groups = []
    for members in library.findings.groups:
        chosen = [row for row in members if row in position]
        if len(chosen) < 2:
            continue
        total = None
        if probabilities is not None:
            total = float(sum(probabilities[position[row]] for row in chosen))
        groups.append(Group(tuple(library.stack.candidates[row] for row in chosen), total))
    return groups


def _notes(wanted: Requirement, prompts: FloatArray | None) -> tuple[str, ...]:
    if wanted.prompt and prompts is None:
        unused = "The prompt was not used: the library was built without that text encoder."
        return (unused, *wanted.notes)
    return wanted.notes


def _prompts(library: FittedLibrary, wanted: Requirement) -> FloatArray | None:
    """The prompt's embedding once per image, if the library's prompts are embedded likewise."""
    if wanted.prompt_embedding is None or library.stack.prompt_embeddings is None:
        return None
    if wanted.text_encoder_id != library.stack.text_encoder_id:
        return None
    return np.tile(wanted.prompt_embedding, (len(wanted.features), 1))


def _evidence(library: FittedLibrary, row: int, strength: FloatArray) -> tuple[str, ...]:
    strongest = np.argsort(-strength, kind="stable")[:_EVIDENCE]
    found = [int(column) for column in strongest if np.isfinite(strength[column])]
    return tuple(library.stack.prompt_id(row, column) for column in found)


def _verdict(
    ranked: Sequence[RankedCandidate],
    groups: Sequence[Group],
    foreign: bool,
    images: int,
    alternative: Alternative | None,
) -> str:
    best = ranked[0]
    title = best.candidate.title
    if foreign:
        return (
            f"No installed checkpoint is close; the nearest is {title}, but its own images look "
            "different from this."
        )
    if alternative is not None:
        return alternative.sentence(best)
    if best.probability is None:
        return f"{title} comes nearest; with so little to compare, no probability is claimed."
    probability = best.probability
    if best.group is not None:
        group = groups[best.group - 1]
        title = " / ".join(group.titles) + " (nearly the same)"
        probability = group.probability or probability
    share = _share(probability)
    if probability >= 0.75:
        return f"{title} makes images like this ({share})."
    more = "" if images > 1 else " Another example image would help."
    if probability >= 0.4:
        return f"{title} is the most likely ({share}), but not the only one that fits.{more}"
    return f"Several checkpoints fit about equally well; {title} comes first ({share}).{more}"


def _share(probability: float) -> str:
    return "more than 99%" if probability > 0.99 else f"{probability:.0%}"
