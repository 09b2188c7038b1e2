"""``gmi search`` and ``gmi index``: content-based search from the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError
from ..library.catalogue import Library
from ..search.query import weights, words
from .output import Column, Output, Table, partly
from .parts import Bar, add_command, add_top_option

if TYPE_CHECKING:
    from ..search.hits import CheckpointAnswer, SampleAnswer
    from ..search.index import Update
    from ..search.query import Query
    from ..search.searcher import Searcher


#: Files of a kind that are named where people read.
_NAMED = 20


def add_parser(commands: Any) -> None:
    """Add both commands."""
    search = add_command(
        commands,
        "search",
        _search,
        "search checkpoints, or samples, by what they show",
        "Which checkpoint makes what you look for, or with --samples: which sample shows it. Text, "
        "images, a sketch, tags and a checkpoint may be given together. See docs/search.md.",
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
    search.add_argument("--score", help="monte-carlo or density")
    search.add_argument("--architecture", default="any", help="only checkpoints of this one")
    search.add_argument("--only", default="", metavar="PATTERN", help="names, e.g. '*XL*,!pony'")
    search.add_argument(
        "--having",
        default="",
        metavar="A,B",
        help="judge by samples whose prompts name one of these",
    )
    add_top_option(search)
    search.add_argument("--csv", action="store_true", help="print CSV")
    _add_encoder(search)
    index = add_command(
        commands,
        "index",
        _index,
        "make a folder of images searchable",
        "Read the images of a folder, and what they say of their making, so that gmi search "
        "--samples finds them. Only what is new or has changed is read. Stop it whenever you like: "
        "it goes on where it stopped.",
    )
    index.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    index.add_argument("--list", action="store_true", help="list the folders that have an index")
    index.add_argument("--remove", action="store_true", help="delete the index, not the images")
    index.add_argument(
        "--fast", action="store_true", help="build an approximate index as well (needs faiss-cpu)"
    )
    _add_encoder(index)


def _add_encoder(parser: argparse.ArgumentParser) -> None:
    from ..encoders import JOINT_DEFAULT

    parser.add_argument(
        "--encoder",
        default=JOINT_DEFAULT,
        metavar="NAME",
        help="of images and texts: %(default)s, or a model of open_clip's",
    )


def _search(arguments: argparse.Namespace) -> Output:
    from ..encoders import load_joint
    from ..search.searcher import Searcher

    query = _query(arguments)
    library = Library(arguments.library)
    joint = load_joint(arguments.encoder)
    searcher = Searcher(library, joint, lambda: _style(library))
    with Bar("Looking at samples", quiet=arguments.json or arguments.csv) as bar:
        if arguments.samples:
            return _found(_find(searcher, query, arguments, bar))
        having = words(arguments.having)
        answer = searcher.checkpoints(query, _filter(arguments), having, bar)
    return _ranked(answer, arguments.top)


def _query(arguments: argparse.Namespace) -> Query:
    from ..base.images import open_image
    from ..search.query import Query

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


def _find(
    searcher: Searcher, query: Query, arguments: argparse.Namespace, bar: Bar
) -> SampleAnswer:
    from ..search.folder_images import FolderImages
    from ..search.index import indexed_folders

    known = indexed_folders(arguments.library, searcher.joint.id)
    folders = [FolderImages(index) for index in known]
    return searcher.samples(query, arguments.top, _filter(arguments), folders, bar)


def _found(finding: SampleAnswer) -> Output:
    from ..search.hits import to_csv

    hits = finding.hits
    columns = [
        Column("#"),
        Column("score", show=".3f"),
        Column("checkpoint", cut=3),
        Column("prompt", cut=1),
        Column("seed"),
        Column("file", cut=2),
    ]
    rows = [
        [rank, hit.score, hit.checkpoint or "not said", hit.prompt, hit.seed, hit.file]
        for rank, hit in enumerate(hits, 1)
    ]
    text: list[str | Table] = []
    if hits:
        text = [Table(columns, rows), ""]
        text += [
            f"{row.hits} of {len(hits)} from: {row.checkpoint or 'not said'}"
            for row in finding.origins
        ]
        text.append(f"{finding.searched} images were searched.")
    return Output(finding.to_json(), [*text, *finding.notes], to_csv(hits))


def _ranked(answer: CheckpointAnswer, top: int) -> Output:
    rows = answer.checkpoints[:top]
    parts = list(rows[0].parts) if len(rows[0].parts) > 1 else []

    def of(part: str) -> Column:
        return Column(part, lambda row: row.parts[part], ".2f")

    columns = [
        Column("#", lambda row: row.rank),
        Column("checkpoint", lambda row: row.title, cut=2),
        Column("score", lambda row: row.score, ".2f"),
        *map(of, parts),
        Column("samples", lambda row: row.samples),
        Column("for example", lambda r: Path(r.evidence[0]).name if r.evidence else "", cut=1),
    ]
    headers = ("checkpoint", "identity", "architecture", "samples")
    csv = Table(
        [Column("rank"), Column("score", show=".6g"), *map(Column, headers)],
        [[r.rank, r.score, r.title, r.identity, r.architecture, r.samples] for r in rows],
    )
    about = "Scores are deviations from the mean of all checkpoints, for this query alone."
    data = {"checkpoints": rows, "notes": answer.notes}
    return Output(data, [Table(columns, rows), "", about, *answer.notes], csv)


def _index(arguments: argparse.Namespace) -> Output:
    from ..encoders import load_joint
    from ..search.folder_images import FolderImages
    from ..search.index import FolderIndex, indexed_folders

    home, joint = arguments.library, load_joint(arguments.encoder)
    if arguments.list or arguments.folder is None:
        found = [(str(i.folder), len(FolderImages(i))) for i in indexed_folders(home, joint.id)]
        text = [f"{folder}: {count} images" for folder, count in found]
        nothing = "No folder has an index yet. Make one with: gmi index FOLDER"
        rows = [{"folder": folder, "images": count} for folder, count in found]
        return Output(rows, text or [nothing])
    index = FolderIndex(home, arguments.folder, joint.id, joint.dim)
    folder = str(index.folder)
    if arguments.remove:
        index.remove()
        said = f"{folder}: is not searched any more. Its images are untouched."
        return Output({"folder": folder, "removed": True}, [said])
    with Bar("Indexing", quiet=arguments.json) as bar:
        done = index.update(joint, bar)
    if arguments.fast:
        FolderImages(index).approximate()
    total = len(FolderImages(index))
    data = {**done.to_json(), "folder": folder, "images": total}
    return Output(data, _said(done, folder, total), code=partly(done.skipped))


def _said(done: Update, folder: str, total: int) -> list[str]:
    text = [
        f"{folder}: {total} images can be searched ({done.new} read now, "
        f"{done.changed} of them because they changed; {done.gone} gone)."
    ]
    for reason, count in done.skipped.most_common():
        named = [file for file, why in done.left_out if why == reason][:_NAMED]
        text += [f"  left out: {count} {reason}", *(f"    {file}" for file in named)]
        if count > len(named):
            text.append(f"    and {count - len(named)} more (--json names up to a thousand)")
    if not total:
        text.append("There are no images in it that can be read.")
    return text
