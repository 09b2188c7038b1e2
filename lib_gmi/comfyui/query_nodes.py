"""The nodes that rank. Bodies are thin: ComfyUI's values in, calls of the service, values out."""

from __future__ import annotations

import hashlib
from typing import Any

from ..base.errors import RankingError
from ..service.answers import RANKERS
from .answer import Answer, find, pictures
from .inputs import (
    CATEGORY,
    CHECKPOINT,
    HIDDEN,
    checkpoint_or,
    entry,
    filters,
)
from .runtime import runtime

STOP = "(none: stop with an error)"


def _query_inputs() -> dict[str, Any]:
    """The inputs that Find Best Model and its kin share, in the order they are shown."""
    return {
        "image": entry(
            "IMAGE",
            "The image you like. Several in a batch count as examples of the same wish, which "
            "makes the answer much surer.",
        ),
        "prompt": entry(
            "STRING",
            "A description of the image, if you have one. It can stay empty.",
            default="",
            multiline=True,
        ),
        "top_k": entry("INT", "How many checkpoints the ranking lists.", default=5, min=1, max=100),
        "method": entry(
            list(RANKERS),
            "How checkpoints are scored. Auto takes the method that works best on your own "
            "library.",
            default="auto",
        ),
        **filters("are ranked"),
        "lock_answer": entry(
            "BOOLEAN",
            "Keep the answer of the next run in the workflow, so that everybody who opens it gets "
            "the same result.",
            default=False,
        ),
        "locked_answer": entry(
            "STRING",
            "The answer that was kept. While it is set and the answer is locked, nothing is "
            "ranked.",
            default="",
        ),
    }


class RankingNode:
    """What the nodes that rank have in common."""

    CATEGORY = CATEGORY

    @classmethod
    def IS_CHANGED(cls, **inputs: Any) -> str:  # noqa: N802  ComfyUI's name
        """Follows the snapshot that answers and what is installed; ComfyUI adds the inputs.

        It must not follow each new sample: whatever hangs on the answer would be loaded again.
        """
        if inputs.get("lock_answer") and inputs.get("locked_answer"):
            return str(inputs["locked_answer"])
        service = runtime().service
        names = sorted(f"{c.name} {c.identity}" for c in service.host.list_checkpoints())
        # a hash: ComfyUI writes the answer into every image that it saves
        text = "\n".join((service.snapshots.name, *names))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class FindBestModel(RankingNode):
    """Image(s) → the checkpoint that makes such images."""

    DESCRIPTION = (
        "Ranks your checkpoints by how well they make images like this one. Wire the answer into "
        "the checkpoint name of a loader. Checkpoints need specifications first: build them in "
        "the sidebar."
    )
    RETURN_TYPES = (CHECKPOINT, "STRING", "FLOAT", "FLOAT", "STRING")
    RETURN_NAMES = ("checkpoint", "ranking", "scores", "probability", "pseudo_prompt")
    OUTPUT_IS_LIST = (False, False, True, False, False)
    OUTPUT_TOOLTIPS = (
        "The name of the best checkpoint, to be wired into the name of a checkpoint loader.",
        "The ranking as text, best first.",
        "The scores in the order of the ranking, as a list; lower is better.",
        "How likely the best checkpoint is, from 0 to 1; 0 where no probability can be claimed, 1 "
        "where the answer is locked.",
        "The text that describes the image: your own prompt, or the prompt of the library whose "
        "samples look most like it.",
    )
    FUNCTION = "find"
    OUTPUT_NODE = True  # the ranking on the node is an answer by itself

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": _query_inputs(), "hidden": dict(HIDDEN)}

    def find(self, image: Any, **inputs: Any) -> dict[str, Any]:
        answer = find(image, **inputs)
        # ComfyUI runs nothing that hangs on an empty list
        scores = [float(row["score"]) for row in answer.shown["candidates"]] or [0.0]
        result = (answer.name, answer.text, scores, answer.probability or 0.0, answer.prompt)
        return {"ui": {"gmi_ranking": [answer.shown]}, "result": result}


class LoadBestModel(RankingNode):
    """Image(s) → the loaded checkpoint that makes such images."""

    DESCRIPTION = (
        "Finds the checkpoint that makes images like this one and loads it with ComfyUI's own "
        "loader. When nothing is likely enough it takes the checkpoint you name."
    )
    RETURN_TYPES = ("MODEL", "CLIP", "VAE", CHECKPOINT, "STRING")
    RETURN_NAMES = ("MODEL", "CLIP", "VAE", "checkpoint", "report")
    OUTPUT_TOOLTIPS = (
        "The diffusion model of the checkpoint that was chosen.",
        "The text encoder of the checkpoint that was chosen.",
        "The VAE of the checkpoint that was chosen.",
        "The name of the checkpoint that was chosen.",
        "What was chosen and why, and the ranking as text.",
    )
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        inputs = _query_inputs()
        inputs["min_probability"] = entry(
            "FLOAT",
            "Below this probability, or when nothing installed is close, the fallback is loaded. "
            "At 0 the best checkpoint is always taken.",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.05,
        )
        inputs["fallback"] = checkpoint_or(
            STOP, "The checkpoint to load when the best one is not likely enough."
        )
        return {"required": inputs, "hidden": dict(HIDDEN)}

    def load(
        self, image: Any, min_probability: float, fallback: str, **inputs: Any
    ) -> dict[str, Any]:
        from comfy_execution.graph_utils import GraphBuilder

        answer = find(image, **inputs)
        name, report = _decide(answer, min_probability, fallback)
        shown = {**answer.shown, "chosen": name, "loaded": name}
        shown["verdict"] = f"{shown['verdict']} {report}"
        graph = GraphBuilder()
        loader = graph.node("CheckpointLoaderSimple", ckpt_name=name)
        outputs = (loader.out(0), loader.out(1), loader.out(2))
        return {
            "ui": {"gmi_ranking": [shown]},
            "result": (*outputs, name, f"{report}\n\n{answer.text}"),
            "expand": graph.finalize(),
        }


def _decide(answer: Answer, min_probability: float, fallback: str) -> tuple[str, str]:
    """Which checkpoint to load, and a sentence that says why.

    Raises:
        RankingError: the best is not likely enough, and there is no fallback.
    """
    likely = answer.probability
    enough = likely is not None and likely >= min_probability and not answer.shown["foreign"]
    if answer.locked or enough or min_probability <= 0:
        return answer.name, f"Loaded {answer.name}."
    if answer.shown["foreign"]:
        found = "no installed checkpoint is close"
    elif likely is None:
        found = "no probability can be claimed"
    else:
        found = f"{likely:.0%} is all that can be said for it"
    report = f"{answer.name} is the best, but {found}; you asked for {min_probability:.0%}."
    if fallback == STOP:
        raise RankingError(f"{report} Choose a fallback, or lower the threshold.")
    return fallback, f"{report} Loaded the fallback {fallback} instead."


class CompareTopK(RankingNode):
    """Image(s) → the best checkpoints' renderings beside it."""

    DESCRIPTION = (
        "Renders the image's prompt with each of the best checkpoints, with the same seed, and "
        "shows the results beside the image: the check that a human eye wants."
    )
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("comparison", "ranking")
    OUTPUT_TOOLTIPS = (
        "One picture: your image first, then what each of the best checkpoints makes of its "
        "prompt.",
        "The ranking as text, best first.",
    )
    FUNCTION = "compare"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        inputs = _query_inputs()
        for key in ("lock_answer", "locked_answer", "top_k"):
            del inputs[key]
        inputs["k"] = entry("INT", "How many checkpoints to compare.", default=3, min=1, max=12)
        inputs["seed"] = entry(
            "INT", "The seed that all of them use.", default=0, min=0, max=0xFFFFFFFFFFFFFFFF
        )
        return {"required": inputs, "hidden": dict(HIDDEN)}

    def compare(self, image: Any, k: int, seed: int, **inputs: Any) -> dict[str, Any]:
        from ..base.grids import side_by_side
        from ..hosts.comfyui import image_to_tensor
        from .compare import render

        answer = find(image, **inputs)
        rows = [row for row in answer.shown["candidates"] if row["kind"] == "checkpoint"][:k]
        names = [row["name"] for row in rows]
        rendered, problems = render(runtime(), names, answer.prompt, seed)
        sheet = side_by_side([("your image", pictures(image)[0]), *rendered])
        answer.shown["candidates"] = rows
        answer.shown["notes"] += problems
        result = (image_to_tensor(sheet), answer.text)
        return {"ui": {"gmi_ranking": [answer.shown]}, "result": result}
