"""The kept samples of a library as something to search, one checkpoint after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..records.prompts import default_prompt_set
from ..records.protocols import Candidate
from ..records.specification import OWN_PROMPTS
from .content import Statistics
from .hits import Hit
from .prompt_words import PromptWords

if TYPE_CHECKING:
    from ..library.entries import Entry
    from ..metadata.mentions import Installed
    from ..ranking.rkme import IntArray
    from ..records.protocols import FloatArray
    from .embeddings import Embedded, Sample


class LibrarySamples:
    """Kept samples and their vectors.

    Args:
        samples: those of a checkpoint beside each other.
        vectors: of the samples, of unit length, ``[n, d]``.

    Attributes:
        checkpoints: M candidates that the samples are of.
        starts: where the samples of each begin, ``[M]``.
    """

    def __init__(self, samples: Sequence[Sample], vectors: FloatArray) -> None:
        self._samples, self.vectors = samples, vectors
        self.checkpoints: list[Candidate] = []
        starts: list[int] = []
        for row, sample in enumerate(samples):
            if not starts or sample.entry.identity != self.checkpoints[-1].identity:
                starts.append(row)
                self.checkpoints.append(_candidate(sample.entry))
        self.starts: IntArray = np.asarray(starts, dtype=np.int64)

    @classmethod
    def of(cls, embedded: Sequence[Embedded]) -> LibrarySamples:
        """The samples of specifications, by title of their checkpoints.

        A checkpoint may have several specifications: they count together.
        """
        parts = sorted(embedded, key=lambda e: (e.entry.title.casefold(), e.entry.identity))
        order: dict[str, int] = {}
        for each in parts:
            order.setdefault(each.entry.identity, len(order))
        parts.sort(key=lambda each: order[each.entry.identity])
        vectors = [each.vectors for each in parts] or [np.empty((0, 0), dtype=np.float32)]
        return cls([sample for each in parts for sample in each.samples], np.concatenate(vectors))

    def __len__(self) -> int:
        return len(self._samples)

    @cached_property
    def prompts(self) -> Sequence[str]:
        """Of each sample."""
        return [_prompt(sample.entry, sample.row) for sample in self._samples]

    @cached_property
    def words(self) -> PromptWords:
        """Of the prompts."""
        return PromptWords(self.prompts)

    @cached_property
    def files(self) -> list[str]:
        """Of each sample."""
        return [str(sample.path) for sample in self._samples]

    @cached_property
    def prompt_by_file(self) -> dict[str, str]:
        """The prompt of each sample by its file."""
        return dict(zip(self.files, self.prompts, strict=True))

    @cached_property
    def statistics(self) -> Statistics:
        """Of the checkpoints."""
        return Statistics.of(np.split(self.vectors, self.starts[1:]))

    @cached_property
    def identities(self) -> list[str]:
        """Of the checkpoints."""
        return [candidate.identity for candidate in self.checkpoints]

    @property
    def same_prompts(self) -> bool:
        """Whether all checkpoints made the same prompts, so that they show the same by design."""
        sets = {sample.entry.prompt_set_hash for sample in self._samples}
        return len(sets) == 1 and OWN_PROMPTS not in sets

    def rows_of(self, identity: str) -> IntArray:
        """Rows of a checkpoint."""
        number = self.identities.index(identity)
        ends = [*self.starts[1:], len(self)]
        return np.arange(self.starts[number], ends[number])

    def select(
        self, wanted: Callable[[Candidate], bool] | None, having: Sequence[str] = ()
    ) -> LibrarySamples:
        """The part that passes a filter and whose prompts name one of some tags."""
        if wanted is None and not having:
            return self
        keep = np.ones(len(self), dtype=bool)
        if wanted is not None:
            counts = np.diff(np.append(self.starts, len(self)))
            keep = np.repeat(np.asarray([wanted(c) for c in self.checkpoints], dtype=bool), counts)
        if having:
            keep &= np.any([literal(self.prompts, tag) for tag in having], axis=0)
        samples = [self._samples[row] for row in np.flatnonzero(keep).tolist()]
        return LibrarySamples(samples, self.vectors[keep])

    def cosines(self, vector: FloatArray, nearest: int | None, also: IntArray) -> FloatArray:
        """⟨row, vector⟩ of all samples, ``[n]``.

        Args:
            vector: ``[d]``.
            nearest: if given, only so many nearest ones need a number; −inf says nothing then.
            also: rows that need a number in any case, rising.
        """
        return np.asarray(self.vectors @ vector)

    def maker(self, row: int, installed: Installed) -> Candidate:
        """The checkpoint that a sample is of."""
        return self.checkpoints[int(np.searchsorted(self.starts, row, side="right")) - 1]

    def hit(self, row: int, score: float) -> Hit:
        """What there is to show of a sample."""
        sample = self._samples[row]
        entry = sample.entry
        known = {name: value for name, value in vars(entry.settings).items() if value}
        settings = {k: v for k, v in known.items() if k not in ("extra", "unknown", "codec")}
        seed = int(entry.described["seeds"][sample.row])
        return Hit(
            score, entry.title, entry.identity, self.prompts[row], seed, settings, self.files[row]
        )


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
