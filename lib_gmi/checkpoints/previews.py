"""A sample as a checkpoint's preview, for those that have none.

Web UIs show a picture that lies beside a checkpoint's file. Nothing that is there is ever replaced,
and only what was put there by this module, and was not changed since, is taken away again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import LibraryError
from ..base.files import read_regular
from ..base.images import open_image
from ..base.json_file import JsonFile
from ..records.specification import Specification

#: What web UIs look for beside ``name.safetensors``.
_PLACES = tuple(
    f"{middle}.{ending}"
    for middle in ("", ".preview")
    for ending in ("png", "jpg", "jpeg", "webp", "gif")
)


class Previews:
    """See the module's docstring.

    Args:
        record: a JSON file of the library: which previews were made, and their hashes.
    """

    def __init__(self, record: Path) -> None:
        self._made: JsonFile[dict[str, str]] = JsonFile(record, _hashes, dict, indent=1)

    def exists(self, checkpoint: Path) -> bool:
        """Whether a checkpoint has a preview, whoever made it."""
        return any(checkpoint.with_name(checkpoint.stem + place).exists() for place in _PLACES)

    def ours(self, checkpoint: Path) -> bool:
        """Whether its preview was made here and is unchanged."""
        path = _path(checkpoint)
        made = self._made.cached().get(str(path))
        return made is not None and made == _hash(path)

    def make(self, checkpoint: Path, sample: Path) -> Path:
        """Put a copy of a sample beside a checkpoint.

        Raises:
            LibraryError: it has a preview already, or the file cannot be written.
            ImageError: the sample cannot be read.
        """
        if self.exists(checkpoint):
            raise LibraryError(f"{checkpoint.name}: has a preview already.")
        path, buffer = _path(checkpoint), io.BytesIO()
        open_image(sample).save(buffer, "PNG")
        known = {**self._made.cached(), str(path): hashlib.sha256(buffer.getvalue()).hexdigest()}
        self._made.write(known)
        try:
            with path.open("xb") as file:  # somebody may have put one there a moment ago
                file.write(buffer.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise LibraryError(f"{checkpoint.name}: has a preview already.") from None
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            raise LibraryError(f"{path}: cannot be written ({error.strerror or error}).") from None
        return path

    def undo(self, checkpoint: Path) -> None:
        """Take a preview away that was made here.

        Raises:
            LibraryError: it was not, it was changed since, or it cannot be removed.
        """
        path = _path(checkpoint)
        if not self.ours(checkpoint):
            raise LibraryError(f"{path.name}: was not made here, or was changed since; it stays.")
        try:
            path.unlink()
        except OSError as error:
            raise LibraryError(f"{path}: cannot be removed ({error.strerror or error}).") from None
        known = {key: value for key, value in self._made.cached().items() if key != str(path)}
        self._made.write(known)


def best_sample(specification: Specification) -> int | None:
    """Row of the sample that is most like all the others: nearest to their mean.

    Each feature ``[n, dim]`` is divided by its own deviation first; ``None`` without samples.
    """
    features = specification.features.astype(np.float32)
    if not len(features):
        return None
    spread = features.std(axis=0)
    centred = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return int(np.square(centred).sum(axis=1).argmin())


def _hashes(found: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in found.items()}


def _path(checkpoint: Path) -> Path:
    return checkpoint.with_name(checkpoint.stem + ".preview.png")


def _hash(path: Path) -> str | None:
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except OSError:
        return None
