"""What a checkpoint *is*, known at once.

Forty checkpoints of 7 GB each cannot be hashed before anything works. The quick identity reads a
megabyte: the size, the safetensors header and blocks sampled over the file. The full sha256 comes
later, from the host's own cache or in the background.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..base.errors import HostError
from ..base.files import open_regular
from ..records.protocols import Progress, SilentProgress

# Closer together than a VAE is long (167 MB) in a file of 7 GB, so that no part goes unseen.
_BLOCK = 16_384
_BLOCKS = 64
# Merged checkpoints share their header; a header larger than this is read in part.
_MAX_HEADER = 8 << 20


def quick_identity(path: Path) -> str:
    """``quick:<hex>`` from the size, the header and 64 blocks of 16 KiB spread over the file.

    Raises:
        HostError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with open_regular(path) as file:
            prefix = file.read(8)
            digest.update(prefix)
            header = 0
            if path.suffix.lower() == ".safetensors":
                header = min(int.from_bytes(prefix, "little"), _MAX_HEADER, max(size - 8, 0))
            digest.update(file.read(header))
            span = max(size - _BLOCK, 0)
            for index in range(_BLOCKS):
                file.seek(span * index // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK))
    except OSError as error:
        raise HostError(f"{path}: cannot be read ({error.strerror or error}).") from None
    return "quick:" + digest.hexdigest()[:32]


def full_identity(path: Path, progress: Progress | None = None) -> str:
    """``sha256:<hex>`` of the whole file. Minutes for forty large files: run it in the background.

    Raises:
        HostError: the file cannot be read.
    """
    progress = progress or SilentProgress()
    digest = hashlib.sha256()
    done = 0
    try:
        size = path.stat().st_size
        with open_regular(path) as file:
            while chunk := file.read(16 << 20):
                digest.update(chunk)
                done += len(chunk)
                progress.update(done, size, path.name)
    except OSError as error:
        raise HostError(f"{path}: cannot be read ({error.strerror or error}).") from None
    return "sha256:" + digest.hexdigest()
