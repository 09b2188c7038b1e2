"""Spot checks of what packs say, as faces ask for them: the host decides when one is run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError, RankingError

if TYPE_CHECKING:
    from ..ranking.trust import SpotCheck
    from .service import Service

#: States of a check: in the host's queue, being compared, over, or not possible.
WAITING, COMPARING, DONE, FAILED = "waiting", "comparing", "done", "failed"
_GONE = "The check was taken out of the queue."
_BROKEN = "The check stopped. If nobody interrupted it, the log says what went wrong."


class Checks:
    """The spot checks of this process. All methods may be called from any thread.

    Args:
        service: of the host.

    Attributes:
        submit: hands a checkpoint's name to the host, which ends in :meth:`run`; here and now by
            default.
        queued: names that the host has yet to run.
        compare: runs the comparison, which takes as long as a fit; here and now by default.
        notify: called with an outcome whenever there is one.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.submit: Callable[[str], None] = self.run
        self.queued: Callable[[], Collection[str]] = tuple
        self.compare: Callable[[Callable[[], None]], None] = lambda work: work()
        self.notify: Callable[[dict[str, Any]], None] = lambda outcome: None
        self._lock = threading.Lock()
        #: By name; ``None`` from the moment that it is asked for.
        self._outcomes: dict[str, dict[str, Any] | None] = {}

    def ask(self, name: str) -> dict[str, Any]:
        """Have what a pack says of a checkpoint compared with a few images of it.

        Returns:
            See :meth:`outcomes`.

        Raises:
            RankingError: it is not installed, or no pack describes it.
        """
        candidate = self.service.installed(name)
        if candidate.identity not in {row.identity for row in self.service.packed()}:
            raise RankingError(f"{candidate.title}: no pack says anything that could be checked.")
        if name not in self.queued():  # people press buttons twice
            with self._lock:
                self._outcomes[name] = None
            self.submit(name)
        return self.outcomes()[name]

    def run(self, name: str) -> None:
        """Generate the images and compare them. The host calls this when its turn has come.

        Raises:
            BaseException: whatever the host raises when it is interrupted.
        """
        try:
            finish = self.service.begin_check(name)
        except GMIError as error:
            self._tell(_outcome(name, FAILED, str(error)))
            return
        except BaseException:
            self._tell(_outcome(name, FAILED, _BROKEN))
            raise
        self._tell(_outcome(name, COMPARING))
        self.compare(lambda: self._finish(name, finish))

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """``state``, ``sentence`` and ``doubtful`` of every check, by the checkpoint's name."""
        queued = self.queued()  # before the outcomes: a check is told before it leaves the queue
        with self._lock:
            found = dict(self._outcomes)
        missing = {name for name, outcome in found.items() if outcome is None}
        waiting = {name: _outcome(name, WAITING) for name in missing if name in queued}
        gone = {name: _outcome(name, FAILED, _GONE) for name in missing if name not in queued}
        return {**{name: o for name, o in found.items() if o is not None}, **waiting, **gone}

    def _finish(self, name: str, finish: Callable[[], SpotCheck]) -> None:
        try:
            found = finish()
        except GMIError as error:
            self._tell(_outcome(name, FAILED, str(error)))
        except Exception:
            logging.exception("Find Best Model: a spot check failed")
            self._tell(_outcome(name, FAILED, _BROKEN))
        else:
            self._tell(_outcome(name, DONE, found.sentence, found.doubtful))

    def _tell(self, outcome: dict[str, Any]) -> None:
        with self._lock:
            self._outcomes[outcome["name"]] = outcome
        self.notify(outcome)


def _outcome(
    name: str, state: str, sentence: str = "", doubtful: bool | None = None
) -> dict[str, Any]:
    return {"name": name, "state": state, "sentence": sentence, "doubtful": doubtful}
