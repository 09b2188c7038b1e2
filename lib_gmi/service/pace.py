"""How long samples take on this machine, learned while they are made."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean, median_low
from typing import Any

#: So many durations are remembered of each kind.
_REMEMBERED = 9
#: Seconds for one sample that can be believed.
_LONGEST = 86_400.0


class Pace:
    """Seconds per sample, by architecture.

    The first sample of a job takes as long as its checkpoint takes to load, and a sample; each of
    the others takes a sample only. The two are learned apart. They are medians: one image during
    which the machine slept says nothing about the next.
    """

    def __init__(self) -> None:
        self._first: dict[str, list[float]] = {}
        self._other: dict[str, list[float]] = {}

    def note(self, architecture: str, seconds: float, first: bool) -> None:
        """Learn from one sample.

        Args:
            architecture: of the checkpoint, or an empty string.
            seconds: it took, without what was spent waiting for people.
            first: whether it was the first of its job, for which the checkpoint was loaded.
        """
        remembered = (self._first if first else self._other).setdefault(architecture, [])
        remembered.append(max(seconds, 0.0))
        del remembered[:-_REMEMBERED]

    def sample(self, architecture: str | None = None) -> float | None:
        """Seconds for a sample whose checkpoint is loaded.

        Of all architectures where this one was not measured yet; ``None`` where none was.
        """
        known = self._known()
        if architecture in known:
            return self._sample(architecture or "")
        return mean(map(self._sample, known)) if known else None

    def load(self, architecture: str | None = None) -> float:
        """Seconds that loading a checkpoint adds to the first sample of a job; 0 if unknown."""
        known = {key for key in self._first if key in self._other}
        if architecture in known:
            return self._load(architecture or "")
        return mean(map(self._load, known)) if known else 0.0

    def _known(self) -> set[str]:
        return self._first.keys() | self._other.keys()

    def _sample(self, architecture: str) -> float:
        # a first sample is never quicker than another, so both bound it
        found = (self._first.get(architecture), self._other.get(architecture))
        return min(median_low(seconds) for seconds in found if seconds)

    def _load(self, architecture: str) -> float:
        return median_low(self._first[architecture]) - self._sample(architecture)

    # -- files ------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, dict[str, float]]:
        """What a file keeps of it."""
        known = sorted(self._known())
        return {
            "pace": {key: self._sample(key) for key in known},
            "first": {key: median_low(seconds) for key, seconds in sorted(self._first.items())},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Pace:
        """What :meth:`to_json` gave; versions before this one gave no ``first``.

        Raises:
            ValueError, TypeError, AttributeError, KeyError: the data are something else.
        """
        found = cls()
        for kept, into in ((data["pace"], found._other), (data.get("first", {}), found._first)):
            for key, value in kept.items():
                if 0 < float(value) < _LONGEST:
                    into[str(key)] = [float(value)]
        return found
