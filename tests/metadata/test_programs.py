"""InvokeAI, NovelAI, Fooocus, files beside an image or a checkpoint, and files as such."""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from lib_gmi.metadata import (
    CheckpointMention,
    Making,
    Network,
    making_in,
    making_of,
    prompt_of,
    read_making,
    sidecar_making,
)

INFOTEXT = (
    "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, "
    "Size: 512x512, Model hash: 6ce0161689, Model: v1-5-pruned-emaonly"
)
CHECKPOINT = CheckpointMention("v1-5-pruned-emaonly", ("6ce0161689",))


def reopened(image: Image.Image, kind: str = "PNG", **options: Any) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def png(**texts: str) -> Image.Image:
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key.replace("_metadata", "-metadata") if key == "sd_metadata" else key, text)
    return reopened(Image.new("RGB", (8, 8)), pnginfo=info)


def made(image: Image.Image) -> Making:
    making = making_of(image)
    assert making is not None
    return making


# -- InvokeAI -------------------------------------------------------------------------------------

INVOKE = {
    "app_version": "5.6.0",
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a fox, (snow)1.2",
    "negative_prompt": "blurry",
    "width": 1024,
    "height": 768,
    "seed": 2735612324,
    "rand_device": "cpu",
    "cfg_scale": 7.5,
    "steps": 30,
    "scheduler": "dpmpp_2m_k",
    "clip_skip": 0,
    "model": {
        "key": "1c8b4f3a",
        "hash": "blake3:d279309ea6e5ee6e8fd52504275865cc280dac71cbf528c5b07c98b888bddaba",
        "name": "Juggernaut XL v9",
        "base": "sdxl",
        "type": "main",
    },
    "loras": [{"model": {"name": "detail", "type": "lora"}, "weight": 0.75}],
}


def test_invokeai() -> None:
    making = made(png(invokeai_metadata=json.dumps(INVOKE)))
    assert (making.program, making.prompt) == ("invokeai", "a fox, (snow)1.2")
    # the hash is BLAKE3's, which no other program has
    assert making.checkpoint == CheckpointMention("Juggernaut XL v9")
    assert making.networks == (Network("lora", "detail", 0.75),)
    settings = making.settings
    assert (settings.width, settings.height, settings.clip_skip) == (1024, 768, 1)
    assert (settings.sampler, settings.cfg) == ("dpmpp_2m_k", 7.5)
    assert making.processes == frozenset()


@pytest.mark.parametrize(
    ("more", "processes"),
    [
        ({"generation_mode": "img2img", "strength": 0.6}, {"img2img"}),
        ({"generation_mode": "sdxl_inpaint"}, {"img2img", "inpaint"}),
        ({"controlnets": [{"control_model": {"name": "canny"}}]}, {"controlnet"}),
        ({"ipAdapters": [{}]}, {"extension"}),
        ({"hrf_enabled": True, "hrf_strength": 0.45}, {"hires"}),
        ({"refiner_model": {"model_name": "sdxl-refiner"}}, {"refiner"}),
        ({"controlnets": [], "ipAdapters": None}, set()),
    ],
)
def test_invokeai_beyond_text_to_image(more: dict[str, Any], processes: set[str]) -> None:
    assert made(png(invokeai_metadata=json.dumps({**INVOKE, **more}))).processes == processes


def test_invokeai_of_version_2_and_1() -> None:
    older = {
        "model": "stable diffusion",
        "model_weights": "stable-diffusion-1.5",
        "model_hash": "cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516",
        "app_version": "2.2.4",
        "image": {
            "prompt": [{"prompt": "a cat on a roof [blurry]", "weight": 1.0}],
            "steps": 50, "cfg_scale": 7.5, "height": 512, "width": 640, "seed": 1973541,
            "type": "txt2img", "postprocessing": None, "sampler": "k_lms", "hires_fix": False,
        },
    }  # fmt: skip
    making = made(png(sd_metadata=json.dumps(older), Dream="ignored"))
    assert (making.prompt, making.negative) == ("a cat on a roof", "blurry")
    assert making.checkpoint == CheckpointMention("stable-diffusion-1.5", (older["model_hash"],))
    assert (making.settings.width, making.processes) == (640, frozenset())
    dream = made(png(Dream='"a cat [dog]" -s 50 -S 42 -W 512 -H 576 -C 7.5 -A k_lms -I a.png'))
    assert (dream.prompt, dream.negative, dream.checkpoint) == ("a cat", "dog", None)
    assert (dream.settings.seed, dream.settings.height) == (42, 576)
    assert dream.processes == {"img2img"}


# -- NovelAI --------------------------------------------------------------------------------------

COMMENT = {
    "prompt": "{granblue fantasy}, 1girl, best quality",
    "steps": 28, "height": 1216, "width": 832, "scale": 5.0, "uncond_scale": 0.0,
    "cfg_rescale": 0.0, "seed": 3816166865, "n_samples": 1, "noise_schedule": "karras",
    "sampler": "k_euler_ancestral", "sm": False, "uc": "lowres, {bad}",
    "request_type": "PromptGenerateRequest", "signed_hash": "nM6v",
}  # fmt: skip
NOVELAI = {
    "Title": "NovelAI generated image",
    "Description": COMMENT["prompt"],
    "Software": "NovelAI",
    "Source": "NovelAI Diffusion V4.5 4BDE2A90",
    "Comment": json.dumps(COMMENT),
}


def test_novelai() -> None:
    making = made(png(**NOVELAI))  # type: ignore[arg-type]
    assert (making.program, making.prompt) == ("novelai", COMMENT["prompt"])
    assert making.negative == "lowres, {bad}"
    assert making.checkpoint == CheckpointMention("NovelAI Diffusion V4.5", ("4bde2a90",))
    settings = making.settings
    assert (settings.seed, settings.cfg, settings.scheduler) == (3816166865, 5.0, "karras")
    assert making.processes == frozenset()


@pytest.mark.parametrize(
    ("more", "processes"),
    [
        ({"request_type": "Img2ImgRequest", "strength": 0.7}, {"img2img"}),
        ({"request_type": "NativeInfillingRequest"}, {"img2img", "inpaint"}),
        ({"reference_strength_multiple": [0.6]}, {"extension"}),
        (
            {
                "v4_prompt": {
                    "caption": {"base_caption": "x", "char_captions": [{"char_caption": "boy"}]}
                }
            },
            {"regional"},
        ),
    ],
)
def test_novelai_beyond_text_to_image(more: dict[str, Any], processes: set[str]) -> None:
    texts = {**NOVELAI, "Comment": json.dumps({**COMMENT, **more})}
    assert made(png(**texts)).processes == processes  # type: ignore[arg-type]


def hidden(content: bytes, signature: bytes, side: int = 128) -> Image.Image:
    """As github.com/NovelAI/novelai-image-metadata writes: column by column."""
    data = signature + (8 * len(content)).to_bytes(4, "big") + content
    bits = "".join(f"{byte:08b}" for byte in data)
    image = Image.new("RGBA", (side, side + 8), (10, 20, 30, 255))
    pixels = image.load()
    assert pixels is not None
    for at, bit in enumerate(bits):
        pixels[at // image.height, at % image.height] = (10, 20, 30, 254 | int(bit))
    return image


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_novelai_hidden_in_the_alpha_channel(kind: str) -> None:
    image = hidden(gzip.compress(json.dumps(NOVELAI).encode()), b"stealth_pngcomp")
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    making = made(reopened(image, kind, **options))
    assert (making.program, making.settings.seed) == ("novelai", 3816166865)
    assert making.checkpoint == CheckpointMention("NovelAI Diffusion V4.5", ("4bde2a90",))


def test_an_infotext_hidden_in_the_alpha_channel() -> None:
    image = reopened(hidden(INFOTEXT.encode(), b"stealth_pnginfo"))
    assert made(image).checkpoint == CHECKPOINT


def hidden_in_colours(content: bytes, signature: bytes, mode: str = "RGB") -> Image.Image:
    """As SwarmUI and reForge write: column by column, three bits a pixel."""
    data = signature + (8 * len(content)).to_bytes(4, "big") + content
    bits = [int(bit) for byte in data for bit in f"{byte:08b}"]
    image = Image.new(mode, (96, 130), (10, 20, 30, 255)[: len(mode)])
    pixels = image.load()
    assert pixels is not None
    for at in range(0, len(bits), 3):
        x, y = divmod(at // 3, image.height)
        told = [*bits[at : at + 3], 0, 0][:3]
        pixels[x, y] = (*(v & 254 | b for v, b in zip((10, 20, 30), told, strict=True)), 255)[
            : len(mode)
        ]
    return image


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_swarmui_hidden_in_the_colours(mode: str) -> None:
    told = {"sui_image_params": {"prompt": "a fox", "model": "Flux/dev", "seed": 7}}
    content = gzip.compress(json.dumps(told).encode())
    making = made(reopened(hidden_in_colours(content, b"stealth_rgbcomp", mode)))
    assert (making.prompt, making.settings.seed) == ("a fox", 7)
    assert making.checkpoint == CheckpointMention("Flux/dev")


def test_an_infotext_hidden_in_the_colours() -> None:
    image = reopened(hidden_in_colours(INFOTEXT.encode(), b"stealth_rgbinfo"))
    assert made(image).checkpoint == CHECKPOINT


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"0" * 30_000_000)[:1500], gzip.compress(b"[" * 100_000)],
)
def test_hidden_nonsense(content: bytes) -> None:
    assert making_of(reopened(hidden(content, b"stealth_pngcomp"))) is None


def test_a_hidden_text_in_a_file(tmp_path: Path) -> None:
    """Other texts were looked for first, also behind the pixels."""
    path = tmp_path / "a.png"
    hidden(INFOTEXT.encode(), b"stealth_pnginfo").save(path)
    making = read_making(path)
    assert making is not None
    assert making.checkpoint == CHECKPOINT


def test_a_hidden_length_that_lies() -> None:
    image = hidden(b"", b"stealth_pngcomp" + b"\xff\xff\xff\xff")
    assert making_of(reopened(image)) is None


# -- Fooocus --------------------------------------------------------------------------------------

FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernautXL_v8Rundiffusion",
    "base_model_hash": "aeb7e9e689", "full_negative_prompt": ["blurry"],
    "full_prompt": ["cinematic still a cat", "more"], "guidance_scale": 4,
    "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"]],
    "lora_combined_1": "sd_xl_offset_example-lora_1.0 : 0.1",
    "negative_prompt": "", "performance": "Speed", "prompt": "a cat", "prompt_expansion": "",
    "refiner_model": "None", "refiner_switch": 0.5, "resolution": "(1152, 896)",
    "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "seed": "4072823562", "sharpness": 2,
    "steps": 30, "styles": "['Fooocus V2']", "vae": "Default (model)", "version": "Fooocus v2.5.5",
}  # fmt: skip


def check_fooocus(making: Making) -> None:
    assert (making.program, making.prompt, making.negative) == ("fooocus", "a cat", None)
    assert making.checkpoint == CheckpointMention("juggernautXL_v8Rundiffusion", ("aeb7e9e689",))
    assert making.networks == (Network("lora", "sd_xl_offset_example-lora_1.0", 0.1, "4852686128"),)
    settings = making.settings
    assert (settings.seed, settings.width, settings.height) == (4072823562, 1152, 896)
    assert (making.refiner, making.processes) == (None, frozenset())


def test_fooocus() -> None:
    check_fooocus(made(png(parameters=json.dumps(FOOOCUS), fooocus_scheme="fooocus")))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_fooocus_in_exif(kind: str) -> None:
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    exif[0x9286] = json.dumps(FOOOCUS)
    exif[0x0131] = "Fooocus v2.5.5"
    exif[0x927C] = "fooocus"
    check_fooocus(made(reopened(image, kind, exif=exif)))


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "PNG"])
def test_an_infotext_in_exif(kind: str, tmp_path: Path) -> None:
    Image.init()
    if kind == "AVIF" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    image = Image.new("RGB", (16, 16))
    exif = image.getexif()
    exif[0x8769] = {0x9286: b"UNICODE\0" + INFOTEXT.encode("utf-16-be")}
    path = tmp_path / "image"
    image.save(path, kind, exif=exif.tobytes())
    making = read_making(path)
    assert making is not None
    assert making.checkpoint == CHECKPOINT


def test_a_gifs_comment(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.new("P", (8, 8)).save(path, comment=INFOTEXT)
    making = read_making(path)
    assert making is not None
    assert making.checkpoint == CHECKPOINT


def test_what_the_extras_tab_did_afterwards() -> None:
    image = png(parameters=INFOTEXT, postprocessing="Postprocess upscale by: 4")
    assert made(image).processes == {"upscale"}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    "late",
    [
        chunk(b"tEXt", b"parameters\0" + INFOTEXT.encode()),
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress(INFOTEXT.encode())),
        chunk(b"iTXt", b"parameters\0\0\0\0\0" + INFOTEXT.encode()),
        chunk(b"iTXt", b"parameters\0\1\0en\0\0" + zlib.compress(INFOTEXT.encode())),
    ],
)
def test_texts_after_the_pixels(late: bytes, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    content = file.getvalue()
    path = tmp_path / "late.png"
    path.write_bytes(content[:-12] + late + content[-12:])
    making = read_making(path)
    assert making is not None
    assert making.checkpoint == CHECKPOINT
    assert making_in(path.read_bytes()) == making


def test_an_inflated_bomb_after_the_pixels(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    content = file.getvalue()
    bomb = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * 50_000_000))
    path = tmp_path / "late.png"
    path.write_bytes(content[:-12] + bomb + content[-12:])
    assert read_making(path) is None


def test_pixels_are_not_decoded(tmp_path: Path) -> None:
    """Half a file has a whole header."""
    path = tmp_path / "half.png"
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", INFOTEXT)
    Image.effect_noise((256, 256), 90).save(path, pnginfo=info)
    path.write_bytes(path.read_bytes()[:2000])
    making = read_making(path)
    assert making is not None
    assert making.checkpoint == CHECKPOINT


def test_files_that_are_no_images(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert read_making(path) is None
    assert read_making(tmp_path) is None
    for content in (b"", b"text", b"\x89PNG\r\n\x1a\n" + b"\0" * 100):
        path.write_bytes(content)
        assert read_making(path) is None
        assert making_in(content) is None


def test_the_prompt_of_any_program() -> None:
    assert prompt_of(png(invokeai_metadata=json.dumps(INVOKE))) == "a fox, (snow)1.2"
    assert prompt_of(png(parameters=json.dumps({"sui_image_params": {"prompt": "x"}}))) is None


def test_pillow_is_imported_where_it_is_used() -> None:
    import subprocess

    code = "import sys, lib_gmi.metadata, lib_gmi.metadata.sidecars; sys.exit('PIL' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# -- sidecars -------------------------------------------------------------------------------------

VERSION = {
    "id": 128078, "modelId": 101055, "name": "v1.0 VAE fix", "baseModel": "SDXL 1.0",
    "trainedWords": [], "model": {"name": "SD XL", "type": "Checkpoint", "nsfw": False},
    "files": [
        {"name": "pruned", "hashes": {"SHA256": "0" * 64}},
        {"name": "full", "primary": True, "hashes": {
            "AutoV1": "F4E2BBB1", "AutoV2": "E6BB9EA85B", "CRC32": "DD1F1E12",
            "SHA256": "E6BB9EA85BBF7BF6478A7C6D18B71246F22E95D41BCDD80ED40AA212C33CFEFF"}},
    ],
    "images": [{"url": "https://…", "meta": {"prompt": "not this one's", "cfgScale": 7}}],
}  # fmt: skip
SDXL = CheckpointMention(
    "SD XL v1.0 VAE fix",
    ("e6bb9ea85bbf7bf6478a7c6d18b71246f22e95d41bcdd80ed40aa212c33cfeff", "e6bb9ea85b", "f4e2bbb1"),
    128078,
)


@pytest.mark.parametrize("suffix", [".civitai.info", ".json"])
def test_beside_a_checkpoint(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"sd_xl_base_1.0{suffix}").write_text(json.dumps(VERSION))
    making = sidecar_making(tmp_path / "sd_xl_base_1.0.safetensors")
    assert making == Making("civitai", checkpoint=SDXL)


def test_beside_a_checkpoint_in_other_managers_words(tmp_path: Path) -> None:
    (tmp_path / "a.metadata.json").write_text(
        json.dumps({"model_name": "x", "sha256": "ab" * 32, "civitai": VERSION})
    )
    making = sidecar_making(tmp_path / "a.safetensors")
    assert making is not None
    assert making.checkpoint is not None
    assert making.checkpoint.hashes[0] == "ab" * 32
    matrix = {"ModelId": 1, "ModelName": "M", "VersionId": 7, "VersionName": "v2",
              "ModelType": "Checkpoint", "Hashes": {"SHA256": "CD" * 32}}  # fmt: skip
    (tmp_path / "b.cm-info.json").write_text(json.dumps(matrix))
    assert sidecar_making(tmp_path / "b.safetensors") == Making(
        "civitai", checkpoint=CheckpointMention("M v2", ("cd" * 32,), 7)
    )


def test_beside_a_lora(tmp_path: Path) -> None:
    lora = {**VERSION, "model": {"name": "Detail", "type": "LORA"}}
    (tmp_path / "d.civitai.info").write_text(json.dumps(lora))
    making = sidecar_making(tmp_path / "d.safetensors")
    assert making is not None
    assert making.checkpoint is None
    assert making.networks == (Network("lora", "Detail v1.0 VAE fix", None, SDXL.hashes[0]),)


def test_beside_an_image(tmp_path: Path) -> None:
    image = tmp_path / "00001-1.png"
    (tmp_path / "00001-1.txt").write_text(INFOTEXT + "\n")
    making = sidecar_making(image)
    assert making is not None
    assert making.checkpoint == CHECKPOINT
    site = {
        "id": 1, "url": "https://…", "meta": {
            "Size": "512x768", "seed": 234, "Model": "dreamshaper_8", "steps": 30,
            "hashes": {"model": "879DB523C3", "lora:x": "0123456789ab"},
            "prompt": "a cat <lora:x:0.4>", "sampler": "DPM++ 2M Karras", "cfgScale": 7,
            "clipSkip": 2, "Model hash": "879db523c3", "negativePrompt": "dog",
            "resources": [{"name": "x", "type": "lora", "weight": 0.4},
                          {"name": "dreamshaper_8", "type": "model", "hash": "879db523c3"}],
        },
    }  # fmt: skip
    (tmp_path / "00001-1.json").write_text(json.dumps(site))
    making = sidecar_making(image)
    assert making is not None
    assert (making.prompt, making.negative) == ("a cat", "dog")
    assert making.checkpoint == CheckpointMention("dreamshaper_8", ("879db523c3",))
    assert making.networks == (Network("lora", "x", 0.4, "0123456789ab"),)
    assert (making.settings.seed, making.settings.height) == (234, 768)


def test_files_beside_that_say_nothing(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    assert sidecar_making(image) is None
    (tmp_path / "a.txt").write_text("1girl, a caption of a training set")
    (tmp_path / "a.json").write_text(json.dumps({"description": "", "sd version": "SD1"}))
    (tmp_path / "a.civitai.info").mkdir()
    assert sidecar_making(image) is None
    (tmp_path / "a.json").write_bytes(b"\xff" * 5_000_000)
    assert sidecar_making(image) is None
