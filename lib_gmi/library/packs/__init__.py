"""Packs: many specifications in one file, to be passed on.

``docs/share-specifications.md`` says what a pack holds and what it reveals.
"""

from __future__ import annotations

from .folder import PackedSpecification, PackEntry, PackInfo, visible
from .hashing import checkpoint_files, present, with_full_hashes
from .pack import SCHEMA, SUFFIX, Pack, PackAbout, read_pack
from .store import ImportReport, PackCheck, Packs
from .texts import page_link
from .writing import Sharing, shareable, thumbnails_of, write_pack

__all__ = [
    "SCHEMA",
    "SUFFIX",
    "ImportReport",
    "Pack",
    "PackAbout",
    "PackCheck",
    "PackEntry",
    "PackInfo",
    "PackedSpecification",
    "Packs",
    "Sharing",
    "checkpoint_files",
    "page_link",
    "present",
    "read_pack",
    "shareable",
    "thumbnails_of",
    "visible",
    "with_full_hashes",
    "write_pack",
]
