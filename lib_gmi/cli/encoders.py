"""``gmi encoders``: what can turn images into numbers, and what of open_clip there is."""

from __future__ import annotations

import argparse
from typing import Any

from .output import EXIT_OK, EXIT_USAGE, Column, Output, Table
from .parts import add_json_option


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
    add_json_option(encoders)
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


def _run(arguments: argparse.Namespace) -> Output:
    from ..encoders import registry

    if arguments.openclip is not None:
        return _openclip(arguments.openclip)
    if arguments.download is not None:
        download(arguments.download)
    if arguments.remember is not None or arguments.download is not None:
        info = registry.info(arguments.remember or arguments.download)
        text = f"{info.name}: {info.dim} numbers; in files it is called {info.id}"
        return Output({"name": info.name, "id": info.id, "dim": info.dim}, [text])
    return _list()


def _openclip(pattern: str) -> Output:
    from ..encoders import openclip

    names = [f"{openclip.PREFIX}{model}/{tag}" for model, tag in openclip.known(pattern)]
    nothing = f"open_clip knows no model or weights whose name holds '{pattern}'."
    return Output(names, names or [nothing], code=EXIT_OK if names else EXIT_USAGE)


def _list() -> Output:
    from ..encoders import AUTO, choose, openclip, registry
    from ..ranking.methods import METHODS

    chosen, reason = choose()
    images, texts = registry.images(), registry.texts()
    methods = METHODS.values()
    data = {
        "auto": {"name": chosen, "reason": reason},
        "encoders": [_fields(i, "name", "id", "dim", "summary") for i in images],
        "families": [{"prefix": openclip.PREFIX, "summary": openclip.SUMMARY}],
        "text_encoders": [
            {"id": i.id, "dim": i.text_dim, "extra": i.extra, "summary": i.summary} for i in texts
        ],
        "methods": [_fields(m, "name", "summary") for m in methods],
    }
    rows: list[list[object]] = [
        [AUTO, "", reason],
        *([i.name, i.dim, i.summary] for i in images),
        *([i.id, i.text_dim, i.summary] for i in texts),
    ]
    text: list[str | Table] = [
        Table([Column("encoder"), Column("numbers"), Column("", cut=1)], rows),
        "",
        f"{openclip.PREFIX}…: {openclip.SUMMARY}",
        "Join encoders with +, for instance style/efficientnet-lite0+pixels/32x32.",
        "",
        Table([Column("method"), Column("", cut=1)], [[m.name, m.summary] for m in methods]),
    ]
    return Output(data, text)


def _fields(record: object, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}
