"""A stand-in for ComfyUI's module of this name: the sampler, and two nodes that are looked up."""

from __future__ import annotations

import comfy.model_management
import comfy.sd
import folder_paths
from comfy_extras import nodes_model_advanced
from standin import seen


def interrupt_processing(value=True):
    comfy.model_management.interrupt_current_processing(value)


def before_node_execution():
    comfy.model_management.throw_exception_if_processing_interrupted()


def common_ksampler(  # noqa: PLR0913, PLR0917  as in ComfyUI
    model,
    seed,
    steps,
    cfg,
    sampler_name,
    scheduler,
    positive,
    negative,
    latent,
    denoise=1.0,
):
    """The first numbers of the latent image become the model's style, the prompt and the seed.

    It looks at the flag for interruptions in every step, as the real one does.
    """
    sampling = model.get_model_object("model_sampling")
    begun = len(seen.sampled)
    seen.sampled.append(
        {
            "seed": seed,
            "steps": steps,
            "cfg": cfg,
            "sampler": sampler_name,
            "scheduler": scheduler,
            "positive": positive[0][1]["text"],
            "negative": negative[0][1]["text"],
            "guidance": positive[0][1].get("guidance"),
            "sampling": type(sampling).__name__,
            "shift": getattr(sampling, "shift", None),
            "shape": tuple(latent["samples"].shape),
        }
    )
    comfy.model_management.load_models_gpu([model])
    for step in range(steps):
        if step == 1 and seen.while_sampling is not None:
            seen.while_sampling(begun)
        comfy.model_management.throw_exception_if_processing_interrupted()
    samples = latent["samples"].clone()
    samples[:, 0, 0, 0] = model.model.diffusion_model[0]
    samples[:, 1, 0, 0] = positive[0][0][0]
    samples[:, 2, 0, 0] = seed
    return ({**latent, "samples": samples},)


class CheckpointLoaderSimple:
    """What Load Best Model expands to."""

    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    FUNCTION = "load_checkpoint"

    @classmethod
    def INPUT_TYPES(s):  # noqa: N802, N804  as in ComfyUI
        return {"required": {"ckpt_name": (folder_paths.get_filename_list("checkpoints"), {})}}

    def load_checkpoint(self, ckpt_name):
        return comfy.sd.load_checkpoint_guess_config(
            folder_paths.get_full_path_or_raise("checkpoints", ckpt_name)
        )[:3]


class VAELoader:
    """Any file will do: all VAEs of these checkpoints are alike, but for their names."""

    def load_vae(self, vae_name):
        return (comfy.sd.VAE(sd=folder_paths.get_full_path_or_raise("vae", vae_name)),)


NODE_CLASS_MAPPINGS = {"CheckpointLoaderSimple": CheckpointLoaderSimple, "VAELoader": VAELoader}
NODE_CLASS_MAPPINGS.update(nodes_model_advanced.NODE_CLASS_MAPPINGS)
