"""What a checkpoint file is, told from names alone: no tensor is read, nothing is loaded.

A safetensors file begins with the name, shape and place of every tensor. Those say which network it
is, what has been left out (text encoder, VAE), and whether the download is complete. Of a pickled
checkpoint only the instructions are listed; they are never carried out.

The tensor names are those of the original implementations (Stability AI's, Black Forest Labs' and
others', and Diffusers' for single networks).
"""

from __future__ import annotations

import json
import pickletools
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..base.files import open_regular, walk

#: The safetensors format itself allows no larger header.
MAX_HEADER = 100_000_000
#: The instructions of a pickled checkpoint take about a tenth of this.
MAX_PICKLE = 16 << 20
MAX_METADATA = 256
MAX_METADATA_TEXT = 2000

SAFETENSORS_SUFFIXES = frozenset({".safetensors", ".sft"})
PICKLE_SUFFIXES = frozenset({".ckpt", ".pt", ".pth"})

#: Of everything that may be a checkpoint.
CHECKPOINT_SUFFIXES = SAFETENSORS_SUFFIXES | PICKLE_SUFFIXES | {".gguf"}

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
    "vae": "it is a VAE, not a checkpoint",
    "lora": "it is a LoRA, not a checkpoint",
    "text-encoder": "it is a text encoder, not a checkpoint",
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


def checkpoint_files(folder: Path) -> list[Path]:
    """Files anywhere below a folder that are called like checkpoints, by name.

    Linked folders are followed, each folder once; dead links, pipes, and folders that are called
    like a file are passed over, as are folders that cannot be listed.
    """
    return sorted(
        place / name
        for place, _, names in walk(folder)
        for name in names
        if Path(name).suffix.lower() in CHECKPOINT_SUFFIXES
    )


def inspect(path: Path) -> CheckpointFacts:
    """Look at a checkpoint file without loading it.

    Never raises: what is wrong with the file is said in ``unsupported``. Of formats that cannot be
    looked into, the kind is ``"unknown"`` and the host gets to try.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return CheckpointFacts(unsupported="is not a file")
        suffix = path.suffix.lower()
        if suffix in SAFETENSORS_SUFFIXES:
            return _inspect_safetensors(path)
        if suffix in PICKLE_SUFFIXES:
            return _inspect_pickle(path)
    except _DamagedError as error:
        return CheckpointFacts(unsupported=str(error))
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = getattr(error, "strerror", None) or error
        return CheckpointFacts(unsupported=f"cannot be read ({reason})")
    return CheckpointFacts()


class _DamagedError(Exception):
    """The message is what ``unsupported`` shall say."""


# -- safetensors ----------------------------------------------------------------------------------


def _inspect_safetensors(path: Path) -> CheckpointFacts:
    size = path.stat().st_size
    with open_regular(path) as file:
        prefix = file.read(8)
        if prefix[:1] == b"<" or prefix == b"version ":
            raise _DamagedError(
                "is damaged: it is a web page or a link, not the file itself; download it again"
            )
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8:
            raise _DamagedError("is truncated: it ends before its header; download it again")
        if not 2 <= length <= MAX_HEADER:
            raise _DamagedError("is damaged: it does not begin like a safetensors file")
        if 8 + length > size:
            raise _DamagedError("is truncated: it ends within its header; download it again")
        raw = file.read(length)
    header = _parse_header(raw)
    metadata = _metadata(header.pop("__metadata__", None))
    shapes, end = _tensors(header)
    missing = 8 + length + end - size
    if missing > 0:
        raise _DamagedError(
            f"is truncated: {missing:,} of its {8 + length + end:,} bytes are missing; "
            "download it again"
        )
    if missing < 0:
        raise _DamagedError(f"is damaged: it goes on for {-missing:,} bytes after its last tensor")
    return recognise(shapes, metadata)


def _parse_header(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _DamagedError("is damaged: its header is not valid JSON") from None
    if not isinstance(header, dict):
        raise _DamagedError("is damaged: its header lists no tensors")
    return header


def _metadata(value: Any) -> dict[str, str]:
    """The texts among the metadata, not too many and not too long."""
    if not isinstance(value, dict):
        return {}
    texts = {
        _printable(key[:MAX_METADATA_TEXT]): _printable(text[:MAX_METADATA_TEXT])
        for key, text in value.items()
        if isinstance(text, str)
    }
    return dict(list(texts.items())[:MAX_METADATA])


def _printable(text: str) -> str:
    """JSON can hold half characters, which no file and no page can show."""
    return text.encode("utf-8", "replace").decode()


def _tensors(header: Mapping[str, Any]) -> tuple[dict[str, tuple[int, ...]], int]:
    """Shapes by name, and how many bytes of tensors there should be."""
    shapes: dict[str, tuple[int, ...]] = {}
    end = 0
    for name, entry in header.items():
        try:
            shape, (begin, finish) = entry["shape"], entry["data_offsets"]
            if not all(type(number) is int and number >= 0 for number in (*shape, begin, finish)):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise _DamagedError(
                f"is damaged: its header is malformed at '{_printable(name[:100])}'"
            ) from None
        shapes[name] = tuple(shape)
        end = max(end, finish)
    return shapes, end


# -- pickles --------------------------------------------------------------------------------------


def _inspect_pickle(path: Path) -> CheckpointFacts:
    with open_regular(path) as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if not zipped:
        return CheckpointFacts()  # from before 2020; there is no list of names at a known place
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.split("/")[-1] == "data.pkl")
            with archive.open(name) as member:
                instructions = member.read(MAX_PICKLE + 1)
    except zipfile.BadZipFile:
        # the list of contents comes last in a zip
        raise _DamagedError("is truncated: its end is missing; download it again") from None
    except Exception:  # whatever else is odd about the archive: the host gets to try
        return CheckpointFacts()
    if len(instructions) > MAX_PICKLE:
        return CheckpointFacts()
    return recognise(_pickled_shapes(instructions), {})


def _pickled_shapes(instructions: bytes) -> dict[str, tuple[int, ...]]:
    """Every text of a pickle, with the shape where one follows; as far as it is well-formed."""
    shapes: dict[str, tuple[int, ...]] = {}
    name = ""
    numbers: list[int] | None = None
    try:
        for opcode, argument, _ in pickletools.genops(instructions):
            if isinstance(argument, str) and "UNICODE" in opcode.name:
                shapes.setdefault(argument, ())
                if "." in argument:  # names of storages and devices have none
                    name = argument
            elif opcode.name == "BINPERSID":  # a tensor: its storage, offset, shape, strides
                numbers = []
            elif numbers is not None and isinstance(argument, int) and "INT" in opcode.name:
                numbers.append(argument)
            elif numbers is not None and opcode.name.startswith("TUPLE"):
                if not shapes.get(name, (0,)):
                    shapes[name] = tuple(numbers[1:])
                numbers = None
    except Exception:  # the names so far are still names
        return shapes
    return shapes


# -- what the names say ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sign:
    """An architecture, and tensors that only its network has."""

    architecture: str | None
    kind: str
    names: tuple[str, ...]
    absent: tuple[str, ...] = ()


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
        "ltx-video",
        "video",
        ("adaln_single.emb.timestep_embedder.linear_1.bias",),
        absent=("pos_embed.proj.bias",),
    ),
    _Sign("pixart", "text-to-image", ("adaln_single.emb.timestep_embedder.linear_1.bias",)),
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
#: Parts of checkpoints and additions to them: kind, parts of names, why it is none.
_PARTS = (
    (
        "lora",
        (".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".hada_w1_", ".lokr_w1"),
        _REASONS["lora"],
    ),
    ("other", _CONTROL_SIGNS, _CONTROL),
    ("other", ("motion_modules.",), "it is a motion module, not a checkpoint"),
    ("other", ("emb_params", "string_to_param"), "it is an embedding, not a checkpoint"),
    (
        "vae",
        ("decoder.conv_in.weight", "decoder.conv1.weight", "taesd_decoder.1.weight"),
        _REASONS["vae"],
    ),
    (
        "text-encoder",
        (
            "text_model.encoder.layers.0.",
            "encoder.block.0.layer.0.SelfAttention.",
            "transformer.resblocks.0.",
            "model.layers.0.self_attn.",
        ),
        _REASONS["text-encoder"],
    ),
)
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
    prefix, architecture, kind, needs = network
    has_text = _has_prefix(shapes, _TEXT_PREFIXES)
    has_vae = _has_prefix(shapes, _VAE_PREFIXES)
    if kind == "text-to-image" and not (has_text or has_vae):
        kind = "unet-only"
    unsupported = needs or _REASONS.get(kind) or _lack(has_text, has_vae)
    return CheckpointFacts(
        architecture,
        kind,
        _prediction(shapes, metadata),
        f"{prefix}guidance_in.in_layer.weight" in shapes,
        metadata,
        unsupported and f"{unsupported}; {WORKFLOW_HINT}",
    )


def _lack(has_text: bool, has_vae: bool) -> str | None:
    if has_text and has_vae:
        return None
    lacking = [name for name, has in (("text encoder", has_text), ("VAE", has_vae)) if not has]
    return f"it holds no {' and no '.join(lacking)}"


def _network(shapes: Shapes) -> tuple[str, str | None, str, str | None] | None:
    """Prefix, architecture, kind, and what it needs besides a prompt, if that is unusual."""
    for prefix in _NETWORK_PREFIXES:
        if prefix and not _has_prefix(shapes, (prefix,)):
            continue
        if f"{prefix}input_blocks.0.0.weight" in shapes:
            if any(sign in name for name in shapes for sign in _CONTROL_SIGNS):
                return prefix, None, "other", _CONTROL
            return prefix, *_unet(shapes, prefix)
        for sign in _SIGNS:
            if all(prefix + name in shapes for name in sign.names) and not any(
                prefix + name in shapes for name in sign.absent
            ):
                return prefix, *_transformer(shapes, prefix, sign)
    return None


def _unet(shapes: Shapes, prefix: str) -> tuple[str | None, str, str | None]:
    """Architecture, kind and unusual needs of a U-Net in the original layout."""
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
    return architecture, kind, needs


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


def _transformer(shapes: Shapes, prefix: str, sign: _Sign) -> tuple[str | None, str, str | None]:
    """Architecture, kind and unusual needs of a network in the table of signs."""
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
    return architecture, kind, needs


def _not_a_network(shapes: Shapes, metadata: Mapping[str, str]) -> CheckpointFacts:
    """A part of a checkpoint, an addition to one, or nothing that is known."""
    architecture, kind, reason = None, "unknown", None
    diffusers = _diffusers_network(shapes)
    part = next(
        (part for part in _PARTS if any(sign in name for name in shapes for sign in part[1])), None
    )
    if not shapes:
        reason = "is damaged: it holds no tensors"
    elif diffusers is not None:
        architecture, kind = diffusers or None, "unet-only"
        reason = f"{_lack(False, False)}; {WORKFLOW_HINT}"
    elif part is not None:
        kind, _, reason = part
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
