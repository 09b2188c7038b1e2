"""What the tab's first half asks for: rankings, and what hangs on them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError, InterrogatorError, RequestError
from ..base.recent import Recent
from ..routes.fields import MAX_PROMPT
from ..search.pictures import ROUTE, names_in
from ..service.answers import RANKERS
from ..service.filters import Filter
from . import cards, panels, words
from .bodies import text, texts
from .bridge import Bridge
from .compare import Comparison
from .parts import sample_key
from .ranking import ranking as ranking_html
from .share import ShareRow, share_card, short_hash
from .thumbs import Thumbs, data_uri
from .uploads import KEPT_FILES, Upload, Uploads

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import Candidate

TOP = 12
#: Characters of a negative prompt that the user wrote into txt2img.
MAX_NEGATIVE = 100_000
#: Bytes of answers that are remembered with the images that they are about, and what an answer
#: counts beside its images.
KEPT_ANSWERS = KEPT_FILES + (16 << 20)
_ANSWER = 256 << 10
_FORGOTTEN = "This ranking is not remembered any more. Rank again first."
_MOST_COMPARED = 6


@dataclass(frozen=True)
class Asked:
    """A question and its answer, for what people do with it next.

    Attributes:
        negative: the negative prompt of the image that the prompt was read from.
    """

    uploads: Sequence[Upload]
    answer: dict[str, Any]
    negative: str = ""

    @property
    def size(self) -> int:
        """Bytes that remembering takes, about: the images are what counts."""
        return _ANSWER + sum(len(upload.content) for upload in self.uploads)

    @property
    def prompt(self) -> str:
        """The (pseudo-)prompt, or an empty text."""
        return str((self.answer["prompt"] or {}).get("text", ""))


class Finding:
    """Handlers, dict → dict. For any thread.

    Args:
        bridge: to the program.
        thumbs: of samples.
    """

    def __init__(self, bridge: Bridge, thumbs: Thumbs) -> None:
        self.bridge = bridge
        self.thumbs = thumbs
        self.comparison = Comparison()
        self._uploads = Uploads()
        self._asked: Recent[str, Asked] = Recent(KEPT_ANSWERS, lambda asked: asked.size)

    def rank(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Rank for images; loads nothing.

        Raises:
            RequestError: malformed.
            UnknownImageError: an image has to be sent again.
            GMIError: nothing can be ranked; the message says what to do.
        """
        uploads = self._uploads.read(body.get("images"))
        prompt, typed = text(body, "prompt", MAX_PROMPT).strip(), body.get("typed") is True
        found, negative = (None, "") if typed else self._prompt_of(uploads)
        prompt = prompt if typed else found or ""
        method = text(body, "method") or "auto"
        if method not in RANKERS:
            raise RequestError(f"Unknown method. Known: {', '.join(RANKERS)}.")
        wanted = self.wanted(body)
        service = self.bridge.api.service
        images = [upload.image for upload in uploads]
        makings = [upload.making for upload in uploads]
        answer = self.bridge.api.ranked(images, makings, prompt, method, wanted, TOP)
        key = secrets.token_hex(16)
        self._asked.put(key, Asked(uploads, answer, negative))
        query = cards.Query(
            key,
            self.bridge.abilities,
            service.favourites.names(),
            self.bridge.current(),
            found_prompt=found is not None,
        )
        best = answer["candidates"][0] if answer["candidates"] else None
        usable = best is not None and best["kind"] == "checkpoint" and not answer["foreign"]
        return {
            "html": ranking_html(answer, query),
            "query": key,
            "prompt": found,
            "foreign": answer["foreign"],
            "best": best["name"] if best is not None and usable else None,
            "best_title": best["title"] if best is not None and usable else None,
            "current": query.current,
        }

    def _prompt_of(self, uploads: Sequence[Upload]) -> tuple[str | None, str]:
        """Prompt and negative prompt as an image's own metadata say them.

        Whatever is wrong with metadata is no reason to stop.
        """
        for upload in uploads:
            with contextlib.suppress(Exception):
                prompt = self.bridge.prompt_of(upload.original())
                if prompt and prompt.strip():
                    making = upload.making
                    negative = "" if making is None else making.negative or ""
                    return prompt.strip()[:MAX_PROMPT], negative
        return None, ""

    def wanted(self, body: Mapping[str, Any]) -> Filter:
        """Which checkpoints the page's filters let through.

        Raises:
            RequestError: malformed.
        """
        service = self.bridge.api.service
        architectures = texts(body, "architectures")
        families = {words.architecture(key) for key in architectures}
        folders = texts(body, "folders")
        favourites = service.favourites.names() if body.get("favourites") is True else None
        if not architectures and not folders:
            return Filter(names=favourites)

        def passes(candidate: Candidate) -> bool:
            name = candidate.name.replace("\\", "/")
            return (
                (not families or words.architecture(candidate.architecture) in families)
                and (not folders or any(name.startswith(folder) for folder in folders))
                and (favourites is None or candidate.name in favourites)
            )

        return Filter(names=frozenset(c.name for c in service.candidates.all() if passes(c)))

    def _recall(self, body: Mapping[str, Any]) -> tuple[str, Asked]:
        key = text(body, "query")
        asked = self._asked.get(key)
        if asked is None:
            raise RequestError(_FORGOTTEN)
        return key, asked

    def describe(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The first image in words, by the interrogators in the user's order.

        Raises:
            RequestError, UnknownImageError: as above.
            InterrogatorError: none of them has anything to say, or the order is wrong.
        """
        uploads = self._uploads.read(body.get("images"))
        service = self.bridge.api.service
        images = [upload.image for upload in uploads]
        described = service.descriptions.interrogate(images[:1], uploads[0].making)
        if described.prompt is None:
            reasons = " ".join(described.notes) or "No interrogator has anything to say."
            raise InterrogatorError(f"{reasons} Describe the image in your own words.")
        return {
            "prompt": described.prompt.text[:MAX_PROMPT],
            "source": described.prompt.source,
            "notes": list(described.notes),
        }

    def load(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Load a checkpoint; says which one was loaded before, for those who want it back.

        Raises:
            HostError: it is gone, or another one was loaded.
        """
        before = self.bridge.current()
        name = self.bridge.api.service.candidates.installed(text(body, "name")).name
        self.bridge.load(name)
        title = self.bridge.title_of(name)
        return {"before": before, "current": self.bridge.current(), "title": title}

    def infotext(self, body: Mapping[str, Any]) -> str:
        """Prompt and settings for txt2img.

        The user's own ``negative`` prompt stays, unless the image brings one along.

        Raises:
            RequestError, HostError: as above.
        """
        name = self.bridge.api.service.candidates.installed(text(body, "name")).name
        asked = self._recall(body)[1]
        negative = asked.negative or text(body, "negative", MAX_NEGATIVE)
        return self.bridge.infotext(name, asked.prompt, negative)

    def samples(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """All samples of a checkpoint.

        Raises:
            RequestError: there is no checkpoint of that name.
        """
        service = self.bridge.api.service
        name = text(body, "name")
        candidate = next((c for c in service.candidates.all() if c.name == name), None)
        if candidate is None:
            raise RequestError(f"'{name}' is not an installed checkpoint.")
        shown = service.states.of(candidate).shown
        prompts = {prompt.id: prompt.text for prompt in service.prompt_set.prompts}
        found = []
        for prompt_id in () if shown is None else shown.described["prompt_ids"]:
            path = None if shown is None else service.samples.sample(shown, prompt_id)
            if path is not None:
                key = f"{path.parent.name}/{path.name}"
                found.append((key, prompts.get(prompt_id, prompt_id)))
        return {"dialog": cards.samples_grid(candidate.title, found)}

    def pictures(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Samples as data URIs, by the keys that the page has; small, or ``whole``."""
        whole = body.get("whole") is True
        found = {}
        for key in texts(body, "keys")[:64]:
            folder, _, file = key.partition("/")
            path = self.bridge.api.sample(folder, file)
            make = self.thumbs.whole if whole else self.thumbs.small
            if path is None and f"{folder}/{file}".startswith(f"{ROUTE}?"):
                path = self.bridge.api.searches.picture(*names_in(file.partition("?")[2]))
                make = self.thumbs.large if whole else self.thumbs.small
            found[key] = None if path is None else make(path)
        return {"pictures": found}

    def compare(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Begin to compare the best few; the page asks for the outcome.

        Raises:
            RequestError: malformed, or there is no prompt.
            GMIError: another comparison is under way.
        """
        key, asked = self._recall(body)
        count, seed = body.get("count"), body.get("seed")
        if type(count) is not int or not 2 <= count <= _MOST_COMPARED:
            raise RequestError(f"Choose 2 to {_MOST_COMPARED} checkpoints.")
        if type(seed) is not int or not 0 <= seed < 1 << 32:
            raise RequestError("The seed must be a whole number from 0 to 4294967295.")
        if not asked.prompt:
            raise RequestError("A comparison needs a prompt.")
        rows = [row for row in asked.answer["candidates"] if row["kind"] == "checkpoint"][:count]
        names, titles = [row["name"] for row in rows], [row["title"] for row in rows]

        def work() -> str:
            images = self.bridge.compare(names, asked.prompt, seed)
            return self._sheet(asked, titles, images)

        self.comparison.start(key, tuple(titles), work)
        return {}

    def _sheet(self, asked: Asked, titles: Sequence[str], images: Sequence[Image.Image]) -> str:
        import io

        from ..base.grids import side_by_side

        pictures = [("Your image", asked.uploads[0].image), *zip(titles, images, strict=True)]
        buffer = io.BytesIO()
        columns = 4 if len(pictures) != 5 else 3
        side_by_side(pictures, columns=columns).save(buffer, "WEBP", quality=88)
        return data_uri(buffer.getvalue(), "webp")

    def share(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The share card of a ranking.

        Raises:
            RequestError: the ranking is not remembered.
        """
        _, asked = self._recall(body)
        service = self.bridge.api.service
        identities = {c.name: c.identity for c in service.candidates.all()}
        rows = [
            ShareRow(
                words.last_part(row["name"]),
                row["probability"],
                self._samples(row),
                short_hash(identities.get(row["name"], "")),
                words.architecture(row["architecture"]) if row["architecture"] else "",
            )
            for row in asked.answer["candidates"][:3]
        ]
        verdict = "Nothing fits well" if asked.answer["foreign"] else ""
        images = [upload.image for upload in asked.uploads]
        return {"dialog": panels.card_dialog(data_uri(share_card(images, rows, verdict), "png"))}

    def _samples(self, row: Mapping[str, Any]) -> list[Image.Image]:
        from ..base.images import open_image

        found = []
        for sample in row["evidence"][:2]:
            if sample["image"] is None:
                continue
            folder, _, file = sample_key(sample["image"]).partition("/")
            path = self.bridge.api.sample(folder, file)
            with contextlib.suppress(GMIError):
                if path is not None:
                    found.append(open_image(path))
        return found
