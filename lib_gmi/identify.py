"""The identification stage: requirement × library → ranking."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .calibration import Calibration, for_images, softmax
from .errors import RankingError
from .images import through_codec, to_rgb, trim_borders
from .specification import CandidateRef, Requirement
from .stack import Exclusion

if TYPE_CHECKING:
    from PIL import Image

    from .fitted import FittedLibrary
    from .protocols import Encoder, FloatArray, TextEncoder

#: So many samples are named for each of the first so many candidates.
_EVIDENCE = 2
_EXPLAINED = 20
#: Said where :func:`.images.trim_borders` found something.
TRIMMED = "Plain borders around the image were left out of the comparison."


@dataclass(frozen=True)
class RankedCandidate:
    """One line of a ranking.

    Attributes:
        rank: 1 is best; candidates with equal scores share a rank.
        candidate: which.
        score: of the method that ordered the ranking; lower is better.
        probability: that this candidate made the image(s), given that one of them did;
            ``None`` where none can be claimed.
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
        codec: the library's; the images go through it first, without plain borders.
        prompt: describes the images.
        text_encoder: needed to use the prompt.

    Raises:
        ImageError: an image cannot be used.
    """
    whole = [to_rgb(image) for image in images]
    trimmed = [trim_borders(image) for image in whole]
    notes: tuple[str, ...] = ()
    if any(cut is not image for cut, image in zip(trimmed, whole, strict=True)):
        notes = (TRIMMED,)
    features = encoder.encode_images([through_codec(image, codec) for image in trimmed])
    if prompt is None or not prompt.strip() or text_encoder is None:
        return Requirement(features, encoder.id, prompt=prompt, notes=notes)
    embedding = text_encoder.encode_texts([prompt])[0]
    longer = getattr(text_encoder, "longer_than_context", None)
    if longer is not None and longer([prompt])[0]:
        notes += (f"The prompt is longer than {text_encoder.id} reads: its end was not used.",)
    return Requirement(features, encoder.id, embedding, text_encoder.id, prompt, notes)


def identify(
    library: FittedLibrary,
    wanted: Requirement,
    method: str = "auto",
    only: Collection[str] | None = None,
) -> Ranking:
    """Rank the library's candidates for a requirement.

    Args:
        library: fitted, on everything that is comparable.
        wanted: the requirement.
        method: a method's name, or ``auto``.
        only: identities of the candidates to rank, for instance those that are installed and
            match a filter; all by default.

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
    prompts = _prompts(library, wanted)
    if method == "auto":
        method, reason = library.choose(prompt_given=prompts is not None)
    else:
        reason = "it was asked for"
    fitted = library.method(method)
    scores = fitted.scores(wanted.features, prompts).mean(axis=0)[rows]
    images = len(wanted.features)
    report = library.findings.reports.get(method)
    calibration = None if report is None else for_images(report.calibrations, images)
    if len(rows) < 2:
        calibration = None
    probabilities = None if calibration is None else softmax(scores, calibration.temperature)
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
        verdict=_verdict(ranked, groups, foreign, images),
        foreign=foreign,
        conformal=conformal,
        groups=tuple(groups),
        excluded=library.excluded,
        calibration=calibration,
        notes=_notes(wanted, prompts),
        nearest_prompt=library.nearest_prompt(wanted.features),
    )


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
) -> str:
    best = ranked[0]
    title = best.candidate.title
    if foreign:
        return (
            f"No installed checkpoint is close; the nearest is {title}, but its own images look "
            "different from this."
        )
    if best.probability is None:
        return f"{title} comes nearest; with so little to compare, no probability is claimed."
    probability = best.probability
    if best.group is not None:
        group = groups[best.group - 1]
        title = " / ".join(group.titles) + " (nearly the same)"
        probability = group.probability or probability
    share = "more than 99%" if probability > 0.99 else f"{probability:.0%}"
    if probability >= 0.75:
        return f"{title} makes images like this ({share})."
    more = "" if images > 1 else " Another example image would help."
    if probability >= 0.4:
        return f"{title} is the most likely ({share}), but not the only one that fits.{more}"
    return f"Several checkpoints fit about equally well; {title} comes first ({share}).{more}"
