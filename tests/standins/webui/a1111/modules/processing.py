from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules import (
    images,
    infotext_utils,
    paths_internal,
    sd_models,
    sd_samplers,
    sd_vae,
    shared,
)
from modules.shared import cmd_opts, opts, state
from modules.standin import seen


@dataclass(repr=False)
class StableDiffusionProcessing:
    sd_model: object = None
    outpath_samples: str = None
    prompt: str = ""
    negative_prompt: str = ""
    styles: list = None
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    sampler_name: str = None
    scheduler: str = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool = None
    tiling: bool = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    extra_generation_params: dict = None
    s_min_uncond: float = None
    s_churn: float = None
    s_tmin: float = None
    s_noise: float = None
    override_settings: dict = None
    override_settings_restore_afterwards: bool = True
    disable_extra_networks: bool = False
    comments: dict = None
    scripts: Any = field(default=None, init=False)
    script_args: list = field(default=None, init=False)
    sd_model_hash: str = field(default=None, init=False)
    token_merging_ratio = 0

    def __post_init__(self):
        self.comments = {}
        self.styles = self.styles or []
        self.extra_generation_params = self.extra_generation_params or {}
        self.override_settings = self.override_settings or {}

    @property
    def sd_model(self):  # noqa: F811  as the real one, which ignores what it is given
        return shared.sd_model

    @sd_model.setter
    def sd_model(self, value):
        pass

    def fill_fields_from_opts(self):
        for name in ("s_min_uncond", "s_churn", "s_tmin", "s_noise"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(opts, name))

    def comment(self, text):
        self.comments[text] = 1

    def close(self):
        pass

    def get_token_merging_ratio(self, for_hr=False):
        return self.token_merging_ratio or opts.token_merging_ratio

    def save_samples(self):
        return opts.samples_save and not self.do_not_save_samples


@dataclass(repr=False)
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    enable_hr: bool = False


@dataclass(repr=False)
class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    init_images: list = None


class Processed:
    def __init__(self, p, images_list, seed=-1, info="", infotexts=None):
        self.images = images_list
        self.prompt = p.prompt
        self.seed = seed
        self.info = info
        self.infotexts = infotexts or [info] * len(images_list)
        self.comments = "".join(f"{comment}\n" for comment in p.comments)
        self.sd_model_hash = p.sd_model_hash
        self.extra_generation_params = p.extra_generation_params


def create_infotext(p, all_prompts, all_seeds, all_subseeds, comments=None):
    fields = {
        "Steps": p.steps,
        "Sampler": p.sampler_name,
        "Schedule type": getattr(p, "scheduler", None),
        "CFG scale": p.cfg_scale,
        "Seed": all_seeds[0],
        "Size": f"{p.width}x{p.height}",
        "Model hash": p.sd_model_hash if opts.add_model_hash_to_info else None,
        "Clip skip": opts.CLIP_stop_at_last_layers if opts.CLIP_stop_at_last_layers > 1 else None,
        **p.extra_generation_params,
    }
    rows = [f"{k}: {infotext_utils.quote(v)}" for k, v in fields.items() if v is not None]
    negative = f"\nNegative prompt: {p.negative_prompt}" if p.negative_prompt else ""
    return f"{all_prompts[0]}{negative}\n{', '.join(rows)}".strip()


def process_images(p):
    if p.scripts is not None:
        p.scripts.before_process(p)
    stored_opts = {k: opts.data[k] for k in p.override_settings if k in opts.data}
    try:
        # what is not known is silently left out, and what the user has chosen generates
        if sd_models.checkpoint_aliases.get(p.override_settings.get("sd_model_checkpoint")) is None:
            p.override_settings.pop("sd_model_checkpoint", None)
            sd_models.reload_model_weights()
        for k, v in p.override_settings.items():
            opts.set(k, v, is_api=True, run_callbacks=False)
            if k == "sd_model_checkpoint":
                sd_models.reload_model_weights()
            if k == "sd_vae":
                sd_vae.reload_vae_weights()
        sd_models.apply_token_merging(p.sd_model, p.get_token_merging_ratio())
        sd_samplers.fix_p_invalid_sampler_and_scheduler(p)
        result = process_images_inner(p)
    finally:
        sd_models.apply_token_merging(p.sd_model, 0)
        if p.override_settings_restore_afterwards:
            for k, v in stored_opts.items():
                setattr(opts, k, v)
                if k == "sd_vae":
                    sd_vae.reload_vae_weights()
    return result


def process_images_inner(p):
    p.sd_model_hash = shared.sd_model.sd_model_hash
    p.fill_fields_from_opts()
    found, infotexts = [], []
    if state.job_count == -1:
        state.job_count = p.n_iter
    for n in range(p.n_iter):
        if state.skipped:
            state.skipped = False
        if state.interrupted or state.stopping_generation:
            break
        sd_models.reload_model_weights()  # a refiner may have changed it
        text = create_infotext(p, [p.prompt], [p.seed + n], [p.subseed])
        if n == 0 and not cmd_opts.no_prompt_history:
            params = Path(paths_internal.data_path) / "params.txt"
            params.write_text(text, encoding="utf-8")
        if p.scripts is not None:
            p.scripts.before_process_batch(p, batch_number=n)
        image = _sampled(p, n)
        state.nextjob()
        if p.save_samples():
            images.save_image(image, p.outpath_samples, "", info=text, p=p)
        if opts.enable_pnginfo:
            image.info["parameters"] = text
        found.append(image)
        infotexts.append(text)
    if opts.grid_save and not p.do_not_save_grid and len(found) > 1:
        images.save_image(found[0], p.outpath_samples, "grid", p=p)
    result = Processed(p, found, p.seed, (infotexts or [""])[0], infotexts)
    if p.scripts is not None:
        p.scripts.postprocess(p, result)
    return result


def _sampled(p, n):
    """The image, or what there is of it when the user interrupts."""
    from PIL import Image

    model = shared.sd_model
    seen.generated.append(
        {
            "checkpoint": model.sd_checkpoint_info.name,
            "vae": sd_vae.loaded_vae_file,
            "token_merging": model.applied_token_merged_ratio,
            "options": {key: getattr(opts, key) for key in opts.data_labels},
            "job": state.job,
            "p": p,
        }
    )
    shared.total_tqdm.update()
    seen.while_sampling(p)
    if seen.memory is not None:
        raise seen.memory
    if state.interrupted or state.skipped or state.stopping_generation:
        return Image.new("RGB", (p.width, p.height), "grey")
    side = max(p.width, p.height)
    return seen.draw(model._style, p.seed + n, side).crop((0, 0, p.width, p.height))
