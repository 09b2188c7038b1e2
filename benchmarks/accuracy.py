"""How often does each method find the model that made an image?

    python -m benchmarks.accuracy PATH [--json OUT] [--methods A,B] [--limit N]
                                  [--specs FILE --queries FILE]

PATH is a folder with images/<model>/<prompt id>.jpg and prompts.json. By default the protocol is
``sd-samples-5fold``: query prompts never build a specification, every method is fitted on the
ranked candidates only, hyperparameters and calibration come from leave-one-prompt-out on the
specifications, and ties count against the method.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib_gmi.base.errors import GMIError, PromptSetError, RankingError
from lib_gmi.cli.parts import positive
from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT
from lib_gmi.ranking import methods
from lib_gmi.ranking.calibration import calibration_error, softmax
from lib_gmi.ranking.methods import METHODS, PIXELS

from .dataset import Split, five_folds, sd18, tasks
from .papers.features import read_stack
from .papers.scores import fit_tuned

if TYPE_CHECKING:
    from lib_gmi.ranking.stack import Stack
    from lib_gmi.records.protocols import FloatArray

IMAGES = (1, 2, 3, 4, 5)


@dataclass
class Tally:
    """Ranks and probabilities of one method, one set of models and one number of images."""

    ranks: list[int] = field(default_factory=list)
    probabilities: list[FloatArray] = field(default_factory=list)

    def add(self, scores: FloatArray, truth: int, temperature: float | None) -> None:
        self.ranks.append(int((scores <= scores[truth]).sum()))
        if temperature is not None:
            self.probabilities.append(softmax(scores, temperature))

    def row(self) -> dict[str, Any]:
        ranks = np.asarray(self.ranks)
        row: dict[str, Any] = {
            "top1": float((ranks <= 1).mean()),
            "top4": float((ranks <= 4).mean()),
            "rank": float(ranks.mean()),
            "tasks": len(ranks),
        }
        if len(self.probabilities) == len(ranks):
            row["calibration_error"] = calibration_error(np.stack(self.probabilities), ranks <= 1)
        return row


def evaluate(
    stack: Stack, name: str, splits: Sequence[Split], prompt_given: bool
) -> dict[int, Tally]:
    """Run one method over all splits; tallies by number of images."""
    tallies = {images: Tally() for images in IMAGES}
    for split in splits:
        fitted, calibrations = fit_tuned(name, stack.with_prompts(split.specs))
        scores = np.stack(
            [_scores(fitted, stack, column, prompt_given) for column in split.queries], axis=1
        )
        for images, tally in tallies.items():
            for truth, positions in tasks(stack.mask, split, images):
                pooled = scores[truth, list(positions)].mean(axis=0)
                known = calibrations.get(images)
                tally.add(pooled, truth, None if known is None else known.temperature)
    return tallies


def _scores(
    fitted: methods.FittedMethod, stack: Stack, column: int, prompt_given: bool
) -> FloatArray:
    """Scores of every candidate's image of one prompt, ``[M, M]``."""
    embeddings = stack.prompt_embeddings
    prompts = None
    if prompt_given and embeddings is not None:
        prompts = np.tile(embeddings[column], (len(stack.candidates), 1))
    return fitted.scores(stack.features[:, column], prompts)


def run(
    folder: Path,
    names: Sequence[str],
    encoder: str,
    fixed: tuple[list[str], list[str]] | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """All rows of the benchmark. See the module's docstring.

    Raises:
        RankingError: fewer than two candidates.
    """
    stacks: dict[str, Stack] = {}
    rows: list[dict[str, Any]] = []
    for name in names:
        wanted = PIXELS if name == "rkme-basic" else encoder
        if wanted not in stacks:
            stacks[wanted] = read_stack(folder, wanted)
        full = stacks[wanted]
        if len(full.candidates) < 2:
            raise RankingError(f"{folder}: at least two models are needed to rank anything.")
        if METHODS[name].needs_prompt and full.prompt_embeddings is None:
            print(f"{name}: left out, there is no text encoder", file=sys.stderr)
            continue
        splits = [replace(s, specs=s.specs[:limit]) for s in _splits(full, fixed)]
        family = sd18(full)
        groups = {"sd18": family} if family is not None else {}
        for models, stack in {**groups, "all": full}.items():
            for prompt in ("given", "withheld"):
                if prompt == "withheld" and METHODS[name].needs_prompt:
                    continue
                tallies = evaluate(stack, name, splits, prompt == "given")
                for images, tally in tallies.items():
                    if tally.ranks:
                        head = {"method": name, "models": models, "images": images}
                        rows.append({**head, "prompt": prompt, **tally.row()})
            print(f"{name}: {models} done", file=sys.stderr)
    return rows


def _splits(stack: Stack, fixed: tuple[list[str], list[str]] | None) -> list[Split]:
    if fixed is None:
        return five_folds(len(stack.prompt_ids))
    position = {prompt_id: i for i, prompt_id in enumerate(stack.prompt_ids)}
    unknown = [p for part in fixed for p in part if p not in position]
    if unknown:
        raise PromptSetError(f"prompts.json has no prompt '{unknown[0]}'.")
    if overlap := set(fixed[0]) & set(fixed[1]):
        raise PromptSetError(f"'{sorted(overlap)[0]}' is both a specification and a query prompt.")
    specs, queries = (tuple(position[p] for p in part) for part in fixed)
    return [Split(specs, queries, seed=0)]


def _read_ids(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the rows as JSON")
    parser.add_argument("--methods", help=f"comma-separated, of {', '.join(METHODS)}")
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--limit", type=positive, metavar="N", help="only N specification prompts")
    parser.add_argument("--specs", type=Path, metavar="FILE", help="specification prompt ids")
    parser.add_argument("--queries", type=Path, metavar="FILE", help="query prompt ids")
    arguments = parser.parse_args(argv)
    if (arguments.specs is None) != (arguments.queries is None):
        parser.error("--specs and --queries go together")
    try:
        names = arguments.methods.split(",") if arguments.methods else list(METHODS)
        for name in names:
            methods.method(name)
        fixed = None
        if arguments.specs:
            fixed = (_read_ids(arguments.specs), _read_ids(arguments.queries))
        if arguments.json:
            arguments.json.touch()  # fail now rather than after ten minutes
        rows = run(arguments.folder, names, arguments.encoder, fixed, arguments.limit)
    except (GMIError, OSError) as error:
        print(f"benchmarks.accuracy: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(_as_table(rows))
    return 0


def _as_table(rows: Sequence[dict[str, Any]]) -> str:
    cells = [
        [
            row["method"],
            row["models"],
            row["prompt"],
            str(row["images"]),
            f"{row['top1']:.3f}",
            f"{row['top4']:.3f}",
            f"{row['rank']:.2f}",
            f"{row['calibration_error']:.3f}" if "calibration_error" in row else "",
            str(row["tasks"]),
        ]
        for row in rows
    ]
    headers = ["method", "models", "prompt", "images", "top-1", "top-4", "rank", "ECE", "tasks"]
    return table(headers, cells, shrink=[0])


if __name__ == "__main__":
    sys.exit(main())
