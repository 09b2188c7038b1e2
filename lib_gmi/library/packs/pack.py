"""What a pack is, and how one is read: nothing is believed before it was checked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.errors import PackError
from ...base.files import NotRegularError, TooLargeError, read_regular
from .container import MAX_BYTES, Tensors, decode, kind
from .entries import ARRAYS, read_entry, read_thumbnails
from .texts import check_link, check_texts, one_name, strict_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...records.specification import Specification

#: major.minor. A newer minor version is read (unknown keys are kept), a newer major one refused.
SCHEMA = (1, 0)
SUFFIX = ".gmipack"
MAX_ENTRIES = 10_000
SCHEMA_KEY, MANIFEST_KEY = "gmi.pack", "gmi.manifest"

_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_TENSOR = re.compile(r"(0|[1-9][0-9]{0,4})/(?:thumbnails/(0|[1-9][0-9]{0,4})|([a-z0-9_]{1,40}))")


@dataclass(frozen=True)
class PackAbout:
    """What the author says of a pack. All texts are plain: whoever shows them escapes them.

    Attributes:
        title: one line.
        author: may be empty.
        licence: an SPDX identifier or a few words; may be empty, which is "not stated".
        link: an http or https address, or empty.
        created: Unix time, in seconds.
    """

    title: str
    author: str = ""
    licence: str = ""
    link: str = ""
    created: int = 0


@dataclass(frozen=True, eq=False)
class Pack:
    """A pack that was read and checked.

    Attributes:
        id: 32 hexadecimal digits, a hash of all of its content.
        about: see there.
        schema: that it was written in.
        specifications: in the author's order.
        thumbnails: WebP files by :attr:`.Specification.key`, then by prompt id and seed.
        manifest: as it was written.
    """

    id: str
    about: PackAbout
    schema: str
    specifications: tuple[Specification, ...]
    thumbnails: Mapping[str, Mapping[tuple[str, int], bytes]] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)


def read_pack(path: Path) -> Pack:
    """Read a pack as a whole. The file is read, never mapped, and nothing in it is evaluated.

    Raises:
        PackError: it is no pack, damaged, altered, or written by a newer version.
    """
    return parse(read_bytes(path), path.name)


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """A file's content.

    Raises:
        PackError: it cannot be read, or is too large.
    """
    try:
        return read_regular(path, limit)
    except (FileNotFoundError, NotRegularError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "there is no such file" if missing else "is not a file"
        raise PackError(f"{path}: {reason}. Name a file that ends in {SUFFIX}.") from None
    except TooLargeError:
        raise PackError(f"{path}: is larger than {limit >> 20} MiB, which no pack is.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PackError(f"{path}: cannot be read ({reason}).") from None


def parse(data: bytes, name: str) -> Pack:
    """The pack in a file's bytes; see :func:`read_pack`.

    Args:
        data: the whole file.
        name: what errors call it.
    """
    metadata, tensors = decode(data, name)
    if "gmi.specification" in metadata:
        raise PackError(f"{name}: is a single specification, not a pack of them.")
    if set(metadata) != {SCHEMA_KEY, MANIFEST_KEY}:
        raise PackError(f"{name}: is a safetensors file, but not a pack of specifications.")
    manifest = strict_json(metadata[MANIFEST_KEY], name, "manifest")
    return assemble(metadata[SCHEMA_KEY], manifest, tensors, name)


def assemble(schema: str, manifest: Any, tensors: Tensors, name: str) -> Pack:
    """Check a manifest and the tensors that it speaks of.

    Args:
        schema: major.minor.
        manifest: strict JSON of any kind.
        tensors: by name, ``<entry>/features`` and so on.
        name: what errors call it.

    Raises:
        PackError: something does not fit.
    """
    about = read_about(schema, manifest, name)
    minor = int(schema.split(".")[1])
    parts = _by_entry(tensors, len(manifest["entries"]), minor, name)
    specifications: list[Specification] = []
    thumbnails: dict[str, dict[tuple[str, int], bytes]] = {}
    for number, (entry, part) in enumerate(zip(manifest["entries"], parts, strict=True), 1):
        label = f"{name}, specification {number}"
        version = manifest["specification_schema"]
        specification = read_entry(entry, part.arrays, version, label)
        if specification.key in thumbnails:
            raise PackError(f"{label}: describes the same candidate as one before it.")
        specifications.append(specification)
        thumbnails[specification.key] = read_thumbnails(specification, part.pictures, label)
    if manifest["id"] != content_id(schema, manifest, tensors):
        raise PackError(
            f"{name}: its content is not what its id says: it was damaged or altered on the way. "
            "Get the pack anew from its author."
        )
    return Pack(manifest["id"], about, schema, tuple(specifications), thumbnails, dict(manifest))


def content_id(schema: str, manifest: Mapping[str, Any], tensors: Tensors) -> str:
    """A hash of everything in a pack but its own id."""
    content = {
        "schema": schema,
        "manifest": {key: value for key, value in manifest.items() if key != "id"},
        "tensors": {
            key: [kind(array), list(array.shape), hashlib.sha256(array.data).hexdigest()]
            for key, array in tensors.items()
        },
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_about(schema: str, manifest: Any, name: str) -> PackAbout:
    """What a manifest says of the pack; entries are only counted.

    Raises:
        PackError: it is malformed, or written by a newer version.
    """
    version = _VERSION.fullmatch(schema)
    if version is None:
        raise PackError(f"{name}: does not say which version of the format it has.")
    if int(version[1]) > SCHEMA[0]:
        raise PackError(
            f"{name}: was written by a newer version of this program (packs {schema}, this one "
            f"reads {SCHEMA[0]}.x). Update this program to read it."
        )
    if int(version[1]) < SCHEMA[0]:
        raise PackError(f"{name}: has version {schema} of the format, which there never was.")
    required = ("id", "title", "author", "licence", "link", "created", "tool", "entries")
    if not isinstance(manifest, dict) or not {*required, "specification_schema"} <= set(manifest):
        raise PackError(f"{name}: its manifest is incomplete.")
    entries, created = manifest["entries"], manifest["created"]
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_ENTRIES:
        raise PackError(f"{name}: holds no specifications, or more than {MAX_ENTRIES}.")
    check_texts(manifest, name)
    if type(created) is not int or not 0 <= created < 1 << 40:
        raise PackError(f"{name}: its time of creation is no Unix time.")
    if not isinstance(manifest["id"], str) or not re.fullmatch("[0-9a-f]{32}", manifest["id"]):
        raise PackError(f"{name}: its id is not a hash.")
    one_name(manifest["tool"], name, "tool", empty=True)
    return PackAbout(
        one_name(manifest["title"], name, "title"),
        one_name(manifest["author"], name, "author", empty=True),
        one_name(manifest["licence"], name, "licence", empty=True),
        check_link(one_name(manifest["link"], name, "link", empty=True), name),
        created,
    )


@dataclass(frozen=True)
class _Part:
    """Tensors of one entry: by name, and thumbnails by the sample's row."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    pictures: dict[int, NDArray[Any]] = field(default_factory=dict)


def _by_entry(tensors: Tensors, entries: int, minor: int, name: str) -> list[_Part]:
    parts = [_Part() for _ in range(entries)]
    for key, array in tensors.items():
        found = _TENSOR.fullmatch(key)
        if found is None or int(found[1]) >= entries:
            raise PackError(f"{name}: the tensor '{key}' belongs to none of its specifications.")
        part = parts[int(found[1])]
        if found[2] is not None:
            part.pictures[int(found[2])] = array
        elif found[3] in ARRAYS or minor > SCHEMA[1]:
            part.arrays[found[3]] = array
        else:
            raise PackError(f"{name}: holds a tensor '{key}', which packs do not have.")
    return parts
