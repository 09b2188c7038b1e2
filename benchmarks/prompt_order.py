"""Which prompts first? Accuracy against the number of images, in several orders.

    python -m benchmarks.prompt_order PATH [--draws N]

The order by Fisher ratio is learned from *other* models: as where a checkpoint is added to a
library. Every candidate then has the same first prompts of the order; queries are images of
held-out prompts. Random orders are drawn anew for each fold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT
from lib_gmi.ranking.kernels import LearnedKernel
from lib_gmi.ranking.stack import Stack

from .dataset import SD18, Split, five_folds
from .papers.features import read_stack

IMAGES = (4, 8, 12, 20)


def accuracy(stack: Stack, columns: Sequence[int], split: Split) -> float:
    """Top-1 with one image of the held-out prompts, fitted on these columns."""
    kernel = LearnedKernel.fit(stack.with_prompts(columns))
    truth = np.arange(len(stack.candidates))
    found = [kernel.scores(stack.features[:, c], None).argmin(axis=1) for c in split.queries]
    return float(np.mean([best == truth for best in found]))


def measure(full: Stack, draws: int) -> list[list[str]]:
    """Rows of the table: an order, and its accuracy by number of images."""
    family = [i for i, c in enumerate(full.candidates) if c.title in SD18]
    others = full.take(np.setdiff1d(np.arange(len(full.candidates)), family))
    stack = full.take(family)
    rng = np.random.default_rng(0)
    rates: dict[tuple[str, int], list[float]] = {}
    for split in five_folds(len(full.prompt_ids)):
        specs = np.asarray(split.specs)
        ratios = LearnedKernel.fit(others.with_prompts(specs)).space.fisher_ratios()
        best_first = np.argsort(-ratios, kind="stable")
        orders = {"Fisher ratio": [best_first], "worst first": [best_first[::-1]]}
        orders["of the set"] = [np.arange(len(specs))]
        orders["random"] = [rng.permutation(len(specs)) for _ in range(draws)]
        for name, drawn in orders.items():
            for count in IMAGES:
                found = [accuracy(stack, specs[order[:count]].tolist(), split) for order in drawn]
                rates.setdefault((name, count), []).append(float(np.mean(found)))
    names = dict.fromkeys(name for name, _ in rates)
    return [[name, *(f"{np.mean(rates[name, n]):.3f}" for n in IMAGES)] for name in names]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--draws", type=int, default=8, help="random orders for each fold")
    arguments = parser.parse_args(argv)
    rows = measure(read_stack(arguments.folder, DEFAULT), arguments.draws)
    print(table(["order", *(f"{n} images" for n in IMAGES)], rows, shrink=[]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
