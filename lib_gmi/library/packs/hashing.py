"""Hashes of checkpoint files, read only where a file can be the one that is looked for."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...base.errors import PackError
from ...checkpoints.header import checkpoint_files as all_checkpoint_files
from ...checkpoints.identity import full_identity, quick_identity

if TYPE_CHECKING:
    from ...records.protocols import Progress
    from ...records.specification import Specification
    from .folder import PackInfo


def checkpoint_files(folder: Path, sizes: Collection[int]) -> list[Path]:
    """Checkpoint files anywhere in a folder that have one of these sizes, by name.

    Args:
        folder: of checkpoints.
        sizes: in bytes; a 0 among them stands for any size.

    Raises:
        PackError: there is no such folder.
    """
    if not folder.is_dir():
        raise PackError(f"{folder}: is not a folder. Name the one that holds your checkpoints.")
    found = []
    for path in all_checkpoint_files(folder):
        with contextlib.suppress(OSError):  # gone by now
            size = path.stat().st_size
            if 0 in sizes or size in sizes:
                found.append(path)
    return found


def present(packs: Iterable[PackInfo], folder: Path, progress: Progress | None = None) -> set[str]:
    """Identities of the files in a folder that can be a checkpoint of these packs.

    Files of the right size are read whole, the others not at all.

    Raises:
        HostError: a file cannot be read.
        PackError: there is no such folder.
    """
    entries = [e for pack in packs for e in pack.entries if e.identity.startswith("sha256:")]
    files = checkpoint_files(folder, {entry.size for entry in entries})
    return {full_identity(path, progress) for path in files}


def with_full_hashes(
    specifications: Sequence[Specification], folder: Path, progress: Progress | None = None
) -> list[Specification]:
    """Specifications in which quick identities have become full ones, where the file is found.

    The library is not changed.

    Args:
        specifications: any.
        folder: that the checkpoints are in, or in a folder of it.
        progress: told while a file is read.

    Raises:
        HostError: a file cannot be read.
        PackError: there is no such folder.
    """
    wanted = {
        s.candidate.identity: s.candidate.size
        for s in specifications
        if s.candidate.identity.startswith("quick:")
    }
    full: dict[str, str] = {}
    for path in checkpoint_files(folder, set(wanted.values())):
        quick = quick_identity(path)
        if quick in wanted and quick not in full:
            full[quick] = full_identity(path, progress)
    renamed = []
    for specification in specifications:
        candidate = specification.candidate
        identity = full.get(candidate.identity, candidate.identity)
        renamed.append(replace(specification, candidate=replace(candidate, identity=identity)))
    return renamed
