"""The web UI's options: what decides what an image shows is lent to us for one image at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import HostError
from ..protocols import GenerationSettings
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
}


class ChangedMeanwhileError(HostError):
    """The user changed a setting while an image was generated: the image is worth nothing."""


def options_for(settings: GenerationSettings) -> dict[str, Any]:
    """The web UI's options for these settings, whatever the user's own are."""
    own: dict[str, Any] = {"CLIP_stop_at_last_layers": settings.clip_skip or 1}
    if settings.vae is not None:
        own["sd_vae"] = settings.vae
    if settings.extra.get("prediction") == "v":
        own["sd_noise_schedule"] = "Zero Terminal SNR"
    return forks.offered({**_NEUTRAL, **own})


@contextmanager
def options_borrowed(wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Overrides for one image. Afterwards the user's own values are back.

    The web UI could do that itself, but would undo what the user chose meanwhile, and forget
    options that were never saved.

    Raises:
        ChangedMeanwhileError: the user chose something meanwhile; that is kept.
    """
    from modules import shared

    data, trouble, saved = shared.opts.data, None, forks.settings_stamp()
    before = {key: data.get(key, _ABSENT) for key in wanted}
    title = wanted["sd_model_checkpoint"]
    changes = {key: value for key, value in wanted.items() if before[key] != value}
    overrides = {"sd_model_checkpoint": title, **changes}
    try:
        _LENT.update({key: before[key] for key in overrides if before[key] is not _ABSENT})
        # all at once: the web UI's own way loads the user's VAE first, and asks whether settings
        # are frozen although nothing is stored
        data.update(forks.set_beforehand(overrides))
        yield overrides
    except Exception as error:
        trouble = error
    finally:
        now = {key: data.get(key, _ABSENT) for key in wanted}
        theirs = {k for k in wanted if not any(_same(k, now[k], v) for v in (before[k], wanted[k]))}
        ours = {key for key in wanted.keys() - theirs if now[key] != before[key]}
        absent = frozenset(key for key in ours if before[key] is _ABSENT)
        forks.restore_options({key: before[key] for key in ours - absent}, absent)
        _LENT.clear()
        forks.save_again(saved)
    taken_back = now["sd_model_checkpoint"] != title and not forks.loads_lazily()
    if theirs or (trouble is not None and taken_back):
        names = ", ".join(sorted(theirs or {"sd_model_checkpoint"}))
        raise ChangedMeanwhileError(
            f"{title}: settings were changed while it generated ({names}). Try again."
        ) from trouble
    if trouble is not None:
        raise trouble


_ABSENT = object()
#: The user's own values of options that hold ours for the moment.
_LENT: dict[str, Any] = {}


def lent_options() -> dict[str, Any]:
    """The user's own values of options that hold ours while an image is generated."""
    return dict(_LENT)


def _same(key: str, left: Any, right: Any) -> bool:
    """Whether two values of an option mean the same; a checkpoint has several titles."""
    if key != "sd_model_checkpoint" or left == right:
        return bool(left == right)
    return _file_of(left) is not None and _file_of(left) == _file_of(right)


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
    from modules import shared

    return _file_of(shared.opts.data.get("sd_model_checkpoint"))


def _file_of(title: Any) -> str | None:
    from modules import sd_models

    info = sd_models.checkpoint_aliases.get(title)
    return None if info is None else str(info.filename)
