"""What a large pack takes: an honest one of 1,000 models × 25 samples, imported, fitted, ranked.

    python -m benchmarks.big_pack [--models 1000] [--samples 25] [--json OUT]

Each step runs in a process of its own, whose peak of memory is compared with what the program takes
before it. The features are made up: style of the model, content of the prompt, and noise.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lib_gmi.cli.tables import table
from lib_gmi.encoders import DEFAULT, registry
from lib_gmi.library.catalogue import Library
from lib_gmi.library.packs import PackAbout, Packs, write_pack
from lib_gmi.ranking import findings
from lib_gmi.ranking.fitted import Extra, open_fitted
from lib_gmi.ranking.identify import identify
from lib_gmi.records.specification import CandidateRef, PromptSetRef, Requirement, Specification

STEPS = ("make", "import", "fit", "rank")
_PACK = "large.gmipack"


def specifications(models: int, samples: int) -> list[Specification]:
    """Of so many models, with one sample of each prompt of a set that is as long."""
    info = registry.info(DEFAULT)
    prompts = PromptSetRef("large", "1", "made up for a benchmark", samples)
    rng = np.random.default_rng(0)
    content = 2 * rng.standard_normal((samples, info.dim), dtype=np.float32)
    found = []
    for number in range(models):
        style = rng.standard_normal(info.dim, dtype=np.float32)
        noise = rng.standard_normal((samples, info.dim), dtype=np.float32)
        candidate = CandidateRef(
            f"sha256:{number:064x}", f"model {number}", f"{number}.safetensors"
        )
        found.append(
            Specification(
                candidate=candidate,
                encoder_id=info.id,
                features=(content + style + noise).astype(np.float16),
                prompt_ids=tuple(f"p{i:02d}" for i in range(samples)),
                seeds=tuple(range(samples)),
                prompt_set=prompts,
                updated=1.0,
            )
        )
    return found


def make(folder: Path, models: int, samples: int) -> None:
    """The pack's file."""
    write_pack(folder / _PACK, specifications(models, samples), PackAbout("Large", created=1))


def step(name: str, folder: Path) -> None:
    """One step, in a library inside the folder."""
    library = Library(folder / "library")
    packs = Packs(library)
    if name == "import":
        packs.import_file(folder / _PACK)
        return
    extra = Extra(tuple(packed.specification for packed in packs.specifications()), "large")
    ready = open_fitted(library, extra=extra)
    if name == "rank":
        query = ready.stack.features[:1, 0].astype(np.float32)
        found = identify(ready, Requirement(query, ready.stack.encoder_id))
        print(f"first: {found.best.candidate.title}", file=sys.stderr)


def _peak() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used >> (20 if sys.platform == "darwin" else 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=25)
    parser.add_argument("--held-out", type=int, help="prompts that are left out while fitting")
    parser.add_argument("--folder", type=Path, help="an empty one; a temporary one by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.held_out is not None:
        findings.MAX_HELD_OUT = options.held_out
    if options.step is not None:
        before, began = _peak(), time.monotonic()
        if options.step == "make":
            make(options.folder, options.models, options.samples)
        else:
            step(options.step, options.folder)
        print(json.dumps({"mb": _peak() - before, "seconds": time.monotonic() - began}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        measured = {}
        for name in STEPS:
            command = [sys.executable, "-m", "benchmarks.big_pack", "--step", name]
            command += ["--folder", str(folder), "--models", str(options.models)]
            command += ["--samples", str(options.samples)]
            if options.held_out is not None:
                command += ["--held-out", str(options.held_out)]
            measured[name] = json.loads(subprocess.check_output(command, text=True))
            print(name, measured[name], flush=True)
    rows = [(n, f"{m['mb']} MB", f"{m['seconds'] / 60:.1f} min") for n, m in measured.items()]
    print(table(("step", "memory", "time"), rows, ()))
    if options.json is not None:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
