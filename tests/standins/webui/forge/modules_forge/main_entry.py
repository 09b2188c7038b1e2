from pathlib import Path

from modules import sd_models, shared

module_list = {}


def refresh_model_loading_parameters():
    sd_models.model_data.forge_loading_parameters = {
        "checkpoint_info": sd_models.select_checkpoint(),
        "additional_modules": shared.opts.forge_additional_modules,
    }


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
