"""Which candidates people want to see ranked: by architecture, name, folder."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..records.protocols import Candidate

#: Any architecture, in a filter.
ANY = "any"


@dataclass(frozen=True)
class Filter:
    """Which candidates to rank.

    Attributes:
        architecture: only this one, or :data:`ANY`.
        pattern: names with wildcards, several separated by commas; a folder ends in ``/``; a
            leading ``!`` takes away. Empty for all.
        names: only these; ``None`` for all.
    """

    architecture: str = ANY
    pattern: str = ""
    names: frozenset[str] | None = None

    def __call__(self, candidate: Candidate) -> bool:
        if self.names is not None and candidate.name not in self.names:
            return False
        if self.architecture not in (ANY, "", candidate.architecture):
            return False
        terms = [term.strip() for term in self.pattern.split(",") if term.strip()]
        wanted = [term for term in terms if not term.startswith("!")]
        unwanted = [term[1:].strip() for term in terms if term[:1] == "!" and term[1:].strip()]
        if any(_matches(candidate.name, term) for term in unwanted):
            return False
        return not wanted or any(_matches(candidate.name, term) for term in wanted)

    def unless_all(self) -> Filter | None:
        """This filter; ``None`` if it lets everything pass: then also what is not installed."""
        every = self.names is None and self.architecture in (ANY, "")
        return None if every and not self.pattern.strip() else self


def _matches(name: str, term: str) -> bool:
    """Case does not count, ``\\`` is ``/``; without wildcards any part of the name may match."""
    name, term = name.replace("\\", "/").lower(), term.replace("\\", "/").lower()
    if term.endswith("/"):
        return name.startswith(term)
    if term in name:
        return True
    last = name.rsplit("/", 1)[-1]
    return any(fnmatchcase(part, term) for part in (name, last, last.rsplit(".", 1)[0]))
