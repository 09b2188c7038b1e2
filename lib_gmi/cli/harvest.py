"""``gmi harvest``: specifications from images that exist, for checkpoints in a folder."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import HostError
from ..checkpoints.header import checkpoint_files
from ..library.catalogue import Library
from .output import Column, Output, Table
from .parts import Bar, add_command, add_encoder_option, positive

if TYPE_CHECKING:
    from ..records.protocols import Candidate
    from ..submitting.survey import Rules, Survey


def add_parser(commands: Any) -> None:
    """Add the command."""
    harvest = add_command(
        commands,
        "harvest",
        _harvest,
        "build specifications from images that you already have",
        "Reads how images were made (by AUTOMATIC1111, ComfyUI and others) and builds a "
        "specification of every checkpoint in --checkpoints that has enough of them. Stop it "
        "whenever you like: it goes on where it stopped.",
    )
    harvest.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="with images")
    harvest.add_argument(
        "--checkpoints", type=Path, required=True, metavar="DIR", help="folder with the checkpoints"
    )
    harvest.add_argument(
        "--hash",
        action="store_true",
        help="compute each checkpoint's SHA-256 first (minutes), so that renamed ones are found",
    )
    harvest.add_argument(
        "--least", type=positive, default=8, metavar="N", help="images that are needed"
    )
    harvest.add_argument("--lossy", action="store_true", help="take JPEGs as well")
    harvest.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PROCESS",
        help="what may have shaped an image besides, for instance hires or adetailer",
    )
    harvest.add_argument(
        "--networks", type=float, default=0.5, metavar="SUM", help="of the weights of LoRAs"
    )
    harvest.add_argument("--look", action="store_true", help="only say what there is")
    add_encoder_option(harvest)


def _harvest(arguments: argparse.Namespace) -> Output:
    from ..encoders import AUTO, load, optional_text_encoder
    from ..metadata.mentions import Installed
    from ..submitting.harvest import Harvester
    from ..submitting.survey import Rules, survey

    rules = Rules(
        least=max(arguments.least, 4),
        networks=arguments.networks,
        allowed=frozenset(arguments.allow),
        lossy=arguments.lossy,
    )
    for folder in arguments.folders:
        if not folder.is_dir():
            raise HostError(f"{folder}: no such folder. Name one with images.")
    with Bar("Hashing", quiet=arguments.json) as bar:
        candidates = checkpoints(arguments.checkpoints, arguments.hash, bar)
    found = survey(arguments.folders, Installed(candidates), rules)
    built: dict[str, int] = {}
    left_out: Counter[str] = Counter()
    if not arguments.look:
        encoder = load(arguments.encoder or AUTO)
        harvester = Harvester(Library(arguments.library), encoder, optional_text_encoder())
        with Bar("Harvesting", quiet=arguments.json) as bar:
            for crop in found.enough:
                stored, reasons = harvester.gather(crop, rules, bar)
                left_out += reasons
                if stored is not None:
                    built[crop.candidate.title] = len(stored)
    text = _said(found, built, left_out, rules)
    return Output(_as_json(found, built, left_out), text)


def checkpoints(folder: Path, hashed: bool, progress: Any) -> list[Candidate]:
    """The checkpoints of a folder and those below it.

    Raises:
        HostError: there is no such folder, or a file cannot be read.
    """
    from ..checkpoints.identity import full_identity, quick_identity
    from ..records.protocols import Candidate

    if not folder.is_dir():
        raise HostError(f"{folder}: no such folder. Name the one with your checkpoints.")
    found = []
    for path in checkpoint_files(folder):
        name = path.relative_to(folder).as_posix()
        identity = full_identity(path, progress) if hashed else quick_identity(path)
        title = name.removesuffix(path.suffix)
        found.append(Candidate(title, identity, name, path, path.stat().st_size))
    return found


def _said(
    found: Survey, built: dict[str, int], left_out: Counter[str], rules: Rules
) -> list[str | Table]:
    text: list[str | Table] = [
        f"{found.files} images looked at; {found.silent} do not say which checkpoint made them."
    ]
    rows = []
    for crop in found.crops:
        title = crop.candidate.title
        done = f"{built[title]} samples" if title in built else ""
        lacking = f"{crop.missing} more are needed" if crop.missing else done
        rows.append([title, len(crop.finds), lacking])
    if rows:
        columns = [Column("checkpoint", cut=1), Column("images"), Column("")]
        text += ["", Table(columns, rows), ""]
    for title, counted in (
        ("Not used", found.left_out + left_out),
        ("Of checkpoints that are not in the folder", found.foreign),
        ("Ambiguous: several checkpoints in the folder have this name", found.ambiguous),
    ):
        text += [f"{title}:"] if counted else []
        text += [f"  {number} {what}" for what, number in counted.most_common(8)]
    if not found.enough:
        text.append(f"No checkpoint has {rules.least} images that can be used.")
    if found.cut_short:
        text.append("There are more images; the newest ones were looked at.")
    return text


def _as_json(found: Survey, built: dict[str, int], left_out: Counter[str]) -> dict[str, Any]:
    crops = [
        {
            "title": crop.candidate.title,
            "name": crop.candidate.name,
            "identity": crop.candidate.identity,
            "images": len(crop.finds),
            "missing": crop.missing,
            "samples": built.get(crop.candidate.title, 0),
        }
        for crop in found.crops
    ]
    return {
        "files": found.files,
        "silent": found.silent,
        "checkpoints": crops,
        "left_out": found.left_out + left_out,
        "not_installed": found.foreign,
        "ambiguous": found.ambiguous,
        "cut_short": found.cut_short,
    }
