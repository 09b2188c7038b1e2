"""The normalisation that all methods share, and a stack's samples after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..encoders.info import Block
    from ..records.protocols import FloatArray
    from .stack import Stack

#: Deviations below this share of the reference count as this share: dead channels say nothing.
_DEVIATION_FLOOR = 0.01
#: Rows whose deviations are squared at once.
_ROWS = 1024
#: Bytes of normalised samples that are kept; of more, only so many bytes are made at a time.
_KEPT, _AT_ONCE = 1 << 28, 1 << 26


@dataclass(frozen=True, eq=False)
class Normalizer:
    """Raw features → comparable ones: standardised, each kind of unit length, then the whole.

    Attributes:
        mean: ``[d]``, over the library's samples.
        deviation: ``[d]``, floored.
        blocks: the kinds of features.
        balance: how much each of several joined encoders counts; empty for equally.
    """

    mean: FloatArray
    deviation: FloatArray
    blocks: tuple[Block, ...]
    balance: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        rows: FloatArray,
        blocks: tuple[Block, ...],
        reference: FloatArray | None = None,
        balance: tuple[float, ...] = (),
    ) -> Normalizer:
        """Fit to samples ``[n, d]``.

        Args:
            rows: raw features.
            blocks: the encoder's.
            reference: deviations that the encoder's features usually have, ``[d]``. Without one,
                each block's median stands in.
            balance: see the class.
        """
        mean, deviation = moments(rows)
        if reference is None:
            reference = np.empty_like(deviation)
            for block in blocks:
                part = deviation[block.start : block.stop]
                usual = float(np.median(part[part > 0])) if (part > 0).any() else 1.0
                reference[block.start : block.stop] = usual
        floored = np.maximum(deviation, _DEVIATION_FLOOR * reference)
        floored[floored == 0] = 1  # constant wherever anybody looked
        return cls(mean, floored.astype(np.float32), blocks, balance)

    @cached_property
    def _shares(self) -> FloatArray:
        """Length of each block in a normalised row; their squares add up to 1, ``[blocks]``.

        The blocks of one encoder share its part of the row, however many there are: a joined
        encoder with one kind of features must not drown beside one with seven.
        """
        parts = np.asarray([block.part for block in self.blocks])
        weights = np.ones(parts.max() + 1) if not self.balance else np.asarray(self.balance)
        each = weights[parts] / np.bincount(parts)[parts]
        return np.asarray(np.sqrt(each / each.sum()), dtype=np.float32)

    def transform(self, features: FloatArray) -> FloatArray:
        """Normalise ``[n, d]`` or ``[M, N, d]``; the result has unit length along the last axis."""
        if features.ndim == 2:
            return self._rows(features)
        # candidate by candidate: the temporaries stay small, and in the cache
        normalised = np.empty(features.shape, dtype=np.float32)
        for index, rows in enumerate(features):
            normalised[index] = self._rows(rows)
        return normalised

    def _rows(self, features: FloatArray) -> FloatArray:
        standard = (features - self.mean) / self.deviation
        starts = [block.start for block in self.blocks]
        sizes = [block.stop - block.start for block in self.blocks]
        lengths = np.sqrt(np.add.reduceat(standard * standard, starts, axis=-1))
        scale = self._shares / np.maximum(lengths, 1e-12)
        standard *= np.repeat(scale, sizes, axis=-1)
        return np.asarray(standard, dtype=np.float32)


def moments(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of rows ``[n, d]`` of any precision, ``[d]`` each."""
    mean = rows.mean(axis=0, dtype=np.float32)
    squares = np.zeros(rows.shape[1])
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS] - mean
        squares += np.einsum("nd,nd->d", part, part)
    return mean, np.sqrt(squares / max(len(rows), 1)).astype(np.float32)


class Normalised:
    """Normalised samples of a stack, in blocks of candidates.

    A library's are kept. Those of a thousand models are made anew for each pass over them: they
    would take twice the memory of the specifications themselves.

    Args:
        stack: M candidates × N prompts.
        normalizer: fitted to them.
    """

    def __init__(self, stack: Stack, normalizer: Normalizer) -> None:
        self._stack, self._normalizer = stack, normalizer
        size = stack.features.size * 4
        each = max(size // max(len(stack.features), 1), 1)
        self._step = len(stack.features) if size <= _KEPT else max(_AT_ONCE // each, 1)
        self._whole: FloatArray | None = None

    def blocks(self) -> Iterator[tuple[slice, FloatArray]]:
        """Which candidates, and their samples ``[k, N, d]``; zero where there is none.

        They are the caller's to read, not to write.
        """
        count = len(self._stack.features)
        if self._step >= count:
            yield slice(0, count), self.whole()
            return
        for start in range(0, count, self._step):
            part = slice(start, min(start + self._step, count))
            yield part, self._made(part)

    def whole(self) -> FloatArray:
        """All of them at once, ``[M, N, d]``."""
        if self._whole is None:
            self._whole = self._made(slice(None))
        return self._whole

    def _made(self, part: slice) -> FloatArray:
        samples = self._normalizer.transform(self._stack.features[part])
        samples[~self._stack.mask[part]] = 0
        return samples
