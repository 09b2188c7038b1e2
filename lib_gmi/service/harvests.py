"""A host's harvest: what the images in its folders say, and specifications of them, on request."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..base.errors import GMIError
from ..metadata.mentions import Installed
from ..submitting.survey import Crop, Rules, Survey, survey
from .service import Service

IDLE, LOOKING, READY, GATHERING = "idle", "looking", "ready", "gathering"
#: A look that found nothing worth building is done again after so many times what it took, and no
#: sooner than after so many seconds.
_AGAIN, _PAUSE = 20.0, 5.0
#: Lines of what is not used, and of checkpoints that are not installed.
_LINES = 12
_BROKEN = "Something went wrong; the log says what. What was stored before is safe."


@dataclass
class HarvestState:
    """What faces show of a harvest.

    Attributes:
        state: ``idle``, ``looking``, ``ready`` (the survey can be shown) or ``gathering``.
        files: looked at so far.
        done: checkpoints that are finished of ``total``.
        total: checkpoints to be gathered.
        title: of the one that is being gathered.
        message: one sentence for people, or empty.
        survey: of the last look.
        built: titles and images of what was gathered.
        left_out: images that turned out not to be of use, by reason.
    """

    state: str = IDLE
    files: int = 0
    done: int = 0
    total: int = 0
    title: str | None = None
    message: str = ""
    survey: Survey | None = None
    built: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


class Harvests:
    """See the module's docstring. All methods may be called from any thread; none waits.

    Args:
        service: of the host, which names the folders.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._lock = threading.Lock()
        self._state = HarvestState()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_look = 0.0  # on the monotonic clock; see look_once

    def state(self) -> HarvestState:
        """The state now."""
        with self._lock:
            return replace(self._state)

    def look(self, rules: Rules | None = None) -> HarvestState:
        """Begin to read what the images say; nothing is built."""
        return self._begin(LOOKING, lambda: self._look(rules or Rules()))

    def look_once(self) -> HarvestState:
        """Begin to look if nobody has in this process and there are folders.

        One that found nothing worth building is done again later: people make images meanwhile. A
        cancelled one is not.
        """
        with self._lock:
            state, due = self._state, time.monotonic() >= self._next_look
        known = state.survey is not None and state.survey.enough
        host = self.service.host
        if known or not due or not (host.image_folders() or host.preview_folders()):
            return self.state()
        return self.look()

    def start(self, names: Sequence[str] | None = None, rules: Rules | None = None) -> HarvestState:
        """Look, and build specifications of what is enough.

        Args:
            names: of checkpoints; ``None`` for all.
            rules: which images are of use.
        """

        def work() -> None:
            chosen = rules or Rules()
            found = self._look(chosen).enough
            self._gather([c for c in found if names is None or c.candidate.name in names], chosen)

        return self._begin(LOOKING, work)

    def cancel(self) -> HarvestState:
        """Stop after the image that is being read; what is stored stays."""
        self._stop.set()
        return self.state()

    def join(self, timeout: float | None = None) -> None:
        """Wait until nothing is going on; for programs that end, and for tests."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    # -- inside -----------------------------------------------------------------------------------

    def _begin(self, state: str, work: Callable[[], Any]) -> HarvestState:
        with self._lock:
            if self._state.state in (LOOKING, GATHERING):
                return replace(self._state)  # one after the other; people press buttons twice
            self._state = HarvestState(state=state)
            self._next_look = math.inf
            self._stop.clear()
            self._thread = threading.Thread(
                target=self._run, args=(work,), name="gmi-harvest", daemon=True
            )
            self._thread.start()
            return replace(self._state)

    def _run(self, work: Callable[[], Any]) -> None:
        message, began = "", time.monotonic()
        try:
            work()
        except GMIError as error:
            message = str(error)
        except Exception:
            logging.exception("Find Best Model: a harvest failed")
            message = _BROKEN
        if self._stop.is_set():
            message = message or "Stopped. What was stored before is kept."
        else:
            ended = time.monotonic()
            with self._lock:
                self._next_look = ended + max(_AGAIN * (ended - began), _PAUSE)
        seen = self.state().survey is not None
        self._tell(state=READY if seen else IDLE, title=None, message=message)

    def _tell(self, **changes: Any) -> None:
        with self._lock:
            self._state = replace(self._state, **changes)

    def update(self, done: int, total: int, message: str = "") -> None:
        """See :class:`.protocols.Progress`: files that were looked at."""
        self._tell(files=done)

    def _look(self, rules: Rules) -> Survey:
        host = self.service.host
        installed = Installed(host.list_checkpoints(), host.hashed())
        folders = [*host.image_folders(), *host.preview_folders()]
        found = survey(folders, installed, rules, self, self._stop.is_set)
        self._tell(survey=found, files=found.files)
        return found

    def _gather(self, crops: Sequence[Crop], rules: Rules) -> None:
        if not crops:
            return
        service = self.service
        self._tell(state=GATHERING, total=len(crops))
        harvester = service.samples.harvester()
        try:
            for done, crop in enumerate(crops):
                if self._stop.is_set():
                    break
                self._tell(done=done, title=crop.candidate.title)
                stored, reasons = harvester.gather(crop, rules, stop=self._stop.is_set)
                now = self.state()
                built = dict(now.built)
                if stored is not None:
                    built[crop.candidate.title] = len(stored)
                self._tell(done=done + 1, built=built, left_out=now.left_out + reasons)
        finally:
            service.snapshots.advance_soon()


def harvest_json(state: HarvestState) -> dict[str, Any]:
    """What faces show, JSON-ready."""
    found = state.survey or Survey()
    return {
        "state": state.state,
        "files": state.files,
        "done": state.done,
        "total": state.total,
        "title": state.title,
        "message": state.message,
        "crops": [
            {
                "name": crop.candidate.name,
                "title": crop.candidate.title,
                "images": len(crop.finds),
                "missing": crop.missing,
            }
            for crop in found.crops
        ],
        "silent": found.silent,
        "left_out": _lines(found.left_out + state.left_out + _ambiguous(found)),
        "foreign": _lines(found.foreign),
        "cut_short": found.cut_short,
        "built": [{"title": title, "images": n} for title, n in state.built.items()],
    }


def _ambiguous(found: Survey) -> Counter[str]:
    images = found.ambiguous.total()
    return +Counter({"several checkpoints have the name that it gives": images})


def _lines(counted: Counter[str]) -> list[dict[str, Any]]:
    return [{"what": what, "images": number} for what, number in counted.most_common(_LINES)]
