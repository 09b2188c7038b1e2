"""The submitting stage: host + prompt set → specifications.

Builds go breadth-first: every candidate gets 4 samples before any gets 8, so that the whole library
can be ranked after the first pass. Each sample is stored as soon as it is encoded; a build that was
killed or cancelled goes on where it stopped and redoes at most one image.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..base.errors import GMIError, ImageError, LibraryError, SampleUnavailableError
from ..base.images import to_rgb
from ..encoders import load, optional_text_encoder
from ..records.protocols import Exclusion, GenerationRequest, Progress, SilentProgress
from .recorder import Recorder

if TYPE_CHECKING:
    from ..library.catalogue import Library
    from ..records.prompts import Prompt, PromptSet
    from ..records.protocols import Candidate, GenerationSettings, Host, Session
    from ..records.specification import Specification


@dataclass
class BuildSummary:
    """What a build did. Titles of candidates, but for the numbers.

    Attributes:
        samples: images that were generated, encoded and stored.
        complete: have every sample that was asked for and that the host can give.
        partial: have some.
        skipped: were not tried, and why.
        failed: could not be finished, and why.
        suspect: produced broken output, and what kind.
        unavailable: samples that the host could not make.
        unreadable: images that the host delivered and nobody can read, and why.
        cancelled: whether the user stopped the build.
        seconds: how long it took.
    """

    samples: int = 0
    complete: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    skipped: list[Exclusion] = field(default_factory=list)
    failed: list[Exclusion] = field(default_factory=list)
    suspect: list[Exclusion] = field(default_factory=list)
    unavailable: int = 0
    unreadable: list[Exclusion] = field(default_factory=list)
    cancelled: bool = False
    seconds: float = 0.0


@dataclass
class _Job:
    """One candidate on its way through the passes."""

    candidate: Candidate
    specification: Specification
    unavailable: set[str] = field(default_factory=set)
    failed: str | None = None

    def missing(self, prompts: Sequence[Prompt], count: int) -> list[Prompt]:
        """The next prompts until it has ``count`` samples; each broken one adds one more."""
        if self.failed is not None or self.specification.suspect:
            return []
        finished = self.specification.done | self.unavailable
        lacking = count + len(self.specification.rejected) - len(finished)
        return [prompt for prompt in prompts if prompt.id not in finished][: max(lacking, 0)]


class Builder:
    """Builds specifications of a host's checkpoints into a library.

    Args:
        host: where the checkpoints are.
        recorder: of the prompt set; stores the samples.
        progress: is told after every sample, with an estimate of the time left.
        settings_for: decides what a candidate is generated with; by default the host.
        prompts: of the prompt set, in the order in which they are generated; by default its own.
    """

    def __init__(
        self,
        host: Host,
        recorder: Recorder,
        progress: Progress | None = None,
        settings_for: Callable[[Candidate], GenerationSettings] | None = None,
        prompts: Sequence[Prompt] = (),
    ) -> None:
        self.host, self.recorder = host, recorder
        self.progress = progress or SilentProgress()
        self.settings_for = settings_for or host.default_settings
        self.prompts = prompts or recorder.prompt_set.prompts
        #: The specification that was extended last; progress reports may show its newest sample.
        self.latest: Specification | None = None
        self._total = 0
        self._finished = 0
        self._started = 0.0

    def build(
        self, candidates: Sequence[Candidate] | None = None, limit: int | None = None
    ) -> BuildSummary:
        """Build what is missing.

        Args:
            candidates: of the host; all by default.
            limit: only so many prompts, for instance 4 for a quick pass.

        Returns:
            What was done. Trouble with one candidate never stops the others.

        Raises:
            LibraryError: the library cannot be written. Everything stored before is safe.
        """
        self._started = time.monotonic()
        summary = BuildSummary()
        jobs = self._jobs(candidates, summary)
        prompts = self.prompts
        count = len(prompts[:limit])
        self._total = sum(len(job.missing(prompts, count)) for job in jobs)
        self._finished = 0
        self.progress.update(0, self._total, "")
        for size in self.recorder.prompt_set.passes():
            for job in jobs:
                if not summary.cancelled:
                    self._run_pass(job, min(size, count), summary)
            if size >= count:
                break
        self._conclude(jobs, count, summary)
        summary.seconds = time.monotonic() - self._started
        return summary

    def _jobs(self, candidates: Sequence[Candidate] | None, summary: BuildSummary) -> list[_Job]:
        jobs = []
        for candidate in self.host.list_checkpoints() if candidates is None else candidates:
            if candidate.unsupported:
                summary.skipped.append(Exclusion(candidate.title, candidate.unsupported))
                continue
            try:
                settings = self.settings_for(candidate)
                new = self.recorder.empty(candidate, settings)
                jobs.append(_Job(candidate, self.recorder.begin(new)))
            except GMIError as error:
                summary.failed.append(Exclusion(candidate.title, str(error)))
        return jobs

    def _run_pass(self, job: _Job, count: int, summary: BuildSummary) -> None:
        if not job.missing(self.prompts, count):
            return
        if self.host.interrupted():
            summary.cancelled = True
            return
        try:
            with self.host.session(job.candidate) as session:
                # once more if a sample was broken: the next prompt makes up for it
                while missing := job.missing(self.prompts, count):
                    if not self._generate(job, session, missing, summary):
                        summary.cancelled = True
                        return
        except LibraryError:
            raise  # nothing can be stored any more
        except GMIError as error:
            job.failed = str(error)

    def _generate(
        self, job: _Job, session: Session, missing: Sequence[Prompt], summary: BuildSummary
    ) -> bool:
        """Generate these samples; false if the user interrupted it."""
        settings, of = job.specification.settings, self.recorder
        requests = [
            GenerationRequest(p.id, of.wording(p, settings), settings.negative, of.seed(p))
            for p in missing
        ]
        session.prepare(requests, settings)
        for wanted in zip(missing, requests, strict=True):
            if job.specification.suspect:
                return True
            if not self._sample(job, session, wanted, summary):
                return False
        return True

    def _sample(
        self,
        job: _Job,
        session: Session,
        wanted: tuple[Prompt, GenerationRequest],
        summary: BuildSummary,
    ) -> bool:
        """Generate, check, encode and store one sample; false if the user interrupted it."""
        prompt, request = wanted
        try:
            image = to_rgb(session.generate(request, job.specification.settings), prompt.id)
        except (SampleUnavailableError, ImageError) as error:
            job.unavailable.add(prompt.id)
            if isinstance(error, ImageError):
                summary.unreadable.append(Exclusion(job.candidate.title, str(error)))
            else:
                summary.unavailable += 1
            self._total -= 1
            self.progress.update(self._finished, self._total, self._message(job, prompt))
            return not self.host.interrupted()
        if self.host.interrupted():
            return False  # hosts hand out half-denoised images when they are interrupted
        before, broken = len(job.specification), len(job.specification.rejected)
        job.specification = self.latest = self.recorder.add(job.specification, prompt, image)
        summary.samples += len(job.specification) > before
        self._total += len(job.specification.rejected) > broken
        self._finished += 1
        self.progress.update(self._finished, self._total, self._message(job, prompt))
        return True

    def _message(self, job: _Job, prompt: Prompt) -> str:
        spent = time.monotonic() - self._started
        left = spent / max(self._finished, 1) * max(self._total - self._finished, 0)
        return f"{job.candidate.title} · {prompt.id} · {format_duration(left)} left"

    def _conclude(self, jobs: Sequence[_Job], count: int, summary: BuildSummary) -> None:
        for job in jobs:
            title = job.candidate.title
            if job.failed is not None:
                summary.failed.append(Exclusion(title, job.failed))
            elif job.specification.suspect:
                summary.suspect.append(Exclusion(title, job.specification.suspect))
            elif job.missing(self.prompts, count):
                summary.partial.append(title)
            else:
                summary.complete.append(title)


def build(
    host: Host,
    prompt_set: PromptSet,
    library: Library,
    encoder: str,
    candidates: Sequence[Candidate] | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> BuildSummary:
    """Build the specifications that are missing, with an encoder by name. See :class:`Builder`."""
    recorder = Recorder(prompt_set, library, load(encoder), optional_text_encoder())
    return Builder(host, recorder, progress).build(candidates, limit)


def format_duration(seconds: float) -> str:
    """A duration as people say it: ``about 40 s``, ``about 3 min``, ``about 2 h 10 min``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} min"
    return f"about {minutes // 60} h {minutes % 60:02d} min"
