"""Which installed checkpoint the metadata of an image mean: by hash, or else by exact name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .values import file_stem, plain_name, without_suffix

if TYPE_CHECKING:
    from ..records.protocols import Candidate
    from . import CheckpointMention, Making

#: Digits of a SHA-256 that are enough to tell checkpoints apart. AUTOMATIC1111's old hash has 8,
#: of a part of the file, and is the same for many.
_DIGITS = 10
_SHA256 = "sha256:"
#: Processes that begin with another picture.
_EDITED = {"edit", "img2img", "inpaint"}


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
        self._candidates = list(candidates)
        self._by_name: dict[str, list[Candidate]] = {}
        self._by_stem: dict[str, list[Candidate]] = {}
        self._hashed: list[tuple[str, Candidate]] = []
        known = better or {}
        for candidate in candidates:
            identity = known.get(candidate.identity, candidate.identity)
            if identity.startswith(_SHA256):
                self._hashed.append((identity.removeprefix(_SHA256), candidate))
            for name in _names(candidate.name):
                self._by_name.setdefault(name, []).append(candidate)
            self._by_stem.setdefault(file_stem(candidate.name), []).append(candidate)
        self._sha = {id(candidate): sha for sha, candidate in self._hashed}

    def find(self, mention: CheckpointMention | None) -> Candidate | None:
        """The checkpoint that is meant, or ``None`` if it is not installed or cannot be told.

        A hash decides, where the host knows the files' own; then Civitai's version, where a file
        beside a checkpoint names it. A name only counts for files whose hash is unknown, or where
        the image has none: the whole name with its folders, or else the file's alone.
        """
        meant = self.meant(mention)
        return meant[0] if len(meant) == 1 else None

    def meant(self, mention: CheckpointMention | None) -> list[Candidate]:
        """All that may be meant: none that is installed, one, or several of the same name."""
        if mention is None:
            return []
        hashes = [digits.lower() for digits in mention.hashes if len(digits) >= _DIGITS]
        meant = [c for sha, c in self._hashed if any(sha.startswith(h) for h in hashes)]
        if not meant and mention.version_id is not None:
            meant = self._by_version.get(mention.version_id, [])
        if meant:
            return _distinct(meant)
        named = self._named(mention.name or "")
        if hashes:
            named = [candidate for candidate in named if id(candidate) not in self._sha]
        return _distinct(named)

    def _named(self, name: str) -> list[Candidate]:
        """Those of this name; folders tell files of one name apart, but need not be the same."""
        whole = plain_name(name)
        found = self._by_name.get(whole, [])
        if found or not whole:
            return found
        found = self._by_stem.get(file_stem(name), [])
        tail = "/" + without_suffix(whole)
        under = [c for c in found if ("/" + without_suffix(plain_name(c.name))).endswith(tail)]
        return under or found

    @cached_property
    def _by_version(self) -> dict[int, list[Candidate]]:
        """Those that a file beside them says to be a version on Civitai."""
        from . import sidecar_making

        found: dict[int, list[Candidate]] = {}
        for candidate in self._candidates:
            beside = None if candidate.path is None else sidecar_making(candidate.path)
            said = None if beside is None else beside.checkpoint
            if said is not None and said.version_id is not None:
                found.setdefault(said.version_id, []).append(candidate)
        return found


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
        told: the whole sentence, where the file is not said to be of any checkpoint.
    """

    image: int
    name: str
    installed: Candidate | None
    networks: tuple[str, ...]
    processes: tuple[str, ...]
    absent: str = "it is not installed"
    told: str | None = None

    @property
    def sentence(self) -> str:
        """For people."""
        if self.told is not None:
            return self.told
        name = self.name if self.installed is None else self.installed.title
        begun = "Another picture, edited" if _EDITED & set(self.processes) else "Made"
        text = f"{begun} with {name}, according to the file"
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
        if making is None:
            continue
        mention = making.checkpoint
        networks = tuple(network.name for network in making.networks)
        processes = tuple(sorted(making.processes))
        if mention is None:
            told = _elsewhere(making)
            if told is not None:
                name = making.made_by or making.program
                found.append(MadeWith(number, name, None, networks, processes, told=told))
            continue
        meant = installed.meant(mention)
        absent = MadeWith.absent if not meant else "several checkpoints of yours have this name"
        only = meant[0] if len(meant) == 1 else None
        found.append(MadeWith(number, mention.label, only, networks, processes, absent))
    return found


def _elsewhere(making: Making) -> str | None:
    """What to say of a picture that no checkpoint made; ``None`` where the file does not say so."""
    by = "" if making.made_by is None else f" ({making.made_by})"
    if making.program == "camera":
        return f"A photograph{by}, according to the file: not from a checkpoint of yours."
    if "service" in making.processes:
        return f"Made by a service{by}, according to the file: not from a checkpoint of yours."
    return None


def _distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Each once: copies of a file are one candidate."""
    return list({candidate.identity: candidate for candidate in reversed(candidates)}.values())


def _names(name: str) -> set[str]:
    """What metadata may call a file: with folder and suffix, or without either."""
    whole = plain_name(name)
    path = PurePath(whole)
    return {whole, path.name, path.stem, whole.removesuffix(path.suffix)}
