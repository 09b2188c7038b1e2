"""The same prompt and seed through several checkpoints, one loaded at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..protocols import GenerationRequest
from ..recorder import completed, worded

if TYPE_CHECKING:
    from PIL import Image

    from .runtime import Runtime


def render(
    runtime: Runtime, names: Sequence[str], text: str, seed: int
) -> list[tuple[str, Image.Image]]:
    """What each checkpoint makes of a prompt, with the settings that suit it.

    Each one is loaded, used and freed again: as one graph, all of them would stay in memory.

    Raises:
        HostError: a checkpoint cannot be used.
        InterruptProcessingException: ComfyUI's own.
    """
    import comfy.model_management as memory
    import comfy.utils

    bar = comfy.utils.ProgressBar(len(names))
    service = runtime.service
    pictures = []
    for done, name in enumerate(names, 1):
        memory.throw_exception_if_processing_interrupted()
        candidate = service.installed(name)
        settings = completed(service.settings(candidate), service.prompt_set)
        wording = worded(text, settings, service.prompt_set)
        request = GenerationRequest("compare", wording, settings.negative, seed)
        with runtime.host.session(candidate) as session:
            pictures.append((candidate.title, session.generate(request, settings)))
        bar.update_absolute(done, len(names))
    return pictures
