"""Fitted state of a library: methods, calibration, near-duplicates, and which method is best.

All of it is decided by leave-one-prompt-out on the specifications. It runs after a build or in the
background, never inside a query, and is kept under the library's fingerprint: any change of the
library fits anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from . import methods
from .calibration import MAX_IMAGES, Calibration, calibrate
from .errors import RankingError
from .protocols import Progress, SilentProgress
from .stack import Exclusion, Stack, stack

if TYPE_CHECKING:
    from .kernels import LearnedKernel, Prior
    from .library import Library
    from .methods import FittedMethod
    from .protocols import FloatArray

#: Methods that compete for `auto`. The others exist to be compared with.
CONTESTANTS = ("learned", "weighted-rkme", "rkme-clip")
#: Leaving out every prompt of a long prompt set buys little more than leaving out this many.
MAX_HELD_OUT = 24
#: Bumped when fitting changes, so that stored state is fitted again.
_VERSION = 1


@dataclass(frozen=True)
class Report:
    """What leave-one-prompt-out says of one method: a calibration per number of images."""

    method: str
    calibrations: tuple[Calibration | None, ...]

    @property
    def one_image(self) -> Calibration | None:
        return self.calibrations[0] if self.calibrations else None


@dataclass(eq=False)
class FittedLibrary:
    """Everything a query needs.

    Attributes:
        stack: the candidates that can be ranked.
        excluded: those that cannot, and why.
        reports: by method, for those whose leave-one-prompt-out could run.
        prior: used by ``learned``, if any.
    """

    stack: Stack
    excluded: tuple[Exclusion, ...]
    reports: Mapping[str, Report]
    prior: Prior | None = None
    _fitted: dict[str, FittedMethod] = field(default_factory=dict)

    def method(self, name: str) -> FittedMethod:
        """A fitted method by name; fitted on first use.

        Raises:
            RankingError: unknown, or it cannot run on this library.
        """
        if name not in self._fitted:
            self._fitted[name] = methods.method(name).fit(self.stack, self.prior)
        return self._fitted[name]

    def choose(self, prompt_given: bool) -> tuple[str, str]:
        """The method that ``auto`` stands for, and why in one sentence."""
        rated = {
            name: report.one_image.top1
            for name, report in self.reports.items()
            if report.one_image is not None
            and (prompt_given or not methods.METHODS[name].needs_prompt)
        }
        if not rated:
            return "learned", "the library is too small to compare methods on it"
        best = max(CONTESTANTS, key=lambda name: rated.get(name, -1.0))
        others = [f"{name} {top1:.0%}" for name, top1 in rated.items() if name != best]
        against = f" ({', '.join(others)})" if others else ""
        return best, f"it finds {rated[best]:.0%} of the library's own held-out samples{against}"

    def groups(self) -> list[tuple[int, ...]]:
        """Near-duplicates: see :meth:`.kernels.LearnedKernel.near_duplicates`."""
        kernel: LearnedKernel = self.method("learned")  # type: ignore[assignment]
        return kernel.near_duplicates()


def leave_one_prompt_out(
    name: str, data: Stack, prior: Prior | None = None, progress: Progress | None = None
) -> FloatArray:
    """Held-out scores of a method: every part of it is fitted anew without the held-out prompt.

    Args:
        name: of the method.
        data: M candidates × N prompts.
        prior: for ``learned``.
        progress: told after each prompt.

    Returns:
        ``[M, H, M]`` for H held-out prompts, as in :mod:`.calibration`.

    Raises:
        RankingError: the method cannot run on this library.
    """
    progress = progress or SilentProgress()
    candidates, prompts = data.mask.shape
    held_out = np.unique(np.linspace(0, prompts - 1, min(prompts, MAX_HELD_OUT)).round().astype(int))
    scores = np.full((candidates, len(held_out), candidates), np.nan, dtype=np.float32)
    for step, prompt in enumerate(held_out):
        fitted = methods.method(name).fit(data.without_prompts([prompt]), prior)
        rows = np.flatnonzero(data.mask[:, prompt])
        embeddings = data.prompt_embeddings
        query = None if embeddings is None else np.tile(embeddings[prompt], (len(rows), 1))
        scores[rows, step] = fitted.scores(data.features[rows, prompt], query)
        progress.update(step + 1, len(held_out), f"leave-one-prompt-out: {name}")
    # A candidate whose only samples were held out scores infinity everywhere: no query of it.
    own = scores[np.arange(candidates), :, np.arange(candidates)]
    scores[~np.isfinite(own)] = np.nan
    return scores


def report(name: str, held_out: FloatArray) -> Report:
    """Calibrations for 1 to 5 images from held-out scores."""
    return Report(name, tuple(calibrate(held_out, n) for n in range(1, MAX_IMAGES + 1)))


def fit(
    library: Library,
    encoder_id: str | None = None,
    prior: Prior | None = None,
    progress: Progress | None = None,
) -> FittedLibrary:
    """Fit a library, or read what was fitted for exactly these specifications.

    Args:
        library: the specifications.
        encoder_id: rank those of this encoder; by default the most common.
        prior: the encoder's, see :func:`.kernels.load_prior`.
        progress: told while leave-one-prompt-out runs.

    Raises:
        RankingError: there is nothing that can be ranked; the message says what to do.
    """
    specifications, unreadable = library.load_all()
    data, excluded = stack(specifications, encoder_id)
    if data is None:
        raise RankingError(_nothing_to_rank(library, len(specifications), [*unreadable, *excluded]))
    name = _file_name(library.fingerprint(), data.encoder_id, prior is not None)
    reports = _read_reports(library.read_fitted(name))
    if reports is None:
        reports = {}
        for contestant in CONTESTANTS:
            if methods.METHODS[contestant].needs_prompt and data.prompt_embeddings is None:
                continue
            if min(data.mask.shape) >= 2:
                held_out = leave_one_prompt_out(contestant, data, prior, progress)
                reports[contestant] = report(contestant, held_out)
        library.write_fitted(name, _write_reports(reports))
    return FittedLibrary(data, (*unreadable, *excluded), reports, prior)


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


def _write_reports(reports: Mapping[str, Report]) -> bytes:
    rows = {
        name: [None if c is None else c.to_json() for c in report.calibrations]
        for name, report in reports.items()
    }
    return json.dumps({"reports": rows}, indent=1).encode()


def _read_reports(data: bytes | None) -> dict[str, Report] | None:
    if data is None:
        return None
    try:
        rows: dict[str, list[Any]] = json.loads(data)["reports"]
        return {
            name: Report(
                name, tuple(None if c is None else Calibration.from_json(c) for c in calibrations)
            )
            for name, calibrations in rows.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # fitted again
