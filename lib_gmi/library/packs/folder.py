"""A pack as a folder, the way that it lies in a library: written, read back, looked at."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...base.errors import PackError, SpecificationError
from ...base.files import write_atomic
from ...records.specification import Specification
from ...records.specification_file import from_bytes, to_bytes
from ..entries import stem
from ..samples import SampleStore
from ..store import SUFFIX as SPECIFICATION_SUFFIX
from .container import MAX_HEADER, Tensor, decode
from .pack import Pack, PackAbout, assemble, read_about, read_bytes
from .texts import page_link, strict_json

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
    content = _content(folder)
    name = folder.name
    tensors: dict[str, Tensor] = {}
    stored = []
    for number, file in enumerate(content["files"]):
        data = read_bytes(folder / _SPECIFICATIONS / file)
        _, arrays = decode(data, f"{name}/{file}")
        tensors.update({f"{number}/{key}": tensor for key, tensor in arrays.items()})
        try:
            specification = from_bytes(data, f"{name}/{file}")
        except SpecificationError as error:
            raise PackError(str(error)) from None
        stored.append((specification.describe(), stem(specification.key)))
        pairs = zip(specification.prompt_ids, specification.seeds, strict=True)
        for row, pair in enumerate(pairs):
            path = sample_path(folder, file, *pair)
            if path is not None:
                picture = read_bytes(path)
                tensors[f"{number}/thumbnails/{row}"] = Tensor("U8", (len(picture),), picture)
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
        about, _ = read_about(content["schema"], manifest, folder.name)
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
    data = read_bytes(path)
    try:
        specification = from_bytes(data, str(path))
    except SpecificationError as error:
        raise PackError(str(error)) from None
    misplaced = entry.file != stem(specification.key) + SPECIFICATION_SUFFIX
    if misplaced or specification.candidate.identity != entry.identity:
        raise PackError(f"{path}: is not the specification that the pack came with.")
    return specification


def sample_path(folder: Path, file: str, prompt_id: str, seed: int) -> Path | None:
    """The thumbnail of a sample in an installed pack, or ``None``."""
    samples = SampleStore(folder / _SAMPLES)
    return samples.open(Path(file).stem, samples.path("", prompt_id, seed).name)


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
    damaged = PackError(f"{path}: is damaged. Import the pack again.")
    try:
        text = read_bytes(path, 4 * MAX_HEADER).decode()
    except UnicodeDecodeError:
        raise damaged from None
    content = strict_json(text, str(path), "text")
    if not isinstance(content, dict):
        raise damaged
    manifest, files = content.get("manifest"), content.get("files")
    if not isinstance(manifest, dict) or not isinstance(content.get("schema"), str):
        raise damaged
    if not isinstance(files, list) or not isinstance(manifest.get("entries"), list):
        raise damaged
    if len(files) != len(manifest["entries"]):
        raise damaged
    if not all(isinstance(name, str) and _FILE.fullmatch(name) for name in files):
        raise damaged
    return content


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
