"""Which network a checkpoint file holds, told by the names and shapes of its tensors.

The names are those of the original implementations (Stability AI's, Black Forest Labs' and others',
and Diffusers' for single networks).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = (
    "text-to-image",
    "inpainting",
    "refiner",
    "edit",
    "video",
    "vae",
    "lora",
    "text-encoder",
    "unet-only",
    "other",
    "unknown",
)

WORKFLOW_HINT = "use it through a workflow (Specification Prompt → Add to Specification)"
_REASONS = {
    "inpainting": "it is an inpainting model and needs an image to begin with",
    "refiner": "it is a refiner, which only finishes the images of another checkpoint",
    "edit": "it edits images and needs one to begin with",
    "video": "it makes videos",
}

#: Tensor name → shape; the shape is empty where only the name is known.
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class CheckpointFacts:
    """What :func:`inspect` found out.

    Attributes:
        architecture: for instance ``"sdxl"``; ``None`` if unknown.
        kind: one of :data:`KINDS`.
        prediction: ``"epsilon"``, ``"v"``, or ``None`` where the file does not say.
        guidance_distilled: whether it takes its guidance as an input, as Flux dev does and Flux
            schnell does not.
        metadata: texts that the file brings along; long ones are cut.
        unsupported: why no specification can be built from it as a plain checkpoint, or ``None``.
    """

    architecture: str | None = None
    kind: str = "unknown"
    prediction: str | None = None
    guidance_distilled: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    unsupported: str | None = None


@dataclass(frozen=True)
class _Sign:
    """An architecture, and tensors that only its network has."""

    architecture: str | None
    kind: str
    names: tuple[str, ...]


#: Networks other than U-Nets, the special before the general: the first that fits is it.
_SIGNS = (
    _Sign("sd3", "text-to-image", ("joint_blocks.0.context_block.attn.qkv.weight",)),
    _Sign("stable-cascade", "unet-only", ("clf.1.weight",)),
    _Sign(None, "other", ("transformer.rotary_pos_emb.inv_freq",)),  # Stable Audio
    _Sign(None, "other", ("genre_embedder.weight",)),  # ACE-Step: music
    _Sign("auraflow", "text-to-image", ("double_layers.0.attn.w1q.weight",)),
    _Sign("hunyuan-dit", "text-to-image", ("mlp_t5.0.weight",)),
    _Sign("hunyuan-video", "video", ("txt_in.individual_token_refiner.blocks.0.norm1.weight",)),
    _Sign("flux2", "text-to-image", ("double_stream_modulation_img.lin.weight",)),
    _Sign("chroma", "text-to-image", ("distilled_guidance_layer.norms.0.scale",)),
    _Sign("chroma", "text-to-image", ("distilled_guidance_layer.0.norms.0.scale",)),
    _Sign(
        "flux",
        "text-to-image",
        ("double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight"),
    ),
    _Sign("mochi", "video", ("t5_yproj.weight",)),
    _Sign(
        "pixart",
        "text-to-image",
        ("adaln_single.emb.timestep_embedder.linear_1.bias", "pos_embed.proj.bias"),
    ),
    _Sign("ltx-video", "video", ("adaln_single.emb.timestep_embedder.linear_1.bias",)),
    _Sign("pixart", "text-to-image", ("t_block.1.weight",)),
    _Sign("cosmos", "video", ("blocks.block0.blocks.0.block.attn.to_q.0.weight",)),
    _Sign("lumina2", "text-to-image", ("cap_embedder.1.weight",)),
    _Sign("wan", "video", ("head.modulation",)),
    _Sign(None, "other", ("latent_in.weight",)),  # Hunyuan 3D
    _Sign("hidream", "text-to-image", ("caption_projection.0.linear.weight",)),
    _Sign("omnigen2", "text-to-image", ("time_caption_embed.timestep_embedder.linear_1.bias",)),
    _Sign("qwen-image", "text-to-image", ("txt_norm.weight",)),
    _Sign("cosmos-predict2", "text-to-image", ("blocks.0.mlp.layer1.weight",)),
)

_NETWORK_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "net.", "model.", "")
_TEXT_PREFIXES = (
    "cond_stage_model.",
    "conditioner.embedders.",
    "text_encoders.",
    "text_encoder.",
)
_VAE_PREFIXES = ("first_stage_model.", "vae.")
_CONTROL_SIGNS = ("control_model.", "input_hint_block.", "controlnet_cond_embedding.")
_CONTROL = "it is a ControlNet, not a checkpoint"


@dataclass(frozen=True)
class _Part:
    """A part of a checkpoint or an addition to one, told by parts of tensor names.

    Attributes:
        why: it is no checkpoint, for people.
    """

    kind: str
    signs: tuple[str, ...]
    why: str


_PARTS = (
    _Part(
        "lora",
        (".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".hada_w1_", ".lokr_w1"),
        "it is a LoRA, not a checkpoint",
    ),
    _Part("other", _CONTROL_SIGNS, _CONTROL),
    _Part("other", ("motion_modules.",), "it is a motion module, not a checkpoint"),
    _Part("other", ("emb_params", "string_to_param"), "it is an embedding, not a checkpoint"),
    _Part(
        "vae",
        ("decoder.conv_in.weight", "decoder.conv1.weight", "taesd_decoder.1.weight"),
        "it is a VAE, not a checkpoint",
    ),
    _Part(
        "text-encoder",
        (
            "text_model.encoder.layers.0.",
            "encoder.block.0.layer.0.SelfAttention.",
            "transformer.resblocks.0.",
            "model.layers.0.self_attn.",
        ),
        "it is a text encoder, not a checkpoint",
    ),
)


@dataclass(frozen=True)
class _Network:
    """A network that was recognised.

    Attributes:
        prefix: of its tensors' names.
        architecture: ``None`` if unknown.
        kind: one of :data:`KINDS`.
        needs: what it needs besides a prompt, for people, or ``None``.
    """

    prefix: str
    architecture: str | None
    kind: str
    needs: str | None = None


#: Width of the text that a U-Net's attention looks at.
_CONTEXTS = {768: "sd1", 1024: "sd2", 1280: "sdxl", 2048: "sdxl"}
_PREDICTIONS = {"v": "v", "vprediction": "v", "epsilon": "epsilon", "eps": "epsilon"}


def recognise(shapes: Shapes, metadata: Mapping[str, str]) -> CheckpointFacts:
    """What a file with these tensors is.

    Args:
        shapes: of every tensor by name; an empty shape where only the name is known.
        metadata: texts that the file brings along.
    """
    network = _network(shapes)
    if network is None:
        return _not_a_network(shapes, metadata)
    kind = network.kind
    has_text = _has_prefix(shapes, _TEXT_PREFIXES)
    has_vae = _has_prefix(shapes, _VAE_PREFIXES)
    if kind == "text-to-image" and not (has_text or has_vae):
        kind = "unet-only"
    unsupported = network.needs or _REASONS.get(kind) or _lack(has_text, has_vae)
    return CheckpointFacts(
        network.architecture,
        kind,
        _prediction(shapes, metadata),
        f"{network.prefix}guidance_in.in_layer.weight" in shapes,
        metadata,
        unsupported and f"{unsupported}; {WORKFLOW_HINT}",
    )


def _lack(has_text: bool, has_vae: bool) -> str | None:
    if has_text and has_vae:
        return None
    lacking = [name for name, has in (("text encoder", has_text), ("VAE", has_vae)) if not has]
    return f"it holds no {' and no '.join(lacking)}"


def _network(shapes: Shapes) -> _Network | None:
    for prefix in _NETWORK_PREFIXES:
        if prefix and not _has_prefix(shapes, (prefix,)):
            continue
        if f"{prefix}input_blocks.0.0.weight" in shapes:
            if any(sign in name for name in shapes for sign in _CONTROL_SIGNS):
                return _Network(prefix, None, "other", _CONTROL)
            return _unet(shapes, prefix)
        for sign in _SIGNS:
            if all(prefix + name in shapes for name in sign.names):
                return _transformer(shapes, prefix, sign)
    return None


def _unet(shapes: Shapes, prefix: str) -> _Network:
    """A U-Net in the original layout."""
    names = [name for name in shapes if name.startswith(prefix)]
    context = next(
        (_at(shapes, n, 1) for n in names if n.endswith(".attn2.to_k.weight") and shapes[n]), None
    )
    architecture = _CONTEXTS.get(context or 0) or _by_text_encoder(shapes)
    channels = _at(shapes, f"{prefix}input_blocks.0.0.weight", 1)
    vector = _at(shapes, f"{prefix}label_emb.0.0.weight", 1)
    kind, needs = "text-to-image", None
    if any(".time_stack." in name or ".time_mix_" in name for name in names):
        kind, architecture = "video", "svd"
    elif context == 1280 or vector == 2560 or _is_refiner_text(shapes):
        kind = "refiner"
    elif channels == 9:
        kind = "inpainting"
    elif channels == 8 and any(name.startswith("cc_projection.") for name in shapes):
        kind, needs = "edit", "it turns objects in images and needs one to begin with"
    elif channels == 8:
        kind = "edit"
    elif channels == 7:
        kind, needs = "other", "it is an upscaler and needs an image to begin with"
    elif channels == 5:
        kind, needs = "other", "it needs a depth map besides the prompt"
    elif architecture == "sd2" and vector is not None:
        kind, needs = "edit", "it varies images (unCLIP) and needs one to begin with"
    return _Network(prefix, architecture, kind, needs)


def _by_text_encoder(shapes: Shapes) -> str | None:
    """For pickles whose shapes could not be made out."""
    for prefix, architecture in (
        ("conditioner.embedders.", "sdxl"),
        ("cond_stage_model.model.", "sd2"),
        ("cond_stage_model.transformer.", "sd1"),
    ):
        if _has_prefix(shapes, (prefix,)):
            return architecture
    return None


def _is_refiner_text(shapes: Shapes) -> bool:
    """SDXL's refiner has the second text encoder of the base model in the first one's place."""
    return _has_prefix(shapes, ("conditioner.embedders.0.model.",)) and not _has_prefix(
        shapes, ("conditioner.embedders.1.",)
    )


def _transformer(shapes: Shapes, prefix: str, sign: _Sign) -> _Network:
    """A network in the table of signs."""
    architecture, kind, needs = sign.architecture, sign.kind, None
    if architecture == "stable-cascade":
        needs = "it is one of two stages that only work together"
    elif architecture == "flux":
        # 16 latent channels in squares of 2 × 2; more of them are an image or a mask as input
        width = _at(shapes, f"{prefix}img_in.weight", 1)
        kind = {384: "inpainting", 128: "edit"}.get(width or 0, kind)
    elif architecture == "lumina2" and _at(shapes, f"{prefix}cap_embedder.1.weight", 0) == 3840:
        architecture = "z-image"
    elif architecture == "hunyuan-video":
        patches_in_time = len(shapes.get(f"{prefix}img_in.proj.weight", ())) != 4
        if not patches_in_time and not _has_prefix(shapes, (f"{prefix}vector_in.",)):
            architecture, kind = "hunyuan-image", "text-to-image"
    elif architecture == "cosmos-predict2":
        # (16 latent channels + a mask) in squares of 2 × 2; one more holds the first frame
        width = _at(shapes, f"{prefix}x_embedder.proj.1.weight", 1)
        kind = "video" if width == 72 else kind
    elif kind == "other":
        needs = "it makes sounds or shapes, not images"
    return _Network(prefix, architecture, kind, needs)


def _not_a_network(shapes: Shapes, metadata: Mapping[str, str]) -> CheckpointFacts:
    """A part of a checkpoint, an addition to one, or nothing that is known."""
    architecture, kind, reason = None, "unknown", None
    diffusers = _diffusers_network(shapes)
    part = next(
        (part for part in _PARTS if any(sign in name for name in shapes for sign in part.signs)),
        None,
    )
    if not shapes:
        reason = "is damaged: it holds no tensors"
    elif diffusers is not None:
        architecture, kind = diffusers or None, "unet-only"
        reason = f"{_lack(False, False)}; {WORKFLOW_HINT}"
    elif part is not None:
        kind, reason = part.kind, part.why
    return CheckpointFacts(architecture, kind, None, False, metadata, reason)


def _diffusers_network(shapes: Shapes) -> str | None:
    """Architecture of a network in Diffusers' layout, ``""`` if unknown, ``None`` if not one."""
    if "time_embedding.linear_1.weight" in shapes and "conv_in.weight" in shapes:
        contexts = (_at(shapes, n, 1) for n in shapes if n.endswith(".attn2.to_k.weight"))
        return _CONTEXTS.get(next(contexts, None) or 0, "")
    if "transformer_blocks.0.attn.add_q_proj.weight" in shapes:
        if "pos_embed.pos_embed" in shapes:
            return "sd3"
        return "flux" if _has_prefix(shapes, ("single_transformer_blocks.",)) else ""
    return None


def _prediction(shapes: Shapes, metadata: Mapping[str, str]) -> str | None:
    # trainers mark v-prediction with tensors of these names, whatever they hold
    if "v_pred" in shapes or "edm_vpred.sigma_max" in shapes:
        return "v"
    claimed = metadata.get("modelspec.prediction_type", "").lower()
    return _PREDICTIONS.get("".join(filter(str.isalnum, claimed)))


def _has_prefix(shapes: Shapes, prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefixes) for name in shapes)


def _at(shapes: Shapes, name: str, axis: int) -> int | None:
    """Length of a tensor along an axis, ``None`` where it has none or is not there."""
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) else None
