"""One image by the web UI's own ``process_images``. Importing this module imports none of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import HostError, StoppedError
from ..records.protocols import GenerationRequest, GenerationSettings
from . import webui_forks as forks
from .webui_samplers import host_sampler, host_scheduler

if TYPE_CHECKING:
    from PIL import Image


def text_to_image(
    title: str,
    request: GenerationRequest,
    settings: GenerationSettings,
    waiting: Callable[[], AbstractContextManager[None]],
    info: Any,
    vae: dict[str, Any],
) -> Image.Image:
    """One image. The caller holds the queue lock, and has chosen checkpoint and options.

    Args:
        title: of the checkpoint, for people.
        request: the prompt.
        settings: to generate with.
        waiting: measures the time in which the checkpoint is loaded once more.
        info: the web UI's own record of the checkpoint.
        vae: options that decide which VAE is loaded; empty where the program finds it by itself.

    Raises:
        HostError: there is no such sampler, or another checkpoint generated.
        StoppedError: somebody interrupted it.
        Exception: whatever the web UI raises.
    """
    from modules import processing, scripts, shared

    if forks.loaded_file() != info.filename:
        with waiting():  # somebody has generated with another one since
            forks.load_now()
    # loading may have told its hash, and with it another title
    overrides = {"sd_model_checkpoint": shared.opts.sd_model_checkpoint, **vae}
    with closing(
        processing.StableDiffusionProcessingTxt2Img(
            sd_model=shared.sd_model,
            prompt=request.text,
            negative_prompt=request.negative,
            styles=[],
            seed=request.seed,
            subseed=0,
            subseed_strength=0,
            width=settings.width or 512,
            height=settings.height or 512,
            steps=settings.steps or 20,
            cfg_scale=7.0 if settings.cfg is None else settings.cfg,
            restore_faces=False,
            tiling=False,
            do_not_save_samples=True,
            do_not_save_grid=True,
            override_settings=overrides,
            override_settings_restore_afterwards=False,
            **_sampling(settings),
        )
    ) as p:
        # nobody's scripts; reForge looks through them without asking whether there are any
        p.scripts, p.script_args = scripts.ScriptRunner(), []
        p.disable_extra_networks = True  # a prompt is only ever a prompt
        guidance = settings.extra.get("guidance")
        if guidance is not None and hasattr(p, "distilled_cfg_scale"):
            p.distilled_cfg_scale = float(guidance)
        processed = processing.process_images(p)
    if not processed.images:
        raise StoppedError
    generated = getattr(processed, "sd_model_hash", None)
    if generated and info.shorthash and generated != info.shorthash:
        raise made_by_another(title, forks.loaded_file())
    image: Image.Image = processed.images[0]
    image.info.clear()  # the web UI writes the settings into it
    return image


def made_by_another(title: str, loaded: str | None) -> HostError:
    """What to say where a checkpoint was asked for and the web UI took another one."""
    name = "nothing" if loaded is None else f"'{Path(loaded).name}'"
    return HostError(f"{title}: {name} generated instead of it; the web UI's log says why.")


def _sampling(settings: GenerationSettings) -> dict[str, str]:
    """Sampler and scheduler in the web UI's words."""
    from modules import processing

    sampler = host_sampler(settings.sampler)
    if sampler is None:
        raise HostError(
            f"{forks.program()} has no sampler '{settings.sampler}'. Choose another one in the "
            "checkpoint's settings."
        )
    scheduler = host_scheduler(settings.scheduler)
    known = {field.name for field in fields(processing.StableDiffusionProcessing)}
    if "scheduler" in known:
        return {"sampler_name": sampler, "scheduler": scheduler or "Automatic"}
    # before 1.9 a sampler's name ended in that of its scheduler
    joined = f"{sampler} {scheduler}"
    return {"sampler_name": joined if host_sampler(joined) else sampler}
