"""How much of the ranking survives what people do to images?

    python -m benchmarks.robustness PATH

Specifications are built from the images as they are, queries from changed copies. Among the
changes are four ways to bring a 2:3 portrait to the encoder: as it is (the encoder keeps its
shape), squeezed to a square, cropped to one, and padded to one by reflection.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lib_gmi.calibration import rank_of_truth
from lib_gmi.encoders import DEFAULT, load
from lib_gmi.images import open_image
from lib_gmi.methods import METHODS
from lib_gmi.specification import CandidateRef
from lib_gmi.tables import table

from .dataset import five_folds, read_stack, sd18

Change = Callable[[Image.Image], Image.Image]


def saved(codec: str, quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, codec, quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def resized(side: int) -> Change:
    return lambda image: image.resize((side, side), Image.Resampling.LANCZOS)


def portrait(image: Image.Image) -> Image.Image:
    """The middle two thirds of the width."""
    sixth = image.width // 6
    return image.crop((sixth, 0, image.width - sixth, image.height))


def squeezed(image: Image.Image) -> Image.Image:
    return portrait(image).resize(image.size, Image.Resampling.BICUBIC)


def cropped(image: Image.Image) -> Image.Image:
    narrow = portrait(image)
    top = (narrow.height - narrow.width) // 2
    return narrow.crop((0, top, narrow.width, top + narrow.width))


def padded(image: Image.Image) -> Image.Image:
    pixels = np.asarray(portrait(image))
    missing = pixels.shape[0] - pixels.shape[1]
    sides = (missing // 2, missing - missing // 2)
    return Image.fromarray(np.pad(pixels, ((0, 0), sides, (0, 0)), mode="reflect"))


CHANGES: dict[str, Change] = {
    "as it is": lambda image: image,
    "JPEG 90": saved("JPEG", 90),
    "JPEG 70": saved("JPEG", 70),
    "WebP 80": saved("WEBP", 80),
    "shrunk to 256": resized(256),
    "enlarged to 512": resized(512),
    "2:3 portrait, shape kept": portrait,
    "2:3 portrait, squeezed": squeezed,
    "2:3 portrait, cropped": cropped,
    "2:3 portrait, padded": padded,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--methods", default="learned,weighted-rkme")
    arguments = parser.parse_args(argv)
    full = read_stack(arguments.folder, arguments.encoder)
    stack = sd18(full) or full
    encoder = load(arguments.encoder)
    truth = np.arange(len(stack.candidates))
    ranks: dict[tuple[str, str], list[int]] = {}
    names = arguments.methods.split(",")
    for split in five_folds(len(stack.prompt_ids)):
        specifications = stack.with_prompts(split.specs)
        fitted = {n: METHODS[n].fit(specifications, None, None) for n in names}
        for column in split.queries:
            images = _images(arguments.folder, stack.candidates, stack.prompt_ids[column])
            prompts = stack.prompt_embeddings
            text = None if prompts is None else np.tile(prompts[column], (len(truth), 1))
            for change, apply in CHANGES.items():
                features = encoder.encode_images([apply(image) for image in images])
                for name, method in fitted.items():
                    found = rank_of_truth(method.scores(features, text), truth)
                    ranks.setdefault((change, name), []).extend(found.tolist())
    rows = []
    for change in CHANGES:
        cells = [change]
        for name in names:
            r = np.asarray(ranks[change, name])
            cells += [f"{(r <= 1).mean():.3f}", f"{(r <= 4).mean():.3f}"]
        rows.append(cells)
    headers = ["query image", *(f"{n} top-{k}" for n in names for k in (1, 4))]
    print(f"{len(truth)} models, 1 image, {len(r)} tasks")
    print(table(headers, rows, shrink=[]))
    return 0


def _images(folder: Path, candidates: Sequence[CandidateRef], prompt_id: str) -> list[Image.Image]:
    folders = [folder / "images" / candidate.name for candidate in candidates]
    return [open_image(next(path.glob(prompt_id + ".*"))) for path in folders]


if __name__ == "__main__":
    sys.exit(main())
