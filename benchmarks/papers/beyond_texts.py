"""What goes beyond the paper as Markdown, from the report's JSON alone."""

from __future__ import annotations

from collections.abc import Sequence

from .cells import (
    Row,
    figure,
    groups,
    interval,
    models_of,
    p_value,
    signed,
    table,
)
from .paper_texts import pivot


def candidates(rows: Sequence[Row]) -> str:
    draws = max(row["draws"] for row in rows)
    cells = []
    for (method, images), inside in groups(rows, "method", "images"):
        by = {row["candidates"]: row for row in inside}
        cells.append(
            [
                method,
                str(images),
                *(f"{figure(r['top1'])} / {figure(r['top4'])}" for r in by.values()),
            ]
        )
    sizes = list(dict.fromkeys(row["candidates"] for row in rows))
    head = ["method", "images", *(f"{size} candidates" for size in sizes)]
    return f"Candidates drawn {draws} times. Cells: top-1 / top-4.\n\n{table(head, cells)}"


def specification_images(rows: Sequence[Row]) -> str:
    draws = max(row["draws"] for row in rows)
    note = f"So many of each fold's prompts, drawn {draws} times. Cells: top-1 / top-4.\n"
    return f"{note}\n{pivot('prompts', lambda n: f'{n} images')(rows)}"


_CALIBRATION = (
    *("models", "images", "calibration error", "conformal sets hold the right one", "wanted"),
    *("mean size of a set", "queries"),
)


def calibration(rows: Sequence[Row]) -> str:
    text = table(
        _CALIBRATION,
        [
            [
                str(row["models"]),
                str(row["images"]),
                figure(row["error"]),
                figure(row["coverage"]),
                figure(row["wanted_coverage"]),
                f"{row['set_size']:.1f} of {row['candidates']}",
                str(row["queries"]),
            ]
            for row in rows
        ],
    )
    return (
        "`learned`, folds pooled; temperature and conformal floor come from "
        "leave-one-prompt-out on each "
        f"fold's specifications. Error of the top-1 probability over ten equal-width "
        f"bins.\n\n{text}"
    )


def robustness(data: Row) -> str:
    rows = data["rows"]
    changes = list(dict.fromkeys(row["change"] for row in rows))
    lines = list(dict.fromkeys((row["method"], row["defence"]) for row in rows))
    by = {(r["method"], r["defence"], r["change"]): r for r in rows}
    names = [m if d == "none" else f"{m}: {d}" for m, d in lines]
    cells = [
        [change, *(f"{figure(by[m, d, change]['top1'])}" for m, d in lines)] for change in changes
    ]
    parts = [
        f"{models_of(rows[0]['models'])}, one image, top-1. Specifications come from the images "
        f"as they "
        "are, queries from changed copies.\n",
        table(["query image", *names], cells),
    ]
    shares = "; ".join(
        f"{name}: {', '.join(f'{share:g}' for share in chosen)}"
        for name, chosen in data["shares"].items()
    )
    parts.append(
        "*Defences.* *Borders trimmed*: plain bars are cut off the queries. *Known changes*: β "
        f"times the covariance of what some changes ({', '.join(data['known'])}) do to the "
        "features of other models' images, added to S ([method.md](method.md)). The program does "
        "both. The other defences get copies of half of the specification samples: *copies as "
        "samples* takes them for further samples; *differences in S* adds the covariance of "
        "(changed − as it is) to S; *of other models* learns it as *known changes* does, with a "
        "share that is "
        f"chosen. Copies are changed by {', '.join(data['copies'])}, which no query goes "
        "through. The share of S is chosen in each fold by leaving specification prompts out "
        f"({shares or 'no fold chose'}).\n"
    )
    fallen = [r for r in rows if r["method"] == "learned" and "fall" in r]
    headers = ["query image", "defence", "fall of top-1", "interval", "p"]
    parts.append("Against the same defence on the image as it is:\n")
    parts.append(
        table(
            headers,
            [
                [
                    r["change"],
                    r["defence"],
                    signed(-r["fall"]),
                    interval([-r["fall_ci"][1], -r["fall_ci"][0]]),
                    p_value(r["fall_p"]),
                ]
                for r in fallen
                if r["defence"] in ("none", "known changes, borders trimmed")
            ],
        )
    )
    return "\n".join(parts)
