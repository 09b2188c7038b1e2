"""Prompt sets: the ordered prompts that specifications are built on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ..base.errors import PromptSetError
from ..base.paths import data_folder

#: Specifications are built breadth-first in passes that end after so many prompts.
PASSES = (4, 8, 16)


@dataclass(frozen=True)
class Prompt:
    """One prompt: an id that never changes, and its wording for each kind of checkpoint.

    Attributes:
        id: lower-case words joined by hyphens.
        texts: wording by field, at least ``natural``; ``booru`` holds comma-separated tags.
        topics: what it shows, for coverage checks and filters.
    """

    id: str
    texts: Mapping[str, str]
    topics: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The natural sentence: what is embedded, and what people read."""
        return self.texts["natural"]


@dataclass(frozen=True)
class Dialect:
    """How a family of checkpoints expects to be spoken to.

    Attributes:
        field: which of a prompt's texts to use.
        prefix: put before it, for instance Pony's score tags.
        negative: the default negative prompt; keeps results safe for work.
    """

    field: str
    prefix: str
    negative: str


@dataclass(frozen=True)
class Rendering:
    """A prompt as a checkpoint gets to see it. Recorded with the specification."""

    text: str
    negative: str


@dataclass(frozen=True)
class PromptSet:
    """Ordered prompts; the first 4, 8 and 16 are good small sets."""

    name: str
    version: str
    prompts: tuple[Prompt, ...]
    dialects: Mapping[str, Dialect] = field(
        default_factory=lambda: {"natural": Dialect("natural", "", "")}
    )

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for prompt in self.prompts:
            if not prompt.id or prompt.id in seen:
                raise PromptSetError(
                    f"Prompt set '{self.name}': id '{prompt.id}' is empty or used twice."
                )
            seen.add(prompt.id)
            if not prompt.texts.get("natural", "").strip():
                raise PromptSetError(f"Prompt set '{self.name}': '{prompt.id}' has no text.")
        if not self.dialects:
            raise PromptSetError(f"Prompt set '{self.name}' has no dialect.")
        if not self.prompts:
            raise PromptSetError(f"Prompt set '{self.name}' is empty.")

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(prompt.id for prompt in self.prompts)

    @cached_property
    def hash(self) -> str:
        """sha256 over ids, wordings and dialects in order. Equal hashes mean equal prompts."""
        content = {
            "prompts": [[p.id, dict(p.texts)] for p in self.prompts],
            "dialects": {k: vars(v) for k, v in self.dialects.items()},
        }
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def get(self, prompt_id: str) -> Prompt:
        """A prompt by id.

        Raises:
            PromptSetError: it is not in this set.
        """
        for prompt in self.prompts:
            if prompt.id == prompt_id:
                return prompt
        raise PromptSetError(f"Prompt set '{self.name}' has no prompt '{prompt_id}'.")

    def render(self, prompt: Prompt, dialect: str = "natural") -> Rendering:
        """A prompt in a dialect.

        Raises:
            PromptSetError: the set does not know the dialect, or the prompt has no text for it.
        """
        try:
            spec = self.dialects[dialect]
            text = prompt.texts[spec.field]
        except KeyError:
            raise PromptSetError(
                f"Prompt set '{self.name}' cannot render '{prompt.id}' in the dialect '{dialect}'; "
                f"it has {', '.join(self.dialects)}."
            ) from None
        return Rendering(spec.prefix + text, spec.negative)

    def passes(self) -> tuple[int, ...]:
        """How many prompts are done after each pass: 4, 8, 16, all."""
        return (*(p for p in PASSES if p < len(self)), len(self))

    @classmethod
    def load(cls, path: Path | str) -> PromptSet:
        """Read a prompt set from JSON.

        Two layouts are understood: this program's own (``name``, ``version``, ``dialects``,
        ``prompts``), and a plain list of ``{"id": …, "prompt": …}``, whose set is named after
        the folder.

        Raises:
            PromptSetError: the file is missing or malformed; the message names it.
        """
        path = Path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise PromptSetError(f"{path}: cannot be read ({error.strerror or error}).") from None
        except (ValueError, RecursionError) as error:
            raise PromptSetError(f"{path}: is not valid JSON ({error}).") from None
        try:
            if isinstance(data, list):
                return cls._from_list(path.resolve().parent.name, data)
            return cls._from_dict(data)
        except PromptSetError as error:
            raise PromptSetError(f"{path}: {error}") from None
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PromptSetError(
                f"{path}: is not a prompt set (missing or malformed: {error}). "
                'Expected a list of {"id": "…", "prompt": "…"}.'
            ) from None

    @classmethod
    def _from_list(cls, name: str, rows: Sequence[Mapping[str, Any]]) -> PromptSet:
        prompts = (Prompt(_text(row["id"]), {"natural": _text(row["prompt"])}) for row in rows)
        return cls(name, "1", tuple(prompts))

    @classmethod
    def _from_dict(cls, data: Mapping[str, Any]) -> PromptSet:
        fields = sorted({"natural", *(d["field"] for d in data["dialects"].values())})
        prompts = tuple(
            Prompt(
                _text(row["id"]),
                {f: _text(row[f]) for f in fields},
                tuple(_text(topic) for topic in row.get("topics", ())),
            )
            for row in data["prompts"]
        )
        dialects = {
            _text(name): Dialect(**{key: _text(value) for key, value in d.items()})
            for name, d in data["dialects"].items()
        }
        return cls(_text(str(data["name"])), _text(str(data["version"])), prompts, dialects)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can smuggle in half a surrogate pair
        raise TypeError("a text that no file can hold") from None
    return value


@cache
def default_prompt_set() -> PromptSet:
    """The 55 prompts that ship with this program."""
    return PromptSet.load(data_folder() / "prompts" / "default.json")
