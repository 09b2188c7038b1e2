"""What all faces of a running host share: its checkpoints, one library, one fitted snapshot.

A ranking always comes from a *snapshot* of the library. The snapshot moves on when a pass over the
checkpoints ends, not with every sample: answers stay the same while a build is running, and
whatever a host caches behind an answer stays cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .app import Identifier, open_fitted, optional_text_encoder
from .background import Background, apart
from .encoders import AUTO, load, named, registry
from .errors import GMIError, InterrogatorError, MissingExtraError, RankingError
from .favourites import Favourites
from .fitted import Lent, Selection
from .images import to_rgb
from .interrogators import Described, Interrogators, Query
from .interrogators.cache import Cache
from .interrogators.clip_interrogator import NAME as CLIP_TABLES
from .library import Entry, Library
from .mentions import Installed, MadeWith, made_with
from .one_reading import OneReading
from .packs import PackedSpecification, Packs, visible
from .presets import apply as apply_settings
from .prompt_order import informative_first
from .prompts import Prompt, PromptSet, default_prompt_set
from .protocols import (
    Candidate,
    GenerationRequest,
    GenerationSettings,
    Host,
    Progress,
    PseudoPrompt,
)
from .recorder import Recorder, completed
from .reencode import reencode, waiting
from .specification import OWN_PROMPTS
from .stack import MIN_PROMPTS
from .trust import SpotCheck, columns_to_check, spot_check

if TYPE_CHECKING:
    from PIL import Image

    from .identify import RankedCandidate, Ranking
    from .metadata import Making
    from .presets import Overrides, Preset

#: Any architecture, in a filter.
ANY = "any"
#: Methods that a host offers; the others need a library of pixels, or popularities.
RANKERS = ("auto", "learned", "weighted-rkme", "rkme-clip", "rkme-concat")
NOTHING = (
    "No checkpoint has a specification yet. Build them first: four images of each are enough to "
    "begin with."
)
#: In the extra settings of samples that were generated with the user's changes.
_EDITED = "edited"
_OTHER_FILE = "the file has changed since its specification was built"
#: So many checkpoints that are not installed are named beside a ranking.
_ELSEWHERE = 3
#: Identities of candidates that are no file: what a workflow generates with.
RECIPE = "recipe:"


class InstalledHost(Host, Protocol):
    """A host whose checkpoints are files with presets."""

    overrides: Overrides

    def preset(self, candidate: Candidate) -> Preset:
        """What suits a checkpoint, without the user's changes."""

    def choices(self) -> Mapping[str, Any]:
        """What the host offers: ``samplers`` and ``schedulers``.

        And, where it has names of its own for what our settings name, these: ``labels``.
        """

    def hashed(self) -> dict[str, str]:
        """Better identities of files that were known by another one before: old → new."""

    def image_folders(self) -> list[Path]:
        """Where the host keeps the images that it makes."""

    def preview_folders(self) -> list[Path]:
        """Where pictures lie beside checkpoints: of use to a harvest, and nobody's output."""


@dataclass(frozen=True)
class Filter:
    """Which candidates to rank.

    Attributes:
        architecture: only this one, or :data:`ANY`.
        pattern: names with wildcards, several separated by commas; a folder ends in ``/``; a
            leading ``!`` takes away. Empty for all.
        names: only these; ``None`` for all.
    """

    architecture: str = ANY
    pattern: str = ""
    names: frozenset[str] | None = None

    def __call__(self, candidate: Candidate) -> bool:
        if self.names is not None and candidate.name not in self.names:
            return False
        if self.architecture not in (ANY, "", candidate.architecture):
            return False
        terms = [term.strip() for term in self.pattern.split(",") if term.strip()]
        wanted = [term for term in terms if not term.startswith("!")]
        unwanted = [term[1:].strip() for term in terms if term[:1] == "!" and term[1:].strip()]
        if any(_matches(candidate.name, term) for term in unwanted):
            return False
        return not wanted or any(_matches(candidate.name, term) for term in wanted)

    def unless_all(self) -> Filter | None:
        """Itself; ``None`` where it lets everything pass, and with it what is not installed."""
        every = self.names is None and self.architecture in (ANY, "")
        return None if every and not self.pattern.strip() else self


@dataclass(frozen=True)
class CheckpointState:
    """One installed checkpoint, or recipe, and what the library has of it.

    Attributes:
        candidate: which.
        state: ``none``, ``imported`` (ranked by what a pack says), ``harvested`` (ranked by images
            that were there already), ``quick`` (can be ranked, not complete), ``ready``,
            ``outdated`` (built with other settings than it has now), ``suspect``, ``unsupported``
            or ``failed``.
        reason: why it is outdated, suspect, unsupported or failed.
        samples: how many it has that count for a build.
        stored: how many it has in all.
        entry: the specification that a build goes on with, or ``None``.
        shown: the specification that is ranked, or ``None``: that one, or an older one as long as
            that has too few samples.
        preset: what suits it; ``None`` for recipes and unsupported files.
        settings: that its samples are generated with.
        edited: the user changed them.
        harvest: the specification of images that were there already, or ``None``.
        packed: what a pack says of it, if the user has built nothing, or ``None``.
    """

    candidate: Candidate
    state: str
    reason: str | None
    samples: int
    stored: int
    entry: Entry | None
    shown: Entry | None
    preset: Preset | None
    settings: GenerationSettings | None
    edited: bool
    harvest: Entry | None = None
    packed: PackedSpecification | None = None

    @property
    def pictured(self) -> list[Entry]:
        """Specifications whose samples show what it makes."""
        return [entry for entry in (self.shown, self.harvest) if entry is not None]


@dataclass(frozen=True)
class FittedSnapshot:
    """A fitted library that answers queries.

    Attributes:
        name: changes whenever answers may change.
        identifier: ranks.
    """

    name: str
    identifier: Identifier


class Service:
    """See the module's docstring. All methods may be called from any thread.

    Args:
        host: the running host.
        library: its library.
        prompt_set: that specifications are built on.
        encoder: name of the image encoder, or ``auto``.
        home: the user's folder, for everything that is no specification; by default the library's,
            which must not be that of a library that nobody may write to.

    Attributes:
        home: see above.
        device: that the encoder runs on; as a rule the accelerator is the host's.
        keep_samples: whether small copies of samples are kept.
        use_prior: see :func:`.app.open_fitted`.
    """

    def __init__(
        self,
        host: InstalledHost,
        library: Library,
        prompt_set: PromptSet | None = None,
        encoder: str = AUTO,
        home: Path | None = None,
    ) -> None:
        #: Runs :meth:`advance`; a host with work of its own puts a background in its place.
        self.advance_soon: Callable[[], None] = self.advance
        self.host = host
        self.library = library
        self.home = home or library.folder
        self.prompt_set = prompt_set or default_prompt_set()
        self.encoder = named(encoder)
        self.device = "cpu"
        self.keep_samples: Callable[[], bool] = lambda: True
        self.use_prior = True
        self.packs = Packs(library)
        self.favourites = Favourites(self.home / "favourites.json")
        #: Describe query images; hosts set the order and their own interrogator.
        self.interrogators = Interrogators(cache=Cache(self.home / "interrogations.json"))
        #: Candidates that failed in this process, by identity.
        self.failed: dict[str, str] = {}
        #: The newest answer of all, for faces that go on with it.
        self.last_ranking: Ranking | None = None
        #: Called with the name of each new snapshot, also of the first one that is fitted.
        self.on_advance: Callable[[str], None] = lambda name: None
        self._snapshot: FittedSnapshot | None = None
        self._name: str | None = None
        #: Owned by :meth:`settle`, under its lock.
        self._settled: set[tuple[str, str]] = set()
        self._settling = threading.Lock()
        #: Of whoever fits; ``_name`` and ``_snapshot`` change under it alone.
        self._fitting = threading.Lock()
        self._listing: OneReading[Sequence[Candidate]] = OneReading()
        #: Follows identities that changed, for queries, which do not wait for it.
        self._follow = Background(self._advance)

    # -- candidates -------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it lasts, this thread lists the host's checkpoints once and reads the catalogue
        once: of one request."""
        with self._listing.lasting(), self.library.reading():
            yield

    def checkpoints(self) -> list[Candidate]:
        """The host's."""
        return list(self._listing.get(self.host.list_checkpoints))

    def candidates(self) -> list[Candidate]:
        """The host's checkpoints, then the recipes of the library."""
        return [*self.checkpoints(), *self.recipes()]

    def recipes(self) -> list[Candidate]:
        """Candidates that workflows generate."""
        found = {}
        for entry in self.library.entries():
            if entry.identity.startswith(RECIPE):
                described = entry.described["candidate"]
                found[entry.identity] = Candidate(
                    entry.title, entry.identity, described["name"], architecture="workflow"
                )
        return list(found.values())

    def installed(self, name: str) -> Candidate:
        """A checkpoint of the host by its name.

        Raises:
            RankingError: there is none.
        """
        return self.all_installed([name])[0]

    def all_installed(self, names: Sequence[str]) -> list[Candidate]:
        """Checkpoints of the host by their names.

        Raises:
            RankingError: there is none of a name.
        """
        known = {candidate.name: candidate for candidate in self.checkpoints()}
        for name in names:
            if name not in known:
                raise RankingError(f"'{name}' is not an installed checkpoint.")
        return [known[name] for name in names]

    def states(self, candidates: Sequence[Candidate] | None = None) -> list[CheckpointState]:
        """Candidates, all by default, and what the library has of them."""
        with self.reading():
            return self._states(candidates)

    def _states(self, candidates: Sequence[Candidate] | None) -> list[CheckpointState]:
        chosen = self.candidates() if candidates is None else candidates
        self.settle()  # after it: hosts learn of hashes when they list their files
        entries, harvests = self._entries(), self._entries(OWN_PROMPTS)
        packed = {row.identity: row for row in self.packed()}
        found = []
        for c in chosen:
            state = self._state(c, entries.get(c.identity, []), harvests.get(c.identity, []))
            row = packed.get(c.identity)
            if row is not None and state.state == "none" and _enough(row):
                state = replace(state, state="imported", packed=row)
            found.append(state)
        if not any(state.state == "none" for state in found):
            return found  # as always in a ranking, which does not have to look for what is gone
        replaced = {str(entry.described["candidate"]["name"]) for entry in self.gone()}
        return [
            replace(state, state="outdated", reason=_OTHER_FILE)
            if state.state == "none" and not state.stored and state.candidate.name in replaced
            else state
            for state in found
        ]

    def missing(self, candidates: Sequence[Candidate]) -> int:
        """How many of these are supported and cannot be ranked for want of samples."""
        entries, harvests = self._entries(), self._entries(OWN_PROMPTS)

        packed = {row.identity for row in self.packed() if _enough(row)}

        def lacks(identity: str) -> bool:
            found = [*entries.get(identity, []), *harvests.get(identity, [])]
            samples = max((entry.finished for entry in found), default=0)
            return samples < MIN_PROMPTS and identity not in packed

        return sum(c.unsupported is None and lacks(c.identity) for c in candidates)

    def state(self, candidate: Candidate) -> CheckpointState:
        """One candidate and what the library has of it."""
        identity = candidate.identity
        harvests = self._entries(OWN_PROMPTS).get(identity, [])
        return self._state(candidate, self._entries().get(identity, []), harvests)

    def superseded(self) -> dict[str, int]:
        """Installed checkpoints that were only built in a way that is not used any more.

        Returns:
            How many by what has changed: ``encoder`` or ``prompt set``.
        """
        encoder_id = registry.info(self.encoder).id
        current = self._entries().keys() | self._entries(OWN_PROMPTS).keys()
        older: dict[str, str] = {}
        for entry in self.library.entries():
            if entry.identity not in current and entry.samples >= MIN_PROMPTS:
                same = entry.encoder_id == encoder_id
                older[entry.identity] = "prompt set" if same else "encoder"
        present = {candidate.identity for candidate in self.checkpoints()}
        return dict(Counter(why for identity, why in older.items() if identity in present))

    def kept_by_others(self) -> int:
        """How many installed checkpoints have kept samples that this encoder has not read."""
        present = {candidate.identity for candidate in self.checkpoints()}
        found = waiting(self.library, registry.info(self.encoder).id)
        return len({each.entry.identity for each in found} & present)

    def reencode(self, candidate: Candidate) -> int:
        """Let this encoder read the samples that others left of a checkpoint.

        Returns:
            How many there were.

        Raises:
            LibraryError: nothing can be stored.
            EncoderError: the encoder does not work.
        """
        chosen = waiting(self.library, registry.info(self.encoder).id, [candidate.identity])
        if not chosen:
            return 0
        encoder = load(self.encoder, self.device)
        return sum(row.samples for row in reencode(self.library, encoder, chosen))

    def packed(self) -> list[PackedSpecification]:
        """What packs add to the user's own specifications, those of this encoder."""
        if not self.packs.folder.is_dir():
            return []
        encoder_id, own = registry.info(self.encoder).id, self.library.snapshot().specifications
        found = visible(own, self.packs.specifications(), self.host.hashed())
        return [row for row in found if row.specification.encoder_id == encoder_id]

    def gone(self) -> list[Entry]:
        """Specifications of checkpoints that are not installed any more."""
        present = {candidate.identity for candidate in self.candidates()}
        found = self._entries(OWN_PROMPTS) | self._entries()
        return [entries[0] for identity, entries in found.items() if identity not in present]

    def settings(self, candidate: Candidate) -> GenerationSettings:
        """What to generate a checkpoint's samples with.

        The user's changes count; else a specification that was begun is finished with the settings
        it was begun with, so that a later version's table of presets makes nothing worthless.

        Raises:
            HostError: it is not a file of this host.
        """
        entries = self._entries().get(candidate.identity, [])
        return self._settings(candidate, entries, self.host.preset(candidate))[0]

    def _settings(
        self, candidate: Candidate, entries: Sequence[Entry], preset: Preset
    ) -> tuple[GenerationSettings, Entry | None, bool]:
        """Settings, the specification that goes on with them, and whether the user changed them."""
        changes = self.host.overrides.get(candidate.identity)
        settings = self.host.overrides.apply(preset.settings, changes)
        settings = completed(settings, self.prompt_set)
        if changes:
            settings = replace(settings, extra={**settings.extra, _EDITED: True})
            return settings, self._built_with(entries, settings), True
        plain = [entry for entry in entries if not entry.settings.extra.get(_EDITED)]
        entry = self._built_with(plain, settings) or (plain[0] if plain else None)
        return (settings if entry is None else entry.settings), entry, False

    def _state(
        self, candidate: Candidate, entries: Sequence[Entry], harvests: Sequence[Entry] = ()
    ) -> CheckpointState:
        preset, settings, edited = None, None, False
        entry = shown = entries[0] if entries else None
        reason = candidate.unsupported
        if reason is None and not candidate.identity.startswith(RECIPE):
            try:
                preset = self.host.preset(candidate)
                settings, entry, edited = self._settings(candidate, entries, preset)
            except GMIError as error:
                reason = str(error)
        if entry is not None and entry.samples >= MIN_PROMPTS:
            shown = entry
        harvest = harvests[0] if harvests else None
        state, reason = self._word(candidate, entry, shown, reason)
        if state == "none" and harvest is not None and harvest.samples >= MIN_PROMPTS:
            state = "harvested"
        samples = 0 if entry is None else entry.samples
        stored = sum(known.samples for known in entries)
        return CheckpointState(
            candidate,
            state,
            reason,
            samples,
            stored,
            entry,
            shown,
            preset,
            settings,
            edited,
            harvest,
        )

    def _word(
        self, candidate: Candidate, entry: Entry | None, shown: Entry | None, reason: str | None
    ) -> tuple[str, str | None]:
        """A candidate's state and the reason for it."""
        if reason is not None:
            return "unsupported", reason
        if entry is not None and entry.suspect:
            return "suspect", entry.suspect
        if candidate.identity in self.failed:
            return "failed", self.failed[candidate.identity]
        if entry is None or entry.samples < MIN_PROMPTS:
            if shown is not None and shown.samples >= MIN_PROMPTS:
                return "outdated", "it was built with other settings than it has now"
            return "none", None
        return ("ready" if entry.finished >= entry.prompt_set_size else "quick"), None

    def _built_with(self, entries: Sequence[Entry], settings: GenerationSettings) -> Entry | None:
        """The specification that was built with just these settings."""
        wanted = settings.to_json()
        return next((e for e in entries if e.settings.to_json() == wanted), None)

    def entries(self, identity: str) -> list[Entry]:
        """What the library has of one candidate; the specification with most samples first."""
        return self._entries().get(identity, [])

    def _entries(self, prompt_set_hash: str | None = None) -> dict[str, list[Entry]]:
        """By identity, of this encoder and a prompt set; those with most samples first."""
        encoder_id, wanted = registry.info(self.encoder).id, prompt_set_hash or self.prompt_set.hash
        found: dict[str, list[Entry]] = {}
        for entry in self.library.entries():
            if entry.encoder_id == encoder_id and entry.prompt_set_hash == wanted:
                found.setdefault(entry.identity, []).append(entry)
        for entries in found.values():
            entries.sort(key=lambda entry: (entry.samples, entry.updated), reverse=True)
        return found

    def recorder(self) -> Recorder:
        """Stores samples in this library."""
        return Recorder(
            self.prompt_set, self.library, load(self.encoder, self.device), optional_text_encoder()
        )

    # -- answers ----------------------------------------------------------------------------------

    @property
    def snapshot_name(self) -> str:
        """Of the snapshot that answers; cheap, and the same until :meth:`advance`."""
        if self._name is None:
            self._name = self._library_name(self._selection())
        return self._name

    def prompts_in_order(self) -> list[Prompt]:
        """The prompt set, with what tells this library's candidates apart best in front."""
        answering = self.answering
        library = None if answering is None else answering.identifier.library
        stack, kernel = (None, None) if library is None else (library.stack, library.learned)
        return informative_first(self.prompt_set.prompts, stack, kernel)

    def settle(self) -> None:
        """Let specifications and settings follow checkpoints whose whole hash has become known.

        Raises:
            LibraryError: a file cannot be written; nothing is lost.
            PresetError: the user's settings cannot be read.
        """
        with self._settling:  # who comes second finds it done, and not half done
            hashed = self.host.hashed()
            if not hashed:
                return
            for old, new in hashed.items() - self._settled:
                self.host.overrides.move(old, new)
                self._settled.add((old, new))
            # also of hashes that were followed before: a job that is running stores under the
            # identity that its checkpoint had when it began
            for old in hashed.keys() & {entry.identity for entry in self.library.entries()}:
                self.library.reidentify(old, hashed[old])

    @property
    def fitting(self) -> bool:
        """Whether answers are being brought to the library's present state, or are about to."""
        return self._fitting.locked() or bool(getattr(self.advance_soon, "busy", False))

    def advance(self) -> None:
        """Let answers follow the library as it is now. Takes a fit, so never inside a query."""
        apart(self._advance)

    def _advance(self) -> None:
        with self._fitting:
            self.settle()
            before = (self._name, self._snapshot)
            self._refit()
            moved = (self._name, self._snapshot) != before
        if moved:
            self.on_advance(self.snapshot_name)

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
            packed = self.packed()
            if not packed and not self._entries() and not self._entries(OWN_PROMPTS):
                raise RankingError(NOTHING)
            lent = Lent(tuple(row.specification for row in packed), self._packs_fingerprint())
            fitted = open_fitted(
                self.library, self.encoder, self.use_prior, selection=selection, lent=lent
            )
            fitted.prepare()
            snapshot = FittedSnapshot(name, Identifier(fitted, self.device))
        except RankingError as error:
            reason = error
        # both at once, or a host would keep the old answer under the new name
        self._name, self._snapshot = name, snapshot
        return reason

    def _selection(self) -> Selection:
        """Of this prompt set; of a checkpoint that was built anew with other settings, that."""
        replaced = set()
        for identity, entries in self._entries().items():
            if len(entries) > 1:
                replaced |= self._replaced(identity, entries)
        return Selection(self.prompt_set.hash, frozenset(replaced))

    def _replaced(self, identity: str, entries: Sequence[Entry]) -> set[str]:
        for candidate in self.checkpoints():
            if candidate.identity == identity:
                shown = self._state(candidate, entries).shown
                return {entry.stem for entry in entries if entry is not shown}
        return set()

    def _library_name(self, selection: Selection) -> str:
        fingerprint, packs = self.library.fingerprint(), self._packs_fingerprint()
        if not selection.without and not packs:
            return fingerprint
        text = f"{fingerprint} {selection.key} {packs}".rstrip()
        return hashlib.sha256(text.encode()).hexdigest()

    def _packs_fingerprint(self) -> str:
        return self.packs.fingerprint() if self.packs.folder.is_dir() else ""

    def rank(
        self,
        images: Sequence[Image.Image],
        prompt: str | None = None,
        method: str = "auto",
        wanted: Filter | None = None,
    ) -> Ranking:
        """Rank what is installed and passes the filter.

        Raises:
            ImageError: an image cannot be used.
            RankingError: nothing can be ranked, or the method cannot run.
        """
        snapshot = self.answering  # before what is installed: identities only get better
        with self.reading():
            listed = self.candidates()
            self.settle()
        better = dict(self.host.hashed())  # once for both, or one would be ahead of the other
        installed = by_best_identity(listed, better)
        wanted = wanted or Filter()
        chosen = [candidate for candidate in installed if wanted(candidate)]
        if not chosen:
            raise RankingError("No installed checkpoint passes the filter. Widen it.")
        identifier = self._known_by_now((snapshot or self.snapshot()).identifier, better)
        only = {candidate.identity for candidate in chosen}
        titles = {candidate.identity: candidate.title for candidate in reversed(installed)}
        titles |= {candidate.identity: candidate.title for candidate in reversed(chosen)}
        try:
            ranking = identifier.rank(images, prompt, method, only, titles)
        except MissingExtraError as error:
            ranking = identifier.rank(images, None, method, only, titles)
            note = f"The prompt was not used: {error}"
            ranking = replace(ranking, notes=(*ranking.notes, note))
        self.last_ranking = ranking
        return ranking

    def _known_by_now(self, identifier: Identifier, better: Mapping[str, str]) -> Identifier:
        """The same, with candidates by the identities that they have by now; a fit follows."""
        known = {candidate.identity for candidate in identifier.library.stack.candidates}
        names = {old: new for old, new in better.items() if old in known and new not in known}
        if not names:
            return identifier
        self._follow()
        return identifier.renamed(names)

    def elsewhere(
        self, images: Sequence[Image.Image], ranking: Ranking, prompt: str | None = None
    ) -> list[tuple[PackedSpecification, RankedCandidate]]:
        """Checkpoints that only packs know and that fit better than all installed ones, best first.

        Args:
            images: of the query.
            ranking: the answer for them.
            prompt: of the query.
        """
        installed = {c.identity for c in self.checkpoints()}
        packed = {row.identity: row for row in self.packed() if row.identity not in installed}
        identifier = self.snapshot().identifier
        ranked = {candidate.identity for candidate in identifier.library.stack.candidates}
        wanted = packed.keys() & ranked
        if not wanted:
            return []
        try:  # by the method of the answer: scores of different ones cannot be compared
            others = identifier.rank(images, prompt or None, ranking.method, wanted)
        except GMIError:
            return []
        best = ranking.best.score
        better = [row for row in others.candidates if row.score < best][:_ELSEWHERE]
        return [(packed[row.candidate.identity], row) for row in better]

    def spot_check(self, name: str) -> SpotCheck:
        """Generate a few of a pack's prompts with the installed checkpoint, and compare.

        Takes as long as the images do; the host decides when they are generated.

        Raises:
            RankingError: no pack describes it, or there is too little to compare with.
            PresetError: the pack's settings are impossible.
            HostError: the checkpoint cannot generate.
        """
        return self.begin_check(name)()

    def begin_check(self, name: str) -> Callable[[], SpotCheck]:
        """The images of :meth:`spot_check`; what comes back compares them, in any thread.

        Raises:
            RankingError: no pack describes it, or there is too little to compare with.
            PresetError: the pack's settings are impossible.
            HostError: the checkpoint cannot generate.
        """
        candidate = self.installed(name)
        packed = next((r for r in self.packed() if r.identity == candidate.identity), None)
        identifier = self.snapshot().identifier
        library = identifier.library
        identities = [known.identity for known in library.stack.candidates]
        if packed is None or candidate.identity not in identities:
            raise RankingError(f"{candidate.title}: no pack says anything that could be checked.")
        row = identities.index(candidate.identity)
        columns = columns_to_check(library.stack, row)
        settings = _of_a_pack(packed, self.host.preset(candidate).settings)
        recorder, images = self.recorder(), []
        requests = []
        for column in columns:
            prompt = self.prompt_set.get(library.stack.prompt_id(row, column))
            wording = recorder.wording(prompt, settings)
            seed = recorder.seed(prompt)
            requests.append(GenerationRequest(prompt.id, wording, settings.negative, seed))
        with self.host.session(candidate) as session:
            session.prepare(requests, settings)
            images = [session.generate(request, settings) for request in requests]
        features = identifier.encoder.encode_images([to_rgb(image) for image in images])
        return lambda: spot_check(library.stack, row, columns, features, library.prior)

    def made_with(self, makings: Sequence[Making | None]) -> list[MadeWith]:
        """What the metadata of a query's images say of their checkpoints."""
        if not any(makings):
            return []
        return made_with(makings, Installed(self.checkpoints(), self.host.hashed()))

    def ranked_checkpoints(self, ranking: Ranking) -> list[tuple[Candidate, RankedCandidate]]:
        """The checkpoints of an answer as they are installed now, best first; no recipes."""
        installed = {c.identity: c for c in reversed(self.checkpoints())}
        return [
            (installed[row.candidate.identity], row)
            for row in ranking.candidates
            if row.candidate.identity in installed
        ]

    def pseudo_prompt(
        self, ranking: Ranking, prompt: str | None, images: Sequence[Image.Image] = ()
    ) -> PseudoPrompt | None:
        """What describes the query of a ranking, without waiting for a slow interrogator.

        Args:
            ranking: knows the library's nearest prompt.
            prompt: the user's own words, which always come first.
            images: of the query, if others than the user and the library shall be asked.
        """
        nearest = self._prompt_text(ranking.nearest_prompt)
        if prompt and prompt.strip():
            return PseudoPrompt(prompt.strip(), "user")
        if images:
            query = Query(to_rgb(images[0]), None, None, lambda: nearest, self._tables)
            # a wrong order is told where somebody asks for a description; a ranking needs none
            with contextlib.suppress(InterrogatorError):
                return self.interrogators.describe(query, quick=True).prompt
        return None if nearest is None else PseudoPrompt(nearest, "library")

    def describe(self, images: Sequence[Image.Image], prompt: str | None) -> PseudoPrompt | None:
        """The same without ranking anything.

        Raises:
            ImageError: an image cannot be used.
            InterrogatorError: the user's order names an unknown interrogator.
        """
        if prompt and prompt.strip():
            return PseudoPrompt(prompt.strip(), "user")
        return self.interrogate(images, quick=True).prompt

    def interrogate(
        self,
        images: Sequence[Image.Image],
        making: Making | None = None,
        quick: bool = False,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
        order: Sequence[str] | None = None,
    ) -> Described:
        """Describe the first image by the interrogators in the user's order.

        Args:
            images: of the query; all of them find the library's nearest prompt.
            making: what the first image's file says.
            quick: do not wait for slow ones.
            progress: told by slow ones.
            stopped: whether the user asked to stop.
            order: names of interrogators, instead of the user's.

        Raises:
            ImageError: an image cannot be used.
            InterrogatorError: the user's order names an unknown interrogator.
            InterrogationStoppedError: the user asked to stop.
        """

        def nearest() -> str | None:
            identifier = self.snapshot().identifier
            return self._prompt_text(identifier.library.nearest_prompt(identifier.features(images)))

        query = Query(to_rgb(images[0]), None, making, nearest, self._tables)
        return self.interrogators.describe(query, quick, order, progress, stopped)

    @property
    def _tables(self) -> Path:
        return self.home / CLIP_TABLES

    def _prompt_text(self, prompt_id: str | None) -> str | None:
        texts = {known.id: known.text for known in self.prompt_set.prompts}
        return texts.get(prompt_id or "")

    def sample(self, entry: Entry, prompt_id: str) -> Path | None:
        """The kept copy of a sample of this prompt, or ``None``."""
        try:
            seed = entry.described["seeds"][entry.described["prompt_ids"].index(prompt_id)]
        except ValueError:
            return None
        return self.library.samples.find(Path(entry.file).stem, prompt_id, int(seed))

    def uncopied(self) -> int:
        """How many samples a search could go through if :meth:`copy_for_search` copied them."""
        return 0

    def copy_for_search(self, progress: Progress, stop: Callable[[], bool]) -> None:
        """Keep copies of samples that have none: of hosts whose samples are the user's own files.

        Args:
            progress: told how far that is.
            stop: asked in between whether to end early.
        """

    # -- changes ----------------------------------------------------------------------------------

    def remove(self, identities: Sequence[str]) -> int:
        """Take specifications out of the library; they are kept in its folder ``removed``.

        Raises:
            LibraryError: a file cannot be moved.
        """
        chosen = [entry for entry in self.library.entries() if entry.identity in identities]
        self.library.remove(chosen)
        for identity in identities:
            self.failed.pop(identity, None)
        self.advance_soon()
        return len(chosen)


def _of_a_pack(packed: PackedSpecification, usual: GenerationSettings) -> GenerationSettings:
    """The settings that a pack names, checked like those of a user; a stranger wrote them."""
    told = packed.specification.settings
    names = ("width", "height", "steps", "cfg", "sampler", "scheduler", "clip_skip", "vae")
    known = {name: value for name in names if (value := getattr(told, name)) is not None}
    texts = {"dialect": told.dialect, "negative": told.negative}
    prefix = told.extra.get("prefix")
    if isinstance(prefix, str):
        texts["prefix"] = prefix
    return apply_settings(usual, {**known, **texts})


def by_best_identity(candidates: Sequence[Candidate], better: Mapping[str, str]) -> list[Candidate]:
    """Candidates of a moment ago by what a host knows of their files by now, old → new."""
    return [
        replace(c, identity=better[c.identity]) if c.identity in better else c for c in candidates
    ]


def _enough(row: PackedSpecification) -> bool:
    return len(set(row.specification.prompt_ids)) >= MIN_PROMPTS


def _matches(name: str, term: str) -> bool:
    """Case does not count, ``\\`` is ``/``; without wildcards any part of the name may match."""
    name, term = name.replace("\\", "/").lower(), term.replace("\\", "/").lower()
    if term.endswith("/"):
        return name.startswith(term)
    if term in name:
        return True
    last = name.rsplit("/", 1)[-1]
    return any(fnmatchcase(part, term) for part in (name, last, last.rsplit(".", 1)[0]))
