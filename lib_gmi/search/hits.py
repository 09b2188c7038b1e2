"""What a search answers, for people and programs: samples and images, or checkpoints."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..base.text import neutral

#: The source of hits that are samples of the library.
LIBRARY = "library"
#: Columns of the CSV.
COLUMNS = (
    "rank",
    "score",
    "checkpoint",
    "identity",
    "prompt",
    "seed",
    "settings",
    "file",
    "source",
)
#: Beside an answer without hits.
NOTHING = "Nothing was found. Try other words, fewer tags, or a wider filter."


@dataclass(frozen=True)
class Hit:
    """One sample of the library, or one image of an indexed folder.

    Attributes:
        score: the larger, the better; only comparable within one answer.
        checkpoint: title, or what the file calls it; empty where nothing is said.
        identity: of the candidate, where the library knows it.
        prompt: that it was made from, as far as it is known.
        seed: of it.
        settings: that it was made with, as far as they are known.
        file: the image.
        source: ``library``, or the indexed folder.
    """

    score: float
    checkpoint: str
    identity: str | None
    prompt: str
    seed: int | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    source: str = LIBRARY


@dataclass(frozen=True)
class Origin:
    """Which checkpoint hits come from.

    Attributes:
        checkpoint: see :class:`Hit`.
        identity: see :class:`Hit`.
        hits: how many.
        share: of all hits, from 0 to 1.
        best: the best score.
    """

    checkpoint: str
    identity: str | None
    hits: int
    share: float
    best: float


@dataclass(frozen=True)
class SampleAnswer:
    """What a search for samples answers.

    Attributes:
        hits: best first.
        notes: whole sentences on how the answer came about.
        searched: how many samples and images there were.
    """

    hits: tuple[Hit, ...]
    notes: tuple[str, ...] = ()
    searched: int = 0

    @property
    def origins(self) -> list[Origin]:
        """Which checkpoints the hits come from; those with most hits first, then the best hit."""
        found: dict[tuple[str, str | None], list[Hit]] = {}
        for hit in self.hits:
            found.setdefault((hit.checkpoint, hit.identity), []).append(hit)
        rows = [
            Origin(*key, len(own), len(own) / len(self.hits), max(hit.score for hit in own))
            for key, own in found.items()
        ]
        return sorted(rows, key=lambda row: (-row.hits, -row.best, row.checkpoint.casefold()))

    def to_json(self) -> dict[str, Any]:
        """For other programs."""
        return {
            "hits": to_json(self.hits),
            "checkpoints": [vars(row) for row in self.origins],
            "searched": self.searched,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint in an answer.

    Attributes:
        rank: from 1.
        title: as it is called today, if it is installed.
        identity: of the candidate.
        architecture: of it, if known.
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
class CheckpointAnswer:
    """What a search for checkpoints answers: best first; notes as in :class:`SampleAnswer`."""

    checkpoints: tuple[FoundCheckpoint, ...]
    notes: tuple[str, ...] = ()


def to_json(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Of each hit its fields and its rank, from 1."""
    return [{"rank": rank, **asdict(hit)} for rank, hit in enumerate(hits, 1)]


def to_csv(hits: Sequence[Hit]) -> str:
    """A table with :data:`COLUMNS`; no cell is a formula, settings are JSON in one cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, hit in enumerate(hits, 1):
        settings = json.dumps(dict(hit.settings), ensure_ascii=False, default=str)
        made = [neutral(hit.checkpoint), neutral(hit.identity or ""), neutral(hit.prompt)]
        seed = "" if hit.seed is None else hit.seed
        about = [neutral(settings) if hit.settings else "", neutral(hit.file), neutral(hit.source)]
        writer.writerow([rank, f"{hit.score:.6g}", *made, seed, *about])
    return text.getvalue()
