"""What interrogators said, by interrogator and pixels, in one small file of the library.

It only saves time. A file that is damaged, missing or read-only is no trouble: what is not known is
asked again, and the next answer writes a good file.
"""

from __future__ import annotations

import contextlib
import math
import threading
from pathlib import Path
from typing import Any

from ..base.errors import LibraryError
from ..base.json_file import JsonFile
from ..records.protocols import PseudoPrompt

#: The newest so many answers are kept: a quarter of a megabyte.
MOST = 500
_MAX_BYTES = 16 << 20
_MAX_TEXT = 5000

#: Answers by key, the newest last.
_Said = dict[str, PseudoPrompt]


class Cache:
    """See the module's docstring. For any thread, and for several processes.

    Args:
        path: the file; without one, answers are remembered as long as the process lives.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file: JsonFile[_Said] | None = None
        if path is not None:
            self._file = JsonFile(path, _said, dict, _plain, limit=_MAX_BYTES, indent=1)
        self._lock = threading.Lock()
        self._known: _Said | None = None

    def get(self, key: str) -> PseudoPrompt | None:
        """What was said, or ``None``."""
        with self._lock:
            if self._known is None:
                self._known = {} if self._file is None else self._file.cached()
            return self._known.get(key)

    def put(self, key: str, said: PseudoPrompt) -> None:
        """Remember an answer. Never fails: an answer that cannot be stored is still an answer."""
        with self._lock:
            self._known = _newest({**(self._known or {}), key: said})
            if self._file is None:
                return
            with contextlib.suppress(LibraryError), self._file.locked():
                # another process may have learned something meanwhile
                known = _newest({**self._file.cached(), **self._known})
                known[key] = known.pop(key)
                self._file.write(known)
                self._known = known


def _newest(known: _Said) -> _Said:
    return dict(list(known.items())[-MOST:])


def _said(stored: dict[str, Any]) -> _Said:
    return _newest({str(key): _checked(row) for key, row in stored["said"].items()})


def _plain(known: _Said) -> dict[str, Any]:
    return {"said": {key: [r.text, r.source, r.confidence] for key, r in known.items()}}


def _checked(row: Any) -> PseudoPrompt:
    text, source, confidence = row
    if not isinstance(text, str) or not isinstance(source, str) or len(text) > _MAX_TEXT:
        raise TypeError("malformed")
    if confidence is not None and not (
        isinstance(confidence, int | float) and math.isfinite(confidence) and 0 <= confidence <= 1
    ):
        raise TypeError("malformed")
    return PseudoPrompt(text, source, confidence)
