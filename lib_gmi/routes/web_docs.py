"""What the routes tell about themselves at ``/docs``: OpenAPI, without a model of any library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..search.content import SCORES
from ..service.answers import RANKERS
from ..service.filters import ANY
from .api import MAX_IMAGES, MAX_PROMPT

TAG = "Find Best Model"
Schema = Mapping[str, Any]

_OBJECT: Schema = {"type": "object"}
_STRING = {"schema": {"type": "string"}}
_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "description": "of a checkpoint, as `library` lists it"}
_NAMES: Schema = {"type": "array", "items": _TEXT, "minItems": 1}
_LIMIT: Schema = {
    "type": "integer",
    "minimum": 1,
    "nullable": True,
    "description": "images of each checkpoint, for instance 4; null for all prompts",
}
_IMAGES: Schema = {
    "type": "array",
    "items": {"type": "string", "description": "base64, or a data URL"},
    "minItems": 1,
    "maxItems": MAX_IMAGES,
}
_ERROR = {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]}


@dataclass(frozen=True)
class Described:
    """One route.

    Attributes:
        summary: a few words.
        description: whole sentences, as Markdown.
        answer: what comes back.
        body: properties of the JSON object to send; ``None`` where nothing is sent.
        required: of those.
        query: names of parameters in the address, and what they are.
        kind: media type of the answer.
    """

    summary: str
    description: str
    answer: str
    body: Mapping[str, Schema] | None = None
    required: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    kind: str = "application/json"

    def request(self) -> dict[str, Any]:
        """What FastAPI cannot read off the handler."""
        found: dict[str, Any] = {}
        if self.query:
            found["parameters"] = [
                {
                    "name": name,
                    "in": "query",
                    "required": True,
                    "description": what,
                    "schema": _TEXT,
                }
                for name, what in self.query
            ]
        if self.body is not None:
            schema: dict[str, Any] = {"type": "object", "properties": dict(self.body)}
            if self.required:
                schema["required"] = list(self.required)
            content = {"application/json": {"schema": schema}}
            found["requestBody"] = {"required": True, "content": content}
        return found


def described(about: Described) -> dict[int | str, dict[str, Any]]:
    """The answers of a route."""
    problem = {"content": {"application/json": {"schema": _ERROR}}}
    schema = _OBJECT if about.kind == "application/json" else {"type": "string", "format": "binary"}
    return {
        200: {"description": about.answer, "content": {about.kind: {"schema": schema}}},
        400: {"description": "The request cannot be done; `error` says why.", **problem},
        401: {"description": "Nobody is logged in.", **problem},
        403: {"description": "The request comes from another machine or website.", **problem},
        500: {"description": "The library cannot be used; `error` says why.", **problem},
    }


_BUILD = (
    "The build: `state` (idle, running or paused), `done` of `total` images, `current`, "
    "`seconds_left`, `message`, `failed`, `problems`."
)

_HARVEST = (
    "The harvest: `state` (idle, looking, ready or gathering), `files` looked at, `crops` (for "
    "each checkpoint `images`, and how many are `missing`), `left_out`, `foreign`, `built`."
)
_CHECK = (
    "`state` (waiting, comparing, done or failed), `sentence` (what came of it), and `doubtful`: "
    "whether the pack should not be believed."
)
_RULES: dict[str, dict[str, Any]] = {
    "lossy": {"type": "boolean", "default": False, "description": "take JPEGs as well"},
    "networks": {"type": "number", "description": "the most that weights of LoRAs may add up to"},
    "allowed": {
        "type": "array",
        "items": {"type": "string"},
        "description": "what may have shaped an image besides, for instance `hires`",
    },
}

_READING = (
    "`reading` (`done`, `total`, `what`) or null, the last `error` or null, and `folders` that the "
    "program's configuration names, each with the `images` that can be searched."
)
_PICTURES: Schema = {
    "type": "array",
    "items": {"type": "string", "description": "base64, or a data URL"},
    "maxItems": MAX_IMAGES,
}
#: Routes that change nothing, by path.
LOOKS: dict[str, Described] = {
    "library": Described(
        "Checkpoints and their states",
        "Every installed checkpoint with its state, samples and settings, and the build.",
        "`checkpoints` (rows with `name`, `title`, `state`, `samples`, `settings`, `previews` …), "
        "`gone`, `groups` of near-duplicates, `build`, and what can be chosen from.",
    ),
    "build": Described("The build as it is now", "How far the build is.", _BUILD),
    "harvest": Described(
        "The harvest as it is now",
        "What the images in the program's folders say about how they were made, and how far a "
        "harvest is.",
        _HARVEST,
    ),
    "search": Described(
        "What can be searched",
        "How far the reading of samples and images for the search is.",
        _READING,
    ),
    "packs": Described(
        "Packs and spot checks of them",
        "The packs that were imported: specifications that others made.",
        "`packs` (rows with `id`, `title`, `author`, `licence`, `link`, how many `specifications` "
        "and how many of them are `installed`, `problem`), `writable`, `limit` (bytes of a pack "
        "that can be uploaded), `checks` (by checkpoint, see `packs/check`).",
    ),
    "recipe": Described(
        "The workflow of a recipe",
        "The workflow that a candidate of ComfyUI was generated with.",
        "`graph`: the workflow.",
        query=(("name", "of the candidate"),),
    ),
}
SAMPLE = Described(
    "A sample",
    "The picture of a sample. `library` and `rank` give the addresses.",
    "The picture.",
    kind="image/webp",
)
PICTURE = Described(
    "A picture of a folder that can be searched",
    "A small copy of an image that a search found in a folder. Only files that were read for the "
    "search are shown, and only of folders that the program's configuration names now; for "
    "anything else the answer is 404. `search` gives the addresses.",
    "The picture, its longer side at most 512 pixels.",
    query=(
        ("folder", "as `search` lists it"),
        ("file", "below the folder, with `/` between folders"),
    ),
    kind="image/webp",
)
#: Routes that change something or take long, by path.
CHANGES: dict[str, Described] = {
    "rank": Described(
        "Rank the checkpoints for images",
        f"Sends 1 to {MAX_IMAGES} images that are examples of one wish; returns which "
        "checkpoints make images like them.",
        "`verdict` (a sentence), `candidates` (best first, with `name`, `probability`, "
        "`score`, `samples` and `evidence`), `foreign`, `notes`, `prompt`, `missing`.",
        {
            "images": _IMAGES,
            "prompt": {
                "type": "string",
                "maxLength": MAX_PROMPT,
                "description": "what the images were, or could have been, made from",
            },
            "method": {"type": "string", "enum": list(RANKERS), "default": "auto"},
            "architecture": {"type": "string", "default": ANY, "description": "only this one"},
            "pattern": {
                "type": "string",
                "description": "only these names: `*` is a wildcard, commas separate, a "
                "folder ends in `/`, a leading `!` takes away",
            },
            "favourites": {"type": "boolean", "default": False},
            "top": {"type": "integer", "minimum": 1, "maximum": 200, "default": 12},
        },
        ("images",),
    ),
    "search": Described(
        "Search checkpoints or samples by what they show",
        "Text, images, sketches, tags and a checkpoint may be given together. Samples that were "
        "never read are read first: then `reading` says how far that is, and nothing is found yet; "
        "ask again.",
        "`checkpoints` (best first; for samples, where the hits come from), `hits` (samples with "
        "`image`, `prompt`, `seed`, `settings`, `checkpoint`), `notes`, `reading`, `error`.",
        {
            "kind": {"type": "string", "enum": ["checkpoints", "samples"]},
            "text": _TEXT,
            "images": _PICTURES,
            "sketches": _PICTURES,
            "tags": {"type": "array", "items": _TEXT},
            "all": {"type": "boolean", "default": False, "description": "all tags, not any"},
            "like": _NAME,
            "weights": {
                "type": "object",
                "description": "of `text`, `image`, `sketch`, `tags`, `like`, `style`; usually 1",
            },
            "score": {"type": "string", "enum": list(SCORES), "nullable": True},
            "having": {
                "type": "array",
                "items": _TEXT,
                "description": "judge checkpoints by samples whose prompts name one of these",
            },
            "architecture": {"type": "string", "default": ANY, "description": "only this one"},
            "pattern": {"type": "string", "description": "only these names; see `rank`"},
            "top": {"type": "integer", "minimum": 1, "maximum": 200, "default": 12},
        },
    ),
    "search/read": Described(
        "Read samples and images for the search",
        "Reads what is new: the library's samples, then folders. Folders are only read where the "
        "program's configuration names them.",
        _READING,
        {"folders": {"type": "array", "items": _TEXT, "description": "as `search` lists them"}},
    ),
    "search/cancel": Described(
        "Stop reading for the search", "What was read is kept.", _READING, {}
    ),
    "describe": Described(
        "Describe an image in words",
        "Asks interrogators one after the other until one has something to say of the first "
        "image. Slow ones are waited for; what they said is remembered.",
        "`prompt` (`text`, `source`: the interrogator, `confidence`), or null; `notes`: which "
        "interrogators did not work, and why.",
        {
            "images": _IMAGES,
            "interrogators": {
                "type": "string",
                "description": "their names in order, a comma list; by default the user's order",
            },
        },
        ("images",),
    ),
    "build": Described(
        "Build specifications",
        "Generates the images that are missing, one after the other, behind what people do.",
        _BUILD,
        {
            "names": {**_NAMES, "nullable": True, "description": "null for all"},
            "pattern": {"type": "string", "description": "in place of names; see `rank`"},
            "limit": _LIMIT,
        },
    ),
    "build/pause": Described(
        "Pause the build", "Stops after the image that is being generated.", _BUILD, {}
    ),
    "build/resume": Described("Resume the build", "Goes on where it was paused.", _BUILD, {}),
    "build/cancel": Described(
        "Cancel the build", "Stops at once; every finished image is kept.", _BUILD, {}
    ),
    "harvest/look": Described(
        "Look at images that exist",
        "Reads what the images in the program's own folders say about how they were made.",
        _HARVEST,
        {
            **_RULES,
            "once": {"type": "boolean", "description": "only if nobody has looked yet"},
        },
    ),
    "harvest/start": Described(
        "Use images that exist",
        "Looks, and builds specifications of checkpoints that have enough images.",
        _HARVEST,
        {
            "names": {**_NAMES, "nullable": True, "description": "null for all"},
            "rest": {**_LIMIT, "description": "build the others, so many images of each"},
            **_RULES,
        },
    ),
    "harvest/cancel": Described(
        "Stop the harvest", "What is stored already is kept.", _HARVEST, {}
    ),
    "packs/import": Described(
        "Import a pack",
        "Adds a pack, as a whole or not at all. What you have built yourself always counts first.",
        "`title`, and `new`: false if it was there already.",
        {"data": {"type": "string", "description": "the file as base64, or a data URL"}},
        ("data",),
    ),
    "packs/check": Described(
        "Compare a pack with a checkpoint",
        "Generates three images with an installed checkpoint and compares them with what a pack "
        "says of it. ComfyUI queues them: `packs` tells what came of it.",
        _CHECK,
        {"name": _NAME},
        ("name",),
    ),
    "packs/remove": Described(
        "Remove a pack",
        "Takes a pack out; it is kept in the library's folder `removed`, and can be imported "
        "from there.",
        "Nothing.",
        {"name": {"type": "string", "description": "id or title of the pack"}},
        ("name",),
    ),
    "settings": Described(
        "Change a checkpoint's settings",
        "Changes what its samples are generated with.",
        "The checkpoint's row, as in `library`.",
        {
            "name": _NAME,
            "settings": {
                "type": "object",
                "nullable": True,
                "description": "what differs from the preset, for instance "
                '`{"steps": 8, "cfg": 2}`; null goes back to the preset',
            },
        },
        ("name",),
    ),
    "load": Described(
        "Load a checkpoint",
        "Makes a checkpoint the program's current one, and sees that it was loaded.",
        "`loaded` and `before`: names of checkpoints, or null.",
        {"name": _NAME},
        ("name",),
    ),
    "favourite": Described(
        "Mark a favourite",
        "Marks a checkpoint as a favourite, or takes the mark away.",
        "`name` and `marked`.",
        {"name": _NAME, "marked": {"type": "boolean"}},
        ("name", "marked"),
    ),
    "remove": Described(
        "Remove specifications",
        "Takes specifications out of the library; they are kept in its folder `removed`.",
        "`removed`: how many.",
        {
            "names": {**_NAMES, "description": "of checkpoints; with `gone`, identities"},
            "gone": {
                "type": "boolean",
                "description": "of checkpoints that are not installed any more",
            },
        },
        ("names",),
    ),
    "rebuild": Described(
        "Build specifications anew",
        "Takes specifications out of the library and generates their images again.",
        _BUILD,
        {"names": {**_NAMES, "description": "of checkpoints"}, "limit": _LIMIT},
        ("names",),
    ),
    "verify": Described(
        "Check the library",
        "Reads every specification whole; damaged ones are set aside.",
        "`good`: how many; `damaged` and `unreadable`: which, and why.",
        {},
    ),
}
