"""ComfyUI's graph of nodes, and the values that links lead to. Only looked at, never run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import names
from .contexts import is_part, part_of
from .node import Link, Node
from .switches import branches
from .text import MAX_PROMPT
from .values import first, mapping, word

#: Nodes of a graph; those of more are no graph that a person made.
MAX_NODES = 10_000
_MAX_INPUTS = 500
#: Inputs that are looked at in one graph, however often; a usual one takes some thousands.
MAX_LOOKS = 500_000
#: Links that are followed for one value.
_DEEPEST = 60
#: Characters of a text that nodes put together.
_MAX_TEXT = 4 * MAX_PROMPT

_NUMBERS = ("value", "seed", "noise_seed", "int", "float", "number", "num", "a", "input", "any")


class Graph:
    """A graph of the API's format, for walking against the direction of its links."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes
        self._links: dict[str, list[tuple[str, Link]]] = {}
        self._branches: dict[str, list[Any] | None] = {}
        raw = (self._raw(value) for node in nodes.values() for value in node.inputs.values())
        self.consumed = {link[0] for link in raw if link is not None}
        self._texts: dict[Link, str] = {}
        self._looks = MAX_LOOKS

    @property
    def exhausted(self) -> bool:
        """Whether reading gave up, because the graph has too many links to follow them all."""
        return self._looks < 0

    def link(self, value: Any) -> Link | None:
        """The link that a value is, or ``None``; through a context, to what is in it."""
        link = self._raw(value)
        for _ in range(_DEEPEST):
            if link is None or not is_part(self.nodes[link[0]], link[1]):
                return link
            link = self._raw(part_of(self.nodes, self.nodes[link[0]], link[1]))
        return None

    def _raw(self, value: Any) -> Link | None:
        if not isinstance(value, list) or len(value) != 2:
            return None
        source, output = value
        if isinstance(source, bool) or not isinstance(source, str | int):
            return None
        if isinstance(output, bool) or not isinstance(output, int) or not 0 <= output < 1000:
            return None
        return (str(source), output) if str(source) in self.nodes else None

    def links(self, node: Node) -> list[tuple[str, Link]]:
        """The linked inputs of a node, by name and in their order."""
        if node.id not in self._links:
            pairs = ((name, self.link(value)) for name, value in node.inputs.items())
            self._links[node.id] = [(name, link) for name, link in pairs if link is not None]
        return self._links[node.id]

    def source(self, node: Node, *names: str) -> Link | None:
        """The first of these inputs that is linked."""
        return first(*(self.link(node.inputs.get(name)) for name in names))  # type: ignore[no-any-return]

    def branches(self, node: Node) -> list[Any] | None:
        """What a switch may pass on; ``None`` for other nodes. See :func:`.switches.branches`."""
        if node.id not in self._branches:
            self._branches[node.id] = []  # while it is looked for: a circle ends here
            self._branches[node.id] = branches(self, node)
        return self._branches[node.id]

    def ways(self, node: Node) -> list[Link] | None:
        """The links among them."""
        found = self.branches(node)
        if found is None:
            return None
        links = (self.link(value) for value in found)
        return list(dict.fromkeys(link for link in links if link is not None))

    def onward(
        self, node: Node, wanted: Sequence[Callable[[str], object]], never: Callable[[str], object]
    ) -> list[Link]:
        """The links of a node that lead to one kind of thing, such as its model.

        Args:
            node: a switch leads where it may pass on, whatever its inputs are called.
            wanted: patterns of names in lower case; the first that any input has decides.
            never: the pattern of names that do not lead there, where none of ``wanted`` is had.
        """
        ways = self.ways(node)
        if ways is not None:
            return ways
        links = [(name.lower(), link) for name, link in self.links(node)]
        for pattern in wanted:
            found = [link for name, link in links if pattern(name)]
            if found:
                return found
        return [link for name, link in links if not never(name)]

    def number(self, value: Any, strict: bool = False) -> Any:
        """A number (or a boolean) that stands here or that links lead to; else ``None``.

        Args:
            value: of an input.
            strict: only through nodes that are known to hand on what they are given.
        """
        for _ in range(_DEEPEST):
            if isinstance(value, int | float):
                return value
            link = self.link(value)
            if link is None:
                return None
            node = self.nodes[link[0]]
            ways = self.branches(node)
            if ways is not None:
                value = ways[0] if len(ways) == 1 else None
                continue
            unsure = strict and not names.HANDS_ON.search(node.words)
            if unsure or names.COMPUTES.search(node.words):
                return None
            named = (node.inputs.get(name) for name in _NUMBERS if name in node.inputs)
            value = first(*named)
            if value is None:
                further = self.links(node)
                value = list(further[0][1]) if len(further) == 1 else None
        return None

    def name(self, value: Any) -> str | None:
        """The name of a file or a choice that stands here or that links lead to."""
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            return word(value)
        return word(self.text(value)) if self.link(value) else None

    def text(self, value: Any, depth: int = 0) -> str:
        """The text that stands here or that links lead to, as far as the graph tells."""
        if isinstance(value, str):
            return value[:_MAX_TEXT]
        link = self.link(value)
        if link is None or depth > _DEEPEST:
            return ""
        if link not in self._texts:
            self._texts[link] = ""  # while it is looked for: a circle ends here
            self._texts[link] = self._text(link, depth)[:_MAX_TEXT]
        return self._texts[link]

    def _text(self, link: Link, depth: int) -> str:
        node = self.nodes[link[0]]
        if node.kind.startswith("GMI_"):
            return _own_text(node, link[1], self.text(node.inputs.get("prompt"), depth + 1))
        ways = self.branches(node)
        if ways is not None:
            texts = {self.text(way, depth + 1) for way in ways}
            return texts.pop() if len(texts) == 1 else ""
        if names.FROM_FILE.search(node.words):
            return ""
        inputs = node.inputs
        if "populated_text" in inputs:  # what a wildcard was replaced by
            return self.text(inputs["populated_text"], depth + 1)
        if {"string", "find", "replace"} <= inputs.keys():
            text = self.text(inputs["string"], depth + 1)
            old, new = inputs["find"], inputs["replace"]
            if isinstance(old, str) and isinstance(new, str) and old:
                text = text.replace(old, new[:200])
            return text
        held = self.text_inputs(node, "negative" if link[1] == 1 else "positive")
        parts = self._texts_of([inputs[name] for name in held], depth)
        if not any(parts):
            parts = self._texts_of([list(further) for _, further in self.links(node)], depth)
        delimiter = first(inputs.get("delimiter"), inputs.get("separator"))
        delimiter = delimiter[:20] if isinstance(delimiter, str) else ", "
        return delimiter.join(part for part in dict.fromkeys(parts) if part)

    def _texts_of(self, values: list[Any], depth: int) -> list[str]:
        parts: list[str] = []
        length = 0
        for value in values:
            if length > _MAX_TEXT or self.exhausted:
                break
            self._looks -= 1
            parts.append(self.text(value, depth + 1))
            length += len(parts[-1])
        return parts

    def text_inputs(self, node: Node, role: str) -> list[str]:
        """The inputs of a node that hold its text; where it has two prompts, those of one."""
        other = "negative" if role == "positive" else "positive"
        held = [
            name
            for name in node.inputs
            if names.TEXT.match(name.lower()) and not names.NO_TEXT.search(name.lower())
        ]
        mine = [name for name in held if role in name.lower()]
        if mine and any(other in name.lower() for name in held):
            return mine
        return [name for name in held if other not in name.lower()] or held

    def walk(self, start: list[Link]) -> Iterator[tuple[Node, list[Link]]]:
        """Every node that is reached, once; the caller adds to the list where to go on."""
        seen: set[str] = set()
        waiting = start[::-1]
        while waiting and not self.exhausted:
            key = waiting.pop()[0]
            if key in seen:
                continue
            seen.add(key)
            node, further = self.nodes[key], list[Link]()
            self._looks -= 1 + len(node.inputs)
            yield node, further
            waiting.extend(reversed(further))


def _own_text(node: Node, output: int, prompt: str) -> str:
    """What is known of this extension's own nodes, whose answers are found when they run."""
    inputs = node.inputs
    locked = inputs.get("locked_answer")
    naming = {"GMI_FindBestModel": 0, "GMI_LoadBestModel": 3}.get(node.kind)
    if output == naming:
        return locked if inputs.get("lock_answer") and isinstance(locked, str) else ""
    return prompt if node.kind == "GMI_FindBestModel" and output == 4 else ""


def api_graph(data: Any) -> Graph | None:
    """The graph of ``{id: {"class_type": …, "inputs": {…}}}``, or ``None`` if this is none."""
    if not isinstance(data, dict):
        return None
    nodes: dict[str, Node] = {}
    for key, value in data.items():
        entry = mapping(value)
        kind, inputs = entry.get("class_type"), entry.get("inputs")
        if isinstance(kind, str) and isinstance(inputs, dict) and len(kind) < 200:
            kept = [name for name in inputs if len(name) <= names.MAX_INPUT_NAME][:_MAX_INPUTS]
            nodes[key] = Node(key, kind, {name: _unwrapped(inputs[name]) for name in kept})
    return Graph(nodes) if 0 < len(nodes) <= MAX_NODES else None


def _unwrapped(value: Any) -> Any:
    """The front end wraps lists that are no links."""
    return (
        {"content": value["__value__"]}
        if isinstance(value, dict) and "__value__" in value
        else value
    )
