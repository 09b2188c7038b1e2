"""A pack as a folder, the way that it lies in a library: written, checked, looked at; and which of
the specifications of packs add something to the user's own."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...base.errors import PackError
from ...base.files import write_atomic
from ...records.protocols import Exclusion
from ...records.specification_file import to_bytes
from ..entries import stem
from ..samples import SampleStore
from ..store import SUFFIX as SPECIFICATION_SUFFIX
from .container import MAX_HEADER, decode
from .entries import parse_specification
from .pack import Pack, PackAbout, assemble, read_about, read_bytes
from .texts import page_link, strict_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...records.specification import Specification

PACK_FILE = "pack.json"
_SPECIFICATIONS, _SAMPLES = "specifications", "samples"
_FILE = re.compile(r"[0-9a-f]{32}" + re.escape(SPECIFICATION_SUFFIX))
#: What changes whenever a file of a folder does.
FolderState = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class PackEntry:
    """One specification of an installed pack, without its arrays.

    Attributes:
        file: its name in the pack's folder.
        identity: of the candidate.
        title: of the candidate.
        size: of the checkpoint's file in bytes, 0 if unknown.
        samples: how many it has.
        of_samples: how many its prompt set has.
        encoder_id: of the features.
    """

    file: str
    identity: str
    title: str
    size: int
    samples: int
    of_samples: int
    encoder_id: str


@dataclass(frozen=True)
class PackInfo:
    """An installed pack, without its arrays.

    Attributes:
        id: a hash of its content.
        about: what its author says of it.
        folder: where it is.
        entries: its specifications.
        imported: Unix time, in seconds.
        problem: why it cannot be used, or ``None``; ``entries`` is empty then.
    """

    id: str
    about: PackAbout
    folder: Path
    entries: tuple[PackEntry, ...] = ()
    imported: int = 0
    problem: str | None = None

    @property
    def identities(self) -> frozenset[str]:
        """Of the checkpoints that it describes."""
        return frozenset(entry.identity for entry in self.entries)

    def installed(self, identities: Collection[str]) -> int:
        """How many of its checkpoints are among these."""
        return len(self.identities.intersection(identities))

    @cached_property
    def contents(self) -> tuple[list[PackedSpecification], list[Exclusion]]:
        """Its specifications with their arrays, read once, and what could not be read, with the
        reason; a damaged file stops no other."""
        problems = [] if self.problem is None else [Exclusion(self.about.title, self.problem)]
        found = []
        for entry in self.entries:
            try:
                specification = read_specification(self.folder, entry)
                found.append(PackedSpecification(specification, self, entry.file))
            except PackError as error:
                problems.append(Exclusion(entry.title, str(error)))
        return found, problems

    def to_json(self, identities: Collection[str]) -> dict[str, Any]:
        """All of it, JSON-ready; ``identities`` are of the checkpoints that there are."""
        return {
            "id": self.id,
            **vars(self.about),
            "problem": self.problem,
            "imported": self.imported,
            "folder": str(self.folder),
            "checkpoints": [
                {
                    "title": entry.title,
                    "identity": entry.identity,
                    "samples": entry.samples,
                    "of_samples": entry.of_samples,
                    "encoder": entry.encoder_id,
                    "installed": entry.identity in identities,
                    "page": page_link(entry.identity),
                }
                for entry in self.entries
            ],
        }


@dataclass(frozen=True, eq=False)
class PackedSpecification:
    """A specification, the pack that it came with, and its file's name there."""

    specification: Specification
    pack: PackInfo
    file: str

    @property
    def identity(self) -> str:
        """Of the candidate."""
        return self.specification.candidate.identity

    @property
    def page(self) -> str | None:
        """Where a person may find the checkpoint; ``None`` where no file is known."""
        return page_link(self.identity)


def visible(
    own: Sequence[Specification],
    packed: Sequence[PackedSpecification],
    hashed: Mapping[str, str] | None = None,
) -> list[PackedSpecification]:
    """The packed specifications that add something to the user's own.

    What the user has of a candidate always wins over what a pack says of it, however either was
    built. Of several packs, the one with the most samples of a candidate counts.

    Args:
        own: the user's.
        packed: of all packs.
        hashed: better identities of files that the user's are known by another one of, old → new.
    """
    names = hashed or {}
    # one encoder's features say nothing to another
    known = {(s.encoder_id, names.get(s.candidate.identity, s.candidate.identity)) for s in own}
    chosen = []
    for candidate in sorted(packed, key=_preference):
        of = (candidate.specification.encoder_id, candidate.identity)
        if of not in known:
            known.add(of)
            chosen.append(candidate)
    return chosen


def _preference(packed: PackedSpecification) -> tuple[bool, int, float, str]:
    """Shared prompts first, which compare best, then most samples, then the newest; the rest only
    makes the order definite."""
    specification = packed.specification
    return (
        specification.own_prompts,
        -len(specification),
        -specification.updated,
        packed.pack.id + packed.file,
    )


def write_folder(folder: Path, pack: Pack) -> None:
    """Write a pack, file by file. Nothing may look at the folder before this returns.

    Raises:
        LibraryError: it cannot be written; what was written so far is left.
    """
    samples = SampleStore(folder / _SAMPLES)
    files = []
    for specification in pack.specifications:
        name = stem(specification.key)
        files.append(name + SPECIFICATION_SUFFIX)
        write_atomic(folder / _SPECIFICATIONS / files[-1], to_bytes(specification))
        for (prompt_id, seed), data in pack.thumbnails.get(specification.key, {}).items():
            samples.write(name, prompt_id, seed, data)
    content = {
        "schema": pack.schema,
        "manifest": pack.manifest,
        "files": files,
        "imported": int(time.time()),
    }
    write_atomic(folder / PACK_FILE, json.dumps(content, ensure_ascii=False).encode())


def read_folder(folder: Path) -> Pack:
    """Read and check a pack that was imported once, as strictly as its file.

    Raises:
        PackError: something is damaged, missing or altered.
    """
    content, samples = _content(folder), SampleStore(folder / _SAMPLES)
    name = folder.name
    tensors: dict[str, NDArray[Any]] = {}
    stored = []
    for number, file in enumerate(content["files"]):
        data = read_bytes(folder / _SPECIFICATIONS / file)
        _, arrays = decode(data, f"{name}/{file}")
        tensors |= {f"{number}/{key}": array for key, array in arrays.items()}
        specification = parse_specification(data, f"{name}/{file}")
        stored.append((specification.describe(), stem(specification.key)))
        pairs = zip(specification.prompt_ids, specification.seeds, strict=True)
        for row, pair in enumerate(pairs):
            path = samples.open(Path(file).stem, samples.path("", *pair).name)
            if path is not None:
                picture = np.frombuffer(read_bytes(path), dtype=np.uint8)
                tensors[f"{number}/thumbnails/{row}"] = picture
    pack = assemble(content["schema"], content["manifest"], tensors, name)
    for file, ours, theirs in zip(content["files"], stored, pack.specifications, strict=True):
        if ours != (theirs.describe(), file.removesuffix(SPECIFICATION_SUFFIX)):
            raise PackError(f"{name}/{file}: is not the specification that the pack came with.")
    return pack


def read_info(folder: Path) -> PackInfo:
    """What an installed pack says of itself; a damaged one says what is wrong with it."""
    try:
        content = _content(folder)
        manifest = content["manifest"]
        about = read_about(content["schema"], manifest, folder.name)
        if manifest["id"] != folder.name:
            raise PackError(f"{folder}: is not called like the pack in it.")
        entries = tuple(map(_entry, content["files"], manifest["entries"]))
        return PackInfo(folder.name, about, folder, entries, int(content["imported"]))
    except PackError as error:
        return PackInfo(folder.name, PackAbout(folder.name), folder, problem=str(error))
    except (KeyError, TypeError, ValueError):
        problem = f"{folder / PACK_FILE}: is damaged. Import the pack again."
        return PackInfo(folder.name, PackAbout(folder.name), folder, problem=problem)


def read_specification(folder: Path, entry: PackEntry) -> Specification:
    """One specification of an installed pack.

    Raises:
        PackError: it is missing, damaged or not the one that the pack came with.
    """
    path = folder / _SPECIFICATIONS / entry.file
    specification = parse_specification(read_bytes(path), str(path))
    misplaced = entry.file != stem(specification.key) + SPECIFICATION_SUFFIX
    if misplaced or specification.candidate.identity != entry.identity:
        raise PackError(f"{path}: is not the specification that the pack came with.")
    return specification


def folder_state(folder: Path) -> FolderState:
    """See :data:`FolderState`; empty if the folder cannot be listed."""
    rows = []
    try:
        for path in [folder / PACK_FILE, *(folder / _SPECIFICATIONS).iterdir()]:
            status = path.stat()
            rows.append((path.name, status.st_size, status.st_mtime_ns, status.st_ino))
    except OSError:
        return ()
    return tuple(sorted(rows))


def _content(folder: Path) -> dict[str, Any]:
    """``pack.json``, its outline checked."""
    path = folder / PACK_FILE
    try:
        content = strict_json(read_bytes(path, 4 * MAX_HEADER).decode(), str(path), "text")
        files, good = content["files"], isinstance(content["schema"], str)
        good = good and isinstance(content["manifest"], dict) and isinstance(files, list)
        good = good and isinstance(content["manifest"]["entries"], list)
        good = good and len(files) == len(content["manifest"]["entries"])
        good = good and all(isinstance(name, str) and _FILE.fullmatch(name) for name in files)
    except (UnicodeDecodeError, KeyError, TypeError):
        good = False
    if not good:
        raise PackError(f"{path}: is damaged. Import the pack again.")
    return dict(content)


def _entry(file: str, described: Any) -> PackEntry:
    candidate = described["candidate"]
    return PackEntry(
        file,
        str(candidate["identity"]),
        str(candidate["title"]),
        int(candidate.get("size", 0)),
        len(described["prompt_ids"]),
        int(described["prompt_set"]["size"]),
        str(described["encoder_id"]),
    )
