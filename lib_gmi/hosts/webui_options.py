"""The web UI's options: those that decide what an image shows have other values for a sample.

Other values for the *thread* that generates it, and for nobody else: pages, the API and the
settings file go on with the user's own, who may change them at any time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..base.errors import HostError
from ..records.protocols import GenerationSettings
from . import webui_forks as forks

#: Options that change images and are the user's own affair; samples are made without them.
_NEUTRAL = {
    "sd_vae_overrides_per_model_preferences": True,  # before the VAE, which follows it
    "sd_vae": "Automatic",
    "sd_vae_decode_method": "Full",
    "CLIP_stop_at_last_layers": 1,
    "token_merging_ratio": 0.0,
    "eta_noise_seed_delta": 0,
    "eta_ancestral": 1.0,
    "eta_ddim": 0.0,
    "s_min_uncond": 0.0,
    "s_min_uncond_all": False,
    "s_churn": 0.0,
    "s_tmin": 0.0,
    "s_tmax": 0.0,
    "s_noise": 1.0,
    "sigma_min": 0.0,
    "sigma_max": 0.0,
    "rho": 0.0,
    "beta_dist_alpha": 0.6,
    "beta_dist_beta": 0.6,
    "uni_pc_variant": "bh1",
    "uni_pc_skip_type": "time_uniform",
    "uni_pc_order": 3,
    "uni_pc_lower_order_final": True,
    "skip_early_cond": 0.0,
    "randn_source": "CPU",  # the same noise on every machine
    "sd_noise_schedule": "Default",
    "emphasis": "Original",
    "comma_padding_backtrack": 20,
    "sgm_noise_multiplier": False,
    "always_discard_next_to_last_sigma": False,
    "enable_quantization": False,
    "sdxl_crop_top": 0,
    "sdxl_crop_left": 0,
    "use_downcasted_alpha_bar": False,
    "use_old_emphasis_implementation": False,
    "use_old_karras_scheduler_sigmas": False,
    "use_old_scheduling": False,
    "no_dpmpp_sde_batch_determinism": False,
    "dont_fix_second_order_samplers_schedule": False,
    "sdxl_clip_l_skip": False,
    "sd3_enable_t5": False,
    "forge_try_reproduce": "None",  # other programs' noise
    "dynamic_clip_skip_enabled": False,
    "epsilon_scaling_enabled": False,
    "sd_hypernetwork": "None",
    "sd_lora": "None",
    "dpm2_ancestral_s_noise": 1.0,
    "dpm_adaptive_s_noise": 1.0,
    "dpm_fast_s_noise": 1.0,
    # nobody looks, and some web UIs would download a model for it
    "live_previews_enable": False,
}

#: The like, for checkpoints that hold their text encoder and VAE.
_WHOLE = {
    "forge_additional_modules": [],
    "forge_unet_storage_dtype": "Automatic",
    "sd_text_encoder": "Automatic",
    "sd_unet": "Automatic",
}


#: What a checkpoint needs to run on this machine, so that the default may not do. The program says
#: that they change images, if only by how numbers are rounded.
_OF_THE_MACHINE = frozenset(
    (
        "fp8_storage",
        "cache_fp16_weight",
        "batch_cond_uncond",
        "pad_cond_uncond",
        "pad_cond_uncond_v0",
    )
)


class ChangedMeanwhileError(HostError):
    """The user chose another checkpoint while an image was generated, and got that instead."""


def options_for(settings: GenerationSettings, bare: bool = False) -> dict[str, Any]:
    """The web UI's options for these settings, whatever the user's own are.

    Args:
        settings: to generate with.
        bare: the file holds no text encoder and no VAE: those that the user has chosen are needed,
            and the memory that they leave.
    """
    own: dict[str, Any] = {"CLIP_stop_at_last_layers": settings.clip_skip or 1}
    if not bare:
        own |= _WHOLE
    if settings.vae is not None:
        own["sd_vae"] = settings.vae
    if settings.extra.get("prediction") == "v":
        own["sd_noise_schedule"] = "Zero Terminal SNR"
    return {**_defaults(bare), **forks.offered({**_NEUTRAL, **own})}


def _defaults(bare: bool) -> dict[str, Any]:
    """Of options that the program itself writes below images, since they change them: its defaults.

    A fork has some hundred of them for samplers of its own.
    """
    from modules import shared

    left = _OF_THE_MACHINE | (_WHOLE.keys() if bare else frozenset())
    labels = dict(shared.opts.data_labels)  # other threads may add some
    return {
        key: info.default
        for key, info in labels.items()
        if getattr(info, "infotext", None) and key not in left
    }


class OptionValues(dict[str, Any]):
    """The values of the web UI's options, of which a thread may have some of its own.

    Takes the place of the dict that the web UI keeps them in. Whoever goes through all of them, to
    save them for instance, sees the user's.
    """

    def __getitem__(self, key: str) -> Any:
        mine = _mine()
        return mine[key] if key in mine else super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        mine = _mine()
        if key in mine:  # of no consequence to anybody else, and gone with the image
            mine[key] = value
        else:
            super().__setitem__(key, value)

    def __contains__(self, key: object) -> bool:
        return key in _mine() or super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        mine = _mine()
        return mine[key] if key in mine else super().get(key, default)


@contextmanager
def options_of_this_thread(values: Mapping[str, Any]) -> Iterator[None]:
    """From here to the end of the block, this thread has these values of options."""
    from modules import shared

    if not isinstance(shared.opts.data, OptionValues):
        shared.opts.data = OptionValues(shared.opts.data)
    before = _mine()
    _threads.values = dict(values)
    try:
        yield
    finally:
        _threads.values = before


# not in an OptionValues: whoever copies one, copies what it holds and nothing of a thread
_threads = threading.local()


def _mine() -> dict[str, Any]:
    found: dict[str, Any] | None = getattr(_threads, "values", None)
    return {} if found is None else found


@contextmanager
def no_prompt_history() -> Iterator[None]:
    """The web UI remembers the last image's settings for the user; ours are none of theirs."""
    from modules import shared

    options = shared.cmd_opts
    before = getattr(options, "no_prompt_history", False)
    options.no_prompt_history = True
    try:
        yield
    finally:
        options.no_prompt_history = before


def chosen_file() -> str | None:
    """The file that the user has chosen, whether or not it is loaded."""
    from modules import sd_models, shared

    info = sd_models.checkpoint_aliases.get(shared.opts.data.get("sd_model_checkpoint"))
    return None if info is None else str(info.filename)
