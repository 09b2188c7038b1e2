"""What the commands of the command line share: options, progress, and how things are printed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..base.paths import LIBRARY_VARIABLE, default_library_folder
from ..base.text import one_line

EXIT_OK, EXIT_PARTLY, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def say(text: str) -> None:
    """Print one line for people: no control character or line break of a name gets through."""
    print(one_line(text))


def add_common(parser: argparse.ArgumentParser) -> None:
    """The options of every command that reads or writes a library."""
    add_library_option(parser)
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


def positive(text: str) -> int:
    """A whole number from 1 on, as an option's type."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def print_json(data: Any) -> None:
    """For other programs."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False, default=str)
    print()


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
