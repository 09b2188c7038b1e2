"""What stands behind the tab when there is no program: a folder of images, or a library alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import EncoderError, GMIError, HostError, RankingError
from ..base.text import natural
from ..checkpoints.overrides import Overrides
from ..checkpoints.presets import CODEC, Preset
from ..encoders import DEFAULT, registry
from ..hosts.folder import FolderHost
from ..records.prompts import Prompt, PromptSet, default_prompt_set
from ..records.protocols import RECIPE, Candidate, GenerationRequest, GenerationSettings, Session
from ..service.samples import Samples
from ..service.snapshots import NOTHING
from ..submitting.recorder import BASE_SEED

if TYPE_CHECKING:
    from ..library.catalogue import Library
    from ..library.entries import Entry
    from ..ranking.results import Ranking
    from ..records.protocols import Progress
    from ..service.states import States

#: Images of a candidate whose pictures are made for the table.
_FIRST = 4
#: Rows of a ranking whose pictures are made before it is shown.
_SHOWN = 12


class NoProgram:
    """What a service asks of a host about its program, where there is none: nothing is there."""

    def choices(self) -> dict[str, list[str]]:
        return {"samplers": [], "schedulers": []}

    def image_folders(self) -> list[Path]:
        """See :meth:`.service.candidates.InstalledHost.image_folders`."""
        return []

    def preview_folders(self) -> list[Path]:
        """See :meth:`.service.candidates.InstalledHost.preview_folders`."""
        return []

    def hashed(self) -> dict[str, str]:
        return {}


class ImageFolder(NoProgram, FolderHost):
    """A folder of images, with what a tab asks of a host besides.

    Args:
        folder: see :class:`.hosts.folder.FolderHost`.
        overrides: the user's settings; there is nothing to set for images that exist.

    Raises:
        HostError: the folder has no ``images``.
        PromptSetError: ``prompts.json`` is missing or malformed.
    """

    def __init__(self, folder: Path | str, overrides: Overrides) -> None:
        super().__init__(folder)
        self.overrides = overrides

    def preset(self, candidate: Candidate) -> Preset:
        """Nothing is known of how the images were made."""
        architecture = candidate.architecture or "unknown"
        return Preset(architecture, None, None, self.default_settings(candidate))


class FolderSamples(Samples):
    """Samples of an :class:`ImageFolder`, which has the pictures that a library lacks.

    Specifications of images that exist keep no copies of them. The tab shows copies, so they are
    made when they are first looked at, or searched.
    """

    def __init__(self, states: States, device: str, keep: Callable[[], bool]) -> None:
        super().__init__(states, device, keep)
        #: Samples whose image is gone or damaged; copying them is not tried again.
        self._hopeless: set[tuple[str, str]] = set()

    def before_shown(self, ranking: Ranking) -> None:
        """See :meth:`.Samples.before_shown`."""
        for row in ranking.candidates[:_SHOWN]:
            for entry in self.states.entries(row.candidate.identity)[:1]:
                for prompt_id in row.evidence:
                    self.copy(entry, prompt_id)

    def copy(self, entry: Entry, prompt_id: str) -> None:
        """Keep a small copy of the image of a prompt, unless there is one or it cannot be."""
        from ..base.images import stored_copy

        library = self.library
        if library.read_only or self.sample(entry, prompt_id) is not None:
            return
        ids = entry.described["prompt_ids"]
        if prompt_id not in ids:
            return
        seed = int(entry.described["seeds"][ids.index(prompt_id)])
        name = str(entry.described["candidate"]["name"])
        candidate = Candidate(name, entry.identity, name)
        request = GenerationRequest(prompt_id, "", "", seed)
        with contextlib.suppress(GMIError), self.states.host.session(candidate) as session:
            image = session.generate(request, entry.settings)
            library.samples.write(entry.stem, prompt_id, seed, stored_copy(image, CODEC))

    def uncopied(self) -> int:
        """See :meth:`.Samples.uncopied`."""
        return len(self._without_copies())

    def copy_for_search(self, progress: Progress, stop: Callable[[], bool]) -> None:
        """See :meth:`.Samples.copy_for_search`."""
        todo = self._without_copies()
        for number, (entry, prompt_id) in enumerate(todo):
            if stop():
                return
            progress.update(number, len(todo), entry.title)
            self.copy(entry, prompt_id)
            if self.sample(entry, prompt_id) is None:
                self._hopeless.add((entry.stem, prompt_id))

    def _without_copies(self) -> list[tuple[Entry, str]]:
        if self.library.read_only:
            return []
        states = self.states
        known = states.candidates.all()
        entries = [entry for c in known for entry in states.entries(c.identity)[:1]]
        pairs = [(e, str(prompt_id)) for e in entries for prompt_id in e.described["prompt_ids"]]
        return [
            (entry, prompt_id)
            for entry, prompt_id in pairs
            if (entry.stem, prompt_id) not in self._hopeless
            and self.sample(entry, prompt_id) is None
        ]

    def advanced(self) -> None:
        """See :meth:`.Samples.advanced`: copies of the first images of all, for the table."""
        for candidate in self.states.candidates.all():
            for entry in self.states.entries(candidate.identity)[:1]:
                for prompt_id in entry.described["prompt_ids"][:_FIRST]:
                    self.copy(entry, prompt_id)


@dataclass(frozen=True)
class StoredPromptSet(PromptSet):
    """A prompt set of which a library knows the ids and the hash, but not the words."""

    stored_hash: str = ""

    @cached_property
    def hash(self) -> str:
        return self.stored_hash


class ListedLibrary(NoProgram):
    """A library as a host: it lists what it has, and cannot generate.

    Args:
        library: with specifications of at least one candidate.
        overrides: the user's settings, which change nothing here.

    Attributes:
        prompt_set: that most of its specifications were built on.
        encoder: that they were built with.

    Raises:
        RankingError: the library has nothing that this program knows the encoder of.
    """

    name = "library"

    def __init__(self, library: Library, overrides: Overrides) -> None:
        self.overrides = overrides
        self._library = library
        self.encoder, self.prompt_set = _most(library)

    def list_checkpoints(self) -> list[Candidate]:
        found: dict[str, Candidate] = {}
        for entry in self._entries():
            described = entry.described["candidate"]
            if not entry.identity.startswith(RECIPE):
                found[entry.identity] = Candidate(
                    entry.title,
                    entry.identity,
                    str(described["name"]),
                    size=int(described.get("size") or 0),
                    architecture=described.get("architecture"),
                    popularity=described.get("popularity"),
                )
        return sorted(found.values(), key=lambda candidate: natural(candidate.title))

    def _entries(self) -> list[Entry]:
        wanted = (registry.info(self.encoder).id, self.prompt_set.hash)
        entries = self._library.entries()
        return [entry for entry in entries if (entry.encoder_id, entry.prompt_set_hash) == wanted]

    def preset(self, candidate: Candidate) -> Preset:
        """What its samples were generated with.

        Raises:
            HostError: it is not in the library any more.
        """
        for entry in self._entries():
            if entry.identity == candidate.identity:
                architecture = candidate.architecture or "unknown"
                return Preset(architecture, None, None, entry.settings)
        raise HostError(f"{candidate.title}: is not in the library any more.")

    def default_settings(self, candidate: Candidate) -> GenerationSettings:
        return self.preset(candidate).settings

    def session(self, candidate: Candidate) -> AbstractContextManager[Session]:
        raise HostError(CANNOT_BUILD)

    def switch(self, candidate: Candidate) -> None:
        raise HostError("There is no program here that could load a checkpoint.")

    def current(self) -> Candidate | None:
        return None

    def interrupted(self) -> bool:
        return False


CANNOT_BUILD = (
    "There is no program here that could generate images. Build from a folder of images: "
    "gmi ui FOLDER."
)


def _most(library: Library) -> tuple[str, PromptSet]:
    """Encoder and prompt set of most specifications; rather of the default encoder."""
    known: dict[str, str] = {}
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in library.entries():
        with contextlib.suppress(EncoderError):  # of another version, or its package is missing
            known[entry.encoder_id] = registry.info(entry.encoder_id).name
            groups.setdefault((entry.encoder_id, entry.prompt_set_hash), []).append(entry)
    if not groups:
        raise RankingError(NOTHING)
    default = registry.info(DEFAULT).id
    encoder_id, hash_ = max(groups, key=lambda key: (key[0] == default, len(groups[key])))
    return registry.info(encoder_id).name, _prompt_set(groups[encoder_id, hash_], hash_)


def _prompt_set(entries: Sequence[Entry], hash_: str) -> PromptSet:
    """The prompt set of these specifications, in its order as far as that can be known."""
    shipped = default_prompt_set()
    if shipped.hash == hash_:
        return shipped
    positions: dict[str, int] = {}
    for entry in entries:
        described = entry.described
        for prompt_id, seed in zip(described["prompt_ids"], described["seeds"], strict=True):
            positions[str(prompt_id)] = int(seed) - BASE_SEED
    ids = sorted(positions, key=lambda prompt_id: positions[prompt_id])
    prompts = tuple(Prompt(id_, {"natural": id_.replace("-", " ").strip() or id_}) for id_ in ids)
    about = entries[0].described["prompt_set"]
    return StoredPromptSet(str(about["name"]), str(about["version"]), prompts, stored_hash=hash_)
