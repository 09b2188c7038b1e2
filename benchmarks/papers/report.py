"""The whole report: every section in one run, as JSON that the figures and pages are made of."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lib_gmi.base.files import write_atomic
from lib_gmi.encoders import registry
from lib_gmi.ranking.methods import PIXELS

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


#: Computed by the same process: they share score tables.
_TOGETHER = ("table1", "table4", "fig6", "calibration")


@dataclass(frozen=True)
class Computed:
    """Some sections.

    Attributes:
        found: JSON-ready, by section.
        seconds: that each took.
        chosen: hyperparameters of each group and fold, by group, where they were chosen.
    """

    found: dict[str, Any]
    seconds: dict[str, float]
    chosen: dict[str, Any]


def run(bench: Bench, command: str, sections: Sequence[str] = ()) -> dict[str, Any]:
    """Compute sections, all by default; in several processes if the bench may have them.

    Args:
        bench: where the images come from.
        command: that the page names.
        sections: names out of :data:`SECTIONS`.
    """
    started, cpu = time.monotonic(), _processor_time()
    names = [name for name in SECTIONS if not sections or name in sections]
    alone = len(names) < 2 or bench.features.jobs < 2
    try:
        parts = [compute(bench, names)] if alone else _in_processes(bench, names)
    finally:
        bench.features.close()
    found: dict[str, Any] = {}
    tuned: dict[str, Any] = {}
    for part in parts:
        found |= part.found
        tuned |= part.chosen
    for name, seconds in ((n, s) for part in parts for n, s in part.seconds.items()):
        print(f"{name}: {seconds:.0f} s", file=sys.stderr)
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
    return {"about": about, **{name: found[name] for name in names}}


def compute(bench: Bench, names: Sequence[str]) -> Computed:
    """Sections by name, in this process."""
    found, seconds = {}, {}
    for name in names:
        before = time.monotonic()
        found[name] = rounded(SECTIONS[name](bench))
        seconds[name] = time.monotonic() - before
    chosen = {
        name: [[p.shrinkage, p.attention, p.pull] for p in group.tuned.params]
        for name, group in ((n, bench.group(n)) for n in bench.rows)
        if group.tuned is not None
    }
    return Computed(found, seconds, chosen)


def _in_processes(bench: Bench, names: Sequence[str]) -> list[Computed]:
    """The longest part first, beside the encoding that only the last sections need."""
    features = bench.features

    def submit(*some: str) -> Future[Computed]:
        place = (features.folder, features.cache, bench.encoder, bench.draws)
        return features.submit(_computed, *place, some)

    if "table1" in names:
        features.begin(PIXELS, [AS_IT_IS])
    features.begin(bench.encoder, [AS_IT_IS])
    features.finish()
    together = [name for name in _TOGETHER if name in names]
    tasks = [submit(*together)] if together else []
    if "robustness" in names:
        robust.begin(bench)
        features.finish()
    tasks += [submit(name) for name in reversed(names) if name not in together]
    return [task.result() for task in tasks]


def _computed(
    folder: Path, cache: Path, encoder: str, draws: int, names: Sequence[str]
) -> Computed:
    """:func:`compute` in a process of the pool."""
    return compute(Bench(folder, cache, encoder, draws, quiet=True), names)


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
