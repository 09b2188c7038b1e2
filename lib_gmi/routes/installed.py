"""Routes of what is installed: the library, settings, favourites, loading, removing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..base.errors import RequestError
from ..base.text import natural
from ..checkpoints.overrides import PresetError
from ..service import recipes
from ..service.states import CheckpointState
from . import fields
from .handlers import Handlers
from .route import Json, picture, route
from .rows import build_json, checkpoint_row

#: Of a checkpoint.
NAME = fields.text("of a checkpoint, as `library` lists it", default=None)
#: Settings that no form shows; null takes one back.
_UNSHOWN = ("guidance", "shift")


class Installed(Handlers):
    """See the module's docstring."""

    @route(
        "GET library",
        "Checkpoints and their states",
        "`checkpoints` (rows with `name`, `title`, `state`, `samples`, `settings`, `previews` …), "
        "`gone`, `groups` of near-duplicates, `build`, and what can be chosen from.",
    )
    def library(self) -> Json:
        """Every installed checkpoint with its state, samples and settings, and the build."""
        service = self.service
        with service.candidates.reading():
            states = service.states.all()
            groups, group_of = self._groups(states)
            rows = [
                checkpoint_row(service, self.builds, s, group_of.get(s.candidate.identity))
                for s in states
            ]
            superseded = service.states.superseded()
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
                    for entry in service.states.gone()
                ],
                "superseded": superseded,
                "kept_by_others": service.samples.kept_by_others() if superseded else 0,
                "groups": groups,
                "architectures": sorted({r["architecture"] for r in rows if r["architecture"]}),
                "folders": sorted({f for r in rows if (f := _folder(r["name"]))}, key=natural),
                "dialects": list(service.prompt_set.dialects),
                **service.host.choices(),
                "seconds_per_sample": self.builds.seconds_per_sample(),
                "first_run": not any(state.pictured or state.packed for state in states),
                "snapshot": service.snapshots.name,
                "fitting": service.snapshots.fitting,
                "build": build_json(self.builds.state(), self.builds.waiting_for()),
            }

    @picture(
        "samples/{folder}/{file}",
        "A sample",
        "The picture.",
        "There is no such sample.",
        86400,  # its name holds prompt and seed, the folder the way it was built: never changed
        folder=fields.text("of the samples of a specification", fields.MAX_ADDRESS),
        file=fields.text("of the sample", fields.MAX_ADDRESS),
    )
    def show_sample(self, folder: str, file: str) -> Path | None:
        """The picture of a sample. `library` and `rank` give the addresses."""
        return self.sample(folder, file)

    def sample(self, folder: str, file: str) -> Path | None:
        """The file of a sample; ``None`` for anything that the library did not write itself."""
        return self.service.library.samples.open(folder, file)

    @route(
        "GET recipe",
        "The workflow of a recipe",
        "`graph`: the workflow.",
        name=fields.text("of the candidate", fields.MAX_ADDRESS),
    )
    def recipe(self, name: str) -> Json:
        """The workflow that a candidate of ComfyUI was generated with."""
        known = {candidate.name for candidate in self.service.candidates.recipes()}
        graph = recipes.graph(self.service, name) if name in known else None
        if graph is None:
            raise RequestError("There is no workflow of that name.")
        return {"graph": graph}

    @route(
        "POST settings",
        "Change a checkpoint's settings",
        "The checkpoint's row, as in `library`.",
        name=NAME,
        settings=fields.field(
            "an object, or null to go back to the preset",
            lambda value: isinstance(value, dict),
            None,
            "object",
            nullable=True,
            description='what differs from the preset, for instance `{"steps": 8, "cfg": 2}`; null '
            "goes back to the preset",
        ),
    )
    def set_settings(self, name: str, settings: dict[str, Any] | None) -> Json:
        """Changes what a checkpoint's samples are generated with."""
        candidate = self.service.candidates.installed(name)
        dialects = self.service.prompt_set.dialects
        dialect = (settings or {}).get("dialect", next(iter(dialects)))
        if not isinstance(dialect, str) or dialect not in dialects:
            raise RequestError(f"Unknown dialect '{dialect}'. Known: {', '.join(dialects)}.")
        overrides = self.service.host.overrides
        if settings:
            with contextlib.suppress(PresetError):  # what cannot be read is replaced
                known = overrides.get(candidate.identity)
                settings = {**{k: known[k] for k in _UNSHOWN if k in known}, **settings}
            settings = {k: v for k, v in settings.items() if k not in _UNSHOWN or v is not None}
        overrides.set(candidate.identity, settings)
        self.service.states.failed.pop(candidate.identity, None)  # it may work now
        return checkpoint_row(self.service, self.builds, self.service.states.of(candidate))

    @route(
        "POST load",
        "Load a checkpoint",
        "`loaded` and `before`: names of checkpoints, or null.",
        name=NAME,
    )
    def load(self, name: str) -> Json:
        """Makes a checkpoint the program's current one, and sees that it was loaded."""
        host = self.service.host
        before = host.current()
        host.switch(self.service.candidates.installed(name))
        after = host.current()
        return {
            "loaded": None if after is None else after.name,
            "before": None if before is None else before.name,
        }

    @route(
        "POST favourite",
        "Mark a favourite",
        "`name` and `marked`.",
        name=NAME,
        marked=fields.flag(default=None),
    )
    def set_favourite(self, name: str, marked: bool) -> Json:
        """Marks a checkpoint as a favourite, or takes the mark away."""
        candidate = self.service.candidates.installed(name)
        self.service.favourites.set(candidate.name, marked)
        return {"name": candidate.name, "marked": marked}

    @route(
        "POST remove",
        "Remove specifications",
        "`removed`: how many.",
        names=fields.names("of checkpoints; with `gone`, identities"),
        gone=fields.mark("of checkpoints that are not installed any more"),
    )
    def remove(self, names: Sequence[str], gone: bool) -> Json:
        """Takes specifications out of the library; they are kept in its folder `removed`."""
        if gone:  # names repeat among those; their identities do not
            known = {entry.identity: entry.identity for entry in self.service.states.gone()}
        else:
            known = {c.name: c.identity for c in self.service.candidates.all()}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise RequestError(f"Unknown: {', '.join(unknown[:3])}.")
        return {"removed": self.service.remove([known[name] for name in names])}

    @route(
        "POST verify",
        "Check the library",
        "`good`: how many; `damaged` and `unreadable`: which, and why.",
    )
    def verify(self) -> Json:
        """Reads every specification whole; damaged ones are set aside."""
        report = self.service.library.verify()
        self.service.snapshots.advance_soon()
        return {
            "good": len(report.good),
            "damaged": [vars(row) for row in report.damaged],
            "unreadable": [vars(row) for row in report.unreadable],
        }

    def _groups(
        self, states: Sequence[CheckpointState]
    ) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Near-duplicates among what is installed, by the snapshot that answers."""
        answering = self.service.snapshots.answering
        if answering is None:
            if any(state.shown is not None for state in states):
                self.service.snapshots.advance_soon()
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


def _folder(name: str) -> str:
    """The folder of a name, with a slash at its end; empty at the top."""
    folder, slash, _ = name.replace("\\", "/").rpartition("/")
    return folder + slash
