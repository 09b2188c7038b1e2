"""Does a spot check tell the right checkpoint from a wrong one?

    python -m benchmarks.trust PATH

Three prompts of a model are taken as generated anew: by the model itself (they are left out of the
kernel), and by another one. A check that is fair doubts the right one as seldom as its level says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT
from lib_gmi.ranking.stack import Stack
from lib_gmi.ranking.trust import DOUBTFUL, IMAGES, columns_to_check, null_distribution, spot_check

from .dataset import sd18
from .papers.features import read_stack


def measure(stack: Stack) -> list[list[str]]:
    """Rows of the table: how often the right and a wrong model are doubted."""
    rng = np.random.default_rng(0)
    doubted: dict[str, list[float]] = {"the right model": [], "another model": []}
    count = len(stack.candidates)
    null = null_distribution(stack, IMAGES)
    for row in range(count):
        columns = columns_to_check(stack, row)
        other = (row + int(rng.integers(1, count))) % count
        for name, made_by in (("the right model", row), ("another model", other)):
            features = stack.features[made_by, columns]
            doubted[name].append(spot_check(stack, row, columns, features, null=null).p_value)
    return [
        [name, *(f"{np.mean(np.asarray(p) < level):.2f}" for level in (DOUBTFUL, 0.05, 0.1))]
        for name, p in doubted.items()
    ]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    arguments = parser.parse_args(argv)
    full = read_stack(arguments.folder, DEFAULT)
    headers = ["made by", f"p < {DOUBTFUL}", "p < 0.05", "p < 0.1"]
    print(table(headers, measure(sd18(full) or full), shrink=[]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
