"""Routes of packs: specifications that others made."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ..library.packs import SUFFIX
from . import fields
from .fields import MAX_UPLOAD
from .handlers import Handlers
from .installed import NAME
from .route import Json, route


class Packs(Handlers):
    """See the module's docstring."""

    @route(
        "GET packs",
        "Packs and spot checks of them",
        "`packs` (rows with `id`, `title`, `author`, `licence`, `link`, how many `specifications` "
        "and how many of them are `installed`, `problem`), `writable`, `limit` (bytes of a pack "
        "that can be uploaded), `checks` (by checkpoint, see `packs/check`).",
    )
    def shared(self) -> Json:
        """The packs that were imported: specifications that others made."""
        return {
            "packs": self.packs(),
            "writable": not self.service.library.read_only,
            "limit": MAX_UPLOAD,
            "checks": self.checks.outcomes(),
        }

    def packs(self) -> list[dict[str, Any]]:
        """The packs that were imported."""
        service = self.service
        if not service.states.packs.folder.is_dir():
            return []
        installed = {candidate.identity for candidate in service.candidates.all()}
        return [
            {
                "id": info.id,
                "title": info.about.title,
                "author": info.about.author,
                "licence": info.about.licence,
                "link": info.about.link,
                "specifications": len(info.entries),
                "installed": info.installed(installed),
                "problem": info.problem,
            }
            for info in service.states.packs.installed()
        ]

    @route(
        "POST packs/check",
        "Compare a pack with a checkpoint",
        "`state` (waiting, comparing, done or failed), `sentence` (what came of it), and "
        "`doubtful`: whether the pack should not be believed.",
        name=NAME,
    )
    def check_pack(self, name: str) -> Json:
        """Generates three images with an installed checkpoint and compares them with what a pack
        says of it. ComfyUI queues them: `packs` tells what came of it."""
        return self.checks.ask(name)

    @route(
        "POST packs/import",
        "Import a pack",
        "`title`, and `new`: false if it was there already.",
        data=fields.file(
            "The pack",
            f"Packs of up to {MAX_UPLOAD >> 20} MB can be imported here; larger ones with: "
            "gmi pack import",
        ),
    )
    def import_pack(self, data: bytes) -> Json:
        """Adds a pack, as a whole or not at all. What you have built yourself always counts
        first."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"uploaded{SUFFIX}"
            path.write_bytes(data)
            report = self.service.states.packs.import_file(path)
        self.service.snapshots.advance_soon()
        return {"title": report.pack.about.title, "new": report.new}

    @route(
        "POST packs/remove",
        "Remove a pack",
        "Nothing.",
        name=fields.text("id or title of the pack", default=None),
    )
    def remove_pack(self, name: str) -> Json:
        """Takes a pack out; it is kept in the library's folder `removed`, and can be imported from
        there."""
        self.service.states.packs.remove(name)
        self.service.snapshots.advance_soon()
        return {}
