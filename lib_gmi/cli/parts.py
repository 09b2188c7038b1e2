"""What the commands of the command line share: options, names and progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import LibraryError
from ..base.paths import LIBRARY_VARIABLE, default_library_folder
from ..base.text import one_line

if TYPE_CHECKING:
    from ..library.catalogue import Library
    from ..library.entries import Entry
    from ..ranking.fitted import FittedLibrary
    from .output import Outputs


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], Outputs],
    help_: str,
    description: str | None = None,
) -> argparse.ArgumentParser:
    """A command that reads or writes a library and can print JSON; returns its parser.

    Args:
        commands: what ``add_subparsers`` returned.
        name: of the command.
        run: gets the parsed arguments.
        help_: a line in the list of commands.
        description: for its own help; by default ``help_``.
    """
    parser: argparse.ArgumentParser
    parser = commands.add_parser(name, help=help_, description=description or help_)
    add_library_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)
    return parser


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """For other programs."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_library_option(parser: argparse.ArgumentParser) -> None:
    """Which library."""
    parser.add_argument(
        "--library",
        type=Path,
        default=default_library_folder(),
        metavar="DIR",
        help=f"the library's folder (default: %(default)s, or ${LIBRARY_VARIABLE})",
    )


def add_encoder_option(
    parser: argparse.ArgumentParser, help_: str = "see gmi encoders (default: auto)"
) -> None:
    """Which encoder of images."""
    parser.add_argument("--encoder", default=None, help=help_)


def add_top_option(parser: argparse.ArgumentParser) -> None:
    """How much of an answer."""
    parser.add_argument("--top", type=positive, default=10, metavar="N", help="lines to print")


def positive(text: str) -> int:
    """A whole number from 1 on, as an option's type."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def entries_named(library: Library, names: Sequence[str]) -> list[Entry]:
    """The specifications of the candidates that are named by title or identity, each once.

    Raises:
        LibraryError: a name is not in the library, or fits several candidates.
    """
    found: dict[str, Entry] = {}
    for name in names:
        entries = library.find(name)
        if not entries:
            raise LibraryError(f"'{name}' is not in the library. See gmi library list.")
        found |= {entry.file: entry for entry in entries}
    return list(found.values())


def fitted(arguments: argparse.Namespace, library: Library, **options: Any) -> FittedLibrary:
    """See :func:`.ranking.fitted.open_fitted`, which gets ``options``; with a progress bar."""
    from ..ranking.fitted import open_fitted

    with Bar("Fitting", quiet=arguments.json) as progress:
        return open_fitted(library, progress=progress, **options)


class Bar:
    """A progress bar on stderr; says nothing when quiet or in a log."""

    def __init__(self, title: str, quiet: bool) -> None:
        self._title = title
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: int, total: int, message: str = "") -> None:
        if self._quiet or total == 0 or not sys.stderr.isatty():
            return
        if self._bar is None:
            from tqdm import tqdm

            layout = "{desc} {percentage:3.0f}% |{bar:20}| {n_fmt}/{total_fmt} {postfix}"
            self._bar = tqdm(total=total, desc=self._title, bar_format=layout, leave=False)
        if total != self._bar.total:
            self._bar.reset(total)
        self._bar.n = done
        self._bar.set_postfix_str(one_line(message))
