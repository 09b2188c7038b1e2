"""The whole report: every section in one run, as JSON that the figures and pages are made of."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lib_gmi.encoders import registry
from lib_gmi.files import write_atomic
from lib_gmi.methods import PIXELS

from . import ablation, beyond, circle, figures, markdown, robust, tables
from .bench import Bench
from .changes import AS_IT_IS

#: In the order of the page; each is a subcommand as well.
SECTIONS: dict[str, Callable[[Bench], Any]] = {
    "table1": tables.table1,
    "table2": ablation.table2,
    "table4": tables.table4,
    "table5": tables.table5,
    "table6": tables.table6,
    "table7": tables.table7,
    "fig2": lambda bench: circle.run(),
    "fig6": tables.confusion,
    "fig7": ablation.robustness,
    "candidates": beyond.by_candidates,
    "specification_images": beyond.by_specification_images,
    "calibration": beyond.calibration,
    "robustness": robust.robustness,
}


def run(bench: Bench, command: str, sections: Sequence[str] = ()) -> dict[str, Any]:
    """Compute sections, all by default.

    Args:
        bench: where the images come from.
        command: that the page names.
        sections: names out of :data:`SECTIONS`.
    """
    started, cpu = time.monotonic(), _processor_time()
    found: dict[str, Any] = {}
    with _encoding(bench, sections or list(SECTIONS)):
        for name in sections or SECTIONS:
            before = time.monotonic()
            found[name] = rounded(SECTIONS[name](bench))
            print(f"{name}: {time.monotonic() - before:.0f} s", file=sys.stderr)
    tuned = {
        name: [[p.shrinkage, p.attention, p.pull] for p in group.tuned.params]
        for name, group in ((n, bench.group(n)) for n in bench.rows)
        if group.tuned is not None
    }
    about = {
        "command": command,
        "encoder": registry.info(bench.encoder).id,
        "models": {name: len(rows) for name, rows in bench.rows.items()},
        "prompts": len(bench.features.prompts),
        "splits": [len(bench.features.splits), len(bench.features.splits[0].specs)],
        "draws": bench.draws,
        "chosen": tuned,
        "run": {  # differs between runs; everything else is the same each time
            "seconds": round(time.monotonic() - started),
            "cpu_seconds": round(_processor_time() - cpu),
            "images_encoded": bench.features.encoded,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }
    return {"about": about, **found}


@contextmanager
def _encoding(bench: Bench, sections: Sequence[str]) -> Iterator[None]:
    """Encode in other processes while this one computes, on one core as each of them."""
    import torch

    threads = torch.get_num_threads()
    features = bench.features
    if features.jobs > 1:
        torch.set_num_threads(1)
        if "table1" in sections:
            features.begin(PIXELS, [AS_IT_IS])
        features.begin(bench.encoder, [AS_IT_IS])
        if "robustness" in sections:
            robust.begin(bench)
    try:
        yield
    finally:
        features.close()
        torch.set_num_threads(threads)


def _processor_time() -> float:
    """Seconds of this process and of those that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def write(report: Mapping[str, Any], out: Path) -> list[Path]:
    """Write ``<out>.json``, ``<out>.md`` and the figures in ``images/<name>/`` beside them."""
    images = out.parent / "images" / out.name
    drawn = figures.draw(report, images)
    page = markdown.page(report, [f"images/{out.name}/{name}" for name in drawn])
    paths = [out.with_suffix(".json"), out.with_suffix(".md")]
    write_atomic(paths[0], dumped(report))
    write_atomic(paths[1], page.encode())
    return paths


def dumped(report: Mapping[str, Any]) -> bytes:
    """JSON with a line for each row, so that people and diffs can read it."""
    return (_lines(report, 0) + "\n").encode()


def _lines(value: Any, depth: int) -> str:
    pad = " " * (depth + 1)
    if isinstance(value, Mapping) and depth < 2:
        items = (f"{json.dumps(k)}: {_lines(v, depth + 1)}" for k, v in value.items())
        return "{\n" + ",\n".join(pad + item for item in items) + f"\n{pad[1:]}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        inside = (json.dumps(item, ensure_ascii=False) for item in value)
        return "[\n" + ",\n".join(pad + item for item in inside) + f"\n{pad[1:]}]"
    return json.dumps(value, ensure_ascii=False)


def rounded(value: Any) -> Any:
    """JSON-ready, numbers with five significant digits: more are noise, and bulk."""
    if isinstance(value, Mapping):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        return float(f"{number:.5g}") if np.isfinite(number) else None
    return value
