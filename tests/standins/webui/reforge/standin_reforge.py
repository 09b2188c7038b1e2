"""Makes reForge of the imitated web UI: what its own modules do differently."""

from __future__ import annotations

from typing import Any


def become_reforge() -> None:
    """Put reForge's functions in place of AUTOMATIC1111's."""
    from modules import options, processing, sd_models, sd_vae, shared
    from modules.standin import header, seen

    data: Any = sd_models.model_data
    shared.opts.add_option("sd_text_encoder", options.OptionInfo("Automatic"))

    def load_model(info: Any = None, forced_reload: bool = False) -> Any:
        info = info or sd_models.select_checkpoint()
        if not forced_reload and getattr(data.sd_model, "filename", None) == info.filename:
            return data.sd_model
        info.calculate_shorthash()
        seen.while_loading(info.name)
        data.sd_model = None
        model = sd_models._Model()
        model._style = int(header(info.filename)["__metadata__"]["style"])
        model.sd_model_hash, model.sd_checkpoint_info = info.shorthash, info
        model.filename = info.filename
        model.loaded_with = {k: getattr(shared.opts, k) for k in ("sd_text_encoder", "sd_vae")}
        shared.opts.data["sd_checkpoint_hash"] = info.sha256
        data.sd_model, data.was_loaded_at_least_once = model, True
        seen.loads.append(info.name)
        return model

    def reload_model_weights(
        sd_model: Any = None, info: Any = None, forced_reload: bool = False
    ) -> Any:
        return load_model(info, forced_reload)

    def reload_vae_weights(sd_model: Any = None, vae_file: Any = None) -> None:
        raise AssertionError("the checkpoint's own does not come back")

    sd_vae.reload_vae_weights = reload_vae_weights
    inner = processing.process_images_inner

    def process_images_inner(p: Any) -> Any:
        # it looks for a script of its own, and does not ask whether there are any
        assert all(script.name != "advanced" for script in p.scripts.alwayson_scripts)
        return inner(p)

    sd_models.load_model, sd_models.reload_model_weights = load_model, reload_model_weights
    processing.process_images_inner = process_images_inner
