"""How samples come into the library of a running program, and where their pictures are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..encoders import load, optional_text_encoder
from ..submitting.harvest import Harvester
from ..submitting.recorder import Recorder
from ..submitting.reencode import reencode, waiting
from ..submitting.submit import Builder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..library.entries import Entry
    from ..ranking.results import Ranking
    from ..records.prompts import Prompt
    from ..records.protocols import Candidate, Encoder, Progress
    from .states import States


class Samples:
    """Stores samples, and finds their pictures. All methods may be called from any thread.

    Args:
        states: of the candidates that the samples are of.
        device: that the encoder runs on.
        keep: whether small copies of new samples are kept.
    """

    def __init__(
        self, states: States, device: str = "cpu", keep: Callable[[], bool] = lambda: True
    ) -> None:
        self.states, self.device, self.keep = states, device, keep
        self.library = states.library

    def recorder(self, keep_copies: bool = True) -> Recorder:
        """Stores samples of this program's prompt set."""
        text = optional_text_encoder()
        return Recorder(self.states.prompt_set, self.library, self._encoder(), text, keep_copies)

    def builder(self, prompts: Sequence[Prompt], progress: Progress) -> Builder:
        """Generates and stores samples of these prompts, in their order."""
        return Builder(
            self.states.host, self.recorder(self.keep()), progress, self.states.settings, prompts
        )

    def harvester(self) -> Harvester:
        """Stores samples of images that are there already."""
        return Harvester(self.library, self._encoder(), optional_text_encoder(), self.keep)

    def _encoder(self) -> Encoder:
        return load(self.states.encoder, self.device)

    def kept_by_others(self) -> int:
        """How many installed checkpoints have kept samples that this encoder has not read."""
        present = {candidate.identity for candidate in self.states.candidates.checkpoints()}
        found = waiting(self.library, self.states.encoder_id)
        return len({each.entry.identity for each in found} & present)

    def reencode(self, candidate: Candidate) -> int:
        """Let this encoder read the samples that others left of a checkpoint.

        Returns:
            How many there were.

        Raises:
            LibraryError: nothing can be stored.
            EncoderError: the encoder does not work.
        """
        chosen = waiting(self.library, self.states.encoder_id, [candidate.identity])
        if not chosen:
            return 0
        return sum(row.samples for row in reencode(self.library, self._encoder(), chosen))

    def sample(self, entry: Entry, prompt_id: str) -> Path | None:
        """The kept copy of a sample of this prompt, or ``None``."""
        try:
            seed = entry.described["seeds"][entry.described["prompt_ids"].index(prompt_id)]
        except ValueError:
            return None
        return self.library.samples.find(Path(entry.file).stem, prompt_id, int(seed))

    def advanced(self) -> None:
        """Called after answers were brought to the library's present state."""

    def before_shown(self, ranking: Ranking) -> None:
        """Called with each ranking before faces show pictures of its samples."""

    def uncopied(self) -> int:
        """How many samples a search could go through if :meth:`copy_for_search` copied them."""
        return 0

    def copy_for_search(self, progress: Progress, stop: Callable[[], bool]) -> None:
        """Keep copies of samples that have none: of hosts whose samples are the user's own files.

        Args:
            progress: told how far that is.
            stop: asked in between whether to end early.
        """
