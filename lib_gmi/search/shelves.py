"""What a search goes through: the library's samples, and the images of indexed folders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..metadata import CheckpointMention
from ..records.prompts import default_prompt_set
from ..records.protocols import Candidate
from ..records.specification import OWN_PROMPTS
from .hits import Hit
from .prompt_words import PromptWords
from .vectors import Exact, Vectors

if TYPE_CHECKING:
    from ..library.entries import Entry
    from ..metadata.mentions import Installed
    from ..ranking.rkme import BoolArray, IntArray
    from ..records.protocols import FloatArray
    from .embeddings import Embedded
    from .index import OpenIndex


class Found(Protocol):
    """Samples that a search goes through."""

    @property
    def matrix(self) -> FloatArray:
        """Vectors of unit length, ``[n, d]``."""

    @property
    def prompts(self) -> Sequence[str]:
        """Of each sample; empty where it is unknown."""

    @property
    def index(self) -> Vectors:
        """For the nearest of all."""

    @property
    def words(self) -> PromptWords:
        """Of the prompts."""

    def some(self, rows: IntArray) -> FloatArray:
        """Vectors of some samples, ``[k, d]``; rows in rising order."""

    def __len__(self) -> int: ...

    def hit(self, row: int, score: float) -> Hit:
        """What there is to show of a sample."""

    def passes(self, wanted: Callable[[Candidate], bool]) -> BoolArray:
        """Which samples are of a candidate that is wanted, ``[n]``."""


class LibraryShelf:
    """The kept samples of a library, one checkpoint after the other.

    Args:
        embedded: of each specification.
        rows: of each, that take part; by default all.
    """

    def __init__(
        self, embedded: Sequence[Embedded], rows: Sequence[Sequence[int]] | None = None
    ) -> None:
        self.partial = rows is not None
        chosen = [range(len(e.rows)) for e in embedded] if rows is None else rows
        parts = [(e, own) for e, own in zip(embedded, chosen, strict=True) if len(own)]
        parts.sort(key=lambda part: (part[0].entry.title.casefold(), part[0].entry.identity))
        # a checkpoint may have several specifications: they count together
        first: dict[str, Entry] = {}
        for each, _ in parts:
            first.setdefault(each.entry.identity, each.entry)
        self._places: list[tuple[Embedded, int]] = []
        starts, vectors = [], []
        for identity in first:
            starts.append(len(self._places))
            for each, own in parts:
                if each.entry.identity == identity:
                    self._places += [(each, row) for row in own]
                    vectors.append(each.vectors[list(own)])
        self.identities = list(first)
        self.titles = [entry.title for entry in first.values()]
        self.architectures = [
            entry.described["candidate"]["architecture"] for entry in first.values()
        ]
        self.starts: IntArray = np.asarray(starts, dtype=np.int64)
        self.vectors: FloatArray = (
            np.concatenate(vectors) if vectors else np.empty((0, 0), dtype=np.float32)
        )
        self._embedded = list(embedded)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def matrix(self) -> FloatArray:
        return self.vectors

    @property
    def index(self) -> Vectors:
        return Exact(self.vectors)

    @cached_property
    def prompts(self) -> Sequence[str]:
        return [_prompt(each.entry, each.rows[row]) for each, row in self._places]

    @property
    def same_prompts(self) -> bool:
        """Whether all checkpoints made the same prompts, so that they show the same by design."""
        sets = {each.entry.prompt_set_hash for each, _ in self._places}
        return len(sets) == 1 and OWN_PROMPTS not in sets

    @cached_property
    def files(self) -> list[str]:
        """Of each sample."""
        return [str(self._path(row)) for row in range(len(self))]

    @cached_property
    def words(self) -> PromptWords:
        return PromptWords(self.prompts)

    def some(self, rows: IntArray) -> FloatArray:
        return np.asarray(self.vectors[rows])

    def groups(self) -> list[FloatArray]:
        """Vectors of each checkpoint, ``[n, d]``."""
        return np.split(self.vectors, self.starts[1:])

    def rows_of(self, identity: str) -> IntArray:
        """Rows of a checkpoint."""
        number = self.identities.index(identity)
        stop = self.starts[number + 1] if number + 1 < len(self.starts) else len(self)
        return np.arange(self.starts[number], stop)

    def best(self, identity: str, fit: FloatArray, count: int = 3) -> tuple[str, ...]:
        """Files of a checkpoint's samples with the largest ``fit`` ``[n]``, best first."""
        rows = self.rows_of(identity)
        chosen = rows[np.argsort(-fit[rows], kind="stable")[:count]]
        return tuple(str(self._path(int(row))) for row in chosen)

    def key(self, fingerprint: str) -> str:
        """Changes whenever the vectors may."""
        return f"{fingerprint} {len(self)} {float(np.abs(self.vectors).sum(dtype=np.float64))!r}"

    def select(
        self, wanted: Callable[[Candidate], bool] | None, having: Sequence[str] = ()
    ) -> LibraryShelf:
        """The part of it that passes a filter and whose prompts name one of some tags."""
        if wanted is None and not having:
            return self
        rows = []
        for each in self._embedded:
            own = list(range(len(each.rows)))
            if wanted is not None and not wanted(_candidate(each.entry)):
                own = []
            if having and own:
                prompts = [_prompt(each.entry, row) for row in each.rows]
                named = np.max([literal(prompts, tag) for tag in having], axis=0)
                own = np.flatnonzero(named).tolist()
            rows.append(own)
        return LibraryShelf(self._embedded, rows)

    def passes(self, wanted: Callable[[Candidate], bool]) -> BoolArray:
        verdicts: dict[int, bool] = {}
        for each, _ in self._places:
            if id(each) not in verdicts:
                verdicts[id(each)] = wanted(_candidate(each.entry))
        return np.asarray([verdicts[id(each)] for each, _ in self._places], dtype=bool)

    def hit(self, row: int, score: float) -> Hit:
        each, own = self._places[row]
        entry, number = each.entry, each.rows[own]
        known = {name: value for name, value in vars(entry.settings).items() if value}
        settings = {k: v for k, v in known.items() if k not in ("extra", "unknown", "codec")}
        return Hit(
            score,
            entry.title,
            entry.identity,
            self.prompts[row],
            int(entry.described["seeds"][number]),
            settings,
            str(each.paths[own]),
        )

    def _path(self, row: int) -> Path:
        each, own = self._places[row]
        return each.paths[own]


class FolderShelf:
    """The images of an indexed folder.

    Args:
        opened: its index.
        installed: finds the library's candidates by what files call them.
    """

    def __init__(self, opened: OpenIndex, installed: Installed) -> None:
        self._opened, self._installed = opened, installed

    def __len__(self) -> int:
        return len(self._opened)

    @property
    def matrix(self) -> FloatArray:
        return self._opened.matrix

    @property
    def index(self) -> Vectors:
        return self._opened.vectors

    @cached_property
    def prompts(self) -> Sequence[str]:
        return [str(row.get("prompt") or "") for row in self._opened.descriptions()]

    @property
    def words(self) -> PromptWords:
        return self._opened.words

    def some(self, rows: IntArray) -> FloatArray:
        return self._opened.some(rows)

    def passes(self, wanted: Callable[[Candidate], bool]) -> BoolArray:
        found = (self._candidate(row) for row in self._opened.descriptions())
        return np.asarray([c is not None and wanted(c) for c in found], dtype=bool)

    def hit(self, row: int, score: float) -> Hit:
        about = self._opened.describe(row)
        candidate, seed = self._candidate(about), about.get("seed")
        called = str(about.get("checkpoint", {}).get("name") or "")
        return Hit(
            score,
            called if candidate is None else candidate.title,
            None if candidate is None else candidate.identity,
            str(about.get("prompt") or ""),
            None if seed is None else int(seed),
            dict(about.get("settings") or {}),
            str(about["path"]),
            str(self._opened.index.folder),
        )

    def _candidate(self, about: Mapping[str, Any]) -> Candidate | None:
        said = about.get("checkpoint")
        if not said:
            return None
        return self._installed.find(CheckpointMention(said.get("name"), tuple(said["hashes"])))


def literal(prompts: Sequence[str], tag: str) -> FloatArray:
    """1 where a prompt names a tag as whole words, else 0; case and line breaks do not count."""
    words = r"\s+".join(re.escape(word) for word in tag.replace("_", " ").split())
    pattern = re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)
    found = [pattern.search(prompt.replace("_", " ")) is not None for prompt in prompts]
    return np.asarray(found, dtype=np.float32)


def candidates_of(entries: Sequence[Entry]) -> list[Candidate]:
    """The candidates that specifications describe, each once."""
    return list({entry.identity: _candidate(entry) for entry in entries}.values())


def _candidate(entry: Entry) -> Candidate:
    described = entry.described["candidate"]
    return Candidate(
        entry.title, entry.identity, described["name"], architecture=described["architecture"]
    )


def _prompt(entry: Entry, row: int) -> str:
    """A sample's prompt, or its id where the prompt set is not known here."""
    prompt_id = str(entry.described["prompt_ids"][row])
    own = entry.texts.get(prompt_id)
    if own is not None:
        return own
    known, texts = _default_texts()
    if entry.prompt_set_hash == known and prompt_id in texts:
        return texts[prompt_id]
    return prompt_id.replace("-", " ")


@cache
def _default_texts() -> tuple[str, dict[str, str]]:
    known = default_prompt_set()
    return known.hash, {prompt.id: prompt.text for prompt in known.prompts}
