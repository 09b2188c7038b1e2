"""Output folders as something to search: vectors of their images and what the files say.

    <library>/index/<hash of folder and encoder>/
      folder.json                     which folder, which encoder
      <number>.safetensors            up to 1,024 images: vectors in float16, and their descriptions
      approximate.faiss               optional, see vectors.py

An update reads what is new or has changed (by size and time of change), and forgets what is gone.
Images are stored a few at a time: an update that is stopped, or killed, goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import ImageError, LibraryError
from ..base.files import TooLargeError, read_regular, walk
from ..base.images import IMAGE_SUFFIXES, MAX_BYTES, decode_image, groups, unreadable_here
from ..base.json_file import JsonFile, read_json
from ..base.stamps import time_stamp
from ..base.vectors import unit
from ..metadata import making_in, plain_prompt
from ..records.protocols import Progress, SilentProgress
from .chunks import Chunk, read_files, write_chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from ..metadata import Making
    from ..records.protocols import JointEncoder

#: Images of one file of vectors, and images that are encoded and stored at a time.
_PER_CHUNK, _AT_ONCE = 1024, 32
_MOST_TEXT = 2000
#: Numbers of a vector, and files that are named.
_MOST_DIM, _MOST_NAMED = 1 << 16, 1000
_VERSION = 1


@dataclass
class Update:
    """What an update of an index did.

    Attributes:
        new: images that were not there before.
        changed: images that were read again.
        gone: images that were forgotten.
        kept: images that had not changed.
        skipped: files that are not in the index, by reason.
        left_out: which those are (below the folder) and why, the first thousand.
        stopped: somebody stopped it; the next update goes on.
    """

    new: int = 0
    changed: int = 0
    gone: int = 0
    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    stopped: bool = False

    def leave_out(self, file: str, reason: str) -> None:
        """Count a file that is not taken in, and remember its name."""
        self.skipped[reason] += 1
        if len(self.left_out) < _MOST_NAMED:
            self.left_out.append((file, reason))

    def to_json(self) -> dict[str, Any]:
        """For other programs."""
        named = [{"file": file, "reason": reason} for file, reason in self.left_out]
        return {**vars(self), "skipped": dict(self.skipped), "left_out": named}


class FolderIndex:
    """The index of one folder; see the module's docstring.

    Args:
        home: the library's folder.
        folder: with images; everything below it counts, linked folders too.
        encoder_id: of the joint encoder.
        dim: numbers of a vector.

    Attributes:
        place: the folder of the index.
        approximate: the file of the approximate index, where one was made.
    """

    def __init__(self, home: Path, folder: Path, encoder_id: str, dim: int) -> None:
        self.folder, self.encoder_id, self.dim = Path(folder).absolute(), encoder_id, dim
        text = f"{_VERSION}\n{encoder_id}\n{self.folder}"
        name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self.place = home / "index" / name
        self.approximate = self.place / "approximate.faiss"
        self._about: JsonFile[dict[str, Any]] = JsonFile(self.place / "folder.json", dict, dict)

    def update(
        self,
        joint: JointEncoder,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Update:
        """Bring the index to the folder's present state.

        Args:
            joint: the encoder whose id this index has.
            progress: told after every few images.
            stop: asked then whether to end early.

        Raises:
            ImageError: the folder cannot be listed; the index stays as it is.
            LibraryError: nothing can be stored, or another process updates the same index.
            EncoderError: the encoder does not work.
        """
        progress, done = progress or SilentProgress(), Update()
        files, closed = list_below(self.folder)
        for place in closed:
            done.leave_out(place, "folders that cannot be read")
        for path in [path for path in files if unreadable_here(Path(path))]:
            del files[path]
            done.leave_out(path, str(unreadable_here(Path(path))))
        with self._about.locked():
            chunks = self._chunks()
            known = self._forget(chunks, files, bool(closed), done)
            todo = [path for path in files if path not in known]
            about = {"folder": str(self.folder), "encoder": self.encoder_id, "dim": self.dim}
            if self._about.cached() != about:
                self._about.write(about)
            for start in range(0, len(todo), _AT_ONCE):
                if stop():
                    done.stopped = True
                    break
                self._take_in(todo[start : start + _AT_ONCE], files, joint, chunks, done)
                progress.update(min(start + _AT_ONCE, len(todo)), len(todo), str(self.folder))
        return done

    def _forget(
        self, chunks: list[Chunk], files: Mapping[str, str], partial: bool, done: Update
    ) -> set[str]:
        """Take out what is gone or has changed; returns what is up to date."""
        known: set[str] = set()
        for number, chunk in enumerate(chunks):
            keep = []
            for row, described in enumerate(chunk.rows):
                path = str(described["path"])
                hidden = partial and path not in files  # may be in a folder that is closed now
                if path not in known and (hidden or files.get(path) == described["stamp"]):
                    known.add(path)
                    keep.append(row)
                elif path in files:
                    done.changed += 1
                else:
                    done.gone += 1
            if len(keep) < len(chunk.rows):
                rows = [chunk.rows[row] for row in keep]
                chunks[number] = self._write(chunk.path, chunk.vectors[keep], rows)
        done.kept = len(known)
        return known

    def _take_in(
        self,
        some: Sequence[str],
        files: Mapping[str, str],
        joint: JointEncoder,
        chunks: list[Chunk],
        done: Update,
    ) -> None:
        rows, vectors = [], []
        # stored together, but not held together: decoded pictures are large
        for group in groups(self._decoded(some, files, done)):
            found = unit(joint.encode_images([image for image, _ in group]))
            vectors.append(found.astype(np.float16))
            rows += [row for _, row in group]
            group.clear()  # before the next are decoded
        if not rows:
            return
        done.new += len(rows)
        last = chunks[-1] if chunks and len(chunks[-1].rows) + len(rows) <= _PER_CHUNK else None
        if last is None:
            taken = {chunk.path.name for chunk in chunks}
            number = next(n for n in range(len(taken) + 1) if f"{n:06d}.safetensors" not in taken)
            path = self.place / f"{number:06d}.safetensors"
            chunks.append(self._write(path, np.concatenate(vectors), rows))
        else:
            joined = np.concatenate([last.vectors, *vectors])
            chunks[-1] = self._write(last.path, joined, [*last.rows, *rows])

    def _decoded(
        self, some: Sequence[str], files: Mapping[str, str], done: Update
    ) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
        """One picture after the other, with what is known of it; tells what is left out."""
        for path in some:
            file, stamp = self.folder / path, files[path]
            try:
                data = read_regular(file, MAX_BYTES)
                if time_stamp(file) == stamp:
                    image = decode_image(data, path)
                    yield image, {"path": path, "stamp": stamp, **described(making_in(data))}
                else:
                    done.leave_out(path, "changed while they were read")
            except ImageError:
                done.leave_out(path, "no images that can be read")
            except TooLargeError:
                done.leave_out(path, "larger than an image may be")
            except FileNotFoundError:
                done.leave_out(path, "gone while they were read")
            except OSError as error:
                done.leave_out(path, f"cannot be read ({error.strerror or error})")

    def stamp(self) -> tuple[tuple[str, str], ...]:
        """Changes whenever the index does; nothing is read for it."""
        found = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.place):
                with contextlib.suppress(OSError):
                    found.append((entry.name, time_stamp(Path(entry.path))))
        return tuple(sorted(found))

    def remove(self) -> None:
        """Delete the index. The images are not touched.

        Raises:
            LibraryError: a file cannot be deleted.
        """
        try:
            for path in list(self.place.iterdir()):
                path.unlink()
            self.place.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            raise LibraryError(f"{self.place}: cannot be deleted ({error}).") from None

    def _chunks(self) -> list[Chunk]:
        found = []
        for _, chunk in read_files(self.place, self.dim, {}).values():
            with contextlib.suppress(Exception):  # a damaged file counts as absent
                if chunk is not None and chunk.rows is not None:
                    found.append(chunk)
        return found

    def _write(self, path: Path, vectors: NDArray[np.float16], rows: list[dict[str, Any]]) -> Chunk:
        with contextlib.suppress(OSError):
            self.approximate.unlink()
        return write_chunk(path, vectors, rows)


def indexed_folders(
    home: Path, encoder_id: str | None = None, allowed: Sequence[Path] | None = None
) -> list[FolderIndex]:
    """The folders that have an index by this encoder, by name.

    Args:
        home: the library's folder.
        encoder_id: of the joint encoder; by default any.
        allowed: folders that a host's configuration names: only what lies in them.
    """
    found = []
    for path in (home / "index").glob("*/folder.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            about = read_json(path)
            encoder, dim = str(about["encoder"]), about["dim"]
            if type(dim) is int and 0 < dim < _MOST_DIM and encoder_id in (None, encoder):
                index = FolderIndex(home, Path(about["folder"]), encoder, dim)
                shown = allowed is None or named_by_host(index.folder, allowed)
                if index.place == path.parent and shown:
                    found.append(index)
    return sorted(found, key=lambda index: str(index.folder))


def named_by_host(folder: Path, allowed: Sequence[Path]) -> bool:
    """Whether a folder lies in one of those that a host's configuration names."""
    real = Path(os.path.realpath(folder))
    return any(real.is_relative_to(os.path.realpath(each)) for each in allowed)


def described(making: Making | None) -> dict[str, Any]:
    """What a file says of its making, as far as a hit shows it; JSON-ready."""
    if making is None:
        return {}
    settings = {name: value for name, value in vars(making.settings).items() if value is not None}
    seed = settings.pop("seed", None)
    if making.negative:
        settings["negative"] = making.negative[:_MOST_TEXT]
    mention = making.checkpoint
    about: dict[str, Any] = {
        "prompt": plain_prompt(making.prompt or "")[:_MOST_TEXT],
        "seed": seed,
        "settings": {"program": making.program, **settings},
    }
    if mention is not None:
        about["checkpoint"] = {"name": mention.name, "hashes": list(mention.hashes)}
    return about


def list_below(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Image files below a folder, with what changes when one does; and the folders that are closed.

    Raises:
        ImageError: the folder itself cannot be listed.
    """
    closed: list[str] = []
    files: dict[str, str] = {}

    def tell(error: OSError) -> None:
        place = Path(os.fsdecode(error.filename or folder))
        if place == folder:
            raise ImageError(
                f"{folder}: cannot be listed ({error.strerror or error}). Name a folder that you "
                "may read."
            ) from None
        closed.append(place.relative_to(folder).as_posix())

    for top, below, names in walk(folder, tell):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            path = Path(top, name)
            if path.suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                with contextlib.suppress(OSError, UnicodeError):
                    relative = path.relative_to(folder).as_posix()
                    relative.encode()  # a name that is no text cannot be stored
                    files[relative] = time_stamp(path)
    return files, closed
