"""Which installed checkpoint the metadata of an image mean: by hash, or else by exact name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .metadata import CheckpointMention, Making
    from .protocols import Candidate

#: Digits of a SHA-256 that are enough to tell checkpoints apart. AUTOMATIC1111's old hash has 8,
#: of a part of the file, and is the same for many.
_DIGITS = 10
_SHA256 = "sha256:"


class Installed:
    """Finds installed checkpoints by what metadata call them. Never guesses.

    Args:
        candidates: the host's.
        better: whole hashes of files that ``candidates`` know by a quick identity, if any are
            known: ``quick:…`` → ``sha256:…``.
    """

    def __init__(
        self, candidates: Sequence[Candidate], better: Mapping[str, str] | None = None
    ) -> None:
        self._by_name: dict[str, list[Candidate]] = {}
        self._hashed: list[tuple[str, Candidate]] = []
        known = better or {}
        for candidate in candidates:
            identity = known.get(candidate.identity, candidate.identity)
            if identity.startswith(_SHA256):
                self._hashed.append((identity.removeprefix(_SHA256), candidate))
            for name in _names(candidate.name):
                self._by_name.setdefault(name, []).append(candidate)
        self._sha = {id(candidate): sha for sha, candidate in self._hashed}

    def find(self, mention: CheckpointMention | None) -> Candidate | None:
        """The checkpoint that is meant, or ``None`` if it is not installed or cannot be told.

        A hash decides, where the host knows the files' own; a name only counts for files whose
        hash is unknown, or where the image has none.
        """
        if mention is None:
            return None
        hashes = [digits.lower() for digits in mention.hashes if len(digits) >= _DIGITS]
        meant = [c for sha, c in self._hashed if any(sha.startswith(h) for h in hashes)]
        if meant:
            return _only(meant)
        named = self._by_name.get(_plain(mention.name or ""), [])
        if hashes:
            named = [candidate for candidate in named if id(candidate) not in self._sha]
        return _only(named)


@dataclass(frozen=True)
class MadeWith:
    """What an image's own metadata say of its checkpoint, for faces to show above a ranking.

    Attributes:
        image: number of the image among those of the query, from 1.
        name: of the checkpoint, as the file calls it.
        installed: the checkpoint it is, if that is installed.
        networks: LoRAs and the like that were loaded besides.
        processes: what else shaped the image, see :class:`.metadata.Making`.
        absent: what to say where ``installed`` is ``None``.
    """

    image: int
    name: str
    installed: Candidate | None
    networks: tuple[str, ...]
    processes: tuple[str, ...]
    absent: str = "it is not installed"

    @property
    def sentence(self) -> str:
        """For people."""
        name = self.name if self.installed is None else self.installed.title
        text = f"Made with {name}, according to the file"
        if self.installed is None:
            text += f"; {self.absent}"
        if self.networks:
            text += f". With {', '.join(self.networks[:3])}"
            if len(self.networks) > 3:
                text += f" and {len(self.networks) - 3} more"
        return text + "."

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "image": self.image,
            "name": self.name,
            "installed": None if self.installed is None else self.installed.name,
            "networks": list(self.networks),
            "processes": list(self.processes),
            "sentence": self.sentence,
        }


def made_with(makings: Sequence[Making | None], installed: Installed) -> list[MadeWith]:
    """What to say of the images of a query; nothing of those that say nothing themselves."""
    found = []
    for number, making in enumerate(makings, 1):
        mention = None if making is None else making.checkpoint
        if making is None or mention is None or not (mention.name or mention.hashes):
            continue
        name = mention.name or mention.hashes[0]
        networks = tuple(network.name for network in making.networks)
        processes = tuple(sorted(making.processes))
        found.append(MadeWith(number, name, installed.find(mention), networks, processes))
    return found


def _only(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one that all of these are: copies of a file are one candidate."""
    same = {candidate.identity for candidate in candidates}
    return candidates[0] if len(same) == 1 else None


def _names(name: str) -> set[str]:
    """What metadata may call a file: with folder and suffix, or without either."""
    whole = _plain(name)
    path = PurePath(whole)
    return {whole, path.name, path.stem, whole.removesuffix(path.suffix)}


def _plain(name: str) -> str:
    return name.strip().replace("\\", "/").casefold()
