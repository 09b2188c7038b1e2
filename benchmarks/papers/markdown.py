"""The report as a page: tables in Markdown, from the report's JSON alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import losses
from .bench import TOPS

Report = Mapping[str, Any]
Row = Mapping[str, Any]


def page(report: Report, figures: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
        report: of :func:`.report.run`.
        figures: paths of the figures relative to the page, without suffix.
    """
    drawn = {path.rpartition("/")[2]: path for path in figures}
    parts = [_head(report["about"])]
    for name, (title, text) in SECTIONS.items():
        if name not in report:
            continue
        parts.append(f"## {title}\n")
        parts.append(text(report[name]))
        parts += [
            f"![{title}]({drawn[figure]}.png)\n"
            for figure in PICTURES.get(name, (name,))
            if figure in drawn
        ]
    parts.append("## Where we lose\n")
    parts.append("\n".join(f"* {line}" for line in losses.lines(report)) + "\n")
    return "\n".join(parts)


def section(name: str, data: Any) -> str:
    """One section alone, as a subcommand prints it."""
    title, text = SECTIONS[name]
    return f"## {title}\n\n{text(data)}"


def figure(value: float) -> str:
    """A share as the page and the README write it: three digits, no leading zero."""
    text = f"{value:.3f}"
    return text.removeprefix("0") if 0 <= value < 1 else text


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{abs(value):.3f}".replace("0.", ".", 1)


def _interval(ends: Sequence[float], digits: int = 3) -> str:
    low, high = (f"{end:.{digits}f}".replace("-", "−") for end in ends)
    return f"{low} to {high}"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, with a newline at the end."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _head(about: Row) -> str:
    groups = " and ".join(f"{count} ({name})" for name, count in about["models"].items())
    folds, specs = about["splits"]
    split = (
        f"{folds} folds, {specs} of {about['prompts']} prompts build the specifications and the "
        "others are queries"
        if folds > 1
        else f"one split, {specs} prompts build the specifications"
    )
    cost = about["run"]
    minutes, cpu = cost["seconds"] / 60, cost["cpu_seconds"] / 60
    chosen = sorted({tuple(p) for params in about["chosen"].values() for p in params})
    params = "; ".join(f"λ = {s:g}, ρ = {a:g}, κ = {k:g}" for s, a, k in chosen)
    paragraphs = [
        "# Results",
        "This page was made by one command; do not edit it. What is not in it (speed, real "
        "hosts, the "
        "prior, which prompts first, packs) is in [results-more.md](results-more.md).",
        f"    {about['command']}",
        f"It took {minutes:.0f} minutes on the clock and {cpu:.0f} of processor time, and encoded "
        f"{cost['images_encoded']} images (those that were encoded before are read from the "
        f"cache). "
        "The figures are also in the JSON file of the same name.",
        f"Ranked: {groups} models. Protocol: {split}; no query's prompt is ever in a "
        f"specification. "
        "Every method is fitted on the ranked models alone, without the prior. Ties count "
        "against the "
        "method. With several images: every subset of a model's and fold's queries where there "
        "are at "
        f"most 20, else 20 drawn. Encoder: `{about['encoder']}`.",
        "Hyperparameters and temperatures of `learned` are chosen by leave-one-prompt-out on the "
        "specifications of each fold in Tables 1 and 4, Fig. 6 and the calibration"
        f"{f' ({params})' if params else ''}; everywhere else it runs with its defaults, and "
        f"nothing "
        "is tuned.",
        f"Intervals hold 95 %. *Over tasks* takes tasks for independent (bootstrap, "
        f"{about['draws']} "
        "draws). *Over prompts* draws whole prompts with one image, and leaves them out one by one "
        "(jackknife) with several: the more honest one, because images of one prompt are alike.",
        "The prompt of a query is *true* where the method is told it, *guessed* where it gets a "
        "pseudo-prompt made from the image alone (the mix of specification prompts whose images it "
        "resembles; no captioner), *none* where it sees the image only.",
    ]
    return "\n\n".join(paragraphs) + "\n"


_INTERVALS = (
    *("method", "prompt", "top-1 over tasks", "top-1 over prompts"),
    *("top-4 over prompts", "mean rank over prompts"),
)


def _table1(data: Row) -> str:
    parts = []
    for (models, images), rows in _groups(data["rows"], "models", "images"):
        count = rows[0]["candidates"]
        parts.append(f"**{_models(models, count)}, {_images(images)}**\n")
        parts.append(
            table(
                ["method", "prompt", *(f"top-{k}" for k in TOPS), "mean rank"],
                [
                    [
                        _name(row),
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
                        _name(row),
                        row["prompt"],
                        _interval(row["ci_tasks"]["top1"]),
                        _interval(row["ci_prompts"]["top1"]),
                        _interval(row["ci_prompts"]["top4"]),
                        _interval(row["ci_prompts"]["rank"], 2),
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
    for (models, images), inside in _groups(rows, "models", "images"):
        headers = ["against", "prompt", "top-1", "interval", "p", "top-4", "p", "mean rank", "p"]
        if images == 1:
            headers.append("McNemar p")
        cells = []
        for row in inside:
            line = [_name({**row, "method": row["against"]}), row["prompt"]]
            line += [_signed(row["top1"]), _interval(row["top1_ci"]), _p(row["top1_p_holm"])]
            line += [_signed(row["top4"]), _p(row["top4_p_holm"])]
            line += [f"{row['rank']:+.2f}".replace("-", "−"), _p(row["rank_p_holm"])]
            line += [_p(row["mcnemar_p"])] if "mcnemar_p" in row else []
            cells.append(line)
        parts.append(f"{_models(models)}, {_images(images)}:\n")
        parts.append(table(headers, cells))
    return "\n".join(parts)


def _table2(rows: Sequence[Row]) -> str:
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
    return f"{_models(rows[0]['models'])}.\n\n{text}\n{note}"


_FOUR = ("top1_1", "top4_1", "top1_4", "top4_4")


def _table4(rows: Sequence[Row]) -> str:
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
                _short(row["models"]),
                str(row["images"]),
                figure(row["top1"]),
                _interval(row["ci_prompts"]["top1"]),
                figure(row["top4"]),
                f"{row['rank']:.2f}",
                str(row["tasks"]),
            ]
            for row in rows
        ],
    )


def _pivot(label: str, title: Callable[[Any], str]) -> Callable[[Sequence[Row]], str]:
    """A table with the values of ``label`` as columns, top-1 / top-4 in the cells."""

    def text(rows: Sequence[Row]) -> str:
        values = sorted({row[label] for row in rows})
        cells = []
        for (method, models, images), inside in _groups(rows, "method", "models", "images"):
            by = {row[label]: f"{figure(row['top1'])} / {figure(row['top4'])}" for row in inside}
            head = [method, _short(models), str(images)]
            cells.append([*head, *(by.get(value, "") for value in values)])
        return table(["method", "models", "images", *map(title, values)], cells)

    return text


def _table5(rows: Sequence[Row]) -> str:
    note = "Every third prompt, starting at the first, second or third. Cells: top-1 / top-4.\n"
    return f"{note}\n{_pivot('split', lambda k: f'split {k + 1}')(rows)}"


def _table6(rows: Sequence[Row]) -> str:
    note = (
        "So many samples of each candidate, chosen by herding on its images and prompts together "
        "(each candidate keeps others). Cells: top-1 / top-4.\n"
    )
    return f"{note}\n{_pivot('size', str)(rows)}"


def _table7(rows: Sequence[Row]) -> str:
    if not rows:
        return "Too few prompts for this table.\n"
    keys = ("all shared", "mixed", "all own", "answers to own", "own found", "shared found")
    heads = ["all shared", "half own", "all own", "answers that go to the own half"]
    text = table(
        ["method", "models", "own prompts", *heads, "found: own half", "shared half"],
        [
            [
                row["method"],
                _short(row["models"]),
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


def _fig2(data: Mapping[str, float]) -> str:
    rows = [[name, figure(value)] for name, value in data.items()]
    return (
        "Two generators whose image distributions coincide. The paper's prompts, U(.5, 0), seem to "
        "have lost a minus: here p ∈ U(−.5, 0). Ties count as failures, so a score that cannot "
        "tell "
        f"them apart finds none.\n\n{table(['score', 'found'], rows)}"
    )


def _fig6(data: Row) -> str:
    parts = [f"{_models(data['models'])}, one image. The commonest confusions:\n"]
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


def _fig7(rows: Sequence[Row]) -> str:
    cells = []
    for (parameter, variant), inside in _groups(rows, "parameter", "variant"):
        values = [row["top1_1"] for row in inside]
        span = f"{inside[0]['value']:g} to {inside[-1]['value']:g}"
        best = max(inside, key=lambda row: float(row["top1_1"]))["value"]
        cells.append(
            [parameter, variant, span, figure(min(values)), figure(max(values)), f"{best:g}"]
        )
    headers = ["parameter", "method", "values", "lowest top-1", "highest top-1", "at"]
    return f"{_models(rows[0]['models'])}, one image.\n\n{table(headers, cells)}"


def _candidates(rows: Sequence[Row]) -> str:
    draws = max(row["draws"] for row in rows)
    cells = []
    for (method, images), inside in _groups(rows, "method", "images"):
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


def _specification_images(rows: Sequence[Row]) -> str:
    draws = max(row["draws"] for row in rows)
    note = f"So many of each fold's prompts, drawn {draws} times. Cells: top-1 / top-4.\n"
    return f"{note}\n{_pivot('prompts', lambda n: f'{n} images')(rows)}"


_CALIBRATION = (
    *("models", "images", "calibration error", "conformal sets hold the right one", "wanted"),
    *("mean size of a set", "queries"),
)


def _calibration(rows: Sequence[Row]) -> str:
    text = table(
        _CALIBRATION,
        [
            [
                _short(row["models"]),
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


def _robustness(data: Row) -> str:
    rows = data["rows"]
    changes = list(dict.fromkeys(row["change"] for row in rows))
    lines = list(dict.fromkeys((row["method"], row["defence"]) for row in rows))
    by = {(r["method"], r["defence"], r["change"]): r for r in rows}
    names = [m if d == "none" else f"{m}: {d}" for m, d in lines]
    cells = [
        [change, *(f"{figure(by[m, d, change]['top1'])}" for m, d in lines)] for change in changes
    ]
    parts = [
        f"{_models(rows[0]['models'])}, one image, top-1. Specifications come from the images "
        f"as they "
        "are, queries from changed copies.\n",
        table(["query image", *names], cells),
    ]
    shares = "; ".join(
        f"{name}: {', '.join(f'{share:g}' for share in chosen)}"
        for name, chosen in data["shares"].items()
    )
    parts.append(
        "*Defences.* *Borders trimmed*: plain bars are cut off the queries. The others get "
        "copies of "
        f"the specification samples, changed by {', '.join(data['copies'])} (none of them is a "
        "change that queries go through): *copies as samples* takes them for further samples; "
        "*differences in S* adds the covariance of (changed − as it is) to S, so that the "
        "kernel cares "
        "less for the directions in which such changes move an image; *of other models* learns "
        "these "
        "differences from models that are not ranked, which could ship with the encoder. Their "
        "share of "
        f"S is chosen in each fold by leaving specification prompts out "
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
                    _signed(-r["fall"]),
                    _interval([-r["fall_ci"][1], -r["fall_ci"][0]]),
                    _p(r["fall_p"]),
                ]
                for r in fallen
                if r["defence"] in ("none", "differences in S, borders trimmed")
            ],
        )
    )
    return "\n".join(parts)


def _groups(rows: Sequence[Row], *keys: str) -> list[tuple[tuple[Any, ...], list[Row]]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(found.items())


def _name(row: Row) -> str:
    name = str(row["method"])
    return f"*{name}*" if row.get("kind", "method") != "method" else name


def _images(count: int) -> str:
    return "one image" if count == 1 else f"{count} images"


def _models(name: str, count: int | None = None) -> str:
    if name == "all":
        return "All models" if count is None else f"All {count} models"
    return f"{name} models"


def _short(name: str) -> str:
    return str(name)


#: Section → heading and text.
SECTIONS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "table1": ("Table 1 and Fig. 3: finding the right model", _table1),
    "table2": ("Table 2: the parts of the learned kernel", _table2),
    "table4": ("Table 4: one to five images", _table4),
    "table5": ("Table 5: specifications from a third of the prompts", _table5),
    "table6": ("Table 6: reduced sets", _table6),
    "table7": ("Table 7: developer-provided prompts", _table7),
    "fig2": ("Fig. 2: Example 2.1", _fig2),
    "fig6": ("Fig. 6: who is taken for whom", _fig6),
    "fig7": ("Fig. 7: γ, λ and τ", _fig7),
    "candidates": ("More candidates", _candidates),
    "specification_images": ("More specification images", _specification_images),
    "calibration": ("Probabilities and conformal sets", _calibration),
    "robustness": ("What people do to images", _robustness),
}
#: Figures of a section where they are not called like it.
PICTURES: dict[str, tuple[str, ...]] = {
    "table1": ("fig3",),
    "specification_images": ("specification-images",),
}
