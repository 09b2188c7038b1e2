"""The submitting stage: host + prompt set → specifications.

Builds go breadth-first: every candidate gets 4 samples before any gets 8, so that the whole library
can be ranked after the first pass. Each sample is stored as soon as it is encoded; a build that was
killed or cancelled goes on where it stopped and redoes at most one image.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from .errors import GMIError, ImageError, LibraryError, SampleUnavailableError
from .images import through_codec, to_rgb
from .protocols import GenerationRequest, GenerationSettings, Progress, SilentProgress
from .quality import broken_reason
from .specification import CandidateRef, PromptSetRef, Rejection, Specification
from .stack import Exclusion

if TYPE_CHECKING:
    from .library import Library
    from .prompts import Prompt, PromptSet
    from .protocols import Candidate, Encoder, FloatArray, Host, Session, TextEncoder

#: Every checkpoint draws prompt number i with seed BASE_SEED + i: equal noise makes equal content.
BASE_SEED = 1000


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

    def missing(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        if self.failed is not None or self.specification.suspect:
            return []
        finished = self.specification.done | self.unavailable
        return [prompt for prompt in prompts if prompt.id not in finished]


class Builder:
    """Builds specifications of a host's checkpoints into a library.

    Args:
        host: where the checkpoints are.
        prompt_set: what to generate.
        library: where the specifications go.
        encoder: image → features.
        text_encoder: embeds the prompts; without it methods that need prompts cannot be used on
            these specifications until they are embedded.
        progress: is told after every sample, with an estimate of the time left.
    """

    def __init__(
        self,
        host: Host,
        prompt_set: PromptSet,
        library: Library,
        encoder: Encoder,
        text_encoder: TextEncoder | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.host = host
        self.prompt_set = prompt_set
        self.library = library
        self.encoder = encoder
        self.text_encoder = text_encoder
        self.progress = progress or SilentProgress()
        self._embeddings = embed_prompts(prompt_set, text_encoder)
        self._total = 0
        self._finished = 0
        self._started = 0.0

    def build(
        self, candidates: Sequence[Candidate] | None = None, limit: int | None = None
    ) -> BuildSummary:
        """Build what is missing.

        Args:
            candidates: of the host; all by default.
            limit: only the first so many prompts, for instance 4 for a quick pass.

        Returns:
            What was done. Trouble with one candidate never stops the others.

        Raises:
            LibraryError: the library cannot be written. Everything stored before is safe.
        """
        self._started = time.monotonic()
        summary = BuildSummary()
        jobs = self._jobs(candidates, summary)
        prompts = self.prompt_set.prompts[:limit]
        self._total = sum(len(job.missing(prompts)) for job in jobs)
        self._finished = 0
        self.progress.update(0, self._total, "")
        for size in self.prompt_set.passes():
            for job in jobs:
                if not summary.cancelled:
                    self._run_pass(job, prompts[:size], summary)
            if size >= len(prompts):
                break
        self._conclude(jobs, prompts, summary)
        summary.seconds = time.monotonic() - self._started
        return summary

    def _jobs(self, candidates: Sequence[Candidate] | None, summary: BuildSummary) -> list[_Job]:
        jobs = []
        for candidate in self.host.list_checkpoints() if candidates is None else candidates:
            if candidate.unsupported:
                summary.skipped.append(Exclusion(candidate.title, candidate.unsupported))
                continue
            try:
                jobs.append(_Job(candidate, self._stored_or_new(candidate)))
            except GMIError as error:
                summary.failed.append(Exclusion(candidate.title, str(error)))
        return jobs

    def _run_pass(self, job: _Job, prompts: Sequence[Prompt], summary: BuildSummary) -> None:
        missing = job.missing(prompts)
        if not missing:
            return
        if self.host.interrupted():
            summary.cancelled = True
            return
        try:
            with self.host.session(job.candidate) as session:
                for prompt in missing:
                    if job.specification.suspect:
                        break
                    if not self._sample(job, session, prompt, summary):
                        summary.cancelled = True
                        return
        except LibraryError:
            raise  # nothing can be stored any more
        except GMIError as error:
            job.failed = str(error)

    def _sample(self, job: _Job, session: Session, prompt: Prompt, summary: BuildSummary) -> bool:
        """Generate, check, encode and store one sample; false if the user interrupted it."""
        settings = job.specification.settings
        rendering = self.prompt_set.render(prompt, settings.dialect)
        seed = BASE_SEED + self.prompt_set.ids.index(prompt.id)
        request = GenerationRequest(prompt.id, rendering.text, settings.negative, seed)
        try:
            image = to_rgb(session.generate(request, settings), prompt.id)
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
        image = through_codec(image, settings.codec)
        reason = broken_reason(image)
        if reason is None:
            rows = self._row(job.specification, prompt, seed, self.encoder.encode_images([image]))
            summary.samples += 1
        else:
            rejected = (Rejection(prompt.id, seed, reason),)
            rows = replace(self._empty(job.specification), rejected=rejected, updated=time.time())
        job.specification = self.library.extend(rows)
        self._finished += 1
        self.progress.update(self._finished, self._total, self._message(job, prompt))
        return True

    def _stored_or_new(self, candidate: Candidate) -> Specification:
        new = Specification(
            candidate=CandidateRef.of(candidate),
            encoder_id=self.encoder.id,
            features=np.zeros((0, self.encoder.dim), dtype=np.float32),
            prompt_ids=(),
            seeds=(),
            prompt_set=PromptSetRef(
                self.prompt_set.name,
                self.prompt_set.version,
                self.prompt_set.hash,
                len(self.prompt_set),
            ),
            settings=self._settings(candidate),
        )
        stored = self.library.get(new.key)
        return self._with_embeddings(new) if stored is None else self._refreshed(stored, new)

    def _settings(self, candidate: Candidate) -> GenerationSettings:
        """The host's settings, with the negative prompt that its dialect brings."""
        settings = self.host.default_settings(candidate)
        dialect = self.prompt_set.dialects.get(settings.dialect)
        if settings.negative or dialect is None:
            return settings
        return replace(settings, negative=dialect.negative)

    def _refreshed(self, stored: Specification, new: Specification) -> Specification:
        """What is stored, with today's title and with prompt embeddings if it lacked them."""

        def refresh(current: Specification | None) -> Specification:
            refreshed = replace(current or stored, candidate=new.candidate)
            if refreshed.text_encoder_id is None:
                refreshed = self._with_embeddings(refreshed)
            return refreshed

        lacks_text = stored.text_encoder_id is None and self._embeddings is not None
        if stored.candidate == new.candidate and not lacks_text:
            return stored
        return self.library.update(stored.key, refresh)

    def _row(
        self, like: Specification, prompt: Prompt, seed: int, features: FloatArray
    ) -> Specification:
        row = replace(
            like,
            features=features,
            prompt_ids=(prompt.id,),
            seeds=(seed,),
            text_encoder_id=None,
            prompt_embeddings=None,
            rejected=(),
            updated=time.time(),
        )
        return self._with_embeddings(row)

    def _empty(self, like: Specification) -> Specification:
        embeddings = like.prompt_embeddings
        return replace(
            like,
            features=like.features[:0],
            prompt_ids=(),
            seeds=(),
            prompt_embeddings=None if embeddings is None else embeddings[:0],
            rejected=(),
        )

    def _with_embeddings(self, specification: Specification) -> Specification:
        if self._embeddings is None or self.text_encoder is None:
            return specification
        if not all(prompt_id in self._embeddings for prompt_id in specification.prompt_ids):
            return specification
        rows = [self._embeddings[prompt_id] for prompt_id in specification.prompt_ids]
        return replace(
            specification,
            text_encoder_id=self.text_encoder.id,
            prompt_embeddings=np.reshape(rows, (len(rows), self.text_encoder.text_dim)),
        )

    def _message(self, job: _Job, prompt: Prompt) -> str:
        spent = time.monotonic() - self._started
        left = spent / max(self._finished, 1) * max(self._total - self._finished, 0)
        return f"{job.candidate.title} · {prompt.id} · {format_duration(left)} left"

    def _conclude(
        self, jobs: Sequence[_Job], prompts: Sequence[Prompt], summary: BuildSummary
    ) -> None:
        for job in jobs:
            title = job.candidate.title
            if job.failed is not None:
                summary.failed.append(Exclusion(title, job.failed))
            elif job.specification.suspect:
                summary.suspect.append(Exclusion(title, job.specification.suspect))
            elif job.missing(prompts):
                summary.partial.append(title)
            else:
                summary.complete.append(title)


_embedded: dict[tuple[str, str], dict[str, FloatArray]] = {}


def embed_prompts(
    prompt_set: PromptSet, text_encoder: TextEncoder | None
) -> dict[str, FloatArray] | None:
    """Embeddings of a prompt set by prompt id; computed once a process."""
    if text_encoder is None:
        return None
    key = (prompt_set.hash, text_encoder.id)
    if key not in _embedded:
        rows = text_encoder.encode_texts([prompt.text for prompt in prompt_set.prompts])
        _embedded[key] = dict(zip(prompt_set.ids, rows, strict=True))
    return _embedded[key]


def format_duration(seconds: float) -> str:
    """A duration as people say it: ``about 40 s``, ``about 3 min``, ``about 2 h 10 min``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} min"
    return f"about {minutes // 60} h {minutes % 60:02d} min"
