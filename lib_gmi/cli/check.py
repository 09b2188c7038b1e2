"""``gmi pack check``: does what a pack says hold for the file that is installed?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import PackError
from ..library.catalogue import Library
from .output import Output, partly
from .parts import fitted

if TYPE_CHECKING:
    from ..library.packs import PackedSpecification
    from ..ranking.fitted import FittedLibrary
    from ..records.protocols import GenerationSettings


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("pack", metavar="PACK", help="title or id")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="its title in the pack")
    parser.add_argument(
        "--images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="what your checkpoint made of the prompts that the command names without this option, "
        "in their order",
    )


def check(arguments: argparse.Namespace) -> Output:
    """Say what to generate, or judge what was generated."""
    from ..base.images import open_image
    from ..library.packs import Packs, visible
    from ..ranking.fitted import Extra
    from ..ranking.identify import Identifier
    from ..ranking.trust import IMAGES, columns_to_check, spot_check

    library = Library(arguments.library)
    packs = Packs(library)
    packed = _entry(packs, arguments.pack, arguments.checkpoint)
    shown = visible(library.snapshot().specifications, packs.specifications())
    if all(row.specification is not packed.specification for row in shown):
        raise PackError(
            f"{arguments.checkpoint}: you have a specification of your own, and that one counts."
        )
    extra = Extra(tuple(row.specification for row in shown), packs.fingerprint())
    fit = fitted(arguments, library, encoder=packed.specification.encoder_id, extra=extra)
    row = _row_of(fit, packed)
    columns = columns_to_check(fit.stack, row)
    if arguments.images is None:
        ids = [fit.stack.prompt_id(row, column) for column in columns]
        return _task(packed, ids)
    if len(arguments.images) != IMAGES:
        raise PackError(f"Give {IMAGES} images, one of each prompt, in their order.")
    features = Identifier(fit).encoder.features([open_image(path) for path in arguments.images])
    found = spot_check(fit.stack, row, columns, features, fit.prior)
    data = {**vars(found), "doubtful": found.doubtful}
    return Output(data, [found.sentence], code=partly(found.doubtful))


def _entry(packs: Any, pack: str, title: str) -> PackedSpecification:
    info = packs.find(pack)
    rows = [row for row in packs.specifications() if row.pack.id == info.id]
    for row in rows:
        if title in (row.specification.candidate.title, row.identity):
            found: PackedSpecification = row
            return found
    raise PackError(f"{info.about.title}: holds no '{title}'. See gmi pack list --pages.")


def _row_of(fitted: FittedLibrary, packed: PackedSpecification) -> int:
    for row, candidate in enumerate(fitted.stack.candidates):
        if candidate.identity == packed.identity:
            return row
    reasons = [e.reason for e in fitted.excluded if e.title == packed.specification.candidate.title]
    raise PackError(
        f"{packed.specification.candidate.title}: cannot be compared with your library "
        f"({'; '.join(reasons) or 'it was built in another way'})."
    )


def _task(packed: PackedSpecification, ids: list[str]) -> Output:
    specification = packed.specification
    texts = prompt_texts(ids)
    seeds = dict(zip(specification.prompt_ids, specification.seeds, strict=True))
    tasks = [{"prompt": texts[i], "seed": seeds[i]} for i in ids]
    settings = _described(specification.settings)
    text = [
        f"Generate these with {specification.candidate.title} as you have it ({settings}):",
        *(f"  {n}. seed {task['seed']}: {task['prompt']}" for n, task in enumerate(tasks, 1)),
        "Then run this again with --images and the three files, in this order.",
    ]
    return Output({"settings": specification.settings.to_json(), "images": tasks}, text)


def prompt_texts(ids: list[str]) -> dict[str, str]:
    """Wording of prompts of the default set.

    Raises:
        PackError: one is of another set, whose words a pack does not tell.
    """
    from ..records.prompts import default_prompt_set

    known = {prompt.id: prompt.text for prompt in default_prompt_set().prompts}
    unknown = [i for i in ids if i not in known]
    if unknown:
        raise PackError("The pack was built on prompts that this program does not have.")
    return known


def _described(settings: GenerationSettings) -> str:
    names = ("width", "height", "steps", "cfg", "sampler", "scheduler", "clip_skip")
    known = ((name, getattr(settings, name)) for name in names)
    return ", ".join(f"{name} {value}" for name, value in known if value is not None)
