import hashlib
import os
from pathlib import Path

from modules import shared

_cache = {}


def calculate_sha256(filename):
    return hashlib.sha256(Path(filename).read_bytes()).hexdigest()


def sha256_from_cache(filename, title, use_addnet_hash=False):
    try:
        changed = os.path.getmtime(filename)  # noqa: PTH204  file names may be bytes of no encoding
    except FileNotFoundError:
        return None
    known = _cache.get(title)
    return None if known is None or changed > known["mtime"] else known["sha256"]


def sha256(filename, title, use_addnet_hash=False):
    known = sha256_from_cache(filename, title, use_addnet_hash)
    if known is not None:
        return known
    if shared.cmd_opts.no_hashing:
        return None
    known = calculate_sha256(filename)
    _cache[title] = {"mtime": os.path.getmtime(filename), "sha256": known}  # noqa: PTH204
    return known
