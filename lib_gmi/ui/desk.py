"""Answers the page's questions: JSON text in, JSON text out, no gradio in sight."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ..base.errors import GMIError
from . import building, panels, rows
from .bodies import text
from .bridge import Bridge
from .compare import BROKEN
from .finding import Finding
from .harvest import harvest_panel
from .kept import Kept
from .markup import Html, digest, tag
from .packs import packs_panel
from .parts import trouble
from .searching import Searching
from .settings_form import settings_form
from .thumbs import Thumbs
from .uploads import UnknownImageError

Handler = Callable[[Mapping[str, Any]], dict[str, Any]]
_COMPARING = "Comparing. The checkpoints are loaded one after the other, so this takes a while."


class Desk:
    """One for each tab that is built. For any thread; it keeps nothing about who asks.

    Args:
        bridge: to the program.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.finding = Finding(bridge, Thumbs())
        self.searching = Searching(bridge, self.finding)
        self._made_previews: set[str] = set()
        self._kept = Kept()

    def _handlers(self) -> dict[str, Handler]:
        """What can be asked. What needs the program's library looks for it when it is asked."""
        finding, searching = self.finding, self.searching

        def of_api(method: str) -> Handler:
            def handler(body: Mapping[str, Any]) -> dict[str, Any]:
                found: dict[str, Any] = getattr(self.bridge.api, method)(body)
                return found

            return handler

        return {
            "state": self.state,
            "rank": finding.rank,
            "describe": finding.describe,
            "load": finding.load,
            "samples": finding.samples,
            "pictures": finding.pictures,
            "compare": finding.compare,
            "search": searching.search,
            "search-state": searching.state,
            "search-read": searching.read,
            "search-cancel": searching.cancel,
            "search-export": searching.export,
            "share": finding.share,
            "settings": self.settings,
            "settings-save": of_api("set_settings"),
            "favourite": of_api("set_favourite"),
            "build": of_api("start_build"),
            "build-pause": of_api("pause_build"),
            "build-resume": of_api("resume_build"),
            "build-cancel": of_api("cancel_build"),
            "build-now": self.build_now,
            "harvest-look": of_api("look_at_images"),
            "harvest-start": of_api("start_harvest"),
            "harvest-cancel": of_api("cancel_harvest"),
            "rebuild": of_api("rebuild"),
            "delete": of_api("remove"),
            "verify": self.verify,
            "pack-check": self.check_pack,
            "pack-import": of_api("import_pack"),
            "pack-remove": of_api("remove_pack"),
            "preview-make": self.make_preview,
            "preview-undo": self.undo_preview,
        }

    def answer(self, question: str) -> str:
        """A question of the page, which names a handler with ``do``.

        Returns:
            JSON with the question's ``id``, and ``error`` and its HTML where something is wrong.
        """
        return self._answered(question, lambda body: self._handler(body)(body))

    def send(self, question: str) -> tuple[str, str]:
        """The same for what goes to txt2img; the infotext comes second, empty if there is none."""
        infotext: list[str] = []

        def handler(body: Mapping[str, Any]) -> dict[str, Any]:
            half = self.searching if "search" in body else self.finding
            infotext.append(half.infotext(body))
            return {}

        return self._answered(question, handler), (infotext or [""])[0]

    def _handler(self, body: Mapping[str, Any]) -> Handler:
        handler = self._handlers().get(str(body.get("do")))
        if handler is None:
            raise GMIError("The page and the program do not fit together. Reload the page.")
        return handler

    def _answered(self, question: str, handler: Handler) -> str:
        number: Any = None
        try:
            body = json.loads(question)
            if not isinstance(body, dict):
                raise GMIError("The question is malformed. Reload the page.")
            number = body.get("id")
            found = handler(body)
        except UnknownImageError:
            found = {"resend": True}
        except GMIError as error:
            found = {"error": str(error), "html": trouble(str(error))}
        except Exception:
            logging.exception("Find Best Model: the tab's question failed")
            found = {"error": BROKEN, "html": trouble(BROKEN)}
        return json.dumps({**found, "id": number})

    # -- the page as it is now --------------------------------------------------------------------

    def state(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that is not a ranking, as far as the page does not have it yet.

        ``known`` holds digests of the regions that the page shows, ``rows`` those of the table. As
        long as a build is running, ``full: false`` asks for the build alone.
        """
        known = _digests(body, "known")
        build = self.bridge.api.build()
        if build["state"] == "idle" or body.get("full") is not False:
            return self._full(body, known)
        waiting = self._waiting(build)
        regions = {
            "strip": building.strip(build, waiting),
            "build": building.build_panel({"build": build}, waiting, None),
        }
        return self._common(body, build) | {"regions": _changed(regions, known)}

    def _full(self, body: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
        bridge = self.bridge
        library = bridge.api.library()
        build = library["build"]
        waiting = self._waiting(build)
        guess = None if library["seconds_per_sample"] else bridge.seconds_per_sample()
        looks = library["first_run"] and library["checkpoints"] and bridge.abilities.build
        harvest = bridge.api.look_at_images({"once": True}) if looks else bridge.api.harvest()
        regions = {
            "strip": building.strip(build, waiting),
            "first": panels.first_run(library, bridge.abilities.build, guess, harvest),
            "filters": panels.filters(library),
            "search-filters": panels.filters(library),
            "counts": panels.counts(library, self._kept.bytes(bridge.api.service.library.samples)),
            "states": panels.state_chips(library, bridge.abilities.build),
            "build": building.build_panel(library, waiting, guess),
            "extras": rows.extras(library),
            "packs": packs_panel(bridge.api.packs(), not bridge.api.service.library.read_only),
        }
        if bridge.abilities.build:
            regions["harvest"] = harvest_panel(harvest)
        deletable = not bridge.api.service.library.read_only
        table = {
            row["name"]: rows.row(row, bridge.abilities, self._preview(row), deletable)
            for row in library["checkpoints"]
        }
        busy = library["fitting"] or harvest["state"] in ("looking", "gathering")
        return self._common(body, build, busy) | {
            "regions": _changed(regions, known),
            "rows": _changed(table, _digests(body, "rows")),
            "order": list(table),
            "first_run": library["first_run"],
            # where nothing is built, pictures that are not there will not come either
            "pictured": bridge.abilities.build or _pictured(library),
            "favourites": [row["name"] for row in library["checkpoints"] if row["favourite"]],
            "snapshot": library["snapshot"],
            "likes": _likes(library),
        }

    def _common(
        self, body: Mapping[str, Any], build: Mapping[str, Any], busy: bool = False
    ) -> dict[str, Any]:
        outcome = self.finding.comparison.of(text(body, "query"))
        comparing = outcome is not None and outcome.running
        answer: dict[str, Any] = {
            "busy": build["state"] == "running" or busy or comparing,
            "blur": self.bridge.preferences().blur,
            "current": self.bridge.current(),
            "building": (build["current"] or {}).get("name"),
            "build_state": build["state"],
        }
        if outcome is not None:
            key = f"{outcome.key} {outcome.running}"
            if digest(key) != text(body, "comparison"):
                answer["comparison"] = [digest(key), self._comparison(outcome)]
        return answer

    def _comparison(self, outcome: Any) -> Html:
        if outcome.running:
            return tag("p", {"class": "gmi-waiting"}, tag("span", None, _COMPARING))
        if outcome.trouble is not None:
            return trouble(outcome.trouble)
        return panels.comparison(outcome.picture, list(outcome.titles))

    def _waiting(self, build: Mapping[str, Any]) -> str | None:
        return self.bridge.waiting_for() if build["state"] == "running" else None

    def _preview(self, row: Mapping[str, Any]) -> str | None:
        name = row["name"]
        if not self.bridge.abilities.preview or row["kind"] != "checkpoint":
            return None
        try:
            exists = self.bridge.preview_exists(name)
        except GMIError:  # its file is gone
            return None
        if exists:
            return "undo" if name in self._made_previews else None
        return "make" if row["previews"] else None

    # -- what people do ---------------------------------------------------------------------------

    def settings(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The form with a checkpoint's settings.

        Raises:
            GMIError: it has none.
        """
        library = self.bridge.api.library()
        name = text(body, "name")
        row = next((row for row in library["checkpoints"] if row["name"] == name), None)
        if row is None or row["settings"] is None:
            raise GMIError(f"'{name}' has no settings.")
        return {"dialog": settings_form(row, library, self.bridge.abilities.build)}

    def build_now(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Do not wait for the user to be idle."""
        self.bridge.build_now()
        return {}

    def verify(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Read every specification whole."""
        return {"dialog": panels.verified(self.bridge.api.verify(body))}

    def check_pack(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Compare what a pack says of a checkpoint with a few images of it."""
        found = self.bridge.api.checks.check(text(body, "name"))
        return {"dialog": tag("p", {"class": "gmi-question"}, found.sentence)}

    def make_preview(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Put the best sample beside a checkpoint's file.

        Raises:
            HostError: see :meth:`.bridge.Bridge.make_preview`.
        """
        name = self.bridge.api.service.candidates.installed(text(body, "name")).name
        self.bridge.make_preview(name)
        self._made_previews.add(name)
        return {}

    def undo_preview(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Take it away again.

        Raises:
            HostError: see :meth:`.bridge.Bridge.undo_preview`.
        """
        name = self.bridge.api.service.candidates.installed(text(body, "name")).name
        self.bridge.undo_preview(name)
        self._made_previews.discard(name)
        return {}


def _likes(library: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and title of the checkpoints that others can be like."""
    rows = library["checkpoints"]
    return [(row["name"], row["title"]) for row in rows if row["samples"] or row["harvested"]]


def _pictured(library: Mapping[str, Any]) -> bool:
    return any(row["previews"] for row in library["checkpoints"])


def _digests(body: Mapping[str, Any], key: str) -> Mapping[str, str]:
    found = body.get(key)
    return found if isinstance(found, dict) else {}


def _changed(pieces: Mapping[str, Html], known: Mapping[str, str]) -> dict[str, list[str]]:
    """Digest and HTML of what the page does not have."""
    found = {name: [digest(html), html] for name, html in pieces.items()}
    return {name: pair for name, pair in found.items() if known.get(name) != pair[0]}
