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
import json
import os
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import ImageError, LibraryError, MissingExtraError
from ..base.files import TooLargeError, read_regular, walk, write_atomic
from ..base.images import IMAGE_SUFFIXES, MAX_BYTES, decode_image, groups, unreadable_here
from ..base.locks import locked
from ..metadata import making_in, plain_prompt
from ..records.protocols import Progress, SilentProgress
from .embeddings import unit
from .prompt_words import PromptWords
from .vectors import Approximate, Exact, Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from ..metadata import Making
    from ..ranking.rkme import IntArray
    from ..records.protocols import FloatArray, JointEncoder

#: Images of one file of vectors, and images that are encoded and stored at a time.
_PER_CHUNK, _AT_ONCE = 1024, 32
_MOST_TEXT = 2000
#: Bytes of a file of vectors, numbers of a vector, and files that are named.
_MOST_BYTES, _MOST_DIM, _MOST_NAMED = 256 << 20, 1 << 16, 1000
_APPROXIMATE = "approximate.faiss"
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


class Chunk:
    """Up to 1,024 images of an index.

    Args:
        path: of its file.
        vectors: of unit length, float16 ``[n, d]``.
        described: JSON of n descriptions; only read where somebody needs them.
    """

    def __init__(self, path: Path, vectors: NDArray[np.float16], described: bytes) -> None:
        self.path, self.vectors, self._described = path, vectors, described

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """``path`` relative to the folder, ``stamp``, and what the file says."""
        found = json.loads(self._described)
        if len(found) != len(self.vectors):
            raise ValueError("descriptions and vectors differ in number")
        return [_checked(row) for row in found]


#: Of an index, by name: when a file was changed, and what it holds.
Files = dict[str, tuple[str, "Chunk | None"]]


def _checked(row: Any) -> dict[str, Any]:
    """A description that everybody can rely on.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(row, dict) or not isinstance(row.get("path"), str) or not row["path"]:
        raise ValueError("a description without a path")
    said = row.get("checkpoint", {})
    good = (
        isinstance(row.get("stamp"), str)
        and isinstance(row.get("prompt", ""), str)
        and isinstance(row.get("seed"), int | None)
        and isinstance(row.get("settings", {}), dict)
        and isinstance(said, dict)
        and isinstance(said.get("name"), str | None)
        and isinstance(said.get("hashes", []), list)
        and all(isinstance(digits, str) for digits in said.get("hashes", []))
        and (not said or "hashes" in said)
    )
    if not good:
        raise ValueError("a malformed description")
    return row


class FolderIndex:
    """The index of one folder; see the module's docstring.

    Args:
        home: the library's folder.
        folder: with images; everything below it counts, linked folders too.
        encoder_id: of the joint encoder.
        dim: numbers of a vector.
    """

    def __init__(self, home: Path, folder: Path, encoder_id: str, dim: int) -> None:
        self.folder, self.encoder_id, self.dim = Path(folder).absolute(), encoder_id, dim
        text = f"{_VERSION}\n{encoder_id}\n{self.folder}"
        name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self.place = home / "index" / name

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
        with locked(self.place / "folder.json"):
            chunks = self._chunks()
            known = self._forget(chunks, files, bool(closed), done)
            todo = [path for path in files if path not in known]
            self._write_folder()
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
            try:
                data = _read_whole(self.folder / path, files[path])
                image = decode_image(data, path)
            except _SkippedError as reason:
                done.leave_out(path, str(reason))
            except ImageError:
                done.leave_out(path, "no images that can be read")
            else:
                about = described(making_in(data))
                yield image, {"path": path, "stamp": files[path], **about}

    def open(self, before: OpenIndex | None = None) -> OpenIndex:
        """What there is now, to be searched; of ``before``, what has not changed is not read."""
        return OpenIndex(self, None if before is None else before.files)

    def stamp(self) -> tuple[tuple[str, str], ...]:
        """Changes whenever the index does; nothing is read for it."""
        found = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.place):
                with contextlib.suppress(OSError):
                    found.append((entry.name, _stamp(Path(entry.path))))
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
        """A damaged file counts as absent: its images are read again."""
        found = []
        for _, chunk in self.files({}).values():
            with contextlib.suppress(Exception):
                if chunk is not None and chunk.rows is not None:
                    found.append(chunk)
        return found

    def files(self, known: Files) -> Files:
        """What each file holds now, ``None`` for a damaged one; of ``known``, what has not changed
        is taken from there."""
        found: Files = {}
        for path in sorted(self.place.glob("[0-9]*.safetensors")):
            with contextlib.suppress(Exception):  # damage can raise almost anything in a parser
                now = _stamp(path)  # before it is read: what changes meanwhile is read once more
                if path.name in known and known[path.name][0] == now:
                    found[path.name] = known[path.name]
                else:
                    found[path.name] = now, None
                    found[path.name] = now, self._chunk(path)
        return found

    def _chunk(self, path: Path) -> Chunk:
        """What a file holds, if that is what was written. Files of older versions have no checksum:
        of those every description is looked at."""
        from safetensors.numpy import load

        tensors = load(read_regular(path, _MOST_BYTES))
        vectors, text = tensors["vectors"], bytes(tensors["rows"])
        good = vectors.dtype == np.float16 and vectors.shape[1:] == (self.dim,)
        if not good or not np.isfinite(vectors).all():
            raise ValueError("other vectors than these are")
        chunk = Chunk(path, vectors, text)
        if "checksum" not in tensors:
            chunk.rows  # noqa: B018  raises what is wrong with them
        elif int(tensors["checksum"][0]) != _checksum(vectors, text):
            raise ValueError("not what was written")
        return chunk

    def _write(self, path: Path, vectors: NDArray[np.float16], rows: list[dict[str, Any]]) -> Chunk:
        from safetensors.numpy import save

        text = json.dumps(rows).encode()
        tensors: dict[str, NDArray[Any]] = {
            "vectors": np.ascontiguousarray(vectors),
            "rows": np.frombuffer(text, dtype=np.uint8),
        }
        tensors["checksum"] = np.asarray([_checksum(tensors["vectors"], text)], dtype=np.uint32)
        with contextlib.suppress(OSError):
            (self.place / _APPROXIMATE).unlink()
        write_atomic(path, save(tensors))
        return Chunk(path, vectors, text)

    def _write_folder(self) -> None:
        about = {"folder": str(self.folder), "encoder": self.encoder_id, "dim": self.dim}
        path, data = self.place / "folder.json", json.dumps(about).encode()
        with contextlib.suppress(OSError):
            if read_regular(path) == data:
                return
        write_atomic(path, data)


class OpenIndex:
    """The images of a folder, ready to be searched.

    Args:
        index: of the folder.
        known: what was in its files before, if any was read.
    """

    def __init__(self, index: FolderIndex, known: Files | None = None) -> None:
        self.index = index
        self.files = index.files(known or {})
        found = (chunk for _, chunk in self.files.values())
        self._chunks = [chunk for chunk in found if chunk is not None and len(chunk.vectors)]
        sizes = [len(chunk.vectors) for chunk in self._chunks]
        self._starts = np.cumsum([0, *sizes])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def matrix(self) -> FloatArray:
        """All vectors, ``[n, d]``."""
        if not self._chunks:
            return np.empty((0, self.index.dim), dtype=np.float32)
        stacked = np.concatenate([chunk.vectors for chunk in self._chunks])
        return np.asarray(stacked, dtype=np.float32)

    @cached_property
    def vectors(self) -> Vectors:
        """Approximate, if :meth:`approximate` made it so for these images; else exact."""
        path = self.index.place / _APPROXIMATE
        if path.is_file():
            with contextlib.suppress(LibraryError, MissingExtraError):
                found = Approximate.load(path)
                if len(found) == len(self):
                    return found
        return Exact(self.matrix)

    def approximate(self) -> None:
        """Build and keep an approximate index of all images. Any later change drops it.

        Raises:
            MissingExtraError: faiss is not installed.
            LibraryError: it cannot be written.
        """
        if len(self):
            Approximate.build(self.matrix).save(self.index.place / _APPROXIMATE)

    def describe(self, row: int) -> dict[str, Any]:
        """What is known of an image: ``path`` in full, and what its file says."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        about = self._chunks[number].rows[row - int(self._starts[number])]
        return {**about, "path": str(self.index.folder / str(about["path"]))}

    @cached_property
    def words(self) -> PromptWords:
        """Of what the files say of their prompts; looked through by searches in words."""
        return PromptWords([str(row.get("prompt") or "") for row in self.descriptions()])

    def some(self, rows: IntArray) -> FloatArray:
        """Vectors of some images, ``[k, d]``; rows in rising order."""
        parts = [
            chunk.vectors[rows[(rows >= start) & (rows < start + len(chunk.vectors))] - start]
            for start, chunk in zip(self._starts, self._chunks, strict=False)
        ]
        if not parts:
            return np.empty((0, self.index.dim), dtype=np.float32)
        return np.concatenate(parts).astype(np.float32)

    def descriptions(self) -> Iterator[dict[str, Any]]:
        """Of all images, in order; reads everything."""
        for chunk in self._chunks:
            yield from chunk.rows


def indexed_folders(home: Path, encoder_id: str | None = None) -> list[FolderIndex]:
    """The folders that have an index by this encoder, by name.

    Args:
        home: the library's folder.
        encoder_id: of the joint encoder; by default any.
    """
    found = []
    for path in (home / "index").glob("*/folder.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            about = json.loads(read_regular(path))
            encoder, dim = str(about["encoder"]), about["dim"]
            if type(dim) is int and 0 < dim < _MOST_DIM and encoder_id in (None, encoder):
                index = FolderIndex(home, Path(about["folder"]), encoder, dim)
                if index.place == path.parent:
                    found.append(index)
    return sorted(found, key=lambda index: str(index.folder))


class OpenIndexes:
    """Indexes that stay open for as long as they do not change. Safe to share between threads."""

    def __init__(self) -> None:
        self._open: dict[Path, tuple[object, OpenIndex]] = {}
        self._lock = threading.Lock()

    def open(self, indexes: Sequence[FolderIndex]) -> list[OpenIndex]:
        """What there is now of these; others are forgotten."""
        with self._lock:
            found = {}
            for index in indexes:
                stamp, kept = index.stamp(), self._open.get(index.place)
                fits = kept is not None and kept[0] == stamp
                before = None if kept is None else kept[1]
                found[index.place] = kept if kept and fits else (stamp, index.open(before))
            self._open = found
            return [opened for _, opened in found.values()]


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
                    files[relative] = _stamp(path)
    return files, closed


class _SkippedError(Exception):
    """Why a file is not taken in."""


def _read_whole(path: Path, stamp: str) -> bytes:
    """A file that is the same before and after it was read."""
    try:
        data = read_regular(path, MAX_BYTES)
        if _stamp(path) != stamp:
            raise _SkippedError("changed while they were read")
    except TooLargeError:
        raise _SkippedError("larger than an image may be") from None
    except FileNotFoundError:
        raise _SkippedError("gone while they were read") from None
    except OSError as error:
        raise _SkippedError(f"cannot be read ({error.strerror or error})") from None
    return data


def _checksum(vectors: NDArray[Any], text: bytes) -> int:
    return zlib.crc32(text, zlib.crc32(np.ascontiguousarray(vectors).tobytes()))


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
