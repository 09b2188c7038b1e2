"""The report as a page, from its JSON alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import beyond_texts, losses, paper_texts
from .cells import Row

Report = Mapping[str, Any]


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


#: Section → heading and text.
SECTIONS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "table1": ("Table 1 and Fig. 3: finding the right model", paper_texts.table1),
    "table2": ("Table 2: the parts of the learned kernel", paper_texts.table2),
    "table4": ("Table 4: one to five images", paper_texts.table4),
    "table5": ("Table 5: specifications from a third of the prompts", paper_texts.table5),
    "table6": ("Table 6: reduced sets", paper_texts.table6),
    "table7": ("Table 7: developer-provided prompts", paper_texts.table7),
    "fig2": ("Fig. 2: Example 2.1", paper_texts.fig2),
    "fig6": ("Fig. 6: who is taken for whom", paper_texts.fig6),
    "fig7": ("Fig. 7: γ, λ and τ", paper_texts.fig7),
    "candidates": ("More candidates", beyond_texts.candidates),
    "specification_images": ("More specification images", beyond_texts.specification_images),
    "calibration": ("Probabilities and conformal sets", beyond_texts.calibration),
    "robustness": ("What people do to images", beyond_texts.robustness),
}
#: Figures of a section where they are not called like it.
PICTURES: dict[str, tuple[str, ...]] = {
    "table1": ("fig3",),
    "specification_images": ("specification-images",),
}
