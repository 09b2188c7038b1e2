"""What all faces of a running host share, composed of its parts."""

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
from .snapshots import Snapshots
from .states import States

if TYPE_CHECKING:
    from ..library.catalogue import Library


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

    Attributes:
        candidates: what can be ranked.
        states: what the library has of each candidate.
        samples: stores them, and finds their pictures.
        snapshots: the fitted state of the library that answers, and the next.
        descriptions: query images in words.
        answers: rankings, and what stands beside them.
        interrogators: in the user's order.
        favourites: marked by the user.
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

        self.candidates = Candidates(host, library)
        self.states = States(self.candidates, self.prompt_set, self.encoder)
        self.samples = options.samples(self.states, options.device, options.keep_samples)
        self.snapshots = Snapshots(
            self.states,
            device=options.device,
            shipped=options.shipped,
            on_advance=options.on_advance,
            after=self.samples.advanced,
            background=options.background,
        )
        self.descriptions = Descriptions(
            self.interrogators, self.snapshots, self.prompt_set, self.home / CLIP_TABLES
        )
        self.answers = Answers(self.states, self.snapshots, self.descriptions, self.samples)

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
            self.states.failed.pop(identity, None)
        self.snapshots.advance_soon()
        return len(chosen)
