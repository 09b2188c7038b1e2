"""Spot checks of what packs say, as faces ask for them: the host decides when one is run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError, RankingError
from ..checkpoints.overrides import apply as apply_settings
from ..ranking.trust import SpotCheck, columns_to_check, spot_check
from ..records.protocols import GenerationRequest, GenerationSettings

if TYPE_CHECKING:
    from ..library.packs import PackedSpecification
    from .service import Service

#: States of a check: in the host's queue, being compared, over, or not possible.
WAITING, COMPARING, DONE, FAILED = "waiting", "comparing", "done", "failed"
_GONE = "The check was taken out of the queue."
_BROKEN = "The check stopped. If nobody interrupted it, the log says what went wrong."


class Checks:
    """The spot checks of this process. All methods may be called from any thread.

    Args:
        service: of the host.
        submit: hands a checkpoint's name to the host, which ends in :meth:`run`; here and now by
            default.
        queued: names that the host has yet to run.
        compare: runs the comparison, which takes as long as a fit; here and now by default.
        notify: called with an outcome whenever there is one.
    """

    def __init__(
        self,
        service: Service,
        submit: Callable[[str], None] | None = None,
        queued: Callable[[], Collection[str]] = tuple,
        compare: Callable[[Callable[[], None]], None] = lambda work: work(),
        notify: Callable[[dict[str, Any]], None] = lambda outcome: None,
    ) -> None:
        self.service = service
        self.submit = submit or self.run
        self.queued, self.compare, self.notify = queued, compare, notify
        self._lock = threading.Lock()
        #: By name; ``None`` from the moment that it is asked for.
        self._outcomes: dict[str, dict[str, Any] | None] = {}

    def ask(self, name: str) -> dict[str, Any]:
        """Have what a pack says of a checkpoint compared with a few images of it.

        Returns:
            See :meth:`outcomes`.

        Raises:
            RankingError: it is not installed, or no pack describes it.
        """
        candidate = self.service.candidates.installed(name)
        if candidate.identity not in {row.identity for row in self.service.states.packed()}:
            raise RankingError(f"{candidate.title}: no pack says anything that could be checked.")
        if name not in self.queued():  # people press buttons twice
            with self._lock:
                self._outcomes[name] = None
            self.submit(name)
        return self.outcomes()[name]

    def check(self, name: str) -> SpotCheck:
        """Generate a few of a pack's prompts with the installed checkpoint, and compare.

        Takes as long as the images do; the host decides when they are generated.

        Raises:
            RankingError: no pack describes it, or there is too little to compare with.
            PresetError: the pack's settings are impossible.
            HostError: the checkpoint cannot generate.
        """
        return self.begin(name)()

    def begin(self, name: str) -> Callable[[], SpotCheck]:
        """The images of :meth:`check`; what comes back compares them, in any thread.

        Raises:
            RankingError: no pack describes it, or there is too little to compare with.
            PresetError: the pack's settings are impossible.
            HostError: the checkpoint cannot generate.
        """
        service = self.service
        candidate = service.candidates.installed(name)
        packed = next(
            (r for r in service.states.packed() if r.identity == candidate.identity), None
        )
        identifier = service.snapshots.snapshot().identifier
        library = identifier.library
        identities = [known.identity for known in library.stack.candidates]
        if packed is None or candidate.identity not in identities:
            raise RankingError(f"{candidate.title}: no pack says anything that could be checked.")
        row = identities.index(candidate.identity)
        columns = columns_to_check(library.stack, row)
        settings = _of_a_pack(packed, service.host.preset(candidate).settings)
        recorder, images = service.samples.recorder(), []
        requests = []
        for column in columns:
            prompt = service.prompt_set.get(library.stack.prompt_id(row, column))
            wording = recorder.wording(prompt, settings)
            seed = recorder.seed(prompt)
            requests.append(GenerationRequest(prompt.id, wording, settings.negative, seed))
        with service.host.session(candidate) as session:
            session.prepare(requests, settings)
            images = [session.generate(request, settings) for request in requests]
        features = identifier.encoder.features(images)
        return lambda: spot_check(library.stack, row, columns, features, library.prior)

    def run(self, name: str) -> None:
        """Generate the images and compare them. The host calls this when its turn has come.

        Raises:
            BaseException: whatever the host raises when it is interrupted.
        """
        try:
            finish = self.begin(name)
        except GMIError as error:
            self._tell(_outcome(name, FAILED, str(error)))
            return
        except BaseException:
            self._tell(_outcome(name, FAILED, _BROKEN))
            raise
        self._tell(_outcome(name, COMPARING))
        self.compare(lambda: self._finish(name, finish))

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """``state``, ``sentence`` and ``doubtful`` of every check, by the checkpoint's name."""
        queued = self.queued()  # before the outcomes: a check is told before it leaves the queue
        with self._lock:
            found = dict(self._outcomes)
        missing = {name for name, outcome in found.items() if outcome is None}
        waiting = {name: _outcome(name, WAITING) for name in missing if name in queued}
        gone = {name: _outcome(name, FAILED, _GONE) for name in missing if name not in queued}
        return {**{name: o for name, o in found.items() if o is not None}, **waiting, **gone}

    def _finish(self, name: str, finish: Callable[[], SpotCheck]) -> None:
        try:
            found = finish()
        except GMIError as error:
            self._tell(_outcome(name, FAILED, str(error)))
        except Exception:
            logging.exception("Find Best Model: a spot check failed")
            self._tell(_outcome(name, FAILED, _BROKEN))
        else:
            self._tell(_outcome(name, DONE, found.sentence, found.doubtful))

    def _tell(self, outcome: dict[str, Any]) -> None:
        with self._lock:
            self._outcomes[outcome["name"]] = outcome
        self.notify(outcome)


def _outcome(
    name: str, state: str, sentence: str = "", doubtful: bool | None = None
) -> dict[str, Any]:
    return {"name": name, "state": state, "sentence": sentence, "doubtful": doubtful}


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
