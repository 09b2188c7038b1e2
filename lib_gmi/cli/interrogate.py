"""``gmi interrogate``, and the pseudo-prompt of ``gmi rank --interrogator``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError
from ..library.catalogue import Library
from .output import Output, Outputs, partly
from .parts import Bar, add_command, fitted

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..interrogators import Described
    from ..ranking.fitted import FittedLibrary


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands,
        "interrogate",
        _run,
        "describe images in words",
        "Describe images by the first interrogator that has something to say. Nothing is "
        "downloaded. See docs/interrogators.md.",
    )
    command.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    command.add_argument(
        "--with", dest="order", default="", metavar="NAMES", help="in order, e.g. metadata,labels"
    )
    command.add_argument("--list", action="store_true", help="list the interrogators")


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


def _run(arguments: argparse.Namespace) -> Outputs:
    from ..interrogators import parse_order, rows

    if arguments.list or not arguments.images:
        text = [f"{row.name:26s} {row.summary}" for row in rows()]
        return Output([{"name": row.name, "summary": row.summary} for row in rows()], text)
    order = parse_order(arguments.order)
    wanted = "library" in order and arguments.order
    library = fitted(arguments, Library(arguments.library)) if wanted else None
    return _each(arguments, order, library)


def _each(
    arguments: argparse.Namespace, order: Sequence[str], library: FittedLibrary | None
) -> Iterator[Output]:
    for image in arguments.images:
        try:
            described = _describe(image, order, arguments, library)
        except GMIError as error:
            answer = {"image": image, "error": str(error)}
            yield Output(answer, [f"{image}: {error}"], code=partly(True))
        else:
            prompt = described.prompt
            said = "nothing to say"
            if prompt is not None:
                sure = "" if prompt.confidence is None else f", {prompt.confidence:.0%}"
                said = f"{prompt.text} ({prompt.source}{sure})"
            data = {"image": image, "prompt": prompt, "notes": described.notes}
            notes = [f"  {note}" for note in described.notes]
            yield Output(data, [f"{image}: {said}", *notes], code=partly(prompt is None))


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
