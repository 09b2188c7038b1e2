"""A node of ComfyUI's graphs, and what following links asks of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

#: Node and number of the output.
Link = tuple[str, int]


@dataclass(frozen=True)
class Node:
    """A node as ComfyUI's API writes it.

    Attributes:
        kind: its class.
        inputs: values by name; a link is a list of a node's id and the number of its output.
    """

    id: str
    kind: str
    inputs: Mapping[str, Any]

    @property
    def words(self) -> str:
        """The class in lower case, to look for parts of names in."""
        return self.kind.lower()


class Links(Protocol):
    """The part of :class:`.graph.Graph` that looking through one node needs."""

    def link(self, value: Any) -> Link | None:
        """The link that a value is, or ``None``."""

    def number(self, value: Any, strict: bool = False) -> Any:
        """A number (or a boolean) that stands here or that links lead to; else ``None``."""
