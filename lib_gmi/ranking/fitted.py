"""Fitted state of a library: methods, calibration, near-duplicates, and which method is best.

All of it is decided by leave-one-prompt-out on the specifications. It runs after a build or in the
background, never inside a query, and is kept under the library's fingerprint: any change of the
library fits anew.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import RankingError
from ..base.vectors import unit
from ..encoders import named, registry
from ..library.entries import stem
from ..records.protocols import Exclusion, Progress
from . import methods
from .calibration import for_images
from .findings import CONTESTANTS, Findings, findings, findings_from_json, findings_to_json
from .kernels import LearnedKernel, Prior, load_prior
from .normalised import moments
from .stack import Stack, stack

if TYPE_CHECKING:
    from ..library.catalogue import Library
    from ..records.protocols import FloatArray
    from ..records.specification import CandidateRef, Specification
    from .methods import FittedMethod

#: Bumped when fitting changes, so that stored state is fitted again.
_VERSION = 3


@dataclass(eq=False)
class FittedLibrary:
    """Everything a query needs.

    Attributes:
        stack: the candidates that can be ranked.
        findings: of leave-one-prompt-out.
        excluded: candidates that cannot be ranked, and why.
        prior: used by ``learned``, if any.
    """

    stack: Stack
    findings: Findings
    excluded: tuple[Exclusion, ...] = ()
    prior: Prior | None = None
    _fitted: dict[str, FittedMethod] = field(default_factory=dict)
    _content: list[tuple[FloatArray, FloatArray, FloatArray]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def prepare(self) -> None:
        """Fit what queries will want, so that none of them has to wait for it."""
        _ = self.learned
        for prompt_given in (False, True):
            self.method(self.choose(prompt_given)[0])
        if self.stack.prompt_embeddings is not None:
            self.method("weighted-rkme")
        self._contents()

    def method(self, name: str) -> FittedMethod:
        """A fitted method by name; fitted on first use.

        Raises:
            RankingError: unknown, or it cannot run on this library.
        """
        with self._lock:
            if name not in self._fitted:
                fit = methods.method(name).fit
                self._fitted[name] = fit(self.stack, self.prior, self.findings.params)
            return self._fitted[name]

    @property
    def learned(self) -> LearnedKernel:
        """The learned kernel: it also knows foreign images."""
        kernel = self.method("learned")
        assert isinstance(kernel, LearnedKernel)
        return kernel

    def choose(self, prompt_given: bool) -> tuple[str, str]:
        """The method that ``auto`` stands for, and why in one sentence."""
        rated = {
            name: report.one_image.top1
            for name, report in self.findings.reports.items()
            if report.one_image is not None
            and (prompt_given or not methods.METHODS[name].needs_prompt)
        }
        if not rated:
            return "learned", "the library is too small to compare methods on it"
        best = max(CONTESTANTS, key=lambda name: rated.get(name, -1.0))
        learned = self.findings.reports.get("learned")
        if learned is not None and learned.one_image is not None:
            # a small library's figures are mostly chance: the default stays unless clearly beaten
            rate, queries = learned.one_image.top1, learned.one_image.queries
            if rated[best] - rate <= (max(rate * (1 - rate), 0.01) / queries) ** 0.5:
                best = "learned"
        others = [f"{name} {top1:.0%}" for name, top1 in rated.items() if name != best]
        against = f" ({', '.join(others)})" if others else ""
        return best, f"it finds {rated[best]:.0%} of the library's own held-out samples{against}"

    def with_titles(self, titles: Mapping[str, str]) -> FittedLibrary:
        """This fitted library with today's titles, by identity: files are renamed."""
        return self._called(lambda c: replace(c, title=titles.get(c.identity, c.title)))

    def with_identities(self, names: Mapping[str, str]) -> FittedLibrary:
        """This fitted library with better identities (of whole files), old → new."""
        return self._called(lambda c: replace(c, identity=names.get(c.identity, c.identity)))

    def _called(self, change: Callable[[CandidateRef], CandidateRef]) -> FittedLibrary:
        candidates = tuple(map(change, self.stack.candidates))
        return replace(self, stack=replace(self.stack, candidates=candidates))

    def nearest_prompt(self, features: FloatArray) -> str | None:
        """Id of the shared prompt whose samples look most like query images ``[n, d]``.

        The cosine between z and z̄_j, both standardised over the library: how a query's content is
        told without any prompt.
        """
        shared = np.flatnonzero(self.stack.shared)
        if not len(shared):
            return None
        mean, deviation, means = self._contents()
        query = ((features - mean) / deviation).mean(axis=0)
        return self.stack.prompt_ids[int(shared[np.argmax(means @ query)])]

    def _contents(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean and deviation of the samples ``[d]``, and what each shared prompt shows ``[N, d]``;
        made on first use."""
        with self._lock:
            if not self._content:
                self._content.append(_contents(self.stack))
            return self._content[0]

    def is_foreign(self, features: FloatArray) -> bool:
        """Whether query images ``[n, d]`` look unlike what any candidate makes."""
        threshold = for_images(self.findings.foreign, len(features))
        if threshold is None:
            return False
        return float(self.learned.novelty(features).mean()) > threshold


def _contents(stack: Stack) -> tuple[FloatArray, FloatArray, FloatArray]:
    """See :meth:`FittedLibrary._contents`."""
    part = stack if stack.own is None else stack.with_prompts(np.flatnonzero(stack.shared))
    mask, features, size = part.mask, part.features, part.features.shape[-1]
    if not mask.any():
        empty = np.zeros(size, dtype=np.float32)
        return empty, empty + 1, np.zeros((mask.shape[1], size), dtype=np.float32)
    mean, deviation = moments(part.samples())
    deviation = np.maximum(deviation, 1e-6)
    # less what each candidate makes of everything, or a candidate that is alone with a prompt would
    # lend it its style
    content = np.zeros((mask.shape[1], size), dtype=np.float32)
    for rows, there in zip(features, mask, strict=True):
        own = rows.sum(axis=0, dtype=np.float32) / max(int(there.sum()), 1)
        content += np.where(there[:, None], rows - own, 0)
    return mean, deviation, unit(content / np.maximum(mask.sum(axis=0), 1)[:, None] / deviation)


@dataclass(frozen=True)
class Selection:
    """Which specifications of a library take part.

    Attributes:
        prompt_set_hash: only those of this prompt set, and of own prompts; ``None`` for any.
        without: file names, less their suffix, of those that others have replaced.
    """

    prompt_set_hash: str | None = None
    without: frozenset[str] = frozenset()

    def accepts(self, specification: Specification) -> bool:
        """Whether a specification takes part."""
        fits = specification.own_prompts or specification.prompt_set.hash == self.prompt_set_hash
        if self.prompt_set_hash is not None and not fits:
            return False
        return stem(specification.key) not in self.without

    @property
    def key(self) -> str:
        """Differs between selections; empty for everything."""
        if self == Selection():
            return ""
        return " ".join((str(self.prompt_set_hash), *sorted(self.without)))


@dataclass(frozen=True)
class Extra:
    """Specifications that are fitted with the library's own.

    Attributes:
        specifications: of packs.
        fingerprint: changes whenever they do; empty for none.
    """

    specifications: tuple[Specification, ...] = ()
    fingerprint: str = ""


def open_fitted(
    library: Library,
    encoder: str | None = None,
    use_prior: bool = True,
    progress: Progress | None = None,
    selection: Selection | None = None,
    extra: Extra | None = None,
) -> FittedLibrary:
    """A library with its fitted state: what was found out about exactly these specifications
    before, or what is found out now.

    Args:
        library: the specifications.
        encoder: name or id; by default the one most specifications were built with.
        use_prior: steady a small library with what the embedded models say about the encoder.
        progress: told while leave-one-prompt-out runs.
        selection: of the specifications; by default all.
        extra: what takes part besides.

    Raises:
        RankingError: there is nothing that can be ranked; the message says what to do.
    """
    encoder_id = None if encoder is None else registry.info(named(encoder)).id
    snapshot = library.snapshot()
    selection, extra = selection or Selection(), extra or Extra()
    chosen, others = (
        [s for s in some if selection.accepts(s)]
        for some in (snapshot.specifications, extra.specifications)
    )
    data, found_unfit = stack(chosen, encoder_id, others)
    excluded = (*snapshot.excluded, *found_unfit)
    if data is None:
        raise RankingError(_nothing_to_rank(library, len(chosen) + len(others), excluded))
    steady = load_prior(data.encoder_id) if use_prior else None
    # v2: before, the user's own did not decide alone what is ranked
    theirs = f"v2 {extra.fingerprint}" if extra.fingerprint else ""
    key = f"{snapshot.fingerprint} {selection.key} {theirs}".rstrip()
    key = f"{_VERSION} {key} {data.encoder_id} {steady is not None}"
    name = hashlib.sha256(key.encode()).hexdigest()[:32] + ".json"
    found = findings_from_json(library.read_fitted(name), len(data.candidates))
    if found is None:
        found = findings(data, steady, progress)
        library.write_fitted(name, findings_to_json(found))
    return FittedLibrary(data, found, excluded, steady)


def _nothing_to_rank(library: Library, found: int, excluded: Sequence[Exclusion]) -> str:
    if found == 0 and not excluded:
        return (
            f"{library.folder}: there are no specifications yet. Build them first with: gmi build"
        )
    reasons = "; ".join(f"{e.title}: {e.reason}" for e in excluded[:3])
    return f"{library.folder}: none of {found} specifications can be ranked. {reasons}"
