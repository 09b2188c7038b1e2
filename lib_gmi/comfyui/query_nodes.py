"""The nodes that rank. Bodies are thin: ComfyUI's values in, calls of the service, values out."""

from __future__ import annotations

import hashlib
from typing import Any

from ..base.errors import RankingError
from ..hosts.comfyui import image_to_tensor, tensor_to_images
from ..service.answers import RANKERS
from .answer import Answer, find
from .compare import render
from .inputs import CHECKPOINT, HIDDEN, Inputs, Node, checkpoint_or, filters
from .runtime import runtime

STOP = "(none: stop with an error)"


class RankingNode(Node):
    """What the nodes that rank have in common."""

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


class _QueryNode(RankingNode):
    """What Find Best Model and its kin have in common."""

    HIDDEN = HIDDEN

    @classmethod
    def required(cls) -> Inputs:
        return {
            "image": ("IMAGE", {}),
            "prompt": ("STRING", {"default": "", "multiline": True}),
            "top_k": ("INT", {"default": 5, "min": 1, "max": 100}),
            "method": (list(RANKERS), {"default": "auto"}),
            **filters(),
            "lock_answer": ("BOOLEAN", {"default": False}),
            "locked_answer": ("STRING", {"default": ""}),
        }


class FindBestModel(_QueryNode, id="GMI_FindBestModel"):
    """Image(s) → the checkpoint that makes such images."""

    RETURN_TYPES = (CHECKPOINT, "STRING", "FLOAT", "FLOAT", "STRING")
    RETURN_NAMES = ("checkpoint", "ranking", "scores", "probability", "pseudo_prompt")
    OUTPUT_IS_LIST = (False, False, True, False, False)
    FUNCTION = "find"
    OUTPUT_NODE = True  # the ranking on the node is an answer by itself

    def find(self, image: Any, **inputs: Any) -> dict[str, Any]:
        answer = find(image, **inputs)
        # ComfyUI runs nothing that hangs on an empty list
        scores = [float(row["score"]) for row in answer.shown["candidates"]] or [0.0]
        result = (answer.name, answer.text, scores, answer.probability or 0.0, answer.prompt)
        return {"ui": {"gmi_ranking": [answer.shown]}, "result": result}


class LoadBestModel(_QueryNode, id="GMI_LoadBestModel"):
    """Image(s) → the loaded checkpoint that makes such images."""

    RETURN_TYPES = ("MODEL", "CLIP", "VAE", CHECKPOINT, "STRING")
    RETURN_NAMES = ("MODEL", "CLIP", "VAE", "checkpoint", "report")
    FUNCTION = "load"

    @classmethod
    def required(cls) -> Inputs:
        return {
            **super().required(),
            "min_probability": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.05}),
            "fallback": checkpoint_or(STOP),
        }

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


class CompareTopK(_QueryNode, id="GMI_CompareTopK"):
    """Image(s) → the best checkpoints' renderings beside it."""

    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("comparison", "ranking")
    FUNCTION = "compare"

    @classmethod
    def required(cls) -> Inputs:
        inputs = super().required()
        for key in ("lock_answer", "locked_answer", "top_k"):
            del inputs[key]
        return {
            **inputs,
            "k": ("INT", {"default": 3, "min": 1, "max": 12}),
            "seed": ("INT", {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF}),
        }

    def compare(self, image: Any, k: int, seed: int, **inputs: Any) -> dict[str, Any]:
        from ..base.grids import side_by_side

        answer = find(image, **inputs)
        rows = [row for row in answer.shown["candidates"] if row["kind"] == "checkpoint"][:k]
        names = [row["name"] for row in rows]
        rendered, problems = render(runtime(), names, answer.prompt, seed)
        sheet = side_by_side([("your image", tensor_to_images(image)[0]), *rendered])
        answer.shown["candidates"] = rows
        answer.shown["notes"] += problems
        result = (image_to_tensor(sheet), answer.text)
        return {"ui": {"gmi_ranking": [answer.shown]}, "result": result}
