"""``gmi search`` and ``gmi index``: content-based search from the command line."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError
from ..base.text import neutral
from ..library.catalogue import Library
from ..search.query_text import weights, words
from .parts import EXIT_OK, EXIT_PARTLY, Bar, add_common, positive, print_json, say
from .tables import table

if TYPE_CHECKING:
    from ..search.checkpoints import Answer, Query, Searcher
    from ..search.find import Finding
    from ..search.index import Update


#: Files of a kind that are named where people read.
_NAMED = 20


def add_parsers(commands: Any) -> None:
    """Add both commands."""
    search = commands.add_parser(
        "search",
        help="search checkpoints, or samples, by what they show",
        description="Which checkpoint makes what you look for, or with --samples: which sample "
        "shows it. Text, images, a sketch, tags and a checkpoint may be given together. See "
        "docs/search.md.",
    )
    search.add_argument("text", nargs="*", metavar="TEXT", help="what to look for, in words")
    for name, text in (("image", "an example"), ("sketch", "a drawing")):
        search.add_argument(
            f"--{name}", action="append", default=[], type=Path, metavar="FILE", help=text
        )
    search.add_argument("--like", default="", metavar="CHECKPOINT", help="another checkpoint")
    search.add_argument("--tags", default="", metavar="A,B", help="words, separated by commas")
    search.add_argument("--all", action="store_true", help="all tags, not any of them")
    search.add_argument(
        "--weights", default="", metavar="PART=W,…", help="e.g. text=2,image=1,style=0"
    )
    kind = search.add_mutually_exclusive_group()
    kind.add_argument("--checkpoints", action="store_true", help="rank checkpoints (default)")
    kind.add_argument("--samples", action="store_true", help="find samples and indexed images")
    search.add_argument("--score", help="monte-carlo, first-moment, two-moments or density")
    search.add_argument("--architecture", default="any", help="only checkpoints of this one")
    search.add_argument("--only", default="", metavar="PATTERN", help="names, e.g. '*XL*,!pony'")
    search.add_argument(
        "--having",
        default="",
        metavar="A,B",
        help="judge by samples whose prompts name one of these",
    )
    search.add_argument("--top", type=positive, default=10, metavar="N", help="lines to print")
    search.add_argument("--csv", action="store_true", help="print CSV")
    _add_encoder(search)
    add_common(search)
    search.set_defaults(run=_search)
    index = commands.add_parser(
        "index",
        help="make a folder of images searchable",
        description="Read the images of a folder, and what they say of their making, so that gmi "
        "search --samples finds them. Only what is new or has changed is read. Stop it whenever "
        "you like: it goes on where it stopped.",
    )
    index.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    index.add_argument("--list", action="store_true", help="list the folders that have an index")
    index.add_argument("--remove", action="store_true", help="delete the index, not the images")
    index.add_argument(
        "--fast", action="store_true", help="build an approximate index as well (needs faiss-cpu)"
    )
    _add_encoder(index)
    add_common(index)
    index.set_defaults(run=_index)


def _add_encoder(parser: argparse.ArgumentParser) -> None:
    from ..encoders import JOINT_DEFAULT

    parser.add_argument(
        "--encoder",
        default=JOINT_DEFAULT,
        metavar="NAME",
        help="of images and texts: %(default)s, or a model of open_clip's",
    )


def _search(arguments: argparse.Namespace) -> int:
    from ..encoders import load_joint
    from ..search.checkpoints import Searcher

    query = _query(arguments)
    library = Library(arguments.library)
    joint = load_joint(arguments.encoder)
    style = None
    if not arguments.samples and {"image", "like"} & set(query.parts):
        style = _style(library)
    searcher = Searcher(library, joint, style)
    if arguments.samples:
        return _print_finding(_find(searcher, query, arguments), arguments)
    having = words(arguments.having)
    with Bar("Looking at samples", quiet=arguments.json or arguments.csv) as bar:
        answer = searcher.checkpoints(query, _filter(arguments), having, bar)
    return _print_answer(answer, arguments)


def _query(arguments: argparse.Namespace) -> Query:
    from ..base.images import open_image
    from ..search.checkpoints import Query

    return Query(
        text=" ".join(arguments.text),
        images=[open_image(path) for path in arguments.image],
        sketches=[open_image(path) for path in arguments.sketch],
        tags=words(arguments.tags),
        all_tags=arguments.all,
        like=arguments.like,
        weights=weights(arguments.weights),
        score=arguments.score,
    )


def _filter(arguments: argparse.Namespace) -> Any:
    from ..service.filters import Filter

    return Filter(arguments.architecture, arguments.only).unless_all()


def _style(library: Library) -> Any:
    """The learned kernel, or ``None`` where too little can be fitted: content still counts."""
    from ..ranking.fitted import open_fitted
    from ..ranking.identify import Identifier
    from ..search.style import Style

    try:
        return Style(Identifier(open_fitted(library)))
    except GMIError:
        return None


def _find(searcher: Searcher, query: Query, arguments: argparse.Namespace) -> Finding:
    from ..search.find import Finder
    from ..search.index import indexed_folders

    indexes = [i.open() for i in indexed_folders(arguments.library, searcher.joint.id)]
    with Bar("Looking at samples", quiet=arguments.json or arguments.csv) as bar:
        return Finder(searcher, indexes).find(query, arguments.top, _filter(arguments), bar)


def _print_finding(finding: Finding, arguments: argparse.Namespace) -> int:
    from ..search.hits import to_csv

    if arguments.json:
        print_json(finding.to_json())
        return EXIT_OK
    if arguments.csv:
        sys.stdout.write(to_csv(finding.hits))
        return EXIT_OK
    if finding.hits:
        cells = [
            [
                str(rank),
                f"{hit.score:.3f}",
                hit.checkpoint or "not said",
                hit.prompt,
                "–" if hit.seed is None else str(hit.seed),
                hit.file,
            ]
            for rank, hit in enumerate(finding.hits, 1)
        ]
        print(table(["#", "score", "checkpoint", "prompt", "seed", "file"], cells, [3, 5, 2]))
        print()
        for row in finding.origins:
            name = row.checkpoint or "not said"
            say(f"{row.hits} of {len(finding.hits)} from: {name}")
        say(f"{finding.searched} images were searched.")
    for note in finding.notes:
        say(note)
    return EXIT_OK


def _print_answer(answer: Answer, arguments: argparse.Namespace) -> int:
    rows = answer.checkpoints[: arguments.top]
    if arguments.json:
        print_json({"checkpoints": [asdict(row) for row in rows], "notes": list(answer.notes)})
        return EXIT_OK
    if arguments.csv:
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["rank", "score", "checkpoint", "identity", "architecture", "samples"])
        for row in rows:
            texts = [neutral(t) for t in (row.title, row.identity, row.architecture or "")]
            writer.writerow([row.rank, f"{row.score:.6g}", *texts, row.samples])
        return EXIT_OK
    parts = list(rows[0].parts)
    headers = [
        "#",
        "checkpoint",
        "score",
        *(parts if len(parts) > 1 else []),
        "samples",
        "for example",
    ]
    cells = [
        [
            str(row.rank),
            row.title,
            f"{row.score:.2f}",
            *([f"{row.parts[p]:.2f}" for p in parts] if len(parts) > 1 else []),
            str(row.samples),
            Path(row.evidence[0]).name if row.evidence else "",
        ]
        for row in rows
    ]
    print(table(headers, cells, [len(headers) - 1, 1]))
    print()
    say("Scores are deviations from the mean of all checkpoints, for this query alone.")
    for note in answer.notes:
        say(note)
    return EXIT_OK


def _index(arguments: argparse.Namespace) -> int:
    from ..encoders import load_joint
    from ..search.index import FolderIndex, indexed_folders

    home, joint = arguments.library, load_joint(arguments.encoder)
    if arguments.list or arguments.folder is None:
        found = [(str(i.folder), len(i.open())) for i in indexed_folders(home, joint.id)]
        if arguments.json:
            print_json([{"folder": folder, "images": count} for folder, count in found])
        elif not found:
            say("No folder has an index yet. Make one with: gmi index FOLDER")
        else:
            for folder, count in found:
                say(f"{folder}: {count} images")
        return EXIT_OK
    index = FolderIndex(home, arguments.folder, joint.id, joint.dim)
    if arguments.remove:
        index.remove()
        say(f"{index.folder}: is not searched any more. Its images are untouched.")
        return EXIT_OK
    with Bar("Indexing", quiet=arguments.json) as bar:
        done = index.update(joint, bar)
    if arguments.fast:
        index.open().approximate()
    total = len(index.open())
    if arguments.json:
        print_json({**done.to_json(), "folder": str(index.folder), "images": total})
    else:
        _say_update(done, str(index.folder), total)
    return EXIT_PARTLY if done.skipped else EXIT_OK


def _say_update(done: Update, folder: str, total: int) -> None:
    say(
        f"{folder}: {total} images can be searched ({done.new} read now, "
        f"{done.changed} of them because they changed; {done.gone} gone)."
    )
    for reason, count in done.skipped.most_common():
        say(f"  left out: {count} {reason}")
        named = [file for file, why in done.left_out if why == reason][:_NAMED]
        for file in named:
            say(f"    {file}")
        if count > len(named):
            say(f"    and {count - len(named)} more (--json names up to a thousand)")
    if not total:
        say("There are no images in it that can be read.")
