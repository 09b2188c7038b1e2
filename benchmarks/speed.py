"""Speed, each figure beside what it is compared to, in one run, as ratios.

    python -m benchmarks.speed [--json OUT]

Every pair is measured in turn (A B A B …) after a warm-up, and the medians are compared: machines
are shared and noisy. Run it twice before believing a ratio near its limit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT, load, registry
from lib_gmi.encoders.style import Style, normalised
from lib_gmi.ranking.findings import Findings
from lib_gmi.ranking.fitted import FittedLibrary
from lib_gmi.ranking.identify import identify
from lib_gmi.ranking.kernels import LearnedKernel
from lib_gmi.ranking.methods import RKME
from lib_gmi.ranking.query import QueryEncoder
from lib_gmi.ranking.stack import Stack
from lib_gmi.records.specification import CandidateRef

if TYPE_CHECKING:
    from PIL import Image

ROUNDS = 15


@dataclass(frozen=True)
class Comparison:
    """A measured pair: medians in seconds, and how large their ratio may be."""

    what: str
    against: str
    seconds: float
    reference: float
    limit: float

    @property
    def ratio(self) -> float:
        return self.seconds / self.reference


def compare(
    what: str, ours: Callable[[], object], against: str, theirs: Callable[[], object], limit: float
) -> Comparison:
    """Time two callables in turn."""
    ours(), theirs(), ours(), theirs()
    first, second = [], []
    for _ in range(ROUNDS):
        first.append(_seconds(ours))
        second.append(_seconds(theirs))
    return Comparison(what, against, float(np.median(first)), float(np.median(second)), limit)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def random_stack(candidates: int, prompts: int) -> Stack:
    """Random features in the default encoder's shape: speed does not depend on their values."""
    rng = np.random.default_rng(0)
    info = registry.info(DEFAULT)
    return Stack(
        candidates=tuple(CandidateRef(f"c{i}", f"c{i}", f"c{i}") for i in range(candidates)),
        prompt_ids=tuple(f"p{i}" for i in range(prompts)),
        features=rng.standard_normal((candidates, prompts, info.dim), dtype=np.float32),
        mask=np.ones((candidates, prompts), dtype=bool),
        prompt_embeddings=rng.standard_normal((prompts, 384), dtype=np.float32),
        encoder_id=info.id,
        text_encoder_id="text/minilm-l6-v2",
        prompt_set_size=prompts,
    )


def importing() -> Comparison:
    """``import lib_gmi`` in a fresh interpreter, with an empty one beside it."""
    modules = "lib_gmi, lib_gmi.ranking.identify, lib_gmi.cli.main, sys"
    code = f"import {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)  # nothing of ours loads torch

    def run(statement: str) -> Callable[[], object]:
        command = [sys.executable, "-c", statement]
        return lambda: subprocess.run(command, check=True)

    pair = compare("import lib_gmi", run("import lib_gmi"), "python -c pass", run("pass"), 0)
    extra = max(pair.seconds - pair.reference, 0.0)
    return Comparison("import lib_gmi, beyond python's own start", "0.15 s", extra, 0.15, 1.0)


def ranking() -> Comparison:
    stack = random_stack(1000, 8)
    kernel = LearnedKernel.fit(stack)
    array = np.ascontiguousarray(stack.features[:, 0])
    query = array[:1]
    return compare(
        "rank 1,000 candidates with the learned kernel",
        lambda: kernel.scores(query, None),
        f"one float32 product of {array.shape} with a vector",
        lambda: array @ query[0],
        2.0,
    )


def weighted_rkme() -> Comparison:
    stack = random_stack(1000, 55)
    method = RKME("weighted-rkme", stack, weighted=True)
    query, prompt = stack.features[0, :1], np.ones((1, 384), dtype=np.float32)
    flat = stack.features.reshape(-1)
    return compare(
        "weighted-rkme over 1,000 × 55 samples",
        lambda: method.scores(query, prompt),
        f"reading its array of {stack.features.shape} once",
        flat.max,
        2.0,
    )


def query(image: Image.Image) -> Comparison:
    encoder = load(DEFAULT)
    library = FittedLibrary(random_stack(40, 16), Findings())
    library.method("learned")
    return compare(
        "one query of 40 candidates, decoded image → ranking",
        lambda: identify(library, QueryEncoder(encoder).requirement([image])),
        "encode_images of that image",
        lambda: encoder.encode_images([image]),
        1.3,
    )


def encoding(image: Image.Image) -> Comparison:
    import torch

    encoder = load(DEFAULT)
    assert isinstance(encoder, Style)
    units = []
    for side, _ in encoder.scales:
        pixels = np.asarray(image.resize((side, side)))
        units.append(torch.from_numpy(pixels[None].copy()).permute(0, 3, 1, 2).float() / 255)

    @torch.inference_mode()
    def bare() -> None:
        for unit in units:
            for _ in encoder.network.walk(normalised(unit), 15):
                pass

    return compare(
        f"encode_images of one {image.width}×{image.height} image",
        lambda: encoder.encode_images([image]),
        "the bare network's forward passes at its two scales (without its head)",
        bare,
        1.4,
    )


def batches(image: Image.Image) -> Comparison:
    encoder = load(DEFAULT)
    assert isinstance(encoder, Style)
    images = [image] * 8
    return compare(
        "encode_images of 8 images (one at a time on a CPU)",
        lambda: encoder.encode_images(images),
        "the same 8 in one batch",
        lambda: encoder.encode_batch(images),
        1.0,
    )


def report(results: Sequence[Comparison]) -> str:
    """A table for people."""
    rows = [
        [
            r.what,
            f"{r.seconds * 1000:.1f} ms",
            r.against,
            f"{r.reference * 1000:.1f} ms",
            f"{r.ratio:.2f}",
            f"{r.limit:.1f}",
        ]
        for r in results
    ]
    headers = ["what", "median", "against", "median", "ratio", "limit"]
    return table(headers, rows, shrink=[], width=200)


def write_json(path: Path, results: Sequence[Comparison]) -> None:
    """The same for programs."""
    data = [{**vars(r), "ratio": r.ratio} for r in results]
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    from PIL import Image

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args(argv)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((512, 512), Image.Resampling.BICUBIC)
    results = [importing(), encoding(image), batches(image), query(image), ranking()]
    results.append(weighted_rkme())
    print(report(results))
    if arguments.json:
        write_json(arguments.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
