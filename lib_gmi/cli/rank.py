"""``gmi rank`` and ``gmi demo``: which checkpoint makes images like these."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import ImageError
from ..library.catalogue import Library
from . import interrogate
from .output import Column, Output, Table, partly, reasons
from .parts import Bar, add_command, add_encoder_option, add_json_option, add_top_option, fitted
from .tables import bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..metadata.mentions import MadeWith
    from ..ranking.fitted import FittedLibrary
    from ..ranking.identify import Identifier
    from ..ranking.results import Ranking
    from ..records.protocols import PseudoPrompt


def add_parser(commands: Any) -> None:
    """Add both commands."""
    rank = add_command(
        commands,
        "rank",
        _rank,
        "rank the library's candidates for an image",
        "Several images are several examples of the same wish. A folder ranks each of its images "
        "on its own and prints CSV, or JSON with --json.",
    )
    rank.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="file, or one folder")
    add_encoder_option(rank, "rank the specifications of this encoder")
    _add_query_options(rank)
    interrogate.add_option(rank)
    demo = commands.add_parser(
        "demo",
        help="rank 63 public models for an image",
        description="Rank the embedded library, 63 public text-to-image models, for a photograph "
        "that ships with scikit-image, or for an image of yours.",
    )
    demo.add_argument("image", nargs="?", type=Path, metavar="IMAGE")
    _add_query_options(demo)
    add_json_option(demo)
    demo.set_defaults(run=_demo)


def _add_query_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", help="what the image was, or could have been, made from")
    parser.add_argument("--method", default="auto", help="auto, or a method (see gmi encoders)")
    add_top_option(parser)


def _rank(arguments: argparse.Namespace) -> Output:
    from ..ranking.identify import Identifier

    folders = [path for path in arguments.images if path.is_dir()]
    if folders and len(arguments.images) > 1:
        raise ImageError(f"{folders[0]}: give one folder, or files, but not both.")
    library = fitted(arguments, Library(arguments.library), encoder=arguments.encoder)
    identifier = Identifier(library)
    if folders:
        return _rank_folder(identifier, folders[0], arguments)
    prompt, ranking = _ranking(identifier, arguments.images, arguments)
    made_with = _made_with(arguments.images, library)
    said = [row.sentence for row in made_with]
    if prompt is not None and prompt.source != "user":
        said.append(f"Described as: {prompt.text} ({prompt.source})")
    data = {"prompt": prompt, "made_with": [row.to_json() for row in made_with]}
    return Output(
        data | ranking.to_json(arguments.top), [*said, *_for_people(ranking, arguments.top)]
    )


def _ranking(
    identifier: Identifier, images: Sequence[Path], arguments: argparse.Namespace
) -> tuple[PseudoPrompt | None, Ranking]:
    """What the first image is described as, and the ranking for that and all images."""
    described = interrogate.pseudo_prompt(images[0], arguments, identifier.library)
    text = None if described.prompt is None else described.prompt.text
    ranking = identifier.rank(images, text, arguments.method)
    return described.prompt, replace(ranking, notes=(*described.notes, *ranking.notes))


def _made_with(images: Sequence[Path], library: FittedLibrary) -> list[MadeWith]:
    """What the files say themselves; here a checkpoint is known if the library has it."""
    from ..metadata import read_making
    from ..metadata.mentions import Installed, made_with
    from ..records.protocols import Candidate

    known = [Candidate(c.title, c.identity, c.name) for c in library.stack.candidates]
    said = made_with([read_making(path) for path in images], Installed(known))
    return [replace(row, absent="it is not in the library") for row in said]


def _for_people(ranking: Ranking, top: int) -> list[str | Table]:
    """Verdict, table, and what to know about it."""
    text: list[str | Table] = [ranking.verdict, "", _table(ranking, top), ""]
    text.append(f"Method: {ranking.method} ({ranking.reason}).")
    if ranking.conformal:
        first = "the first" if ranking.conformal == 1 else f"one of the first {ranking.conformal}"
        text.append(f"With images like the library's own, {first} is right nine times in ten.")
    text += ranking.notes
    shown = {row.candidate.title for row in ranking.candidates[:top]}
    for group in ranking.groups:
        if shown & set(group.titles):
            share = "" if group.probability is None else f" ({group.probability:.1%} together)"
            text.append(f"Nearly the same{share}: {', '.join(group.titles)}")
    return [*text, *reasons("Not ranked", ranking.excluded)]


def _table(ranking: Ranking, top: int) -> Table:
    with_paper = ranking.best.weighted_rkme is not None and ranking.method != "weighted-rkme"
    paper = Column("weighted RKME", lambda row: row.weighted_rkme, ".4f")
    columns = [
        Column("#", lambda row: row.rank),
        Column("checkpoint", lambda row: row.candidate.title, cut=2),
        Column("probability", lambda row: row.probability, ".1%"),
        Column("", lambda row: "" if row.probability is None else bar(row.probability)),
        Column("score", lambda row: row.score, ".4g"),
        *([paper] if with_paper else []),
        Column("samples", lambda row: f"{row.samples}/{row.of_samples}"),
        Column("looks most like its", lambda row: ", ".join(row.evidence), cut=1),
    ]
    return Table(columns, ranking.candidates[:top])


def _rank_folder(identifier: Identifier, folder: Path, arguments: argparse.Namespace) -> Output:
    from ..base.images import list_images

    paths = list_images(folder)
    if not paths:
        raise ImageError(f"{folder}: holds no images.")
    data: list[dict[str, Any]] = []
    rows: list[list[object]] = []
    failed = 0
    with Bar("Ranking", quiet=arguments.json) as progress:
        for number, path in enumerate(paths, 1):
            image = str(path)
            try:
                _, ranking = _ranking(identifier, [path], arguments)
            except ImageError as error:
                failed += 1
                data.append({"image": image, "error": str(error)})
                rows.append([image, *[None] * 5, str(error)])
            else:
                data.append({"image": image, **ranking.to_json(arguments.top)})
                for row in ranking.candidates[: arguments.top]:
                    found = (row.rank, row.candidate.title, row.probability, row.score)
                    rows.append([image, *found, str(ranking.foreign), None])
            progress.update(number, len(paths), path.name)
    columns = [
        *map(Column, ("image", "rank", "checkpoint")),
        Column("probability", show=".4f"),
        Column("score", show=".6g"),
        *map(Column, ("foreign", "error")),
    ]
    return Output(data, csv=Table(columns, rows), code=partly(failed))


def _demo(arguments: argparse.Namespace) -> Output:
    from ..library.embedded import embedded_library
    from ..ranking.identify import Identifier

    image, name = (arguments.image, str(arguments.image)) if arguments.image else _photograph()
    library = fitted(arguments, embedded_library(), use_prior=False)
    ranking = Identifier(library).rank([image], arguments.prompt, arguments.method)
    asked = f"Which of {len(library.stack.candidates)} models makes images like {name}?"
    return Output(ranking.to_json(arguments.top), [asked, "", *_for_people(ranking, arguments.top)])


def _photograph() -> tuple[Any, str]:
    """A photograph that needs no download."""
    from ..base.errors import MissingExtraError

    try:
        from skimage import data
    except ImportError:
        raise MissingExtraError(
            "The demo's photograph ships with scikit-image, which is not installed. Give an image "
            "of your own: gmi demo IMAGE"
        ) from None
    from PIL import Image

    photographs: Any = data  # untyped
    return Image.fromarray(photographs.astronaut()), "scikit-image's photograph of Eileen Collins"
