"""Packs that tests make: good ones, and ones that this program would never write."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from conftest import make_specification

from lib_gmi.library.packs import Pack, PackAbout, write_pack
from lib_gmi.library.packs.container import decode, encode
from lib_gmi.library.packs.pack import MANIFEST_KEY, SCHEMA_KEY, content_id, parse
from lib_gmi.records.specification import Specification

ABOUT = PackAbout("Some checkpoints", "Ada", "CC0-1.0", "https://example.org/pack", 1_700_000_000)
Tensors = dict[str, np.ndarray]
Change = Callable[[dict[str, Any], Tensors], object]


def tensor(kind: str, shape: tuple[int, ...], data: bytes) -> np.ndarray:
    """Numbers of a type as a pack's header calls it."""
    return np.frombuffer(data, {"F16": "<f2", "U8": "u1"}[kind]).reshape(shape)


def sha256(number: int) -> str:
    """An identity as files have them."""
    return f"sha256:{number:064x}"


def shared(number: int = 1, **changes: Any) -> Specification:
    """A specification that may be part of a pack, of the candidate number so-and-so."""
    specification = make_specification(f"model-{number}", **{"seed": number, **changes})
    candidate = replace(specification.candidate, identity=sha256(number))
    return replace(specification, candidate=candidate)


def good_pack(path: Path, count: int = 2, about: PackAbout = ABOUT) -> Pack:
    """Write a pack of so many specifications."""
    return write_pack(path, [shared(number) for number in range(1, count + 1)], about)


def parts(path: Path) -> tuple[str, dict[str, Any], Tensors]:
    """Schema, manifest and tensors of a pack."""
    metadata, tensors = decode(path.read_bytes(), path.name)
    return metadata[SCHEMA_KEY], json.loads(metadata[MANIFEST_KEY]), tensors


def forged(path: Path, change: Change, schema: str | None = None) -> bytes:
    """A good pack's bytes after a change, with an id that fits."""
    old, manifest, tensors = parts(path)
    manifest = copy.deepcopy(manifest)
    change(manifest, tensors)
    schema = schema or old
    manifest["id"] = content_id(schema, manifest, tensors)
    text = json.dumps(manifest, ensure_ascii=True)
    return encode({SCHEMA_KEY: schema, MANIFEST_KEY: text}, tensors)


def with_header(path: Path, change: Callable[[str], str]) -> bytes:
    """A good pack's bytes after a change of its header's text."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = change(data[8 : 8 + length].decode()).encode("utf-8", "surrogatepass")
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def read(data: bytes) -> Pack:
    """The pack in these bytes."""
    return parse(data, "hostile.gmipack")
