"""``gmi pack``: specifications in one file, to share them and to take over those of others."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import PackError
from ..library.catalogue import Library
from . import check
from .output import Column, Output, Table, partly, reasons
from .parts import Bar, add_command, entries_named

if TYPE_CHECKING:
    from ..library.packs import ImportReport, Pack, PackInfo, Packs, Sharing
    from ..library.packs.writing import Thumbnails
    from ..records.protocols import Exclusion
    from ..records.specification import Specification


def add_parser(commands: Any) -> None:
    """Add the command."""
    pack = commands.add_parser("pack", help="share specifications as one file, and take over such")
    actions = pack.add_subparsers(required=True, metavar="ACTION")
    _export_options(add_command(actions, "export", _export, "write specifications into one file"))
    text = "add packs; your own specifications always count first"
    taken = add_command(actions, "import", _import, text)
    taken.add_argument("files", nargs="+", type=Path, metavar="FILE", help="packs")
    text = "read packs as a whole; without a name, those installed"
    verify = add_command(actions, "verify", _verify, text)
    verify.add_argument("names", nargs="*", metavar="FILE-OR-PACK", help="file, title or id")
    listed = add_command(actions, "list", _list, "which packs are installed")
    listed.add_argument("--pages", action="store_true", help="each checkpoint and its page")
    listed.add_argument(
        "--checkpoints",
        type=Path,
        metavar="DIR",
        help="see which of them are in this folder; files of the right size are read whole",
    )
    text = "compare a pack's entry with your installed checkpoint"
    check.add_options(add_command(actions, "check", check.check, text))
    text = "move packs to the library's folder removed/"
    remove = add_command(actions, "remove", _remove, text)
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


def _export(arguments: argparse.Namespace) -> Output:
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
        why = "; ".join(f"{e.title} {e.reason}" for e in excluded[:3])
        raise PackError(f"There is nothing to export. {why}".strip())
    about = PackAbout(
        arguments.title or f"{len({s.candidate.identity for s in good})} checkpoints",
        arguments.author,
        arguments.licence,
        arguments.link,
    )
    pack = write_pack(path, good, about, pictures, sharing)
    data = {
        "file": path,
        "id": pack.id,
        "specifications": len(pack.specifications),
        "thumbnails": sum(map(len, pack.thumbnails.values())),
        "excluded": excluded,
    }
    text = [*_exported(path, pack, sharing), *reasons("left out", excluded)]
    return Output(data, text, code=partly(excluded))


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
        wanted = {entry.identity for entry in entries_named(library, arguments.names)}
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


def _exported(path: Path, pack: Pack, sharing: Sharing) -> list[str]:
    from ..records.prompts import default_prompt_set

    shared = default_prompt_set().hash
    size = path.stat().st_size / 1e6
    checkpoints = len({s.candidate.identity for s in pack.specifications})
    specifications = _count(len(pack.specifications), "specification")
    text = [
        f"{path}: {specifications} of {_count(checkpoints, 'checkpoint')}, {size:.1f} MB",
        "It tells which checkpoints these are (hash and name) and how samples were generated.",
    ]
    if any(s.prompt_set.hash != shared for s in pack.specifications):
        embeddings = " and embeddings" if sharing.prompt_embeddings else ""
        text.append(f"Prompts that are not this program's own: it tells their ids{embeddings}.")
    pictures = sum(map(len, pack.thumbnails.values()))
    if pictures:
        text.append(f"It shows {_count(pictures, 'sample')} as small pictures.")
    return text


# -- import, remove -------------------------------------------------------------------------------


def _import(arguments: argparse.Namespace) -> Iterator[Output]:
    packs = _packs(arguments)
    own = {entry.identity for entry in packs.library.entries()}
    for path in arguments.files:
        try:
            report = packs.import_file(path)
        except PackError as error:
            if len(arguments.files) == 1:
                raise
            told = {"file": path, "error": str(error)}
            yield Output(told, problems=[str(error)], code=partly(True))
        else:
            data = {"file": path, "new": report.new, **report.pack.to_json(own)}
            yield Output(data, _imported(report, own))


def _imported(report: ImportReport, own: set[str]) -> list[str]:
    info = report.pack
    if not report.new:
        return [f"{_name(info)} is installed already; nothing was changed."]
    done = "replaced the damaged copy of" if report.repaired else "imported"
    text = [
        f"{done} {_name(info)}: {_count(len(info.entries), 'specification')}",
        f"  licence: {info.about.licence or 'not stated'}",
    ]
    if info.about.link:
        text.append(f"  more: {info.about.link}")
    mine = info.installed(own)
    if mine:
        text.append(
            f"  {mine} of its checkpoints are in your library; what you built counts first."
        )
    return [*text, f"  to undo: gmi pack remove {info.id[:8]}"]


def _remove(arguments: argparse.Namespace) -> Output:
    packs = _packs(arguments)
    found = {info.id: info for info in map(packs.find, arguments.names)}
    moved = {info.id: packs.remove(info.id) for info in found.values()}
    text = []
    for id_, path in moved.items():
        text += [f"{_name(found[id_])} → {path}", f'  to undo: gmi pack import "{path}"']
    return Output(list(moved.values()), text)


# -- verify, list ---------------------------------------------------------------------------------


def _verify(arguments: argparse.Namespace) -> Output:
    packs = _packs(arguments)
    targets = [_target(packs, name) for name in arguments.names] or packs.installed()
    checks = [packs.verify(target) for target in targets]
    text = [
        f"good: {check.name}: {_count(check.specifications, 'specification')}"
        if check.problem is None
        else f"damaged: {check.name}: {check.problem}"
        for check in checks
    ]
    problem = any(check.problem for check in checks)
    return Output(checks, text or ["No pack is installed."], code=partly(problem))


def _target(packs: Packs, name: str) -> Path | PackInfo:
    path = Path(name)
    if path.exists():
        return path
    try:
        return packs.find(name)
    except PackError as error:
        raise PackError(f"{error} There is no file of that name either.") from None


def _list(arguments: argparse.Namespace) -> Output:
    from ..library.packs import present

    packs = _packs(arguments)
    infos = packs.installed()
    installed, where = {entry.identity for entry in packs.library.entries()}, "in your library"
    if arguments.checkpoints is not None:
        with Bar("Hashing", quiet=arguments.json) as progress:
            installed = present(infos, arguments.checkpoints, progress)
        where = "installed"
    good = [info for info in infos if info.problem is None]
    text: list[str | Table] = [_table(good, installed, where)] if good else []
    if not infos:
        text = ["No pack is installed. Import one with: gmi pack import FILE"]
    if arguments.pages and any(info.entries for info in good):
        text += ["", _pages(good, installed, where)]
    return Output(
        [info.to_json(installed) for info in infos],
        text,
        problems=[f"{info.id}: {info.problem}" for info in infos if info.problem is not None],
        code=partly(len(good) < len(infos)),
    )


def _table(infos: Sequence[PackInfo], installed: set[str], where: str) -> Table:
    columns = [
        Column("pack", lambda info: info.about.title, cut=1),
        Column("author", lambda info: info.about.author or None, cut=3),
        Column("licence", lambda info: info.about.licence or "not stated", cut=2),
        Column("of", lambda info: str(datetime.date.fromtimestamp(info.about.created))),
        Column("specifications", lambda info: len(info.entries)),
        Column(where, lambda info: f"{info.installed(installed)}/{len(info.identities)}"),
        Column("id", lambda info: info.id[:8]),
    ]
    return Table(columns, infos)


def _pages(infos: Sequence[PackInfo], installed: set[str], where: str) -> Table:
    from ..library.packs import page_link

    columns = [
        Column("checkpoint", lambda e: e.title, cut=1),
        Column("samples", lambda e: f"{e.samples}/{e.of_samples}"),
        Column("", lambda e: where if e.identity in installed else f"not {where}"),
        Column("page", lambda e: page_link(e.identity) or "no file known"),
    ]
    entries = {entry.identity: entry for info in infos for entry in info.entries}
    return Table(columns, list(entries.values()))


# -- shared ---------------------------------------------------------------------------------------


def _packs(arguments: argparse.Namespace) -> Packs:
    from ..library.packs import Packs

    return Packs(Library(arguments.library))


def _name(info: PackInfo) -> str:
    author = f" by {info.about.author}" if info.about.author else ""
    return f"“{info.about.title}”{author}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
