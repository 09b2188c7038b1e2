"""Another encoder reads the samples that are kept, so that nothing has to be generated again.

A specification's features always come from the stored copy of each sample. The same copies give a
new encoder exactly the features that a build with it would have given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..base.errors import ImageError
from ..base.images import open_image
from ..library.entries import stem
from ..records.protocols import Progress, SilentProgress

if TYPE_CHECKING:
    from ..library.catalogue import Library
    from ..library.entries import Entry
    from ..records.protocols import Encoder
    from ..records.specification import Specification

#: Samples that are encoded and stored at a time; a process that dies loses at most these.
_AT_ONCE = 8


@dataclass(frozen=True)
class Waiting:
    """A specification of another encoder whose kept samples the new one has not read.

    Attributes:
        entry: the specification.
        rows: of it, that can be encoded.
        lost: rows whose copies are not there any more.
    """

    entry: Entry
    rows: tuple[int, ...]
    lost: int


@dataclass(frozen=True)
class Reencoded:
    """What was done with one specification.

    Attributes:
        title: of the candidate.
        samples: how many were encoded.
        missing: how many have no readable copy, and have to be generated again.
    """

    title: str
    samples: int
    missing: int


def waiting(
    library: Library, encoder_id: str, identities: Sequence[str] | None = None
) -> list[Waiting]:
    """What could be encoded anew, by title.

    Args:
        library: with kept samples.
        encoder_id: the new encoder's.
        identities: of the candidates; all by default.

    Raises:
        LibraryError: the library cannot be listed.
    """
    have: dict[tuple[str, ...], set[tuple[str, int]]] = {}
    others: list[Entry] = []
    for entry in library.entries():
        if identities is not None and entry.identity not in identities:
            continue
        if entry.encoder_id == encoder_id:
            have[entry.way] = set(entry.pairs)
        elif entry.settings.codec != "source":  # which keeps no copies
            others.append(entry)
    found = []
    for entry in others:
        known = have.setdefault(entry.way, set())
        wanted = [row for row, pair in enumerate(entry.pairs) if pair not in known]
        rows = tuple(row for row in wanted if library.samples.find(entry.stem, *entry.pairs[row]))
        if rows:
            known.update(entry.pairs[row] for row in rows)
            found.append(Waiting(entry, rows, len(wanted) - len(rows)))
    return found


def reencode(
    library: Library,
    encoder: Encoder,
    chosen: Sequence[Waiting],
    progress: Progress | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Reencoded]:
    """Encode kept samples, a specification at a time; what is finished is stored at once.

    Args:
        library: where the specifications are.
        encoder: the new one.
        chosen: see :func:`waiting`.
        progress: told after every few samples.
        interrupted: asked between them; what is stored stays.

    Raises:
        LibraryError: nothing can be stored.
        EncoderError: the encoder does not work.
    """
    progress = progress or SilentProgress()
    total, done = sum(len(each.rows) for each in chosen), 0
    for each in chosen:
        if interrupted():
            return
        before = library.read(each.entry)
        samples, unreadable = 0, 0
        for start in range(0, len(each.rows), _AT_ONCE):
            if interrupted():
                break
            rows = each.rows[start : start + _AT_ONCE]
            stored = _encode(library, encoder, before, rows)
            samples, unreadable = samples + stored, unreadable + len(rows) - stored
            done += len(rows)
            progress.update(done, total, each.entry.title)
        yield Reencoded(each.entry.title, samples, each.lost + unreadable)


def _encode(library: Library, encoder: Encoder, before: Specification, rows: Sequence[int]) -> int:
    """Encode and store some rows; returns how many had a readable copy."""
    old = stem(before.key)
    readable, images = [], []
    for row in rows:
        path = library.samples.find(old, before.prompt_ids[row], before.seeds[row])
        try:
            if path is not None:
                images.append(open_image(path))
                readable.append(row)
        except ImageError:
            continue
    if not readable:
        return 0
    embeddings = before.prompt_embeddings
    after = replace(
        before,
        encoder_id=encoder.id,
        features=encoder.encode_images(images),
        prompt_ids=tuple(before.prompt_ids[row] for row in readable),
        seeds=tuple(before.seeds[row] for row in readable),
        prompt_embeddings=None if embeddings is None else embeddings[readable],
        updated=time.time(),
        extra_tensors={},
    )
    for row in readable:  # before the rows that they explain
        library.samples.share(old, stem(after.key), before.prompt_ids[row], before.seeds[row])
    library.extend(after)
    return len(readable)
