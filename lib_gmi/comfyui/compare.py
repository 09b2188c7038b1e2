"""The same prompt and seed through several checkpoints, one loaded at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base.errors import HostError
from ..records.protocols import GenerationRequest
from ..submitting.recorder import worded

if TYPE_CHECKING:
    from PIL import Image

    from .runtime import Runtime


def render(
    runtime: Runtime, names: Sequence[str], text: str, seed: int
) -> tuple[list[tuple[str, Image.Image]], list[str]]:
    """What each checkpoint makes of a prompt, with the settings that suit it.

    Each one is loaded, used and freed again: as one graph, all of them would stay in memory.

    Returns:
        Titles and pictures, a grey one for a checkpoint that cannot be used; and what went wrong.

    Raises:
        InterruptProcessingException: ComfyUI's own.
    """
    import comfy.model_management as memory
    import comfy.utils
    from PIL import Image

    bar = comfy.utils.ProgressBar(len(names))
    service = runtime.service
    pictures: list[tuple[str, Image.Image]] = []
    problems: list[str] = []
    for done, name in enumerate(names, 1):
        memory.throw_exception_if_processing_interrupted()
        candidate = service.candidates.installed(name)
        settings = service.states.settings(candidate)
        wording = worded(text, settings, service.prompt_set)
        request = GenerationRequest("compare", wording, settings.negative, seed)
        try:
            with runtime.host.session(candidate) as session:
                session.prepare([request], settings)
                picture = session.generate(request, settings)
        except HostError as error:
            # what the others have made took minutes
            picture = Image.new("RGB", (settings.width or 512, settings.height or 512), "#52525b")
            problems.append(str(error))
        pictures.append((candidate.title, picture))
        bar.update_absolute(done, len(names))
    return pictures, problems
