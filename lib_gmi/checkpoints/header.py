"""What a checkpoint file is, told from names alone: no tensor is read, nothing is loaded.

A safetensors file begins with the name, shape and place of every tensor. Those say which network it
is, what has been left out (text encoder, VAE), and whether the download is complete. Of a pickled
checkpoint only the instructions are listed; they are never carried out. What the names mean is in
:mod:`.architectures`.
"""

from __future__ import annotations

import json
import pickletools
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base.files import open_regular, walk
from ..base.text import printable
from .architectures import CheckpointFacts, recognise

#: The safetensors format itself allows no larger header.
MAX_HEADER = 100_000_000
#: The instructions of a pickled checkpoint take about a tenth of this.
MAX_PICKLE = 16 << 20
MAX_METADATA = 256
MAX_METADATA_TEXT = 2000

SAFETENSORS_SUFFIXES = frozenset({".safetensors", ".sft"})
PICKLE_SUFFIXES = frozenset({".ckpt", ".pt", ".pth"})

#: Of everything that may be a checkpoint.
CHECKPOINT_SUFFIXES = SAFETENSORS_SUFFIXES | PICKLE_SUFFIXES | {".gguf"}


def checkpoint_files(folder: Path) -> list[Path]:
    """Files anywhere below a folder that are called like checkpoints, by name.

    Linked folders are followed, each folder once; dead links, pipes, and folders that are called
    like a file are passed over, as are folders that cannot be listed.
    """
    return sorted(
        place / name
        for place, _, names in walk(folder)
        for name in names
        if Path(name).suffix.lower() in CHECKPOINT_SUFFIXES
    )


def inspect(path: Path) -> CheckpointFacts:
    """Look at a checkpoint file without loading it.

    Never raises: what is wrong with the file is said in ``unsupported``. Of formats that cannot be
    looked into, the kind is ``"unknown"`` and the host gets to try.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return CheckpointFacts(unsupported="is not a file")
        suffix = path.suffix.lower()
        if suffix in SAFETENSORS_SUFFIXES:
            return _inspect_safetensors(path)
        if suffix in PICKLE_SUFFIXES:
            return _inspect_pickle(path)
    except _DamagedError as error:
        return CheckpointFacts(unsupported=str(error))
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = getattr(error, "strerror", None) or error
        return CheckpointFacts(unsupported=f"cannot be read ({reason})")
    return CheckpointFacts()


class _DamagedError(Exception):
    """The message is what ``unsupported`` shall say."""


# -- safetensors ----------------------------------------------------------------------------------


def _inspect_safetensors(path: Path) -> CheckpointFacts:
    size = path.stat().st_size
    with open_regular(path) as file:
        prefix = file.read(8)
        if prefix[:1] == b"<" or prefix == b"version ":
            raise _DamagedError(
                "is damaged: it is a web page or a link, not the file itself; download it again"
            )
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8:
            raise _DamagedError("is truncated: it ends before its header; download it again")
        if not 2 <= length <= MAX_HEADER:
            raise _DamagedError("is damaged: it does not begin like a safetensors file")
        if 8 + length > size:
            raise _DamagedError("is truncated: it ends within its header; download it again")
        raw = file.read(length)
    header = _parse_header(raw)
    metadata = _metadata(header.pop("__metadata__", None))
    shapes, end = _tensors(header)
    missing = 8 + length + end - size
    if missing > 0:
        raise _DamagedError(
            f"is truncated: {missing:,} of its {8 + length + end:,} bytes are missing; "
            "download it again"
        )
    if missing < 0:
        raise _DamagedError(f"is damaged: it goes on for {-missing:,} bytes after its last tensor")
    return recognise(shapes, metadata)


def _parse_header(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _DamagedError("is damaged: its header is not valid JSON") from None
    if not isinstance(header, dict):
        raise _DamagedError("is damaged: its header lists no tensors")
    return header


def _metadata(value: Any) -> dict[str, str]:
    """The texts among the metadata, not too many and not too long."""
    if not isinstance(value, dict):
        return {}
    texts = {
        printable(key[:MAX_METADATA_TEXT]): printable(text[:MAX_METADATA_TEXT])
        for key, text in value.items()
        if isinstance(text, str)
    }
    return dict(list(texts.items())[:MAX_METADATA])


def _tensors(header: Mapping[str, Any]) -> tuple[dict[str, tuple[int, ...]], int]:
    """Shapes by name, and how many bytes of tensors there should be."""
    shapes: dict[str, tuple[int, ...]] = {}
    end = 0
    for name, entry in header.items():
        try:
            shape, (begin, finish) = entry["shape"], entry["data_offsets"]
            if not all(type(number) is int and number >= 0 for number in (*shape, begin, finish)):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise _DamagedError(
                f"is damaged: its header is malformed at '{printable(name[:100])}'"
            ) from None
        shapes[name] = tuple(shape)
        end = max(end, finish)
    return shapes, end


# -- pickles --------------------------------------------------------------------------------------


def _inspect_pickle(path: Path) -> CheckpointFacts:
    with open_regular(path) as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if not zipped:
        return CheckpointFacts()  # from before 2020; there is no list of names at a known place
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.split("/")[-1] == "data.pkl")
            with archive.open(name) as member:
                instructions = member.read(MAX_PICKLE + 1)
    except zipfile.BadZipFile:
        # the list of contents comes last in a zip
        raise _DamagedError("is truncated: its end is missing; download it again") from None
    except Exception:  # whatever else is odd about the archive: the host gets to try
        return CheckpointFacts()
    if len(instructions) > MAX_PICKLE:
        return CheckpointFacts()
    return recognise(_pickled_shapes(instructions), {})


def _pickled_shapes(instructions: bytes) -> dict[str, tuple[int, ...]]:
    """Every text of a pickle, with the shape where one follows; as far as it is well-formed."""
    shapes: dict[str, tuple[int, ...]] = {}
    name = ""
    numbers: list[int] | None = None
    try:
        for opcode, argument, _ in pickletools.genops(instructions):
            if isinstance(argument, str) and "UNICODE" in opcode.name:
                shapes.setdefault(argument, ())
                if "." in argument:  # names of storages and devices have none
                    name = argument
            elif opcode.name == "BINPERSID":  # a tensor: its storage, offset, shape, strides
                numbers = []
            elif numbers is not None and isinstance(argument, int) and "INT" in opcode.name:
                numbers.append(argument)
            elif numbers is not None and opcode.name.startswith("TUPLE"):
                if not shapes.get(name, (0,)):
                    shapes[name] = tuple(numbers[1:])
                numbers = None
    except Exception:  # the names so far are still names
        return shapes
    return shapes
