"""``gmi bench``: a benchmark of one's own checkpoints."""

from __future__ import annotations

import argparse
import fnmatch
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import HostError, PromptSetError
from .parts import EXIT_INTERRUPTED, EXIT_OK, EXIT_PARTLY, Bar, positive, print_json, say

if TYPE_CHECKING:
    from ..records.prompts import PromptSet
    from ..records.protocols import Host


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    bench = commands.add_parser("bench", help="make a benchmark of your own checkpoints")
    actions = bench.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser(
        "create",
        help="generate the paper's protocol",
        description="Generates, with every checkpoint of a host, the images that specifications "
        "are built of and those that are queries; the two share neither prompts nor seeds. Stop it "
        "whenever you like: it goes on where it stopped. Then: python -m benchmarks.paper report "
        "FOLDER.",
    )
    create.add_argument("folder", type=Path, metavar="FOLDER", help="where it goes")
    create.add_argument(
        "--host",
        required=True,
        metavar="KIND:WHERE",
        help="who generates: webui:http://127.0.0.1:7860, a web UI on this machine that was "
        "started with --api (its login, if any, in $GMI_WEBUI_LOGIN as user:password); or "
        "folder:DIR, images that exist",
    )
    create.add_argument("--specifications", type=Path, metavar="FILE", help="prompt set")
    create.add_argument("--evaluation", type=Path, metavar="FILE", help="prompts of the queries")
    create.add_argument(
        "--queries",
        type=positive,
        metavar="N",
        help="instead of --evaluation: the host's prompt set is split, every Nth one is a query",
    )
    create.add_argument("--seeds", type=positive, default=1, help="of each evaluation prompt")
    create.add_argument("--candidates", metavar="PATTERN", help="only those whose name matches")
    create.add_argument("--json", action="store_true", help="print JSON")
    create.set_defaults(run=_create)


def _create(arguments: argparse.Namespace) -> int:
    from ..submitting.bench import create

    host = open_host(arguments.host)
    specifications, evaluation = _prompts(arguments, host)
    candidates = [
        candidate
        for candidate in host.list_checkpoints()
        if arguments.candidates is None or fnmatch.fnmatch(candidate.title, arguments.candidates)
    ]
    if not candidates:
        raise HostError(f"{arguments.host}: no candidate matches.")
    with Bar("Generating", quiet=arguments.json) as bar:
        summary = create(
            host, arguments.folder, specifications, evaluation, arguments.seeds, candidates, bar
        )
    if arguments.json:
        print_json({**vars(summary), "failed": [vars(e) for e in summary.failed]})
    else:
        say(f"{summary.generated} images generated, {summary.kept} were there: {arguments.folder}")
        if summary.unavailable:
            say(f"{summary.unavailable} images cannot be made by this host.")
        for exclusion in summary.failed:
            say(f"failed: {exclusion.title}: {exclusion.reason}")
    if summary.cancelled:
        return EXIT_INTERRUPTED
    return EXIT_PARTLY if summary.failed or summary.unavailable else EXIT_OK


def open_host(text: str) -> Host:
    """A host by what ``--host`` says.

    Raises:
        HostError: no such kind of host, or it cannot be reached.
    """
    from ..hosts.folder import FolderHost

    kind, _, where = text.partition(":")
    if kind == "webui" and where:
        from ..hosts.webui_api import WebUIApi

        return WebUIApi(where, os.environ.get("GMI_WEBUI_LOGIN"))
    if kind == "folder" and where:
        return FolderHost(where)
    raise HostError(
        f"--host {text}: is no host that the command line can generate with. Give "
        "webui:http://127.0.0.1:7860, or folder:DIR with images/ and prompts.json."
    )


def _prompts(arguments: argparse.Namespace, host: Host) -> tuple[PromptSet, PromptSet]:
    """The two prompt sets."""
    from dataclasses import replace

    from ..records.prompts import PromptSet, default_prompt_set
    from ..submitting.bench import evaluation_prompt_set

    if arguments.queries is not None:
        own = getattr(host, "prompt_set", None)
        if arguments.evaluation is not None or not isinstance(own, PromptSet):
            raise PromptSetError("--queries splits the prompt set of a host that has one.")
        step = arguments.queries
        queries = tuple(p for i, p in enumerate(own.prompts) if i % step == 0)
        rest = tuple(p for i, p in enumerate(own.prompts) if i % step)
        if not rest:
            raise PromptSetError("--queries 1 leaves no prompt for the specifications.")
        return replace(own, prompts=rest), replace(own, prompts=queries)
    specifications, evaluation = default_prompt_set(), evaluation_prompt_set()
    if arguments.specifications is not None:
        specifications = PromptSet.load(arguments.specifications)
    if arguments.evaluation is not None:
        evaluation = PromptSet.load(arguments.evaluation)
    return specifications, evaluation
