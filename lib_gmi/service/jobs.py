"""The small jobs that a build consists of, and the queue that a host runs them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """Bring one checkpoint to so many samples."""

    name: str
    samples: int


class JobQueue(Protocol):
    """A host's queue, as far as builds need it."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs behind all that people queue. Each ends in :meth:`.builds.Builds.run`."""

    def withdraw(self) -> None:
        """Take back every job that has not begun."""

    def interrupt(self) -> None:
        """Stop the job that is running, if it is one of ours."""

    def pending(self) -> int:
        """How many of our jobs are queued or running."""
