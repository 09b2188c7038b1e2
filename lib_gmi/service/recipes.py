"""Candidates that are no file: whatever a workflow can generate with.

A *recipe* is a name that the user gives to a workflow: a UNet with its own text encoders, a stack
of LoRAs, a refiner. Its specification grows by one image each time that the workflow runs; the
workflow is kept with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..base.errors import HostError
from ..checkpoints.presets import CODEC
from ..records.protocols import RECIPE, Candidate, GenerationSettings
from ..records.specification_file import storable
from ..submitting.recorder import BASE_SEED

if TYPE_CHECKING:
    from PIL import Image

    from ..library.entries import Entry
    from ..records.prompts import Prompt
    from ..records.specification import Specification
    from .service import Service

#: A workflow larger than this is not kept; nothing else depends on it.
MAX_GRAPH = 256 * 1024
MAX_NAME = 100


@dataclass(frozen=True)
class SpecificationPrompt:
    """One prompt that a recipe shall generate: what the two nodes hand to each other.

    Attributes:
        recipe: its name.
        prompt: which.
        text: its wording in the recipe's dialect.
        negative: the dialect's.
        seed: that every candidate uses for this prompt.
        dialect: of the wording.
    """

    recipe: str
    prompt: Prompt
    text: str
    negative: str
    seed: int
    dialect: str


@dataclass(frozen=True)
class Workflow:
    """What generates a recipe's images.

    Attributes:
        graph: JSON-ready, as the host runs it. Kept as provenance.
        fingerprint: the same for all of a recipe's prompts, another for another workflow.
    """

    graph: Mapping[str, Any]
    fingerprint: str


def next_prompt(
    service: Service, recipe: str, dialect: str, prompt_id: str | None = None
) -> SpecificationPrompt:
    """The prompt that a recipe lacks next; the first one once it has all.

    Args:
        service: of the host.
        recipe: its name.
        dialect: how its checkpoint expects to be spoken to.
        prompt_id: ask for this prompt instead.

    Raises:
        HostError: the name is empty or too long.
        PromptSetError: unknown prompt or dialect.
    """
    name = _checked(recipe)
    prompt_set = service.prompt_set
    if prompt_id is None:
        entry = find(service, name)
        have = set() if entry is None else entry.done
        missing = [p for p in prompt_set.prompts if p.id not in have]
        prompt = (missing or prompt_set.prompts)[0]
    else:
        prompt = prompt_set.get(prompt_id)
    rendering = prompt_set.render(prompt, dialect)
    seed = BASE_SEED + prompt_set.ids.index(prompt.id)
    return SpecificationPrompt(name, prompt, rendering.text, rendering.negative, seed, dialect)


def find(service: Service, recipe: str) -> Entry | None:
    """What the library has of a recipe."""
    entries = service.states.entries(RECIPE + _checked(recipe))
    return entries[0] if entries else None


def add(
    service: Service,
    wanted: SpecificationPrompt,
    image: Image.Image,
    workflow: Workflow,
    start_over: bool = False,
) -> Specification:
    """Add one image to a recipe's specification.

    Args:
        service: of the host.
        wanted: what the image was generated of.
        image: RGB.
        workflow: that generated it.
        start_over: if the recipe was built by another workflow, remove that specification.

    Raises:
        HostError: the recipe was built by another workflow or in another dialect.
        LibraryError: it cannot be stored.
    """
    entry = find(service, wanted.recipe)
    if entry is not None and not _same(entry, workflow, wanted.dialect):
        if not start_over:
            raise HostError(
                f"'{wanted.recipe}' was built by another workflow or in another dialect. Give this "
                "one another name, or switch on 'start over' to replace what there is."
            )
        service.remove([entry.identity])
    candidate = Candidate(wanted.recipe, RECIPE + wanted.recipe, RECIPE + wanted.recipe)
    settings = GenerationSettings(
        dialect=wanted.dialect, codec=CODEC, extra={"workflow": workflow.fingerprint}
    )
    good = storable(workflow.graph) and len(json.dumps(workflow.graph)) <= MAX_GRAPH
    kept = workflow.graph if good else {}
    recorder = service.samples.recorder()
    specification = recorder.begin(recorder.empty(candidate, settings, {"workflow": dict(kept)}))
    specification = recorder.add(specification, wanted.prompt, image)
    if len(specification) in service.prompt_set.passes():
        service.snapshots.advance_soon()
    return specification


def graph(service: Service, recipe: str) -> Mapping[str, Any] | None:
    """The workflow that a recipe was built by, or ``None``."""
    entry = find(service, recipe.removeprefix(RECIPE))
    found = None if entry is None else entry.provenance.get("workflow")
    return found or None


def _same(entry: Entry, workflow: Workflow, dialect: str) -> bool:
    settings = entry.settings
    return (settings.extra.get("workflow"), settings.dialect) == (workflow.fingerprint, dialect)


def _checked(recipe: str) -> str:
    name = " ".join(recipe.split())
    if not name or len(name) > MAX_NAME:
        raise HostError(f"Give the recipe a name of 1 to {MAX_NAME} characters.")
    return name
