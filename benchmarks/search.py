"""Content-based search: the four scores by kind of query, model as query, and speed.

    python -m benchmarks.search PATH [--json OUT] [--looks FILE] [--sketch-looks FILE] [--no-speed]

PATH is a folder with images/<model>/<prompt id>.jpg, prompts.json and models.json. The definitions
are those of Lu et al. (arXiv 2210.03116): an answer is relevant if it shares a tag with the query;
mean average precision, and how often one of the first 1 and 5 answers is relevant.

Every model of the folder made the same prompts, so no model has a tag of its own. The collections
that are ranked are therefore those that a user with specialised models would have: the images that
one of six groups of models made of one prompt, nine or so. Their tags are the words of the prompt's
id ("cute-robot": cute, robot). Queries come from the seventh group, which is in no collection: its
images, their edge maps as sketches, its own collections as models; and the tags as texts. κ is
chosen for each prompt (or tag) by the queries of the others.

The search over a folder (``gmi search --samples``) is asked for each tag, and for all words of each
prompt's id, among all images; precision is the share of relevant ones among the first ten. Once the
files say nothing of their prompts, once they say what they were made from.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.dataset import five_folds
from benchmarks.text_image import read_looks
from lib_gmi.base.errors import GMIError
from lib_gmi.base.vectors import unit
from lib_gmi.cli.tables import table
from lib_gmi.encoders import labels
from lib_gmi.encoders.sketches import edge_map
from lib_gmi.hosts.folder import FolderHost
from lib_gmi.library.embedded import embedded_library
from lib_gmi.ranking.fitted import open_fitted
from lib_gmi.ranking.kernels import LearnedKernel, Params
from lib_gmi.ranking.stack import Stack
from lib_gmi.search.content import Statistics, monte_carlo, product_of_experts
from lib_gmi.search.prompt_words import PromptWords
from lib_gmi.search.vectors import Approximate, largest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lib_gmi.ranking.rkme import BoolArray
    from lib_gmi.records.protocols import FloatArray

#: Hits that are judged.
FIRST = 10
KAPPAS = (3.0, 10.0, 30.0, 100.0)
#: All scores of the paper; searches have the first and the last, which measured best.
SCORES = ("monte-carlo", "first-moment", "two-moments", "density")
GROUPS = 7
#: Words of prompt ids that are no tags.
_NO_TAGS = frozenset(("a", "and", "in", "of", "on", "the", "with", "sd", "next", "404"))
#: Of the speed test.
ROWS, DIM, CENTRES, NOISE = 1_000_000, 512, 5000, 0.7

Row = dict[str, Any]


class Collections:
    """What one group of models made of one prompt.

    Args:
        vectors: of the images, ``[n, d]``.
        drawn: of their edge maps, ``[n, d]``.
        truth: their prompts' numbers, ``[n]``.
        models: their models' numbers, ``[n]``.
        tags: of each prompt.
    """

    def __init__(
        self,
        vectors: FloatArray,
        drawn: FloatArray,
        truth: NDArray[np.int64],
        models: NDArray[np.int64],
        tags: Sequence[frozenset[str]],
    ) -> None:
        self.vectors, self.drawn, self.truth = vectors, drawn, truth
        self.group = models % GROUPS
        self.tags = tags
        self.prompts = np.asarray([p for g in range(1, GROUPS) for p in range(len(tags))])
        self.held_out = np.flatnonzero(self.group == 0)
        self.pictures = self._gather(vectors)
        self.drawings = self._gather(drawn)

    def _gather(self, vectors: FloatArray) -> list[FloatArray]:
        return [
            vectors[(self.group == g) & (self.truth == p)]
            for g in range(1, GROUPS)
            for p in range(len(self.tags))
        ]

    def relevant(self, wanted: frozenset[str]) -> BoolArray:
        """Which collections share a tag."""
        return np.asarray([bool(self.tags[p] & wanted) for p in self.prompts])


def tags_of(prompt_id: str) -> frozenset[str]:
    """The words of a prompt's id."""
    return frozenset(prompt_id.lower().split("-")) - _NO_TAGS


def judge(scores: FloatArray, relevant: BoolArray) -> tuple[float, float, float]:
    """Average precision, and whether one of the first 1 and 5 is relevant; ties count against."""
    order = np.lexsort((relevant, -scores))
    hits = relevant[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()), float(hits[0]), float(hits[:5].any())


def first_moment(statistics: Statistics, query: FloatArray, kappa: float) -> FloatArray:
    """κ μᵀs, ``[M]``, for a unit vector ``[d]``."""
    return np.asarray(kappa * (statistics.means @ query), dtype=np.float32)


def two_moments(statistics: Statistics, query: FloatArray, kappa: float) -> FloatArray:
    """κ μᵀs + κ²/2 sᵀΣs, ``[M]``: the expectation of exp(κ hᵀs) if samples h were normal."""
    spread = np.square(statistics.factors @ query).sum(axis=1)
    spread += statistics.floors * float(query @ query)
    first = first_moment(statistics, query, kappa)
    return np.asarray(first + kappa**2 / 2 * spread, dtype=np.float32)


def log_scores(groups: Sequence[FloatArray]) -> Callable[[str, FloatArray, float], FloatArray]:
    """(score, query vectors, κ) → log scores ``[M]``, the mean over the vectors."""
    statistics = Statistics.of(groups)
    everything = np.concatenate(groups)
    starts = np.cumsum([0, *[len(rows) for rows in groups[:-1]]])

    def one(name: str, query: FloatArray, kappa: float) -> FloatArray:
        if name == "monte-carlo":
            return monte_carlo(everything @ query, starts, kappa)
        if name == "first-moment":
            return first_moment(statistics, query, kappa)
        if name == "two-moments":
            return two_moments(statistics, query, kappa)
        return statistics.density(query)

    def all_of(name: str, queries: FloatArray, kappa: float) -> FloatArray:
        return np.asarray(np.mean([one(name, query, kappa) for query in queries], axis=0))

    return all_of


Asked = tuple["FloatArray", "BoolArray", Any]


def by_score(kind: str, groups: Sequence[FloatArray], asked: Sequence[Asked]) -> list[Row]:
    """A row for each score.

    Args:
        kind: of query.
        groups: vectors of the collections.
        asked: of each query its vectors, what is relevant, and what it has in common with others
            that κ must not be chosen by.
    """
    scores = log_scores(groups)
    marks = np.asarray([mark for _, _, mark in asked])
    rows = []
    for name in SCORES:
        found = np.asarray(
            [[judge(scores(name, v, k), relevant) for k in KAPPAS] for v, relevant, _ in asked]
        )  # [queries, κ, 3]
        chosen = np.empty((len(asked), 3))
        kappas = []
        for mark in np.unique(marks):
            own = marks == mark
            best = int(np.argmax(found[~own, :, 0].mean(axis=0)))
            chosen[own] = found[own, best]
            kappas.append(KAPPAS[best])
        precision, first, five = chosen.mean(axis=0).tolist()
        usual = max(set(kappas), key=kappas.count)
        row = {"query": kind, "score": name, "map": precision, "top1": first, "top5": five}
        kappa = None if name in ("density", "first-moment") else usual
        rows.append({**row, "kappa": kappa, "queries": len(asked)})
    return rows


def content(collections: Collections, words: FloatArray, names: Sequence[str]) -> list[Row]:
    """The table of scores by kind of query."""
    own = collections
    images: list[Asked] = []
    sketches: list[Asked] = []
    for row in own.held_out:
        prompt = int(own.truth[row])
        relevant = own.relevant(own.tags[prompt])
        images.append((own.vectors[row : row + 1], relevant, prompt))
        sketches.append((own.drawn[row : row + 1], relevant, prompt))
    texts = [
        (words[number : number + 1], own.relevant(frozenset((name,))), name)
        for number, name in enumerate(names)
    ]
    models: list[Asked] = []
    for prompt in range(len(own.tags)):
        held = (own.group == 0) & (own.truth == prompt)
        models.append((own.vectors[held], own.relevant(own.tags[prompt]), prompt))
    rows = by_score("text (a tag)", own.pictures, texts)
    rows += by_score("image", own.pictures, images)
    rows += by_score("sketch, compared with pictures", own.pictures, sketches)
    rows += by_score("sketch, compared with line drawings", own.drawings, sketches)
    rows += by_score("model (its images of one prompt)", own.pictures, models)
    chance = float(np.mean([relevant.mean() for _, relevant, _ in images]))
    return [*rows, {"query": "image or sketch", "score": "chance", "map": chance}]


def in_a_folder(
    vectors: FloatArray,
    truth: NDArray[np.int64],
    tags: Sequence[frozenset[str]],
    prompts: Sequence[str],
    encode: Callable[[Sequence[str]], FloatArray],
) -> list[Row]:
    """Precision among the first ten of a folder's images, prompts withheld and given.

    Args:
        vectors: of the images, ``[n, d]``.
        truth: their prompts' numbers, ``[n]``.
        tags: of each prompt.
        prompts: the texts.
        encode: texts → vectors.
    """
    said = PromptWords([prompts[number] for number in truth])
    single = sorted(frozenset().union(*tags))
    asked = {
        "a tag": [(name, frozenset((name,))) for name in single],
        "the words of a prompt's id": [(" ".join(sorted(own)), own) for own in tags],
    }
    rows = []
    for kind, queries in asked.items():
        known = encode([text for text, _ in queries])
        found: dict[str, list[float]] = {"withheld": [], "given": []}
        shares = []
        for (text, wanted), vector in zip(queries, known, strict=True):
            relevant = np.asarray([wanted <= tags[number] for number in truth])
            shares.append(float(relevant.mean()))
            scores = vectors @ vector
            for name, own in (("withheld", scores), ("given", scores + said.scores(text))):
                # of equal scores the irrelevant come first
                first = np.lexsort((relevant, -own))[:FIRST]
                found[name].append(float(relevant[first].mean()))
        for name, precisions in found.items():
            row = {"query": kind, "prompts": name, "precision@10": float(np.mean(precisions))}
            rows.append({**row, "queries": len(queries), "chance": float(np.mean(shares))})
    return rows


def which_model(
    stack: Stack, vectors: FloatArray, truth: NDArray[np.int64], models: NDArray[np.int64]
) -> list[Row]:
    """Which model made this image: the four scores, and the learned kernel beside them.

    Five folds of prompts, as in ``benchmarks.accuracy``; κ is 10.
    """
    both = "learned + density"
    ranks: dict[str, list[int]] = {name: [] for name in (*SCORES, "learned", both)}
    count = len(stack.candidates)
    for split in five_folds(len(stack.prompt_ids)):
        specs = [vectors[(models == m) & np.isin(truth, split.specs)] for m in range(count)]
        scores = log_scores(specs)
        kernel = LearnedKernel.fit(stack.with_prompts(split.specs), None, Params())
        for column in split.queries:
            there = np.flatnonzero(stack.mask[:, column])
            learned = -kernel.scores(stack.features[there, column], None)
            for place, model in enumerate(there):
                query = vectors[(models == model) & (truth == column)]
                for name in SCORES:
                    found = scores(name, query, 10.0)
                    ranks[name].append(int((found >= found[model]).sum()))
                experts = [(learned[place], 1.0), (scores("density", query, 10.0), 1.0)]
                found = product_of_experts(experts)
                ranks[both].append(int((found >= found[model]).sum()))
                ranks["learned"].append(int((learned[place] >= learned[place, model]).sum()))
    rows = []
    for name, own in ranks.items():
        array = np.asarray(own)
        top1, top4 = float((array <= 1).mean()), float((array <= 4).mean())
        rows.append({"score": name, "top1": top1, "top4": top4, "queries": len(own)})
    return rows


def families(stack: Stack, vectors: Sequence[FloatArray], family: Sequence[str]) -> list[Row]:
    """How often a model's nearest neighbours are of its family, for models that have relatives."""
    names = np.asarray(family)
    same = (names[:, None] == names[None]) & ~np.eye(len(names), dtype=bool)
    rows = np.flatnonzero(same.any(axis=1))
    chance = float(same[rows].sum() / (len(rows) * (len(names) - 1)))
    places = unit(LearnedKernel.fit(stack, None, Params()).candidates)
    means = unit(np.stack([own.mean(axis=0) for own in vectors]))
    found = []
    for name, cosines in (("learned kernel", places @ places.T), ("content", means @ means.T)):
        np.fill_diagonal(cosines, -np.inf)
        order = np.argsort(-cosines, axis=1)[rows]
        hits = np.take_along_axis(same[rows], order, axis=1)
        nearest, three = float(hits[:, 0].mean()), float(hits[:, :3].mean())
        row: Row = {"space": name, "nearest": nearest, "three": three, "chance": chance}
        found.append({**row, "ratio": three / chance, "models": len(rows)})
    return found


def speed(rows: int = ROWS) -> list[Row]:
    """Exact search against a bare product, and faiss against exact search.

    The vectors are made up, and clustered as embeddings of images are: around 5,000 centres, with
    noise of 0.7 of their length. Without clusters no approximate index could be both fast and good.
    Queries are rows of the same kind that are not in the index.
    """
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((CENTRES, DIM)).astype(np.float32))
    queries = _clustered(rng, centres, 100)
    matrix = np.empty((rows, DIM), dtype=np.float32)
    for start in range(0, rows, 50_000):
        stop = min(rows, start + 50_000)
        matrix[start:stop] = _clustered(rng, centres, stop - start)

    def exact(query: FloatArray, count: int) -> NDArray[np.int64]:
        return largest(matrix @ query, count)

    few = queries[:10]
    bare, searched = [], []
    for query in few:  # in turn, so that both see the same machine
        bare.append(_timed(matrix.dot, query))
        searched.append(_timed(exact, query, 10))
    before = time.perf_counter()
    index = Approximate.build(matrix)
    built = time.perf_counter() - before
    quick, recalled = [], []
    for query in queries:
        quick.append(_timed(index.nearest, query, 10))
        recalled.append(len(set(index.nearest(query, 10)[0]) & set(exact(query, 10))) / 10)
    median = float(np.median(searched))
    return [
        {"what": "bare product", "seconds": float(np.median(bare)), "recall": 1.0},
        {"what": "exact search", "seconds": median, "recall": 1.0},
        {
            "what": "faiss",
            "seconds": float(np.median(quick)),
            "recall": float(np.mean(recalled)),
            "build": built,
        },
    ]


def _clustered(rng: np.random.Generator, centres: FloatArray, count: int) -> FloatArray:
    noise = unit(rng.standard_normal((count, DIM)).astype(np.float32))
    return unit(centres[rng.integers(len(centres), size=count)] + NOISE * noise)


def _timed(work: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def run(folder: Path, looks: Path | None, sketch_looks: Path | None) -> dict[str, list[Row]]:
    """Everything but speed."""
    space = labels.load()
    seen = read_looks(folder, looks)
    drawn = read_looks(folder, sketch_looks, edge_map)
    # images in the order of the pictures
    order = {pair: row for row, pair in enumerate(zip(drawn.candidates, drawn.truth, strict=True))}
    rows = [order[pair] for pair in zip(seen.candidates, seen.truth, strict=True)]
    host = FolderHost(folder)
    tags = [tags_of(prompt.id) for prompt in host.prompt_set.prompts]
    vectors = space.place(seen.looks)
    lines = space.place(drawn.looks)[rows]
    own = Collections(vectors, lines, seen.truth, seen.candidates, tags)
    names = sorted(frozenset().union(*tags))
    answer = {"content": content(own, space.encode_texts(names), names)}
    prompts = [prompt.text for prompt in host.prompt_set.prompts]
    answer["in a folder"] = in_a_folder(vectors, seen.truth, tags, prompts, space.encode_texts)
    answer |= _models(host, vectors, seen.truth, seen.candidates)
    return answer


def _models(
    host: FolderHost,
    vectors: FloatArray,
    truth: NDArray[np.int64],
    models: NDArray[np.int64],
) -> dict[str, list[Row]]:
    """By the embedded library's features, of which the folder's images are the source."""
    stack = open_fitted(embedded_library(), use_prior=False).stack
    candidates = {c.name: (number, c) for number, c in enumerate(host.list_checkpoints())}
    ids = list(host.prompt_set.ids)
    stack = stack.with_prompts([stack.prompt_ids.index(prompt) for prompt in ids])
    numbers = [candidates[c.title][0] for c in stack.candidates]
    family = [str(candidates[c.title][1].architecture) for c in stack.candidates]
    place = {number: row for row, number in enumerate(numbers)}
    kept = np.flatnonzero(np.isin(models, numbers))
    own = np.asarray([place[number] for number in models[kept]])
    each = [vectors[models == number] for number in numbers]
    return {
        "which model": which_model(stack, vectors[kept], truth[kept], own),
        "families": families(stack, each, family),
    }


def _print(answer: dict[str, list[Row]]) -> None:
    for name, rows in answer.items():
        headers = list(dict.fromkeys(key for row in rows for key in row))
        cells = [
            [
                "–"
                if (v := row.get(key)) is None
                else f"{v:.4g}"
                if isinstance(v, float)
                else str(v)
                for key in headers
            ]
            for row in rows
        ]
        print(f"\n{name}\n")
        print(table(headers, cells, shrink=[0]))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the rows as JSON")
    parser.add_argument("--looks", type=Path, metavar="FILE", help="keep what was seen (.npz)")
    parser.add_argument(
        "--sketch-looks", type=Path, metavar="FILE", help="and in the sketches (.npz)"
    )
    parser.add_argument("--no-speed", action="store_true", help="leave the speed test out")
    parser.add_argument("--rows", type=int, default=ROWS, help="of the speed test")
    arguments = parser.parse_args(argv)
    try:
        answer = run(arguments.folder, arguments.looks, arguments.sketch_looks)
        if not arguments.no_speed:
            answer["speed"] = speed(arguments.rows)
        _print(answer)
        if arguments.json:
            arguments.json.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    except (GMIError, OSError) as error:
        print(f"benchmarks.search: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
