"""What a checkpoint is, from its header alone; and nothing that is wrong with a file raises."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SOURCE_ROOT
from headers import (
    CLIP_H,
    CLIP_L,
    FLUX,
    FLUX_DEV,
    FLUX_REST,
    NEW_VAE,
    REFINER_TEXT,
    SD1,
    SDXL,
    T5,
    UNET,
    VAE,
    Shapes,
    unet,
    write,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib_gmi.checkpoints.architectures import KINDS, CheckpointFacts
from lib_gmi.checkpoints.header import MAX_HEADER, inspect


def facts_of(tmp_path: Path, shapes: Shapes, metadata: Any = None) -> CheckpointFacts:
    facts = inspect(write(tmp_path / "model.safetensors", shapes, metadata))
    assert facts.kind in KINDS
    return facts


# -- what can make images -------------------------------------------------------------------------


def plain(names: Shapes, rest: Shapes | None = None) -> Shapes:
    return {UNET + name: shape for name, shape in names.items()} | (rest or T5 | NEW_VAE)


SUPPORTED: dict[str, tuple[Shapes, str]] = {
    "sd1": (SD1, "sd1"),
    "sd1 with a narrow text encoder prefix": (
        unet(768) | VAE | {"cond_stage_model.transformer.encoder.layers.0.mlp.fc1.bias": (3072,)},
        "sd1",
    ),
    "sd2": (unet(1024) | VAE | CLIP_H, "sd2"),
    "sdxl": (SDXL, "sdxl"),
    "sd3": (
        plain({"joint_blocks.0.context_block.attn.qkv.weight": (4608, 1536)}, T5 | VAE),
        "sd3",
    ),
    "flux": (FLUX_DEV | FLUX_REST, "flux"),
    "flux2": (
        plain(
            {
                "double_stream_modulation_img.lin.weight": (36864, 6144),
                "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
                "img_in.weight": (6144, 128),
            }
        ),
        "flux2",
    ),
    "chroma": (
        FLUX | FLUX_REST | {f"{UNET}distilled_guidance_layer.norms.0.scale": (5120,)},
        "chroma",
    ),
    "auraflow": (
        {"model.double_layers.0.attn.w1q.weight": (3072, 3072)} | T5 | NEW_VAE,
        "auraflow",
    ),
    "pixart": (plain({"t_block.1.weight": (6912, 1152)}), "pixart"),
    "hunyuan-dit": (
        plain({"mlp_t5.0.weight": (8192, 2048), "x_embedder.proj.weight": (1408, 4, 2, 2)}),
        "hunyuan-dit",
    ),
    "hunyuan-image": (
        plain(
            {
                "txt_in.individual_token_refiner.blocks.0.norm1.weight": (3584,),
                "img_in.proj.weight": (3584, 64, 1, 1),
            }
        ),
        "hunyuan-image",
    ),
    "lumina2": (plain({"cap_embedder.1.weight": (2304, 2304)}), "lumina2"),
    "z-image": (plain({"cap_embedder.1.weight": (3840, 2560)}), "z-image"),
    "hidream": (plain({"caption_projection.0.linear.weight": (2560, 4096)}), "hidream"),
    "qwen-image": (plain({"txt_norm.weight": (3584,), "img_in.weight": (3072, 64)}), "qwen-image"),
    "cosmos-predict2": (
        plain({"blocks.0.mlp.layer1.weight": (8192, 2048), "x_embedder.proj.1.weight": (2048, 68)}),
        "cosmos-predict2",
    ),
}


@pytest.mark.parametrize("case", SUPPORTED)
def test_a_complete_checkpoint_is_recognised(tmp_path: Path, case: str) -> None:
    shapes, architecture = SUPPORTED[case]
    facts = facts_of(tmp_path, shapes)
    assert (facts.architecture, facts.kind) == (architecture, "text-to-image")
    assert facts.unsupported is None


def test_flux_dev_takes_guidance_and_schnell_does_not(tmp_path: Path) -> None:
    assert facts_of(tmp_path, FLUX_DEV | FLUX_REST).guidance_distilled
    assert not facts_of(tmp_path, FLUX | FLUX_REST).guidance_distilled


@pytest.mark.parametrize(
    ("more", "metadata", "prediction"),
    [
        ({}, None, None),
        ({"v_pred": (0,)}, None, "v"),
        ({"edm_vpred.sigma_max": (1,)}, None, "v"),
        ({}, {"modelspec.prediction_type": "v"}, "v"),
        ({}, {"modelspec.prediction_type": "v_prediction"}, "v"),
        ({}, {"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({}, {"modelspec.prediction_type": "nonsense"}, None),
    ],
)
def test_prediction(tmp_path: Path, more: Shapes, metadata: Any, prediction: str | None) -> None:
    assert facts_of(tmp_path, SDXL | more, metadata).prediction == prediction


# -- what cannot, and why -------------------------------------------------------------------------

UNSUPPORTED: dict[str, tuple[Shapes, str | None, str, str]] = {
    "inpainting": (unet(768, 9) | VAE | CLIP_L, "sd1", "inpainting", "inpainting"),
    "flux fill": (
        FLUX_DEV | FLUX_REST | {f"{UNET}img_in.weight": (3072, 384)},
        "flux",
        "inpainting",
        "inpainting",
    ),
    "flux depth": (
        FLUX_DEV | FLUX_REST | {f"{UNET}img_in.weight": (3072, 128)},
        "flux",
        "edit",
        "edits images",
    ),
    "refiner": (unet(1280, vector=2560, width=384) | VAE | REFINER_TEXT, "sdxl", "refiner", "refi"),
    "instruct-pix2pix": (unet(768, 8) | VAE | CLIP_L, "sd1", "edit", "edits images"),
    "unclip": (unet(1024, vector=2048) | VAE | CLIP_H, "sd2", "edit", "unCLIP"),
    "depth": (unet(1024, 5) | VAE | CLIP_H, "sd2", "other", "depth map"),
    "upscaler": (unet(1024, 7) | VAE | CLIP_H, "sd2", "other", "upscaler"),
    "svd": (
        unet(1024, 8, vector=768)
        | VAE
        | {f"{UNET}input_blocks.4.1.time_stack.0.attn1.to_q.weight": (640, 640)},
        "svd",
        "video",
        "videos",
    ),
    "wan": (
        {"head.modulation": (1, 2, 1536), "head.head.weight": (64, 1536)},
        "wan",
        "video",
        "videos",
    ),
    "ltx-video": (
        plain({"adaln_single.emb.timestep_embedder.linear_1.bias": (2048,)}),
        "ltx-video",
        "video",
        "videos",
    ),
    "hunyuan-video": (
        plain(
            {
                "txt_in.individual_token_refiner.blocks.0.norm1.weight": (3072,),
                "img_in.proj.weight": (3072, 16, 1, 2, 2),
            }
        ),
        "hunyuan-video",
        "video",
        "videos",
    ),
    "cosmos image to video": (
        {
            "net.blocks.0.mlp.layer1.weight": (8192, 2048),
            "net.x_embedder.proj.1.weight": (2048, 72),
        },
        "cosmos-predict2",
        "video",
        "videos",
    ),
    "stable cascade": (
        plain({"clf.1.weight": (64, 2048), "clip_txt_mapper.weight": (2048, 1280)}),
        "stable-cascade",
        "unet-only",
        "two stages",
    ),
    "flux network alone": (
        {name.removeprefix(UNET): shape for name, shape in FLUX.items()},
        "flux",
        "unet-only",
        "no text encoder and no VAE; use it through a workflow (Specification Prompt",
    ),
    "sdxl network alone": (unet(2048, vector=2816), "sdxl", "unet-only", "no text encoder"),
    "sd3 without text encoders": (
        plain({"joint_blocks.0.context_block.attn.qkv.weight": (4608, 1536)}, VAE),
        "sd3",
        "text-to-image",
        "no text encoder; use it through a workflow",
    ),
    "without a VAE": (unet(768) | CLIP_L, "sd1", "text-to-image", "no VAE; use it through"),
    "diffusers network": (
        {
            "conv_in.weight": (320, 4, 3, 3),
            "time_embedding.linear_1.weight": (1280, 320),
            "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
        },
        "sdxl",
        "unet-only",
        "no text encoder",
    ),
    "diffusers flux": (
        {
            "transformer_blocks.0.attn.add_q_proj.weight": (3072, 3072),
            "single_transformer_blocks.0.attn.to_q.weight": (3072, 3072),
        },
        "flux",
        "unet-only",
        "no text encoder",
    ),
    "vae": (
        {name.removeprefix("first_stage_model."): shape for name, shape in VAE.items()},
        None,
        "vae",
        "VAE",
    ),
    "vae with its prefix": (VAE, None, "vae", "VAE"),
    "lora": (
        {
            "lora_unet_input_blocks_4_1_proj_in.lora_down.weight": (16, 640),
            "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": (3072, 16),
        },
        None,
        "lora",
        "LoRA",
    ),
    "diffusers lora": (
        {"transformer.transformer_blocks.0.attn.to_q.lora_A.weight": (16, 3072)},
        None,
        "lora",
        "LoRA",
    ),
    "lokr": ({"lora_unet_mid_block.lokr_w1": (8, 8)}, None, "lora", "LoRA"),
    "clip": (
        {"text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768)},
        None,
        "text-encoder",
        "text encoder",
    ),
    "t5": (
        {"encoder.block.0.layer.0.SelfAttention.k.weight": (4096, 4096)},
        None,
        "text-encoder",
        "text encoder",
    ),
    "controlnet": (
        {
            "control_model.input_blocks.0.0.weight": (320, 4, 3, 3),
            "control_model.input_hint_block.0.weight": (16, 3, 3, 3),
        },
        None,
        "other",
        "ControlNet",
    ),
    "controlnet without its prefix": (
        unet(768, prefix="") | {"input_hint_block.0.weight": (16, 3, 3, 3)},
        None,
        "other",
        "ControlNet",
    ),
    "embedding": ({"emb_params": (4, 768)}, None, "other", "embedding"),
    "music": ({f"{UNET}genre_embedder.weight": (2560, 512)}, None, "other", "sounds"),
    "nothing": ({}, None, "unknown", "damaged"),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_cannot_be_used_says_why(tmp_path: Path, case: str) -> None:
    shapes, architecture, kind, reason = UNSUPPORTED[case]
    facts = facts_of(tmp_path, shapes)
    assert (facts.architecture, facts.kind) == (architecture, kind)
    assert facts.unsupported is not None
    assert reason in facts.unsupported


def test_an_unknown_network_is_left_to_the_host(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, {"something.new.weight": (4, 4)})
    assert (facts.architecture, facts.kind, facts.unsupported) == (None, "unknown", None)


# -- metadata -------------------------------------------------------------------------------------


def test_metadata_are_texts_of_limited_length(tmp_path: Path) -> None:
    metadata = {"modelspec.title": "Fine", "number": 3, "long": "x" * 10_000, "half": "\ud800"}
    metadata |= {f"key{n}": "" for n in range(1000)}
    found = facts_of(tmp_path, SD1, metadata).metadata
    assert found["modelspec.title"] == "Fine"
    assert "number" not in found
    assert len(found["long"]) == 2000
    assert len(found) <= 256
    "".join([*found, *found.values()]).encode()


@pytest.mark.parametrize("metadata", [[], "text", 3])
def test_metadata_of_another_kind_are_none(tmp_path: Path, metadata: Any) -> None:
    facts = facts_of(tmp_path, SD1, metadata)
    assert facts.metadata == {}
    assert facts.architecture == "sd1"


# -- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("short", [1, 1000, 500_000])
def test_a_truncated_download_is_noticed(tmp_path: Path, short: int) -> None:
    facts = inspect(write(tmp_path / "model.safetensors", SD1, short=short))
    assert facts.unsupported is not None
    assert facts.unsupported.startswith(f"is truncated: {short:,} of its ")
    assert facts.unsupported.endswith("download it again")


def test_a_file_that_goes_on_after_its_end_is_damaged(tmp_path: Path) -> None:
    facts = inspect(write(tmp_path / "model.safetensors", SD1, short=-3))
    assert facts.unsupported == "is damaged: it goes on for 3 bytes after its last tensor"


def header(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


DAMAGED = {
    "empty": (b"", "truncated"),
    "seven bytes": (b"\0" * 7, "truncated"),
    "no header": (b"\0" * 8, "damaged"),
    "huge header": ((MAX_HEADER + 1).to_bytes(8, "little") + b"{}", "damaged"),
    "within the header": ((500).to_bytes(8, "little") + b"{", "truncated"),
    "web page": (b"<!DOCTYPE html><html>", "web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a link"),
    "no JSON": (header(b"{{{{"), "not valid JSON"),
    "no UTF-8": (header(b'{"\xff": 1}'), "not valid JSON"),
    "deep JSON": (header(b"[" * 200_000), "not valid JSON"),
    "a list": (header(b"[1, 2]"), "no tensors"),
    "an entry that is a number": (header(b'{"a": 3}'), "malformed at 'a'"),
    "an entry without a place": (header(b'{"a": {"shape": [1]}}'), "malformed at 'a'"),
    "a negative shape": (
        header(b'{"a": {"shape": [-1], "data_offsets": [0, 0]}}'),
        "malformed at 'a'",
    ),
    "a shape of texts": (
        header(b'{"a": {"shape": "ab", "data_offsets": [0, 0]}}'),
        "malformed at 'a'",
    ),
    "half a character": (header(b'{"\\ud800": 3}'), "malformed at '?'"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_says_so(tmp_path: Path, case: str) -> None:
    data, reason = DAMAGED[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    facts = inspect(path)
    assert facts.unsupported is not None
    assert reason in facts.unsupported


@given(data=st.binary(max_size=300), name=st.sampled_from(["m.safetensors", "m.ckpt", "m.sft"]))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_file_raises(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    inspect(tmp_path / name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["shape", "data_offsets", "__metadata__", "a"]), inner)
    ),
    max_leaves=12,
)


@given(value=JSON)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_header_raises(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(header(json.dumps(value).encode()))
    assert inspect(path).unsupported is not None


def test_a_missing_file_a_folder_and_an_impossible_path_say_so(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    for path, reason in (
        (tmp_path / "missing.safetensors", "cannot be read (No such file"),
        (tmp_path / "folder.safetensors", "is not a file"),
        (tmp_path / "nul\0.safetensors", "cannot be read"),
    ):
        assert reason in str(inspect(path).unsupported)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert inspect(tmp_path / "pipe.safetensors").unsupported == "is not a file"


# -- pickles --------------------------------------------------------------------------------------


def save(path: Path, shapes: Shapes) -> Path:
    """A real PyTorch checkpoint; all tensors share one number."""
    number = torch.zeros(1)
    tensors = OrderedDict((name, number.expand(shape)) for name, shape in shapes.items())
    torch.save({"global_step": 3, "state_dict": tensors}, path)
    return path


@pytest.mark.parametrize(
    ("shapes", "architecture", "kind"),
    [
        (SD1, "sd1", "text-to-image"),
        (unet(1024) | VAE | CLIP_H, "sd2", "text-to-image"),
        (SDXL, "sdxl", "text-to-image"),
        (unet(768, 9) | VAE | CLIP_L, "sd1", "inpainting"),
        (unet(768, 8) | VAE | CLIP_L, "sd1", "edit"),
        (VAE, None, "vae"),
    ],
)
def test_a_pickled_checkpoint_is_recognised(
    tmp_path: Path, shapes: Shapes, architecture: str | None, kind: str
) -> None:
    facts = inspect(save(tmp_path / "model.ckpt", shapes))
    assert (facts.architecture, facts.kind) == (architecture, kind)


def test_names_without_a_dot_do_not_upset_the_shapes(tmp_path: Path) -> None:
    shapes: Shapes = {"betas": (9,)} | unet(768, 9) | {"alphas": (9,)} | VAE | CLIP_L
    assert inspect(save(tmp_path / "model.ckpt", shapes)).kind == "inpainting"


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("touched.by.a.pickle"),)


def test_a_pickle_is_never_carried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("model.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": Bomb(), **dict.fromkeys(SD1)}))
    facts = inspect(Path("model.ckpt"))
    assert facts.architecture == "sd1"
    assert not Path("touched.by.a.pickle").exists()


def test_pickles_that_cannot_be_looked_into_are_left_to_the_host(tmp_path: Path) -> None:
    old = tmp_path / "old.ckpt"
    torch.save({"state_dict": {}}, old, _use_new_zipfile_serialization=False)
    other = tmp_path / "other.pt"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "no pickle here")
    for path in (old, other):
        assert inspect(path) == CheckpointFacts()


def test_a_truncated_pickled_checkpoint_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "model.ckpt", SD1)
    path.write_bytes(path.read_bytes()[:-200])
    assert str(inspect(path).unsupported).startswith("is truncated")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"N" * (64 << 20))
    assert inspect(path) == CheckpointFacts()


def test_other_formats_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "flux1-dev-Q4_K_S.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    assert inspect(path) == CheckpointFacts()


# -- cost -----------------------------------------------------------------------------------------


def test_importing_and_looking_load_no_heavy_package(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", SD1)
    script = (
        "import sys; from pathlib import Path; from lib_gmi.checkpoints import header, presets;"
        "path = Path(sys.argv[1]); presets.find(header.inspect(path), path);"
        "print([name for name in ('torch', 'numpy', 'PIL', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=SOURCE_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
