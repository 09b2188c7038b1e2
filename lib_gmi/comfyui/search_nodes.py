"""The nodes that search by content: for samples, and for checkpoints."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ..base.errors import SearchError
from ..routes.fields import MAX_PROMPT
from ..search.query import Query, weights, words
from ..service.filters import Filter
from .answer import pictures
from .found import samples, similar
from .inputs import CHECKPOINT, checkpoint_or, entry, filters, wanted
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


def _content_inputs() -> dict[str, Any]:
    """What to look for, in the order it is shown."""
    return {
        "text": entry(
            "STRING",
            "What to look for, in words. It needs the optional text encoder; everything else works "
            "without.",
            default="",
            multiline=True,
        ),
        "tags": entry(
            "STRING",
            "Words, separated by commas. They are looked for in the prompts of samples and, with "
            "the text encoder, in the samples themselves.",
            default="",
        ),
        "all_tags": entry("BOOLEAN", "On: all tags are wanted. Off: any of them.", default=False),
    }


def _other_inputs(top_k: str, default: int) -> dict[str, Any]:
    """How it counts, and what takes part."""
    return {
        "weights": entry(
            "STRING",
            "How much each part counts, for instance text=2,image=1; 0 leaves a part out. The "
            "parts are text, image, sketch, tags, like and style, which is how an image looks.",
            default="",
        ),
        "top_k": entry("INT", top_k, default=default, min=1, max=100),
        **filters("take part"),
    }


def _images() -> dict[str, Any]:
    return {
        "image": entry(
            "IMAGE",
            "An example of what to look for. Several in a batch count as examples of the same "
            "wish.",
        ),
        "sketch": entry(
            "IMAGE",
            "A drawing of what to look for, dark on light or light on dark. The first one has all "
            "samples drawn and read, which takes a while.",
        ),
    }


class SearchSamples(RankingNode):
    """Text, images, a sketch, tags, a checkpoint → the samples that show it."""

    DESCRIPTION = (
        "Finds images by what they show: among the samples that your library keeps and, if you "
        "like, in your output folder. Say it with an image, a text, tags, a sketch, or several of "
        "them together."
    )
    RETURN_TYPES = ("IMAGE", "STRING", "STRING", "INT", CHECKPOINT)
    RETURN_NAMES = ("images", "hits", "prompt", "seed", "checkpoint")
    OUTPUT_TOOLTIPS = (
        "The images that were found, best first, as a batch: all of the size of the first, at most "
        "1024 pixels a side, those of another shape with black beside them.",
        "The hits as JSON: of each its checkpoint, prompt, seed, settings and file.",
        "The prompt of the best hit whose checkpoint is installed.",
        "The seed of the same hit; 0 where it is not known.",
        "The checkpoint of the same hit, to be wired into the name of a checkpoint loader. If none "
        "is installed, what hangs on this does not run.",
    )
    FUNCTION = "search"
    OUTPUT_NODE = True  # the pictures on the node are an answer by themselves

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        required = _content_inputs()
        required["like"] = checkpoint_or(
            NOBODY, "Find samples of other checkpoints that show what this one's samples show."
        )
        required |= _other_inputs("How many images to find, at most.", 9)
        required["also_output"] = entry(
            "BOOLEAN",
            "Search your output folder as well. Images that are new there are read first, about "
            "four a second; interrupt it whenever you like, what was read is kept.",
            default=False,
        )
        return {"required": required, "optional": _images()}

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
        from ..hosts.comfyui import image_to_tensor

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


class SimilarModels(RankingNode):
    """A checkpoint, text, images, a sketch, tags → the checkpoints that make such images."""

    DESCRIPTION = (
        "Ranks your checkpoints by what they make: like another checkpoint, or by a text, images, "
        "a sketch or tags. Find Best Model asks who made an image; this asks who makes what you "
        "look for."
    )
    RETURN_TYPES = (CHECKPOINT, "STRING", "FLOAT")
    RETURN_NAMES = ("checkpoint", "ranking", "scores")
    OUTPUT_IS_LIST = (False, False, True)
    OUTPUT_TOOLTIPS = (
        "The name of the best checkpoint, to be wired into the name of a checkpoint loader.",
        "The ranking as text, best first.",
        "The scores in the order of the ranking, as a list: deviations from the mean of all that "
        "were compared; larger is better.",
    )
    FUNCTION = "rank"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        required: dict[str, Any] = {
            "checkpoint": checkpoint_or(
                NOBODY,
                "Find other checkpoints that are like this one. The answer of Find Best Model can "
                "be wired into it.",
            )
        }
        required |= _content_inputs()
        required |= _other_inputs("How many checkpoints the ranking lists.", 5)
        return {"required": required, "optional": _images()}

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
        images=[] if image is None else pictures(image),
        sketches=[] if sketch is None else pictures(sketch),
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
