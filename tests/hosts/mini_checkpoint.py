"""Synthetic Stable Diffusion 1.x checkpoints that real hosts load: random weights, real key names.

They are stand-ins for checkpoints, which cannot be had offline: half a gigabyte each, a fraction of
a second an image. ComfyUI fixes the width of the U-Net (320) and of the text (768) when it tells
Stable Diffusion 1 from others, but neither the number of levels nor of blocks. What decides the
look of the images, the U-Net's last layers and the VAE's decoder, is seeded by the variant.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Shapes = dict[str, tuple[int, ...]]

_WIDTH, _TIME, _TEXT, _VAE = 320, 1280, 768, 128
_VAE_LEVELS = (1, 2, 4, 4)
_VARIED = ("model.diffusion_model.out", "first_stage_model.decoder", "first_stage_model.post_quant")


def write_mini(path: Path, variant: int, black: bool = False) -> Path:
    """Write a checkpoint.

    Args:
        path: ends in ``.safetensors``.
        variant: different ones make visibly different images.
        black: make one whose images are all black, as a broken VAE does.
    """
    tensors = {
        name: _tensor(name, shape, variant if name.startswith(_VARIED) else 0)
        for name, shape in _shapes().items()
    }
    if black:
        last = "first_stage_model.decoder.conv_out."
        tensors[last + "weight"] = np.zeros_like(tensors[last + "weight"])
        tensors[last + "bias"] = np.full_like(tensors[last + "bias"], -4.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"synthetic": "true", "variant": str(variant)})
    return path


def _tensor(name: str, shape: tuple[int, ...], variant: int) -> NDArray[np.generic]:
    if name.endswith("position_ids"):
        return np.arange(77, dtype=np.int64).reshape(1, 77)
    if len(shape) == 1 and name.endswith(".weight"):  # of a normalisation
        return np.ones(shape, np.float16)
    seed = hashlib.sha256(f"{variant}/{name}".encode()).digest()[:8]
    random = np.random.Generator(np.random.SFC64(int.from_bytes(seed, "little")))
    if name.endswith(".bias") or "embedding" in name:
        deviation = 0.02
    else:
        deviation = float(np.prod(shape[1:])) ** -0.5
    return (random.standard_normal(shape, dtype=np.float32) * deviation).astype(np.float16)


def _shapes() -> Shapes:
    return {**_unet(), **_vae(), **_text_encoder()}


def _linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (outputs, inputs)}
    return shapes | {f"{name}.bias": (outputs,)} if bias else shapes


def _conv(name: str, inputs: int, outputs: int, side: int = 3) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, side, side), f"{name}.bias": (outputs,)}


def _norm(name: str, channels: int) -> Shapes:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def _unet() -> Shapes:
    """Two levels of one block each, both with attention."""
    prefix, width = "model.diffusion_model.", _WIDTH
    shapes = _linear(f"{prefix}time_embed.0", width, _TIME)
    shapes |= _linear(f"{prefix}time_embed.2", _TIME, _TIME)
    shapes |= _conv(f"{prefix}input_blocks.0.0", 4, width)
    for block in (1, 3):
        shapes |= _residual(f"{prefix}input_blocks.{block}.0", width, width)
        shapes |= _attention(f"{prefix}input_blocks.{block}.1")
    shapes |= _conv(f"{prefix}input_blocks.2.0.op", width, width)
    shapes |= _residual(f"{prefix}middle_block.0", width, width)
    shapes |= _attention(f"{prefix}middle_block.1")
    shapes |= _residual(f"{prefix}middle_block.2", width, width)
    for block in range(4):
        shapes |= _residual(f"{prefix}output_blocks.{block}.0", 2 * width, width)
        shapes |= _attention(f"{prefix}output_blocks.{block}.1")
    shapes |= _conv(f"{prefix}output_blocks.1.2.conv", width, width)
    return shapes | _norm(f"{prefix}out.0", width) | _conv(f"{prefix}out.2", width, 4)


def _residual(name: str, inputs: int, outputs: int) -> Shapes:
    shapes = _norm(f"{name}.in_layers.0", inputs) | _conv(f"{name}.in_layers.2", inputs, outputs)
    shapes |= _linear(f"{name}.emb_layers.1", _TIME, outputs)
    shapes |= _norm(f"{name}.out_layers.0", outputs)
    shapes |= _conv(f"{name}.out_layers.3", outputs, outputs)
    return (
        shapes | _conv(f"{name}.skip_connection", inputs, outputs, 1)
        if inputs != outputs
        else shapes
    )


def _attention(name: str) -> Shapes:
    width = _WIDTH
    shapes = _norm(f"{name}.norm", width)
    shapes |= _conv(f"{name}.proj_in", width, width, 1) | _conv(f"{name}.proj_out", width, width, 1)
    block = f"{name}.transformer_blocks.0"
    for attention, context in (("attn1", width), ("attn2", _TEXT)):
        shapes |= _linear(f"{block}.{attention}.to_q", width, width, bias=False)
        shapes |= _linear(f"{block}.{attention}.to_k", context, width, bias=False)
        shapes |= _linear(f"{block}.{attention}.to_v", context, width, bias=False)
        shapes |= _linear(f"{block}.{attention}.to_out.0", width, width)
    shapes |= _linear(f"{block}.ff.net.0.proj", width, 8 * width)
    shapes |= _linear(f"{block}.ff.net.2", 4 * width, width)
    for number in (1, 2, 3):
        shapes |= _norm(f"{block}.norm{number}", width)
    return shapes


def _vae() -> Shapes:
    """The VAE of every Stable Diffusion 1 checkpoint."""
    prefix, top = "first_stage_model.", _VAE * _VAE_LEVELS[-1]
    encoder, decoder = f"{prefix}encoder.", f"{prefix}decoder."
    shapes = _conv(f"{encoder}conv_in", 3, _VAE) | _conv(f"{decoder}conv_in", 4, top)
    for side in (encoder, decoder):
        shapes |= _vae_residual(f"{side}mid.block_1", top, top)
        shapes |= _vae_residual(f"{side}mid.block_2", top, top)
        shapes |= _norm(f"{side}mid.attn_1.norm", top)
        for part in ("q", "k", "v", "proj_out"):
            shapes |= _conv(f"{side}mid.attn_1.{part}", top, top, 1)
    channels = _VAE
    for level, factor in enumerate(_VAE_LEVELS):
        for block in range(2):
            shapes |= _vae_residual(f"{encoder}down.{level}.block.{block}", channels, _VAE * factor)
            channels = _VAE * factor
        if level < len(_VAE_LEVELS) - 1:
            shapes |= _conv(f"{encoder}down.{level}.downsample.conv", channels, channels)
    for level in reversed(range(len(_VAE_LEVELS))):
        for block in range(3):
            outputs = _VAE * _VAE_LEVELS[level]
            shapes |= _vae_residual(f"{decoder}up.{level}.block.{block}", channels, outputs)
            channels = outputs
        if level > 0:
            shapes |= _conv(f"{decoder}up.{level}.upsample.conv", channels, channels)
    shapes |= _norm(f"{encoder}norm_out", top) | _conv(f"{encoder}conv_out", top, 8)
    shapes |= _norm(f"{decoder}norm_out", _VAE) | _conv(f"{decoder}conv_out", _VAE, 3)
    return (
        shapes | _conv(f"{prefix}quant_conv", 8, 8, 1) | _conv(f"{prefix}post_quant_conv", 4, 4, 1)
    )


def _vae_residual(name: str, inputs: int, outputs: int) -> Shapes:
    shapes = _norm(f"{name}.norm1", inputs) | _conv(f"{name}.conv1", inputs, outputs)
    shapes |= _norm(f"{name}.norm2", outputs) | _conv(f"{name}.conv2", outputs, outputs)
    return (
        shapes | _conv(f"{name}.nin_shortcut", inputs, outputs, 1) if inputs != outputs else shapes
    )


def _text_encoder() -> Shapes:
    """CLIP's ViT-L text encoder."""
    prefix = "cond_stage_model.transformer.text_model."
    shapes: Shapes = {
        f"{prefix}embeddings.token_embedding.weight": (49408, _TEXT),
        f"{prefix}embeddings.position_embedding.weight": (77, _TEXT),
        f"{prefix}embeddings.position_ids": (1, 77),
    }
    for number in range(12):
        layer = f"{prefix}encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{layer}.self_attn.{part}", _TEXT, _TEXT)
        shapes |= _norm(f"{layer}.layer_norm1", _TEXT) | _norm(f"{layer}.layer_norm2", _TEXT)
        shapes |= _linear(f"{layer}.mlp.fc1", _TEXT, 4 * _TEXT)
        shapes |= _linear(f"{layer}.mlp.fc2", 4 * _TEXT, _TEXT)
    return shapes | _norm(f"{prefix}final_layer_norm", _TEXT)
