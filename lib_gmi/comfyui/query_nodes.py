"""The nodes that rank. Bodies are thin: ComfyUI's values in, calls of the service, values out."""

from __future__ import annotations

import hashlib
from typing import Any

from ..base.errors import RankingError
from ..base.text import natural
from ..checkpoints.presets import table
from ..service.answers import RANKERS
from ..service.filters import ANY
from .answer import Answer, find, pictures
from .runtime import runtime

CATEGORY = "Find Best Model"
STOP = "(none: stop with an error)"

_QUERY_TOOLTIPS = {
    "image": "The image you like. Several in a batch count as examples of the same wish, which "
    "makes the answer much surer.",
    "prompt": "A description of the image, if you have one. It can stay empty.",
    "top_k": "How many checkpoints the ranking lists.",
    "method": "How checkpoints are scored. Auto takes the method that works best on your own "
    "library.",
    "architecture": "Only checkpoints of this architecture are ranked.",
    "pattern": "Only checkpoints with such names are ranked. Wildcards work, commas separate, "
    "folders end in a slash, and an exclamation mark in front excludes.",
    "lock_answer": "Keep the answer of the next run in the workflow, so that everybody who opens "
    "it gets the same result.",
    "locked_answer": "The answer that was kept. While it is set and the answer is locked, nothing "
    "is ranked.",
}


class CheckpointName(str):
    """A type that can be wired into any list of names.

    ComfyUI compares types with ``!=``. A plain COMBO is refused by its back end where the input is
    a list of files, and a literal list breaks as soon as a file is added.
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return False


CHECKPOINT = CheckpointName("COMBO")
#: ComfyUI fills them in by itself; they lead to the file of an image, and decide nothing.
_HIDDEN = {"graph": "PROMPT", "node_id": "UNIQUE_ID"}


def _query_inputs() -> dict[str, Any]:
    """The inputs that Find Best Model and its kin share, in the order they are shown."""
    tips = _QUERY_TOOLTIPS
    architectures = [ANY, *table()["architectures"]]
    return {
        "image": ("IMAGE", {"tooltip": tips["image"]}),
        "prompt": ("STRING", {"default": "", "multiline": True, "tooltip": tips["prompt"]}),
        "top_k": ("INT", {"default": 5, "min": 1, "max": 100, "tooltip": tips["top_k"]}),
        "method": (list(RANKERS), {"default": "auto", "tooltip": tips["method"]}),
        "architecture": (architectures, {"default": ANY, "tooltip": tips["architecture"]}),
        "pattern": ("STRING", {"default": "", "tooltip": tips["pattern"]}),
        "lock_answer": ("BOOLEAN", {"default": False, "tooltip": tips["lock_answer"]}),
        "locked_answer": ("STRING", {"default": "", "tooltip": tips["locked_answer"]}),
    }


def checkpoint_names() -> list[str]:
    """Of ComfyUI's checkpoint files, in natural order."""
    import folder_paths

    return sorted(folder_paths.get_filename_list("checkpoints"), key=natural)


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
        text = "\n".join((service.snapshot_name, *names))
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
        return {"required": _query_inputs(), "hidden": dict(_HIDDEN)}

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
        inputs["min_probability"] = (
            "FLOAT",
            {
                "default": 0.0,
                "min": 0.0,
                "max": 1.0,
                "step": 0.05,
                "tooltip": "Below this probability, or when nothing installed is close, the "
                "fallback is loaded. At 0 the best checkpoint is always taken.",
            },
        )
        inputs["fallback"] = (
            [STOP, *checkpoint_names()],
            {
                "default": STOP,
                "tooltip": "The checkpoint to load when the best one is not likely enough.",
            },
        )
        return {"required": inputs, "hidden": dict(_HIDDEN)}

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
        inputs["k"] = (
            "INT",
            {"default": 3, "min": 1, "max": 12, "tooltip": "How many checkpoints to compare."},
        )
        inputs["seed"] = (
            "INT",
            {
                "default": 0,
                "min": 0,
                "max": 0xFFFFFFFFFFFFFFFF,
                "tooltip": "The seed that all of them use.",
            },
        )
        return {"required": inputs, "hidden": dict(_HIDDEN)}

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
