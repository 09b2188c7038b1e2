"""What ignoring "the same path for all pixels" would cost.

    python -m benchmarks.same_path PATH

Half of the 18 SD models have their specifications made from copies that were compressed before,
as downloads are; queries are images as they are. Which models are compressed is drawn for each
fold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT
from lib_gmi.ranking.kernels import LearnedKernel
from lib_gmi.ranking.stack import Stack

from .dataset import SD18, five_folds, tasks
from .papers.changes import saved
from .papers.features import read_stack

FORMATS = (("JPEG", 90), ("JPEG", 70), ("WEBP", 80))


def measure(stack: Stack, other: Stack, seed: int = 0) -> list[str]:
    """Top-1 with one and four images, and the share of answers that go to compressed models."""
    rng = np.random.default_rng(seed)
    hits: dict[int, list[bool]] = {1: [], 4: []}
    answered = []
    for split in five_folds(len(stack.prompt_ids)):
        chosen = rng.permutation(len(stack.candidates))[: len(stack.candidates) // 2]
        features = stack.features.copy()
        features[chosen] = other.features[chosen]
        kernel = LearnedKernel.fit(replace(stack, features=features).with_prompts(split.specs))
        scores = np.stack(
            [kernel.scores(stack.features[:, column], None) for column in split.queries], axis=1
        )
        for images, found in hits.items():
            for truth, positions in tasks(stack.mask, split, images):
                best = int(scores[truth, list(positions)].mean(axis=0).argmin())
                found.append(best == truth)
                if images == 1:
                    answered.append(best in chosen)
    return [f"{np.mean(hits[1]):.3f}", f"{np.mean(hits[4]):.3f}", f"{np.mean(answered):.2f}"]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    arguments = parser.parse_args(argv)
    stack = read_stack(arguments.folder, DEFAULT, only=SD18)
    rows = [["none", *measure(stack, stack)]]
    for kind, quality in FORMATS:
        changed = read_stack(arguments.folder, DEFAULT, saved(kind, quality), SD18)
        rows.append([f"{kind} {quality}", *measure(stack, changed)])
    headers = ["half compressed as", "1 image", "4 images", "answers to the compressed half"]
    print(table(headers, rows, shrink=[]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
