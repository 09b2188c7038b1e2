"""Writing a pack, and what never leaves the machine with it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...base.errors import LibraryError, PackError
from ...base.files import read_regular, write_atomic
from ...records.prompts import default_prompt_set
from ...records.protocols import RECIPE, Exclusion
from ...records.specification import OWN_PROMPTS
from ...records.specification import SCHEMA as SPECIFICATION_SCHEMA
from ..entries import stem
from .container import MAX_BYTES, MAX_HEADER, encode
from .entries import IDENTITY, entry_of, tensors_of
from .pack import MANIFEST_KEY, MAX_ENTRIES, SCHEMA, SCHEMA_KEY, Pack, PackAbout, content_id, parse
from .texts import clean
from .thumbnails import small_copy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...records.protocols import GenerationSettings
    from ...records.specification import Specification
    from ..catalogue import Library

#: Thumbnails by a specification's key, then by prompt id and seed.
Thumbnails = Mapping[str, Mapping[tuple[str, int], bytes]]
#: Extra settings whose meaning is known; whatever else a host keeps there may be private.
_EXTRA = ("prefix", "guidance", "shift", "prediction", "edited", "workflow")


@dataclass(frozen=True)
class Sharing:
    """What goes along only if it is asked for, or may be left out.

    Attributes:
        folders: file names keep the folders that they are in, and sets of the user's own prompts
            the name of theirs.
        recipes: candidates that are workflows. The workflows themselves never go along.
        own_prompts: specifications of images that the user has made of prompts of their own. The
            prompts, their hashes and the seeds never go along.
        prompt_embeddings: of the prompts; without them prompts do not count in a ranking.
    """

    folders: bool = False
    recipes: bool = False
    own_prompts: bool = False
    prompt_embeddings: bool = True


def shareable(
    specifications: Sequence[Specification], sharing: Sharing | None = None
) -> tuple[list[Specification], list[Exclusion]]:
    """Those that a pack can hold, and the others, each with the reason."""
    sharing = sharing or Sharing()
    good, excluded = [], []
    for specification in specifications:
        reason = _against(specification, sharing)
        if reason is None:
            good.append(specification)
        else:
            excluded.append(Exclusion(specification.candidate.title, reason))
    return good, excluded


def _against(specification: Specification, sharing: Sharing) -> str | None:
    """Why a specification cannot be part of a pack, or ``None``."""
    identity = specification.candidate.identity
    if identity.startswith("quick:"):
        return (
            "is known by a quick hash only, which nobody else can look up; export with --hash and "
            "the folder of your checkpoints"
        )
    if identity.startswith(RECIPE) and not sharing.recipes:
        return "is a workflow of yours; export with --recipes to share its specification"
    if specification.own_prompts and not sharing.own_prompts:
        return "is of images of your own; export with --own-prompts to share its specification"
    if not IDENTITY.fullmatch(identity):
        return "is not known by a hash of its file; build it anew"
    if not len(specification):
        return "has no samples yet; build it first"
    return None


def write_pack(
    path: Path,
    specifications: Sequence[Specification],
    about: PackAbout,
    thumbnails: Thumbnails | None = None,
    sharing: Sharing | None = None,
) -> Pack:
    """Write a pack, without anything private.

    Args:
        path: the file; replaced as a whole if there is one.
        specifications: that :func:`shareable` calls good. Of several that differ only in what is
            left out here, the one with most samples is written.
        about: what to say of the pack; without a time it is now.
        thumbnails: pictures to go along, drawn anew without metadata; by default none.
        sharing: what else may.

    Returns:
        The pack as it was read back.

    Raises:
        ImageError: a thumbnail cannot be decoded.
        LibraryError: the file cannot be written; what was there before is unchanged.
        PackError: nothing to write, too much, or something that cannot be shared.
    """
    sharing = sharing or Sharing()
    _, excluded = shareable(specifications, sharing)
    if excluded:
        raise PackError(f"{excluded[0].title} {excluded[0].reason}.")
    if not 1 <= len(specifications) <= MAX_ENTRIES:
        raise PackError(f"{path}: a pack holds 1 to {MAX_ENTRIES} specifications.")
    chosen: dict[str, tuple[Specification, Specification]] = {}
    for specification in sorted(specifications, key=lambda s: (-len(s), -s.updated)):
        public = without_private(specification, sharing)
        chosen.setdefault(public.key, (public, specification))
    ordered = sorted(chosen.values(), key=lambda pair: (pair[0].candidate.title, pair[0].key))
    tensors: dict[str, NDArray[Any]] = {}
    for number, (public, original) in enumerate(ordered):
        given = (thumbnails or {}).get(original.key, {})
        before, after = _rows(original), _rows(public)
        pictures = {
            new: small_copy(given[old])
            for old, new in zip(before, after, strict=True)
            if old in given
        }
        tensors.update(tensors_of(number, public, pictures))
    entries = [entry_of(public) for public, _ in ordered]
    schema, manifest = ".".join(map(str, SCHEMA)), _manifest(about, entries)
    manifest["id"] = content_id(schema, manifest, tensors)
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False)
    if (
        len(text) > MAX_HEADER * 3 // 4
        or sum(array.nbytes for array in tensors.values()) > MAX_BYTES - MAX_HEADER
    ):
        raise PackError(f"{path}: is more than one pack can hold. Export fewer at once.")
    data = encode({SCHEMA_KEY: schema, MANIFEST_KEY: text}, tensors)
    pack = parse(data, path.name)  # never write what cannot be read again
    write_atomic(path, data)
    return pack


def _rows(specification: Specification) -> list[tuple[str, int]]:
    return list(zip(specification.prompt_ids, specification.seeds, strict=True))


def _manifest(about: PackAbout, entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": clean(about.title),
        "author": clean(about.author),
        "licence": clean(about.licence),
        "link": about.link.strip(),
        "created": about.created or int(time.time()),
        "tool": f"find-best-model {__version__}",
        "specification_schema": ".".join(map(str, SPECIFICATION_SCHEMA)),
        "entries": entries,
    }


def without_private(specification: Specification, sharing: Sharing) -> Specification:
    """A specification as others may see it: what is not known to be harmless is left out."""
    if specification.own_prompts:
        specification = _numbered(specification)
    candidate, prompt_set = specification.candidate, specification.prompt_set
    name, title = candidate.name, candidate.title
    set_name = clean(prompt_set.name)
    if not sharing.folders:
        if not candidate.identity.startswith(RECIPE):  # a recipe's name has no folders
            name, title = _without_folders(name), _without_folders(title)
        if prompt_set.hash not in (default_prompt_set().hash, OWN_PROMPTS):
            # a set of one's own is called like the folder that it lies in
            set_name = f"prompts-{prompt_set.hash[:8]}"
    keep = sharing.prompt_embeddings
    return replace(
        specification,
        candidate=replace(
            candidate,
            title=clean(title) or "untitled",
            name=clean(name) or "unnamed",
            unknown={},
        ),
        prompt_set=replace(prompt_set, name=set_name or "unnamed", unknown={}),
        settings=_settings(specification.settings, sharing),
        text_encoder_id=specification.text_encoder_id if keep else None,
        prompt_embeddings=specification.prompt_embeddings if keep else None,
        provenance={},
        texts={},
        extra={},
        extra_tensors={},
    )


def _numbered(specification: Specification) -> Specification:
    """Own prompts under numbers: their ids are hashes that tell whether one guessed a prompt, and
    with a prompt and a seed an image can be made again."""
    ids: dict[str, str] = {}
    for prompt_id in specification.prompt_ids:
        ids.setdefault(prompt_id, f"own-{len(ids) + 1}")
    return replace(
        specification,
        prompt_ids=tuple(ids[prompt_id] for prompt_id in specification.prompt_ids),
        seeds=tuple(range(len(specification))),
        rejected=(),
    )


def _settings(settings: GenerationSettings, sharing: Sharing) -> GenerationSettings:
    vae = settings.vae
    if vae is not None:
        vae = clean(vae if sharing.folders else _without_folders(vae))
    extra = {key: settings.extra[key] for key in _EXTRA if key in settings.extra}
    plain = {k: v for k, v in extra.items() if isinstance(v, str | int | float | bool)}
    return replace(
        settings,
        vae=vae,
        negative=clean(settings.negative, lines=True),
        extra={k: clean(v, lines=True) if isinstance(v, str) else v for k, v in plain.items()},
        unknown={},
    )


def _without_folders(text: str) -> str:
    bare = text.rstrip("/\\")
    return text[max(bare.rfind("/"), bare.rfind("\\")) + 1 :]


def thumbnails_of(
    library: Library, specifications: Sequence[Specification]
) -> dict[str, dict[tuple[str, int], bytes]]:
    """The copies of samples that a library kept, as :func:`write_pack` takes them.

    Raises:
        LibraryError: one cannot be read.
    """
    found: dict[str, dict[tuple[str, int], bytes]] = {}
    for specification in specifications:
        for prompt_id, seed in _rows(specification):
            path = library.samples.find(stem(specification.key), prompt_id, seed)
            if path is None:
                continue
            try:
                data = read_regular(path)
            except OSError as error:
                reason = error.strerror or error
                raise LibraryError(f"{path}: cannot be read ({reason}).") from None
            found.setdefault(specification.key, {})[prompt_id, seed] = data
    return found
