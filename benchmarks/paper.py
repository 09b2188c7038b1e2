"""Every table and figure of the paper (arXiv 2412.12232), reproduced beside our method.

    python -m benchmarks.paper report FOLDER [--out docs/results] [--cache DIR]
    python -m benchmarks.paper SECTION FOLDER [--cache DIR] [--json OUT]
    python -m benchmarks.paper gallery FOLDER --out DIR
    python -m benchmarks.paper render docs/results.json
    python -m benchmarks.paper readme docs/results.json README.md

FOLDER holds images/<model>/<prompt id>.jpg and prompts.json (see lib_gmi/hosts/folder.py), or what
``python -m benchmarks.own_checkpoints create`` made, or GEMRec-18K as it is published. SECTION is
one of table1 (with Fig. 3), table2, table4 to table7, fig2, fig6, fig7, candidates,
specification_images, calibration and robustness.
Features are kept in --cache; a run that was stopped goes on there. Without it they are kept in a
temporary folder while it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lib_gmi.base.errors import GMIError
from lib_gmi.base.files import write_atomic
from lib_gmi.cli.parts import positive
from lib_gmi.encoders import DEFAULT

from .papers import markdown, readme, report
from .papers.bench import Bench
from .papers.gallery import gallery
from .papers.statistics import DRAWS


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code: 0 done, 2 bad input."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (GMIError, OSError) as error:
        print(f"benchmarks.paper: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    whole = commands.add_parser("report", help="everything, as a page with figures")
    _images(whole)
    whole.add_argument("--out", type=Path, default=Path("docs/results"), metavar="STEM")
    whole.add_argument("--only", help="comma-separated sections")
    whole.set_defaults(run=_report)

    for name in report.SECTIONS:
        one = commands.add_parser(name, help=markdown.SECTIONS[name][0])
        _images(one)
        one.add_argument("--json", type=Path, metavar="OUT", help="write the rows as JSON")
        one.add_argument("--figures", type=Path, metavar="DIR", help="draw its figures there")
        one.set_defaults(run=_section, section=name)

    pictures = commands.add_parser("gallery", help="Fig. 4 and 5: queries and picks, as pictures")
    _images(pictures)
    pictures.add_argument("--out", type=Path, required=True, metavar="DIR")
    pictures.add_argument("--queries", type=positive, default=8)
    pictures.set_defaults(run=_gallery)

    again = commands.add_parser("render", help="page and figures again, from the JSON")
    again.add_argument("report", type=Path, metavar="JSON")
    again.set_defaults(run=_render)

    quote = commands.add_parser("readme", help="write the README's figures")
    quote.add_argument("report", type=Path, metavar="JSON")
    quote.add_argument("readme", type=Path, metavar="README")
    quote.set_defaults(run=_readme)
    return parser


def _images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where features are kept")
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--draws", type=positive, default=DRAWS, help="of the bootstrap")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument(
        "--jobs", type=positive, default=os.cpu_count() or 1, help="processes that encode"
    )


@contextmanager
def _bench(arguments: argparse.Namespace) -> Iterator[Bench]:
    a = arguments
    with ExitStack() as stack:
        cache = a.cache or Path(stack.enter_context(TemporaryDirectory(prefix="gmi-bench-")))
        bench = Bench(a.folder, cache, a.encoder, a.draws, a.quiet, a.jobs)
        stack.callback(bench.features.close)
        yield bench


def _report(arguments: argparse.Namespace) -> None:
    only = arguments.only.split(",") if arguments.only else []
    for name in only:
        if name not in report.SECTIONS:
            raise GMIError(f"There is no section '{name}'. Known: {', '.join(report.SECTIONS)}.")
    command = f"python -m benchmarks.paper report {arguments.folder.name}"
    if arguments.encoder != DEFAULT:
        command += f" --encoder {arguments.encoder}"
    with _bench(arguments) as bench:
        found = report.run(bench, command, only)
    for path in report.write(found, arguments.out):
        print(path)


def _section(arguments: argparse.Namespace) -> None:
    with _bench(arguments) as bench:
        found = report.run(bench, "", [arguments.section])
    print(markdown.section(arguments.section, found[arguments.section]))
    if arguments.json is not None:
        write_atomic(arguments.json, report.dumped(found))
    if arguments.figures is not None:
        from .papers.figures import draw

        draw(found, arguments.figures)


def _gallery(arguments: argparse.Namespace) -> None:
    with _bench(arguments) as bench:
        for path in gallery(bench, arguments.out, arguments.queries):
            print(path)


def _render(arguments: argparse.Namespace) -> None:
    for path in report.write(_read(arguments.report), arguments.report.with_suffix("")):
        print(path)


def _readme(arguments: argparse.Namespace) -> None:
    text = arguments.readme.read_text(encoding="utf-8")
    write_atomic(arguments.readme, readme.replaced(text, _read(arguments.report)).encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GMIError(f"{path}: is not a report ({error}).") from None
    return found


if __name__ == "__main__":
    sys.exit(main())
