"""What interrogators said, by interrogator and pixels, in one small file of the library.

It only saves time. A file that is damaged, missing or read-only is no trouble: what is not known is
asked again, and the next answer writes a good file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import LibraryError
from ..base.files import read_regular, write_atomic
from ..base.locks import locked
from ..records.protocols import PseudoPrompt

if TYPE_CHECKING:
    from PIL import Image

#: The newest so many answers are kept: a quarter of a megabyte.
MOST = 500
_MAX_BYTES = 16 << 20
_MAX_TEXT = 5000


def pixel_hash(image: Image.Image) -> str:
    """Of the pixels and nothing else: the same image in another file is the same."""
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()


class Cache:
    """See the module's docstring. For any thread, and for several processes.

    Args:
        path: the file; without one, answers are remembered as long as the process lives.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, PseudoPrompt] | None = None

    def get(self, key: str) -> PseudoPrompt | None:
        """What was said, or ``None``."""
        with self._lock:
            if self._known is None:
                self._known = self._read()
            return self._known.get(key)

    def put(self, key: str, said: PseudoPrompt) -> None:
        """Remember an answer. Never fails: an answer that cannot be stored is still an answer."""
        with self._lock:
            self._known = _newest({**(self._known or {}), key: said})
            if self._path is None:
                return
            with contextlib.suppress(LibraryError), locked(self._path):
                # another process may have learned something meanwhile
                known = _newest({**self._read(), **self._known})
                known[key] = known.pop(key)
                write_atomic(self._path, _written(known))
                self._known = known

    def _read(self) -> dict[str, PseudoPrompt]:
        if self._path is None:
            return {}
        try:
            if self._path.stat().st_size > _MAX_BYTES:
                return {}
            stored = json.loads(read_regular(self._path))["said"]
            return _newest({str(key): _checked(row) for key, row in stored.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}


def _newest(known: dict[str, PseudoPrompt]) -> dict[str, PseudoPrompt]:
    return dict(list(known.items())[-MOST:])


def _written(known: dict[str, PseudoPrompt]) -> bytes:
    said = {key: [row.text, row.source, row.confidence] for key, row in known.items()}
    return json.dumps({"said": said}, indent=1).encode()


def _checked(row: Any) -> PseudoPrompt:
    text, source, confidence = row
    if not isinstance(text, str) or not isinstance(source, str) or len(text) > _MAX_TEXT:
        raise TypeError("malformed")
    if confidence is not None and not (
        isinstance(confidence, int | float) and math.isfinite(confidence) and 0 <= confidence <= 1
    ):
        raise TypeError("malformed")
    return PseudoPrompt(text, source, confidence)
