from pathlib import Path

from modules import processing, sd_models, shared

module_list = {}
forge_unet_storage_dtype_options = {"Automatic": (None, False), "bnb-nf4": ("nf4", False)}


def refresh_model_loading_parameters():
    storage = forge_unet_storage_dtype_options[shared.opts.forge_unet_storage_dtype]
    sd_models.model_data.forge_loading_parameters = {
        "checkpoint_info": sd_models.select_checkpoint(),
        "additional_modules": shared.opts.forge_additional_modules,
        "unet_storage_dtype": storage[0],
    }
    processing.need_global_unload = True


def checkpoint_change(ckpt_name, save=True, refresh=True):
    before = sd_models.get_closet_checkpoint_match(shared.opts.data.get("sd_model_checkpoint", ""))
    if sd_models.get_closet_checkpoint_match(ckpt_name) == before:
        return False
    shared.opts.set("sd_model_checkpoint", ckpt_name)
    if save:
        shared.opts.save(shared.config_filename)
    if refresh:
        refresh_model_loading_parameters()
    return True


def modules_change(module_values, save=True, refresh=True):
    names = [Path(value).name for value in module_values]
    shared.opts.set("forge_additional_modules", [module_list[n] for n in names if n in module_list])
    if refresh:
        refresh_model_loading_parameters()
    return True
