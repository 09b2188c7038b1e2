"""The search route: a request → a query → checkpoints or samples with their pictures."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import ImageError, RequestError
from ..base.images import decode_image
from ..search.checkpoints import Query
from ..search.hits import LIBRARY, to_json
from ..search.pictures import ROUTE, picture_query, small_copy
from ..service.filters import ANY, Filter

if TYPE_CHECKING:
    from PIL import Image

    from ..service.searches import Searches

KINDS = ("checkpoints", "samples")
#: Of one query together, as they are uploaded.
_MOST_PICTURES, _MOST_BYTES = 8, 64 << 20
_MOST_TAGS, _MOST_TEXT = 50, 5000


def search(searches: Searches, body: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a request; ``reading`` is set, and nothing else, while samples have to be read first.

    Raises:
        RequestError: malformed.
        GMIError: nothing can be searched; the message says what to do.
    """
    kind = _text(body, "kind", KINDS[0])
    if kind not in KINDS:
        raise RequestError(f"Unknown kind. Known: {', '.join(KINDS)}.")
    top = body.get("top", 12)
    if type(top) is not int or not 1 <= top <= 200:
        raise RequestError("'top' must be a whole number from 1 to 200.")
    query, having = query_of(body), _texts(body, "having")
    architecture, pattern = _text(body, "architecture", ANY), _text(body, "pattern")
    wanted = Filter(architecture, pattern)
    if not searches.ready(query):
        return {**searches.state(), "checkpoints": [], "hits": [], "notes": []}
    state = {"reading": None, "error": None}
    if kind == "checkpoints":
        answer = searches.checkpoints(query, wanted, having)
        rows = [
            {**asdict(row), "evidence": [sample_address(file) for file in row.evidence]}
            for row in answer.checkpoints[:top]
        ]
        return {**state, "checkpoints": rows, "hits": [], "notes": list(answer.notes)}
    found = searches.samples(query, top, wanted.unless_all())
    folders = searches.service.host.image_folders()
    hits = [
        {**hit, "image": address(hit["file"], hit["source"], folders), "file": name_of(hit)}
        for hit in to_json(found.hits)
    ]
    origins = [vars(row) for row in found.origins]
    return {**state, "checkpoints": origins, "hits": hits, "notes": list(found.notes)}


def query_of(body: Mapping[str, Any]) -> Query:
    """The query of a request.

    Raises:
        RequestError: malformed.
        SearchError: it asks for nothing.
        ImageError: a picture cannot be read.
    """
    weights = body.get("weights", {})
    good = isinstance(weights, dict) and all(
        isinstance(w, int | float) and not isinstance(w, bool) for w in weights.values()
    )
    if not good:
        raise RequestError("'weights' must be an object of numbers.")
    all_tags = body.get("all", False)
    if not isinstance(all_tags, bool):
        raise RequestError("'all' must be true or false.")
    return Query(
        text=_text(body, "text"),
        images=_pictures(body, "images"),
        sketches=_pictures(body, "sketches"),
        tags=_texts(body, "tags"),
        all_tags=all_tags,
        like=_text(body, "like"),
        weights=weights,
        score=None if body.get("score") is None else _text(body, "score"),
    )


def folders_of(body: Mapping[str, Any]) -> list[str]:
    """The folders of a request, by name.

    Raises:
        RequestError: malformed.
    """
    return _texts(body, "folders")


def picture(searches: Searches, query: Mapping[str, str]) -> bytes | None:
    """The small copy of an image in an indexed folder, as WebP; ``None`` if it is not shown.

    Args:
        searches: of the host.
        query: ``folder`` as :meth:`.searches.Searches.state` names it, and ``file`` below it.
    """
    path = searches.picture(query.get("folder", ""), query.get("file", ""))
    try:
        return None if path is None else small_copy(path)
    except ImageError:  # gone, or damaged since it was read
        return None


def sample_address(file: str) -> str:
    """Where the picture of a sample of the library is served."""
    from .api import sample_url

    return sample_url(Path(file))


def address(file: str, source: str, folders: Sequence[Path]) -> str | None:
    """Where the picture of a hit is served; ``None`` if it is in none of the host's folders."""
    if source == LIBRARY:
        return sample_address(file)
    from .api import PREFIX

    query = picture_query(file, folders)
    return None if query is None else f"{PREFIX}/{ROUTE}?{query}"


def name_of(hit: Mapping[str, Any]) -> str:
    """What a hit's file is called, below the folder that it comes from."""
    file, source = Path(hit["file"]), hit["source"]
    if source != LIBRARY and file.is_relative_to(source):
        return file.relative_to(source).as_posix()
    return file.name


def _text(body: Mapping[str, Any], key: str, default: str = "") -> str:
    value = body.get(key, default)
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise RequestError(f"'{key}' must be a text of at most {_MOST_TEXT} characters.")
    return value


def _texts(body: Mapping[str, Any], key: str) -> list[str]:
    values = body.get(key, [])
    good = isinstance(values, list) and len(values) <= _MOST_TAGS
    if not good or not all(isinstance(v, str) and len(v) <= _MOST_TEXT for v in values):
        raise RequestError(f"'{key}' must be a list of at most {_MOST_TAGS} texts.")
    return list(values)


def _pictures(body: Mapping[str, Any], key: str) -> list[Image.Image]:
    pictures = body.get(key, [])
    if not isinstance(pictures, list) or len(pictures) > _MOST_PICTURES:
        raise RequestError(f"'{key}' must be a list of at most {_MOST_PICTURES} images.")
    if not all(isinstance(picture, str) for picture in pictures):
        raise RequestError(f"'{key}' must hold base64 texts or data URLs.")
    if sum(map(len, pictures)) > _MOST_BYTES * 4 // 3:
        raise RequestError(f"The images are larger than {_MOST_BYTES >> 20} MB together.")
    found = []
    for number, picture in enumerate(pictures, 1):
        _, comma, data = picture.partition(",")
        try:
            content = base64.b64decode(data if comma else picture, validate=True)
        except (binascii.Error, ValueError):
            raise RequestError(f"Image {number} of '{key}' is not valid base64.") from None
        found.append(decode_image(content, f"image {number} of '{key}'"))
    return found
