"""What the view *Search* asks for: checkpoints and images by what they show."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import RequestError, SearchError
from ..base.recent import Recent
from ..records.protocols import RECIPE
from ..routes.fields import MAX_PROMPT
from ..routes.rows import sample_url
from ..routes.searching import address, name_of
from ..search.hits import LIBRARY, NOTHING, to_csv, to_json
from ..search.query import EMPTY_QUERY, Query
from ..search.searcher import EMPTY_LIBRARY
from ..service.filters import Filter
from . import cards
from .bodies import text, texts
from .finding import MAX_NEGATIVE
from .search_cards import alert, found_checkpoints
from .search_gallery import found_images
from .search_page import KINDS, PARTS
from .search_panels import folders_panel, no_samples, stopped, waiting
from .uploads import Uploads

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import Candidate
    from ..search.hits import CheckpointAnswer, Hit, SampleAnswer
    from .bridge import Bridge
    from .finding import Finding

#: Checkpoints and images that are shown at first, and at most.
FIRST = {"checkpoints": 12, "samples": 48}
_MOST = 200
#: Bytes of answers that are remembered, and what an image of one counts beside its prompt.
KEPT_ANSWERS = 16 << 20
_HIT = 2000
_ASK = (
    "Say what to look for first: describe it, draw it, give an example, write a tag, or choose a "
    "checkpoint."
)
_FORGOTTEN = "This answer is not remembered any more. Search again first."
_MOST_TAGS = 50
#: How the core says what to do, and how that is done here.
_WEIGH = "Weigh image=1 to change that.", "To change that, move their slider under More."


@dataclass(frozen=True)
class Asked:
    """A question and the images of its answer, for what people do with them next."""

    text: str
    hits: Sequence[Hit] = ()

    @property
    def size(self) -> int:
        """Bytes that remembering takes, about."""
        return _HIT + sum(_HIT + len(hit.prompt) for hit in self.hits)


class Searching:
    """Handlers, dict → dict. For any thread.

    Args:
        bridge: to the program.
        finding: the other half, which knows the filters.
    """

    def __init__(self, bridge: Bridge, finding: Finding) -> None:
        self.bridge = bridge
        self._finding = finding
        self._uploads = Uploads()
        self._asked: Recent[str, Asked] = Recent(KEPT_ANSWERS, lambda asked: asked.size)

    def search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a query, or begin to read what it goes through; ``again`` only looks how far.

        Raises:
            RequestError: malformed.
            UnknownImageError: an image has to be sent again.
            GMIError: nothing can be searched; the message says what to do.
        """
        kind = text(body, "kind") or KINDS[0][0]
        if kind not in FIRST:
            raise RequestError("The question is malformed. Reload the page.")
        try:
            query = self._query(body)
            searches = self.bridge.api.searches
            if not searches.ready(query, start=body.get("again") is not True):
                state = searches.reading()
                if state["reading"] is not None:
                    return {"waiting": True, "html": waiting(state["reading"])}
                return {"html": stopped(state["error"])}
            return self._answer(kind, query, body)
        except SearchError as error:
            return {"html": self._nothing(str(error))}

    def _nothing(self, reason: str) -> str:
        """Nothing is wrong, but there is no answer either: in its place, not as an alarm."""
        if reason == EMPTY_LIBRARY:
            return no_samples(self.bridge.abilities.build)
        return alert(_ASK if reason == EMPTY_QUERY else reason)

    def _query(self, body: Mapping[str, Any]) -> Query:
        weights = body.get("weights") or {}
        parts = {part for part, _ in PARTS}
        good = isinstance(weights, dict) and all(
            part in parts and isinstance(weight, int | float) for part, weight in weights.items()
        )
        if not good:
            raise RequestError("The question is malformed. Reload the page.")
        return Query(
            text=text(body, "text", MAX_PROMPT),
            images=self._images(body, "images"),
            sketches=self._images(body, "sketches"),
            tags=texts(body, "tags")[:_MOST_TAGS],
            all_tags=body.get("all") is True,
            like=self._identity(text(body, "like")),
            weights=weights,
        )

    def _images(self, body: Mapping[str, Any], key: str) -> list[Image.Image]:
        sent = body.get(key) or []
        return [upload.image for upload in self._uploads.read(sent)] if sent else []

    def _identity(self, name: str) -> str:
        """Names change, and may fit several; an identity does not."""
        found = (c.identity for c in self.bridge.api.service.candidates.all() if c.name == name)
        return next(found, name)

    def _wanted(self, body: Mapping[str, Any]) -> Filter | None:
        """The filter, or ``None`` for everything: also for images that do not say their maker."""
        chosen, pattern = self._finding.wanted(body), text(body, "pattern", 500)
        return Filter(pattern=pattern, names=chosen.names).unless_all()

    def _answer(self, kind: str, query: Query, body: Mapping[str, Any]) -> dict[str, Any]:
        searches, further = self.bridge.api.searches, body.get("further") is True
        top = _MOST if further else FIRST[kind]
        wanted = self._wanted(body)
        if kind == "checkpoints":
            answer = searches.checkpoints(query, wanted or Filter(), texts(body, "having"))
            key = self._remember(Asked(query.text.strip()))
            return {"html": self._checkpoints(answer, query, key, top), "search": key}
        found = searches.samples(query, top, wanted)
        key = self._remember(Asked(query.text.strip(), found.hits))
        if not found.hits:
            notes = [note for note in found.notes if note != NOTHING]
            return {"html": alert(" ".join([NOTHING, *notes])), "search": key}
        return {"html": self._gallery(found, key, top), "search": key}

    def _shown(self, key: str, query: Query | None = None) -> cards.Query:
        return cards.Query(
            key,
            self.bridge.abilities,
            self.bridge.api.service.favourites.names(),
            self.bridge.current(),
            text=query is not None and bool(query.text.strip()),
        )

    def _installed(self) -> dict[str, Candidate]:
        return {c.identity: c for c in self.bridge.api.service.candidates.all()}

    def _checkpoints(self, answer: CheckpointAnswer, query: Query, key: str, top: int) -> str:
        prompts = self.bridge.api.searches.searcher().read().prompt_by_file
        installed = self._installed()
        known = [row for row in answer.checkpoints if row.identity in installed]
        scores = [row.score for row in known]
        low, span = min(scores, default=0.0), max(scores, default=0.0) - min(scores, default=0.0)
        rows = [
            {
                "rank": rank,
                "name": installed[row.identity].name,
                "title": installed[row.identity].title,
                "kind": "recipe" if row.identity.startswith(RECIPE) else "checkpoint",
                "architecture": row.architecture,
                "score": row.score,
                "share": (row.score - low) / span if span else 1.0,
                "parts": row.parts,
                "samples": row.samples,
                "evidence": [
                    {"image": sample_url(file), "prompt": prompts.get(file, "")}
                    for file in row.evidence
                ],
            }
            for rank, row in enumerate(known[:top], 1)
        ]
        if not rows:
            return alert(NOTHING)
        more, notes = len(known) - len(rows), [note.replace(*_WEIGH) for note in answer.notes]
        return found_checkpoints(rows, notes, self._shown(key, query), more)

    def _gallery(self, found: SampleAnswer, key: str, top: int) -> str:
        folders, installed = self.bridge.api.service.host.image_folders(), self._installed()
        hits = []
        for hit in to_json(found.hits):
            candidate = installed.get(hit["identity"])
            hits.append(
                {
                    **hit,
                    "image": address(hit["file"], hit["source"], folders),
                    "file": name_of(hit),
                    "folder": "" if hit["source"] == LIBRARY else hit["source"],
                    "name": None if candidate is None else candidate.name,
                    "loadable": candidate is not None and not candidate.identity.startswith(RECIPE),
                }
            )
        origins = [vars(row) for row in found.origins]
        more = len(hits) == top < min(_MOST, found.searched)
        return found_images(hits, origins, found.notes, self._shown(key), more)

    # -- what hangs on an answer ------------------------------------------------------------------

    def _remember(self, asked: Asked) -> str:
        key = secrets.token_hex(16)
        self._asked.put(key, asked)
        return key

    def _recall(self, body: Mapping[str, Any]) -> Asked:
        asked = self._asked.get(text(body, "search"))
        if asked is None:
            raise RequestError(_FORGOTTEN)
        return asked

    def export(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The images of an answer as a file: ``name``, ``type`` and ``content``.

        Raises:
            RequestError: the answer is not remembered, or the format is unknown.
        """
        asked, form = self._recall(body), text(body, "format")
        # names as people see them; folders of this machine are nobody else's affair
        hits = [replace(hit, file=name_of(vars(hit))) for hit in asked.hits]
        if form == "csv":
            return {"name": "search.csv", "type": "text/csv", "content": to_csv(hits)}
        if form != "json":
            raise RequestError("The question is malformed. Reload the page.")
        content = json.dumps({"hits": to_json(hits)}, indent=2, ensure_ascii=False, default=str)
        return {"name": "search.json", "type": "application/json", "content": content}

    def infotext(self, body: Mapping[str, Any]) -> str:
        """The prompt of a hit, or of the query, with settings for txt2img.

        The user's own ``negative`` prompt stays, unless the hit is an image that brings one along.
        A sample of the library has that of its checkpoint's settings, which is nobody's wish.

        Raises:
            RequestError, HostError: the answer is not remembered, or the checkpoint is gone.
        """
        asked, number = self._recall(body), body.get("hit")
        prompt, brought = asked.text, ""
        if type(number) is int and 1 <= number <= len(asked.hits):
            hit = asked.hits[number - 1]
            prompt = hit.prompt
            brought = "" if hit.source == LIBRARY else str(hit.settings.get("negative") or "")
        name = self.bridge.api.service.candidates.installed(text(body, "name")).name
        negative = brought or text(body, "negative", MAX_NEGATIVE)
        return self.bridge.infotext(name, prompt, negative)

    # -- folders ----------------------------------------------------------------------------------

    def state(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The folders, and how far they are read."""
        searches = self.bridge.api.searches
        return self._folders(searches.state())

    def read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Begin to read a folder that the host's configuration names.

        Raises:
            SearchError: it is none of those.
        """
        return self._folders(self.bridge.api.searches.read([text(body, "name")]))

    def cancel(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Stop reading; what was read is kept."""
        return self._folders(self.bridge.api.searches.cancel())

    def _folders(self, state: dict[str, Any]) -> dict[str, Any]:
        queued = {str(folder) for folder in self.bridge.api.searches.waiting()}
        rows = [
            {**row, "path": str(Path(row["folder"]).absolute()), "waiting": row["folder"] in queued}
            for row in state["folders"]
        ]
        images = sum(row["images"] for row in rows)
        panel = folders_panel({**state, "folders": rows})
        return {"reading": state["reading"], "images": images, "html": panel}
