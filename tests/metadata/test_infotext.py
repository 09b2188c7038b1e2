"""Infotexts as AUTOMATIC1111, Forge, SD.Next, Civitai, Fooocus and savers of ComfyUI write them."""

from __future__ import annotations

import pytest

from lib_gmi.metadata import CheckpointMention, Making, Network, a1111, plain_prompt, prompt_in
from lib_gmi.metadata.text import prompt_text

NEGATIVE = "Negative prompt: blurry, text"


def made(settings: str, prompt: str = "a cat") -> Making:
    making = a1111.read(f"{prompt}\n{NEGATIVE}\n{settings}")
    assert making is not None
    return making


A1111 = (
    "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 965400086, "
    "Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, VAE hash: 735e4c3a44, "
    "VAE: vae-ft-mse-840000-ema-pruned.safetensors, Clip skip: 2, Version: v1.10.1"
)


def test_text_to_image() -> None:
    making = made(A1111, "a (lighthouse:1.2) at dusk")
    assert making.program == "a1111"
    assert making.prompt == "a (lighthouse:1.2) at dusk"
    assert making.negative == "blurry, text"
    assert making.checkpoint == CheckpointMention("v1-5-pruned-emaonly", ("6ce0161689",))
    settings = making.settings
    assert (settings.seed, settings.steps, settings.cfg) == (965400086, 20, 7.0)
    assert (settings.sampler, settings.scheduler) == ("DPM++ 2M", "Karras")
    assert (settings.width, settings.height, settings.clip_skip) == (512, 768, 2)
    assert settings.vae == "vae-ft-mse-840000-ema-pruned.safetensors"
    assert making.processes == frozenset()
    assert making.networks == ()
    assert making.refiner is None


OLD = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model hash: 45dee52b"


def test_before_there_were_names_there_was_an_old_hash() -> None:
    assert made(OLD).checkpoint == CheckpointMention(None, ("45dee52b",))


@pytest.mark.parametrize(
    ("more", "processes"),
    [
        ("Denoising strength: 0.75", {"img2img"}),
        ("Denoising strength: 0.75, Mask blur: 4", {"img2img", "inpaint"}),
        ("Denoising strength: 0.6, Inpaint area: Only masked", {"img2img", "inpaint"}),
        ("Denoising strength: 0.4, Hires upscale: 2, Hires upscaler: Latent", {"hires"}),
        ("Denoising strength: 0.7, First pass size: 0x0", {"hires"}),
        ('ADetailer model: face_yolov8n.pt, ADetailer prompt: "a, b"', {"adetailer"}),
        ('ControlNet 0: "Module: canny, Model: x [d14c016b], Weight: 1"', {"controlnet"}),
        ("Face restoration: CodeFormer", {"faces"}),
        ('RP Active: True, RP Ratios: "1,1"', {"regional", "extension"}),
        ("RP Active: False", set()),
        ("SD upscale overlap: 64, Denoising strength: 0.3", {"upscale", "img2img"}),
        ('Script: X/Y/Z plot, X Type: Steps, X Values: "10, 20"', {"grid"}),
        ("freeu_enabled: True, Dynamic thresholding enabled: True", {"extension"}),
        ("Hypertile U-Net: True, RNG: CPU, Token merging ratio: 0.3, ENSD: 31337", set()),
        ("Variation seed: 3, Variation seed strength: 0.2, Eta: 0.5, Emphasis: No norm", set()),
        ("Denoising strength: 1, Version: ComfyUI", set()),
    ],
)
def test_what_was_done_beyond_text_to_image(more: str, processes: set[str]) -> None:
    assert made(f"{OLD}, {more}").processes == processes


def test_the_refiner_and_the_second_checkpoint() -> None:
    refined = made(f"{A1111}, Refiner: sd_xl_refiner_1.0 [7440042bbd], Refiner switch at: 0.8")
    assert refined.refiner == CheckpointMention("sd_xl_refiner_1.0", ("7440042bbd",))
    assert "refiner" in refined.processes
    again = made(f'{A1111}, Hires upscale: 2, Hires checkpoint: "other [0123456789]"')
    assert again.refiner == CheckpointMention("other", ("0123456789",))
    assert again.processes == {"hires", "refiner"}


def test_networks() -> None:
    prompt = "a cat <lora:detail:0.8> <lora:face:0.5:0.7>, <lyco:style:1>, <hypernet:h:0.3> tree"
    making = made(
        f'{A1111}, Lora hashes: "detail: 7c6bad76eb54, face: 1234567890ab", '
        'TI hashes: "easynegative: c74b4e810b03"',
        prompt,
    )
    assert making.prompt == "a cat, tree"
    assert making.networks == (
        Network("lora", "detail", 0.8, "7c6bad76eb54"),
        Network("lora", "face", 0.7, "1234567890ab"),
        Network("lycoris", "style", 1.0),
        Network("hypernetwork", "h", 0.3),
        Network("embedding", "easynegative", None, "c74b4e810b03"),
    )


def test_additional_networks() -> None:
    making = made(
        f"{OLD}, AddNet Enabled: True, AddNet Module 1: LoRA, AddNet Model 1: paint(f47f8b1ad5a3), "
        "AddNet Weight A 1: 0.6, AddNet Weight B 1: 0.6"
    )
    assert making.networks == (Network("lora", "paint", 0.6, "f47f8b1ad5a3"),)
    assert making.processes == frozenset()


def test_values_in_quotation_marks_hold_anything() -> None:
    making = made(
        r'Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 5, Hires prompt: "a, b: c, Model: \"x\"", '
        'Model: "a, b: c", Size: 64x64'
    )
    assert making.checkpoint == CheckpointMention("a, b: c")
    assert making.settings.seed == 5


def test_quoted_values_of_several_lines_and_templates_below() -> None:
    text = (
        'a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 5, Wild: "one,\ntwo", Size: 64x32, '
        "Model: m\nTemplate: a {cat|dog}\n\nNegative Template: x"
    )
    making = a1111.read(text)
    assert making is not None
    assert (making.prompt, making.settings.width) == ("a cat", 64)
    assert making.checkpoint == CheckpointMention("m")


def test_forge() -> None:
    making = made(
        "Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, "
        "Seed: 7, Size: 896x1152, Model hash: c161224931, Model: flux1-dev-bnb-nf4, "
        "Diffusion in Low Bits: Automatic, Module 1: ae, Module 2: t5xxl_fp16, "
        "Version: f2.0.1v1.10.1-previous-224-g900196889"
    )
    assert (making.program, making.processes) == ("forge", frozenset())
    assert making.checkpoint == CheckpointMention("flux1-dev-bnb-nf4", ("c161224931",))


SDNEXT = (
    "Steps: 28, Size: 1024x1024, Sampler: Euler a, Seed: 11, CFG scale: 6, Clip skip: 2, "
    "App: SD.Next, Version: 0c7038e, Pipeline: StableDiffusionXLPipeline, Operations: {}, "
    "Model: juggernautXL_v9, Model hash: c9e3e68f89"
)


@pytest.mark.parametrize(
    ("operations", "processes"),
    [
        ("txt2img", set()),
        ("txt2img; hires", {"hires"}),
        ('"img2img; inpaint"', {"img2img", "inpaint"}),
        ("txt2img; detailer", {"adetailer"}),
        ("none", set()),
    ],
)
def test_sdnext(operations: str, processes: set[str]) -> None:
    making = made(SDNEXT.format(operations))
    assert (making.program, making.processes) == ("sdnext", processes)
    assert making.checkpoint == CheckpointMention("juggernautXL_v9", ("c9e3e68f89",))


def test_sdnext_says_off_for_what_was_not_done() -> None:
    making = made(SDNEXT.format("txt2img") + ", Refine: False, Hires steps: 0, Refiner steps: 0")
    assert making.processes == frozenset()


def test_civitai() -> None:
    making = made(
        "Steps: 25, Sampler: Euler a, CFG scale: 4, Seed: 3, Size: 832x1216, Clip skip: 2, "
        "Created Date: 2025-03-01T09:18:43.5269343Z, Civitai resources: "
        '[{"type":"checkpoint","modelVersionId":889818,"modelName":"Illustrious [XL]",'
        '"modelVersionName":"v0.1"},{"type":"lora","weight":0.65,"modelVersionId":12,'
        '"modelName":"Line, art"},{"type":"embed","modelVersionId":77}], Civitai metadata: {}'
    )
    assert making.program == "civitai"
    assert making.checkpoint == CheckpointMention("Illustrious [XL]", (), 889818)
    assert making.networks == (
        Network("lora", "Line, art", 0.65),
        Network("embedding", "civitai:77"),
    )
    assert (making.settings.width, making.processes) == (832, frozenset())


def test_civitai_names_resources_by_urn_as_well() -> None:
    making = made(
        "Steps: 30, Sampler: Euler, CFG scale: 4.5, Seed: 6, Size: 1216x832, "
        "Model hash: BB2C170125, Model: JAN4realish, Version: ComfyUI, Civitai resources: "
        '[{"modelName":"x","weight":1.0,"air":"urn:air:sdxl:embedding:civitai:1302719@1833157"},'
        '{"air":"urn:air:sdxl:checkpoint:civitai:101055@128078"}]'
    )
    assert making.program == "comfyui"
    assert making.checkpoint == CheckpointMention("JAN4realish", ("bb2c170125",), 128078)
    assert making.networks == (Network("embedding", "x", 1.0),)


def test_of_several_checkpoints_none_is_believed() -> None:
    making = made(
        f"{OLD.replace(', Model hash: 45dee52b', '')}, Civitai resources: "
        '[{"type":"checkpoint","modelVersionId":1},{"type":"checkpoint","modelVersionId":2}]'
    )
    assert making.checkpoint is None


def test_an_empty_negative_prompt_with_the_settings_behind_it() -> None:
    making = a1111.read(
        "fog, a vintage car\nNegative prompt: Steps: 23, Sampler: Undefined, CFG scale: 3.5, "
        "Seed: 1, Size: 832x1216"
    )
    assert making is not None
    assert (making.prompt, making.negative, making.settings.steps) == (
        "fog, a vintage car",
        None,
        23,
    )


def test_hashes_of_an_extension() -> None:
    making = made(
        f'{A1111}, <lora:x:1>, Hashes: {{"vae": "735e4c3a44", "model": "e6415c4892", '
        '"lora:paint": "f47f8b1ad5a3", "embed:neg": "c74b4e810b"}'
    )
    assert making.checkpoint == CheckpointMention(
        "v1-5-pruned-emaonly", ("6ce0161689", "e6415c4892")
    )
    assert Network("lora", "paint", None, "f47f8b1ad5a3") in making.networks
    assert Network("embedding", "neg", None, "c74b4e810b") in making.networks


def test_fooocus_in_the_scheme_of_a1111() -> None:
    making = a1111.read(
        "cinematic still a cat . emotional, harmonious, vignette\nNegative prompt: anime, cartoon\n"
        "Steps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 9, Size: 1152x896, CFG scale: 4, "
        'Sharpness: 2, ADM Guidance: "(1.5, 0.8, 0.3)", Model: juggernautXL_v8Rundiffusion, '
        "Model hash: aeb7e9e689, Performance: Speed, Scheduler: karras, VAE: Default (model), "
        "Raw prompt: a cat, Raw negative prompt: , Lora hashes: "
        '"sd_xl_offset_example-lora_1.0: 4852686128", Lora weights: '
        '"sd_xl_offset_example-lora_1.0: 0.1", Version: Fooocus v2.5.5'
    )
    assert making is not None
    assert (making.program, making.prompt) == ("fooocus", "a cat")
    assert making.checkpoint == CheckpointMention("juggernautXL_v8Rundiffusion", ("aeb7e9e689",))
    assert making.networks == (Network("lora", "sd_xl_offset_example-lora_1.0", 0.1, "4852686128"),)
    assert making.processes == frozenset()


@pytest.mark.parametrize(
    "settings",
    [
        "Steps: nan, Sampler: Euler, CFG scale: 1e999, Seed: -1, Size: 0x99999999999",
        f"Steps: {'9' * 5000}, Sampler: {'x' * 5000}, CFG scale: inf, Seed: {2**64}, Size: axb",
        "Steps: 0x14, Sampler: \0, CFG scale: --7, Seed: 1.5, Size: x",
    ],
)
def test_impossible_settings_are_left_out(settings: str) -> None:
    found = made(f"{settings}, Denoising strength: 7, Clip skip: 400").settings
    assert {value for value in vars(found).values() if value is not None} <= {"Euler"}


def test_a_text_without_settings_tells_no_making() -> None:
    assert a1111.read("a cat on a roof") is None
    assert a1111.read("a note: one, two: three") is None
    assert a1111.read("") is None
    only = a1111.read("a cat\nNegative prompt: dog")
    assert only is not None
    assert (only.prompt, only.negative, only.checkpoint) == ("a cat", "dog", None)


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        ("a cat BREAK on a roof", "a cat, on a roof"),
        ("a cat :1.2 AND a dog :0.8", "a cat, a dog"),
        ("a (cat:1.3), [dog]", "a (cat:1.3), [dog]"),
        ("a cat, embedding:easynegative, (embedding:bad-hands-5:1.1), tree", "a cat, tree"),
        ("BREAKFAST, SAND", "BREAKFAST, SAND"),
        ("<lora:x:1>", None),
    ],
)
def test_a_prompt_that_any_program_takes(prompt: str, kept: str | None) -> None:
    assert prompt_text(prompt) == kept


@pytest.mark.parametrize(
    ("prompt", "plain"),
    [
        ("a (cat:1.3) on a ((roof)), [dull]", "a cat on a roof, dull"),
        ("a [cat:dog:0.5] in [rain:12], [fog::5]", "a dog in rain"),
        ("[cow|horse] in a field", "cow horse in a field"),
        ("{red|blue} car, {{masterpiece}}", "red car, masterpiece"),
        ("{2::cat|dog}, {2$$a|b}", "cat, a"),
        (r"a cat \(animal\), saber \(fate\)", "a cat (animal), saber (fate)"),
        ("__color__ hair, __a/b*__", "hair"),
        ("1.5::rain::, -2::people::, girl", "rain, people, girl"),
        ("(a cat)1.3 on a roof++, dog--", "a cat on a roof, dog"),
        ("a cat, <lora:x:1>BREAK (on a roof:1.1)", "a cat, on a roof"),
        ("time: 12:30, (ratio 16:9 wide)", "time: 12:30, ratio 16:9 wide"),
        ("((unclosed, (brackets:1.2", "unclosed, brackets"),
        ("closed) twice]]", "closed twice"),
        ("((((a:1.1):1.2):1.3) b:0.5)", "a b"),
        ("line one,\nline two", "line one, line two"),
        ("", ""),
    ],
)
def test_a_prompt_as_words(prompt: str, plain: str) -> None:
    assert plain_prompt(prompt) == plain


def test_the_json_of_an_unknown_program_is_no_prompt() -> None:
    assert prompt_in('{"sui_image_params": {"prompt": "a cat"}}') is None
    assert prompt_in("{{masterpiece}}, a cat") == "{{masterpiece}}, a cat"
