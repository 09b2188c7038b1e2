"""How much of the ranking survives what people do to images?

    python -m benchmarks.robustness PATH

Specifications are built from the images as they are, queries from changed copies
(``benchmarks/papers/changes.py``; ``python -m benchmarks.paper robustness`` adds defences and
intervals).

A second table asks how to bring a portrait to the encoder. A generator makes squares and
portraits of about the same area and at the same scale of detail; so specifications are built
from the middle square of each image and queries from its middle 2:3 portrait of the same area:
with its shape kept (what the encoder does), squeezed to a square, cropped to one, or padded to
one by reflection.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lib_gmi.calibration import rank_of_truth
from lib_gmi.encoders import DEFAULT, load
from lib_gmi.images import open_image
from lib_gmi.methods import METHODS
from lib_gmi.specification import CandidateRef
from lib_gmi.tables import table

from .dataset import Change, five_folds, read_stack, sd18
from .papers.changes import AS_IT_IS, QUERIES, middle

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


def measure(
    folder: Path, encoder: str, names: Sequence[str], changes: Mapping[str, Change], spec: Change
) -> list[list[str]]:
    """Top-1 and top-4 with one image, a row per change of the query image."""
    full = read_stack(folder, encoder, spec)
    stack = sd18(full) or full
    loaded = load(encoder)
    truth = np.arange(len(stack.candidates))
    ranks: dict[tuple[str, str], list[int]] = {}
    for split in five_folds(len(stack.prompt_ids)):
        specifications = stack.with_prompts(split.specs)
        fitted = {n: METHODS[n].fit(specifications, None, None) for n in names}
        for column in split.queries:
            images = _images(folder, stack.candidates, stack.prompt_ids[column])
            prompts = stack.prompt_embeddings
            text = None if prompts is None else np.tile(prompts[column], (len(truth), 1))
            for change, apply in changes.items():
                features = loaded.encode_images([apply(image) for image in images])
                for name, method in fitted.items():
                    found = rank_of_truth(method.scores(features, text), truth)
                    ranks.setdefault((change, name), []).extend(found.tolist())
    rows = []
    for change in changes:
        cells = [change]
        for name in names:
            r = np.asarray(ranks[change, name])
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
    parser.add_argument("--only", choices=["changes", "shapes"])
    arguments = parser.parse_args(argv)
    names = arguments.methods.split(",")
    headers = ["query image", *(f"{n} top-{k}" for n in names for k in (1, 4))]
    tables = {"changes": (QUERIES, QUERIES[AS_IT_IS]), "shapes": (SHAPES, square)}
    for title, (changes, spec) in tables.items():
        if arguments.only in (None, title):
            rows = measure(arguments.folder, arguments.encoder, names, changes, spec)
            print(table(headers, rows, shrink=[]) + "\n")
    return 0


def _images(folder: Path, candidates: Sequence[CandidateRef], prompt_id: str) -> list[Image.Image]:
    folders = [folder / "images" / candidate.name for candidate in candidates]
    return [open_image(next(path.glob(prompt_id + ".*"))) for path in folders]


if __name__ == "__main__":
    sys.exit(main())
