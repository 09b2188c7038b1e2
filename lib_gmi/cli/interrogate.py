"""``gmi interrogate``, and the pseudo-prompt of ``gmi rank --interrogator``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError
from ..library.catalogue import Library
from .parts import EXIT_OK, EXIT_PARTLY, Bar, add_common, print_json, say

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..interrogators import Described
    from ..ranking.fitted import FittedLibrary


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "interrogate",
        help="describe images in words",
        description="Describe images by the first interrogator that has something to say. Nothing "
        "is downloaded. See docs/interrogators.md.",
    )
    command.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    command.add_argument(
        "--with", dest="order", default="", metavar="NAMES", help="in order, e.g. metadata,labels"
    )
    command.add_argument("--list", action="store_true", help="list the interrogators")
    add_common(command)
    command.set_defaults(run=_run)


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option of commands that rank."""
    parser.add_argument(
        "--interrogator",
        metavar="NAMES",
        help="describe the image where no prompt is given, by these in order: metadata,labels",
    )


def pseudo_prompt(
    image: Path, arguments: argparse.Namespace, library: FittedLibrary | None = None
) -> Described:
    """The user's words, or what the chosen interrogators say.

    Raises:
        ImageError: the image cannot be read.
        InterrogatorError: a name is unknown.
    """
    from ..interrogators import Described, parse_order
    from ..records.protocols import PseudoPrompt

    if (arguments.prompt or "").strip():
        return Described(PseudoPrompt(arguments.prompt.strip(), "user"))
    if not arguments.interrogator:
        return Described(None)
    order = parse_order(arguments.interrogator)
    return _describe(image, order, arguments, library)


def _run(arguments: argparse.Namespace) -> int:
    from ..interrogators import parse_order, rows

    if arguments.list or not arguments.images:
        if arguments.json:
            print_json([{"name": row.name, "summary": row.summary} for row in rows()])
        else:
            for row in rows():
                say(f"{row.name:26s} {row.summary}")
        return EXIT_OK
    order = parse_order(arguments.order)
    library = _fitted(arguments) if "library" in order and arguments.order else None
    answers, failed = [], 0
    for image in arguments.images:
        answer: dict[str, Any] = {"image": str(image)}
        try:
            described = _describe(image, order, arguments, library)
            prompt = None if described.prompt is None else asdict(described.prompt)
            answer |= {"prompt": prompt, "notes": list(described.notes)}
        except GMIError as error:
            answer["error"] = str(error)
        failed += not answer.get("prompt")
        answers.append(answer)
        if not arguments.json:
            _print(answer)
    if arguments.json:
        print_json(answers)
    return EXIT_PARTLY if failed else EXIT_OK


def _describe(
    image: Path,
    order: Sequence[str],
    arguments: argparse.Namespace,
    library: FittedLibrary | None,
) -> Described:
    from ..interrogators import Interrogators, Query
    from ..interrogators.cache import Cache
    from ..interrogators.clip_interrogator import NAME as CLIP_TABLES
    from ..metadata import read_making
    from ..ranking.query import described

    def nearest() -> str | None:
        if library is None:
            return None
        from ..ranking.identify import Identifier
        from ..records.prompts import default_prompt_set

        features = Identifier(library).read([image]).features
        known = {prompt.id: prompt.text for prompt in default_prompt_set().prompts}
        return known.get(library.nearest_prompt(features) or "")

    interrogators = Interrogators(cache=Cache(arguments.library / "interrogations.json"))

    def ask(pixels: Image) -> Described:
        query = Query(pixels, None, read_making(image), nearest, arguments.library / CLIP_TABLES)
        with Bar("Describing", quiet=arguments.json) as progress:
            return interrogators.describe(query, False, order, progress)

    return described([image], ask)


def _fitted(arguments: argparse.Namespace) -> FittedLibrary:
    from ..ranking.fitted import open_fitted

    return open_fitted(Library(arguments.library))


def _print(answer: dict[str, Any]) -> None:
    prompt = answer.get("prompt")
    if prompt is None:
        said = answer.get("error") or "nothing to say"
    else:
        sure = "" if prompt["confidence"] is None else f", {prompt['confidence']:.0%}"
        said = f"{prompt['text']} ({prompt['source']}{sure})"
    say(f"{answer['image']}: {said}")
    for note in answer.get("notes", ()):
        say(f"  {note}")
