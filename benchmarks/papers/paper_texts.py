"""The paper's tables and figures as Markdown, from the report's JSON alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .bench import TOPS
from .cells import (
    Row,
    figure,
    groups,
    images_of,
    interval,
    models_of,
    name_of,
    p_value,
    signed,
    table,
)

_INTERVALS = (
    *("method", "prompt", "top-1 over tasks", "top-1 over prompts"),
    *("top-4 over prompts", "mean rank over prompts"),
)


def table1(data: Row) -> str:
    parts = []
    for (models, images), rows in groups(data["rows"], "models", "images"):
        count = rows[0]["candidates"]
        parts.append(f"**{models_of(models, count)}, {images_of(images)}**\n")
        parts.append(
            table(
                ["method", "prompt", *(f"top-{k}" for k in TOPS), "mean rank"],
                [
                    [
                        name_of(row),
                        row["prompt"],
                        *(figure(row[f"top{k}"]) for k in TOPS),
                        f"{row['rank']:.2f}",
                    ]
                    for row in rows
                ],
            )
        )
        parts.append(
            table(
                _INTERVALS,
                [
                    [
                        name_of(row),
                        row["prompt"],
                        interval(row["ci_tasks"]["top1"]),
                        interval(row["ci_prompts"]["top1"]),
                        interval(row["ci_prompts"]["top4"]),
                        interval(row["ci_prompts"]["rank"], 2),
                    ]
                    for row in rows
                    if "ci_tasks" in row
                ],
            )
        )
    known = (
        "`download` orders by the counts in `downloads.json`."
        if data["downloads_known"]
        else "`download` has no counts to go by here (there is no `downloads.json`), so it takes a "
        "fixed order; on a task with equally many queries of each model any order gives the same."
    )
    parts.append(
        f"{known} *Upper bounds* know what no real query can: the mean of all models' images of "
        f"the "
        "query's own prompt. With one image for each model and prompt the *same-prompt nearest "
        "centroid* is that mean plus what a model adds to any prompt, since its own image of the "
        "prompt is the query. `weighted-rkme` with the true prompt is the bound of what a "
        "captioner "
        "could give it.\n"
    )
    parts.append(_differences(data["differences"]))
    return "\n".join(parts)


def _differences(rows: Sequence[Row]) -> str:
    """Significance of each difference."""
    parts = [
        "**Differences: `learned` less the other**, paired by task. *p* is of the same "
        "resampling over "
        "prompts, two-sided, corrected by Holm's procedure over the lines of its table; "
        "McNemar's exact "
        "test is of top-1 and takes tasks for independent.\n"
    ]
    for (models, images), inside in groups(rows, "models", "images"):
        headers = ["against", "prompt", "top-1", "interval", "p", "top-4", "p", "mean rank", "p"]
        if images == 1:
            headers.append("McNemar p")
        cells = []
        for row in inside:
            line = [name_of({**row, "method": row["against"]}), row["prompt"]]
            line += [signed(row["top1"]), interval(row["top1_ci"]), p_value(row["top1_p_holm"])]
            line += [signed(row["top4"]), p_value(row["top4_p_holm"])]
            line += [f"{row['rank']:+.2f}".replace("-", "−"), p_value(row["rank_p_holm"])]
            line += [p_value(row["mcnemar_p"])] if "mcnemar_p" in row else []
            cells.append(line)
        parts.append(f"{models_of(models)}, {images_of(images)}:\n")
        parts.append(table(headers, cells))
    return "\n".join(parts)


def table2(rows: Sequence[Row]) -> str:
    text = table(
        ["learned kernel", "1 image: top-1", "top-4", "4 images: top-1", "top-4"],
        [
            [row["variant"], *(figure(row[key]) if key in row else "" for key in _FOUR)]
            for row in rows
        ],
    )
    note = (
        "With complete specifications and ρ = 0, taking the prompts' means away moves every "
        "candidate "
        "alike, so *centring* only acts through S (*without content in S*: S of prompt-centred "
        "residuals) and through ρ: with ρ = 1 a query is compared with samples of prompts like its "
        "own, found by image, text or both.\n"
    )
    return f"{models_of(rows[0]['models'])}.\n\n{text}\n{note}"


_FOUR = ("top1_1", "top4_1", "top1_4", "top4_4")


def table4(rows: Sequence[Row]) -> str:
    return table(
        [
            "method",
            "prompt",
            "models",
            "images",
            "top-1",
            "over prompts",
            "top-4",
            "mean rank",
            "tasks",
        ],
        [
            [
                row["method"],
                row["prompt"],
                str(row["models"]),
                str(row["images"]),
                figure(row["top1"]),
                interval(row["ci_prompts"]["top1"]),
                figure(row["top4"]),
                f"{row['rank']:.2f}",
                str(row["tasks"]),
            ]
            for row in rows
        ],
    )


def pivot(label: str, title: Callable[[Any], str]) -> Callable[[Sequence[Row]], str]:
    """A table with the values of ``label`` as columns, top-1 / top-4 in the cells."""

    def text(rows: Sequence[Row]) -> str:
        values = sorted({row[label] for row in rows})
        cells = []
        for (method, models, images), inside in groups(rows, "method", "models", "images"):
            by = {row[label]: f"{figure(row['top1'])} / {figure(row['top4'])}" for row in inside}
            head = [method, str(models), str(images)]
            cells.append([*head, *(by.get(value, "") for value in values)])
        return table(["method", "models", "images", *map(title, values)], cells)

    return text


def table5(rows: Sequence[Row]) -> str:
    note = "Every third prompt, starting at the first, second or third. Cells: top-1 / top-4.\n"
    return f"{note}\n{pivot('split', lambda k: f'split {k + 1}')(rows)}"


def table6(rows: Sequence[Row]) -> str:
    note = (
        "So many samples of each candidate, chosen by herding on its images and prompts together "
        "(each candidate keeps others). Cells: top-1 / top-4.\n"
    )
    return f"{note}\n{pivot('size', str)(rows)}"


def table7(rows: Sequence[Row]) -> str:
    if not rows:
        return "Too few prompts for this table.\n"
    keys = ("all shared", "mixed", "all own", "answers to own", "own found", "shared found")
    heads = ["all shared", "half own", "all own", "answers that go to the own half"]
    text = table(
        ["method", "models", "own prompts", *heads, "found: own half", "shared half"],
        [
            [
                row["method"],
                str(row["models"]),
                row["own prompts"],
                *(figure(row[k]) for k in keys),
            ]
            for row in rows
        ],
    )
    return (
        "Top-1, one image. Ten prompts for each candidate: the same ones for all, or ten of "
        "its own "
        "for half of them or for all. *Narrow*: the ten nearest to one of them by their text. Rows "
        f"with random and narrow prompts draw different shared ones.\n\n{text}"
    )


def fig2(data: Mapping[str, float]) -> str:
    rows = [[name, figure(value)] for name, value in data.items()]
    return (
        "Two generators whose image distributions coincide. The paper's prompts, U(.5, 0), seem to "
        "have lost a minus: here p ∈ U(−.5, 0). Ties count as failures, so a score that cannot "
        "tell "
        f"them apart finds none.\n\n{table(['score', 'found'], rows)}"
    )


def fig6(data: Row) -> str:
    parts = [f"{models_of(data['models'])}, one image. The commonest confusions:\n"]
    for method, matrix in data["matrices"].items():
        pairs = [
            (share, data["titles"][i], data["titles"][j])
            for i, row in enumerate(matrix)
            for j, share in enumerate(row)
            if i != j and share > 0
        ]
        worst = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:5]
        rows = [[a, b, figure(share)] for share, a, b in worst]
        parts.append(
            f"`{method}`:\n\n{table(['made by', 'taken for', 'share of its images'], rows)}"
        )
    return "\n".join(parts)


def fig7(rows: Sequence[Row]) -> str:
    cells = []
    for (parameter, variant), inside in groups(rows, "parameter", "variant"):
        values = [row["top1_1"] for row in inside]
        span = f"{inside[0]['value']:g} to {inside[-1]['value']:g}"
        best = max(inside, key=lambda row: float(row["top1_1"]))["value"]
        cells.append(
            [parameter, variant, span, figure(min(values)), figure(max(values)), f"{best:g}"]
        )
    headers = ["parameter", "method", "values", "lowest top-1", "highest top-1", "at"]
    return f"{models_of(rows[0]['models'])}, one image.\n\n{table(headers, cells)}"
