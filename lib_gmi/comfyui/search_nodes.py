"""The nodes that search by content: for samples, and for checkpoints."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ..base.errors import SearchError
from ..hosts.comfyui import image_to_tensor, tensor_to_images
from ..routes.fields import MAX_PROMPT
from ..search.query import Query, weights, words
from ..service.filters import Filter
from .found import samples, similar
from .inputs import CHECKPOINT, Inputs, checkpoint_or, filters, wanted
from .query_nodes import RankingNode
from .reading import output_state, read
from .runtime import runtime

if TYPE_CHECKING:
    from ..records.protocols import Candidate

NOBODY = "(none)"
#: What a loader hears that is wired to a checkpoint nobody has.
NOT_INSTALLED = (
    "No hit is of an installed checkpoint, so Search Samples has no checkpoint to load. Look for "
    "something else, or name the checkpoint yourself."
)


#: What to look for.
_CONTENT: Inputs = {
    "text": ("STRING", {"default": "", "multiline": True}),
    "tags": ("STRING", {"default": ""}),
    "all_tags": ("BOOLEAN", {"default": False}),
}


def _others(top_k: int) -> Inputs:
    """How it counts, and what takes part."""
    return {
        "weights": ("STRING", {"default": ""}),
        "top_k": ("INT", {"default": top_k, "min": 1, "max": 100}),
        **filters(),
    }


class _SearchNode(RankingNode):
    """What the nodes that search have in common."""

    OUTPUT_NODE = True  # what was found is shown on the node, and is an answer by itself

    @classmethod
    def optional(cls) -> Inputs:
        return {"image": ("IMAGE", {}), "sketch": ("IMAGE", {})}


class SearchSamples(_SearchNode, id="GMI_SearchSamples"):
    """Text, images, a sketch, tags, a checkpoint → the samples that show it."""

    RETURN_TYPES = ("IMAGE", "STRING", "STRING", "INT", CHECKPOINT)
    RETURN_NAMES = ("images", "hits", "prompt", "seed", "checkpoint")
    FUNCTION = "search"

    @classmethod
    def required(cls) -> Inputs:
        like = {"like": checkpoint_or(NOBODY)}
        return {**_CONTENT, **like, **_others(9), "also_output": ("BOOLEAN", {"default": False})}

    @classmethod
    def IS_CHANGED(cls, **inputs: Any) -> str:  # noqa: N802
        """Follows the output folder as well, where that is searched."""
        mark = super().IS_CHANGED(**inputs)
        if inputs.get("also_output") is False:
            return mark
        return hashlib.sha256(f"{mark}\n{output_state()}".encode("utf-8", "replace")).hexdigest()

    def search(self, also_output: bool, like: str, **inputs: Any) -> dict[str, Any]:
        import torch

        from ..base.grids import of_one_size

        query = _query(_known(like), inputs)
        searches = runtime().api.searches
        read(searches, query, also_output)
        found = samples(
            searches.samples(query, int(inputs["top_k"]), wanted(inputs).unless_all(), also_output),
            runtime().host.list_checkpoints(),
            runtime().service.candidates.recipes(),
        )
        batch = torch.cat([image_to_tensor(p) for p in of_one_size(found.pictures)])
        hits = json.dumps(found.to_json(), ensure_ascii=False, indent=1, default=str)
        chosen = found.chosen
        checkpoint = _blocked() if found.checkpoint is None else found.checkpoint
        result = (batch, hits, chosen.prompt, chosen.seed or 0, checkpoint)
        return {"ui": {"gmi_search": [found.shown]}, "result": result}


class SimilarModels(_SearchNode, id="GMI_SimilarModels"):
    """A checkpoint, text, images, a sketch, tags → the checkpoints that make such images."""

    RETURN_TYPES = (CHECKPOINT, "STRING", "FLOAT")
    RETURN_NAMES = ("checkpoint", "ranking", "scores")
    OUTPUT_IS_LIST = (False, False, True)
    FUNCTION = "rank"

    @classmethod
    def required(cls) -> Inputs:
        return {"checkpoint": checkpoint_or(NOBODY), **_CONTENT, **_others(5)}

    def rank(self, checkpoint: str, **inputs: Any) -> dict[str, Any]:
        like = _known(checkpoint)
        query = _query(like, inputs)
        searches = runtime().api.searches
        read(searches, query)
        answer = searches.checkpoints(query, wanted(inputs).unless_all() or Filter())
        found = similar(searches, answer, query, like, int(inputs["top_k"]))
        result = (found.name, found.text, list(found.scores))
        return {"ui": {"gmi_similar": [found.shown]}, "result": result}


def _query(like: Candidate | None, inputs: dict[str, Any]) -> Query:
    """What a node asks for.

    Raises:
        SearchError: nothing, or a weight is none.
    """
    image, sketch = inputs.get("image"), inputs.get("sketch")
    return Query(
        text=str(inputs.get("text") or "")[:MAX_PROMPT],
        images=[] if image is None else tensor_to_images(image),
        sketches=[] if sketch is None else tensor_to_images(sketch),
        tags=words(str(inputs.get("tags") or "")),
        all_tags=bool(inputs.get("all_tags")),
        like="" if like is None else like.identity,
        weights=weights(str(inputs.get("weights") or "")),
    )


def _known(name: str) -> Candidate | None:
    """The checkpoint of a list's entry, if one was chosen.

    Raises:
        RankingError: it is not installed.
        SearchError: there is no specification of it to compare with.
    """
    if name in ("", NOBODY):
        return None
    service = runtime().service
    candidate = service.candidates.installed(name)
    if not service.library.find(candidate.identity):
        raise SearchError(
            f"{candidate.title}: has no specification yet, so nothing can be compared with it. "
            "Build it in the sidebar first."
        )
    return candidate


def _blocked() -> Any:
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(NOT_INSTALLED)
