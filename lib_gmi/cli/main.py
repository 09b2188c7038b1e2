"""The command line: ``gmi build``, ``harvest``, ``rank``, ``library``, ``pack``, ``demo`` and more.

Exit codes: 0 done; 1 done in part (some candidates failed or are damaged); 2 wrong usage or bad
input, with a message that says what to do; 130 interrupted, with everything finished so far kept.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import fnmatch
import io
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError, ImageError, RankingError
from ..base.text import neutral, one_line
from ..library.catalogue import Library
from . import (
    bench as cli_bench,
)
from . import (
    encoders as cli_encoders,
)
from . import (
    harvest as cli_harvest,
)
from . import (
    interrogate as cli_interrogate,
)
from . import (
    packs as cli_packs,
)
from . import (
    reencode as cli_reencode,
)
from . import (
    search as cli_search,
)
from .parts import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_PARTLY,
    EXIT_USAGE,
    Bar,
    add_common,
    add_library_option,
    positive,
    print_json,
    say,
)
from .tables import bar, table

if TYPE_CHECKING:
    from ..metadata.mentions import MadeWith
    from ..ranking.fitted import FittedLibrary
    from ..ranking.results import Ranking
    from ..records.protocols import Candidate
    from ..submitting.submit import BuildSummary


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    _survive_any_text()
    try:
        arguments = _parser().parse_args(argv)
        return int(arguments.run(arguments))
    except GMIError as error:
        print(f"gmi: {one_line(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("\ngmi: interrupted. What was finished is kept.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader (head, less) has seen enough
        return EXIT_OK


def _survive_any_text() -> None:
    """Names come from files: whatever they hold, printing them must not fail.

    Files and pipes get UTF-8; a terminal keeps its encoding and shows the rest escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gmi", description="Find which of your checkpoints makes images like the one you have."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_build(commands)
    _add_rank(commands)
    _add_library(commands)
    cli_harvest.add_parser(commands)
    cli_packs.add_parser(commands)
    cli_interrogate.add_parser(commands)
    cli_bench.add_parser(commands)
    cli_search.add_parsers(commands)
    _add_demo(commands)
    cli_encoders.add_parser(commands)
    _add_ui(commands)
    return parser


# -- build ----------------------------------------------------------------------------------------


def _add_build(commands: Any) -> None:
    build = commands.add_parser(
        "build",
        help="build specifications from a folder of images",
        description="Build a specification for every candidate of a folder: images/<candidate>/"
        "<prompt id>.jpg and prompts.json. Stop it whenever you like: it goes on where it stopped.",
    )
    build.add_argument("folder", type=Path, help="folder with images/ and prompts.json")
    build.add_argument("--encoder", default=None, help="see gmi encoders (default: auto)")
    cli_encoders.add_download_option(build)
    build.add_argument("--limit", type=positive, metavar="N", help="only the first N prompts")
    build.add_argument(
        "--exclude", action="append", default=[], metavar="ID", help="leave this prompt out"
    )
    build.add_argument(
        "--candidates", metavar="PATTERN", help="only candidates whose name matches, e.g. '*XL*'"
    )
    build.add_argument(
        "--rebuild", action="store_true", help="start anew, for images that have changed"
    )
    add_common(build)
    build.set_defaults(run=_build)


def _build(arguments: argparse.Namespace) -> int:
    from ..encoders import AUTO
    from ..hosts.folder import FolderHost
    from ..ranking.fitted import open_fitted
    from ..submitting.submit import build

    host = FolderHost(arguments.folder)
    host.leave_out(arguments.exclude)
    candidates = _matching(host.list_checkpoints(), arguments.candidates)
    library = Library(arguments.library)
    if arguments.download:
        cli_encoders.download(arguments.encoder or AUTO)
    if arguments.rebuild:
        chosen = {candidate.identity for candidate in candidates}
        library.remove([e for e in library.entries() if e.identity in chosen])
    with Bar("Building", quiet=arguments.json) as progress:
        summary = build(
            host,
            host.prompt_set,
            library,
            arguments.encoder or AUTO,
            candidates,
            arguments.limit,
            progress,
        )
    if summary.complete or summary.partial:
        with (
            Bar("Fitting", quiet=arguments.json) as progress,
            contextlib.suppress(RankingError),  # too little to rank yet is no failure of the build
        ):
            open_fitted(library, arguments.encoder or AUTO, progress=progress)
    if arguments.json:
        print_json(
            {
                **vars(summary),
                **{k: [vars(e) for e in getattr(summary, k)] for k in _EXCLUSIONS},
            }
        )
    else:
        _print_summary(summary, library)
    return EXIT_PARTLY if summary.failed or summary.unreadable else EXIT_OK


_EXCLUSIONS = ("skipped", "failed", "suspect", "unreadable")


def _matching(candidates: Sequence[Candidate], pattern: str | None) -> list[Candidate]:
    if pattern is None:
        return list(candidates)
    found = [c for c in candidates if fnmatch.fnmatch(c.title, pattern)]
    if not found:
        raise RankingError(f"No candidate matches '{pattern}'; there are {len(candidates)}.")
    return found


def _print_summary(summary: BuildSummary, library: Library) -> None:
    from ..submitting.submit import format_duration

    took = format_duration(summary.seconds)
    say(f"{summary.samples} samples encoded in {took}; library: {library.folder}")
    say(f"  complete: {len(summary.complete)}, partial: {len(summary.partial)}")
    for kind in _EXCLUSIONS:
        for exclusion in getattr(summary, kind):
            say(f"  {kind}: {exclusion.title}: {exclusion.reason}")
    if summary.unavailable:
        say(f"  {summary.unavailable} samples are not in the folder, or were left out")


# -- rank -----------------------------------------------------------------------------------------


def _add_rank(commands: Any) -> None:
    rank = commands.add_parser(
        "rank",
        help="rank the library's candidates for an image",
        description="Several images are several examples of the same wish. A folder ranks each of "
        "its images on its own and prints CSV, or JSON with --json.",
    )
    rank.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="file, or one folder")
    rank.add_argument("--encoder", default=None, help="rank the specifications of this encoder")
    _add_query_options(rank)
    cli_interrogate.add_option(rank)
    add_common(rank)
    rank.set_defaults(run=_rank)


def _add_query_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", help="what the image was, or could have been, made from")
    parser.add_argument("--method", default="auto", help="auto, or a method (see gmi encoders)")
    parser.add_argument("--top", type=positive, default=10, metavar="N", help="lines to print")


def _rank(arguments: argparse.Namespace) -> int:
    from ..ranking.fitted import open_fitted
    from ..ranking.identify import Identifier

    folders = [path for path in arguments.images if path.is_dir()]
    if folders and len(arguments.images) > 1:
        raise ImageError(f"{folders[0]}: give one folder, or files, but not both.")
    with Bar("Fitting", quiet=arguments.json) as progress:
        library = open_fitted(Library(arguments.library), arguments.encoder, progress=progress)
    identifier = Identifier(library)
    if folders:
        return _rank_folder(identifier, folders[0], arguments)
    described = cli_interrogate.pseudo_prompt(arguments.images[0], arguments, library)
    prompt = described.prompt
    ranking = identifier.rank(
        arguments.images, None if prompt is None else prompt.text, arguments.method
    )
    ranking = replace(ranking, notes=(*described.notes, *ranking.notes))
    said = _made_with(arguments.images, library)
    if arguments.json:
        answer = {"made_with": [row.to_json() for row in said], **ranking.to_json(arguments.top)}
        print_json({"prompt": None if prompt is None else asdict(prompt), **answer})
        return EXIT_OK
    for row in said:
        say(row.sentence)
    if prompt is not None and prompt.source != "user":
        say(f"Described as: {prompt.text} ({prompt.source})")
    print_ranking(ranking, arguments.top)
    return EXIT_OK


def _made_with(images: Sequence[Path], library: FittedLibrary) -> list[MadeWith]:
    """What the files say themselves; here a checkpoint is known if the library has it."""
    from ..metadata import read_making
    from ..metadata.mentions import Installed, made_with
    from ..records.protocols import Candidate

    known = [Candidate(c.title, c.identity, c.name) for c in library.stack.candidates]
    said = made_with([read_making(path) for path in images], Installed(known))
    return [replace(row, absent="it is not in the library") for row in said]


def _show(ranking: Ranking, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(ranking.to_json(arguments.top))
    else:
        print_ranking(ranking, arguments.top)


def print_ranking(ranking: Ranking, top: int) -> None:
    """The ranking as people read it: verdict, table, and what to know about it."""
    say(ranking.verdict)
    print()
    with_paper = ranking.best.weighted_rkme is not None and ranking.method != "weighted-rkme"
    headers = ["#", "checkpoint", "probability", "", "score"]
    headers += ["weighted RKME"] if with_paper else []
    headers += ["samples", "looks most like its"]
    rows = []
    for row in ranking.candidates[:top]:
        known = row.probability is not None
        cells = [
            str(row.rank),
            row.candidate.title,
            f"{row.probability:.1%}" if known else "–",
            bar(row.probability or 0.0) if known else "",
            f"{row.score:.4g}",
        ]
        cells += [f"{row.weighted_rkme:.4f}"] if with_paper else []
        cells += [f"{row.samples}/{row.of_samples}", ", ".join(row.evidence)]
        rows.append(cells)
    print(table(headers, rows, shrink=[len(headers) - 1, 1]))
    print()
    say(f"Method: {ranking.method} ({ranking.reason}).")
    if ranking.conformal:
        first = "the first" if ranking.conformal == 1 else f"one of the first {ranking.conformal}"
        say(f"With images like the library's own, {first} is right nine times in ten.")
    for note in ranking.notes:
        say(note)
    shown = {row.candidate.title for row in ranking.candidates[:top]}
    for group in ranking.groups:
        if shown & set(group.titles):
            share = "" if group.probability is None else f" ({group.probability:.1%} together)"
            say(f"Nearly the same{share}: {', '.join(group.titles)}")
    for exclusion in ranking.excluded:
        say(f"Not ranked: {exclusion.title}: {exclusion.reason}")


def _rank_folder(identifier: Any, folder: Path, arguments: argparse.Namespace) -> int:
    from ..base.images import list_images

    paths = list_images(folder)
    if not paths:
        raise ImageError(f"{folder}: holds no images.")
    rows: list[dict[str, Any]] = []
    failed = 0
    with Bar("Ranking", quiet=arguments.json) as progress:
        for number, path in enumerate(paths, 1):
            try:
                described = cli_interrogate.pseudo_prompt(path, arguments, identifier.library)
                prompt = None if described.prompt is None else described.prompt.text
                ranking = identifier.rank([path], prompt, arguments.method)
                ranking = replace(ranking, notes=(*described.notes, *ranking.notes))
                rows.append({"image": str(path), **ranking.to_json(arguments.top)})
            except ImageError as error:
                failed += 1
                rows.append({"image": str(path), "error": str(error)})
            progress.update(number, len(paths), path.name)
    if arguments.json:
        print_json(rows)
    else:
        _print_csv(rows)
    return EXIT_PARTLY if failed else EXIT_OK


def _print_csv(rows: Sequence[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "rank", "checkpoint", "probability", "score", "foreign", "error"])
    for row in rows:
        image = neutral(row["image"])
        if "error" in row:
            writer.writerow([image, "", "", "", "", "", neutral(row["error"])])
            continue
        for entry in row["candidates"]:
            probability = "" if entry["probability"] is None else f"{entry['probability']:.4f}"
            title = neutral(entry["title"])
            score = f"{entry['score']:.6g}"
            writer.writerow([image, entry["rank"], title, probability, score, row["foreign"], ""])


# -- library --------------------------------------------------------------------------------------


def _add_library(commands: Any) -> None:
    library = commands.add_parser("library", help="look at and tidy the library")
    actions = library.add_subparsers(required=True, metavar="ACTION")
    for name, run, text in (
        ("list", _list, "what is there"),
        ("verify", _verify, "read every file whole; damaged ones are set aside"),
        ("duplicates", _duplicates, "candidates that the library cannot tell apart"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        add_common(action)
        action.set_defaults(run=run)
    remove = actions.add_parser("remove", help="move specifications to the folder removed/")
    remove.add_argument("names", nargs="+", metavar="NAME", help="title, or identity")
    add_common(remove)
    remove.set_defaults(run=_remove)
    cli_reencode.add_parser(actions)


def _list(arguments: argparse.Namespace) -> int:
    library = Library(arguments.library)
    entries, problems = library.look()
    for problem in problems:
        print(f"gmi: {one_line(problem.title)}: {one_line(problem.reason)}", file=sys.stderr)
    code = EXIT_PARTLY if problems else EXIT_OK
    if arguments.json:
        print_json([{"file": e.file, **e.described} for e in entries])
        return code
    if not entries:
        say(f"{library.folder}: no specifications yet. Build them with: gmi build FOLDER")
        return code
    rows = []
    for entry in entries:
        rejected = len(entry.described["rejected"])
        rows.append(
            [
                entry.title,
                str(entry.described["candidate"]["architecture"] or "–"),
                f"{entry.samples}/{entry.prompt_set_size}",
                f"{rejected} broken" if rejected else "",
                entry.encoder_id,
                entry.identity,
            ]
        )
    headers = ["checkpoint", "architecture", "samples", "", "encoder", "identity"]
    print(table(headers, rows, shrink=[5, 4, 0]))
    print()
    say(f"{len(entries)} specifications in {library.folder}")
    return code


def _verify(arguments: argparse.Namespace) -> int:
    report = Library(arguments.library).verify()
    if arguments.json:
        print_json(
            {
                "good": list(report.good),
                "damaged": [vars(e) for e in report.damaged],
                "unreadable": [vars(e) for e in report.unreadable],
            }
        )
    else:
        say(f"{len(report.good)} specifications are good.")
        for exclusion in report.damaged:
            say(f"set aside in damaged/: {exclusion.title}: {exclusion.reason}")
        for exclusion in report.unreadable:
            say(f"left alone: {exclusion.title}: {exclusion.reason}")
    return EXIT_PARTLY if report.damaged or report.unreadable else EXIT_OK


def _remove(arguments: argparse.Namespace) -> int:
    library = Library(arguments.library)
    found = []
    for name in arguments.names:
        matches = library.find(name)
        if not matches:
            raise RankingError(f"'{name}' is not in the library. See gmi library list.")
        found += matches
    found = list({entry.file: entry for entry in found}.values())
    moved = library.remove(found)
    if arguments.json:
        print_json([str(path) for path in moved])
    else:
        for entry, path in zip(found, moved, strict=True):
            say(f"{entry.title} → {path}")
    return EXIT_OK


def _duplicates(arguments: argparse.Namespace) -> int:
    from ..ranking.fitted import open_fitted

    with Bar("Fitting", quiet=arguments.json) as progress:
        fitted = open_fitted(Library(arguments.library), progress=progress)
    groups = [[fitted.stack.candidates[i].title for i in group] for group in fitted.findings.groups]
    if arguments.json:
        print_json(groups)
    elif groups:
        for titles in groups:
            say(f"These {len(titles)} are nearly the same: {', '.join(titles)}")
    else:
        say(f"All {len(fitted.stack.candidates)} candidates can be told apart.")
    return EXIT_OK


# -- demo -----------------------------------------------------------------------------------------


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="rank 63 public models for an image",
        description="Rank the embedded library, 63 public text-to-image models, for a photograph "
        "that ships with scikit-image, or for an image of yours.",
    )
    demo.add_argument("image", nargs="?", type=Path, metavar="IMAGE")
    _add_query_options(demo)
    demo.add_argument("--json", action="store_true", help="print JSON")
    demo.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from ..library.embedded import embedded_library
    from ..ranking.fitted import open_fitted
    from ..ranking.identify import Identifier

    image, name = (arguments.image, str(arguments.image)) if arguments.image else _photograph()
    with Bar("Fitting", quiet=arguments.json) as progress:
        library = open_fitted(embedded_library(), use_prior=False, progress=progress)
    if not arguments.json:
        say(f"Which of {len(library.stack.candidates)} models makes images like {name}?")
        print()
    ranking = Identifier(library).rank([image], arguments.prompt, arguments.method)
    _show(ranking, arguments)
    return EXIT_OK


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


# -- ui -------------------------------------------------------------------------------------------


def _add_ui(commands: Any) -> None:
    from ..standalone import command

    ui = commands.add_parser(
        "ui",
        help="open the tab in a browser",
        description="Open the tab in a browser, on this machine only. With a folder of images "
        "(see gmi build) it builds from that; without one it ranks the library, or the 63 "
        "embedded models if the library is empty.",
    )
    ui.add_argument("folder", nargs="?", type=Path, help="folder with images/ and prompts.json")
    ui.add_argument("--port", type=command.port, help="of the page (default: a free one)")
    ui.add_argument(
        "--no-browser", dest="browser", action="store_false", help="only print the address"
    )
    add_library_option(ui)
    ui.set_defaults(run=command.run)
