"""The figures, drawn from the report's JSON: nothing is computed here. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib_gmi.base.errors import MissingExtraError

from . import bounds, circle
from .bench import TOPS
from .losses import SHIPPED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Report = Mapping[str, Any]

_COLOURS = {
    "learned": "#c0392b",
    "weighted-rkme": "#2c6fbb",
    "rkme-clip": "#3f9b5d",
    "rkme-concat": "#8e6bbd",
    "rkme-basic": "#b08a3c",
    "download": "#888888",
    "random": "#bbbbbb",
}
_SHORT = {
    bounds.ONE_HOT: "one-hot weights",
    bounds.CENTROID: "same-prompt centroid (upper bound)",
    bounds.OWN_MEANS: "learned, own means (upper bound)",
}


def draw(report: Report, folder: Path) -> list[str]:
    """Draw every figure that the report has the data of, as PNG and SVG; returns their names.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    plt = _pyplot()
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, (section, make) in FIGURES.items():
        if not report.get(section):
            continue
        figure = make(plt, report[section])
        for suffix in ("png", "svg"):
            metadata = {"Date": None} if suffix == "svg" else {"Software": None}
            path = folder / f"{name}.{suffix}"
            figure.savefig(path, dpi=100, bbox_inches="tight", metadata=metadata)
        plt.close(figure)
        drawn.append(name)
    return drawn


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError(
            'Figures need matplotlib: pip install matplotlib (the extra "bench").'
        ) from None
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    style: Any = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
        "svg.hashsalt": "gmi",  # the same figure is the same file
    }
    mpl.rcParams.update(style)
    return plt


def _fig2(plt: Any, data: Mapping[str, float]) -> Figure:
    """Example 2.1: what the two generators draw, and how often each score tells them apart."""
    figure: Figure
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8))
    half = (np.arange(20) + 0.5) / 20
    prompts = np.concatenate([-half[::-1], half]).astype(np.float32)
    for generator, axis in enumerate(axes[:2]):
        points = circle.image(generator, prompts)
        shown = axis.scatter(*points.T, c=prompts, cmap="coolwarm", s=18)
        axis.set_title(f"images of generator {generator + 1}", fontsize=9)
        axis.set_aspect("equal")
    figure.colorbar(shown, ax=axes[1], label="p")
    names = [name.replace(" (", "\n(") for name in data]
    axes[2].bar(names, list(data.values()), color=["#3f9b5d", "#2c6fbb"])
    axes[2].set(title="p ∈ U(−.5, 0), ties are failures", ylabel="found", ylim=(0, 1.05))
    return figure


def _fig3(plt: Any, data: Mapping[str, Any]) -> Figure:
    """Top-1 to top-8 with one image."""
    rows = [row for row in data["rows"] if row["images"] == 1]
    groups = list(dict.fromkeys(row["models"] for row in rows))
    figure: Figure
    figure, axes = plt.subplots(1, len(groups), figsize=(4.2 * len(groups) + 2, 3.6), squeeze=False)
    for axis, group in zip(axes[0], groups, strict=True):
        for row in rows:
            if row["models"] != group or row["prompt"] == "guessed":
                continue
            upper = row["kind"] == "upper bound"
            colour = _COLOURS.get(row["method"], "#999999")
            line = ":" if row["kind"] == "bound" else "--" if upper else "-"
            name = _SHORT.get(row["method"], row["method"])
            colour = "#333333" if row["method"] == bounds.OWN_MEANS else colour
            values = [row[f"top{k}"] for k in TOPS]
            axis.plot(list(TOPS), values, line, color=colour, label=name, marker=".")
        candidates = next(row["candidates"] for row in rows if row["models"] == group)
        axis.set(title=f"{candidates} models, one image", xlabel="k", ylim=(0, 1.02))
        axis.set_ylabel("right model among the first k")
    names = axes[0][0].get_legend_handles_labels()
    figure.legend(*names, fontsize=7.5, loc="outside right center")
    return figure


def _curves(
    plt: Any, rows: Sequence[Mapping[str, Any]], x: str, label: str, panel: Callable[[Any], str]
) -> Figure:
    """Top-1 against something, one panel for each kind of row, one line for each method."""
    panels = list(dict.fromkeys(panel(row) for row in rows))
    figure: Figure
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3), squeeze=False)
    for axis, title in zip(axes[0], panels, strict=True):
        inside = [row for row in rows if panel(row) == title]
        for method in dict.fromkeys(row["method"] for row in inside):
            line = [row for row in inside if row["method"] == method]
            values = [row["top1"] for row in line]
            error = None
            if "ci_prompts" in line[0]:
                ends = np.asarray([row["ci_prompts"]["top1"] for row in line]).T
                error = np.abs(ends - values)
            elif "top1_deviation" in line[0]:
                error = [row["top1_deviation"] for row in line]
            places = [row[x] for row in line]
            style = {"color": _COLOURS.get(method), "marker": "o", "ms": 3, "capsize": 2}
            axis.errorbar(places, values, error, label=method, **style)
        axis.set(title=title, xlabel=label, ylabel="top-1", ylim=(0, 1.02))
    axes[0][0].legend(fontsize=7)
    return figure


def _by_models(row: Mapping[str, Any]) -> str:
    return f"{row['models']} models"


def _by_models_and_images(row: Mapping[str, Any]) -> str:
    return f"{row['models']}, {row['images']} image{'s' if row['images'] > 1 else ''}"


def _by_images(row: Mapping[str, Any]) -> str:
    return f"{row['images']} image{'s' if row['images'] > 1 else ''}"


def _shortened(title: str) -> str:
    """Beginning and end: models of one maker differ in the end."""
    return title if len(title) <= 26 else f"{title[:11]}…{title[-14:]}"


def _fig6(plt: Any, data: Mapping[str, Any]) -> Figure:
    matrices = data["matrices"]
    short = [_shortened(title) for title in data["titles"]]
    figure: Figure
    size = max(3.0, 0.26 * len(short))
    figure, axes = plt.subplots(
        1, len(matrices), figsize=((size + 1) * len(matrices), size + 1.2), squeeze=False
    )
    for axis, (method, matrix) in zip(axes[0], matrices.items(), strict=True):
        axis.imshow(matrix, cmap="Reds", vmin=0, vmax=1)
        axis.grid(visible=False)
        axis.set_title(method)
        axis.set_xticks(range(len(short)), short, rotation=90, fontsize=6)
        axis.set_yticks(range(len(short)), short, fontsize=6)
        axis.set_xlabel("answer")
    axes[0][0].set_ylabel("made by")
    return figure


def _fig7(plt: Any, rows: Sequence[Mapping[str, Any]]) -> Figure:
    parameters = list(dict.fromkeys(row["parameter"] for row in rows))
    figure: Figure
    figure, axes = plt.subplots(1, len(parameters), figsize=(2.7 * len(parameters), 2.8))
    for axis, parameter in zip(np.atleast_1d(axes), parameters, strict=True):
        inside = [row for row in rows if row["parameter"] == parameter]
        for name in dict.fromkeys(row["variant"] for row in inside):
            line = [row for row in inside if row["variant"] == name]
            colour = _COLOURS.get(name.partition(",")[0])
            values = [row["value"] for row in line]
            axis.plot(values, [r["top1_1"] for r in line], "o-", ms=3, color=colour, label=name)
        axis.set(xscale="log", xlabel=parameter, ylim=(0, 1))
        axis.set_xticks(values, [f"{value:g}" for value in values], fontsize=7)
        axis.minorticks_off()
        axis.legend(fontsize=6.5)
    np.atleast_1d(axes)[0].set_ylabel("top-1, one image")
    return figure


def _calibration(plt: Any, rows: Sequence[Mapping[str, Any]]) -> Figure:
    figure: Figure
    figure, axes = plt.subplots(1, len(rows), figsize=(2.7 * len(rows), 2.8), squeeze=False)
    for axis, row in zip(axes[0], rows, strict=True):
        axis.plot([0, 1], [0, 1], color="#bbbbbb", lw=1)
        bins = row["bins"]
        sizes = [4 + 120 * b["queries"] / row["queries"] for b in bins]
        places = [b["probability"] for b in bins]
        axis.scatter(places, [b["right"] for b in bins], s=sizes, color=_COLOURS["learned"])
        axis.set_title(f"{_by_models_and_images(row)}: ECE {row['error']:.3f}", fontsize=8)
        axis.set(xlabel="probability of the first", xlim=(0, 1), ylim=(0, 1.02))
    axes[0][0].set_ylabel("how often it was right")
    return figure


def _robustness(plt: Any, data: Mapping[str, Any]) -> Figure:
    """The paper's score and ours, without its defences and with them; the table has the others."""
    rows = data["rows"]
    changes = list(dict.fromkeys(row["change"] for row in rows))
    lines = (
        ("weighted-rkme", "none", "weighted-rkme", _COLOURS["weighted-rkme"]),
        ("learned", "none", "learned, without defences", "#e5a79f"),
        ("learned", SHIPPED, "learned, as the program does it", _COLOURS["learned"]),
    )
    figure: Figure
    axis: Axes
    figure, axis = plt.subplots(figsize=(7.5, 0.34 * len(changes) + 1.2))
    found = {(r["method"], r["defence"], r["change"]): r["top1"] for r in rows}
    for place, change in enumerate(changes):
        keys = [("learned", defence, change) for defence in ("none", SHIPPED)]
        ends = [found[key] for key in keys if key in found]
        if len(ends) == 2:
            axis.plot(ends, [place, place], color="#e5a79f", lw=2, zorder=1)
    for method, defence, name, colour in lines:
        keys = [(method, defence, change) for change in changes]
        known = [(found[key], place) for place, key in enumerate(keys) if key in found]
        if known:
            axis.plot(*zip(*known, strict=True), "o", ms=6, color=colour, label=name)
    axis.set_yticks(range(len(changes)), changes)
    axis.invert_yaxis()
    axis.set(xlabel="top-1, one image", xlim=(0, None))
    figure.legend(fontsize=8, loc="outside upper center", ncols=3)
    return figure


#: Name → the section of the report, and what draws it.
FIGURES: dict[str, tuple[str, Callable[[Any, Any], Figure]]] = {
    "fig2": ("fig2", _fig2),
    "fig3": ("table1", _fig3),
    "table4": (
        "table4",
        lambda plt, rows: _curves(plt, rows, "images", "query images", _by_models),
    ),
    "table6": (
        "table6",
        lambda plt, rows: _curves(plt, rows, "size", "reduced set", _by_models_and_images),
    ),
    "fig6": ("fig6", _fig6),
    "fig7": ("fig7", _fig7),
    "candidates": (
        "candidates",
        lambda plt, rows: _curves(plt, rows, "candidates", "candidates", _by_images),
    ),
    "specification-images": (
        "specification_images",
        lambda plt, rows: _curves(
            plt, rows, "prompts", "specification images", _by_models_and_images
        ),
    ),
    "calibration": ("calibration", _calibration),
    "robustness": ("robustness", _robustness),
}
