"""The command line: ``gmi build``, ``harvest``, ``rank``, ``library``, ``pack``, ``demo`` and more.

Exit codes: 0 done; 1 done in part (some candidates failed or are damaged); 2 wrong usage or bad
input, with a message that says what to do; 130 interrupted, with everything finished so far kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import build, encoders, harvest, interrogate, library, packs, rank, search, ui
from .output import execute


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return execute(_parser, argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gmi", description="Find which of your checkpoints makes images like the one you have."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (build, rank, library, harvest, packs, interrogate, search, encoders, ui):
        module.add_parser(commands)
    return parser
