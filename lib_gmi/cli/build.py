"""``gmi build``: specifications from a folder of images."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import RankingError
from ..library.catalogue import Library
from . import encoders
from .output import Output, partly, reasons
from .parts import Bar, add_command, add_encoder_option, fitted, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records.protocols import Candidate
    from ..submitting.submit import BuildSummary


def add_parser(commands: Any) -> None:
    """Add the command."""
    build = add_command(
        commands,
        "build",
        _build,
        "build specifications from a folder of images",
        "Build a specification for every candidate of a folder: images/<candidate>/"
        "<prompt id>.jpg and prompts.json. Stop it whenever you like: it goes on where it stopped.",
    )
    build.add_argument("folder", type=Path, help="folder with images/ and prompts.json")
    add_encoder_option(build)
    encoders.add_download_option(build)
    build.add_argument("--limit", type=positive, metavar="N", help="only the first N prompts")
    build.add_argument(
        "--exclude", action="append", default=[], metavar="ID", help="leave this prompt out"
    )
    build.add_argument(
        "--candidates", metavar="PATTERN", help="only candidates whose name matches, e.g. '*XL*'"
    )
    build.add_argument(
        "--rebuild", action="store_true", help="start anew, for images that have changed"
    )


def _build(arguments: argparse.Namespace) -> Output:
    from ..encoders import AUTO
    from ..hosts.folder import FolderHost
    from ..submitting.submit import build

    encoder = arguments.encoder or AUTO
    host = FolderHost(arguments.folder)
    host.leave_out(arguments.exclude)
    candidates = _matching(host.list_checkpoints(), arguments.candidates)
    library = Library(arguments.library)
    if arguments.download:
        encoders.download(encoder)
    if arguments.rebuild:
        chosen = {candidate.identity for candidate in candidates}
        library.remove([e for e in library.entries() if e.identity in chosen])
    with Bar("Building", quiet=arguments.json) as progress:
        summary = build(
            host, host.prompt_set, library, encoder, candidates, arguments.limit, progress
        )
    if summary.complete or summary.partial:
        with contextlib.suppress(RankingError):  # too little to rank yet is no failure of the build
            fitted(arguments, library, encoder=encoder)
    return Output(
        summary, _said(summary, library), code=partly(summary.failed or summary.unreadable)
    )


def _matching(candidates: Sequence[Candidate], pattern: str | None) -> list[Candidate]:
    if pattern is None:
        return list(candidates)
    found = [c for c in candidates if fnmatch.fnmatch(c.title, pattern)]
    if not found:
        raise RankingError(f"No candidate matches '{pattern}'; there are {len(candidates)}.")
    return found


def _said(summary: BuildSummary, library: Library) -> list[str]:
    from ..submitting.submit import format_duration

    took = format_duration(summary.seconds)
    said = [
        f"{summary.samples} samples encoded in {took}; library: {library.folder}",
        f"  complete: {len(summary.complete)}, partial: {len(summary.partial)}",
    ]
    for kind in ("skipped", "failed", "suspect", "unreadable"):
        said += reasons(f"  {kind}", getattr(summary, kind))
    if summary.unavailable:
        said.append(f"  {summary.unavailable} samples are not in the folder, or were left out")
    return said
