"""What a prompt buys: the true one, a pseudo-prompt, or none. And what an interrogator costs.

    python -m benchmarks.interrogators PATH [--json OUT] [--looks FILE] [--embedded]

The protocol of benchmarks/accuracy.py with one image, on the 18 SD-family models. Pseudo-prompts:
``labels`` is what ImageNet's classifier says; ``conse`` is that prompt of the specifications whose
text is nearest in the joint space of encoders/labels.py; ``library`` is that one whose samples look
most like the image. The joint space's centre is that of the images of the specification prompts.
``--embedded`` takes the models' features from the embedded library, which was made from these
images, and spares half an hour.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib_gmi.base.errors import GMIError, RankingError
from lib_gmi.base.images import open_image
from lib_gmi.base.vectors import unit
from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT, labels, text
from lib_gmi.hosts.folder import FolderHost
from lib_gmi.interrogators.labels import described, say
from lib_gmi.library.embedded import embedded_library
from lib_gmi.metadata import making_in
from lib_gmi.ranking import methods
from lib_gmi.ranking.findings import findings
from lib_gmi.ranking.fitted import FittedLibrary
from lib_gmi.ranking.methods import METHODS
from lib_gmi.ranking.stack import stack as stacked

from .dataset import five_folds, sd18
from .papers.features import read_stack
from .text_image import Seen, read_looks

if TYPE_CHECKING:
    from lib_gmi.ranking.stack import Stack
    from lib_gmi.records.protocols import FloatArray

NAMES = ("learned", "weighted-rkme", "rkme-concat", "rkme-clip")


def read(folder: Path, embedded: bool) -> Stack:
    """The 18 models.

    Raises:
        RankingError: the folder does not have all of them.
    """
    if embedded:
        full, _ = stacked(list(embedded_library().snapshot().specifications))
    else:
        full = read_stack(folder, DEFAULT)
    family = None if full is None else sd18(full)
    if family is None:
        raise RankingError(f"{folder}: does not hold the 18 SD-family models.")
    return family


class Sources:
    """Embeddings of pseudo-prompts, ``[M, t]`` for a query column, and the texts' own accuracy."""

    def __init__(self, stack: Stack, seen: Seen, host: FolderHost) -> None:
        titles = [candidate.title for candidate in host.list_checkpoints()]
        rows = {
            (titles[c], host.prompt_set.ids[p]): row
            for row, (c, p) in enumerate(zip(seen.candidates, seen.truth, strict=True))
        }
        # [M, N] → the row of what was seen in that image
        self.rows = np.array(
            [[rows[c.title, prompt] for prompt in stack.prompt_ids] for c in stack.candidates]
        )
        encoder = text.load()
        said = [described(p)[0] for p in labels.softmax(seen.looks.small)[self.rows.ravel()]]
        self.labels = encoder.encode_texts(said).reshape(*self.rows.shape, -1)
        arrays = labels.read_arrays(labels.arrays_path())
        classes = unit(arrays["classes"] - arrays["classes"].mean(axis=0))
        self.points = (seen.looks.probabilities() @ classes)[self.rows]
        self.text_centre = arrays["text_centre"]
        self.stack = stack

    def conse(self, specs: Sequence[int], column: int) -> FloatArray:
        """Embeddings of the nearest specification prompts."""
        prompts = self._embeddings()[list(specs)]
        centre = self.points[:, list(specs)].mean(axis=(0, 1))
        images = unit(self.points[:, column] - centre)
        nearest = (images @ unit(prompts - self.text_centre).T).argmax(axis=1)
        return np.asarray(prompts[nearest], dtype=np.float32)

    def library(self, fitted: FittedLibrary, column: int) -> FloatArray:
        """Embeddings of the prompts whose samples look most like each image."""
        columns = {prompt: i for i, prompt in enumerate(self.stack.prompt_ids)}
        nearest = [fitted.nearest_prompt(z[None]) for z in self.stack.features[:, column]]
        return self._embeddings()[[columns[str(prompt)] for prompt in nearest]]

    def given(self, column: int) -> FloatArray:
        """The true prompt for all."""
        return np.tile(self._embeddings()[column], (len(self.stack.candidates), 1))

    def _embeddings(self) -> FloatArray:
        found = self.stack.prompt_embeddings
        if found is None:
            raise RankingError("There is no text encoder: pip install 'find-best-model[text]'.")
        return found


def measure(stack: Stack, sources: Sources) -> list[dict[str, Any]]:
    """Top-1 and top-4 of each method with each source of prompts."""
    ranks: dict[tuple[str, str], list[int]] = {}
    truth = np.arange(len(stack.candidates))
    for split in five_folds(len(stack.prompt_ids)):
        data = stack.with_prompts(split.specs)
        library = FittedLibrary(data, findings(data, contestants=()))
        for name in NAMES:
            learned = name == "learned"
            fitted = library.method(name) if learned else methods.method(name).fit(data, None, None)
            for column in split.queries:
                prompts = {
                    "none": None,
                    "given": sources.given(column),
                    "labels": sources.labels[:, column],
                    "conse": sources.conse(split.specs, column),
                    "library": sources.library(library, column),
                }
                for source, embeddings in prompts.items():
                    if embeddings is None and METHODS[name].needs_prompt:
                        continue
                    scores = fitted.scores(stack.features[:, column], embeddings)
                    own = scores[truth, truth][:, None]
                    found = (scores <= own).sum(axis=1).tolist()
                    ranks.setdefault((name, source), []).extend(found)
        print(f"\rfold {split.seed + 1}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return [
        {
            "method": name,
            "prompt": source,
            "top1": float((np.array(found) <= 1).mean()),
            "top4": float((np.array(found) <= 4).mean()),
            "tasks": len(found),
        }
        for (name, source), found in ranks.items()
    ]


def seconds(folder: Path, images: int = 20) -> list[dict[str, Any]]:
    """Seconds for an image, of the interrogators that need no model from elsewhere."""
    paths = sorted((folder / "images").glob("*/*.*"))[:images]
    opened = [open_image(path) for path in paths]
    contents = [path.read_bytes() for path in paths]
    space = labels.load()
    say(opened[0])  # load the model first

    def each(name: str, ask: Callable[[int], object]) -> dict[str, Any]:
        begun = time.perf_counter()
        for number in range(len(paths)):
            ask(number)
        return {"interrogator": name, "seconds": (time.perf_counter() - begun) / len(paths)}

    return [
        each("metadata", lambda n: making_in(contents[n])),
        each("labels", lambda n: say(opened[n])),
        each("conse", lambda n: space.encode_images([opened[n]])),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the rows as JSON")
    parser.add_argument("--looks", type=Path, metavar="FILE", help="keep what was seen here (.npz)")
    parser.add_argument("--embedded", action="store_true", help="features of the embedded library")
    arguments = parser.parse_args(argv)
    try:
        stack = read(arguments.folder, arguments.embedded)
        seen = read_looks(arguments.folder, arguments.looks)
        rows = measure(stack, Sources(stack, seen, FolderHost(arguments.folder)))
        costs = seconds(arguments.folder)
        if arguments.json:
            data = {"accuracy": rows, "seconds": costs}
            arguments.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except (GMIError, OSError) as error:
        print(f"benchmarks.interrogators: {error}", file=sys.stderr)
        return 2
    cells = [
        [r["method"], r["prompt"], f"{r['top1']:.3f}", f"{r['top4']:.3f}", str(r["tasks"])]
        for r in rows
    ]
    print(table(["method", "prompt", "top-1", "top-4", "tasks"], cells, shrink=[0]))
    print()
    cells = [[r["interrogator"], f"{r['seconds']:.3f}"] for r in costs]
    print(table(["interrogator", "seconds for an image"], cells, shrink=[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
