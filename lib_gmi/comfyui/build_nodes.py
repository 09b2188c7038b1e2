"""The nodes that build: a button, jobs of our own, and prompts for the user's own workflows."""

from __future__ import annotations

from typing import Any

from ..base.errors import HostError
from ..hosts.comfyui import tensor_to_images
from ..records.prompts import default_prompt_set
from ..service import recipes
from ..service.jobs import Job
from .graphs import behind
from .inputs import HIDDEN, Inputs, Node
from .queue import CHECK_CLASS, NODE_CLASS, check_title
from .runtime import runtime

NEXT_MISSING = "next missing"
#: How many prompts people may build.
PASSES = ("4 (quick)", "8", "16", "all")


class BuildSpecifications(Node, id="GMI_BuildSpecifications"):
    """A place in a workflow to start builds from. Executing it starts nothing."""

    FUNCTION = "describe"
    OUTPUT_NODE = True

    @classmethod
    def required(cls) -> Inputs:
        return {
            "pattern": ("STRING", {"default": "*"}),
            "prompts": (list(PASSES), {"default": PASSES[0]}),
        }

    def describe(self, pattern: str, prompts: str) -> dict[str, Any]:
        return {"ui": {"text": ["Nothing was started: press Build now on the node."]}}


class _Job(Node):
    """What the nodes have in common that only we queue."""

    CATEGORY = f"{Node.CATEGORY}/internal"
    # Front ends hide both kinds from their menus, where such a node must not be; older ones know
    # only the second.
    DEV_ONLY = True
    DEPRECATED = True
    FUNCTION = "run"
    OUTPUT_NODE = True

    @classmethod
    def IS_CHANGED(cls, **inputs: Any) -> float:  # noqa: N802
        return float("nan")


class BuildPass(_Job, id=NODE_CLASS):
    """One job of a build. Only ever queued by a build itself."""

    @classmethod
    def required(cls) -> Inputs:
        return {"checkpoint": ("STRING", {}), "samples": ("INT", {"default": 4, "min": 1})}

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


class SpotCheck(_Job, id=CHECK_CLASS):
    """The images of one spot check. Only ever queued by the sidebar."""

    @classmethod
    def required(cls) -> Inputs:
        return {"checkpoint": ("STRING", {})}

    def run(self, checkpoint: str) -> dict[str, Any]:
        runtime().queue.tidy()
        runtime().api.checks.run(checkpoint)
        outcome = runtime().api.checks.outcomes()[checkpoint]
        sentence = outcome["sentence"] or "The images are being compared."
        return _told(check_title(checkpoint), sentence)


class SpecificationPrompt(Node, id="GMI_SpecificationPrompt"):
    """One prompt of the prompt set for a workflow of the user's own."""

    RETURN_TYPES = ("STRING", "STRING", "INT", "GMI_PROMPT")
    RETURN_NAMES = ("prompt", "negative", "seed", "specification_prompt")
    FUNCTION = "choose"

    @classmethod
    def required(cls) -> Inputs:
        prompt_set = default_prompt_set()
        return {
            "recipe": ("STRING", {"default": "my workflow"}),
            "dialect": (list(prompt_set.dialects), {}),
            "prompt": ([NEXT_MISSING, *prompt_set.ids], {"default": NEXT_MISSING}),
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


class AddToSpecification(Node, id="GMI_AddToSpecification"):
    """One image of a workflow of the user's own → its recipe's specification."""

    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("report",)
    HIDDEN = HIDDEN
    FUNCTION = "add"
    OUTPUT_NODE = True

    @classmethod
    def required(cls) -> Inputs:
        return {
            "image": ("IMAGE", {}),
            "specification_prompt": ("GMI_PROMPT", {}),
            "start_over": ("BOOLEAN", {"default": False}),
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
        picture = tensor_to_images(image)[0]
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
