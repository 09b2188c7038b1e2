"""Features of a folder's images, extracted once and kept on disk.

One file for each encoder, change and candidate, so that an extraction that was stopped goes on
where it stopped. Features are rounded to float16, as specifications are.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lib_gmi.base.errors import HostError, MissingExtraError, SampleUnavailableError
from lib_gmi.base.files import write_atomic
from lib_gmi.base.images import trim_borders
from lib_gmi.encoders import TEXT_DEFAULT, load, load_text, registry
from lib_gmi.ranking.stack import Stack
from lib_gmi.records.protocols import GenerationRequest
from lib_gmi.records.specification import CandidateRef

from .changes import AS_IT_IS, CHANGES, Change
from .source import candidates_of, open_source, splits_of, stamp

if TYPE_CHECKING:
    from PIL import Image

    from lib_gmi.ranking.rkme import BoolArray
    from lib_gmi.records.protocols import Candidate, FloatArray

#: Bumped when a change of :mod:`.changes` is defined differently under the same name.
VERSION = 1
TRIMMED = ", trimmed"

Rows = tuple["FloatArray", "BoolArray"]
T = TypeVar("T")


class Features:
    """The images of a folder as stacks, by encoder and change.

    Args:
        folder: in either of the layouts of :mod:`.source`.
        cache: where features are kept; ``None`` keeps them in memory only.
        quiet: print no progress.
        jobs: processes that encode, each on one core; more than one only where there is a cache.

    Raises:
        HostError: the folder holds no models.
    """

    def __init__(
        self, folder: Path, cache: Path | None = None, quiet: bool = False, jobs: int = 1
    ) -> None:
        self.folder = folder
        self.source = open_source(folder)
        self.candidates = candidates_of(self.source)
        self.prompts = self.source.prompt_set.prompts
        self.splits = splits_of(self.source)
        if not self.candidates:
            raise HostError(f"{folder}: holds no models.")
        self.encoded = 0  # images, in this process
        self.cache = cache
        self._quiet = quiet
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._begun: dict[Path, Future[int]] = {}  # by where the result will be
        self._memory: dict[tuple[str, str, str], Rows] = {}
        self._functions: dict[str, Change] = {}
        self._embeddings: list[FloatArray | None] = []

    def stack(
        self,
        encoder: str,
        change: str | Change = AS_IT_IS,
        rows: Sequence[int] | None = None,
        only: Callable[[int, int], bool] | None = None,
    ) -> Stack:
        """The images as a stack.

        Args:
            encoder: name or id.
            change: of :data:`.changes.CHANGES`, made to every image first; with ``", trimmed"``
                after it, borders are trimmed off after the change. A function is taken as well,
                but nothing is kept of it.
            rows: which candidates, by position; all by default.
            only: (candidate, prompt) → whether that image takes part; all by default.
        """
        if not isinstance(change, str):
            self._functions[change.__qualname__] = change
            change = change.__qualname__
        columns = self._columns(rows, only)
        wanted = list(columns)
        if change not in self._functions:
            self._finish(change, self._begin(encoder, change, columns))
        found = []
        for count, row in enumerate(wanted, 1):
            found.append(self._candidate(encoder, change, self.candidates[row], columns[row]))
            self._say(change, count, len(wanted))
        embeddings = self.prompt_embeddings()
        return Stack(
            candidates=tuple(CandidateRef.of(self.candidates[row]) for row in wanted),
            prompt_ids=tuple(p.id for p in self.prompts),
            features=np.stack([features for features, _ in found]),
            mask=np.stack([mask for _, mask in found]),
            prompt_embeddings=embeddings,
            encoder_id=registry.info(encoder).id,
            text_encoder_id=None if embeddings is None else TEXT_DEFAULT,
            prompt_set_size=len(self.prompts),
        )

    def prompt_embeddings(self) -> FloatArray | None:
        """Of all prompts, ``[N, t]``, or ``None`` without a text encoder."""
        if not self._embeddings:
            try:
                texts = [p.text for p in self.prompts]
                self._embeddings.append(load_text(TEXT_DEFAULT).encode_texts(texts))
            except MissingExtraError as error:
                print(f"Methods that need prompts are left out: {error}", file=sys.stderr)
                self._embeddings.append(None)
        return self._embeddings[0]

    def image(self, row: int, column: int) -> Image.Image:
        """One image as it is."""
        candidate = self.candidates[row]
        with self.source.session(candidate) as session:
            return session.generate(
                GenerationRequest(self.prompts[column].id, self.prompts[column].text, "", 0),
                self.source.default_settings(candidate),
            )

    def begin(
        self,
        encoder: str,
        changes: Iterable[str],
        rows: Sequence[int] | None = None,
        only: Callable[[int, int], bool] | None = None,
    ) -> None:
        """Start to encode for later calls of :meth:`stack`, in other processes; does not wait.

        Does nothing without a cache or with one process. End with :meth:`close`.
        """
        for change in changes:
            self._begin(encoder, change, self._columns(rows, only))

    def finish(self) -> None:
        """Wait for what was begun."""
        self._finish("ahead", list(self._begun.values()))

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T]:
        """Have something done in one of the processes, after what was begun before."""
        if self._pool is None:
            spawned = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.jobs, spawned, initializer=_one_thread)
        with _one_thread_in_children():  # they start when there is something to do
            return self._pool.submit(task, *arguments)

    def close(self) -> None:
        """Drop what was begun and is not needed any more."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        self._begun.clear()

    def _columns(
        self, rows: Sequence[int] | None, only: Callable[[int, int], bool] | None
    ) -> dict[int, list[int]]:
        """Which prompts of which candidates are asked for."""
        wanted = range(len(self.candidates)) if rows is None else rows
        everything = range(len(self.prompts))
        return {r: [c for c in everything if only is None or only(r, c)] for r in wanted}

    def _begin(
        self, encoder: str, change: str, columns: Mapping[int, Sequence[int]]
    ) -> list[Future[int]]:
        """Have what the cache lacks encoded: on a CPU, one thread each is best for processes."""
        if self.jobs < 2 or self.cache is None:
            return []
        id_ = registry.info(encoder).id
        missing = {}
        for row, own in columns.items():
            path = self._path(id_, change, self.candidates[row], own)
            if path is not None and not path.is_file():
                missing[path] = (row, own)
        for path, which in missing.items():
            if path not in self._begun:
                what = (self.folder, self.cache, encoder, change, *which)
                self._begun[path] = self.submit(_encoded, *what)
        return [self._begun[path] for path in missing]

    def _finish(self, change: str, tasks: Sequence[Future[int]]) -> None:
        for count, task in enumerate(as_completed(tasks), 1):
            task.result()
            self._say(change, count, len(tasks))
        counted = {path: task for path, task in self._begun.items() if task.done()}
        for path, task in counted.items():
            self.encoded += task.result()
            del self._begun[path]

    def _say(self, change: str, count: int, total: int) -> None:
        if not self._quiet:
            end = "\n" if count == total else ""
            print(f"\r{change}: {count}/{total} candidates", end=end, file=sys.stderr)

    def _candidate(
        self, encoder: str, change: str, candidate: Candidate, columns: Sequence[int]
    ) -> Rows:
        """Features ``[N, d]`` and mask ``[N]`` of a candidate."""
        id_ = registry.info(encoder).id
        path = self._path(id_, change, candidate, columns)
        key = (id_, change, candidate.name + str(path or columns))
        if change in self._functions:
            return self._encode(encoder, change, candidate, columns)
        if key not in self._memory:
            stored = None if path is None else _read(path)
            if stored is None:
                stored = self._encode(encoder, change, candidate, columns)
                if path is not None:
                    _write(path, stored)
            self._memory[key] = stored
        return self._memory[key]

    def _encode(
        self, encoder: str, change: str, candidate: Candidate, columns: Sequence[int]
    ) -> Rows:
        loaded = load(encoder)
        apply = self._functions.get(change)
        plain = change.removesuffix(TRIMMED)
        trimmed = plain != change
        apply = apply or CHANGES[plain]
        if trimmed:  # most images have no borders, and a screenshot's are all that it added
            untrimmed = self._candidate(encoder, plain, candidate, columns)
            unchanged = self._candidate(encoder, AS_IT_IS, candidate, columns)
        features = np.zeros((len(self.prompts), registry.info(encoder).dim), dtype=np.float32)
        mask = np.zeros(len(self.prompts), dtype=bool)
        settings = self.source.default_settings(candidate)
        with self.source.session(candidate) as session:
            for column in columns:
                prompt = self.prompts[column]
                request = GenerationRequest(prompt.id, prompt.text, "", 0)
                try:
                    whole = session.generate(request, settings)
                    image = apply(whole)
                except SampleUnavailableError:
                    continue
                mask[column] = True
                if trimmed:
                    cut = trim_borders(image)
                    known = untrimmed if cut is image else unchanged
                    if cut is image or cut.tobytes() == whole.tobytes():
                        features[column] = known[0][column]
                        continue
                    image = cut
                features[column] = loaded.encode_images([image])[0]
                self.encoded += 1
        return features.astype(np.float16).astype(np.float32), mask

    def _path(
        self, encoder_id: str, change: str, candidate: Candidate, columns: Sequence[int]
    ) -> Path | None:
        if self.cache is None:
            return None
        ids = [p.id for p in self.prompts]
        content = [VERSION, stamp(self.source, candidate), ids, list(columns)]
        name = hashlib.sha256(repr(content).encode()).hexdigest()[:24]
        folders = [text.replace("/", "-").replace(" ", "-") for text in (encoder_id, change)]
        return self.cache.joinpath(*folders, f"{name}.safetensors")


@cache
def _of_process(folder: Path, kept: Path) -> Features:
    return Features(folder, kept, quiet=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@contextmanager
def _one_thread_in_children() -> Iterator[None]:
    """numpy reads this when it is loaded. Threads of several processes only wait for each other."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _encoded(
    folder: Path, kept: Path, encoder: str, change: str, row: int, columns: Sequence[int]
) -> int:
    """In a process of the pool: encode one candidate's images into the cache; how many."""
    features = _of_process(folder, kept)
    before = features.encoded
    features._candidate(encoder, change, features.candidates[row], columns)
    return features.encoded - before


def _read(path: Path) -> Rows | None:
    if not path.is_file():
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    try:
        tensors: dict[str, Any] = load_tensors(path.read_bytes())
        return tensors["features"].astype(np.float32), tensors["mask"].astype(bool)
    except (SafetensorError, KeyError, OSError):
        return None  # damaged: extracted anew


def _write(path: Path, rows: Rows) -> None:
    from safetensors.numpy import save

    features, mask = rows
    write_atomic(
        path, save({"features": features.astype(np.float16), "mask": mask.astype(np.uint8)})
    )


def with_features(stack: Stack, features: FloatArray) -> Stack:
    """The same candidates and prompts with other features ``[M, N, d]``."""
    return replace(stack, features=features)


def read_stack(
    folder: Path,
    encoder: str,
    change: Change | str = AS_IT_IS,
    only: frozenset[str] | None = None,
) -> Stack:
    """Encode every image of a folder; see :class:`Features`.

    Broken samples are kept: a benchmark judges every image. ``change`` is applied to each first.
    ``only``: titles of the models that are read, where there are such; all by default.
    """
    features = Features(folder)
    chosen = [n for n, c in enumerate(features.candidates) if only is None or c.title in only]
    return features.stack(encoder, change, chosen or None)
