"""Fitted state of a library: methods, calibration, near-duplicates, and which method is best.

All of it is decided by leave-one-prompt-out on the specifications. It runs after a build or in the
background, never inside a query, and is kept under the library's fingerprint: any change of the
library fits anew.
"""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import RankingError
from ..encoders import registry
from ..library.entries import stem
from ..records.protocols import Exclusion, Progress, SilentProgress
from . import methods
from .calibration import (
    MAX_IMAGES,
    Calibration,
    calibrate,
    foreign_threshold,
    log_loss,
    near_duplicates,
)
from .kernels import GRID, LearnedKernel, Params, Prior, grid_for
from .normalised import moments
from .stack import Stack, stack

if TYPE_CHECKING:
    from ..library.catalogue import Library
    from ..records.protocols import FloatArray
    from ..records.specification import CandidateRef, Specification
    from .discriminants import Discriminants
    from .methods import FittedMethod

#: Methods that compete for `auto`. The others exist to be compared with.
CONTESTANTS = ("learned", "weighted-rkme", "rkme-clip")
#: Leaving out every prompt of a long prompt set buys little more than leaving out this many.
MAX_HELD_OUT = 24
#: Attention is tried on libraries of up to so many samples. With 18 × 20 it is chosen now and then,
#: with 63 × 20 never, and there it would take more than half of the time.
MAX_ATTENTIVE = 1000
#: Images that are scored at once while fitting.
_SCORED = 128
#: Bumped when fitting changes, so that stored state is fitted again.
_VERSION = 3


@dataclass(frozen=True)
class Report:
    """What leave-one-prompt-out says of one method: a calibration per number of images."""

    method: str
    calibrations: tuple[Calibration | None, ...]

    @property
    def one_image(self) -> Calibration | None:
        return self.calibrations[0] if self.calibrations else None


@dataclass(frozen=True)
class Findings:
    """Everything that leave-one-prompt-out finds out about a library.

    Attributes:
        params: hyperparameters of the learned kernel.
        reports: by method.
        foreign: novelty above which queries of 1, 2, … images are foreign; ``None`` if unknown.
        groups: near-duplicates, as indices into the stack's candidates.
    """

    params: Params = GRID[0]
    reports: Mapping[str, Report] = field(default_factory=dict)
    foreign: tuple[float | None, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()


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
        """The same under today's titles, by identity: files are renamed."""
        return self._called(lambda c: replace(c, title=titles.get(c.identity, c.title)))

    def with_identities(self, names: Mapping[str, str]) -> FittedLibrary:
        """The same under better identities, by those before: of whole files."""
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
        known = self.findings.foreign[: len(features)]
        threshold = next((t for t in reversed(known) if t is not None), None)
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
    means = content / np.maximum(mask.sum(axis=0), 1)[:, None] / deviation
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return mean, deviation, means.astype(np.float32)


def leave_one_prompt_out(
    data: Stack, fit: Callable[[Stack], Iterable[FittedMethod]], progress: Progress | None = None
) -> tuple[FloatArray, FloatArray]:
    """Held-out scores: everything is fitted anew without the held-out prompt.

    Args:
        data: M candidates × N prompts.
        fit: stack → G fitted methods, for instance one per choice of hyperparameters; none is kept.
        progress: told after each prompt.

    Returns:
        Scores ``[G, M, H, M]`` for H held-out prompts, each ``[M, H, M]`` as in
        :mod:`.calibration`, and the samples' novelty ``[G, M, H]`` (NaN for methods without).
    """
    progress = progress or SilentProgress()
    candidates, prompts = data.mask.shape
    spread = np.linspace(0, prompts - 1, min(prompts, MAX_HELD_OUT))
    held_out = np.unique(spread.round().astype(int))
    scores: list[FloatArray] = []
    novelty: list[FloatArray] = []
    for step, prompt in enumerate(held_out):
        rows = np.flatnonzero(data.mask[:, prompt])
        features = data.features[rows, prompt]
        query = data.embeddings_of(rows, prompt)
        answers = _answers(fit(data.without_prompts([prompt])), features, query)
        if step == 0:
            scores = [_nan(candidates, len(held_out), candidates) for _ in answers]
            novelty = [_nan(candidates, len(held_out)) for _ in answers]
        for index, (found, outside) in enumerate(answers):
            scores[index][rows, step] = found
            novelty[index][rows, step] = outside
        progress.update(step + 1, len(held_out), "leaving out one prompt after the other")
    return np.stack(scores), np.stack(novelty)


def _answers(
    kinds: Iterable[FittedMethod], features: FloatArray, prompts: FloatArray | None
) -> list[tuple[FloatArray, FloatArray]]:
    """Scores ``[n, M]`` and novelty ``[n]`` of each method, which goes before the next is made."""
    answers = []
    space: weakref.ref[Discriminants] | None = None
    outside = np.full(len(features), np.nan, dtype=np.float32)
    for fitted in kinds:
        scores = _scored(fitted, features, prompts)
        known = None if space is None else space()  # kernels share them
        if isinstance(fitted, LearnedKernel) and fitted.space is not known:
            space, outside = weakref.ref(fitted.space), fitted.novelty(features)
        answers.append((scores, outside))
        del fitted, known
    return answers


def _scored(fitted: FittedMethod, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
    """Scores of any number of images: of a thousand at once, a method could take gigabytes."""
    parts = [slice(start, start + _SCORED) for start in range(0, len(features), _SCORED)]
    scores = [fitted.scores(features[p], None if prompts is None else prompts[p]) for p in parts]
    return np.concatenate(scores)


def findings(
    data: Stack,
    prior: Prior | None = None,
    progress: Progress | None = None,
    contestants: Sequence[str] = CONTESTANTS,
) -> Findings:
    """Run leave-one-prompt-out: choose hyperparameters, calibrate, compare the methods.

    Args:
        data: the candidates.
        prior: for ``learned``.
        progress: told while it runs.
        contestants: which methods to compare; ``learned`` always takes part.
    """
    if min(data.mask.shape) < 2:
        return Findings()
    grid = grid_for(registry.info(data.encoder_id).blocks)
    # with own prompts there is no z̄ to attend to
    if data.mask.sum() > MAX_ATTENTIVE or data.own is not None:
        grid = tuple(params for params in grid if params.attention == 0)
    scores, novelty = leave_one_prompt_out(
        data, lambda part: LearnedKernel.fit_grid(part, prior, grid), progress
    )
    best = _best_params([log_loss(held_out) for held_out in scores])
    reports = {"learned": report("learned", scores[best])}
    for name in contestants:
        lacks_prompts = methods.METHODS[name].needs_prompt and data.prompt_embeddings is None
        if name == "learned" or lacks_prompts:
            continue
        method = methods.METHODS[name]
        held_out, _ = leave_one_prompt_out(data, method.fit_alone, progress)
        reports[name] = report(name, held_out[0])
    foreign = [foreign_threshold(novelty[best], n) for n in range(1, MAX_IMAGES + 1)]
    return Findings(grid[best], reports, tuple(foreign), tuple(near_duplicates(scores[best])))


def report(name: str, held_out: FloatArray) -> Report:
    """Calibrations for 1 to 5 images from held-out scores."""
    # Lists first, here and for novelty: a tuple grows while it is built, and CPython raises a
    # SystemError when another thread holds it then, as reForge does with all objects there are.
    calibrations = [calibrate(held_out, n) for n in range(1, MAX_IMAGES + 1)]
    return Report(name, tuple(calibrations))


def _best_params(losses: Sequence[FloatArray]) -> int:
    """Index of the hyperparameters with the least held-out loss.

    The default (the first) stays unless another beats it by more than one standard error, taken
    over prompts: with few prompts the differences are mostly chance (Breiman et al. 1984, §3.4.3).
    """
    per_prompt = np.stack([np.nanmean(loss, axis=0) for loss in losses])
    gains = per_prompt[0] - per_prompt
    best = int(np.argmax(gains.mean(axis=1)))
    error = gains[best].std(ddof=1) / np.sqrt(gains.shape[1])
    return best if gains[best].mean() > error else 0


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
        return not self.without or stem(specification.key) not in self.without

    @property
    def key(self) -> str:
        """Differs between selections; empty for everything."""
        if self == Selection():
            return ""
        return " ".join((str(self.prompt_set_hash), *sorted(self.without)))


@dataclass(frozen=True)
class Lent:
    """Specifications from elsewhere that are fitted with the library's own.

    Attributes:
        specifications: of packs.
        fingerprint: changes whenever they do; empty for none.
    """

    specifications: tuple[Specification, ...] = ()
    fingerprint: str = ""


def fit(
    library: Library,
    encoder_id: str | None = None,
    prior: Callable[[str], Prior | None] | None = None,
    progress: Progress | None = None,
    selection: Selection | None = None,
    lent: Lent | None = None,
) -> FittedLibrary:
    """Fit a library, or read what was found out about exactly these specifications before.

    Args:
        library: the specifications.
        encoder_id: rank those of this encoder; by default the most common.
        prior: looks up an encoder's prior, see :func:`.kernels.load_prior`; ``None`` to use none.
        progress: told while leave-one-prompt-out runs.
        selection: of the specifications; by default all.
        lent: what takes part besides.

    Raises:
        RankingError: there is nothing that can be ranked; the message says what to do.
    """
    snapshot = library.snapshot()
    selection, lent = selection or Selection(), lent or Lent()
    chosen, others = (
        [s for s in some if selection.accepts(s)]
        for some in (snapshot.specifications, lent.specifications)
    )
    data, found_unfit = stack(chosen, encoder_id, others)
    excluded = (*snapshot.excluded, *found_unfit)
    if data is None:
        raise RankingError(_nothing_to_rank(library, len(chosen) + len(others), excluded))
    steady = None if prior is None else prior(data.encoder_id)
    # v2: before, the user's own did not decide alone what is ranked
    theirs = f"v2 {lent.fingerprint}" if lent.fingerprint else ""
    key = f"{snapshot.fingerprint} {selection.key} {theirs}".rstrip()
    name = _file_name(key, data.encoder_id, steady is not None)
    found = _read_findings(library.read_fitted(name), len(data.candidates))
    if found is None:
        found = findings(data, steady, progress)
        library.write_fitted(name, _write_findings(found))
    return FittedLibrary(data, found, excluded, steady)


def _read_params(stored: Mapping[str, Any]) -> Params:
    known = dict(stored)
    balance = tuple(float(weight) for weight in known.pop("balance", ()))
    return Params(**{key: float(value) for key, value in known.items()}, balance=balance)


def _nan(*shape: int) -> FloatArray:
    return np.full(shape, np.nan, dtype=np.float32)


def _nothing_to_rank(library: Library, found: int, excluded: Sequence[Exclusion]) -> str:
    if found == 0 and not excluded:
        return (
            f"{library.folder}: there are no specifications yet. Build them first with: gmi build"
        )
    reasons = "; ".join(f"{e.title}: {e.reason}" for e in excluded[:3])
    return f"{library.folder}: none of {found} specifications can be ranked. {reasons}"


def _file_name(fingerprint: str, encoder_id: str, with_prior: bool) -> str:
    key = f"{_VERSION} {fingerprint} {encoder_id} {with_prior}"
    return hashlib.sha256(key.encode()).hexdigest()[:32] + ".json"


def _write_findings(found: Findings) -> bytes:
    data = {
        "params": vars(found.params),
        "reports": {
            name: [None if c is None else c.to_json() for c in report.calibrations]
            for name, report in found.reports.items()
        },
        "foreign": list(found.foreign),
        "groups": [list(group) for group in found.groups],
    }
    return json.dumps(data, indent=1).encode()


def _read_findings(data: bytes | None, candidates: int) -> Findings | None:
    """Stored findings, or ``None`` if there are none that can be believed: they are made anew."""
    if data is None:
        return None
    try:
        stored: dict[str, Any] = json.loads(data)
        reports = {
            methods.METHODS[name].name: Report(
                name, tuple(None if c is None else Calibration.from_json(c) for c in calibrations)
            )
            for name, calibrations in stored["reports"].items()
        }
        params = _read_params(stored["params"])
        foreign = tuple(None if t is None else float(t) for t in stored["foreign"])
        groups = tuple(tuple(int(i) for i in group) for group in stored["groups"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if any(not 0 <= i < candidates for group in groups for i in group):
        return None
    return Findings(params, reports, foreign, groups)
