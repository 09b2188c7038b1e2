"""What an encoder's prior is worth to a small library, and the prior itself.

    python -m benchmarks.prior PATH                          measure
    python -m benchmarks.prior PATH --write [--cache DIR]    make the file that ships

The prior holds the deviations of the raw features and the scatter of a model's samples, learned
from all models of a folder. It is measured where it has to help: a few candidates are fitted on
some prompts, with a prior from the *other* models on *other* prompts, and queried with a third
set.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib_gmi.base.files import write_atomic
from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT, registry
from lib_gmi.ranking.kernels import PRIOR_STRENGTH, LearnedKernel, Prior, prior_path
from lib_gmi.ranking.normalised import Normalizer
from lib_gmi.ranking.stack import Stack

from .papers.changes import USUAL
from .papers.features import Features

if TYPE_CHECKING:
    from lib_gmi.records.protocols import FloatArray

#: Directions kept of the scatter; the rest is left to the isotropic part of the error covariance.
RANK = 128


def learn(stack: Stack, strength: float = PRIOR_STRENGTH) -> Prior:
    """The prior that a complete stack gives."""
    rows = stack.features[stack.mask]
    normalizer = Normalizer.fit(rows, registry.info(stack.encoder_id).blocks)
    samples = normalizer.transform(stack.features)
    errors = (samples - samples.mean(axis=1, keepdims=True)).reshape(-1, samples.shape[-1])
    return Prior(rows.std(axis=0), _strongest(errors, RANK), strength)


def learn_changes(before: Stack, after: Sequence[Stack]) -> FloatArray:
    """What people do to images does this to their features, ``[r, d]``; see :class:`Prior`.

    Args:
        before: images as they are.
        after: the same after one change each.
    """
    rows = before.features[before.mask]
    normalizer = Normalizer.fit(rows, registry.info(before.encoder_id).blocks)
    unchanged = normalizer.transform(rows)
    differences = [normalizer.transform(each.features[before.mask]) - unchanged for each in after]
    return _strongest(np.concatenate(differences), RANK)


def _strongest(rows: FloatArray, rank: int) -> FloatArray:
    """So many rows with nearly the same outer products, of trace 1."""
    # the smaller of the two Gram matrices: changes have more rows than features
    if len(rows) > rows.shape[1]:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        found = np.sqrt(np.maximum(values, 0))[::-1][:rank, None] * vectors[:, ::-1][:, :rank].T
    else:
        _, vectors = np.linalg.eigh(rows @ rows.T)
        found = vectors[:, ::-1][:, :rank].T @ rows
    return np.asarray(found / np.sqrt(np.square(found).sum()), dtype=np.float32)


def measure(stack: Stack, strengths: Sequence[float], draws: int = 12) -> list[list[str]]:
    """Top-1 with one image by library size, without and with the prior."""
    rng = np.random.default_rng(0)
    prompts = rng.permutation(len(stack.prompt_ids))
    third = len(prompts) // 5 * 2
    own, others, queries = prompts[:third], prompts[third : 2 * third], prompts[2 * third :]
    rows = []
    for candidates in (3, 8, 18):
        for count in (4, third):
            hits: dict[float, list[bool]] = {s: [] for s in (0.0, *strengths)}
            for _ in range(draws):
                chosen = rng.choice(len(stack.candidates), candidates, replace=False)
                rest = np.setdiff1d(np.arange(len(stack.candidates)), chosen)
                data = stack.take(chosen).with_prompts(own[:count])
                for strength in hits:
                    outside = stack.take(rest).with_prompts(others)
                    prior = learn(outside, strength) if strength else None
                    kernel = LearnedKernel.fit(data, prior)
                    for query in queries:
                        scores = kernel.scores(stack.features[chosen, query], None)
                        hits[strength] += (scores.argmin(axis=1) == np.arange(candidates)).tolist()
            rates = [f"{np.mean(hits[s]):.3f}" for s in hits]
            rows.append([str(candidates), str(count), *rates])
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where features are kept")
    arguments = parser.parse_args(argv)
    features = Features(arguments.folder, arguments.cache, jobs=os.cpu_count() or 1)
    stack = features.stack(arguments.encoder)
    if arguments.write:
        from safetensors.numpy import save

        prior, path = learn(stack), prior_path(stack.encoder_id)
        changed = [features.stack(arguments.encoder, name) for name in USUAL]
        tensors = {
            "deviation": prior.deviation,
            "scatter": prior.scatter,
            "changes": learn_changes(stack, changed),
        }
        stored = {k: v.astype(np.float16) for k, v in tensors.items() if v is not None}
        write_atomic(path, save(stored))
        print(path)
        return 0
    strengths = (5.0, 20.0, 60.0, 200.0)
    headers = ["candidates", "prompts", "no prior", *(f"strength {s:.0f}" for s in strengths)]
    print(table(headers, measure(stack, strengths), shrink=[]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
