"""The nodes that build: a button, jobs of our own, and prompts for the user's own workflows."""

from __future__ import annotations

from typing import Any

from ..base.errors import HostError
from ..records.prompts import default_prompt_set
from ..service import recipes
from ..service.jobs import Job
from .answer import pictures
from .graphs import behind
from .inputs import CATEGORY, HIDDEN, entry
from .queue import check_title
from .runtime import runtime

NEXT_MISSING = "next missing"
#: How many prompts people may build.
PASSES = ("4 (quick)", "8", "16", "all")


class BuildSpecifications:
    """A place in a workflow to start builds from. Executing it starts nothing."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Builds specifications of your checkpoints when you press its button, and only then. The "
        "work is queued behind everything else: you can go on working meanwhile."
    )
    RETURN_TYPES = ()
    FUNCTION = "describe"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "pattern": entry(
                    "STRING",
                    "Only checkpoints with such names are built. Wildcards work, and commas "
                    "separate.",
                    default="*",
                ),
                "prompts": entry(
                    list(PASSES),
                    "How many images of each checkpoint to generate. Four are enough to begin "
                    "with, sixteen are good.",
                    default=PASSES[0],
                ),
            }
        }

    def describe(self, pattern: str, prompts: str) -> dict[str, Any]:
        return {"ui": {"text": ["Nothing was started: press Build now on the node."]}}


class _Job:
    """What the nodes have in common that only we queue."""

    CATEGORY = f"{CATEGORY}/internal"
    # Front ends hide both kinds from their menus, where such a node must not be; older ones know
    # only the second.
    DEV_ONLY = True
    DEPRECATED = True
    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True

    @classmethod
    def IS_CHANGED(cls, **inputs: Any) -> float:  # noqa: N802
        return float("nan")


class BuildPass(_Job):
    """One job of a build. Only ever queued by a build itself."""

    DESCRIPTION = "One job of a build. The sidebar queues these; it is of no use in a workflow."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "checkpoint": entry("STRING", "The name of the checkpoint to build."),
                "samples": entry("INT", "How many samples it shall have.", default=4, min=1),
            }
        }

    def run(self, checkpoint: str, samples: int) -> dict[str, Any]:
        import comfy.model_management as memory

        queue, builds, job = runtime().queue, runtime().builds, Job(checkpoint, samples)
        queue.tidy()
        if (reason := queue.begin()) is not None:
            return _told(queue.job_title(job), reason)
        try:
            known = builds.state().problems
            state = builds.run(job)
        finally:
            queue.end()
            runtime().rest()
        memory.throw_exception_if_processing_interrupted()
        # a job counts as failed where queues show what failed, and says why
        for problem in (row for row in state.problems if row not in known):
            named = problem.reason.startswith(problem.title)
            raise HostError(problem.reason if named else f"{problem.title}: {problem.reason}")
        return _told(
            queue.job_title(job), state.message or f"{state.done} of {state.total} samples"
        )


class SpotCheck(_Job):
    """The images of one spot check. Only ever queued by the sidebar."""

    DESCRIPTION = (
        "Generates three images of a checkpoint and compares them with what a pack says of it. "
        "The sidebar queues these; it is of no use in a workflow."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"checkpoint": entry("STRING", "The name of the checkpoint to check.")}}

    def run(self, checkpoint: str) -> dict[str, Any]:
        runtime().queue.tidy()
        runtime().api.checks.run(checkpoint)
        outcome = runtime().api.checks.outcomes()[checkpoint]
        sentence = outcome["sentence"] or "The images are being compared."
        return _told(check_title(checkpoint), sentence)


class SpecificationPrompt:
    """One prompt of the prompt set for a workflow of the user's own."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Hands out one prompt at a time for a workflow of your own: a UNet with its own text "
        "encoders, a stack of LoRAs, a refiner. Wire the image that comes out into Add to "
        "Specification, and queue the workflow as often as there are prompts you want."
    )
    RETURN_TYPES = ("STRING", "STRING", "INT", "GMI_PROMPT")
    RETURN_NAMES = ("prompt", "negative", "seed", "specification_prompt")
    OUTPUT_TOOLTIPS = (
        "The prompt to generate, in the dialect you chose.",
        "A negative prompt that suits the dialect.",
        "The seed that every checkpoint uses for this prompt.",
        "Which prompt of which recipe this is, for Add to Specification.",
    )
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        prompt_set = default_prompt_set()
        return {
            "required": {
                "recipe": entry(
                    "STRING",
                    "The name under which this workflow appears in rankings.",
                    default="my workflow",
                ),
                "dialect": entry(
                    list(prompt_set.dialects),
                    "How the checkpoint expects to be spoken to: sentences, booru tags, or Pony's "
                    "tags with scores.",
                ),
                "prompt": entry(
                    [NEXT_MISSING, *prompt_set.ids],
                    "Which prompt to generate; 'next missing' goes on with the first that the "
                    "recipe lacks.",
                    default=NEXT_MISSING,
                ),
            }
        }

    @classmethod
    def IS_CHANGED(cls, **inputs: Any) -> str | float:  # noqa: N802
        prompt, recipe = inputs.get("prompt"), inputs.get("recipe")
        if prompt is None or recipe is None:
            return float("nan")  # wired, so not known yet
        if prompt != NEXT_MISSING:
            return "fixed"
        entry = recipes.find(runtime().service, str(recipe))
        return "" if entry is None else " ".join(sorted(entry.done))

    def choose(self, recipe: str, dialect: str, prompt: str) -> tuple[str, str, int, Any]:
        chosen = None if prompt == NEXT_MISSING else prompt
        wanted = recipes.next_prompt(runtime().service, recipe, dialect, chosen)
        return wanted.text, wanted.negative, wanted.seed, wanted


class AddToSpecification:
    """One image of a workflow of the user's own → its recipe's specification."""

    CATEGORY = CATEGORY
    DESCRIPTION = (
        "Adds an image to the specification of your workflow, so that the workflow takes part in "
        "rankings like a checkpoint. The workflow itself is kept with it."
    )
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("report",)
    OUTPUT_TOOLTIPS = ("How many prompts the recipe has now.",)
    FUNCTION = "add"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "image": entry(
                    "IMAGE", "What your workflow made of the prompt; of a batch, the first."
                ),
                "specification_prompt": entry(
                    "GMI_PROMPT", "The output of the same name of Specification Prompt."
                ),
                "start_over": entry(
                    "BOOLEAN",
                    "If the recipe was built by another workflow before, put that specification "
                    "aside and begin a new one.",
                    default=False,
                ),
            },
            "hidden": dict(HIDDEN),
        }

    def add(
        self,
        image: Any,
        specification_prompt: Any,
        start_over: bool,
        graph: dict[str, Any] | None = None,
        node_id: str = "",
    ) -> dict[str, Any]:
        service = runtime().service
        workflow = behind(graph or {}, node_id, "image", "GMI_SpecificationPrompt")
        picture = pictures(image)[0]
        added = recipes.add(service, specification_prompt, picture, workflow, start_over)
        samples, of = len(added), added.prompt_set.size
        message = f"{added.candidate.title} has {samples} of {of} prompts."
        broken = {r.prompt_id: r.reason for r in added.rejected}
        if specification_prompt.prompt.id in broken:
            reason = broken[specification_prompt.prompt.id]
            message += f" This image is broken ({reason}) and was left out."
        if added.suspect:
            message += f" It is suspect: {added.suspect}."
        row = {"title": added.candidate.title, "samples": samples, "of": of, "message": message}
        return {"ui": {"gmi_recipe": [row]}, "result": (message,)}


def _told(title: str, sentence: str) -> dict[str, Any]:
    """What a job leaves behind: queue panels call it by the name of what it made."""
    return {"ui": {"text": [{"filename": title, "content": sentence}]}}
