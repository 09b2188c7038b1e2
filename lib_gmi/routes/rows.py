"""What routes and events show of checkpoints, rankings and builds, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..records.protocols import RECIPE
from ..service.build_state import RUNNING, BuildState
from ..service.builds import Builds
from ..service.service import Service
from ..service.states import CheckpointState
from .route import PREFIX

if TYPE_CHECKING:
    from ..ranking.results import RankedCandidate
    from ..records.protocols import Candidate, GenerationSettings

_PREVIEWS = 4


def checkpoint_row(
    service: Service, builds: Builds, state: CheckpointState, group: int | None = None
) -> dict[str, Any]:
    """A checkpoint or recipe as the library lists it.

    Args:
        service: of the host.
        builds: of the host.
        state: of the candidate.
        group: number of the near-duplicates that it belongs to.
    """
    candidate, shown, preset = state.candidate, state.shown, state.preset
    passes = service.prompt_set.passes()
    return {
        **_named(candidate),
        "acceleration": None if preset is None else preset.acceleration,
        "family": None if preset is None else preset.family,
        "size": candidate.size,
        "state": state.state,
        "reason": state.reason,
        "samples": state.samples,
        "of": len(service.prompt_set),
        "stored": state.stored,
        "missing": {str(size): builds.missing(state, size) for size in passes},
        "built": None if shown is None else shown.updated,
        "settings": None if state.settings is None else settings_json(state.settings),
        "because": [] if preset is None else list(preset.because),
        "edited": state.edited,
        "harvested": 0 if state.harvest is None else state.harvest.samples,
        "previews": list(islice(_pictures(service, state), _PREVIEWS)),
        "group": group,
        "favourite": candidate.name in service.favourites.names(),
    }


def ranked_row(service: Service, row: RankedCandidate, state: CheckpointState) -> dict[str, Any]:
    """A place in a ranking, with samples that show why."""
    prompts = {prompt.id: prompt.text for prompt in service.prompt_set.prompts}
    for entry in state.pictured:
        prompts.update(entry.texts)
    return {
        "rank": row.rank,
        **_named(state.candidate),
        "installed": True,
        "score": row.score,
        "probability": row.probability,
        "margin": row.margin,
        "weighted_rkme": row.weighted_rkme,
        "samples": row.samples,
        "of_samples": row.of_samples,
        "group": row.group,
        "evidence": [
            {
                "prompt_id": prompt_id,
                "prompt": prompts.get(prompt_id, prompt_id),
                "image": next(_pictures(service, state, prompt_id), None),
            }
            for prompt_id in row.evidence
        ],
    }


def build_json(state: BuildState, waiting: str | None = None) -> dict[str, Any]:
    """A build; ``waiting`` says why one that is running does nothing."""
    current = None
    if state.name is not None:
        current = {
            "name": state.name,
            "title": state.title,
            "prompt": state.prompt,
            "done": state.pass_done,
            "of": state.pass_of,
        }
    return {
        "state": state.state,
        "done": state.done,
        "total": state.total,
        "limit": state.limit,
        "current": current,
        "preview": None if state.sample is None else sample_url(Path(*state.sample)),
        "seconds_left": state.seconds_left,
        "message": state.message,
        "failed": state.failed,
        "waiting": waiting if state.state == RUNNING else None,
        "problems": [vars(problem) for problem in state.problems],
    }


def settings_json(settings: GenerationSettings) -> dict[str, Any]:
    """The settings that people may change."""
    shown = ("width", "height", "steps", "cfg", "sampler", "scheduler", "clip_skip", "vae")
    return {
        **{key: getattr(settings, key) for key in shown},
        "dialect": settings.dialect,
        "prefix": settings.extra.get("prefix", ""),
        "negative": settings.negative,
    }


def sample_url(file: str | Path) -> str:
    """The address of a sample, by its file."""
    path = Path(file)
    return f"{PREFIX}/samples/{path.parent.name}/{path.name}"


def _named(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "title": candidate.title,
        "kind": "recipe" if candidate.identity.startswith(RECIPE) else "checkpoint",
        "architecture": candidate.architecture,
    }


def _pictures(
    service: Service, state: CheckpointState, prompt_id: str | None = None
) -> Iterator[str]:
    """Addresses of samples: of a prompt, or of the first few of each specification."""
    for entry in state.pictured:
        few = entry.described["prompt_ids"][:_PREVIEWS] if prompt_id is None else [prompt_id]
        for each in few:
            path = service.samples.sample(entry, each)
            if path is not None:
                yield sample_url(path)
