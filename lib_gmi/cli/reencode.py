"""``gmi library reencode``: a new encoder reads the samples that are kept."""

from __future__ import annotations

import argparse
from typing import Any

from ..base.errors import LibraryError
from ..library.catalogue import Library
from .parts import EXIT_OK, EXIT_PARTLY, Bar, add_common, print_json, say


def add_parser(actions: Any) -> None:
    """Register the action."""
    text = "let another encoder read the kept samples; nothing is generated again"
    reencode = actions.add_parser("reencode", help=text, description=text)
    reencode.add_argument("names", nargs="*", metavar="NAME", help="title, or identity (all)")
    reencode.add_argument("--encoder", default=None, help="the new one, see gmi encoders")
    add_common(reencode)
    reencode.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from ..encoders import AUTO, load, named
    from ..submitting.reencode import reencode, waiting

    library = Library(arguments.library)
    identities = _identities(library, arguments.names) if arguments.names else None
    encoder = load(named(arguments.encoder or AUTO))
    chosen = waiting(library, encoder.id, identities)
    with Bar("Encoding", quiet=arguments.json) as bar:
        done = list(reencode(library, encoder, chosen, bar))
    if arguments.json:
        print_json({"encoder": encoder.id, "specifications": [vars(row) for row in done]})
    elif not done:
        say(f"Nothing to do: {encoder.id} has read every kept sample in {library.folder}.")
    else:
        for row in done:
            lost = f"; {row.missing} have no copy and must be generated" if row.missing else ""
            say(f"{row.title}: {row.samples} samples{lost}")
        say(f"Now of {encoder.id}. The old specifications are still there.")
    return EXIT_PARTLY if any(row.missing for row in done) else EXIT_OK


def _identities(library: Library, names: list[str]) -> list[str]:
    found = []
    for name in names:
        matches = library.find(name)
        if not matches:
            raise LibraryError(f"'{name}' is not in the library. See gmi library list.")
        found += [entry.identity for entry in matches]
    return found
