"""Checkpoint files with real headers and none of the numbers: sparse, and read only by header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Shapes = dict[str, tuple[int, ...]]
UNET = "model.diffusion_model."


def unet(
    context: int, channels: int = 4, prefix: str = UNET, vector: int | None = None, width: int = 320
) -> Shapes:
    """A few tensors of a U-Net under their real names and of their real shapes."""
    block = f"{prefix}input_blocks.4.1.transformer_blocks.0."
    shapes: Shapes = {
        f"{prefix}input_blocks.0.0.weight": (width, channels, 3, 3),
        f"{prefix}input_blocks.0.0.bias": (width,),
        f"{block}attn1.to_k.weight": (640, 640),
        f"{block}attn2.to_k.weight": (640, context),
        f"{prefix}out.2.weight": (4, width, 3, 3),
    }
    if vector is not None:
        shapes[f"{prefix}label_emb.0.0.weight"] = (4 * width, vector)
    return shapes


VAE: Shapes = {
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    "first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3),
}
CLIP_L: Shapes = {
    "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768)
}
CLIP_H: Shapes = {
    "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight": (3072, 1024)
}
SDXL_TEXT: Shapes = {
    "conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768),
    "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight": (3840, 1280),
}
REFINER_TEXT: Shapes = {
    "conditioner.embedders.0.model.transformer.resblocks.0.attn.in_proj_weight": (3840, 1280)
}
T5: Shapes = {
    "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.k.weight": (4096, 4096)
}
NEW_VAE: Shapes = {"vae.decoder.conv_in.weight": (512, 16, 3, 3)}

SD1 = unet(768) | VAE | CLIP_L
SDXL = unet(2048, vector=2816) | VAE | SDXL_TEXT
FLUX = {
    f"{UNET}double_blocks.0.img_attn.norm.key_norm.scale": (128,),
    f"{UNET}img_in.weight": (3072, 64),
    f"{UNET}vector_in.in_layer.weight": (3072, 768),
}
FLUX_DEV = FLUX | {f"{UNET}guidance_in.in_layer.weight": (3072, 256)}
FLUX_REST = T5 | NEW_VAE


def write(path: Path, shapes: Shapes, metadata: Any = None, short: int = 0) -> Path:
    """A sparse float16 file with this header, and none of its numbers."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name, shape in shapes.items():
        size = 2
        for number in shape:
            size *= number
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + end - short)
    return path
