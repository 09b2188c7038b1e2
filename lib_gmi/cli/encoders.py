"""``gmi encoders``: what can turn images into numbers, and what of open_clip there is."""

from __future__ import annotations

import argparse
from typing import Any

from .parts import EXIT_OK, EXIT_USAGE, print_json, say
from .tables import table


def add_parser(commands: Any) -> None:
    """Add the command."""
    encoders = commands.add_parser(
        "encoders",
        help="list encoders and methods",
        description="List encoders and methods. With --openclip, the models and weights that the "
        "installed open_clip knows.",
    )
    encoders.add_argument(
        "--openclip",
        nargs="?",
        const="",
        metavar="PATTERN",
        help="list open_clip's models and weights whose name holds PATTERN",
    )
    encoders.add_argument(
        "--remember",
        metavar="NAME",
        help="note where the weights of an encoder lie, such as openclip/ViT-B-32/file:WEIGHTS",
    )
    encoders.add_argument(
        "--download",
        metavar="NAME",
        help="download the weights of an encoder from open_clip's list",
    )
    encoders.add_argument("--json", action="store_true", help="print JSON")
    encoders.set_defaults(run=_run)


def add_download_option(parser: argparse.ArgumentParser) -> None:
    """Permission for a command that uses an encoder."""
    parser.add_argument(
        "--download",
        action="store_true",
        help="download the encoder's weights if they are missing; without it you are told how "
        "large they are",
    )


def download(name: str) -> None:
    """Download what an encoder lacks. Only those of open_clip's ever lack anything."""
    from ..encoders import named, openclip, registry

    for part in registry.parts(named(name)):
        if part.startswith(openclip.PREFIX):
            openclip.fetch(part, allow_download=True)


def _run(arguments: argparse.Namespace) -> int:
    from ..encoders import registry

    if arguments.openclip is not None:
        return _openclip(arguments)
    if arguments.download is not None:
        download(arguments.download)
    if arguments.remember is not None or arguments.download is not None:
        info = registry.info(arguments.remember or arguments.download)
        if arguments.json:
            print_json({"name": info.name, "id": info.id, "dim": info.dim})
        else:
            say(f"{info.name}: {info.dim} numbers; in files it is called {info.id}")
        return EXIT_OK
    return _list(arguments)


def _openclip(arguments: argparse.Namespace) -> int:
    from ..encoders import openclip

    rows = openclip.known(arguments.openclip)
    names = [f"{openclip.PREFIX}{model}/{tag}" for model, tag in rows]
    if arguments.json:
        print_json(names)
    elif names:
        for name in names:
            say(name)
    else:
        say(f"open_clip knows no model or weights whose name holds '{arguments.openclip}'.")
    return EXIT_OK if names else EXIT_USAGE


def _list(arguments: argparse.Namespace) -> int:
    from ..encoders import AUTO, choose, registry
    from ..ranking.methods import METHODS

    chosen, reason = choose()
    if arguments.json:
        print_json(
            {
                "auto": {"name": chosen, "reason": reason},
                "encoders": [
                    {"name": i.name, "id": i.id, "dim": i.dim, "summary": i.summary}
                    for i in registry.images()
                ],
                "families": [
                    {"prefix": f.prefix, "summary": f.summary} for f in registry.families()
                ],
                "text_encoders": [
                    {"id": i.id, "dim": i.text_dim, "extra": i.extra, "summary": i.summary}
                    for i in registry.texts()
                ],
                "methods": [{"name": m.name, "summary": m.summary} for m in METHODS.values()],
            }
        )
        return EXIT_OK
    rows = [[AUTO, "", reason]]
    rows += [[i.name, str(i.dim), i.summary] for i in registry.images()]
    rows += [[i.id, str(i.text_dim), i.summary] for i in registry.texts()]
    print(table(["encoder", "numbers", ""], rows, shrink=[2]))
    print()
    for family in registry.families():
        say(f"{family.prefix}…: {family.summary}")
    say("Join encoders with +, for instance style/efficientnet-lite0+pixels/32x32.")
    print()
    print(table(["method", ""], [[m.name, m.summary] for m in METHODS.values()], shrink=[1]))
    return EXIT_OK
