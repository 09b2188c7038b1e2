"""What is in a library now, by its files, and by ``catalogue.json`` where none has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..base.errors import LibraryError, SchemaVersionError, SpecificationError
from ..base.json_file import JsonFile
from ..base.stamps import write_stamp
from ..base.text import natural
from ..records.protocols import Exclusion
from .entries import Entry
from .store import Store

_VERSION = 3
_Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Found:
    """What is there, by title, and what could not be read, with the reason."""

    entries: tuple[Entry, ...]
    problems: tuple[Exclusion, ...]


class Scan:
    """Looks at a library's specifications; nothing is opened where no file has changed.

    Args:
        store: of the library.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._file: JsonFile[_Rows] = JsonFile(
            store.library / "catalogue.json", _checked, dict, _catalogue
        )
        #: Stamps of all files, and what was in them. Replaced as a whole.
        self._known: tuple[dict[str, list[int]], Found] | None = None

    def found(self) -> Found:
        """What is there now, looked at once while a request lasts.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        if self._store.busy:
            return self.look()
        found: Found = self._store.request.get(self.look)
        return found

    def look(self) -> Found:
        """What is there now.

        Raises:
            LibraryError: the folder cannot be listed.
        """
        stamps: dict[str, list[int]] = {}
        for path in self._store.paths():
            with contextlib.suppress(OSError):
                stamps[path.name] = write_stamp(path)
        known = self._known
        if known is not None and known[0] == stamps:
            return known[1]
        found = self._scan()
        # what cannot be read today may be tomorrow, with nothing to tell by
        self._known = None if found.problems else (stamps, found)
        return found

    def forget(self) -> None:
        """Believe no cache: the next look reads every file."""
        self._known = None
        self._store.request.forget()
        if not self._store.read_only:
            with contextlib.suppress(OSError):
                self._file.path.unlink()

    def _scan(self) -> Found:
        """Entries from the catalogue where size and time still match, from the files otherwise."""
        known = self._file.cached()
        fresh: _Rows = {}
        entries, problems = [], []
        for path in self._store.paths():
            try:
                row, stamp = known.get(path.name), write_stamp(path)
                if row is None or row["stamp"] != stamp:
                    # The whole file is checked here once, so that what is listed can be ranked.
                    stored = self._store.read(path)
                    described = stored.specification.describe()
                    row = {"stamp": stamp, "hash": stored.content_hash, "described": described}
                fresh[path.name] = row
                entries.append(Entry(path.name, row["hash"], row["described"]))
            except FileNotFoundError:
                continue
            except OSError as error:
                reason = f"{path}: cannot be read ({error.strerror or error})."
                problems.append(Exclusion(path.name, reason))
            except (SchemaVersionError, LibraryError) as error:
                problems.append(Exclusion(path.name, str(error)))
            except SpecificationError as error:
                problems.append(Exclusion(path.name, self._store.set_aside(path, error)))
        if fresh != known and not self._store.read_only:
            self._file.keep(fresh)
        entries.sort(key=lambda entry: (natural(entry.title), entry.file))
        return Found(tuple(entries), tuple(problems))


def _checked(data: dict[str, Any]) -> _Rows:
    if data["version"] != _VERSION or data["digest"] != _digest(data["files"]):
        raise ValueError("of another version, or altered")
    return dict(data["files"])


def _catalogue(rows: _Rows) -> dict[str, Any]:
    return {"version": _VERSION, "digest": _digest(rows), "files": rows}


def _digest(rows: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
