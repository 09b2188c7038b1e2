"""How much of the ranking survives what people do to images?

    python -m benchmarks.robustness PATH [--cache DIR]

Specifications are built from the images as they are, queries from changed copies: for the 18
SD-family models and for all of them (``benchmarks/papers/robust.py`` has more changes, for the 18).

A second table asks how to bring a portrait to the encoder. A generator makes squares and
portraits of about the same area and at the same scale of detail; so specifications are built
from the middle square of each image and queries from its middle 2:3 portrait of the same area:
with its shape kept (what the encoder does), squeezed to a square, cropped to one, or padded to
one by reflection.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT
from lib_gmi.ranking.calibration import rank_of_truth
from lib_gmi.ranking.kernels import LearnedKernel, Prior
from lib_gmi.ranking.methods import METHODS

from .dataset import five_folds, sd18
from .papers.changes import USUAL, Change, middle
from .papers.features import Features, read_stack
from .prior import learn_changes

#: 2/3 of a square image's area, as a portrait and as a square.
portrait = middle(2 / 3, 1.0)
square = middle((2 / 3) ** 0.5, (2 / 3) ** 0.5)


def squeezed(image: Image.Image) -> Image.Image:
    side = square(image).width
    return portrait(image).resize((side, side), Image.Resampling.BICUBIC)


def cropped(image: Image.Image) -> Image.Image:
    narrow = portrait(image)
    top = (narrow.height - narrow.width) // 2
    return narrow.crop((0, top, narrow.width, top + narrow.width))


def padded(image: Image.Image) -> Image.Image:
    pixels = np.asarray(portrait(image))
    missing = pixels.shape[0] - pixels.shape[1]
    sides = (missing // 2, missing - missing // 2)
    return Image.fromarray(np.pad(pixels, ((0, 0), sides, (0, 0)), mode="reflect"))


SHAPES: dict[str, Change] = {
    "square": square,
    "portrait, shape kept": portrait,
    "portrait, squeezed": squeezed,
    "portrait, cropped": cropped,
    "portrait, padded": padded,
}


def measure_changes(folder: Path, encoder: str, cache: Path | None) -> list[list[str]]:
    """Top-1 and top-4 with one image, a row per change of the query image and set of models.

    The learned kernel is fitted without what the changes do to features, and with it: learned from
    the other models' images of the same prompts, or, where all models are candidates, from the
    specifications' own.
    """
    features = Features(folder, cache, jobs=os.cpu_count() or 1)
    full = features.stack(encoder)
    changed = {name: features.stack(encoder, name) for name in USUAL}
    small = sd18(full)
    chosen = (
        {} if small is None else {"18 SD": [full.candidates.index(c) for c in small.candidates]}
    )
    chosen["all"] = list(range(len(full.candidates)))
    rows = []
    for title, models in chosen.items():
        others = np.setdiff1d(np.arange(len(full.candidates)), models)
        if not len(others):
            others = np.asarray(models)
        ranks: dict[tuple[str, str], list[int]] = {}
        truth = np.arange(len(models))
        for split in five_folds(len(full.prompt_ids)):
            data = full.take(models).with_prompts(split.specs)
            outside = full.take(others).with_prompts(split.specs)
            after = [changed[name].take(others).with_prompts(split.specs) for name in USUAL]
            prior = Prior(changes=learn_changes(outside, after))
            fitted = {
                "plain": LearnedKernel.fit(data),
                "learned": LearnedKernel.fit(data, prior),
                "weighted-rkme": METHODS["weighted-rkme"].fit(data, None, None),
            }
            for change, stack in {"as it is": full, **changed}.items():
                for column in split.queries:
                    text = full.prompt_embeddings
                    prompts = None if text is None else np.tile(text[column], (len(truth), 1))
                    for name, method in fitted.items():
                        scores = method.scores(stack.features[models, column], prompts)
                        found = rank_of_truth(scores, truth)
                        ranks.setdefault((change, name), []).extend(found.tolist())
        for change in ("as it is", *changed):
            cells = [title, change]
            for name in ("plain", "learned", "weighted-rkme"):
                r = np.asarray(ranks[change, name])
                cells.append(f"{(r <= 1).mean():.3f} / {(r <= 4).mean():.3f}")
            rows.append(cells)
    return rows


def measure_shapes(folder: Path, encoder: str, names: Sequence[str]) -> list[list[str]]:
    """The same, a row per way of bringing a portrait to the encoder."""
    full = read_stack(folder, encoder, square)
    stack = sd18(full) or full
    truth = np.arange(len(stack.candidates))
    rows = []
    for shape, change in SHAPES.items():
        queries = read_stack(folder, encoder, change)
        queries = sd18(queries) or queries
        ranks: dict[str, list[int]] = {name: [] for name in names}
        for split in five_folds(len(stack.prompt_ids)):
            data = stack.with_prompts(split.specs)
            fitted = {n: METHODS[n].fit(data, None, None) for n in names}
            for column in split.queries:
                text = stack.prompt_embeddings
                prompts = None if text is None else np.tile(text[column], (len(truth), 1))
                for name, method in fitted.items():
                    scores = method.scores(queries.features[:, column], prompts)
                    ranks[name].extend(rank_of_truth(scores, truth).tolist())
        cells = [shape]
        for name in names:
            r = np.asarray(ranks[name])
            cells += [f"{(r <= 1).mean():.3f}", f"{(r <= 4).mean():.3f}"]
        rows.append(cells)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--methods", default="learned,weighted-rkme")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where features are kept")
    parser.add_argument("--only", choices=["changes", "shapes"])
    arguments = parser.parse_args(argv)
    if arguments.only in (None, "changes"):
        headers = ["models", "query image", "learned, no defence", "learned", "weighted-rkme"]
        rows = measure_changes(arguments.folder, arguments.encoder, arguments.cache)
        print(table(headers, rows, shrink=[]) + "\n")
    if arguments.only in (None, "shapes"):
        names = arguments.methods.split(",")
        headers = ["query image", *(f"{n} top-{k}" for n in names for k in (1, 4))]
        rows = measure_shapes(arguments.folder, arguments.encoder, names)
        print(table(headers, rows, shrink=[]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
