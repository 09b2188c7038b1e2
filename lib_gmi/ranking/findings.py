"""What leave-one-prompt-out says of a library: hyperparameters, calibrations, near-duplicates.

The findings decide how queries are answered. They depend on nothing but the specifications, so they
are stored as JSON and read again as long as these are the same.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..encoders import registry
from ..records.protocols import Progress, SilentProgress
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

if TYPE_CHECKING:
    from ..records.protocols import FloatArray
    from .discriminants import Discriminants
    from .methods import FittedMethod
    from .stack import Stack

#: Methods that compete for `auto`. The others exist to be compared with.
CONTESTANTS = ("learned", "weighted-rkme", "rkme-clip")
#: Leaving out every prompt of a long prompt set buys little more than leaving out this many.
MAX_HELD_OUT = 24
#: Attention is tried on libraries of up to so many samples. With 18 × 20 it is chosen now and then,
#: with 63 × 20 never, and there it would take more than half of the time.
MAX_ATTENTIVE = 1000
#: Images that are scored at once while fitting.
_SCORED = 128


@dataclass(frozen=True)
class Report:
    """What leave-one-prompt-out says of one method: a calibration per number of images."""

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
    reports = {"learned": report(scores[best])}
    for name in contestants:
        lacks_prompts = methods.METHODS[name].needs_prompt and data.prompt_embeddings is None
        if name == "learned" or lacks_prompts:
            continue
        method = methods.METHODS[name]
        held_out, _ = leave_one_prompt_out(data, method.fit_alone, progress)
        reports[name] = report(held_out[0])
    foreign = [foreign_threshold(novelty[best], n) for n in range(1, MAX_IMAGES + 1)]
    return Findings(grid[best], reports, tuple(foreign), tuple(near_duplicates(scores[best])))


def report(held_out: FloatArray) -> Report:
    """Calibrations for 1 to 5 images from held-out scores."""
    # Lists first, here and for novelty: a tuple grows while it is built, and CPython raises a
    # SystemError when another thread holds it then, as reForge does with all objects there are.
    calibrations = [calibrate(held_out, n) for n in range(1, MAX_IMAGES + 1)]
    return Report(tuple(calibrations))


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


def findings_to_json(found: Findings) -> bytes:
    """What is stored of findings."""
    data = {
        "params": vars(found.params),
        "reports": {
            name: [None if c is None else vars(c) for c in report.calibrations]
            for name, report in found.reports.items()
        },
        "foreign": list(found.foreign),
        "groups": [list(group) for group in found.groups],
    }
    return json.dumps(data, indent=1).encode()


def findings_from_json(data: bytes | None, candidates: int) -> Findings | None:
    """Stored findings, or ``None`` if there are none that can be believed: they are made anew."""
    if data is None:
        return None
    try:
        stored: dict[str, Any] = json.loads(data)
        reports = {
            methods.METHODS[name].name: Report(
                tuple(None if c is None else Calibration.from_json(c) for c in calibrations)
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


def _read_params(stored: Mapping[str, Any]) -> Params:
    known = dict(stored)
    balance = tuple(float(weight) for weight in known.pop("balance", ()))
    return Params(**{key: float(value) for key, value in known.items()}, balance=balance)


def _nan(*shape: int) -> FloatArray:
    return np.full(shape, np.nan, dtype=np.float32)
