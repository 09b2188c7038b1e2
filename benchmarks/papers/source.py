"""Where a benchmark's images come from: our own folder layout, or GEMRec-18K's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lib_gmi.base.errors import HostError
from lib_gmi.base.images import IMAGE_SUFFIXES
from lib_gmi.hosts.folder import FolderHost

from ..dataset import Split, five_folds
from ..own_task import read_task
from .gemrec import GEMRecFolder, metadata_of

if TYPE_CHECKING:
    from lib_gmi.records.protocols import Candidate

Source = FolderHost | GEMRecFolder


def open_source(folder: Path) -> Source:
    """A folder of images, whichever of the two layouts it has.

    Raises:
        HostError: it has neither.
        PromptSetError: its ``prompts.json`` is missing or malformed.
    """
    if not (folder / "images").is_dir() and metadata_of(folder) is not None:
        return GEMRecFolder(folder)
    return FolderHost(folder)


def downloads(source: Source) -> dict[str, int]:
    """Download counts by candidate: of ``downloads.json`` beside ``images``, or of the roster.

    Raises:
        HostError: ``downloads.json`` is no object of whole numbers.
    """
    if isinstance(source, GEMRecFolder):
        return source.downloads
    path = source.folder / "downloads.json"
    if not path.is_file():
        return {}
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): int(count) for name, count in counts.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise HostError(
            f'{path}: is not of the form {{"candidate": downloads, …}} ({error}).'
        ) from None


def splits_of(source: Source) -> list[Split]:
    """Which prompts are queries: what ``task.json`` says, or else five folds.

    Raises:
        HostError: the task names images that ``prompts.json`` does not.
    """
    ids = source.prompt_set.ids
    task = None if isinstance(source, GEMRecFolder) else read_task(source.folder)
    if task is None:
        return five_folds(len(ids))
    column = {id_: i for i, id_ in enumerate(ids)}
    if unknown := [id_ for part in task for id_ in part if id_ not in column]:
        raise HostError(f"{source.folder}: task.json names '{unknown[0]}', prompts.json does not.")
    specifications, queries = (tuple(column[id_] for id_ in part) for part in task)
    return [Split(specifications, queries, seed=0)]


def candidates_of(source: Source) -> list[Candidate]:
    """Every candidate, with its position by downloads as popularity where any are known."""
    candidates = source.list_checkpoints()
    counts = downloads(source)
    if not counts:
        return candidates
    order = sorted(candidates, key=lambda c: (-counts.get(c.name, -1), c.name))
    position = {c.name: i for i, c in enumerate(order)}
    return [replace(c, popularity=position[c.name]) for c in candidates]


def stamp(source: Source, candidate: Candidate) -> str:
    """Changes whenever a candidate's images do (their names or sizes in bytes)."""
    if isinstance(source, GEMRecFolder):
        files = source.files(candidate)
    else:
        folder = source.folder / "images" / candidate.name
        paths = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        files = {path.name: path for path in paths}
    sizes = [(name, files[name].stat().st_size) for name in sorted(files) if files[name].is_file()]
    return hashlib.sha256(json.dumps([candidate.identity, sizes]).encode()).hexdigest()
