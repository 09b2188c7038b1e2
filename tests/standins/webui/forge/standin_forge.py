"""Makes Forge of the imitated web UI: what its own modules do differently."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any


def become_forge() -> None:  # noqa: PLR0915  one function after another
    """Put Forge's functions in place of AUTOMATIC1111's."""
    from modules import options, processing, sd_models, sd_vae, shared
    from modules.standin import header, seen

    data: Any = sd_models.model_data
    data.sd_model = SimpleNamespace(cond_stage_model=None)  # until something is generated
    data.was_loaded_at_least_once = True
    data.forge_loading_parameters, data.forge_hash = {}, ""
    for key in ("sd_model_checkpoint", "sd_vae"):
        shared.opts.onchange(key, None, call=False)
    shared.opts.add_option("forge_additional_modules", options.OptionInfo([]))
    shared.opts.add_option("forge_unet_storage_dtype", options.OptionInfo("Automatic"))
    processing.need_global_unload = False
    processing.StableDiffusionProcessing.distilled_cfg_scale = 3.5

    def forge_model_reload() -> Any:
        wanted = str(data.forge_loading_parameters)
        if data.forge_hash == wanted:
            return data.sd_model, False
        data.sd_model = None
        info = data.forge_loading_parameters["checkpoint_info"]
        model = sd_models._Model()
        if info.name in seen.unusable:
            raise seen.unusable[info.name]
        seen.loads.append(info.name)
        model._style = int(header(info.filename)["__metadata__"]["style"])
        model.loaded_with = dict(data.forge_loading_parameters)
        model.sd_model_hash = info.calculate_shorthash()
        model.sd_checkpoint_info = info
        data.sd_model, data.forge_hash = model, wanted
        return model, True

    def process_images(p: Any) -> Any:
        from modules.sysinfo import set_config

        if p.scripts is not None:
            p.scripts.before_process(p)
        opts = shared.opts
        stored = {k: opts.data[k] for k in p.override_settings if k in opts.data}
        try:
            known = sd_models.checkpoint_aliases
            if known.get(p.override_settings.get("sd_model_checkpoint")) is None:
                p.override_settings.pop("sd_model_checkpoint", None)
            set_config(p.override_settings, is_api=True, run_callbacks=False, save_config=False)
            _, just_reloaded = forge_model_reload()
            if processing.need_global_unload and not just_reloaded:
                seen.unloads += 1
            processing.need_global_unload = False
            result = processing.process_images_inner(p)
        finally:
            if p.override_settings_restore_afterwards:
                set_config(stored, save_config=False)
        return result

    def nothing(*arguments: Any, **more: Any) -> None:
        return None

    def checkpoint_tiles(use_short: bool = False) -> list[str]:
        return [info.name for info in sd_models.checkpoints_list.values()]

    sd_models.checkpoint_tiles = checkpoint_tiles
    sd_models.forge_model_reload = forge_model_reload
    sd_models.reload_model_weights = sd_models.load_model = nothing
    sd_models.SkipWritingToConfig = contextlib.nullcontext
    sd_vae.reload_vae_weights = nothing
    processing.process_images = process_images
