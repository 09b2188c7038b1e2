"""Builds that run as many small jobs in a host's own queue.

A job is one checkpoint and one pass. Jobs are ordered breadth-first, so the whole library can be
ranked after the first pass. The host decides when a job runs; between two of them people work.
What a build wants is kept on disk; what is left to do always follows from the library itself, so
a host that is restarted goes on where it stopped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..base.errors import GMIError
from ..library.entries import stem
from ..records.protocols import Candidate, Exclusion
from .build_state import (
    IDLE,
    PAUSED,
    RUNNING,
    UNDER_WAY,
    BuildState,
    Remaining,
    StoredBuild,
    build_file,
    outcome,
    passes_up_to,
    samples_missing,
)
from .job_progress import JobProgress
from .jobs import Job, JobQueue
from .states import CheckpointState

if TYPE_CHECKING:
    from ..records.specification import Specification
    from .service import Service

REMOVED = "Its jobs were removed from the queue. Resume to go on."


class _PausedError(Exception):
    """Leaves a running job after the sample that was stored last."""


class Builds:
    """The build of a host, if there is one. All methods may be called from any thread.

    Args:
        service: of the host.
        queue: of the host.
        notify: called with the state whenever it changed.
        waiting_for: why a running build does nothing at the moment, in a sentence for people, or
            ``None``.
        waited: seconds that jobs have spent waiting for people so far: no time of a sample.
        yields: whether a job that runs gives way between two images; its host queues it once more.
        stored: whether a file keeps the build; not where a program's build may wait in the library
            that cannot be gone on with here.
    """

    def __init__(
        self,
        service: Service,
        queue: JobQueue,
        notify: Callable[[BuildState], None] = lambda state: None,
        waiting_for: Callable[[], str | None] = lambda: None,
        waited: Callable[[], float] = lambda: 0.0,
        yields: Callable[[Job], bool] = lambda job: False,
        stored: bool = True,
    ) -> None:
        self.service, self.queue = service, queue
        self.notify, self.waiting_for = notify, waiting_for
        self.waited, self.yields = waited, yields
        self._file = build_file(service.home) if stored else None
        self._lock = threading.RLock()
        self._telling = threading.RLock()
        self._left: list[Job] = []
        self._running: Job | None = None
        self._number = 0  # of the build; a job of an earlier one may still be running
        before = StoredBuild() if self._file is None else self._file.cached()
        self._remaining = Remaining(before.pace)
        self._names: list[str] | None = None
        self._state = BuildState()
        self._counted = True  # whether the state says what is stored
        if before.wanted:
            self._names = before.names
            self._state = BuildState(
                state=PAUSED, total=before.total, limit=before.limit, message=UNDER_WAY
            )
            self._counted = False  # which takes the host's list of checkpoints

    # -- what people do ---------------------------------------------------------------------------

    def state(self) -> BuildState:
        """The state now; notices jobs that somebody removed from the host's queue."""
        with self._lock:
            lost = self._state.state == RUNNING and self._left and not self.queue.pending()
            if lost:
                self._stop(REMOVED)
            if not self._counted:
                self._count()
        if lost:
            self._advance()
        return self._told() if lost else self._copy()

    def start(self, names: Sequence[str] | None, limit: int | None) -> BuildState:
        """Build what is missing; what failed before is tried again.

        Args:
            names: of checkpoints; ``None`` for all that are supported.
            limit: only so many prompts, for instance 4 for a quick pass; ``None`` for all.

        Raises:
            RankingError: a name is not an installed checkpoint.
        """
        asked = self.service.candidates.all_installed(names or ())
        with self._lock:
            for identity in (
                [c.identity for c in asked] if asked else list(self.service.states.failed)
            ):
                self.service.states.failed.pop(identity, None)
            self.queue.withdraw()
            self._names = None if names is None else list(names)
            whole = limit is not None and limit >= len(self.service.prompt_set)
            self._state = BuildState(state=RUNNING, limit=None if whole else limit)
            self._queue()
        return self._told()

    def pause(self) -> BuildState:
        """Stop after the image that is being generated; nothing is lost."""
        with self._lock:
            if self._state.state == RUNNING:
                self._stop("Paused.")
            idle = self._running is None
        if idle:
            self._advance()
        return self._told()

    def resume(self) -> BuildState:
        """Go on with a paused build."""
        with self._lock:
            if self._state.state == PAUSED:
                before = self._state
                self._state = BuildState(
                    RUNNING, total=before.total, limit=before.limit, problems=before.problems
                )
                self._queue()
        return self._told()

    def cancel(self) -> BuildState:
        """Stop at once and forget the build; every finished sample is kept."""
        with self._lock:
            self.queue.withdraw()
            self._left.clear()
            self._names = None
            self._state = BuildState(message="Cancelled; what was finished is kept.")
            self._save()
            idle = self._running is None
            if not idle:
                self.queue.interrupt()
        if idle:
            self._advance()
        return self._told()

    def seconds_per_sample(self, architecture: str | None = None) -> float | None:
        """See :meth:`.pace.Pace.sample`."""
        with self._lock:
            return self._remaining.pace.sample(architecture)

    def wants(self, job: Job) -> bool:
        """Whether a job that was queued is still to be done."""
        with self._lock:
            return job in self._left

    # -- what the host does -----------------------------------------------------------------------

    def run(self, job: Job) -> BuildState:
        """Do one job. The host calls this when the job's turn in its queue has come.

        Raises:
            LibraryError: nothing can be stored; the build is paused.
            BaseException: whatever the host raises when it is interrupted; the build is paused.
        """
        with self._lock:
            if self._state.state != RUNNING or job not in self._left:
                return self._copy()  # paused or cancelled while it waited
            self._left.remove(job)
            self._running = job
            build = self._number
        try:
            self._build(job, build)
        except _PausedError:
            pass
        except GMIError as error:
            self._pause(str(error), build)
            raise
        except BaseException:
            self._pause("It was interrupted. Resume to go on.", build)
            raise
        finally:
            self._ended(job, build)
        return self._copy()

    def _build(self, job: Job, build: int) -> None:
        try:
            candidate = self.service.candidates.installed(job.name)
        except GMIError as error:
            self._give_up(job.name, job.name, str(error))
            return
        if candidate.identity in self.service.states.failed:
            return  # an earlier pass found out
        service = self.service
        if service.samples.reencode(candidate):
            self._count_anew(candidate)
        progress = JobProgress(candidate, job, build, self.sampled, self.waited)
        builder = progress.builder = service.samples.builder(
            service.snapshots.prompts_in_order(), progress
        )
        summary = builder.build([candidate], job.samples)
        for exclusion in (*summary.failed, *summary.skipped):
            service.states.failed[candidate.identity] = exclusion.reason
            self._give_up(candidate.name, exclusion.title, exclusion.reason)
        for exclusion in summary.suspect:
            reason = f"suspect: {exclusion.reason}"
            self._give_up(candidate.name, exclusion.title, reason)
        if summary.cancelled:
            self._pause("It was interrupted. Resume to go on.", build)

    def sampled(self, progress: JobProgress, specification: Specification) -> None:
        """Called after each sample, by the job that made it."""
        candidate, job = progress.candidate, progress.job
        with self._lock:
            state = self._state
            if progress.build != self._number:
                raise _PausedError  # another build has taken its place
            self._remaining.sampled(
                candidate.name,
                candidate.architecture or "",
                progress.seconds,
                first=progress.done == 1,
            )
            state.done += 1
            state.total = max(state.total, state.done)  # a broken sample is made up for
            state.name, state.title = candidate.name, candidate.title
            state.pass_done, state.pass_of = len(specification.done), job.samples
            if specification.prompt_ids:
                prompt = self.service.prompt_set.get(specification.prompt_ids[-1])
                state.prompt = prompt.text
                path = self.service.library.samples.find(
                    stem(specification.key), prompt.id, specification.seeds[-1]
                )
                state.sample = None if path is None else (path.parent.name, path.name)
            state.seconds_left = self._remaining.seconds(self._left)
            stopped = state.state != RUNNING
            if not stopped and state.pass_done < job.samples and self.yields(job):
                self._left.insert(0, job)
                stopped = True
        self._told()
        if stopped:
            raise _PausedError

    def _ended(self, job: Job, build: int) -> None:
        with self._lock:
            self._running = None
            mine = build == self._number and self._state.state == RUNNING
            if mine and self._left and self.queue.pending() <= 1:  # this one
                self._stop(REMOVED)
            passed = all(left.samples != job.samples for left in self._left)
            finished = not self._left
            if finished and self._state.state == RUNNING and build == self._number:
                self._state = outcome(self._state)
                self._names = None
            moved = passed or finished or self._state.state != RUNNING
            self._save()
        if moved:
            self._advance()
        self._told()

    def _advance(self) -> None:
        """Let answers follow; trouble with that must not hide how a job ended."""
        try:
            self.service.snapshots.advance_soon()
        except Exception:
            logging.exception("Find Best Model: the library could not be fitted")

    def _give_up(self, name: str, title: str, reason: str) -> None:
        """Report a checkpoint, and expect nothing more of it."""
        with self._lock:
            row = Exclusion(title, reason)
            if row not in self._state.problems:
                self._state.problems.append(row)
            self._left = [job for job in self._left if job.name != name]
            self._remaining.give_up(name)
            self._state.total = self._state.done + self._remaining.samples

    # -- planning ---------------------------------------------------------------------------------

    def _count_anew(self, candidate: Candidate) -> None:
        """What a checkpoint lacks, after it got samples without generating any."""
        lacks = self.missing(self.service.states.of(candidate), self._state.limit)
        with self._lock:
            self._remaining.set(candidate.name, lacks)
            self._state.total = self._state.done + self._remaining.samples

    def missing(self, state: CheckpointState, limit: int | None) -> int:
        """How many samples a checkpoint lacks of so many prompts."""
        return samples_missing(state, len(self.service.prompt_set), limit)

    def _queue(self) -> None:
        """Plan from what the library has now, and hand the jobs to the host."""
        limit = self._state.limit
        self._number += 1
        lacking = self._count()
        wanted = len(self.service.prompt_set) if limit is None else limit
        self._left = [
            Job(name, size)
            for size in passes_up_to(wanted, self.service.prompt_set.passes())
            for name, lacks in lacking.items()
            if wanted - lacks < size
        ]
        self._state.seconds_left = self._remaining.seconds(self._left)
        if self._left:
            self.queue.submit(self._left)
        else:
            self._state = BuildState(message="Nothing is missing.")
            self._names = None
        self._save()

    def _count(self) -> dict[str, int]:
        """Read off the library what each checkpoint of this build lacks, and so what is done."""
        state, self._counted = self._state, True
        wanted = [s for s in self._wanted() if s.state != "failed"]
        architectures = {s.candidate.name: s.candidate.architecture or "" for s in wanted}
        lacking = {s.candidate.name: self.missing(s, state.limit) for s in wanted}
        self._remaining.count(lacking, architectures)
        lacks = self._remaining.samples
        state.total = max(state.total, lacks)
        state.done = state.total - lacks
        return lacking

    def _wanted(self) -> list[CheckpointState]:
        """States of the checkpoints of this build; of equal files only the first."""
        chosen: dict[str, CheckpointState] = {}
        for state in self.service.states.all():
            if self._names is None or state.candidate.name in self._names:
                chosen.setdefault(state.candidate.identity, state)
        return list(chosen.values())

    # -- keeping ----------------------------------------------------------------------------------

    def _stop(self, message: str) -> None:
        self.queue.withdraw()
        self._left.clear()
        self._state.state = PAUSED
        self._state.message = message
        self._save()

    def _pause(self, message: str, build: int) -> None:
        with self._lock:
            if self._state.state == RUNNING and build == self._number:
                self._stop(message)

    def _copy(self) -> BuildState:
        with self._lock:
            return replace(self._state, problems=list(self._state.problems))

    def _told(self) -> BuildState:
        with self._telling:  # or an older state could be sent after a newer one
            state = self._copy()
            self.notify(state)
        return state

    def _save(self) -> None:
        if self._file is not None:
            self._file.keep(
                StoredBuild(
                    wanted=self._state.state != IDLE,
                    names=self._names,
                    limit=self._state.limit,
                    total=self._state.total,
                    pace=self._remaining.pace,
                )
            )
