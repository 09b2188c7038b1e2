"""What a command answers, and the one place that prints it: for people, as JSON or as CSV."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..base.errors import GMIError
from ..base.text import neutral, one_line
from ..records.protocols import Exclusion
from .tables import table

EXIT_OK, EXIT_PARTLY, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Column:
    """A column of a :class:`Table`.

    Attributes:
        header: above it.
        value: of a row's; without, the row's cell in the column's place.
        show: format specification of its numbers, such as ``.1%``.
        cut: columns from 1 on may be cut to fit the terminal, in this order; 0 never.
    """

    header: str
    value: Callable[[Any], object] | None = None
    show: str = ""
    cut: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of values, for people or as CSV.

    Attributes:
        columns: what each of them shows of a row: a text, a number, or ``None``, which is a dash,
            and an empty cell of CSV.
        rows: of any kind that the columns know.
    """

    columns: Sequence[Column]
    rows: Sequence[Any]

    def for_people(self) -> str:
        """A table that fits the terminal; no control character of a name gets through."""
        rows = [["–" if cell is None else text for cell, text in row] for row in self._cells()]
        cut = sorted((column.cut, i) for i, column in enumerate(self.columns) if column.cut)
        return table([column.header for column in self.columns], rows, [i for _, i in cut])

    def as_csv(self) -> str:
        """No text is on several lines or taken for a formula."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.header for column in self.columns])
        for row in self._cells():
            writer.writerow([neutral(shown) if type(v) is str else shown for v, shown in row])
        return text.getvalue()

    def _cells(self) -> Iterator[list[tuple[object, str]]]:
        for row in self.rows:
            values = [c.value(row) if c.value else row[i] for i, c in enumerate(self.columns)]
            pairs = zip(values, self.columns, strict=True)
            yield [(v, "" if v is None else format(v, column.show)) for v, column in pairs]


@dataclass(frozen=True)
class Output:
    """The answer of a command, in every form in which it can be asked for.

    Attributes:
        data: printed with ``--json``; dataclasses become objects.
        text: for people: sentences, tables, and empty lines.
        csv: printed with ``--csv``, or where there is no ``text``; may be a finished text.
        problems: printed on stderr in every form.
        code: with which the program exits.
    """

    data: Any = None
    text: Sequence[str | Table] = ()
    csv: Table | str | None = None
    problems: Sequence[str] = ()
    code: int = EXIT_OK


#: A command with many inputs gives an output for each, and they are printed as they come; with
#: ``--json`` they are one list.
Outputs = Output | Iterable[Output]


def partly(condition: object) -> int:
    """The exit code of a command that could do its work only in part, or wholly."""
    return EXIT_PARTLY if condition else EXIT_OK


def reasons(kind: str, exclusions: Iterable[Exclusion]) -> list[str]:
    """A line for everything that is left out."""
    return [f"{kind}: {exclusion.title}: {exclusion.reason}" for exclusion in exclusions]


def execute(parser: Callable[[], argparse.ArgumentParser], argv: Sequence[str] | None) -> int:
    """Run the command that a parser finds as ``run``, print its output, return the exit code."""
    _survive_any_text()
    try:
        arguments = parser().parse_args(argv)
        return _show(arguments.run(arguments), arguments)
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


def _show(outputs: Outputs, arguments: argparse.Namespace) -> int:
    as_json, as_csv = getattr(arguments, "json", False), getattr(arguments, "csv", False)
    code, data = EXIT_OK, []
    for output in [outputs] if isinstance(outputs, Output) else outputs:
        code = max(code, output.code)
        data.append(output.data)
        for problem in output.problems:
            print(f"gmi: {one_line(problem)}", file=sys.stderr)
        if not as_json:
            _print(output, as_csv)
    if as_json:
        found = data[0] if isinstance(outputs, Output) else data
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False, default=_plain)
        print()
    return code


def _print(output: Output, as_csv: bool) -> None:
    if output.csv is not None and (as_csv or not output.text):
        sys.stdout.write(output.csv if isinstance(output.csv, str) else output.csv.as_csv())
        return
    for part in output.text:
        print(one_line(part) if isinstance(part, str) else part.for_people())
    sys.stdout.flush()


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return str(value)
