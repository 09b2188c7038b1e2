"""Can candidates with prompts of their own be ranked beside those with shared ones?

    python -m benchmarks.own_prompts PATH [--draws N] [--json OUT]

What a harvest of existing images finds has the prompts that somebody happened to use. Here half of
the candidates get ten prompts of their own and the others ten shared ones; what is lost against
ten shared prompts for all, and does each half get its fair share of the answers? Own prompts are
drawn at random, or as *narrow* as can be: the ten that are nearest to one of them by their text,
as of a person who makes the same thing over and over. Queries are images of held-out prompts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT
from lib_gmi.ranking.methods import METHODS
from lib_gmi.ranking.stack import Stack

from .dataset import Split, five_folds, sd18
from .papers.features import read_stack

#: Prompts of each candidate.
PROMPTS = 10
METHODS_SHOWN = ("learned", "rkme-clip", "weighted-rkme")


def with_own_prompts(stack: Stack, shared: Sequence[int], own: dict[int, Sequence[int]]) -> Stack:
    """Some candidates keep the shared columns, each other one its own.

    Args:
        stack: complete.
        shared: columns.
        own: columns by candidate.
    """
    candidates, width = len(stack.candidates), len(shared) + PROMPTS
    features = np.zeros((candidates, width, stack.features.shape[-1]), dtype=np.float32)
    mask = np.zeros((candidates, width), dtype=bool)
    embeddings = None
    if stack.prompt_embeddings is not None:
        size = stack.prompt_embeddings.shape[-1]
        embeddings = np.zeros((candidates, width, size), dtype=np.float32)
        embeddings[:, : len(shared)] = stack.prompt_embeddings[list(shared)]
    ids: list[dict[int, str]] = [{} for _ in range(candidates)]
    for row in range(candidates):
        columns, start = (own[row], len(shared)) if row in own else (shared, 0)
        places = range(start, start + len(columns))
        features[row, places] = stack.features[row, list(columns)]
        mask[row, places] = True
        if row in own:
            ids[row] = {at: stack.prompt_ids[c] for at, c in zip(places, columns, strict=True)}
            if embeddings is not None and stack.prompt_embeddings is not None:
                embeddings[row, places] = stack.prompt_embeddings[list(columns)]
    return replace(
        stack,
        prompt_ids=(*(stack.prompt_ids[c] for c in shared), *[""] * PROMPTS),
        features=features,
        mask=mask,
        prompt_embeddings=embeddings,
        own=np.arange(width) >= len(shared),
        own_ids=tuple(ids),
    )


def narrow(stack: Stack, columns: Sequence[int], rng: np.random.Generator) -> list[int]:
    """The prompts that are nearest to a random one."""
    assert stack.prompt_embeddings is not None
    rows = stack.prompt_embeddings[list(columns)]
    nearest = np.argsort(-(rows @ rows[rng.integers(len(columns))]), kind="stable")
    return [columns[i] for i in nearest[:PROMPTS]]


def _draw(
    stack: Stack, kind: str, columns: Sequence[int], rng: np.random.Generator
) -> Sequence[int]:
    """A candidate's own prompts."""
    if kind == "narrow":
        return narrow(stack, columns, rng)
    drawn: list[int] = rng.choice(columns, PROMPTS, replace=False).tolist()
    return drawn


def measure(
    stack: Stack, kind: str, name: str, draws: int, splits: Sequence[Split] | None = None
) -> dict[str, float]:
    """One row of the table; all rates over every query of every draw."""
    rng = np.random.default_rng(0)
    more = np.random.default_rng(1)  # beside it, so that the mixed half does not depend on it
    candidates = len(stack.candidates)
    hits: dict[str, list[bool]] = {"all shared": [], "mixed": [], "all own": []}
    answered, owned = [], []
    method = METHODS[name]
    for split in splits or five_folds(len(stack.prompt_ids)):
        for _ in range(draws):
            shared = rng.choice(split.specs, PROMPTS, replace=False).tolist()
            chosen = rng.permutation(candidates)[: candidates // 2]
            specs = list(split.specs)
            own = {int(row): _draw(stack, kind, specs, rng) for row in chosen}
            is_own = np.isin(np.arange(candidates), chosen)
            everyone = {
                row: own[row] if row in own else _draw(stack, kind, specs, more)
                for row in range(candidates)
            }
            for setting in hits:
                data = stack.with_prompts(shared)
                if setting == "mixed":
                    data = with_own_prompts(stack, shared, own)
                elif setting == "all own":
                    data = with_own_prompts(stack, shared, everyone)
                fitted = method.fit(data, None, None)
                for column in split.queries:
                    text = stack.embeddings_of(np.arange(candidates), column)
                    best = fitted.scores(stack.features[:, column], text).argmin(axis=1)
                    hits[setting] += (best == np.arange(candidates)).tolist()
                    if setting == "mixed":
                        answered += is_own[best].tolist()
                        owned += is_own.tolist()
    mixed, own_queries = np.asarray(hits["mixed"]), np.asarray(owned)
    return {
        "all shared": float(np.mean(hits["all shared"])),
        "mixed": float(mixed.mean()),
        "fall": float(np.mean(hits["all shared"]) - mixed.mean()),
        "all own": float(np.mean(hits["all own"])),
        "answers to own": float(np.mean(answered)),
        "own found": float(mixed[own_queries].mean()),
        "shared found": float(mixed[~own_queries].mean()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--draws", type=int, default=4, help="for each fold")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(argv)
    full = read_stack(arguments.folder, DEFAULT)
    family = sd18(full)
    groups = {"18 SD": family} if family is not None else {}
    rows = []
    for models, stack in {**groups, f"all {len(full.candidates)}": full}.items():
        for kind in ("random", "narrow"):
            for name in METHODS_SHOWN if kind == "random" else METHODS_SHOWN[:1]:
                found = measure(stack, kind, name, arguments.draws)
                rows.append({"method": name, "models": models, "own prompts": kind, **found})
    cells = [[v if isinstance(v, str) else f"{v:.3f}" for v in row.values()] for row in rows]
    print(table(list(rows[0]), cells, shrink=[]))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
