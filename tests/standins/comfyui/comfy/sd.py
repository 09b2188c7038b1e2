"""A stand-in for ComfyUI's module of this name: loads checkpoints that tests wrote.

Such a checkpoint is a safetensors file without numbers. Its metadata says what it would be:
``style`` (of its pictures), ``model_type``, and ``lacks`` (parts that are not in it).
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from standin import seen

from comfy import model_base, model_patcher


def load_checkpoint_guess_config(
    ckpt_path,
    output_vae=True,
    output_clip=True,
    output_clipvision=False,
    embedding_directory=None,
):
    seen.loads.append(ckpt_path)
    config = _metadata(ckpt_path)
    if config is None:
        raise RuntimeError(f"ERROR: Could not detect model type of: {ckpt_path}\n")
    lacks = config.get("lacks", "")
    model = clip = vae = None
    if "model" not in lacks:
        model_type = model_base.ModelType[config.get("model_type", "EPS")]
        model = model_patcher.ModelPatcher(model_base.BaseModel(config, model_type), None, None)
    if output_clip and "clip" not in lacks:
        clip = CLIP()
    if output_vae and "vae" not in lacks:
        vae = VAE(sd=ckpt_path)
    models = sum(isinstance(thing, model_base.BaseModel) for thing in seen.alive)
    seen.most_models = max(seen.most_models, models)
    return model, clip, vae, None


def _metadata(path):
    with Path(path).open("rb") as file:
        try:
            return json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"]
        except (ValueError, KeyError, MemoryError, OverflowError):
            return None


class CLIP:
    """The text encoder: a text becomes one number."""

    def __init__(self, target=None, embedding_directory=None, no_init=False):
        self.layer_idx = None
        seen.alive.add(self)

    def clone(self):
        copied = CLIP(no_init=True)
        copied.layer_idx = self.layer_idx
        return copied

    def clip_layer(self, layer_idx):
        self.layer_idx = layer_idx

    def tokenize(self, text, return_word_ids=False, **kwargs):
        return {"text": text}

    def encode_from_tokens_scheduled(self, tokens, unprojected=False, add_dict={}, show_pbar=True):  # noqa: B006
        import torch

        text = tokens["text"]
        seen.encoded.append((text, self.layer_idx))
        number = zlib.crc32(text.encode()) % (1 << 20)  # survives float32
        return [[torch.tensor([float(number)]), {"text": text, **add_dict}]]


class VAE:
    """Draws the picture that the latent image stands for, 8 pixels for each of its own."""

    def __init__(self, sd=None, device=None):
        self._path = sd
        seen.alive.add(self)

    def decode(self, samples_in, vae_options={}):  # noqa: B006  as in ComfyUI
        import numpy as np
        import torch

        assert seen.draw is not None, "the test did not say what checkpoints draw"
        pictures = []
        for latent in samples_in:
            style, text, seed = (int(latent[channel, 0, 0]) for channel in range(3))
            height, width = 8 * latent.shape[-2], 8 * latent.shape[-1]
            picture = seen.draw(style, text + seed, max(height, width)).resize((width, height))
            pictures.append(np.asarray(picture, dtype=np.float32) / 255)
        return torch.from_numpy(np.stack(pictures))
