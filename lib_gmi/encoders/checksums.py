"""Files of weights are known by the sha256 of the whole file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..base.errors import EncoderError


def sha256_of(path: Path) -> str:
    """The sha256 of a whole file, in hexadecimal digits.

    Raises:
        EncoderError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 22):
                digest.update(chunk)
    except OSError as error:
        raise EncoderError(f"{path}: cannot be read ({error.strerror or error}).") from None
    return digest.hexdigest()


def check_sha256(
    path: Path, expected: str, advice: str = "Delete it and download it again."
) -> None:
    """Compare a whole file with its sha256, or with as many digits as are known.

    Raises:
        EncoderError: the file is another, is damaged, or cannot be read.
    """
    found = sha256_of(path)
    if not found.startswith(expected):
        raise EncoderError(
            f"{path}: is damaged, or only a part was downloaded (sha256 {found[:8]}…, expected "
            f"{expected[:8]}…). {advice}"
        )
