"""One registry of encoders. Asking it what there is loads neither torch nor weights."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..base.errors import EncoderError
from ..records.protocols import Encoder
from .info import JOINT, EncoderInfo, Family, TextEncoderInfo
from .joined import joined_info, split


class Registry:
    """Encoders by name or id. Refuses duplicates; unknown names are answered with near matches."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._images: dict[str, EncoderInfo] = {}
        self._texts: dict[str, TextEncoderInfo] = {}

    def add(self, info: EncoderInfo) -> None:
        """Register an image encoder.

        Raises:
            EncoderError: the name is taken, or the blocks do not cover the features.
        """
        if info.name in self._images:
            raise EncoderError(f"An encoder named '{info.name}' is registered already.")
        edges = [0] + [edge for b in info.blocks for edge in (b.start, b.stop)] + [info.dim]
        if edges[::2] != edges[1::2]:
            raise EncoderError(f"The blocks of '{info.name}' do not cover its {info.dim} features.")
        self._images[info.name] = info

    def add_text(self, info: TextEncoderInfo) -> None:
        """Register a text encoder.

        Raises:
            EncoderError: the id is taken.
        """
        if info.id in self._texts:
            raise EncoderError(f"A text encoder named '{info.id}' is registered already.")
        self._texts[info.id] = info

    def add_family(self, family: Family) -> None:
        """Register a family.

        Raises:
            EncoderError: the prefix is taken.
        """
        if family.prefix in self._families:
            raise EncoderError(f"Encoders named '{family.prefix}…' are registered already.")
        self._families[family.prefix] = family

    def families(self) -> list[Family]:
        return list(self._families.values())

    def _family(self, name: str) -> Family | None:
        return next((f for prefix, f in self._families.items() if name.startswith(prefix)), None)

    def images(self) -> list[EncoderInfo]:
        return list(self._images.values())

    def texts(self) -> list[TextEncoderInfo]:
        return list(self._texts.values())

    def info(self, name: str) -> EncoderInfo:
        """An image encoder by name or by full id; several joined by ``+`` are one encoder.

        Raises:
            EncoderError: unknown, or known with another preprocessing; or the package that knows
                it is not installed.
        """
        parts = self.parts(name)
        if len(parts) > 1:
            return joined_info([self.info(part) for part in parts], self._load_part)
        plain, _, preprocessing = name.partition("@")
        found = self._images.get(plain)
        if found is None and (family := self._family(name)) is not None:
            return family.image(name)
        if found is None:
            raise EncoderError(unknown("encoder", plain, self._images))
        if preprocessing and preprocessing != found.preprocessing:
            raise EncoderError(
                f"'{name}' was made by another version of this program, which has '{found.id}'. "
                "Build again, which reads the samples that are kept: gmi library reencode."
            )
        return found

    def parts(self, name: str) -> list[str]:
        """The names or ids of joined encoders; of a single one, its own."""
        if JOINT not in name:
            return [name]
        return split(name, self._begins)

    def _begins(self, text: str) -> bool:
        """Whether a text begins like an encoder's name: with the part before the first slash."""
        kinds = {name.partition("/")[0] for name in (*self._images, *self._families)}
        return text.partition("/")[0] in kinds

    def _load_part(self, name: str, device: str) -> Encoder:
        return self.info(name).load(device)

    def text_info(self, name: str) -> TextEncoderInfo:
        """A text encoder by id.

        Raises:
            EncoderError: unknown, or the package that knows it is not installed.
        """
        if name in self._texts:
            return self._texts[name]
        if (family := self._family(name)) is not None:
            return family.text(name)
        raise EncoderError(unknown("text encoder", name, self._texts))


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: near matches, or all there are."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."
    return f"Unknown {kind} '{name}'. {hint}"
