"""The identification stage: requirement × library → ranking."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import RankingError
from ..encoders import load, load_text
from ..records.specification import Requirement
from .calibration import for_images, softmax
from .query import QueryEncoder, as_it_fits
from .results import Alternative, Group, RankedCandidate, Ranking, percent

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import FloatArray
    from .fitted import FittedLibrary

#: Scores that are this share of the largest apart are equal: float32 cannot tell.
_ROUNDING = 1e-6
#: So many samples are named for each of the first so many candidates.
_EVIDENCE = 2
_EXPLAINED = 20
#: Below this probability nothing is said of a candidate that was not asked for.
_LIKELY = 0.4


class Identifier:
    """A fitted library with its encoders at hand, for any number of queries.

    Args:
        library: fitted.
        device: that the image encoder runs on.
    """

    def __init__(self, library: FittedLibrary, device: str = "cpu") -> None:
        self.library = library
        self.encoder = QueryEncoder(load(library.stack.encoder_id, device), library.stack.codec)

    def renamed(self, names: Mapping[str, str]) -> Identifier:
        """An identifier of the same candidates under better identities, old → new."""
        other = copy.copy(self)
        other.library = self.library.with_identities(names)
        return other

    def read(self, images: Sequence[Image.Image | Path], prompt: str | None = None) -> Requirement:
        """Turn a query into a requirement that this library can answer any number of times.

        Raises:
            ImageError: an image cannot be used.
            MissingExtraError: a prompt is given and the text encoder is not installed.
        """
        prompt = (prompt or "").strip() or None
        text_id = self.library.stack.text_encoder_id
        text_encoder = load_text(text_id) if prompt and text_id is not None else None
        wanted = self.encoder.requirement(images, prompt, text_encoder)
        return as_it_fits(self.library, wanted)

    def rank(
        self,
        query: Requirement | Sequence[Image.Image | Path],
        prompt: str | None = None,
        method: str = "auto",
        only: Collection[str] | None = None,
        titles: Mapping[str, str] | None = None,
    ) -> Ranking:
        """:func:`identify` for example images and an optional prompt, see :meth:`read`.

        Args:
            query: images or their files, or what :meth:`read` made of them and of the prompt.
            prompt: describes the images.
            method: see :func:`identify`.
            only: likewise.
            titles: today's of all that are installed, by identity.
        """
        wanted = query if isinstance(query, Requirement) else self.read(query, prompt)
        library = self.library.with_titles(titles) if titles else self.library
        return identify(library, wanted, method, only, titles or ())


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
    share = percent(probability)
    if probability >= 0.75:
        return f"{title} makes images like this ({share})."
    more = "" if images > 1 else " Another example image would help."
    if probability >= 0.4:
        return f"{title} is the most likely ({share}), but not the only one that fits.{more}"
    return f"Several checkpoints fit about equally well; {title} comes first ({share}).{more}"
