"""The fitted state of a running program's library.

A ranking always comes from a *snapshot* of the library. The snapshot moves on when a pass over the
checkpoints ends, not with every sample: answers stay the same while a build is running, and
whatever a host caches behind an answer stays cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.background import Background, apart
from ..base.errors import LibraryError, RankingError
from ..ranking.fitted import Extra, Selection, open_fitted
from ..ranking.identify import Identifier
from ..ranking.prompt_order import informative_first
from ..records.specification import OWN_PROMPTS

if TYPE_CHECKING:
    from ..records.prompts import Prompt
    from .states import States

NOTHING = (
    "No checkpoint has a specification yet. Build them first: four images of each are enough to "
    "begin with."
)


@dataclass(frozen=True)
class FittedSnapshot:
    """A fitted library that answers queries.

    Attributes:
        name: changes whenever answers may change.
        identifier: ranks.
    """

    name: str
    identifier: Identifier


class Snapshots:
    """The snapshot that answers, and the next. All methods may be called from any thread.

    Args:
        states: of the candidates.
        device: that the encoder runs on.
        shipped: the library is the one that ships with this program: all of it answers, without a
            prior, because what was found out about just this ships as well.
        on_advance: called with the name of each new snapshot, also of the first that is fitted.
        after: called when :meth:`advance` is done, whether or not there is a new snapshot.
        background: makes of :meth:`advance` what :attr:`advance_soon` does, see
            :class:`.Background`; by default it is run at once.
    """

    def __init__(
        self,
        states: States,
        device: str,
        shipped: bool,
        on_advance: Callable[[str], None],
        after: Callable[[], None],
        background: Callable[[Callable[[], None]], Callable[[], None]],
    ) -> None:
        self._states, self._library = states, states.library
        self._device, self._shipped = device, shipped
        self._on_advance, self._after = on_advance, after
        self.advance_soon = background(self.advance)
        self._snapshot: FittedSnapshot | None = None
        self._name: str | None = None
        self._tidied = False
        #: Of whoever fits; ``_name`` and ``_snapshot`` change under it alone.
        self._fitting = threading.Lock()
        #: Follows identities that changed, for queries, which do not wait for it.
        self._follow = Background(self._advance)

    @property
    def name(self) -> str:
        """Name of the snapshot that answers; cheap, and unchanged until :meth:`advance`."""
        if self._name is None:
            self._name = self._library_name(self._selection())
        return self._name

    def prompts_in_order(self) -> list[Prompt]:
        """All prompts; those first that tell the candidates of this library apart best."""
        answering = self.answering
        library = None if answering is None else answering.identifier.library
        stack, kernel = (None, None) if library is None else (library.stack, library.learned)
        return informative_first(self._states.prompt_set.prompts, stack, kernel)

    @property
    def fitting(self) -> bool:
        """Whether answers are being brought to the library's present state, or are about to."""
        return self._fitting.locked() or bool(getattr(self.advance_soon, "busy", False))

    def advance(self) -> None:
        """Let answers follow the library as it is now. Takes a fit, so never inside a query."""
        apart(self._advance)
        self._after()

    def _advance(self) -> None:
        with self._fitting:
            self._tidy()
            self._states.candidates.settle()
            before = (self._name, self._snapshot)
            self._refit()
            moved = (self._name, self._snapshot) != before
        if moved:
            self._on_advance(self.name)

    def _tidy(self) -> None:
        """Once in a process, delete what was set aside long ago."""
        if not self._tidied:
            self._tidied = True
            with contextlib.suppress(LibraryError):  # another process is at it
                self._library.tidy()

    @property
    def answering(self) -> FittedSnapshot | None:
        """The snapshot that answers, if there is one yet. Never waits."""
        return self._snapshot

    def snapshot(self) -> FittedSnapshot:
        """The snapshot that answers. The first one is waited for, and fitted in another thread.

        Raises:
            RankingError: there is nothing to rank; the message says what to do.
        """
        answering = self._snapshot
        if answering is not None:
            return answering  # also while the next one is being fitted
        return apart(self._first)

    def known_by_now(self, identifier: Identifier, better: Mapping[str, str]) -> Identifier:
        """An identifier, with the identities that the host knows its candidates by now.

        Args:
            identifier: of a snapshot; where identities changed, the next one follows soon.
            better: by the identities before.
        """
        known = {candidate.identity for candidate in identifier.library.stack.candidates}
        names = {old: new for old, new in better.items() if old in known and new not in known}
        if not names:
            return identifier
        self._follow()
        return identifier.renamed(names)

    def _first(self) -> FittedSnapshot:
        with self._fitting:
            reason = None if self._snapshot is not None else self._refit()
            if self._snapshot is None:
                raise reason or RankingError(NOTHING)
            return self._snapshot

    def _refit(self) -> RankingError | None:
        """Fit what the library has now; returns why it cannot be ranked, if so."""
        selection = self._selection()
        name = self._library_name(selection)
        if self._snapshot is not None and self._snapshot.name == name:
            self._name = name
            return None
        snapshot, reason = None, None
        try:
            states, packed = self._states, self._states.packed()
            if not packed and not states.by_identity() and not states.by_identity(OWN_PROMPTS):
                raise RankingError(NOTHING)
            extra = Extra(tuple(row.specification for row in packed), states.packs_fingerprint)
            fitted = open_fitted(
                self._library,
                states.encoder,
                use_prior=not self._shipped,
                selection=selection,
                extra=extra,
            )
            fitted.prepare()
            snapshot = FittedSnapshot(name, Identifier(fitted, self._device))
        except RankingError as error:
            reason = error
        # both at once, or a host would keep the old answer under the new name
        self._name, self._snapshot = name, snapshot
        return reason

    def _selection(self) -> Selection:
        return Selection() if self._shipped else self._states.selection()

    def _library_name(self, selection: Selection) -> str:
        fingerprint, packs = self._library.fingerprint(), self._states.packs_fingerprint
        if not selection.without and not packs:
            return fingerprint
        text = f"{fingerprint} {selection.key} {packs}".rstrip()
        return hashlib.sha256(text.encode()).hexdigest()
