"""What is known of a build: what faces show, what is left to do, and what a file keeps of it.

None of these locks anything: a build asks them under its own lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.json_file import JsonFile
from ..records.protocols import RECIPE, Exclusion
from .jobs import Job
from .pace import Pace

if TYPE_CHECKING:
    from .states import CheckpointState

IDLE, RUNNING, PAUSED = "idle", "running", "paused"
UNDER_WAY = "A build was under way when the program was closed. Resume to go on."


@dataclass
class BuildState:
    """What faces show of a build.

    Attributes:
        state: idle, running or paused.
        done: samples of ``total`` that are stored.
        total: samples that were missing when the build was asked for.
        limit: prompts for each checkpoint; ``None`` for all.
        name: of the checkpoint that is being worked on.
        title: of it.
        prompt: of its newest sample.
        sample: folder and file of its newest sample.
        pass_done: samples it has.
        pass_of: samples it shall have after this job.
        seconds_left: an estimate, or ``None``.
        message: one sentence for people, or empty.
        problems: checkpoints that failed, and why.
        failed: whether it has ended, and every checkpoint failed.
    """

    state: str = IDLE
    done: int = 0
    total: int = 0
    limit: int | None = None
    name: str | None = None
    title: str | None = None
    prompt: str | None = None
    sample: tuple[str, str] | None = None
    pass_done: int = 0
    pass_of: int = 0
    seconds_left: float | None = None
    message: str = ""
    problems: list[Exclusion] = field(default_factory=list)
    failed: bool = False


def outcome(state: BuildState) -> BuildState:
    """What is left of a build that has ended."""
    problems, done = state.problems, state.done
    failed = bool(problems) and done == 0
    message = "Done." if not problems else f"Done, but for {len(problems)}."
    if failed:
        count = "the checkpoint" if len(problems) == 1 else f"all {len(problems)} checkpoints"
        message = f"Nothing was built: {count} failed."
    return BuildState(done=done, total=done, message=message, problems=problems, failed=failed)


def samples_missing(state: CheckpointState, prompts: int, limit: int | None) -> int:
    """How many samples a checkpoint lacks of the first ``limit`` of so many prompts."""
    if state.state in ("unsupported", "suspect"):
        return 0
    if state.candidate.identity.startswith(RECIPE):
        return 0  # only its workflow can generate with it
    entry = state.entry
    wanted = prompts if limit is None else min(limit, prompts)
    if entry is None:
        return wanted
    # a broken sample is made up for by the next prompt, as long as there is one
    return max(min(wanted - entry.samples, prompts - entry.finished), 0)


def passes_up_to(wanted: int, passes: Sequence[int]) -> list[int]:
    """After how many prompts each pass of a build ends; the last ends after ``wanted``."""
    return [*(size for size in passes if size < wanted), wanted]


class Remaining:
    """What a build lacks, and how long that takes.

    Args:
        pace: seconds per sample that were learned before.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._lacking: dict[str, int] = {}
        self._architectures: dict[str, str] = {}

    @property
    def samples(self) -> int:
        """How many samples are lacking in all."""
        return sum(self._lacking.values())

    def count(self, lacking: Mapping[str, int], architectures: Mapping[str, str]) -> None:
        """Set what is lacking, when a build starts or resumes.

        Args:
            lacking: samples, by a checkpoint's name.
            architectures: of the checkpoints, by name.
        """
        self._lacking = {name: lacks for name, lacks in lacking.items() if lacks}
        self._architectures = dict(architectures)

    def set(self, name: str, lacks: int) -> None:
        """Correct a checkpoint that got samples in some other way than by this build."""
        self._lacking[name] = lacks

    def sampled(self, name: str, architecture: str, seconds: float, first: bool) -> None:
        """Count one sample as made; see :meth:`.Pace.note` for the arguments."""
        self.pace.note(architecture, seconds, first)
        self._lacking[name] = max(self._lacking.get(name, 0) - 1, 0)

    def give_up(self, name: str) -> None:
        """Expect no more samples of a checkpoint, for instance because it failed."""
        self._lacking.pop(name, None)

    def seconds(self, jobs: Iterable[Job]) -> float | None:
        """Seconds that the lacking samples take, with a load for each job; ``None`` if unknown."""
        pace, of = self.pace, self._architectures
        if pace.sample() is None:
            return None
        sampling = sum(n * (pace.sample(of.get(name)) or 0) for name, n in self._lacking.items())
        return sampling + sum(pace.load(of.get(job.name)) for job in jobs)


@dataclass(frozen=True)
class StoredBuild:
    """What a file keeps of a build, so that a host that is restarted can go on.

    Attributes:
        wanted: whether there is a build.
        names: of its checkpoints; ``None`` for all.
        limit: prompts for each checkpoint; ``None`` for all.
        total: samples that were missing when it was asked for.
        pace: of this machine, which outlives a build.
    """

    wanted: bool = False
    names: list[str] | None = None
    limit: int | None = None
    total: int = 0
    pace: Pace = field(default_factory=Pace)

    def to_json(self) -> dict[str, Any]:
        """What a file keeps of it."""
        return {
            "wanted": self.wanted,
            "names": self.names,
            "limit": self.limit,
            "total": self.total,
            **self.pace.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StoredBuild:
        """What :meth:`to_json` gave.

        Raises:
            Exception: one of :data:`..base.json_file.DAMAGED`: the data are something else.
        """
        return cls(
            wanted=bool(data["wanted"]),
            names=None if data["names"] is None else [str(name) for name in data["names"]],
            limit=None if data["limit"] is None else int(data["limit"]),
            total=max(int(data.get("total", 0)), 0),
            pace=Pace.from_json(data),
        )


def build_file(home: Path) -> JsonFile[StoredBuild]:
    """Where a program keeps its build, in the user's folder."""
    return JsonFile(
        home / "build.json", StoredBuild.from_json, StoredBuild, StoredBuild.to_json, indent=1
    )
