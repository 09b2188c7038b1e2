"""Routes of builds, and of harvests: specifications of images that exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base.errors import RequestError
from ..service.filters import Filter
from ..service.harvests import harvest_json
from ..submitting.survey import Rules
from . import fields
from .handlers import Handlers
from .route import Json, route
from .rows import build_json

#: Which candidates, by their names.
PATTERN = (
    "only these names: `*` is a wildcard, commas separate, a folder ends in `/`, a leading `!` "
    "takes away"
)
_BUILD = (
    "The build: `state` (idle, running or paused), `done` of `total` images, `current`, "
    "`seconds_left`, `message`, `failed`, `problems`."
)


def samples(description: str) -> fields.Field:
    """How many samples of each checkpoint: at most as many as there are prompts."""

    def take(value: Any, key: str, handlers: Handlers) -> Any:
        prompts = len(handlers.service.prompt_set)
        return fields.whole(1, prompts).take(value, key, handlers)

    schema = {"type": "integer", "minimum": 1, "nullable": True, "description": description}
    return fields.Field(schema, take)


LIMIT = samples("images of each checkpoint, for instance 4; null for all prompts")

_HARVEST = (
    "The harvest: `state` (idle, looking, ready or gathering), `files` looked at, `crops` (for "
    "each checkpoint `images`, and how many are `missing`), `left_out`, `foreign`, `built`."
)
_RULES = {
    "lossy": fields.flag("take JPEGs as well"),
    "networks": fields.number(
        0, 100, Rules().networks, "the most that weights of LoRAs may add up to"
    ),
    "allowed": fields.texts(
        "a list of processes",
        20,
        description="what may have shaped an image besides, for instance `hires`",
    ),
}


class Building(Handlers):
    """See the module's docstring."""

    @route("GET build", "The build as it is now", _BUILD)
    def build(self) -> Json:
        """How far the build is."""
        return build_json(self.builds.state(), self.builds.waiting_for())

    @route(
        "POST build",
        "Build specifications",
        _BUILD,
        pattern=fields.text("in place of names; see `rank`"),
        names=fields.names("null for all", nullable=True),
        limit=LIMIT,
    )
    def start_build(self, pattern: str, names: Sequence[str] | None, limit: int | None) -> Json:
        """Generates the images that are missing, one after the other, behind what people do."""
        if names is None and pattern.strip():
            wanted = Filter(pattern=pattern)
            names = [c.name for c in self.service.candidates.checkpoints() if wanted(c)]
            if not names:
                raise RequestError(f"No installed checkpoint is called '{pattern}'.")
        return build_json(self.builds.start(names, limit))

    @route("POST build/pause", "Pause the build", _BUILD)
    def pause_build(self) -> Json:
        """Stops after the image that is being generated."""
        return build_json(self.builds.pause())

    @route("POST build/resume", "Resume the build", _BUILD)
    def resume_build(self) -> Json:
        """Goes on where it was paused."""
        return build_json(self.builds.resume())

    @route("POST build/cancel", "Cancel the build", _BUILD)
    def cancel_build(self) -> Json:
        """Stops at once; every finished image is kept."""
        return build_json(self.builds.cancel())

    @route(
        "POST rebuild",
        "Build specifications anew",
        _BUILD,
        names=fields.names("of checkpoints"),
        limit=LIMIT,
    )
    def rebuild(self, names: Sequence[str], limit: int | None) -> Json:
        """Takes specifications out of the library and generates their images again."""
        chosen = self.service.candidates.all_installed(names)
        self.service.remove([candidate.identity for candidate in chosen])
        return build_json(self.builds.start(names, limit))

    @route("GET harvest", "The harvest as it is now", _HARVEST)
    def harvest(self) -> Json:
        """What the images in the program's folders say about how they were made, and how far a
        harvest is."""
        return harvest_json(self.harvests.state())

    @route(
        "POST harvest/look",
        "Look at images that exist",
        _HARVEST,
        **_RULES,
        once=fields.mark("only if nobody has looked yet"),
    )
    def look_at_images(self, once: bool, **rules: Any) -> Json:
        """Reads what the images in the program's own folders say about how they were made."""
        if once:  # what a page asks for by itself, while there is no specification
            return harvest_json(self.harvests.look_once())
        return harvest_json(self.harvests.look(_rules(**rules)))

    @route(
        "POST harvest/start",
        "Use images that exist",
        _HARVEST,
        **_RULES,
        names=fields.names("null for all", nullable=True),
        rest=samples("build the others, so many images of each"),
    )
    def start_harvest(self, names: Sequence[str] | None, rest: int | None, **rules: Any) -> Json:
        """Looks, and builds specifications of checkpoints that have enough images."""
        if names is not None:
            self.service.candidates.all_installed(names)
        others = [] if rest is None else self._without_enough_images()
        answer = harvest_json(self.harvests.start(names, _rules(**rules)))
        if others:
            self.builds.start(others, rest)
        return answer

    def _without_enough_images(self) -> list[str]:
        """Names of checkpoints whose images are too few, by the last look."""
        survey = self.harvests.state().survey
        if survey is None:
            raise RequestError("Nobody has looked at the images yet.")
        enough = {crop.candidate.identity for crop in survey.enough}
        installed = self.service.candidates.checkpoints()
        return [c.name for c in installed if c.identity not in enough and not c.unsupported]

    @route("POST harvest/cancel", "Stop the harvest", _HARVEST)
    def cancel_harvest(self) -> Json:
        """What is stored already is kept."""
        return harvest_json(self.harvests.cancel())


def _rules(lossy: bool, networks: float, allowed: Sequence[str]) -> Rules:
    return Rules(lossy=lossy, networks=float(networks), allowed=frozenset(allowed))
