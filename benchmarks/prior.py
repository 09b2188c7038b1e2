"""What an encoder's prior is worth to a small library, and the prior itself.

    python -m benchmarks.prior PATH            measure
    python -m benchmarks.prior PATH --write    make the file that ships

The prior holds the deviations of the raw features and the scatter of a model's samples, learned
from all models of a folder. It is measured where it has to help: a few candidates are fitted on
some prompts, with a prior from the *other* models on *other* prompts, and queried with a third
set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib_gmi.encoders import DEFAULT, registry
from lib_gmi.files import write_atomic
from lib_gmi.kernels import PRIOR_STRENGTH, LearnedKernel, Normalizer, Prior, prior_path
from lib_gmi.stack import Stack
from lib_gmi.tables import table

from .dataset import read_stack

#: Directions kept of the scatter; the rest is left to the isotropic part of the error covariance.
RANK = 128


def learn(stack: Stack, strength: float = PRIOR_STRENGTH) -> Prior:
    """The prior that a complete stack gives."""
    rows = stack.features[stack.mask]
    normalizer = Normalizer.fit(rows, registry.info(stack.encoder_id).blocks)
    samples = normalizer.transform(stack.features)
    errors = (samples - samples.mean(axis=1, keepdims=True)).reshape(-1, samples.shape[-1])
    _, vectors = np.linalg.eigh(errors @ errors.T)
    scatter = vectors[:, ::-1][:, :RANK].T @ errors
    scatter /= np.sqrt(np.square(scatter).sum())
    return Prior(rows.std(axis=0), scatter.astype(np.float32), strength)


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
    arguments = parser.parse_args(argv)
    stack = read_stack(arguments.folder, arguments.encoder)
    if arguments.write:
        from safetensors.numpy import save

        prior, path = learn(stack), prior_path(stack.encoder_id)
        tensors = {"deviation": prior.deviation, "scatter": prior.scatter}
        write_atomic(path, save({k: v.astype(np.float16) for k, v in tensors.items()}))
        print(path)
        return 0
    strengths = (5.0, 20.0, 60.0, 200.0)
    headers = ["candidates", "prompts", "no prior", *(f"strength {s:.0f}" for s in strengths)]
    print(table(headers, measure(stack, strengths), shrink=[]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
