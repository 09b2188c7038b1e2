"""Candidates and what the library has of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..base.errors import GMIError
from ..checkpoints.overrides import apply as apply_settings
from ..encoders import registry
from ..library.packs import PackedSpecification, Packs, visible
from ..ranking.comparable import MIN_PROMPTS
from ..ranking.fitted import Selection
from ..records.protocols import RECIPE, Candidate, GenerationSettings
from ..records.specification import OWN_PROMPTS
from ..submitting.recorder import completed
from .candidates import Candidates

if TYPE_CHECKING:
    from ..checkpoints.presets import Preset
    from ..library.entries import Entry
    from ..records.prompts import PromptSet

#: In the extra settings of samples that were generated with the user's changes.
_EDITED = "edited"
_OTHER_FILE = "the file has changed since its specification was built"


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


class States:
    """What the library has of each candidate. All methods may be called from any thread.

    Args:
        candidates: of the running program.
        prompt_set: that specifications are built on.
        encoder: name of the image encoder.

    Attributes:
        failed: reasons why candidates failed in this process, by identity.
    """

    def __init__(self, candidates: Candidates, prompt_set: PromptSet, encoder: str) -> None:
        self.candidates = candidates
        self.host, self.library = candidates.host, candidates.library
        self.prompt_set, self.encoder = prompt_set, encoder
        self.packs = Packs(self.library)
        self.failed: dict[str, str] = {}

    @property
    def encoder_id(self) -> str:
        """Id of the image encoder."""
        return registry.info(self.encoder).id

    def all(self, candidates: Sequence[Candidate] | None = None) -> list[CheckpointState]:
        """The states of some candidates, by default of all."""
        with self.candidates.reading():
            return self._all(candidates)

    def _all(self, candidates: Sequence[Candidate] | None) -> list[CheckpointState]:
        chosen = self.candidates.all() if candidates is None else candidates
        self.candidates.settle()  # after it: hosts learn of hashes when they list their files
        entries, harvests = self.by_identity(), self.by_identity(OWN_PROMPTS)
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
        """How many of these candidates could be ranked and cannot yet, for want of samples."""
        entries, harvests = self.by_identity(), self.by_identity(OWN_PROMPTS)

        packed = {row.identity for row in self.packed() if _enough(row)}

        def lacks(identity: str) -> bool:
            found = [*entries.get(identity, []), *harvests.get(identity, [])]
            samples = max((entry.finished for entry in found), default=0)
            return samples < MIN_PROMPTS and identity not in packed

        return sum(c.unsupported is None and lacks(c.identity) for c in candidates)

    def of(self, candidate: Candidate) -> CheckpointState:
        """The state of one candidate."""
        identity = candidate.identity
        harvests = self.by_identity(OWN_PROMPTS).get(identity, [])
        return self._state(candidate, self.by_identity().get(identity, []), harvests)

    def superseded(self) -> dict[str, int]:
        """Installed checkpoints that were only built in a way that is not used any more.

        Returns:
            How many by what has changed: ``encoder`` or ``prompt set``.
        """
        encoder_id = self.encoder_id
        current = self.by_identity().keys() | self.by_identity(OWN_PROMPTS).keys()
        older: dict[str, str] = {}
        for entry in self.library.entries():
            if entry.identity not in current and entry.samples >= MIN_PROMPTS:
                same = entry.encoder_id == encoder_id
                older[entry.identity] = "prompt set" if same else "encoder"
        present = {candidate.identity for candidate in self.candidates.checkpoints()}
        return dict(Counter(why for identity, why in older.items() if identity in present))

    def packed(self) -> list[PackedSpecification]:
        """What packs add to the user's own specifications, those of this encoder."""
        if not self.packs.folder.is_dir():
            return []
        encoder_id, own = self.encoder_id, self.library.snapshot().specifications
        found = visible(own, self.packs.specifications(), self.host.hashed())
        return [row for row in found if row.specification.encoder_id == encoder_id]

    @property
    def packs_fingerprint(self) -> str:
        """Changes whenever packs do; empty where there are none."""
        return self.packs.fingerprint() if self.packs.folder.is_dir() else ""

    def gone(self) -> list[Entry]:
        """Specifications of checkpoints that are not installed any more."""
        present = {candidate.identity for candidate in self.candidates.all()}
        found = self.by_identity(OWN_PROMPTS) | self.by_identity()
        return [entries[0] for identity, entries in found.items() if identity not in present]

    def settings(self, candidate: Candidate) -> GenerationSettings:
        """What to generate a checkpoint's samples with.

        The user's changes count; else a specification that was begun is finished with the settings
        it was begun with, so that a later version's table of presets makes nothing worthless.

        Raises:
            HostError: it is not a file of this host.
        """
        entries = self.by_identity().get(candidate.identity, [])
        return self._settings(candidate, entries, self.host.preset(candidate))[0]

    def _settings(
        self, candidate: Candidate, entries: Sequence[Entry], preset: Preset
    ) -> tuple[GenerationSettings, Entry | None, bool]:
        """Settings, the specification that goes on with them, and whether the user changed them."""
        changes = self.host.overrides.get(candidate.identity)
        settings = apply_settings(preset.settings, changes)
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
            candidate=candidate,
            state=state,
            reason=reason,
            samples=samples,
            stored=stored,
            entry=entry,
            shown=shown,
            preset=preset,
            settings=settings,
            edited=edited,
            harvest=harvest,
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
        """The specifications of one candidate; the one with most samples first."""
        return self.by_identity().get(identity, [])

    def by_identity(self, prompt_set_hash: str | None = None) -> dict[str, list[Entry]]:
        """Specifications of this encoder and a prompt set, by the identity of their candidate.

        Those with most samples come first.
        """
        encoder_id, wanted = self.encoder_id, prompt_set_hash or self.prompt_set.hash
        found: dict[str, list[Entry]] = {}
        for entry in self.library.entries():
            if entry.encoder_id == encoder_id and entry.prompt_set_hash == wanted:
                found.setdefault(entry.identity, []).append(entry)
        for entries in found.values():
            entries.sort(key=lambda entry: (entry.samples, entry.updated), reverse=True)
        return found

    def selection(self) -> Selection:
        """What is ranked: specifications of this prompt set.

        Of a checkpoint that was built anew with other settings, only the new one.
        """
        replaced = set()
        for identity, entries in self.by_identity().items():
            if len(entries) > 1:
                replaced |= self._replaced(identity, entries)
        return Selection(self.prompt_set.hash, frozenset(replaced))

    def _replaced(self, identity: str, entries: Sequence[Entry]) -> set[str]:
        for candidate in self.candidates.checkpoints():
            if candidate.identity == identity:
                shown = self._state(candidate, entries).shown
                return {entry.stem for entry in entries if entry is not shown}
        return set()


def _enough(row: PackedSpecification) -> bool:
    return len(set(row.specification.prompt_ids)) >= MIN_PROMPTS
