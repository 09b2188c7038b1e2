"""``gmi pack``: specifications in one file, to share them and to take over those of others."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import PackError, RankingError
from ..base.text import one_line
from ..library.catalogue import Library
from . import check
from .parts import EXIT_OK, EXIT_PARTLY, Bar, add_common, print_json, say
from .tables import table

if TYPE_CHECKING:
    from ..library.packs import Pack, PackCheck, PackInfo, Packs, Sharing
    from ..library.packs.writing import Thumbnails
    from ..records.protocols import Exclusion
    from ..records.specification import Specification


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    pack = commands.add_parser("pack", help="share specifications as one file, and take over such")
    actions = pack.add_subparsers(required=True, metavar="ACTION")

    def action(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Any:
        parser = actions.add_parser(name, help=text, description=text)
        add_common(parser)
        parser.set_defaults(run=run)
        return parser

    _export_options(action("export", _export, "write specifications into one file"))
    taken = action("import", _import, "add packs; your own specifications always count first")
    taken.add_argument("files", nargs="+", type=Path, metavar="FILE", help="packs")
    verify = action("verify", _verify, "read packs as a whole; without a name, those installed")
    verify.add_argument("names", nargs="*", metavar="FILE-OR-PACK", help="file, title or id")
    listed = action("list", _list, "which packs are installed")
    listed.add_argument("--pages", action="store_true", help="each checkpoint and its page")
    listed.add_argument(
        "--checkpoints",
        type=Path,
        metavar="DIR",
        help="see which of them are in this folder; files of the right size are read whole",
    )
    check.add_options(
        action("check", check.check, "compare a pack's entry with your installed checkpoint")
    )
    remove = action("remove", _remove, "move packs to the library's folder removed/")
    remove.add_argument("names", nargs="+", metavar="PACK", help="title or id")


# -- export ---------------------------------------------------------------------------------------


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="to write, for instance my.gmipack")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="titles or identities (default: all)"
    )
    parser.add_argument("--title", help="of the pack")
    parser.add_argument("--author", default="", help="your name, if you want it in the pack")
    parser.add_argument(
        "--licence", "--license", default="", help="for instance CC0-1.0, or a few words"
    )
    parser.add_argument("--link", default="", metavar="URL", help="where there is more about it")
    parser.add_argument(
        "--hash",
        type=Path,
        metavar="DIR",
        help="your checkpoints: hash those whose SHA-256 is not known yet (reads each file whole)",
    )
    parser.add_argument("--recipes", action="store_true", help="also candidates made by workflows")
    parser.add_argument(
        "--own-prompts", action="store_true", help="also those built from images that you had"
    )
    parser.add_argument("--folders", action="store_true", help="keep folders in names")
    parser.add_argument(
        "--no-prompt-embeddings",
        dest="prompt_embeddings",
        action="store_false",
        help="leave out the embeddings of prompts",
    )
    parser.add_argument("--thumbnails", action="store_true", help="add a small picture of samples")
    parser.add_argument(
        "--embedded", action="store_true", help="the 63 models that ship with this program"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")


def _export(arguments: argparse.Namespace) -> int:
    from ..library.packs import SUFFIX, PackAbout, Sharing, shareable, write_pack

    path: Path = arguments.file
    if path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    if path.exists() and not arguments.force:
        raise PackError(f"{path}: exists. Choose another name, or add --force to replace it.")
    sharing = Sharing(
        folders=arguments.folders or arguments.embedded,
        recipes=arguments.recipes,
        own_prompts=arguments.own_prompts,
        prompt_embeddings=arguments.prompt_embeddings,
    )
    found, pictures, problems = _chosen(arguments)
    good, excluded = shareable(found, sharing)
    excluded = [*problems, *excluded]
    if not good:
        reasons = "; ".join(f"{e.title} {e.reason}" for e in excluded[:3])
        raise PackError(f"There is nothing to export. {reasons}".strip())
    about = PackAbout(
        arguments.title or f"{len({s.candidate.identity for s in good})} checkpoints",
        arguments.author,
        arguments.licence,
        arguments.link,
    )
    pack = write_pack(path, good, about, pictures, sharing)
    if arguments.json:
        print_json(
            {
                "file": str(path),
                "id": pack.id,
                "specifications": len(pack.specifications),
                "thumbnails": sum(map(len, pack.thumbnails.values())),
                "excluded": [vars(e) for e in excluded],
            }
        )
    else:
        _print_export(path, pack, excluded, sharing)
    return EXIT_PARTLY if excluded else EXIT_OK


def _chosen(
    arguments: argparse.Namespace,
) -> tuple[list[Specification], Thumbnails, list[Exclusion]]:
    """What is asked for, with full identities where they were asked for, and its pictures."""
    from ..library.embedded import embedded_library
    from ..library.packs import thumbnails_of, with_full_hashes

    library = embedded_library() if arguments.embedded else Library(arguments.library)
    snapshot = library.snapshot()
    found, problems = list(snapshot.specifications), list(snapshot.excluded)
    if arguments.names:
        wanted = set()
        for name in arguments.names:
            entries = library.find(name)
            if not entries:
                raise RankingError(f"'{name}' is not in the library. See gmi library list.")
            wanted |= {entry.identity for entry in entries}
        found = [s for s in found if s.candidate.identity in wanted]
        problems = []
    pictures: Thumbnails = thumbnails_of(library, found) if arguments.thumbnails else {}
    if arguments.hash is not None:
        with Bar("Hashing", quiet=arguments.json) as progress:
            hashed = with_full_hashes(found, arguments.hash, progress)
        pairs = list(zip(found, hashed, strict=True))
        pictures = {new.key: pictures[old.key] for old, new in pairs if old.key in pictures}
        found = hashed
    return found, pictures, problems


def _print_export(path: Path, pack: Pack, excluded: list[Exclusion], sharing: Sharing) -> None:
    from ..records.prompts import default_prompt_set

    shared = default_prompt_set().hash
    size = path.stat().st_size / 1e6
    checkpoints = len({s.candidate.identity for s in pack.specifications})
    specifications = _count(len(pack.specifications), "specification")
    say(f"{path}: {specifications} of {_count(checkpoints, 'checkpoint')}, {size:.1f} MB")
    say("It tells which checkpoints these are (hash and name) and how samples were generated.")
    own = sum(s.prompt_set.hash != shared for s in pack.specifications)
    if own:
        embeddings = " and embeddings" if sharing.prompt_embeddings else ""
        say(f"Prompts that are not this program's own: it tells their ids{embeddings}.")
    pictures = sum(map(len, pack.thumbnails.values()))
    if pictures:
        say(f"It shows {_count(pictures, 'sample')} as small pictures.")
    for exclusion in excluded:
        say(f"left out: {exclusion.title}: {exclusion.reason}")


# -- import, remove -------------------------------------------------------------------------------


def _import(arguments: argparse.Namespace) -> int:
    from ..library.packs import Packs

    library = Library(arguments.library)
    packs = Packs(library)
    own = {entry.identity for entry in library.entries()}
    rows: list[dict[str, Any]] = []
    failed = False
    for path in arguments.files:
        try:
            report = packs.import_file(path)
        except PackError as error:
            if len(arguments.files) == 1:
                raise
            failed = True
            rows.append({"file": str(path), "error": str(error)})
            print(f"gmi: {one_line(str(error))}", file=sys.stderr)
            continue
        rows.append({"file": str(path), "new": report.new, **report.pack.to_json(own)})
        if not arguments.json:
            _print_import(report.pack, report.new, report.repaired, own)
    if arguments.json:
        print_json(rows)
    return EXIT_PARTLY if failed else EXIT_OK


def _print_import(info: PackInfo, new: bool, repaired: bool, own: set[str]) -> None:
    if not new:
        say(f"{_name(info)} is installed already; nothing was changed.")
        return
    done = "replaced the damaged copy of" if repaired else "imported"
    say(f"{done} {_name(info)}: {_count(len(info.entries), 'specification')}")
    say(f"  licence: {info.about.licence or 'not stated'}")
    if info.about.link:
        say(f"  more: {info.about.link}")
    mine = info.installed(own)
    if mine:
        say(f"  {mine} of its checkpoints are in your library; what you built counts first.")
    say(f"  to undo: gmi pack remove {info.id[:8]}")


def _remove(arguments: argparse.Namespace) -> int:
    from ..library.packs import Packs

    packs = Packs(Library(arguments.library))
    found = {info.id: info for info in map(packs.find, arguments.names)}
    moved = {info.id: packs.remove(info.id) for info in found.values()}
    if arguments.json:
        print_json([str(path) for path in moved.values()])
    else:
        for info in found.values():
            path = moved[info.id]
            say(f"{_name(info)} → {path}")
            say(f'  to undo: gmi pack import "{path}"')
    return EXIT_OK


# -- verify, list ---------------------------------------------------------------------------------


def _verify(arguments: argparse.Namespace) -> int:
    from ..library.packs import Packs

    packs = Packs(Library(arguments.library))
    targets = [_target(packs, name) for name in arguments.names] or packs.installed()
    checks = [packs.verify(target) for target in targets]
    if arguments.json:
        print_json([vars(check) for check in checks])
    else:
        for check in checks:
            _print_check(check)
        if not checks:
            say("No pack is installed.")
    return EXIT_PARTLY if any(check.problem for check in checks) else EXIT_OK


def _target(packs: Packs, name: str) -> Path | PackInfo:
    path = Path(name)
    if path.exists():
        return path
    try:
        return packs.find(name)
    except PackError as error:
        raise PackError(f"{error} There is no file of that name either.") from None


def _print_check(check: PackCheck) -> None:
    if check.problem is None:
        say(f"good: {check.name}: {_count(check.specifications, 'specification')}")
    else:
        say(f"damaged: {check.name}: {check.problem}")


def _list(arguments: argparse.Namespace) -> int:
    from ..library.packs import Packs, present

    library = Library(arguments.library)
    infos = Packs(library).installed()
    installed, where = {entry.identity for entry in library.entries()}, "in your library"
    if arguments.checkpoints is not None:
        with Bar("Hashing", quiet=arguments.json) as progress:
            installed = present(infos, arguments.checkpoints, progress)
        where = "installed"
    if arguments.json:
        print_json([info.to_json(installed) for info in infos])
        return EXIT_PARTLY if any(info.problem for info in infos) else EXIT_OK
    good = [info for info in infos if info.problem is None]
    for info in infos:
        if info.problem is not None:
            print(f"gmi: {one_line(info.id)}: {one_line(info.problem)}", file=sys.stderr)
    if not infos:
        say("No pack is installed. Import one with: gmi pack import FILE")
    elif good:
        _print_packs(good, installed, where)
    if arguments.pages:
        _print_pages(good, installed, where)
    return EXIT_PARTLY if len(good) < len(infos) else EXIT_OK


def _print_packs(infos: Sequence[PackInfo], installed: set[str], where: str) -> None:
    rows = [
        [
            info.about.title,
            info.about.author or "–",
            info.about.licence or "not stated",
            datetime.date.fromtimestamp(info.about.created).isoformat(),
            str(len(info.entries)),
            f"{info.installed(installed)}/{len(info.identities)}",
            info.id[:8],
        ]
        for info in infos
    ]
    headers = ["pack", "author", "licence", "of", "specifications", where, "id"]
    print(table(headers, rows, shrink=[0, 2, 1]))


def _print_pages(infos: Sequence[PackInfo], installed: set[str], where: str) -> None:
    from ..library.packs import page_link

    rows = {}
    for info in infos:
        for entry in info.entries:
            here = where if entry.identity in installed else f"not {where}"
            page = page_link(entry.identity) or "no file known"
            rows[entry.identity] = [entry.title, f"{entry.samples}/{entry.of_samples}", here, page]
    if rows:
        print()
        print(table(["checkpoint", "samples", "", "page"], list(rows.values()), shrink=[0]))


# -- shared ---------------------------------------------------------------------------------------


def _name(info: PackInfo) -> str:
    author = f" by {info.about.author}" if info.about.author else ""
    return f"“{info.about.title}”{author}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
