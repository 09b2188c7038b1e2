"""Routes of the search by content: for checkpoints, or for samples with their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..base.errors import ImageError
from ..search.content import SCORES
from ..search.hits import LIBRARY, to_json
from ..search.pictures import ROUTE, picture_query, small_copy
from ..search.query import Query
from ..service.filters import ANY, Filter
from . import fields
from .handlers import Handlers
from .route import PREFIX, Json, picture, route
from .rows import sample_url

KINDS = ("checkpoints", "samples")
_LONG = 5000
_READING = (
    "`reading` (`done`, `total`, `what`) or null, the last `error` or null, and `folders` that the "
    "program's configuration names, each with the `images` that can be searched."
)


def _texts(description: str = "") -> fields.Field:
    return fields.texts("a list of at most 50 texts", 50, 0, _LONG, description=description)


class Searching(Handlers):
    """See the module's docstring."""

    @route(
        "POST search",
        "Search checkpoints or samples by what they show",
        "`checkpoints` (best first; for samples, where the hits come from), `hits` (samples with "
        "`image`, `prompt`, `seed`, `settings`, `checkpoint`), `notes`, `reading`, `error`.",
        kind=fields.choice(KINDS, _LONG),
        top=fields.whole(1, 200, 12),
        weights=fields.field(
            "an object of numbers",
            lambda value: isinstance(value, dict) and all(map(fields.is_number, value.values())),
            {},
            "object",
            description="of `text`, `image`, `sketch`, `tags`, `like`, `style`; usually 1",
        ),
        all=fields.flag("all tags, not any"),
        text=fields.text("", _LONG),
        images=fields.images(),
        sketches=fields.images(),
        tags=_texts(),
        like=fields.text("a checkpoint, as `library` lists it", _LONG),
        score=fields.text("", _LONG, None, enum=list(SCORES), nullable=True),
        having=_texts("judge checkpoints by samples whose prompts name one of these"),
        architecture=fields.text("only this one", _LONG, ANY),
        pattern=fields.text("only these names; see `rank`", _LONG),
    )
    def search(
        self,
        kind: str,
        top: int,
        having: Sequence[str],
        architecture: str,
        pattern: str,
        **asked: Any,
    ) -> Json:
        """Text, images, sketches, tags and a checkpoint may be given together. Samples that were
        never read are read first: then `reading` says how far that is, and nothing is found yet;
        ask again."""
        for key in ("images", "sketches"):
            asked[key] = [sent.image for sent in asked[key]]
        query = Query(all_tags=asked.pop("all"), **asked)
        wanted, searches = Filter(architecture, pattern), self.searches
        found: dict[str, Any] = {"checkpoints": [], "hits": [], "notes": []}
        if not searches.ready(query):
            return {**searches.state(), **found}
        state = {"reading": None, "error": None}
        if kind == "checkpoints":
            answer = searches.checkpoints(query, wanted, having)
            rows = [
                {**asdict(row), "evidence": [sample_url(file) for file in row.evidence]}
                for row in answer.checkpoints[:top]
            ]
            return {**state, "checkpoints": rows, "hits": [], "notes": list(answer.notes)}
        finding = searches.samples(query, top, wanted.unless_all())
        folders = self.service.host.image_folders()
        hits = [
            {**hit, "image": address(hit["file"], hit["source"], folders), "file": name_of(hit)}
            for hit in to_json(finding.hits)
        ]
        origins = [vars(row) for row in finding.origins]
        return {**state, "checkpoints": origins, "hits": hits, "notes": list(finding.notes)}

    @route("GET search", "What can be searched", _READING)
    def search_state(self) -> Json:
        """How far the reading of samples and images for the search is."""
        return self.searches.state()

    @route(
        "POST search/read",
        "Read samples and images for the search",
        _READING,
        folders=_texts("as `search` lists them"),
    )
    def read_for_search(self, folders: Sequence[str]) -> Json:
        """Reads what is new: the library's samples, then folders. Folders are only read where the
        program's configuration names them."""
        return self.searches.read(folders)

    @route("POST search/cancel", "Stop reading for the search", _READING)
    def cancel_search(self) -> Json:
        """What was read is kept."""
        return self.searches.cancel()

    @picture(
        ROUTE,
        "A picture of a folder that can be searched",
        "The picture, its longer side at most 512 pixels.",
        "There is no such picture among the images that were read for the search.",
        600,  # somebody may change the file
        folder=fields.text("as `search` lists it", fields.MAX_ADDRESS),
        file=fields.text("below the folder, with `/` between folders", fields.MAX_ADDRESS),
    )
    def search_picture(self, folder: str, file: str) -> bytes | None:
        """A small copy of an image that a search found in a folder. Only files that were read for
        the search are shown, and only of folders that the program's configuration names now; for
        anything else the answer is 404. `search` gives the addresses."""
        path = self.searches.picture(folder, file)
        try:
            return None if path is None else small_copy(path)
        except ImageError:  # gone, or damaged since it was read
            return None


def address(file: str, source: str, folders: Sequence[Path]) -> str | None:
    """Where the picture of a hit is served; ``None`` if it is in none of the host's folders."""
    if source == LIBRARY:
        return sample_url(file)
    query = picture_query(file, folders)
    return None if query is None else f"{PREFIX}/{ROUTE}?{query}"


def name_of(hit: Mapping[str, Any]) -> str:
    """What a hit's file is called, below the folder that it comes from."""
    file, source = Path(hit["file"]), hit["source"]
    if source != LIBRARY and file.is_relative_to(source):
        return file.relative_to(source).as_posix()
    return file.name
