"""How the object of a program that writes names and values is read, whichever program it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .making import Making, Network, distinct, mention, settings_in
from .text import networks_in, prompt_text
from .values import first, items

Facts = Mapping[str, Any]
#: Our names, and a program's: of several the first that is there.
Names = Mapping[str, str | tuple[str, ...]]
_NOT_NAMED = {"hash": "", "refiner": "", "refiner_hash": "", "version_id": ""}


@dataclass(frozen=True)
class Program:
    """How one program writes.

    Attributes:
        name: see :class:`.making.Making`.
        needs: all of these are in its objects.
        one_of: and one of these.
        names: of its prompt, negative, model and settings, where they differ from ours; of the
            model's hash (or a list of them) and version, and of the refiner, where it has any.
        marks: processes, several of them between spaces, by a setting that is there and on.
        facts: an object, put in the order that ``names`` and ``marks`` can name.
        networks: of an object.
        processes: of an object, where they depend on more than one setting.
        wordless: an object without a prompt tells a making too.
    """

    name: str
    needs: frozenset[str]
    one_of: frozenset[str]
    names: Names
    marks: Mapping[str, str] = field(default_factory=dict)
    facts: Callable[[Facts], Facts] = dict
    networks: Callable[[Facts], Iterable[Network | None]] = lambda facts: ()
    processes: Callable[[Facts], set[str]] = lambda facts: set()
    wordless: bool = False

    def read(self, data: Any) -> Making | None:
        """The making, or ``None`` where this program did not write the object."""
        facts = self.facts(data) if isinstance(data, dict) else {}
        if not self.needs <= facts.keys() or not self.one_of & facts.keys():
            return None
        facts = {name: value for name, value in facts.items() if name and value not in ("", "None")}
        names: Names = {**_NOT_NAMED, **self.names}

        def told(name: str) -> Any:
            called = names.get(name, name)
            return first(*map(facts.get, (called,) if isinstance(called, str) else called))

        prompt, hashes = told("prompt"), told("hash")
        if not isinstance(prompt, str):
            prompt = None
        if prompt is None and not self.wordless:
            return None
        refiner = mention(told("refiner"), told("refiner_hash"))
        marked = [done for name, done in self.marks.items() if is_on(facts.get(name))]
        processes = self.processes(facts).union(*map(str.split, marked))
        return Making(
            program=self.name,
            prompt=prompt_text(prompt),
            negative=prompt_text(told("negative")),
            checkpoint=mention(
                told("model"), *(items(hashes) or [hashes]), version_id=told("version_id")
            ),
            networks=distinct([*self.networks(facts), *networks_in(prompt)]),
            settings=settings_in(facts, **names),
            processes=frozenset(processes | ({"refiner"} if refiner else set())),
            refiner=refiner,
        )


def is_on(value: Any) -> bool:
    """Whether a setting says that something was done."""
    return value not in (None, "", "None", False, "False", 0, "0", [], {})
