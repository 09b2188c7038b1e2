"""The progress of one job of a build."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..records.protocols import Candidate
    from ..records.specification import Specification
    from ..submitting.submit import Builder
    from .jobs import Job


class JobProgress:
    """Times each sample of a job, and passes it on.

    Args:
        candidate: that the job is of.
        job: what is done.
        build: number of the build that it belongs to.
        sampled: called after each sample.
        waited: seconds that were spent waiting for people so far.

    Attributes:
        done: samples of this job.
        seconds: the newest took, without what was spent waiting for people.
    """

    def __init__(
        self,
        candidate: Candidate,
        job: Job,
        build: int,
        sampled: Callable[[JobProgress, Specification], None],
        waited: Callable[[], float],
    ) -> None:
        self.candidate, self.job, self.build = candidate, job, build
        self.done = 0
        self.seconds = 0.0
        self.builder: Builder | None = None
        self._sampled, self._waited = sampled, waited
        self._last = self._worked()

    def update(self, done: int, total: int, message: str = "") -> None:
        specification = None if self.builder is None else self.builder.latest
        if done > self.done and specification is not None:
            now = self._worked()
            self.done, self.seconds, self._last = done, now - self._last, now
            self._sampled(self, specification)

    def _worked(self) -> float:
        return time.monotonic() - self._waited()
