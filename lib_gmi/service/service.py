"""What all faces of a running host share, composed of its parts.

Candidates and what the library has of them (:mod:`.candidates`, :mod:`.states`), samples
(:mod:`.samples`), the fitted snapshot that answers (:mod:`.snapshots`), descriptions
(:mod:`.descriptions`) and answers (:mod:`.answers`) are classes of their own. Faces call the
service; which part does the work is told by the list in :meth:`Service.__init__`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import LibraryError
from ..encoders import AUTO, named
from ..interrogators import DEFAULT_ORDER, Interrogators
from ..interrogators.cache import Cache
from ..interrogators.clip_interrogator import NAME as CLIP_TABLES
from ..interrogators.order import HostInterrogator
from ..library.favourites import Favourites
from ..records.prompts import PromptSet, default_prompt_set
from .answers import Answers
from .candidates import Candidates, InstalledHost
from .descriptions import Descriptions
from .samples import Samples
from .snapshots import FittedSnapshot, Snapshots
from .states import States

if TYPE_CHECKING:
    from ..library.catalogue import Library
    from ..ranking.results import Ranking


@dataclass(frozen=True)
class ServiceOptions:
    """How a program wants its service; what is called is asked or told each time anew.

    Attributes:
        device: that the encoder runs on; as a rule the accelerator is the host's.
        keep_samples: whether small copies of samples are kept.
        shipped: the library is the one that ships with this program, see :class:`.Snapshots`.
        samples: makes the part that stores samples; for hosts whose samples are files of their own.
        order: of interrogators, by name.
        interrogator: the program's own, if it has one.
        on_advance: called with the name of each new snapshot, also of the first that is fitted.
        background: makes of some work something that starts it; by default it is done at once.
    """

    device: str = "cpu"
    keep_samples: Callable[[], bool] = lambda: True
    shipped: bool = False
    samples: Callable[[States, str, Callable[[], bool]], Samples] = Samples
    order: Callable[[], Sequence[str]] = lambda: DEFAULT_ORDER
    interrogator: HostInterrogator | None = None
    on_advance: Callable[[str], None] = lambda name: None
    background: Callable[[Callable[[], None]], Callable[[], None]] = lambda work: work


class Service:
    """The service of one running host. All methods may be called from any thread.

    Args:
        host: the running host.
        library: its library.
        prompt_set: that specifications are built on.
        encoder: name of the image encoder, or ``auto``.
        home: the user's folder, for everything that is no specification; by default the library's,
            which must not be that of a library that nobody may write to.
        options: see :class:`ServiceOptions`.
    """

    def __init__(
        self,
        host: InstalledHost,
        library: Library,
        prompt_set: PromptSet | None = None,
        encoder: str = AUTO,
        home: Path | None = None,
        options: ServiceOptions | None = None,
    ) -> None:
        options = options or ServiceOptions()
        self.host, self.library = host, library
        self.home = home or library.folder
        self.prompt_set = prompt_set or default_prompt_set()
        self.encoder = named(encoder)
        self.favourites = Favourites(self.home / "favourites.json")
        self.interrogators = Interrogators(
            options.order, options.interrogator, Cache(self.home / "interrogations.json")
        )

        known = Candidates(host, library)
        self.reading, self.settle = known.reading, known.settle
        self.checkpoints, self.candidates = known.checkpoints, known.candidates
        self.recipes = known.recipes
        self.installed, self.all_installed = known.installed, known.all_installed

        states = States(known, self.prompt_set, self.encoder)
        self.packs, self.failed = states.packs, states.failed
        self.state, self.states = states.state, states.states
        self.entries, self.settings = states.entries, states.settings
        self.missing, self.superseded = states.missing, states.superseded
        self.packed, self.gone = states.packed, states.gone

        samples = options.samples(states, options.device, options.keep_samples)
        self.keep_samples = samples.keep
        self.recorder, self.builder = samples.recorder, samples.builder
        self.harvester, self.reencode = samples.harvester, samples.reencode
        self.kept_by_others, self.sample = samples.kept_by_others, samples.sample
        self.uncopied, self.copy_for_search = samples.uncopied, samples.copy_for_search

        snapshots = self._snapshots = Snapshots(
            states,
            device=options.device,
            shipped=options.shipped,
            on_advance=options.on_advance,
            after=samples.advanced,
            background=options.background,
        )
        self.snapshot, self.prompts_in_order = snapshots.snapshot, snapshots.prompts_in_order
        self.advance, self.advance_soon = snapshots.advance, snapshots.advance_soon

        descriptions = Descriptions(
            self.interrogators, snapshots, self.prompt_set, self.home / CLIP_TABLES
        )
        self.pseudo_prompt = descriptions.pseudo_prompt
        self.describe, self.interrogate = descriptions.describe, descriptions.interrogate

        answers = self._answers = Answers(states, snapshots, descriptions, samples)
        self.rank, self.answer = answers.rank, answers.answer
        self.ranked_checkpoints = answers.ranked_checkpoints

    @property
    def snapshot_name(self) -> str:
        """See :attr:`.Snapshots.snapshot_name`."""
        return self._snapshots.snapshot_name

    @property
    def answering(self) -> FittedSnapshot | None:
        """See :attr:`.Snapshots.answering`."""
        return self._snapshots.answering

    @property
    def fitting(self) -> bool:
        """See :attr:`.Snapshots.fitting`."""
        return self._snapshots.fitting

    @property
    def last_ranking(self) -> Ranking | None:
        """The newest answer of all, for faces that go on with it."""
        return self._answers.last_ranking

    def remove(self, identities: Sequence[str]) -> int:
        """Take specifications out of the library; they are kept in its folder ``removed``.

        Raises:
            LibraryError: a file cannot be moved, or the library ships with this program.
        """
        if self.library.read_only:
            raise LibraryError("The models that ship with this program cannot be removed.")
        chosen = [entry for entry in self.library.entries() if entry.identity in identities]
        self.library.remove(chosen)
        for identity in identities:
            self.failed.pop(identity, None)
        self.advance_soon()
        return len(chosen)
