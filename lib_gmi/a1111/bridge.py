"""What the web UI lends to the tab: see :class:`..ui.bridge.Bridge`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import GMIError, HostError, StoppedError
from ..checkpoints.previews import Previews, best_sample
from ..hosts import webui_forks as forks
from ..hosts.webui_samplers import host_sampler, host_scheduler
from ..records.protocols import Candidate, GenerationRequest, GenerationSettings
from ..routes.api import Api
from ..service.build_state import RUNNING
from ..submitting.recorder import worded
from ..ui.bridge import Abilities, Preferences
from . import options, pace
from .runtime import Runtime, runtime

if TYPE_CHECKING:
    from PIL import Image


class WebUIBridge:
    """The web UI around the tab. Everything is made when it is first needed."""

    abilities = Abilities(
        load=True, build=True, compare=True, send=True, interrogate=True, preview=True
    )

    @property
    def program(self) -> str:
        return forks.program()

    @property
    def api(self) -> Api:
        return runtime().api

    def preferences(self) -> Preferences:
        return Preferences(blur=options.chosen().blur)

    # -- checkpoints ------------------------------------------------------------------------------

    def current(self) -> str | None:
        candidate = runtime().host.current()
        return None if candidate is None else candidate.name

    def load(self, name: str) -> None:
        running = runtime()
        running.host.switch(running.service.candidates.installed(name))

    def title_of(self, name: str) -> str:
        """How the web UI's own list calls a checkpoint now."""
        return runtime().host.title_of(name)

    def compare(self, names: Sequence[str], prompt: str, seed: int) -> list[Image.Image]:
        running = runtime()
        candidates = running.service.candidates.all_installed(names)
        try:
            return [_one(running, candidate, prompt, seed) for candidate in candidates]
        except StoppedError:
            raise HostError("The comparison was interrupted.") from None
        finally:
            if running.builds.state().state != RUNNING:
                running.host.put_back()

    # -- prompts ----------------------------------------------------------------------------------

    def prompt_of(self, image: Image.Image) -> str | None:
        from modules import images

        with contextlib.suppress(Exception):  # strangers wrote it
            written, _ = images.read_info_from_image(image)
            if written:
                prompt = _infotexts().parse_generation_parameters(written).get("Prompt")
                return prompt.strip() or None if isinstance(prompt, str) else None
        return None

    def infotext(self, name: str, prompt: str, negative: str = "") -> str:
        running = runtime()
        candidate = running.service.candidates.installed(name)
        settings = running.service.states.settings(candidate)
        if negative.strip():
            settings = replace(settings, negative=negative.strip())
        text = worded(prompt, settings, running.service.prompt_set)
        return infotext(text, settings, candidate)

    def connect_send(self, button: Any, text: Any) -> None:
        paste = _infotexts()
        paste.register_paste_params_button(
            paste.ParamBinding(paste_button=button, tabname="txt2img", source_text_component=text)
        )

    # -- builds -----------------------------------------------------------------------------------

    def waiting_for(self) -> str | None:
        return runtime().builds.waiting_for()

    def build_now(self) -> None:
        runtime().politeness.hurry()
        runtime().queue.hurry()

    def seconds_per_sample(self) -> float | None:
        service = runtime().service
        buildable = [s.candidate for s in service.states.all() if s.state != "unsupported"]
        return pace.seconds_per_sample([service.states.settings(c) for c in buildable])

    # -- previews ---------------------------------------------------------------------------------

    def preview_exists(self, name: str) -> bool:
        return _previews().exists(runtime().host.path_of(name))

    def make_preview(self, name: str) -> None:
        running = runtime()
        state = running.service.states.of(running.service.candidates.installed(name))
        path, entry = state.candidate.path, state.shown
        specification = None if entry is None else running.service.library.read(entry)
        row = None if specification is None else best_sample(specification)
        if path is None or entry is None or specification is None or row is None:
            raise GMIError(f"{state.candidate.title}: has no samples yet.")
        sample = running.service.samples.sample(entry, specification.prompt_ids[row])
        if sample is None:
            raise GMIError(f"{state.candidate.title}: its sample images were not kept.")
        _previews().make(path, sample)

    def undo_preview(self, name: str) -> None:
        _previews().undo(runtime().host.path_of(name))


def _infotexts() -> Any:
    try:
        from modules import infotext_utils as found
    except ImportError:  # its older name
        from modules import generation_parameters_copypaste as found
    return found


def infotext(prompt: str, settings: GenerationSettings, candidate: Candidate) -> str:
    """A prompt and settings as the web UI writes them below its images."""
    fields = {
        "Steps": settings.steps,
        "Sampler": host_sampler(settings.sampler),
        "Schedule type": host_scheduler(settings.scheduler),
        "CFG scale": None if settings.cfg is None else f"{settings.cfg:g}",
        "Size": f"{settings.width}x{settings.height}" if settings.width else None,
        "Clip skip": settings.clip_skip if (settings.clip_skip or 1) > 1 else None,
    }
    if candidate.identity.startswith("sha256:"):
        fields["Model hash"] = candidate.identity.removeprefix("sha256:")[:10]
    lines = [prompt.replace("\n", " ").strip()]
    if settings.negative:
        lines.append(f"Negative prompt: {settings.negative}")
    lines.append(", ".join(f"{key}: {value}" for key, value in fields.items() if value))
    return "\n".join(lines)


def _one(running: Runtime, candidate: Candidate, prompt: str, seed: int) -> Image.Image:
    settings = running.service.states.settings(candidate)
    codec_free = replace(settings, codec="source")
    text = worded(prompt, settings, running.service.prompt_set)
    request = GenerationRequest("compare", text, settings.negative, seed)
    return running.host.generate(candidate, request, codec_free)


def _previews() -> Previews:
    return Previews(Path(runtime().service.home) / "previews.json")
