"""Where the default method loses, in sentences: taken from the figures, not chosen by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Report = Mapping[str, Any]
Row = Mapping[str, Any]

#: Below these figures a promise is not kept.
WORST_FALL = 0.05
WORST_CALIBRATION = 0.05
#: What the project set out to reach: (models, images) → top-1, top-4.
TARGETS = {
    ("18 SD", 1): (0.60, 0.91),
    ("18 SD", 4): (0.86, None),
    ("all", 1): (0.42, 0.70),
    ("all", 4): (0.74, None),
}
#: Small changes that should cost little.
PROMISED = ("JPEG 70", "WebP 80", "shrunk to 256", "shrunk to 256 and back", "cropped by 5 %")
SIGNIFICANT = 0.05
#: The defence that the program has, by its name in :mod:`.defences`.
SHIPPED = "known changes, borders trimmed"


def lines(report: Report) -> list[str]:
    """One sentence for each kind of loss; says so if there is none."""
    found = [
        *_targets(report),
        *_methods(report),
        *_bounds(report),
        *_variants(report),
        *_specifications(report),
        *_calibration(report),
        *_changes(report),
    ]
    return found or ["Nowhere among these tables."]


def _targets(report: Report) -> Iterator[str]:
    for row in report.get("table1", {}).get("rows", ()):
        wanted = TARGETS.get((row["models"], row["images"]))
        if row["method"] != "learned" or wanted is None:
            continue
        for name, key, value in zip(("top-1", "top-4"), ("top1", "top4"), wanted, strict=True):
            if value is not None and round(row[key], 3) < value:
                yield (
                    f"{row['candidates']} models, {_images(row['images'])}: {name} is "
                    f"{row[key]:.3f}; we set out to reach {value:.2f}."
                )


def _methods(report: Report) -> Iterator[str]:
    """Any method that is better, or not significantly worse."""
    for row in report.get("table1", {}).get("differences", ()):
        if row["kind"] != "method":
            continue
        where = f"{row['models']}, {_images(row['images'])}, prompt {row['prompt']}"
        for name, key, sign in (
            ("top-1", "top1", 1),
            ("top-4", "top4", 1),
            ("mean rank", "rank", -1),
        ):
            if sign * row[key] <= 0:
                yield f"`{row['against']}` is as good or better in {name} ({where})."
            elif row[f"{key}_p_holm"] > SIGNIFICANT:
                yield (
                    f"The lead over `{row['against']}` in {name} ({where}) is not significant "
                    f"(p = {row[f'{key}_p_holm']:.2f})."
                )


def _bounds(report: Report) -> Iterator[str]:
    for row in report.get("table1", {}).get("differences", ()):
        if row["kind"] == "upper bound" and row["top1"] < 0 and "mcnemar_p" in row:
            yield (
                f"{row['models']}, one image: {-row['top1']:.3f} of top-1 remain to the bound "
                f"“{row['against'].removesuffix(' (upper bound)')}”."
            )


def _variants(report: Report) -> Iterator[str]:
    rows: Sequence[Row] = report.get("table2", ())
    for row in rows[1:]:
        gain = row["top1_1"] - rows[0]["top1_1"]
        if gain > 0:
            yield (
                f"The default kernel is {gain:.3f} worse in top-1 than the variant "
                f"“{row['variant']}”."
            )


def _specifications(report: Report) -> Iterator[str]:
    """Sizes and splits at which an older method is better."""
    for section, label, text in (
        ("table5", "split", "specifications from split"),
        ("table6", "size", "a reduced set of"),
        ("specification_images", "prompts", "specification images:"),
    ):
        rows = report.get(section, ())
        ours = {
            (r["models"], r["images"], r[label]): r["top1"]
            for r in rows
            if r["method"] == "learned"
        }
        beaten: dict[tuple[Any, ...], tuple[float, str]] = {}
        for row in rows:
            key = (row["models"], row["images"], row[label])
            if row["method"] != "learned" and row["top1"] >= ours.get(key, 1.0):
                beaten[key] = max(beaten.get(key, (0.0, "")), (row["top1"], row["method"]))
        for (models, images, value), (rate, method) in beaten.items():
            shown = value + 1 if label == "split" else value
            yield (
                f"{models}, {_images(images)}, {text} {shown}: `{method}` finds {rate:.3f}, "
                f"`learned` {ours[models, images, value]:.3f}."
            )
    for row in report.get("table7", ()):
        if row["method"] == "learned" and row["all shared"] - row["all own"] > WORST_FALL:
            yield (
                f"{row['models']}: with own prompts for everybody ({row['own prompts']}) top-1 "
                f"falls "
                f"from {row['all shared']:.3f} to {row['all own']:.3f}."
            )


def _calibration(report: Report) -> Iterator[str]:
    for row in report.get("calibration", ()):
        where = f"{row['models']}, {_images(row['images'])}"
        if row["error"] > WORST_CALIBRATION:
            yield f"{where}: the calibration error is {row['error']:.3f}."
        if row["coverage"] < row["wanted_coverage"]:
            yield (
                f"{where}: conformal sets hold the right model in {row['coverage']:.3f} of the "
                f"queries; {row['wanted_coverage']:.2f} are promised."
            )


def _changes(report: Report) -> Iterator[str]:
    """Of the kernel that ships, where it was measured; of the undefended one otherwise."""
    rows = report.get("robustness", {}).get("rows", ())
    defences = {row["defence"] for row in rows if row["method"] == "learned"}
    shipped = SHIPPED if SHIPPED in defences else "none"
    learned = [r for r in rows if r["method"] == "learned" and r["defence"] == shipped]
    for row in learned:
        if row.get("fall", 0.0) > WORST_FALL:
            promise = f", more than the {WORST_FALL:.2f} that we set out for"
            yield (
                f"{row['change']} costs {row['fall']:.3f} of top-1"
                f"{promise if row['change'] in PROMISED else ''}."
            )
    paper = {r["change"]: r["top1"] for r in rows if r["method"] == "weighted-rkme"}
    for row in learned:
        known = paper.get(row["change"])
        if known is not None and known >= row["top1"]:
            yield (
                f"{row['change']}: `weighted-rkme` finds {known:.3f}, `learned` {row['top1']:.3f}."
            )


def _images(count: int) -> str:
    return "one image" if count == 1 else f"{count} images"
