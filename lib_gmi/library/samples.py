"""The samples themselves: small copies beside the specifications that were made from them.

    <library>/samples/<as the specification's file>/<prompt id>-<seed>.webp

They are what a ranking shows, and what a new encoder reads instead of generating everything again.
A sample is written before the row of features that it explains, so a row never lacks its picture
through a crash; a picture without a row is harmless.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

from ..base.errors import LibraryError
from ..base.files import read_regular, replace_file, write_atomic

SUFFIX = ".webp"
#: Where a host has no settings page of ours.
LIMIT_VARIABLE = "GMI_SAMPLES_LIMIT"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
_FOLDER = re.compile(r"[0-9a-f]{32}")
_FILE = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}--?[0-9]{1,20}\.webp")


def limit_from_environment() -> int:
    """Megabytes that samples may take, by ``$GMI_SAMPLES_LIMIT``; 0 for any, and for what is no
    number."""
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    return int(text) if text.isascii() and text.isdigit() else 0


class SampleStore:
    """The folder ``samples`` of a library. Whoever writes holds the library's lock or owns the row.

    Args:
        folder: created on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, stem: str, prompt_id: str, seed: int) -> Path:
        """Where a sample is kept, whether or not it exists.

        Args:
            stem: of the specification's file.
            prompt_id: any text; what does not suit a file name is hashed.
            seed: of the sample.
        """
        name = prompt_id
        if not _PLAIN.fullmatch(prompt_id):
            name = "p" + hashlib.sha256(prompt_id.encode("utf-8", "replace")).hexdigest()[:24]
        return self.folder / stem / f"{name}-{seed}{SUFFIX}"

    def write(self, stem: str, prompt_id: str, seed: int, data: bytes) -> Path:
        """Keep a sample.

        Raises:
            LibraryError: it cannot be written.
        """
        path = self.path(stem, prompt_id, seed)
        write_atomic(path, data)
        return path

    def find(self, stem: str, prompt_id: str, seed: int) -> Path | None:
        """The file of a sample, or ``None`` if none was kept."""
        path = self.path(stem, prompt_id, seed)
        return path if path.is_file() else None

    def open(self, stem: str, file: str) -> Path | None:
        """A sample by the two names that :meth:`path` made up; ``None`` for anything else.

        The names may come from the network: only what this class could have written is looked for.
        """
        if not _FOLDER.fullmatch(stem) or not _FILE.fullmatch(file):
            return None
        path = self.folder / stem / file
        linked = path.is_symlink() or path.parent.is_symlink()
        return path if path.is_file() and not linked else None

    def move(self, stem: str, target: Path) -> None:
        """Move the samples of one specification to another folder, into what is there already.

        Raises:
            LibraryError: a file cannot be moved; nothing is lost.
        """
        source = self.folder / stem
        if not source.is_dir():
            return
        try:
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(source.iterdir()):
                replace_file(path, target / path.name)
            source.rmdir()
        except OSError as error:
            raise LibraryError(
                f"{source}: cannot be moved to {target} ({error.strerror or error})."
            ) from None

    def share(self, stem: str, other: str, prompt_id: str, seed: int) -> None:
        """Let another specification have a sample as well; takes no room where links are possible.

        Args:
            stem: of the specification that has it.
            other: of the one that shall have it.
            prompt_id: of the sample.
            seed: of the sample.

        Raises:
            LibraryError: there is no such sample, or it cannot be written.
        """
        source, target = self.path(stem, prompt_id, seed), self.path(other, prompt_id, seed)
        if target.exists():
            return
        with contextlib.suppress(OSError, NotImplementedError):  # not every drive can link
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)
            return
        try:
            data = read_regular(source)
        except OSError as error:
            raise LibraryError(f"{source}: cannot be read ({error.strerror or error}).") from None
        write_atomic(target, data)

    def has_room(self, limit: int) -> bool:
        """Whether more samples may be kept.

        Args:
            limit: of all samples together, in megabytes; 0 for none.
        """
        return limit <= 0 or self.size() < limit << 20

    def size(self) -> int:
        """Bytes that all samples take on the disk; what several specifications share, once."""
        sizes: dict[tuple[int, int], int] = {}
        for path in self.folder.glob(f"*/*{SUFFIX}"):
            with contextlib.suppress(OSError):
                status = path.stat()
                # without an inode number (some network drives) each file counts for itself
                key = (status.st_dev, status.st_ino) if status.st_ino else (-1, len(sizes))
                sizes[key] = status.st_size
        return sum(sizes.values())
