"""Interrogators by name, and the order in which the user wants them to be tried."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import GMIError, InterrogatorError
from ..base.text import unknown
from ..records.protocols import Interrogator, Progress, PseudoPrompt
from . import clip_interrogator, labels

if TYPE_CHECKING:
    from PIL import Image

    from ..metadata import Making

#: The order where the user has set none. Those that cannot be used are passed over.
DEFAULT_ORDER = ("user", "metadata", "host", "library", "labels")
#: The order for hosts that have no settings page of ours.
ORDER_VARIABLE = "GMI_INTERROGATORS"
#: Ends the order: nothing is described, and samples are weighted by the image alone.
NONE = "none"

HostInterrogator = Callable[["Image.Image"], str]


@dataclass(frozen=True)
class Query:
    """What there is to describe.

    Attributes:
        image: RGB, upright.
        words: the user's own.
        making: what the image's file says about its making.
        nearest: text of the library's nearest prompt; asked when its turn comes.
        tables: folder for what clip-interrogator works out once; by default in the default
            library's folder, which a host cannot always name.
    """

    image: Image.Image
    words: str | None = None
    making: Making | None = None
    nearest: Callable[[], str | None] = lambda: None
    tables: Path | None = None


@dataclass(frozen=True)
class Row:
    """One interrogator, as it is listed.

    Attributes:
        name: what people write in the order.
        summary: one line for people.
        make: for one query; ``host`` is the program's own interrogator, if it has one.
    """

    name: str
    summary: str
    make: Callable[[Query, HostInterrogator | None], Interrogator]


@dataclass(frozen=True)
class Plain:
    """An interrogator that cannot be stopped once it has begun; see
    :class:`..protocols.Interrogator`.

    Attributes:
        say: what there is to say of an image, or ``None``.
    """

    name: str
    say: Callable[[Image.Image], PseudoPrompt | str | None]
    version: str | None = None
    slow: bool = False

    def interrogate(
        self,
        image: Image.Image,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> PseudoPrompt | None:
        said = self.say(image)
        if isinstance(said, str):
            return PseudoPrompt(said, self.name) if said else None
        return said


def rows() -> list[Row]:
    """All interrogators, without ``none``."""
    return [
        Row("user", "your own words", lambda query, host: Plain("user", lambda _: query.words)),
        Row(
            "metadata",
            "the prompt in the image's file",
            lambda query, host: Plain(
                "metadata", lambda _: query.making.prompt if query.making else None
            ),
        ),
        Row(
            "host",
            "the program's own interrogator",
            lambda query, host: Plain("host", partial(_ask, host), version="1", slow=True),
        ),
        Row(
            "library",
            "the library's nearest prompt",
            lambda query, host: Plain("library", lambda _: query.nearest()),
        ),
        Row("labels", labels.SUMMARY, lambda query, host: Plain("labels", labels.say, "1")),
        *(
            Row(f"{clip_interrogator.NAME}:{mode}", summary, partial(_clip_interrogator, mode))
            for mode, summary in clip_interrogator.MODES.items()
        ),
    ]


def _clip_interrogator(mode: str, query: Query, host: HostInterrogator | None) -> Interrogator:
    return clip_interrogator.ClipInterrogator(mode, tables=query.tables)


def _ask(host: HostInterrogator | None, image: Image.Image) -> str | None:
    """What the program around us says, with its own models and settings; most have none.

    Raises:
        InterrogatorError: it failed; the message is the program's, or says where to look.
    """
    try:
        return None if host is None else str(host(image))
    except GMIError:
        raise
    except Exception as error:  # a program's own code: a model, a package, memory may be short
        raise InterrogatorError(f"The program's interrogator failed ({error}).") from error


def row(name: str) -> Row:
    """An interrogator by name; ``clip-interrogator`` without a mode is the fast one.

    Raises:
        InterrogatorError: unknown; the message lists near matches.
    """
    known = {row.name: row for row in rows()}
    if name == clip_interrogator.NAME:
        name += ":fast"
    if name not in known:
        raise InterrogatorError(unknown("interrogator", name, [*known, NONE]))
    return known[name]


def parse_order(text: str) -> tuple[str, ...]:
    """A comma list of names. An empty text is the default order.

    Raises:
        InterrogatorError: a name is unknown.
    """
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names:
        if name != NONE:
            row(name)
    return names or DEFAULT_ORDER


def order_from_environment() -> tuple[str, ...]:
    """What ``$GMI_INTERROGATORS`` says, or the default order.

    Raises:
        InterrogatorError: a name is unknown.
    """
    return parse_order(os.environ.get(ORDER_VARIABLE, ""))
