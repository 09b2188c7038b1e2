"""Routes of queries: which checkpoints make images like these, and what the images show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..interrogators import parse_order
from ..metadata import making_in
from ..service.answers import RANKERS
from ..service.candidates import by_best_identity
from ..service.filters import ANY, Filter
from . import fields
from .building import PATTERN
from .fields import MAX_PROMPT, Sent
from .handlers import Handlers
from .route import Json, route
from .rows import ranked_row

if TYPE_CHECKING:
    from PIL import Image

    from ..metadata import Making
    from ..ranking.results import Ranking
    from ..records.protocols import PseudoPrompt
    from ..service.answers import Answer


class Asking(Handlers):
    """See the module's docstring."""

    @route(
        "POST rank",
        "Rank the checkpoints for images",
        "`verdict` (a sentence), `candidates` (best first, with `name`, `probability`, `score`, "
        "`samples` and `evidence`), `foreign`, `notes`, `prompt`, `missing`.",
        top=fields.whole(1, 200, 12),
        images=fields.images(1),
        method=fields.choice(RANKERS),
        prompt=fields.text("what the images were, or could have been, made from", MAX_PROMPT),
        favourites=fields.mark(),
        architecture=fields.text("only this one", default=ANY),
        pattern=fields.text(PATTERN),
    )
    def rank(
        self,
        top: int,
        images: Sequence[Sent],
        method: str,
        prompt: str,
        favourites: bool,
        **names: str,
    ) -> Json:
        """Sends images that are examples of one wish; returns which checkpoints make images like
        them."""
        marked = self.service.favourites.names() if favourites else None
        wanted = Filter(**names, names=marked)
        makings = [making_in(sent.content) for sent in images]
        pixels = [sent.image for sent in images]
        return self.ranked(pixels, makings, prompt.strip(), method, wanted, top)

    def ranked(
        self,
        images: Sequence[Image.Image],
        makings: Sequence[Making | None],
        prompt: str,
        method: str,
        wanted: Filter,
        top: int,
    ) -> Json:
        """The whole answer to a query: the ranking, and what stands beside it.

        Raises:
            GMIError: nothing can be ranked; the message says what to do.
        """
        with self.service.candidates.reading():
            answer = self.service.answers.answer(images, prompt or None, method, wanted, makings)
            return self.answer_json(answer, top, wanted)

    def answer_json(self, answer: Answer, top: int, wanted: Filter | None = None) -> Json:
        """What faces show of a whole answer.

        That is the ranking, before it what the images say themselves, and what is not installed and
        would fit better by the packs; links of these are only ever shown.
        """
        return {
            **self.ranking_json(answer.ranking, top, answer.prompt, wanted),
            "made_with": [said.to_json() for said in answer.made_with],
            "elsewhere": [
                {
                    "title": absent.packed.specification.candidate.title,
                    "pack": absent.packed.pack.about.title,
                    "author": absent.packed.pack.about.author,
                    "page": absent.packed.page,
                    "score": absent.row.score,
                }
                for absent in answer.elsewhere
            ],
        }

    def ranking_json(
        self,
        ranking: Ranking,
        top: int,
        prompt: PseudoPrompt | None = None,
        wanted: Filter | None = None,
    ) -> Json:
        """What faces show of a ranking: names as they are today, pictures, what is missing."""
        service = self.service
        with service.candidates.reading():
            listed = service.candidates.all()
            better = service.host.hashed()  # since the ranking as well
            candidates = by_best_identity(listed, better)
            # of equal files the first name serves, and rather one that passes the filter
            passing = wanted or Filter()
            ordered = sorted(candidates, key=lambda candidate: not passing(candidate))
            by_identity = {candidate.identity: candidate for candidate in reversed(ordered)}
            found = (
                (row, by_identity.get(better.get(row.candidate.identity, row.candidate.identity)))
                for row in ranking.candidates
            )
            # a file may have been removed a moment ago
            shown = [(row, known) for row, known in found if known is not None][:top]
            states = service.states.all([candidate for _, candidate in shown])
            return {
                "verdict": ranking.verdict,
                "method": ranking.method,
                "reason": ranking.reason,
                "foreign": ranking.foreign,
                "conformal": ranking.conformal,
                "notes": list(ranking.notes),
                "prompt": None if prompt is None else asdict(prompt),
                "candidates": [
                    ranked_row(service, row, state)
                    for (row, _), state in zip(shown, states, strict=True)
                ],
                "near_duplicates": [
                    {"titles": list(group.titles), "probability": group.probability}
                    for group in ranking.groups
                ],
                "excluded": [vars(exclusion) for exclusion in ranking.excluded],
                "missing": service.states.missing(candidates),
            }

    @route(
        "POST describe",
        "Describe an image in words",
        "`prompt` (`text`, `source`: the interrogator, `confidence`), or null; `notes`: which "
        "interrogators did not work, and why.",
        images=fields.images(1),
        interrogators=fields.text(
            "their names in order, a comma list; by default the user's order"
        ),
    )
    def describe(self, images: Sequence[Sent], interrogators: str) -> Json:
        """Asks interrogators one after the other until one has something to say of the first
        image. Slow ones are waited for; what they said is remembered."""
        order = parse_order(interrogators) if interrogators.strip() else None
        pixels = [sent.image for sent in images]
        described = self.service.descriptions.interrogate(
            pixels, making_in(images[0].content), order=order
        )
        said = described.prompt
        return {
            "prompt": None if said is None else asdict(said),
            "notes": list(described.notes),
        }
