"""The routes' handlers: dict → dict, no web framework in sight.

Whatever comes in is checked here; names are only ever looked up among what the host lists.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import RequestError
from ..base.images import decode_image
from ..base.text import natural
from ..checkpoints.overrides import PresetError
from ..interrogators import parse_order
from ..library.packs import SUFFIX as PACK_SUFFIX
from ..metadata import making_in
from ..service import recipes
from ..service.answers import RANKERS
from ..service.build_state import RUNNING, BuildState
from ..service.builds import Builds
from ..service.candidates import RECIPE, by_best_identity
from ..service.checks import Checks
from ..service.filters import ANY, Filter
from ..service.harvests import Harvests, harvest_json
from ..service.searches import Searches
from ..service.service import Service
from ..service.states import CheckpointState
from ..submitting.survey import Rules
from . import api_search

if TYPE_CHECKING:
    from PIL import Image

    from ..checkpoints.overrides import Overrides
    from ..metadata import Making
    from ..ranking.results import RankedCandidate, Ranking
    from ..records.protocols import GenerationSettings, PseudoPrompt
    from ..service.answers import Answer

PREFIX = "/gmi/v1"
#: Of all images of one query together, as they are uploaded.
MAX_UPLOAD = 64 << 20
MAX_IMAGES = 8
MAX_PROMPT = 5000
_PREVIEWS = 4
#: Settings that no form shows; null takes one back.
_UNSHOWN = ("guidance", "shift")


class Api:
    """What every face can ask for.

    Args:
        service: of the host.
        builds: of the host.
        checks: of the host; by default those that are run at once.
    """

    def __init__(self, service: Service, builds: Builds, checks: Checks | None = None) -> None:
        self.service = service
        self.builds = builds
        self.harvests = Harvests(service)
        self.checks = checks or Checks(service)
        self.searches = Searches(service)

    # -- looking ----------------------------------------------------------------------------------

    def library(self) -> dict[str, Any]:
        """Every checkpoint with its state, and the build."""
        with self.service.reading():
            return self._library()

    def _library(self) -> dict[str, Any]:
        service = self.service
        states = service.states()
        groups, group_of = self._groups(states)
        rows = [self._row(state, group_of) for state in states]
        superseded = service.superseded()
        seen: set[str] = set()
        for row, state in zip(rows, states, strict=True):
            if state.candidate.identity in seen:  # an equal file is not built twice
                row["missing"] = dict.fromkeys(row["missing"], 0)
            seen.add(state.candidate.identity)
        return {
            "prompts": len(service.prompt_set),
            "passes": list(service.prompt_set.passes()),
            "checkpoints": rows,
            "gone": [
                {
                    "title": entry.title,
                    "name": entry.described["candidate"]["name"],
                    "identity": entry.identity,
                    "samples": entry.samples,
                }
                for entry in service.gone()
            ],
            "superseded": superseded,
            "kept_by_others": service.kept_by_others() if superseded else 0,
            "groups": groups,
            "architectures": sorted({r["architecture"] for r in rows if r["architecture"]}),
            "folders": sorted({f for r in rows if (f := _folder(r["name"]))}, key=natural),
            "dialects": list(service.prompt_set.dialects),
            **service.host.choices(),
            "seconds_per_sample": self.builds.seconds_per_sample(),
            "first_run": not any(state.pictured or state.packed for state in states),
            "snapshot": service.snapshot_name,
            "fitting": service.fitting,
            "build": self.build(),
        }

    def build(self) -> dict[str, Any]:
        """The build as it is now."""
        state = self.builds.state()
        waiting = self.builds.waiting_for() if state.state == RUNNING else None
        return build_json(state, waiting)

    def harvest(self) -> dict[str, Any]:
        """What the images in the host's folders say, and how far a harvest is."""
        return harvest_json(self.harvests.state())

    def packs(self) -> list[dict[str, Any]]:
        """The packs that were imported."""
        service = self.service
        if not service.packs.folder.is_dir():
            return []
        installed = {candidate.identity for candidate in service.candidates()}
        return [
            {
                "id": info.id,
                "title": info.about.title,
                "author": info.about.author,
                "licence": info.about.licence,
                "link": info.about.link,
                "specifications": len(info.entries),
                "installed": info.installed(installed),
                "problem": info.problem,
            }
            for info in service.packs.installed()
        ]

    def shared(self) -> dict[str, Any]:
        """The packs, whether they can be changed, and what spot checks of them said."""
        return {
            "packs": self.packs(),
            "writable": not self.service.library.read_only,
            "limit": MAX_UPLOAD,
            "checks": self.checks.outcomes(),
        }

    def check_pack(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Have what a pack says of the checkpoint ``name`` compared with a few images of it.

        Raises:
            RequestError: malformed.
            RankingError: it is not installed, or no pack describes it.
        """
        return self.checks.ask(_text(body, "name"))

    def import_pack(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Add a pack that was uploaded as base64 in ``data``.

        Raises:
            RequestError: malformed, or too large.
            PackError: it is no pack; nothing was changed.
        """
        data = body.get("data")
        if not isinstance(data, str) or len(data) > MAX_UPLOAD * 4 // 3:
            raise RequestError(
                f"Packs of up to {MAX_UPLOAD >> 20} MB can be imported here; larger ones with: "
                "gmi pack import"
            )
        _, comma, encoded = data.partition(",")
        try:
            content = base64.b64decode(encoded if comma else data, validate=True)
        except (binascii.Error, ValueError):
            raise RequestError("The pack is not valid base64.") from None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"uploaded{PACK_SUFFIX}"
            path.write_bytes(content)
            report = self.service.packs.import_file(path)
        self.service.advance_soon()
        return {"title": report.pack.about.title, "new": report.new}

    def remove_pack(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Take the pack ``name`` (its id or title) out; it is kept in the folder ``removed``.

        Raises:
            PackError: there is none.
        """
        self.service.packs.remove(_text(body, "name"))
        self.service.advance_soon()
        return {}

    def sample(self, folder: str, file: str) -> Path | None:
        """The file of a sample; ``None`` for anything that the library did not write itself."""
        return self.service.library.samples.open(folder, file)

    def recipe(self, name: str) -> dict[str, Any]:
        """The workflow of a recipe.

        Raises:
            RequestError: there is none.
        """
        known = {candidate.name for candidate in self.service.recipes()}
        graph = recipes.graph(self.service, name) if name in known else None
        if graph is None:
            raise RequestError("There is no workflow of that name.")
        return {"graph": graph}

    # -- asking -----------------------------------------------------------------------------------

    def rank(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Rank for uploaded images.

        Raises:
            RequestError: malformed.
            GMIError: nothing can be ranked; the message says what to do.
        """
        top = _number(body, "top", 12, 1, 200)
        files = [_content(image, n) for n, image in enumerate(_images(body), 1)]
        images = [decode_image(file, name=f"image {n}") for n, file in enumerate(files, 1)]
        method = _text(body, "method", "auto")
        if method not in RANKERS:
            raise RequestError(f"Unknown method. Known: {', '.join(RANKERS)}.")
        prompt = _text(body, "prompt", "", MAX_PROMPT).strip()
        names = self.service.favourites.names() if body.get("favourites") is True else None
        wanted = Filter(_text(body, "architecture", ANY), _text(body, "pattern", "", 500), names)
        makings = [making_in(file) for file in files]
        return self.ranked(images, makings, prompt, method, wanted, top)

    def ranked(
        self,
        images: Sequence[Image.Image],
        makings: Sequence[Making | None],
        prompt: str,
        method: str,
        wanted: Filter,
        top: int,
    ) -> dict[str, Any]:
        """The whole answer to a query: the ranking, and what stands beside it.

        Raises:
            GMIError: nothing can be ranked; the message says what to do.
        """
        with self.service.reading():
            return self.answer_json(
                self.service.answer(images, prompt or None, method, wanted, makings), top, wanted
            )

    def search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Find checkpoints, or samples, by what they show; see :mod:`.api_search`.

        Raises:
            RequestError: malformed.
            GMIError: nothing can be searched; the message says what to do.
        """
        return api_search.search(self.searches, body)

    def read_for_search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Read samples, and images of the host's own folders, so that a search finds them.

        Raises:
            RequestError: malformed.
            SearchError: a folder is not one that the host's configuration names.
        """
        return self.searches.read(api_search.folders_of(body))

    def search_picture(self, query: Mapping[str, str]) -> bytes | None:
        """The picture of a hit in an indexed folder; see :func:`.api_search.picture`."""
        return api_search.picture(self.searches, query)

    def describe(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Describe an image in words; waits for slow interrogators.

        Raises:
            RequestError: malformed.
            ImageError: an image cannot be used.
            InterrogatorError: an interrogator is unknown.
        """
        files = [_content(image, n) for n, image in enumerate(_images(body), 1)]
        images = [decode_image(file, name=f"image {n}") for n, file in enumerate(files, 1)]
        named = _text(body, "interrogators", "")
        order = parse_order(named) if named.strip() else None
        described = self.service.interrogate(images, making_in(files[0]), order=order)
        said = described.prompt
        return {
            "prompt": None if said is None else asdict(said),
            "notes": list(described.notes),
        }

    def answer_json(self, answer: Answer, top: int, wanted: Filter | None = None) -> dict[str, Any]:
        """What faces show of a whole answer.

        That is the ranking, before it what the images say themselves, and what is not installed and
        would fit better by the packs; links of these are only ever shown.
        """
        return {
            **self.ranking_json(answer.ranking, top, answer.prompt, wanted),
            "made_with": [said.to_json() for said in answer.made_with],
            "elsewhere": [
                {
                    "title": absent.packed.specification.candidate.title,
                    "pack": absent.packed.pack.about.title,
                    "author": absent.packed.pack.about.author,
                    "page": absent.packed.page,
                    "score": absent.row.score,
                }
                for absent in answer.elsewhere
            ],
        }

    def ranking_json(
        self,
        ranking: Ranking,
        top: int,
        prompt: PseudoPrompt | None = None,
        wanted: Filter | None = None,
    ) -> dict[str, Any]:
        """What faces show of a ranking: names as they are today, pictures, what is missing."""
        with self.service.reading():
            return self._ranking_json(ranking, top, prompt, wanted)

    def _ranking_json(
        self, ranking: Ranking, top: int, prompt: PseudoPrompt | None, wanted: Filter | None
    ) -> dict[str, Any]:
        listed = self.service.candidates()
        better = self.service.host.hashed()  # since the ranking as well
        candidates = by_best_identity(listed, better)
        # of equal files the first name serves, and rather one that passes the filter
        passing = wanted or Filter()
        ordered = sorted(candidates, key=lambda candidate: not passing(candidate))
        by_identity = {candidate.identity: candidate for candidate in reversed(ordered)}
        found = (
            (row, by_identity.get(better.get(row.candidate.identity, row.candidate.identity)))
            for row in ranking.candidates
        )
        # a file may have been removed a moment ago
        shown = [(row, known) for row, known in found if known is not None][:top]
        states = self.service.states([candidate for _, candidate in shown])
        rows = [self._ranked(row, state) for (row, _), state in zip(shown, states, strict=True)]
        return {
            "verdict": ranking.verdict,
            "method": ranking.method,
            "reason": ranking.reason,
            "foreign": ranking.foreign,
            "conformal": ranking.conformal,
            "notes": list(ranking.notes),
            "prompt": None if prompt is None else asdict(prompt),
            "candidates": rows,
            "near_duplicates": [
                {"titles": list(group.titles), "probability": group.probability}
                for group in ranking.groups
            ],
            "excluded": [vars(exclusion) for exclusion in ranking.excluded],
            "missing": self.service.missing(candidates),
        }

    # -- changing ---------------------------------------------------------------------------------

    def start_build(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Queue a build.

        Raises:
            RequestError: malformed.
            RankingError: a name is not installed.
        """
        names = body.get("names")
        pattern = _text(body, "pattern", "", 500)
        if names is not None:
            names = _names(names)
        elif pattern.strip():
            wanted = Filter(pattern=pattern)
            names = [c.name for c in self.service.checkpoints() if wanted(c)]
            if not names:
                raise RequestError(f"No installed checkpoint is called '{pattern}'.")
        limit = body.get("limit")
        if limit is not None:
            limit = _number(body, "limit", 0, 1, len(self.service.prompt_set))
        return build_json(self.builds.start(names, limit))

    def pause_build(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Stop after the image that is being generated."""
        return build_json(self.builds.pause())

    def resume_build(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Go on."""
        return build_json(self.builds.resume())

    def cancel_build(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Stop at once."""
        return build_json(self.builds.cancel())

    def look_at_images(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Read what the images in the host's folders say; builds nothing.

        With ``once``, only if nobody has looked in this process yet: what a page asks for by
        itself, when it is opened before there is any specification.

        Raises:
            RequestError: malformed.
        """
        if body.get("once") is True:
            return harvest_json(self.harvests.look_once())
        return harvest_json(self.harvests.look(_rules(body)))

    def start_harvest(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Build specifications of images that are there, of ``names`` or of all that have enough.

        With ``rest``, checkpoints whose images are not enough, by the last look, are built up to
        so many samples each.

        Raises:
            RequestError: malformed.
            RankingError: a name is not installed.
        """
        names, rules = body.get("names"), _rules(body)
        if names is not None:
            names = _names(names)
            self.service.all_installed(names)
        if body.get("rest") is None:
            return harvest_json(self.harvests.start(names, rules))
        limit = _number(body, "rest", 0, 1, len(self.service.prompt_set))
        survey = self.harvests.state().survey
        if survey is None:
            raise RequestError("Nobody has looked at the images yet.")
        enough = {crop.candidate.identity for crop in survey.enough}
        installed = self.service.checkpoints()
        rest = [c.name for c in installed if c.identity not in enough and not c.unsupported]
        answer = harvest_json(self.harvests.start(names, rules))
        if rest:
            self.builds.start(rest, limit)
        return answer

    def cancel_harvest(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Stop reading images."""
        return harvest_json(self.harvests.cancel())

    def set_settings(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change a checkpoint's settings, or go back to its preset.

        Raises:
            RequestError: malformed.
            RankingError: the name is not installed.
            PresetError: a setting is unknown or out of range.
        """
        candidate = self.service.installed(_text(body, "name"))
        changes = body.get("settings")
        if changes is not None and not isinstance(changes, dict):
            raise RequestError("'settings' must be an object, or null to go back to the preset.")
        dialects = self.service.prompt_set.dialects
        dialect = (changes or {}).get("dialect", next(iter(dialects)))
        if not isinstance(dialect, str) or dialect not in dialects:
            raise RequestError(f"Unknown dialect '{dialect}'. Known: {', '.join(dialects)}.")
        overrides = self.service.host.overrides
        if changes:
            changes = _with_unshown(overrides, candidate.identity, changes)
        overrides.set(candidate.identity, changes)
        self.service.failed.pop(candidate.identity, None)  # it may work now
        return self._row(self.service.state(candidate), {})

    def load(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a checkpoint the host's current one.

        Raises:
            RequestError: malformed.
            RankingError: the name is not installed.
            HostError: the host has no such thing, or something else was loaded.
        """
        host = self.service.host
        before = host.current()
        host.switch(self.service.installed(_text(body, "name")))
        after = host.current()
        return {
            "loaded": None if after is None else after.name,
            "before": None if before is None else before.name,
        }

    def set_favourite(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Mark a checkpoint as a favourite, or take the mark away.

        Raises:
            RequestError: malformed.
            RankingError: the name is not installed.
        """
        candidate = self.service.installed(_text(body, "name"))
        marked = body.get("marked")
        if not isinstance(marked, bool):
            raise RequestError("'marked' must be true or false.")
        self.service.favourites.set(candidate.name, marked)
        return {"name": candidate.name, "marked": marked}

    def remove(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Take specifications out of the library: of ``names``, or with ``gone`` of identities.

        Raises:
            RequestError: malformed.
        """
        names = _names(body.get("names"))
        if body.get("gone") is True:  # names repeat among those; their identities do not
            known = {entry.identity: entry.identity for entry in self.service.gone()}
        else:
            known = {c.name: c.identity for c in self.service.candidates()}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise RequestError(f"Unknown: {', '.join(unknown[:3])}.")
        return {"removed": self.service.remove([known[name] for name in names])}

    def rebuild(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Take specifications of ``names`` out of the library and build them anew.

        Raises:
            RequestError: malformed.
            RankingError: a name is not installed.
        """
        names = _names(body.get("names"))
        chosen = self.service.all_installed(names)
        limit = body.get("limit")
        if limit is not None:
            limit = _number(body, "limit", 0, 1, len(self.service.prompt_set))
        self.service.remove([candidate.identity for candidate in chosen])
        return build_json(self.builds.start(names, limit))

    def verify(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Read every specification whole; damaged ones are set aside."""
        report = self.service.library.verify()
        self.service.advance_soon()
        return {
            "good": len(report.good),
            "damaged": [vars(row) for row in report.damaged],
            "unreadable": [vars(row) for row in report.unreadable],
        }

    # -- rows -------------------------------------------------------------------------------------

    def _row(self, state: CheckpointState, group_of: Mapping[str, int]) -> dict[str, Any]:
        candidate, shown = state.candidate, state.shown
        return {
            "name": candidate.name,
            "title": candidate.title,
            "kind": _kind(candidate.identity),
            "architecture": candidate.architecture,
            "acceleration": None if state.preset is None else state.preset.acceleration,
            "family": None if state.preset is None else state.preset.family,
            "size": candidate.size,
            "state": state.state,
            "reason": state.reason,
            "samples": state.samples,
            "of": len(self.service.prompt_set),
            "stored": state.stored,
            "missing": {
                str(size): self.builds.missing(state, size)
                for size in self.service.prompt_set.passes()
            },
            "built": None if shown is None else shown.updated,
            "settings": None if state.settings is None else settings_json(state.settings),
            "because": [] if state.preset is None else list(state.preset.because),
            "edited": state.edited,
            "harvested": 0 if state.harvest is None else state.harvest.samples,
            "previews": self._previews(state),
            "group": group_of.get(candidate.identity),
            "favourite": candidate.name in self.service.favourites.names(),
        }

    def _previews(self, state: CheckpointState) -> list[str]:
        found = (
            self.service.sample(entry, prompt_id)
            for entry in state.pictured
            for prompt_id in entry.described["prompt_ids"][:_PREVIEWS]
        )
        return [sample_url(path) for path in found if path is not None][:_PREVIEWS]

    def _ranked(self, row: RankedCandidate, state: CheckpointState) -> dict[str, Any]:
        return {
            "rank": row.rank,
            "name": state.candidate.name,
            "title": state.candidate.title,
            "kind": _kind(state.candidate.identity),
            "architecture": state.candidate.architecture,
            "installed": True,
            "score": row.score,
            "probability": row.probability,
            "margin": row.margin,
            "weighted_rkme": row.weighted_rkme,
            "samples": row.samples,
            "of_samples": row.of_samples,
            "group": row.group,
            "evidence": [self._evidence(state, prompt_id) for prompt_id in row.evidence],
        }

    def _evidence(self, state: CheckpointState, prompt_id: str) -> dict[str, Any]:
        prompts = {prompt.id: prompt.text for prompt in self.service.prompt_set.prompts}
        for entry in state.pictured:
            prompts.update(entry.texts)
        found = (self.service.sample(entry, prompt_id) for entry in state.pictured)
        path = next((path for path in found if path is not None), None)
        return {
            "prompt_id": prompt_id,
            "prompt": prompts.get(prompt_id, prompt_id),
            "image": None if path is None else sample_url(path),
        }

    def _groups(
        self, states: Sequence[CheckpointState]
    ) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Near-duplicates among what is installed, by the snapshot that answers."""
        answering = self.service.answering
        if answering is None:
            if any(state.shown is not None for state in states):
                self.service.advance_soon()
            return [], {}
        library = answering.identifier.library
        present = {state.candidate.identity: state.candidate for state in states}
        groups, group_of = [], {}
        for members in library.findings.groups:
            identities = [library.stack.candidates[row].identity for row in members]
            found = [present[identity] for identity in identities if identity in present]
            if len(found) < 2:
                continue
            groups.append({"titles": [c.title for c in found], "bytes": sum(c.size for c in found)})
            group_of.update({c.identity: len(groups) for c in found})
        return groups, group_of


def _with_unshown(
    overrides: Overrides, identity: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """What a form sends, and of the settings before those that no form shows."""
    known: Mapping[str, Any] = {}
    with contextlib.suppress(PresetError):  # what cannot be read is replaced
        known = overrides.get(identity)
    kept = {key: known[key] for key in _UNSHOWN if key in known}
    merged = {**kept, **changes}
    return {key: v for key, v in merged.items() if key not in _UNSHOWN or v is not None}


def build_json(state: BuildState, waiting: str | None = None) -> dict[str, Any]:
    """What faces show of a build, and why it does nothing if it is running and does not."""
    current = None
    if state.name is not None:
        current = {
            "name": state.name,
            "title": state.title,
            "prompt": state.prompt,
            "done": state.pass_done,
            "of": state.pass_of,
        }
    return {
        "state": state.state,
        "done": state.done,
        "total": state.total,
        "limit": state.limit,
        "current": current,
        "preview": None if state.sample is None else f"{PREFIX}/samples/{'/'.join(state.sample)}",
        "seconds_left": state.seconds_left,
        "message": state.message,
        "failed": state.failed,
        "waiting": waiting,
        "problems": [vars(problem) for problem in state.problems],
    }


def settings_json(settings: GenerationSettings) -> dict[str, Any]:
    """The settings that people may change."""
    shown = ("width", "height", "steps", "cfg", "sampler", "scheduler", "clip_skip", "vae")
    return {
        **{key: getattr(settings, key) for key in shown},
        "dialect": settings.dialect,
        "prefix": settings.extra.get("prefix", ""),
        "negative": settings.negative,
    }


def sample_url(path: Path) -> str:
    """The address of a sample."""
    return f"{PREFIX}/samples/{path.parent.name}/{path.name}"


def _folder(name: str) -> str:
    """The folder of a name, with a slash at its end; empty at the top."""
    folder, slash, _ = name.replace("\\", "/").rpartition("/")
    return folder + slash


def _kind(identity: str) -> str:
    return "recipe" if identity.startswith(RECIPE) else "checkpoint"


def _images(body: Mapping[str, Any]) -> list[str]:
    images = body.get("images")
    if not isinstance(images, list) or not 1 <= len(images) <= MAX_IMAGES:
        raise RequestError(f"'images' must be a list of 1 to {MAX_IMAGES} images.")
    if not all(isinstance(image, str) for image in images):
        raise RequestError("'images' must hold base64 texts or data URLs.")
    if sum(map(len, images)) > MAX_UPLOAD * 4 // 3:
        raise RequestError(f"The images are larger than {MAX_UPLOAD >> 20} MB together.")
    return images


def _content(image: str, number: int) -> bytes:
    _, comma, data = image.partition(",")
    try:
        return base64.b64decode(data if comma else image, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"Image {number} is not valid base64.") from None


def _rules(body: Mapping[str, Any]) -> Rules:
    """Rules of a harvest: ``lossy``, ``networks`` (the sum of weights), ``allowed`` processes."""
    plain = Rules()
    lossy, allowed = body.get("lossy", False), body.get("allowed", [])
    networks = body.get("networks", plain.networks)
    if not isinstance(lossy, bool):
        raise RequestError("'lossy' must be true or false.")
    number = isinstance(networks, int | float) and not isinstance(networks, bool)
    if not number or not 0 <= networks <= 100:
        raise RequestError("'networks' must be a number from 0 to 100.")
    good = isinstance(allowed, list) and all(isinstance(name, str) for name in allowed)
    if not good or len(allowed) > 20:
        raise RequestError("'allowed' must be a list of processes.")
    return replace(plain, lossy=lossy, networks=float(networks), allowed=frozenset(allowed))


def _names(value: Any) -> list[str]:
    good = isinstance(value, list) and all(isinstance(name, str) for name in value)
    if not good or not 1 <= len(value) <= 10_000:
        raise RequestError("'names' must be a list of checkpoint names.")
    return list(value)


def _text(body: Mapping[str, Any], key: str, default: str | None = None, limit: int = 500) -> str:
    value = body.get(key, default)
    if not isinstance(value, str) or len(value) > limit:
        raise RequestError(f"'{key}' must be a text of at most {limit} characters.")
    return value


def _number(body: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = body.get(key, default)
    if type(value) is not int or not low <= value <= high:
        raise RequestError(f"'{key}' must be a whole number from {low} to {high}.")
    return value
