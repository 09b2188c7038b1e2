"""What a search found, for nodes: pictures of one size, a hit to go on with, and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..base.errors import ImageError, SearchError
from ..base.images import open_image
from ..metadata import CheckpointMention
from ..metadata.mentions import Installed
from ..records.protocols import RECIPE
from ..routes.rows import sample_url
from ..search.hits import LIBRARY
from .answer import no_checkpoint, workflow_first
from .reading import output_folder

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import Candidate
    from ..search.hits import CheckpointAnswer, FoundCheckpoint, Hit, SampleAnswer
    from ..search.query import Query
    from ..service.searches import Searches

#: Standard deviations from the mean, and what people call that.
_WORDS = (
    (1.0, "far above average"),
    (0.25, "above average"),
    (-0.25, "average"),
    (-1.0, "below average"),
)


@dataclass(frozen=True)
class Samples:
    """What Search Samples answers.

    Attributes:
        answer: its hits have pictures, and there is at least one.
        pictures: of the hits, in their order.
        chosen: the best hit of an installed checkpoint, or else the best hit.
        checkpoint: the name of the chosen one's checkpoint, or ``None`` if no hit's is installed.
        shown: on the node, JSON-ready.
        installed: whether each hit's checkpoint, or workflow, is still there.
    """

    answer: SampleAnswer
    pictures: Sequence[Image.Image]
    chosen: Hit
    checkpoint: str | None
    shown: dict[str, Any]
    installed: tuple[bool, ...]

    def to_json(self) -> dict[str, Any]:
        """What was found, for other programs, with ``installed`` of each hit."""
        found = self.answer.to_json()
        rows = zip(found["hits"], self.installed, strict=True)
        return {**found, "hits": [{**row, "installed": there} for row, there in rows]}


def samples(
    answer: SampleAnswer, candidates: Sequence[Candidate], recipes: Sequence[Candidate] = ()
) -> Samples:
    """Pictures of hits, and which one to go on with.

    Args:
        answer: of :meth:`..searches.Searches.samples`.
        candidates: the checkpoints that are installed.
        recipes: workflows of the user's own that are in the library.

    Raises:
        SearchError: nothing was found, or no picture of it can be read.
    """
    if not answer.hits:
        raise SearchError(" ".join(answer.notes))
    hits, pictures, notes = [], [], list(answer.notes)
    for hit in answer.hits:
        try:
            pictures.append(open_image(hit.file))
            hits.append(hit)
        except ImageError as error:
            notes.append(f"Left out: {error}")
    if not hits:
        raise SearchError(f"No picture of what was found can be read. {notes[-1]}")
    found = [_installed(hit, candidates) for hit in hits]
    names = [None if candidate is None else candidate.name for candidate in found]
    pairs = list(zip(hits, found, strict=True))
    hits = [h if c is None else replace(h, checkpoint=c.title) for h, c in pairs]
    usable = {candidate.identity for candidate in recipes}
    there = [c is not None or h.identity in usable for h, c in pairs]
    number = next((i for i, name in enumerate(names) if name is not None), 0)
    if number:
        notes.append(
            f"Prompt, seed and checkpoint are those of hit {number + 1}: what comes before it is "
            "of no installed checkpoint."
        )
    elif names[0] is None:
        notes.append("No hit is of an installed checkpoint, so there is no checkpoint to wire.")
    gone = dict.fromkeys(
        hit.checkpoint for hit, is_there in zip(hits, there, strict=True) if not is_there
    )
    if named := [name for name in gone if name]:
        notes.append(f"Not installed (any more): {', '.join(named)}.")
    if hits[number].seed is None:
        notes.append(f"The seed of hit {number + 1} is not known; the output says 0.")
    answer = replace(answer, hits=tuple(hits), notes=tuple(notes))
    rows = [
        {
            "rank": rank,
            "title": hit.checkpoint,
            "prompt": hit.prompt,
            "seed": None if hit.seed is None else str(hit.seed),  # larger than JavaScript's numbers
            "score": f"{hit.score:.2f}",
            "image": _address(hit),
            "installed": is_there,
            "chosen": rank == number + 1,
        }
        for rank, (hit, is_there) in enumerate(zip(hits, there, strict=True), 1)
    ]
    shown = {"verdict": _found(answer), "hits": rows, "notes": notes}
    return Samples(answer, pictures, hits[number], names[number], shown, tuple(there))


@dataclass(frozen=True)
class Similar:
    """What Similar Models answers.

    Attributes:
        name: of the best checkpoint.
        scores: of those that are listed, best first; larger is better.
        text: the ranking as people read it.
        shown: on the node, JSON-ready.
    """

    name: str
    scores: Sequence[float]
    text: str
    shown: dict[str, Any]


def similar(
    searches: Searches, answer: CheckpointAnswer, query: Query, like: Candidate | None, top: int
) -> Similar:
    """A ranking by content, and its best checkpoint.

    Args:
        searches: of the host.
        answer: of :meth:`..searches.Searches.checkpoints`.
        query: that was asked.
        like: the checkpoint that was compared with others.
        top: rows at most.

    Raises:
        SearchError: only workflows were found, and none of them is a checkpoint to load.
    """
    names = {c.identity: c.name for c in searches.service.candidates.all()}
    chosen = next((r for r in answer.checkpoints if not r.identity.startswith(RECIPE)), None)
    if chosen is None:
        raise SearchError(no_checkpoint("were found"))
    notes, best = list(answer.notes), answer.checkpoints[0]
    if best is not chosen:
        notes.insert(0, workflow_first(best.title, chosen.title))
    prompts = searches.searcher().read().prompt_by_file
    rows: list[dict[str, Any]] = [
        {
            "rank": row.rank,
            "title": row.title,
            "name": names.get(row.identity, row.title),
            "score": in_words(row.score),
            "parts": [f"{part}: {in_words(score)}" for part, score in row.parts.items()],
            "samples": row.samples,
            "evidence": [
                {"image": sample_url(Path(file)), "prompt": prompts.get(file, "")}
                for file in row.evidence
            ],
            "chosen": row is chosen,
        }
        for row in answer.checkpoints[:top]
    ]
    verdict = _ranked(answer.checkpoints, query, like)
    lines = [verdict, ""]
    lines += [f"{row['rank']}. {row['title']}  ({'; '.join(row['parts'])})" for row in rows]
    lines += [f"Note: {note}" for note in notes]
    scores = [row.score for row in answer.checkpoints[:top]]
    shown = {"verdict": verdict, "candidates": rows, "notes": notes}
    return Similar(names[chosen.identity], scores, "\n".join(lines), shown)


def in_words(score: float) -> str:
    """A standardised score as people read it: how far it lies from the mean of all compared."""
    return next((text for least, text in _WORDS if score >= least), "far below average")


def _found(answer: SampleAnswer) -> str:
    """One sentence about hits."""
    count, first = len(answer.hits), answer.origins[0]
    what = "The best hit" if count == 1 else f"The best {count}"
    text = f"{what} of {answer.searched} images"
    if not first.checkpoint:
        return text + "."
    if first.hits == count:
        by = "which is by" if count == 1 else "all by"
        return f"{text}, {by} {first.checkpoint}."
    return f"{text}; {first.hits} of them by {first.checkpoint}."


def _ranked(rows: Sequence[FoundCheckpoint], query: Query, like: Candidate | None) -> str:
    """One sentence about a ranking."""
    title = rows[0].title
    if len(rows) == 1:
        return f"{title} is the only one that could be compared."
    fits = f"is most like {like.title}" if like is not None else "shows best what you look for"
    if like is not None and query.parts != ("like",):
        fits += " and shows best what you look for"
    return f"{title} {fits}, of {len(rows)} that were compared."


def _installed(hit: Hit, candidates: Sequence[Candidate]) -> Candidate | None:
    """A hit's checkpoint, if it is installed."""
    if hit.identity is not None:
        return next((c for c in candidates if c.identity == hit.identity), None)
    if not hit.checkpoint:
        return None
    # of a folder's image; the library only knows checkpoints that have a specification
    return Installed(candidates).find(CheckpointMention(hit.checkpoint, ()))


def _address(hit: Hit) -> str | None:
    """Where the front end finds the picture of a hit; ``None`` where nobody serves it."""
    if hit.source == LIBRARY:
        return sample_url(Path(hit.file))
    folder = output_folder().absolute()
    path = Path(hit.file)
    if not path.is_relative_to(folder):
        return None
    below = path.relative_to(folder)
    place = "" if below.parent == Path() else below.parent.as_posix()
    query: Mapping[str, str] = {"filename": below.name, "subfolder": place, "type": "output"}
    return f"/view?{urlencode(query, errors='surrogateescape')}&preview=webp;75"
