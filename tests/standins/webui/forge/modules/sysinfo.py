def set_config(req, is_api=False, run_callbacks=True, save_config=True):
    from modules import sd_models, shared
    from modules_forge import main_entry

    changed = False
    for k, v in req.items():
        if v == shared.opts.data.get(k):
            continue
        if k == "sd_model_checkpoint":
            if v is not None and v not in sd_models.checkpoint_aliases:
                raise RuntimeError(f"model {v!r} not found")
            changed |= main_entry.checkpoint_change(v, save=False, refresh=False)
        elif k == "forge_additional_modules":
            changed |= main_entry.modules_change(v, save=False, refresh=False)
        else:
            shared.opts.set(k, v, is_api=is_api, run_callbacks=run_callbacks)
    if changed:
        main_entry.refresh_model_loading_parameters()
    if save_config:
        shared.opts.save(shared.config_filename)
