"""The identification stage: requirement × library → ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .calibration import Calibration, for_images, softmax
from .errors import RankingError
from .images import through_codec, to_rgb
from .specification import CandidateRef, Requirement
from .stack import Exclusion

if TYPE_CHECKING:
    from PIL import Image

    from .fitted import FittedLibrary
    from .protocols import Encoder, FloatArray, TextEncoder

#: So many samples are named for each of the first so many candidates.
_EVIDENCE = 2
_EXPLAINED = 20


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
class Ranking:
    """The answer to a query.

    Attributes:
        candidates: best first.
        method: that ordered them.
        reason: why this method, in one sentence.
        verdict: the answer in one plain sentence; says when nothing fits well.
        foreign: the image looks unlike what held-out samples of the library look like.
        conformal: titles that together hold the true candidate in 90 % of the queries that are
            like the library's own samples; empty where no probability is claimed.
        groups: near-duplicates, as (titles, their probabilities summed).
        excluded: candidates that could not be ranked, and why.
        calibration: what is known of this method on this library.
    """

    candidates: tuple[RankedCandidate, ...]
    method: str
    reason: str
    verdict: str
    foreign: bool
    conformal: tuple[str, ...]
    groups: tuple[tuple[tuple[str, ...], float | None], ...]
    excluded: tuple[Exclusion, ...]
    calibration: Calibration | None

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
            "conformal": list(self.conformal),
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
                {"titles": list(titles), "probability": p} for titles, p in self.groups
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
        codec: the library's; the images go through it first.
        prompt: describes the images.
        text_encoder: needed to use the prompt.

    Raises:
        ImageError: an image cannot be used.
    """
    pixels = [through_codec(to_rgb(image), codec) for image in images]
    features = encoder.encode_images(pixels)
    if prompt is None or not prompt.strip() or text_encoder is None:
        return Requirement(features, encoder.id, prompt=prompt)
    embedding = text_encoder.encode_texts([prompt])[0]
    return Requirement(features, encoder.id, embedding, text_encoder.id, prompt)


def identify(library: FittedLibrary, wanted: Requirement, method: str = "auto") -> Ranking:
    """Rank the library's candidates for a requirement.

    Args:
        library: fitted.
        wanted: the requirement.
        method: a method's name, or ``auto``.

    Raises:
        RankingError: the requirement's features are of another encoder, the method is unknown, or
            it needs a prompt and there is none.
    """
    data = library.stack
    if wanted.encoder_id != data.encoder_id:
        raise RankingError(
            f"The image was encoded with {wanted.encoder_id}, the library with {data.encoder_id}. "
            "Encode it with the library's encoder."
        )
    prompts = _prompts(library, wanted)
    if method == "auto":
        method, reason = library.choose(prompt_given=prompts is not None)
    else:
        reason = "it was asked for"
    fitted = library.method(method)
    scores = fitted.scores(wanted.features, prompts).mean(axis=0)
    images = len(wanted.features)
    report = library.findings.reports.get(method)
    calibration = None if report is None else for_images(report.calibrations, images)
    probabilities = None if calibration is None else softmax(scores, calibration.temperature)
    paper = None
    if prompts is not None:
        paper = library.method("weighted-rkme").scores(wanted.features, prompts).mean(axis=0)
    groups = library.findings.groups
    group_of = {row: number for number, rows in enumerate(groups, 1) for row in rows}

    order = np.lexsort((_title_order(library), scores))
    ranked = []
    for position, row in enumerate(order):
        following = scores[order[position + 1]] if position + 1 < len(order) else scores[row]
        ranked.append(
            RankedCandidate(
                rank=int((scores < scores[row]).sum()) + 1,
                candidate=data.candidates[row],
                score=float(scores[row]),
                probability=None if probabilities is None else float(probabilities[row]),
                margin=float(following - scores[row]),
                weighted_rkme=None if paper is None else float(paper[row]),
                evidence=()
                if position >= _EXPLAINED
                else _evidence(library, fitted.evidence(wanted.features, prompts, int(row))),
                samples=int(data.counts[row]),
                of_samples=data.prompt_set_size,
                group=group_of.get(int(row)),
            )
        )
    foreign = library.is_foreign(wanted.features)
    conformal = [
        r.candidate.title
        for r in ranked
        if calibration is not None
        and r.probability is not None
        and r.probability >= calibration.conformal_floor
    ]
    summed = [
        (
            tuple(data.candidates[row].title for row in rows),
            None if probabilities is None else float(probabilities[list(rows)].sum()),
        )
        for rows in groups
    ]
    return Ranking(
        candidates=tuple(ranked),
        method=method,
        reason=reason,
        verdict=_verdict(ranked, summed, foreign, images),
        foreign=foreign,
        conformal=tuple(conformal),
        groups=tuple(summed),
        excluded=library.excluded,
        calibration=calibration,
    )


def _prompts(library: FittedLibrary, wanted: Requirement) -> FloatArray | None:
    """The prompt's embedding once per image, if the library's prompts are embedded likewise."""
    if wanted.prompt_embedding is None or library.stack.prompt_embeddings is None:
        return None
    if wanted.text_encoder_id != library.stack.text_encoder_id:
        return None
    return np.tile(wanted.prompt_embedding, (len(wanted.features), 1))


def _title_order(library: FittedLibrary) -> FloatArray:
    """Equal scores are listed by title; the stack is in that order."""
    return np.arange(len(library.stack.candidates), dtype=np.float32)


def _evidence(library: FittedLibrary, strength: FloatArray) -> tuple[str, ...]:
    strongest = np.argsort(-strength, kind="stable")[:_EVIDENCE]
    return tuple(library.stack.prompt_ids[i] for i in strongest if np.isfinite(strength[i]))


def _verdict(
    ranked: Sequence[RankedCandidate],
    groups: Sequence[tuple[tuple[str, ...], float | None]],
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
    for titles, summed in groups:
        if title in titles and summed is not None:
            title, probability = " / ".join(titles) + " (nearly the same)", summed
    share = f"{probability:.0%}"
    if probability >= 0.75:
        return f"{title} makes images like this ({share})."
    more = "" if images > 1 else " Another example image would help."
    if probability >= 0.4:
        return f"{title} is the most likely ({share}), but not the only one that fits.{more}"
    return f"Several checkpoints fit about equally well; {title} comes first ({share}).{more}"
