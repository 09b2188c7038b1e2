"""Which prompt made this image? Text and images in one space, with no download.

    python -m benchmarks.text_image PATH [--json OUT] [--looks FILE]

PATH is a folder with images/<model>/<prompt id>.jpg and prompts.json. Every image is compared with
every prompt. Whatever is learned from images (their centre, the temperature) is learned without
those of the prompt that the image in question was made from. Ties count against the method.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.papers.changes import Change
from lib_gmi.base.errors import GMIError, SampleUnavailableError
from lib_gmi.base.vectors import unit
from lib_gmi.cli.tables import table
from lib_gmi.encoders import labels, text
from lib_gmi.hosts.folder import FolderHost
from lib_gmi.records.prompts import default_prompt_set
from lib_gmi.records.protocols import GenerationRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lib_gmi.records.protocols import FloatArray

    Whole = NDArray[np.int64]

TEMPERATURES = (1.0, 2.0, 3.0, 5.0, 8.0)
#: Neighbours of CSLS (Conneau et al. 2018): as in the paper, nothing was searched.
_NEIGHBOURS = 10


@dataclass(frozen=True)
class Seen:
    """What the classifier sees in a folder's images.

    Attributes:
        looks: of n images.
        truth: ``[n]``, the position of each image's prompt.
        candidates: ``[n]``, the position of the model that made it.
        prompts: texts.
    """

    looks: labels.Looks
    truth: Whole
    candidates: Whole
    prompts: tuple[str, ...]


def read_looks(folder: Path, kept: Path | None = None, change: Change | None = None) -> Seen:
    """Classify every image of a folder; ``kept`` is where that is remembered, if it shall be.

    ``change`` is applied to each image first.
    """
    host = FolderHost(folder)
    prompts = host.prompt_set.prompts
    texts = tuple(prompt.text for prompt in prompts)
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as found:
            looks = labels.Looks(found["small"], found["large"], found["places"])
            return Seen(looks, found["truth"], found["candidates"], texts)
    rows: list[labels.Looks] = []
    truth, made_by = [], []
    candidates = host.list_checkpoints()
    settings = host.default_settings(candidates[0])
    for number, candidate in enumerate(candidates):
        with host.session(candidate) as session:
            for column, prompt in enumerate(prompts):
                request = GenerationRequest(prompt.id, prompt.text, "", 0)
                try:
                    image = session.generate(request, settings)
                    rows.append(labels.look([image if change is None else change(image)]))
                except SampleUnavailableError:
                    continue
                truth.append(column)
                made_by.append(number)
        print(f"\r{number + 1}/{len(candidates)} candidates", end="", file=sys.stderr)
    print(file=sys.stderr)
    small = np.concatenate([row.small for row in rows])
    large = np.concatenate([2 * row.logits - row.small for row in rows])
    places = np.concatenate([row.places for row in rows])
    if kept is not None:
        np.savez(kept, small=small, large=large, places=places, truth=truth, candidates=made_by)
    looks = labels.Looks(small, large, places)
    return Seen(looks, np.asarray(truth), np.asarray(made_by), texts)


class Bench:
    """Scores ``[n, prompts]`` of each variant; higher is nearer."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        encoder, described = text.load(), labels.rows()
        arrays = labels.read_arrays(labels.arrays_path())
        self.names = encoder.encode_texts([row["name"] for row in described])
        self.wordings = arrays["classes"]
        self.texts = encoder.encode_texts(seen.prompts)
        bank = [prompt.text for prompt in default_prompt_set().prompts]
        self.bank = encoder.encode_texts(bank)
        self.text_centre = self.bank.mean(axis=0)

    def plain(self) -> FloatArray:
        """As published."""
        return unit(labels.softmax(self.seen.looks.small) @ self.names) @ self.texts.T

    def centred(
        self, probabilities: FloatArray, classes: FloatArray, against: FloatArray | None = None
    ) -> FloatArray:
        """Both sides centred; the images' centre is that of the images of other prompts."""
        against = self.texts if against is None else against
        texts = unit(against - self.text_centre)
        points = probabilities @ unit(classes - classes.mean(axis=0))
        scores = np.empty((len(points), len(texts)), dtype=np.float32)
        for prompt in range(len(self.texts)):
            own = self.seen.truth == prompt
            scores[own] = unit(points[own] - points[~own].mean(axis=0)) @ texts.T
        return scores

    def at_best_temperature(
        self, soft: Callable[[float], FloatArray], classes: FloatArray
    ) -> tuple[FloatArray, list[float]]:
        """For each prompt, the temperature that serves the images of the others best."""
        truth = self.seen.truth
        all_scores = [self.centred(soft(t), classes) for t in TEMPERATURES]
        reciprocals = [1 / _ranks(scores, truth) for scores in all_scores]
        scores, chosen = np.empty_like(all_scores[0]), []
        for prompt in range(len(self.texts)):
            own = truth == prompt
            best = int(np.argmax([r[~own].mean() for r in reciprocals]))
            scores[own] = all_scores[best][own]
            chosen.append(TEMPERATURES[best])
        return scores, chosen

    def csls(self, scores: FloatArray, to_bank: FloatArray) -> FloatArray:
        """Scores less what is near an image, or a prompt, anyway; neighbours from the bank."""
        near = np.sort(to_bank, axis=1)[:, -_NEIGHBOURS:].mean(axis=1, keepdims=True)
        texts = unit(self.texts - self.text_centre)
        bank = unit(self.bank - self.text_centre)
        hubs = np.sort(texts @ bank.T, axis=1)[:, -_NEIGHBOURS:].mean(axis=1)
        return np.asarray(2 * scores - near - hubs, dtype=np.float32)


def _ranks(scores: FloatArray, truth: Whole) -> Whole:
    own = scores[np.arange(len(truth)), truth][:, None]
    return np.asarray((scores >= own).sum(axis=1), dtype=np.int64)


def run(seen: Seen) -> list[dict[str, Any]]:
    """All rows of the benchmark; see the module's docstring."""
    bench, looks = Bench(seen), seen.looks
    whole = labels.softmax
    rows: list[dict[str, Any]] = []

    def add(variant: str, scores: FloatArray, temperatures: Sequence[float] = ()) -> None:
        ranks = _ranks(scores, seen.truth)
        rows.append(
            {
                "variant": variant,
                "top1": float((ranks <= 1).mean()),
                "top5": float((ranks <= 5).mean()),
                "mrr": float((1 / ranks).mean()),
                "images": len(ranks),
                "temperatures": sorted(set(temperatures)),
            }
        )

    add("ConSE as published", bench.plain())
    add("+ both sides centred", bench.centred(whole(looks.small), bench.names))
    add("+ two sizes", bench.centred(whole(looks.logits), bench.names))
    softened = bench.at_best_temperature(lambda t: whole(looks.logits, t), bench.names)
    add("+ temperature", *softened)
    add("+ places", *bench.at_best_temperature(looks.probabilities, bench.names))
    best, chosen = bench.at_best_temperature(looks.probabilities, bench.wordings)
    add("+ three wordings (the default)", best, chosen)
    # the corrections, on top of the default at the temperature that ships
    soft = looks.probabilities()
    to_bank = bench.centred(soft, bench.wordings, bench.bank)
    scores = bench.centred(soft, bench.wordings)
    add("default, CSLS over the default prompts", bench.csls(scores, to_bank))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the rows as JSON")
    parser.add_argument("--looks", type=Path, metavar="FILE", help="keep what was seen here (.npz)")
    arguments = parser.parse_args(argv)
    try:
        rows = run(read_looks(arguments.folder, arguments.looks))
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    except (GMIError, OSError) as error:
        print(f"benchmarks.text_image: {error}", file=sys.stderr)
        return 2
    cells = [
        [
            row["variant"],
            f"{row['top1']:.3f}",
            f"{row['top5']:.3f}",
            f"{row['mrr']:.3f}",
            ", ".join(f"{t:g}" for t in row["temperatures"]),
            str(row["images"]),
        ]
        for row in rows
    ]
    headers = ["variant", "top-1", "top-5", "MRR", "temperature", "images"]
    print(table(headers, cells, shrink=[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
