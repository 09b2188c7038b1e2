"""What both web servers serve, and what they refuse to read: the adapters add only their server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .api import MAX_UPLOAD, Api

#: Of requests that carry neither images nor packs.
MAX_BODY = 4 << 20
#: Those that carry them.
UPLOADS = ("rank", "describe", "search", "packs/import")
#: Commas, colons and brackets in a request: some of each for every value that it holds. A request
#: has a few hundred; each value takes up to a hundred times its text while it is read.
MAX_MARKS = 200_000
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
#: Of a sample. The name holds prompt and seed, the folder the way it was built: it never changes.
SAMPLE_HEADERS = {"Cache-Control": "private, max-age=86400", **NO_SNIFFING}
#: Of a picture of a folder, which somebody may change.
PICTURE_HEADERS = {"Cache-Control": "private, max-age=600", **NO_SNIFFING}
NO_PICTURE = "There is no such picture among the images that were read for the search."

_MOST_DIGITS = 100

#: Routes that change nothing, by path; they get the request's query.
LOOKS: dict[str, Callable[[Api, Mapping[str, str]], dict[str, Any]]] = {
    "library": lambda api, query: api.library(),
    "build": lambda api, query: api.build(),
    "harvest": lambda api, query: api.harvest(),
    "search": lambda api, query: api.searches.state(),
    "packs": lambda api, query: api.shared(),
    "recipe": lambda api, query: api.recipe(query.get("name", "")),
}
#: Routes that change something or take long, by path; they get the request's JSON.
CHANGES: dict[str, Callable[[Api, Mapping[str, Any]], dict[str, Any]]] = {
    "rank": lambda api, body: api.rank(body),
    "search": lambda api, body: api.search(body),
    "search/read": lambda api, body: api.read_for_search(body),
    "search/cancel": lambda api, body: api.searches.cancel(),
    "describe": lambda api, body: api.describe(body),
    "build": lambda api, body: api.start_build(body),
    "build/pause": lambda api, body: api.pause_build(body),
    "build/resume": lambda api, body: api.resume_build(body),
    "build/cancel": lambda api, body: api.cancel_build(body),
    "harvest/look": lambda api, body: api.look_at_images(body),
    "harvest/start": lambda api, body: api.start_harvest(body),
    "harvest/cancel": lambda api, body: api.cancel_harvest(body),
    "packs/import": lambda api, body: api.import_pack(body),
    "packs/check": lambda api, body: api.check_pack(body),
    "packs/remove": lambda api, body: api.remove_pack(body),
    "settings": lambda api, body: api.set_settings(body),
    "load": lambda api, body: api.load(body),
    "favourite": lambda api, body: api.set_favourite(body),
    "rebuild": lambda api, body: api.rebuild(body),
    "verify": lambda api, body: api.verify(body),
    "remove": lambda api, body: api.remove(body),
}


def limit_of(path: str) -> int:
    """The most bytes that a request to one of :data:`CHANGES` may have."""
    return MAX_UPLOAD * 3 // 2 if path in UPLOADS else MAX_BODY


def unreadable(headers: Mapping[str, str], limit: int) -> tuple[int, str] | None:
    """Status and reason, if a request's body is not even read.

    Args:
        headers: looked up without regard to case by the mapping itself.
        limit: bytes.
    """
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return 415, "Send JSON, with the header Content-Type: application/json."
    length = headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        return 411, "Send the length of the request."
    if len(length) > 18 or int(length) > limit:
        return too_large(limit)
    return None


def parse(content: bytes | bytearray) -> Any:
    """A request's JSON. What it holds is counted before anything is made of it.

    Raises:
        ValueError: it is no JSON, or of too many values.
        RecursionError: it is nested too deeply.
    """
    if sum(map(content.count, (b",", b":", b"[", b"{"))) > MAX_MARKS:
        raise ValueError("too many values")
    return json.loads(content, parse_int=_int)


def _int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:  # an old Python takes minutes for a million of them
        raise ValueError("a number of too many digits")
    return int(digits)


def too_large(limit: int) -> tuple[int, str]:
    """Status and reason for a request of more bytes."""
    return 413, f"The request is larger than {limit >> 20} MB."
