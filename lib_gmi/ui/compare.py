"""A comparison takes minutes, so it runs beside the page, which asks now and then how it goes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ..base.errors import GMIError

BROKEN = "Something went wrong; the program's log says what."


@dataclass(frozen=True)
class Outcome:
    """How the newest comparison is going.

    Attributes:
        key: of the ranking it belongs to.
        running: still.
        picture: a data URI, once it is there.
        titles: of the checkpoints in it.
        trouble: what went wrong, or ``None``.
    """

    key: str
    running: bool = True
    picture: str = ""
    titles: tuple[str, ...] = ()
    trouble: str | None = None


class Comparison:
    """One comparison at a time: they all share one program. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcome: Outcome | None = None

    def of(self, key: str) -> Outcome | None:
        """The newest comparison, if it belongs to this ranking."""
        with self._lock:
            outcome = self._outcome
        return outcome if outcome is not None and outcome.key == key else None

    def start(self, key: str, titles: tuple[str, ...], work: Callable[[], str]) -> None:
        """Begin.

        Args:
            key: of the ranking.
            titles: of the checkpoints.
            work: makes the picture, as a data URI.

        Raises:
            GMIError: another one is under way.
        """
        with self._lock:
            if self._outcome is not None and self._outcome.running:
                raise GMIError("A comparison is under way. Wait until it is done.")
            self._outcome = Outcome(key, titles=titles)
        threading.Thread(
            target=self._run, args=(key, titles, work), name="gmi-compare", daemon=True
        ).start()

    def _run(self, key: str, titles: tuple[str, ...], work: Callable[[], str]) -> None:
        try:
            outcome = Outcome(key, False, work(), titles)
        except GMIError as error:
            outcome = Outcome(key, False, trouble=str(error))
        except BaseException:
            logging.exception("Find Best Model: a comparison stopped")
            outcome = Outcome(key, False, trouble=BROKEN)
        with self._lock:
            self._outcome = outcome
