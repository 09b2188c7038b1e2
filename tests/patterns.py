"""Finds every regular expression of a package, and the texts that cost each the most.

The texts come from the pattern itself: whatever it repeats is repeated, behind what has to stand
before it, and something follows that does not fit. So does all that it begins with, for patterns
that begin anew at every place of a text.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

try:
    from re import _constants as sre
    from re import _parser as parser
except ImportError:  # Python 3.10
    import sre_constants as sre
    import sre_parse as parser

#: Functions of ``re`` that take a pattern, and the place of their flags.
FLAGS_AT = {
    "compile": 1,
    "search": 2,
    "match": 2,
    "fullmatch": 2,
    "findall": 2,
    "finditer": 2,
    "split": 3,
    "sub": 4,
    "subn": 4,
}
#: Repetitions of at least so many count as endless: what is bounded by two hundred, three times
#: over, is bounded by eight million.
ENDLESS = 12


@dataclass(frozen=True)
class Found:
    """A pattern in the source.

    Attributes:
        place: ``module:line``, and the function, if it is in one.
        pattern: ``None`` if it is put together of what only a run knows.
        asked: the methods by which it is asked; empty if that cannot be seen.
    """

    place: str
    pattern: re.Pattern[Any] | None
    asked: frozenset[str] = frozenset()


def patterns_in(package: ModuleType) -> Iterator[Found]:
    """The patterns of a package: by its source, and what the names of its modules hold."""
    folder = Path(str(package.__file__)).parent
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))}
    uses: dict[str, set[str]] = {}
    for source in sources.values():
        for name, method in re.findall(r"\b(\w+)\.(\w+)\b", source):
            uses.setdefault(name, set()).add(method)
    for path, source in sources.items():
        parts = path.relative_to(folder.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if re.search(r"\bre\b", source):
            names = _names_of(module)
            named = {value: key for key, value in names.items() if isinstance(value, re.Pattern)}
            found = list(written_in(source, module, names))
            for each in found:
                asked = uses.get(named.get(each.pattern, ""), set()) & set(FLAGS_AT)
                yield replace(each, asked=each.asked or frozenset(asked))
            seen = {each.pattern for each in found}
            for key, value in names.items():
                new = dict.fromkeys(each for each in compiled_in(value) if each not in seen)
                for pattern in new:  # in the same order in every process
                    asked = uses.get(key, set()) & set(FLAGS_AT)
                    yield Found(f"{module}.{key}", pattern, frozenset(asked))


def _names_of(module: str) -> Mapping[str, Any]:
    """What a module knows; nothing, where it needs a host that is not here."""
    try:
        return vars(importlib.import_module(module))
    except ModuleNotFoundError:
        return {}


def compiled_in(value: Any) -> Iterator[re.Pattern[Any]]:
    """Patterns in a value, and in what it is made of."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(compiled_in(v) for pair in value.items() for v in pair)
    elif isinstance(value, tuple | list | set | frozenset):
        yield from chain.from_iterable(compiled_in(each) for each in value)


def written_in(source: str, name: str, names: Mapping[str, Any]) -> Iterator[Found]:
    """Calls of ``re`` in a source.

    Args:
        source: of a module.
        name: the module's.
        names: what the module knows, for patterns that are put together of constants.
    """
    aliases = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "re":
            raise AssertionError(f"{name}:{node.lineno}: write 'import re', so that it is found")
        if isinstance(node, ast.Import):
            aliases |= {n.asname or n.name for n in node.names if n.name == "re"}

    def calls(node: ast.AST, function: str) -> Iterator[tuple[ast.Call, str]]:
        for child in ast.iter_child_nodes(node):
            inside = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = child.name
            if _is_pattern(child, aliases):
                yield child, inside
            yield from calls(child, inside)

    for call, function in calls(tree, ""):
        place = f"{name}:{call.lineno} {function}".strip()
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        yield Found(place, _evaluated(call, names), frozenset({method} - {"compile"}))


def _is_pattern(node: ast.AST, aliases: set[str]) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in aliases
        and node.func.attr in FLAGS_AT
    )


def _evaluated(call: ast.Call, names: Mapping[str, Any]) -> re.Pattern[Any] | None:
    assert isinstance(call.func, ast.Attribute)
    at = FLAGS_AT[call.func.attr]
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    pattern = call.args[0] if call.args else keywords["pattern"]
    flags = call.args[at] if len(call.args) > at else keywords.get("flags", ast.Constant(0))
    try:
        value, options = (
            eval(compile(ast.fix_missing_locations(ast.Expression(part)), "", "eval"), dict(names))
            for part in (pattern, flags)
        )
    except NameError:
        return None
    return re.compile(value, options)


def ambiguities(pattern: re.Pattern[Any]) -> list[str]:
    """What regexploit says of a pattern, with long repetitions taken for endless ones."""
    from regexploit.ast.sre import SreOpParser
    from regexploit.redos import find

    class Strict(SreOpParser):
        def from_MAX_REPEAT(self, data: Any) -> Any:  # noqa: N802
            least, most, body = data
            return super().from_MAX_REPEAT((least, _endless(most), body))

    text = pattern.pattern
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    parsed = Strict().parse_sre(text, pattern.flags & ~re.DEBUG)
    return [] if parsed is None else [each.example() for each in find(parsed)]


def _endless(most: Any) -> Any:
    from regexploit.ast.sre import sre_constants

    return sre_constants.MAXREPEAT if most >= ENDLESS else most


def worst_texts(pattern: re.Pattern[Any], *lengths: int) -> Iterator[list[Any]]:
    """Texts on which a pattern may take long, each in these lengths."""
    text = pattern.pattern
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    tree = parser.parse(text, pattern.flags & (re.VERBOSE | re.IGNORECASE | re.DOTALL))
    units = {("", unit) for unit in _beginnings(tree)}
    units |= set(_repetitions(tree, "", _alphabet(tree)))
    for before, unit in sorted(units):
        for after in ("", "\0\n!"):
            if unit:
                texts = [before + unit * (length // len(unit)) + after for length in lengths]
                is_bytes = isinstance(pattern.pattern, bytes)
                yield [each.encode("latin-1", "replace") for each in texts] if is_bytes else texts


def _alphabet(tree: Any) -> list[str]:
    """A letter for each kind that a pattern tells apart."""
    letters = {"a", "A", "0", " ", "\n", "\t", "_", "é", "-", "."}
    for op, value in _nodes(tree):
        if op in (sre.LITERAL, sre.NOT_LITERAL):
            letters.add(chr(value))
        elif op is sre.RANGE:
            letters.add(chr(value[0]))
    return sorted(letters)


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    for op, value in tree:
        yield op, value
        if op is sre.IN:
            yield from value
        for part in _parts(op, value):
            yield from _nodes(part)


def _parts(op: Any, value: Any) -> Sequence[Any]:
    if op is sre.BRANCH:
        return list(value[1])
    if op is sre.SUBPATTERN:
        return [value[3]]
    if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        return [value[2]]
    if op in (sre.ASSERT, sre.ASSERT_NOT):
        return [value[1]]
    return []


def _example(tree: Any) -> str:
    """A short text that fits, as far as a tree tells it without looking around."""
    text = ""
    for op, value in tree:
        if op is sre.LITERAL:
            text += chr(value)
        elif op is sre.BRANCH:
            text += _example(value[1][0])
        elif op is sre.SUBPATTERN:
            text += _example(value[3])
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            text += _example(value[2]) * value[0]
        elif op in (sre.IN, sre.ANY, sre.NOT_LITERAL):
            fits = _fitting((op, value))
            text += next(filter(fits, "a0A _-.:,\n" + "".join(map(chr, range(33, 256)))), "")
    return text


def _fitting(item: tuple[Any, Any]) -> Callable[[str], Any]:
    """Whether an item of one letter takes a letter."""
    op, value = item
    if op is sre.ANY:
        return lambda letter: letter != "\n"
    if op is sre.LITERAL:
        return lambda letter: ord(letter) == value
    if op is sre.NOT_LITERAL:
        return lambda letter: ord(letter) != value
    categories = {
        sre.CATEGORY_DIGIT: r"\d",
        sre.CATEGORY_NOT_DIGIT: r"\D",
        sre.CATEGORY_SPACE: r"\s",
        sre.CATEGORY_NOT_SPACE: r"\S",
        sre.CATEGORY_WORD: r"\w",
        sre.CATEGORY_NOT_WORD: r"\W",
    }
    negated = value[0][0] is sre.NEGATE

    def holds(letter: str) -> bool:
        for kind, part in value:
            if (
                (kind is sre.LITERAL and ord(letter) == part)
                or (kind is sre.RANGE and part[0] <= ord(letter) <= part[1])
                or (kind is sre.CATEGORY and re.match(categories[part], letter))
            ):
                return not negated
        return negated

    return holds


def _beginnings(tree: Any) -> Iterator[str]:
    """What a pattern, and each of its branches, begins with: up to each of its parts."""
    text = ""
    for item in tree:
        for part in _parts(*item):
            yield from (text + begun for begun in _beginnings(part))
        text += _example([item]) or (
            _example(item[1][2]) if item[0] in (sre.MAX_REPEAT, sre.MIN_REPEAT) else ""
        )
        yield text


def _repetitions(tree: Any, before: str, letters: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What has to stand before each repetition, and what of it can be repeated."""
    for op, value in tree:
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT) and value[1] > 1:
            body = value[2]
            yield before, _example(body)
            if len(body) == 1 and body[0][0] in (sre.IN, sre.ANY, sre.NOT_LITERAL, sre.LITERAL):
                yield from ((before, letter) for letter in letters if _fitting(body[0])(letter))
        for part in _parts(op, value):
            yield from _repetitions(part, before, letters)
        before += _example([(op, value)])
