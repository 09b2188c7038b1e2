"""What a library says of a specification without reading its arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..records.specification import suspect_reason
from ..records.specification_file import read_settings

if TYPE_CHECKING:
    from ..records.protocols import GenerationSettings


def stem(key: str) -> str:
    """What the files of a specification are called, by its :attr:`~.Specification.key`."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Entry:
    """One specification as the catalogue knows it, without its arrays."""

    file: str
    content_hash: str
    described: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """What its file, and the folder of its samples, are called."""
        return Path(self.file).stem

    @property
    def title(self) -> str:
        return str(self.described["candidate"]["title"])

    @property
    def identity(self) -> str:
        return str(self.described["candidate"]["identity"])

    @property
    def samples(self) -> int:
        return len(self.described["prompt_ids"])

    @property
    def pairs(self) -> list[tuple[str, int]]:
        """Prompt id and seed of each sample, in the order of its rows."""
        seeds = map(int, self.described["seeds"])
        return list(zip(map(str, self.described["prompt_ids"]), seeds, strict=True))

    @property
    def way(self) -> tuple[str, ...]:
        """Equal for specifications that differ in nothing but their encoder."""
        return (self.identity, self.prompt_set_hash, repr(self.settings.to_json()))

    @property
    def prompt_set_size(self) -> int:
        return int(self.described["prompt_set"]["size"])

    @property
    def prompt_set_hash(self) -> str:
        return str(self.described["prompt_set"]["hash"])

    @property
    def encoder_id(self) -> str:
        return str(self.described["encoder_id"])

    @property
    def done(self) -> frozenset[str]:
        """Prompt ids that need not be generated again, those of broken samples included."""
        broken = {str(rejection["prompt_id"]) for rejection in self.described["rejected"]}
        return frozenset(broken.union(self.described["prompt_ids"]))

    @property
    def finished(self) -> int:
        """How many those are."""
        return len(self.done)

    @property
    def suspect(self) -> str | None:
        """See :attr:`.Specification.suspect`."""
        return suspect_reason([str(row["reason"]) for row in self.described["rejected"]])

    @property
    def settings(self) -> GenerationSettings:
        """That its samples were generated with."""
        return read_settings(self.described["settings"])

    @property
    def updated(self) -> float:
        """Unix time of the last change, in seconds."""
        return float(self.described["updated"])

    @property
    def texts(self) -> Mapping[str, str]:
        """See :attr:`.Specification.texts`."""
        return dict(self.described.get("texts", {}))

    @property
    def provenance(self) -> Mapping[str, Any]:
        """See :attr:`.Specification.provenance`."""
        return dict(self.described.get("provenance", {}))
