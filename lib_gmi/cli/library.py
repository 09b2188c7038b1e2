"""``gmi library``: look at the library, and tidy it."""

from __future__ import annotations

import argparse
from typing import Any

from ..library.catalogue import Library
from .output import Column, Output, Table, partly, reasons
from .parts import Bar, add_command, add_encoder_option, entries_named, fitted


def add_parser(commands: Any) -> None:
    """Add the command."""
    library = commands.add_parser("library", help="look at and tidy the library")
    actions = library.add_subparsers(required=True, metavar="ACTION")
    add_command(actions, "list", _list, "what is there")
    add_command(actions, "verify", _verify, "read every file whole; damaged ones are set aside")
    add_command(actions, "duplicates", _duplicates, "candidates that the library cannot tell apart")
    text = "move specifications to the folder removed/"
    remove = add_command(actions, "remove", _remove, text)
    remove.add_argument("names", nargs="+", metavar="NAME", help="title, or identity")
    text = "let another encoder read the kept samples; nothing is generated again"
    reencode = add_command(actions, "reencode", _reencode, text)
    reencode.add_argument("names", nargs="*", metavar="NAME", help="title, or identity (all)")
    add_encoder_option(reencode, "the new one, see gmi encoders")


def _list(arguments: argparse.Namespace) -> Output:
    library = Library(arguments.library)
    entries, problems = library.look()
    columns = [
        Column("checkpoint", lambda e: e.title, cut=3),
        Column("architecture", lambda e: e.described["candidate"]["architecture"] or None),
        Column("samples", lambda e: f"{e.samples}/{e.prompt_set_size}"),
        Column("", lambda e: f"{len(r)} broken" if (r := e.described["rejected"]) else ""),
        Column("encoder", lambda e: e.encoder_id, cut=2),
        Column("identity", lambda e: e.identity, cut=1),
    ]
    text: list[str | Table] = [
        f"{library.folder}: no specifications yet. Build them with: gmi build FOLDER"
    ]
    if entries:
        count = f"{len(entries)} specifications in {library.folder}"
        text = [Table(columns, entries), "", count]
    return Output(
        [{"file": entry.file, **entry.described} for entry in entries],
        text,
        problems=[f"{problem.title}: {problem.reason}" for problem in problems],
        code=partly(problems),
    )


def _verify(arguments: argparse.Namespace) -> Output:
    report = Library(arguments.library).verify()
    text = [
        f"{len(report.good)} specifications are good.",
        *reasons("set aside in damaged/", report.damaged),
        *reasons("left alone", report.unreadable),
    ]
    return Output(report, text, code=partly(report.damaged or report.unreadable))


def _remove(arguments: argparse.Namespace) -> Output:
    library = Library(arguments.library)
    found = entries_named(library, arguments.names)
    moved = library.remove(found)
    pairs = zip(found, moved, strict=True)
    return Output(moved, [f"{entry.title} → {path}" for entry, path in pairs])


def _duplicates(arguments: argparse.Namespace) -> Output:
    library = fitted(arguments, Library(arguments.library))
    titles = [candidate.title for candidate in library.stack.candidates]
    groups = [[titles[i] for i in group] for group in library.findings.groups]
    text = [f"These {len(group)} are nearly the same: {', '.join(group)}" for group in groups]
    return Output(groups, text or [f"All {len(titles)} candidates can be told apart."])


def _reencode(arguments: argparse.Namespace) -> Output:
    from ..encoders import AUTO, load, named
    from ..submitting.reencode import reencode, waiting

    library = Library(arguments.library)
    chosen = entries_named(library, arguments.names)
    identities = [entry.identity for entry in chosen] if arguments.names else None
    encoder = load(named(arguments.encoder or AUTO))
    with Bar("Encoding", quiet=arguments.json) as bar:
        done = list(reencode(library, encoder, waiting(library, encoder.id, identities), bar))
    text = [
        f"{row.title}: {row.samples} samples"
        f"{f'; {row.missing} have no copy and must be generated' if row.missing else ''}"
        for row in done
    ]
    text.append(f"Now of {encoder.id}. The old specifications are still there.")
    nothing = f"Nothing to do: {encoder.id} has read every kept sample in {library.folder}."
    data = {"encoder": encoder.id, "specifications": done}
    missing = any(row.missing for row in done)
    return Output(data, text if done else [nothing], code=partly(missing))
