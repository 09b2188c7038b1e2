"""Interrogators: what describes a query image, tried in the order that the user sets.

``describe`` asks one after the other until one has something to say. One that does not work is
passed over with a note. What others say about an image is remembered by the image's pixels.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import GMIError, InterrogationStoppedError, InterrogatorError
from ..records.protocols import Interrogator, Progress, PseudoPrompt
from . import clip_interrogator, labels, simple
from .cache import Cache, pixel_hash

if TYPE_CHECKING:
    from PIL import Image

    from ..metadata import Making

#: The order where the user has set none. Those that cannot be used are passed over.
DEFAULT_ORDER = ("user", "metadata", "host", "library", "labels")
#: The order for hosts that have no settings page of ours.
ORDER_VARIABLE = "GMI_INTERROGATORS"
#: Ends the order: nothing is described, and samples are weighted by the image alone.
NONE = "none"
#: A pseudo-prompt is cut there; no encoder reads as far.
MAX_TEXT = 5000


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


HostInterrogator = Callable[["Image.Image"], str]


@dataclass(frozen=True)
class Described:
    """A description and how it came about.

    Attributes:
        prompt: ``None`` where nothing is said, which the order may ask for.
        notes: which interrogators did not work, and why.
    """

    prompt: PseudoPrompt | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interrogators:
    """The interrogators of one program.

    Attributes:
        order: names, see :func:`parse_order`.
        host: the program's own interrogator, if it has one.
        cache: remembers what was said.
    """

    order: Callable[[], Sequence[str]] = lambda: DEFAULT_ORDER
    host: HostInterrogator | None = None
    cache: Cache = field(default_factory=Cache)

    def describe(
        self,
        query: Query,
        quick: bool = False,
        order: Sequence[str] | None = None,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> Described:
        """The first description that there is.

        Args:
            query: what to describe.
            quick: slow interrogators only say what they are known to have said.
            order: instead of the user's.
            progress: told by slow ones.
            stopped: whether the user asked to stop.

        Raises:
            InterrogatorError: the order names an unknown interrogator.
            InterrogationStoppedError: the user asked to stop.
        """
        notes: list[str] = []
        for name in self.order() if order is None else order:
            if name == NONE:
                break
            interrogator = row(name).make(query, self.host)
            try:
                said = self._ask(interrogator, query.image, quick, progress, stopped)
            except InterrogationStoppedError:
                raise
            except GMIError as error:
                notes.append(f"{name}: {error}")
                continue
            if said is not None:
                return Described(said, tuple(notes))
        return Described(None, tuple(notes))

    def _ask(
        self,
        interrogator: Interrogator,
        image: Image.Image,
        quick: bool,
        progress: Progress | None,
        stopped: Callable[[], bool] | None,
    ) -> PseudoPrompt | None:
        if interrogator.version is None:
            return _usable(interrogator.interrogate(image, progress, stopped))
        key = f"{interrogator.name} {interrogator.version} {pixel_hash(image)}"
        known = self.cache.get(key)
        if known is not None or (quick and interrogator.slow):
            return known
        said = _usable(interrogator.interrogate(image, progress, stopped))
        if said is not None:
            self.cache.put(key, said)
        return said


def _usable(said: PseudoPrompt | None) -> PseudoPrompt | None:
    """Without blanks around it, not too long, and ``None`` if nothing is left."""
    text = "" if said is None else said.text.strip()[:MAX_TEXT].strip()
    return None if said is None or not text else PseudoPrompt(text, said.source, said.confidence)


# -- by name --------------------------------------------------------------------------------------


def _rows() -> Mapping[str, Row]:
    rows = [
        Row("user", "your own words", lambda query, host: simple.Words(query.words)),
        Row("metadata", "the prompt in the image's file", _metadata),
        Row("host", "the program's own interrogator", lambda query, host: simple.Host(host)),
        Row("library", "the library's nearest prompt", _library),
        Row("labels", labels.SUMMARY, lambda query, host: labels.Labels()),
    ]
    for mode, summary in clip_interrogator.MODES.items():
        rows.append(Row(f"{clip_interrogator.NAME}:{mode}", summary, _clip(mode)))
    return {row.name: row for row in rows}


def _metadata(query: Query, host: HostInterrogator | None) -> Interrogator:
    return simple.Metadata(query.making)


def _library(query: Query, host: HostInterrogator | None) -> Interrogator:
    return simple.Nearest(query.nearest)


def _clip(mode: str) -> Callable[[Query, HostInterrogator | None], Interrogator]:
    return lambda query, host: clip_interrogator.ClipInterrogator(mode, tables=query.tables)


def rows() -> list[Row]:
    """All interrogators, without ``none``."""
    return list(_rows().values())


def row(name: str) -> Row:
    """An interrogator by name; ``clip-interrogator`` without a mode is the fast one.

    Raises:
        InterrogatorError: unknown; the message lists near matches.
    """
    known = _rows()
    if name == clip_interrogator.NAME:
        name += ":fast"
    if name not in known:
        near = difflib.get_close_matches(name, [*known, NONE], n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}, none."
        raise InterrogatorError(f"Unknown interrogator '{name}'. {hint}")
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
