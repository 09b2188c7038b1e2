"""Programs beyond the first few: where each writes, in what encoding, and what each calls what."""

from __future__ import annotations

import io
import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from lib_gmi.metadata import Making, Network, making_in, read_making, sidecar_making
from lib_gmi.metadata.encodings import comment_text
from lib_gmi.metadata.xmp import read_xmp

SETTINGS = (
    "Steps: 24, Sampler: Euler a, CFG scale: 6.5, Seed: 5021, Size: 8x8, "
    "Model hash: 3fa9c1d2e7, Model: tidewater_v3, Version: v1.10.1"
)


def content(kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind, **options)
    return file.getvalue()


def png(texts: dict[str, str], international: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        (info.add_itxt if international else info.add_text)(name, text)
    return content(pnginfo=info)


def exif(comment: bytes = b"", more: dict[int, Any] | None = None, **top: str) -> bytes:
    """A block with a user comment."""
    block = Image.Exif()
    for tag, text in {0x010F: top.get("make"), 0x0110: top.get("model")}.items():
        if text is not None:
            block[tag] = text
    block[0x8769] = {**({0x9286: comment} if comment else {}), **(more or {})}
    return block.tobytes()


def made(file: bytes) -> Making:
    making = making_in(file)
    assert making is not None
    return making


# -- the user comment -----------------------------------------------------------------------------

WORDS = ["a cat", "霧の港と小さな灯台", "霧の港と小さな灯台、" * 1400, "кот на крыше", "一" * 9000]


@pytest.mark.parametrize("marker", [b"UNICODE\0", b"ASCII\0\0\0", bytes(8), b"Unicode\0", b""])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("words", WORDS, ids=["latin", "kana", "long", "cyrillic", "one stroke"])
def test_every_encoding_behind_every_marker(words: str, encoding: str, marker: bytes) -> None:
    text = f"{words}\nNegative prompt: x\n{SETTINGS}"
    assert comment_text(marker + text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp", "iso2022_jp"])
def test_japanese_behind_its_own_marker(encoding: str) -> None:
    text = f"霧の港と小さな灯台\n{SETTINGS}"
    assert comment_text(b"JIS\0\0\0\0\0" + text.encode(encoding)) == text


def test_western_letters_of_one_byte() -> None:
    text = f"un café\n{SETTINGS}"
    assert comment_text(b"ASCII\0\0\0" + text.encode("latin-1")) == text


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_comment_in_a_file(kind: str) -> None:
    block = exif(b"UNICODE\0" + f"灯台\n{SETTINGS}".encode())
    making = made(content(kind, exif=block))
    assert (making.prompt, making.settings.seed) == ("灯台", 5021)


# -- infotexts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompt",
    ["{{crisp}}, a pier", "{red|blue} kite", '{"subject": "a robot"}', '{"a": {"b": 1}} and more'],
)
def test_prompts_that_begin_with_a_brace(prompt: str) -> None:
    making = made(png({"parameters": f"{prompt}\nNegative prompt: dull\n{SETTINGS}"}))
    assert (making.prompt, making.negative, making.processes) == (prompt, "dull", frozenset())
    assert making.checkpoint is not None


@pytest.mark.parametrize("text", ['{"a": 1}', '{"prompt": "a cat", "other": 3}', "{}", "[]"])
def test_an_unknown_object_says_nothing(text: str) -> None:
    assert making_in(png({"parameters": text})) is None
    assert making_in(content("JPEG", exif=exif(b"ASCII\0\0\0" + text.encode()))) is None


@pytest.mark.parametrize(
    ("line", "name", "program"),
    [
        ("Steps: 9, CFG Scale: 8, Seed: 1, model: amber", "amber", "a1111"),
        (
            "Steps: 9, CFG scale: 8.0, Seed: 1, Model: , Sampler: euler discrete, TE: words.gguf, "
            "Unet: quick.gguf, VAE: ae.sft, Version: stable-diffusion.cpp, "
            'SDCPP: {"schema": "sdcpp.image.params/v1", "models": {"vae": "ae.sft"}}',
            "quick.gguf",
            "sd.cpp",
        ),
        (
            "Steps: 9, CFG scale: 8, Seed: 1, Model: old.ckpt, Sampler: euler, Version: "
            "stable-diffusion.cpp",
            "old.ckpt",
            "sd.cpp",
        ),
        (
            'Steps: 9, CFG scale: 8, Seed: 1, Hashes: {"Model:amber": "0123456789"}, '
            "Version: ComfyUI",
            "amber",
            "comfyui",
        ),
        (
            'Steps: 9, CFG scale: 8, Seed: 1, Model: amber, Template: "a {b|c}, d", '
            'Negative Template: "e"',
            "amber",
            "a1111",
        ),
    ],
)
def test_dialects_of_settings(line: str, name: str, program: str) -> None:
    making = made(png({"parameters": f"a cat\n{line}"}))
    assert making.checkpoint is not None
    assert (making.checkpoint.name, making.program) == (name, program)
    assert (making.settings.cfg, making.processes) == (8.0, frozenset())


def test_two_models_among_the_hashes_name_none() -> None:
    hashes = '{"Model:a": "0123456789", "Model:b": "9876543210"}'
    making = made(png({"parameters": f"x\nSteps: 9, Seed: 1, CFG scale: 2, Hashes: {hashes}"}))
    assert making.checkpoint is None


def test_the_networks_that_savers_number() -> None:
    line = "Lora_0 Model name: ink, Lora_0 Strength model: 0.5, Version: ComfyUI"
    making = made(png({"parameters": f"x\nSteps: 9, Seed: 1, CFG scale: 2, {line}"}))
    assert (making.networks, making.processes) == ((Network("lora", "ink", 0.5),), frozenset())


# -- programs that write one object ---------------------------------------------------------------

SWARM: dict[str, Any] = {
    "sui_image_params": {
        "prompt": "a kettle", "negativeprompt": "grainy", "model": "Flux/quiet-fp8", "seed": 3,
        "steps": 25, "cfgscale": 1.5, "width": 8, "height": 8, "sampler": "euler",
        "clipstopatlayer": -2, "loras": ["ink"], "loraweights": ["0.8"], "swarm_version": "0.9.6",
    },
    "sui_models": [{"name": "quiet-fp8.safetensors", "param": "model", "hash": "0x" + "a" * 64}],
}  # fmt: skip


def is_swarm(making: Making | None) -> None:
    assert making is not None
    assert (making.program, making.prompt, making.negative) == ("swarmui", "a kettle", "grainy")
    assert making.checkpoint is not None
    # its hashes are of the tensors, which nobody else has
    assert (making.checkpoint.name, making.checkpoint.hashes) == ("Flux/quiet-fp8", ())
    told = making.settings
    assert (told.seed, told.steps, told.cfg, told.width, told.clip_skip) == (3, 25, 1.5, 8, 2)
    assert (making.networks, making.processes) == ((Network("lora", "ink", 0.8),), frozenset())


def test_swarmui_in_every_container(tmp_path: Path) -> None:
    text = json.dumps(SWARM)
    is_swarm(made(png({"parameters": text})))
    for kind in ("JPEG", "WEBP"):
        for encoding in ("utf-16-le", "utf-16-be", "utf-8"):
            block = exif(b"UNICODE\0" + text.encode(encoding))
            is_swarm(made(content(kind, exif=block)))
    is_swarm(made(content("JPEG", exif=exif(model=text))))  # early versions
    (tmp_path / "a.png").write_bytes(content())
    (tmp_path / "a.swarm.json").write_text(text)
    assert read_making(tmp_path / "a.png") is None
    is_swarm(sidecar_making(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("more", "process"),
    [
        ({"initimagecreativity": 0.6}, "img2img"),
        ({"initimagecreativity": 0.6, "maskblur": 4}, "inpaint"),
        ({"controlnetmodel": "canny"}, "controlnet"),
        ({"refinermodel": "other", "refinercontrolpercentage": 0.2}, "refiner"),
        ({"refinerupscale": 1.5}, "hires"),
        ({"prompt": "a kettle <segment:face> smiling"}, "adetailer"),
        ({"prompt": "a kettle <region:0,0,1,1> steam"}, "regional"),
    ],
)
def test_swarmui_beyond_text_to_image(more: dict[str, Any], process: str) -> None:
    data = {"sui_image_params": {**SWARM["sui_image_params"], **more}}
    assert process in made(png({"parameters": json.dumps(data)})).processes


EASY = {
    "prompt": "a horse", "negative_prompt": "blurry", "seed": "4", "num_inference_steps": "25",
    "guidance_scale": "7.5", "use_stable_diffusion_model": "amber-v2", "sampler_name": "euler_a",
    "width": "8", "height": "8", "use_lora_model": "['ink', 'chalk']", "lora_alpha": "[0.5, 0.4]",
}  # fmt: skip
EASY_LABELS = {
    "Prompt": "a horse", "Negative Prompt": "blurry", "Seed": "4", "Steps": "25",
    "Guidance Scale": "7.5", "Stable Diffusion model": "amber-v2", "Sampler": "euler_a",
    "Width": "8", "Height": "8", "LoRA model": "ink, chalk", "LoRA Strength": "0.5, 0.4",
}  # fmt: skip


@pytest.mark.parametrize("facts", [EASY, EASY_LABELS], ids=["keys", "labels"])
@pytest.mark.parametrize("where", ["png", "exif", "json", "txt"])
def test_easy_diffusion(facts: dict[str, str], where: str, tmp_path: Path) -> None:
    making: Making | None
    if where == "png":
        making = made(png(facts))
    elif where == "exif":
        block = exif(b"UNICODE\0" + json.dumps(facts).encode("utf-16-be"))
        making = made(content("JPEG", exif=block))
    else:
        lines = "".join(f"{name}: {value}\n" for name, value in EASY_LABELS.items())
        (tmp_path / f"a.{where}").write_text(json.dumps(facts) if where == "json" else lines)
        making = sidecar_making(tmp_path / "a.png")
    assert making is not None
    assert (making.program, making.prompt, making.negative) == (
        "easydiffusion",
        "a horse",
        "blurry",
    )
    assert making.checkpoint is not None
    assert (making.checkpoint.name, making.settings.cfg) == ("amber-v2", 7.5)
    assert set(making.networks) == {Network("lora", "ink", 0.5), Network("lora", "chalk", 0.4)}
    assert making.processes == frozenset()


DRAWN = {
    "c": "a fox", "uc": "dull", "model": "quiet_q8p.ckpt", "seed": 7, "steps": 20, "scale": 3.5,
    "sampler": "Euler A", "size": "8x8", "strength": 1, "mask_blur": 1.5,
    "lora": [{"model": "ink_lora_f16.ckpt", "weight": 0.6}],
}  # fmt: skip


def packet(body: str) -> str:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{body}</rdf:RDF></x:xmpmeta>'


def test_draw_things() -> None:
    told = json.dumps(DRAWN).replace('"', "&quot;")
    comment = f'<rdf:Alt><rdf:li xml:lang="x-default">{told}</rdf:li></rdf:Alt>'
    xmp = packet(
        '<rdf:Description xmp:CreatorTool="Draw Things"><exif:UserComment>'
        f"{comment}</exif:UserComment></rdf:Description>"
    )
    files = [
        png({"XML:com.adobe.xmp": xmp}, international=True),
        png({"Software": "Draw Things", "Comment": json.dumps(DRAWN)}),
        content("JPEG", exif=exif(b"ASCII\0\0\0" + json.dumps(DRAWN).encode())),
    ]
    for file in files:
        making = made(file)
        assert (making.program, making.prompt, making.negative) == ("drawthings", "a fox", "dull")
        assert making.checkpoint is not None
        assert making.checkpoint.name == "quiet_q8p.ckpt"
        assert making.networks == (Network("lora", "ink_lora_f16.ckpt", 0.6),)
        assert (making.settings.cfg, making.processes) == (3.5, frozenset())
    begun = png({"Comment": json.dumps({**DRAWN, "strength": 0.7, "control": [{"file": "x"}]})})
    assert made(begun).processes == {"img2img", "controlnet"}


def test_tensorart() -> None:
    data = {
        "models": [{"type": "LORA", "modelFileName": "ink", "weight": 0.7, "hash": "12" * 32}],
        "prompt": "an owl", "negativePrompt": "dull", "samplerName": "Euler a", "steps": 25,
        "cfgScale": 7, "seed": "41", "clipSkip": 2, "width": 8, "height": 8,
        "baseModel": {"type": "BASE_MODEL", "modelFileName": "amber_xl", "hash": "34" * 32},
    }  # fmt: skip
    making = made(png({"generation_data": json.dumps(data) + "\0"}))
    assert (making.program, making.prompt, making.settings.seed) == ("tensorart", "an owl", 41)
    assert making.checkpoint is not None
    assert (making.checkpoint.name, making.checkpoint.hashes) == ("amber_xl", ("34" * 32,))
    assert making.networks == (Network("lora", "ink", 0.7, "12" * 32),)


def test_a_space_on_hugging_face() -> None:
    data = {
        "prompt": "a crane", "negative_prompt": "dull", "resolution": "832 x 1216", "seed": 4,
        "guidance_scale": 5.5, "num_inference_steps": 24, "sampler": "Euler a",
        "use_upscaler": None, "Model": "Amber XL", "Model hash": "BDB59BAC77",
    }  # fmt: skip
    making = made(png({"parameters": json.dumps(data)}))
    assert making.checkpoint is not None
    assert (making.checkpoint.name, making.checkpoint.hashes) == ("Amber XL", ("bdb59bac77",))
    assert (making.settings.width, making.settings.height) == (832, 1216)
    assert making.processes == frozenset()
    data["use_upscaler"] = {"upscale_by": 1.5}  # type: ignore[assignment]
    assert made(png({"parameters": json.dumps(data)})).processes == {"hires"}


@pytest.mark.parametrize(
    "more",
    [{"director_reference_strengths": [1.0]}, {"reference_image_multiple": ["x"]}],
)
def test_novelais_references(more: dict[str, Any]) -> None:
    comment = {"prompt": "a fox", "uc": "dull", "sampler": "k_euler", "scale": 5, "seed": 1}
    plain = made(png({"Software": "NovelAI", "Comment": json.dumps(comment)}))
    assert plain.processes == frozenset()
    steered = png({"Software": "NovelAI", "Comment": json.dumps({**comment, **more})})
    assert made(steered).processes == {"extension"}


def test_forks_of_invokeai() -> None:
    image = {"prompt": "a pony", "steps": 20, "cfg_scale": 7.5, "seed": 16, "type": "txt2img"}
    data = {"model": "stable diffusion", "model_id": "clay-1.4", "model_hash": "fe" * 32}
    making = made(png({"sd-metadata": json.dumps({**data, "images": [image]})}))
    assert making.checkpoint is not None
    assert (making.checkpoint.hashes, making.prompt) == (("fe" * 32,), "a pony")
    grid = made(png({"sd-metadata": json.dumps({**data, "images": [image, image]})}))
    assert grid.processes == {"grid"}
    line = (
        f'"a man" -s50 -W 64 -C7.5 -Ak_lms -Idata:image/png;base64,{"iVBOR" * 20_000} -f0.75 -S 7'
    )
    dream = made(png({"Dream": line}))
    told = dream.settings
    assert (dream.prompt, told.steps, told.width, told.seed, told.denoise) == (
        "a man", 50, 64, 7, 0.75,
    )  # fmt: skip
    assert (dream.processes, told.sampler) == ({"img2img"}, "k_lms")


# -- no checkpoint at all -------------------------------------------------------------------------

TAKEN = {0x829A: (1, 250), 0x829D: (28, 10), 0x8827: 100}
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def boxed(kind: str, words: str) -> bytes:
    """A file with content credentials that say these words; nothing of it is signed."""
    box = b"\0\0\0\x20jumbc2pa" + words.encode()
    file = content(kind)
    if kind == "PNG":
        chunk = b"caBX" + box
        check = struct.pack(">I", zlib.crc32(chunk))
        return file[:33] + struct.pack(">I", len(box)) + chunk + check + file[33:]
    if kind == "JPEG":
        segment = b"JP\0\1\0\0\0\1" + box
        return file[:2] + b"\xff\xeb" + struct.pack(">H", len(segment) + 2) + segment + file[2:]
    chunk = b"C2PA" + struct.pack("<I", len(box)) + box + b"\0" * (len(box) % 2)
    return file[:4] + struct.pack("<I", len(file) - 8 + len(chunk)) + file[8:] + chunk


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_content_credentials(kind: str) -> None:
    making = made(boxed(kind, f"claim_generator ChatGPT {SOURCE}trainedAlgorithmicMedia"))
    assert (making.program, making.made_by, making.checkpoint) == ("service", "ChatGPT", None)
    assert making.processes == {"service"}
    assert made(boxed(kind, f"{SOURCE}digitalCapture")).program == "camera"
    assert making_in(boxed(kind, "c2pa.edited by somebody")) is None


def test_what_cameras_write() -> None:
    making = made(content("JPEG", exif=exif(more=TAKEN, make="FUJIFILM", model="X-T5")))
    assert (making.program, making.made_by) == ("camera", "FUJIFILM X-T5")
    assert (making.checkpoint, making.prompt) == (None, None)
    assert making_in(content("JPEG", exif=exif(make="FUJIFILM", model="X-T5"))) is None
    # what a program says of itself goes before
    block = exif(
        b"ASCII\0\0\0" + f"a cat\n{SETTINGS}".encode(), TAKEN, make="Apple", model="iPhone"
    )
    assert made(content("JPEG", exif=block)).program == "a1111"


def test_services_that_say_so_in_words() -> None:
    said = packet(f"<a:DigitalSourceType>{SOURCE}trainedAlgorithmicMedia</a:DigitalSourceType>")
    assert made(png({"XML:com.adobe.xmp": said}, international=True)).program == "service"
    attribute = packet(f'<r a:DigitalSourceType="{SOURCE}trainedAlgorithmicMedia"/>')
    assert made(content("WEBP", xmp=attribute.encode())).processes == {"service"}
    drawn = made(png({"Description": "a fox --v 6 Job ID: 0f1e2d3c"}))
    assert (drawn.made_by, drawn.checkpoint) == ("Midjourney", None)


@pytest.mark.parametrize(
    "text",
    [
        "<exif:UserComment" * 100_000,
        "<exif:UserComment><rdf:li" * 80_000 + "</exif:UserComment>",
        "DigitalSourceType" * 100_000,
        "DigitalSourceType/" + "a" * 2_000_000,
        'xmp:CreatorTool="' * 100_000,
    ],
    ids=["comments", "items", "sources", "long source", "tools"],
)
def test_packets_without_end(text: str) -> None:
    start = time.process_time()
    read_xmp(text)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "text", [b"\x30" * 4_000_000, b"\x97\x27" * 2_000_000, b"\x1b$B" * 900_000]
)
def test_comments_without_end(text: bytes) -> None:
    start = time.process_time()
    for marker in (b"UNICODE\0", b"JIS\0\0\0\0\0", b"ASCII\0\0\0", b""):
        comment_text(marker + text)
    assert time.process_time() - start < 4
