"""The table of routes, and everything that a face can ask for."""

from __future__ import annotations

from typing import Any

from .asking import Asking
from .building import Building
from .installed import Installed
from .packs import Packs
from .route import Route
from .searching import Searching


class Api(Installed, Asking, Searching, Building, Packs):
    """The handlers of a host, by topic. See :class:`.Handlers` for what they are made of."""


#: Every route of both hosts.
ROUTES: tuple[Route[Any], ...] = tuple(
    row for topic in Api.__mro__ for row in vars(topic).values() if isinstance(row, Route)
)
