"""Rankings for nodes: from ComfyUI's images to an answer, or the answer that a workflow locked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..base.errors import GMIError, RankingError
from ..base.text import last_part, readable
from ..hosts.comfyui import tensor_to_images
from ..routes.fields import MAX_PROMPT
from .inputs import wanted
from .runtime import runtime
from .sources import makings


@dataclass(frozen=True)
class Answer:
    """What a node knows after ranking.

    Attributes:
        shown: what the front end shows, see :meth:`..routes.api.Api.answer_json`.
        name: of the best checkpoint.
        probability: of it and of those that cannot be told from it; ``None`` if none is claimed,
            1 if it is locked.
        locked: nothing was ranked; the workflow keeps this answer.
    """

    shown: dict[str, Any]
    name: str
    probability: float | None
    locked: bool = False

    @property
    def prompt(self) -> str:
        """The (pseudo-)prompt, or an empty text."""
        return str((self.shown["prompt"] or {}).get("text", ""))

    @property
    def text(self) -> str:
        """The ranking as people read it in a text node, after what the images' files say."""
        said = dict.fromkeys(row["sentence"] for row in self.shown["made_with"])
        lines = [*said, "", self.shown["verdict"], ""] if said else [self.shown["verdict"], ""]
        for row in self.shown["candidates"]:
            share = "" if row["probability"] is None else f"  {row['probability']:.1%}"
            lines.append(f"{row['rank']}. {row['title']}{share}  (score {readable(row['score'])})")
        if self.shown["candidates"]:
            lines.append("The lower a score, the closer the checkpoint.")
        lines.extend(f"Note: {note}" for note in self.shown["notes"])
        for row in self.shown["elsewhere"]:
            source = ", ".join(filter(None, (row["pack"], row["author"])))
            lines.append(f"Not installed, but closer: {row['title']} ({source})")
        return "\n".join(lines)


def find(image: Any, **inputs: Any) -> Answer:
    """Answer a query node.

    Args:
        image: ComfyUI's IMAGE ``[n, height, width, 3]``.
        inputs: of the node; the hidden ones (``graph``, ``node_id``) may be missing.

    Raises:
        RankingError: nothing can be ranked, or the locked checkpoint is not installed.
    """
    locked = str(inputs.get("locked_answer", ""))
    prompt = str(inputs.get("prompt", ""))[:MAX_PROMPT]
    if inputs.get("lock_answer") and locked:
        return _locked(locked, image, prompt)
    allowed = wanted(inputs)
    api = runtime().api
    method = str(inputs.get("method", "auto"))
    said = makings(inputs.get("graph"), inputs.get("node_id"))
    found = api.service.answers.answer(
        tensor_to_images(image), prompt or None, method, allowed, said
    )
    shown = api.answer_json(found, len(found.ranking.candidates), allowed)
    rows = shown["candidates"]
    chosen = next((row for row in rows if row["kind"] == "checkpoint"), None)
    if chosen is None:
        raise RankingError(no_checkpoint("can be ranked so far"))
    notes = list(shown["notes"])
    if shown["missing"]:
        notes.append(f"{shown['missing']} installed without a specification were not compared.")
    if rows[0] is not chosen:
        notes.insert(0, workflow_first(rows[0]["title"], chosen["title"]))
    top = rows[: int(inputs.get("top_k", len(rows)))]
    shown |= {"candidates": top, "notes": notes, "locked": False, "chosen": chosen["name"]}
    return Answer(shown, chosen["name"], _probability(shown, chosen))


def no_checkpoint(found: str) -> str:
    """What to say where only workflows were ranked or found."""
    return (
        f"Only workflows of your own {found}, and none of them is a checkpoint to load. Build "
        "specifications of checkpoints, or widen the filter."
    )


def workflow_first(first: str, chosen: str) -> str:
    """The note of an answer whose first row is a workflow, by the titles of it and the answer."""
    return (
        f"{first} comes first. It is a workflow of yours, so the answer is the best checkpoint, "
        f"{chosen}."
    )


def _locked(locked: str, image: Any, prompt: str) -> Answer:
    """The locked answer; the same file in another folder serves as well.

    Nothing is ranked, but the image is described: what hangs on that shall not change.
    """
    names = [candidate.name for candidate in runtime().host.list_checkpoints()]
    path = locked.replace("\\", "/")
    same = [name for name in names if name.replace("\\", "/") == path]
    elsewhere = not same
    same = same or [name for name in names if last_part(name) == last_part(locked)]
    if len(same) != 1:
        raise RankingError(
            f"This workflow's answer is locked to '{locked}', which is not installed. Install it, "
            "or switch off 'lock answer' to rank what you have."
        )
    name = same[0]
    moved = f"It was locked to {locked}; the file of that name here is in another folder."
    shown: dict[str, Any] = {
        "verdict": f"Locked: this workflow always uses {name}.",
        "candidates": [],
        "notes": [moved] if elsewhere else [],
        "elsewhere": [],
        "made_with": [],  # the same for everybody who opens the workflow
        "prompt": _description(image, prompt),
        "foreign": False,
        "locked": True,
        "chosen": name,
    }
    return Answer(shown, name, 1.0, locked=True)


def _description(image: Any, prompt: str) -> dict[str, Any] | None:
    try:
        described = runtime().service.descriptions.describe(tensor_to_images(image), prompt)
    except GMIError:
        return None  # without a library there is nothing to describe it by
    return None if described is None else asdict(described)


def _probability(shown: dict[str, Any], row: dict[str, Any]) -> float | None:
    """Of a row, or of its whole group of near-duplicates."""
    if row["group"] is not None:
        row = shown["near_duplicates"][row["group"] - 1]
    return None if row["probability"] is None else float(row["probability"])
