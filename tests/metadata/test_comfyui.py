"""Graphs as ComfyUI saves them: which of their samplers made the image, and with what."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from lib_gmi.metadata import CheckpointMention, Making, Network, making_of
from lib_gmi.metadata.comfyui import of_json

Graph = dict[str, Any]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def ksampler(**changed: Any) -> dict[str, Any]:
    inputs = {
        "model": ["4", 0],
        "positive": ["6", 0],
        "negative": ["7", 0],
        "latent_image": ["5", 0],
        "seed": 156680208700286,
        "steps": 20,
        "cfg": 8,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1,
    }
    return node("KSampler", **{**inputs, **changed})


def default(**changed: Any) -> Graph:
    """The workflow that ComfyUI begins with, as its API writes it."""
    return {
        "3": ksampler(),
        "4": node("CheckpointLoaderSimple", ckpt_name="v1-5-pruned-emaonly-fp16.safetensors"),
        "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
        "6": node("CLIPTextEncode", text="beautiful scenery, bottle", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="text, watermark", clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
        **changed,
    }


def made(graph: Graph, size: tuple[int, int] | None = None) -> Making:
    making = of_json(graph, size)
    assert making is not None
    return making


CHECKPOINT = CheckpointMention("v1-5-pruned-emaonly-fp16.safetensors")


def test_the_default_workflow() -> None:
    making = made(default())
    assert (making.program, making.prompt) == ("comfyui", "beautiful scenery, bottle")
    assert making.negative == "text, watermark"
    assert making.checkpoint == CHECKPOINT
    assert (making.processes, making.networks, making.refiner) == (frozenset(), (), None)
    settings = making.settings
    assert (settings.seed, settings.steps, settings.cfg) == (156680208700286, 20, 8.0)
    assert (settings.sampler, settings.scheduler) == ("euler", "normal")
    assert (settings.width, settings.height, settings.denoise) == (512, 768, None)


def test_loras_clip_skip_and_vae() -> None:
    making = made(
        default(
            **{
                "3": ksampler(model=["11", 0]),
                "10": node(
                    "LoraLoader",
                    lora_name="a.safetensors",
                    strength_model=0.8,
                    strength_clip=1,
                    model=["4", 0],
                    clip=["4", 1],
                ),
                "11": node(
                    "LoraLoaderModelOnly",
                    lora_name="b.safetensors",
                    strength_model=-0.5,
                    model=["10", 0],
                ),
                "12": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["10", 1]),
                "6": node("CLIPTextEncode", text="scenery", clip=["12", 0]),
                "13": node("VAELoader", vae_name="vae-ft-mse.safetensors"),
                "8": node("VAEDecode", samples=["3", 0], vae=["13", 0]),
            }
        )
    )
    assert set(making.networks) == {
        Network("lora", "a.safetensors", 0.8),
        Network("lora", "b.safetensors", -0.5),
    }
    assert making.checkpoint == CHECKPOINT
    assert (making.settings.clip_skip, making.settings.vae) == (2, "vae-ft-mse.safetensors")
    assert making.processes == frozenset()


HIRES = {
    "20": node("LatentUpscaleBy", samples=["3", 0], upscale_method="nearest-exact", scale_by=1.5),
    "21": ksampler(latent_image=["20", 0], positive=["22", 0], denoise=0.5, seed=2),
    "22": node("CLIPTextEncode", text="finer scenery", clip=["4", 1]),
    "8": node("VAEDecode", samples=["21", 0], vae=["4", 2]),
}


def test_a_second_pass() -> None:
    making = made(default(**HIRES))
    assert (making.prompt, making.processes) == ("finer scenery", {"hires"})
    assert (making.settings.seed, making.settings.denoise) == (156680208700286, 0.5)
    assert making.checkpoint == CHECKPOINT


def test_a_second_pass_through_an_upscaling_model() -> None:
    making = made(
        default(
            **{
                "30": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
                "31": node("UpscaleModelLoader", model_name="4x-UltraSharp.pth"),
                "32": node("ImageUpscaleWithModel", upscale_model=["31", 0], image=["30", 0]),
                "33": node("VAEEncode", pixels=["32", 0], vae=["4", 2]),
                "34": ksampler(latent_image=["33", 0], denoise=0.4),
                "8": node("VAEDecode", samples=["34", 0], vae=["4", 2]),
            }
        )
    )
    assert making.processes == {"hires", "upscale"}
    assert making.checkpoint == CHECKPOINT


@pytest.mark.parametrize(
    ("nodes", "processes"),
    [
        (
            {
                "5": node("VAEEncode", pixels=["20", 0], vae=["4", 2]),
                "20": node("LoadImage", image="a.png"),
            },
            {"img2img"},
        ),
        (
            {
                "5": node(
                    "VAEEncodeForInpaint",
                    pixels=["20", 0],
                    vae=["4", 2],
                    mask=["20", 1],
                    grow_mask_by=6,
                ),
                "20": node("LoadImage", image="a.png"),
            },
            {"img2img", "inpaint"},
        ),
        (
            {
                "5": node("SetLatentNoiseMask", samples=["21", 0], mask=["20", 1]),
                "21": node("VAEEncode", pixels=["20", 0], vae=["4", 2]),
                "20": node("LoadImage", image="a.png"),
            },
            {"img2img", "inpaint"},
        ),
        (
            {
                "20": node("ImageUpscaleWithModel", upscale_model=["21", 0], image=["8", 0]),
                "21": node("UpscaleModelLoader", model_name="4x.pth"),
                "9": node("SaveImage", images=["20", 0]),
            },
            {"upscale"},
        ),
        (
            {
                "20": node(
                    "FaceDetailer",
                    image=["8", 0],
                    model=["4", 0],
                    clip=["4", 1],
                    vae=["4", 2],
                    positive=["6", 0],
                    negative=["7", 0],
                    bbox_detector=["21", 0],
                    seed=1,
                    steps=20,
                    cfg=8,
                    sampler_name="euler",
                    scheduler="normal",
                    denoise=0.5,
                ),
                "21": node("UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt"),
                "9": node("SaveImage", images=["20", 0]),
            },
            {"adetailer"},
        ),
        (
            {
                "20": node(
                    "UltimateSDUpscale",
                    image=["8", 0],
                    model=["4", 0],
                    positive=["6", 0],
                    negative=["7", 0],
                    vae=["4", 2],
                    upscale_model=["21", 0],
                    upscale_by=2,
                    seed=1,
                    steps=20,
                    cfg=8,
                    sampler_name="euler",
                    scheduler="normal",
                    denoise=0.2,
                ),
                "21": node("UpscaleModelLoader", model_name="4x.pth"),
                "9": node("SaveImage", images=["20", 0]),
            },
            {"upscale"},
        ),
        (
            {
                "3": ksampler(positive=["20", 0], negative=["20", 1]),
                "20": node(
                    "ControlNetApplyAdvanced",
                    positive=["6", 0],
                    negative=["7", 0],
                    control_net=["21", 0],
                    image=["22", 0],
                    strength=1,
                ),
                "21": node("ControlNetLoader", control_net_name="canny.safetensors"),
                "22": node("LoadImage", image="edges.png"),
            },
            {"controlnet"},
        ),
        (
            {
                "3": ksampler(model=["20", 0]),
                "20": node("IPAdapter", model=["4", 0], ipadapter=["21", 0], image=["22", 0]),
                "21": node("IPAdapterModelLoader", ipadapter_file="ip.safetensors"),
                "22": node("LoadImage", image="a.png"),
            },
            {"extension"},
        ),
        (
            {
                "20": node("ReActorFaceSwap", input_image=["8", 0], source_image=["22", 0]),
                "22": node("LoadImage", image="a.png"),
                "9": node("SaveImage", images=["20", 0]),
            },
            {"faces", "extension"},
        ),
    ],
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else "",
)
def test_what_was_done_beyond_text_to_image(nodes: Graph, processes: set[str]) -> None:
    making = made(default(**nodes))
    assert making.processes == processes
    assert making.checkpoint == CHECKPOINT
    assert making.prompt == "beautiful scenery, bottle"
    assert making.negative == "text, watermark"


def test_base_and_refiner_share_one_pass() -> None:
    halves: Graph = {
        "3": node(
            "KSamplerAdvanced",
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
            add_noise="enable",
            noise_seed=721897303308196,
            steps=25,
            cfg=8,
            sampler_name="euler",
            scheduler="normal",
            start_at_step=0,
            end_at_step=20,
            return_with_leftover_noise="enable",
        ),
        "11": node(
            "KSamplerAdvanced",
            model=["12", 0],
            positive=["15", 0],
            negative=["16", 0],
            latent_image=["3", 0],
            add_noise="disable",
            noise_seed=0,
            steps=25,
            cfg=8,
            sampler_name="euler",
            scheduler="normal",
            start_at_step=20,
            end_at_step=10000,
            return_with_leftover_noise="disable",
        ),
        "12": node("CheckpointLoaderSimple", ckpt_name="sd_xl_refiner_1.0.safetensors"),
        "15": node("CLIPTextEncode", text="scenery", clip=["12", 1]),
        "16": node("CLIPTextEncode", text="", clip=["12", 1]),
        "8": node("VAEDecode", samples=["11", 0], vae=["12", 2]),
    }
    making = made(default(**halves))
    assert making.checkpoint == CHECKPOINT
    assert making.refiner == CheckpointMention("sd_xl_refiner_1.0.safetensors")
    assert making.processes == {"refiner"}
    assert making.settings.seed == 721897303308196
    assert making.negative == "text, watermark"


FLUX: Graph = {
    "5": node("EmptySD3LatentImage", width=["34", 0], height=1024, batch_size=1),
    "6": node("CLIPTextEncode", text="a fox", clip=["11", 0]),
    "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
    "9": node("SaveImage", images=["8", 0]),
    "10": node("VAELoader", vae_name="ae.safetensors"),
    "11": node(
        "DualCLIPLoader", clip_name1="t5xxl_fp16.safetensors", clip_name2="clip_l", type="flux"
    ),
    "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
    "13": node(
        "SamplerCustomAdvanced",
        noise=["25", 0],
        guider=["22", 0],
        sampler=["16", 0],
        sigmas=["17", 0],
        latent_image=["5", 0],
    ),
    "16": node("KSamplerSelect", sampler_name="euler"),
    "17": node("BasicScheduler", scheduler="simple", steps=20, denoise=1, model=["30", 0]),
    "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
    "25": node("RandomNoise", noise_seed=219670278747233),
    "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    "30": node("ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=1024, model=["12", 0]),
    "34": node("PrimitiveInt", value=1024),
}


def test_flux_with_its_guider() -> None:
    making = made(FLUX)
    assert (making.prompt, making.negative) == ("a fox", None)
    assert making.checkpoint == CheckpointMention("flux1-dev.safetensors")
    settings = making.settings
    assert (settings.seed, settings.steps, settings.sampler) == (219670278747233, 20, "euler")
    assert (settings.scheduler, settings.width, settings.vae) == ("simple", 1024, "ae.safetensors")
    assert making.processes == frozenset()


def test_texts_that_other_nodes_put_together() -> None:
    making = made(
        default(
            **{
                "6": node("CLIPTextEncodeSDXL", text_g=["30", 0], text_l=["30", 0], clip=["4", 1]),
                "30": node(
                    "StringConcatenate", string_a=["31", 0], string_b="on a roof", delimiter=" "
                ),
                "31": node("PrimitiveStringMultiline", value="a cat"),
                "7": node("ConditioningZeroOut", conditioning=["6", 0]),
            }
        )
    )
    assert (making.prompt, making.negative) == ("a cat on a roof", None)


def test_combined_conditionings() -> None:
    making = made(
        default(
            **{
                "3": ksampler(positive=["30", 0]),
                "30": node(
                    "ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["31", 0]
                ),
                "31": node("ConditioningSetArea", conditioning=["32", 0], width=64, strength=1),
                "32": node("CLIPTextEncode", text="a ship", clip=["4", 1]),
            }
        )
    )
    assert making.prompt == "beautiful scenery, bottle, a ship"
    assert making.processes == {"regional"}


def test_loaders_that_do_it_all() -> None:
    making = made(
        {
            "1": node(
                "Efficient Loader",
                ckpt_name="m.safetensors",
                vae_name="Baked VAE",
                clip_skip=-2,
                lora_name="l.safetensors",
                lora_model_strength=0.7,
                lora_clip_strength=1,
                positive="a boat",
                negative=["9", 0],
                empty_latent_width=640,
                empty_latent_height=512,
                lora_stack=["8", 0],
            ),
            "2": node(
                "KSampler (Efficient)",
                model=["1", 0],
                positive=["1", 1],
                negative=["1", 2],
                latent_image=["1", 3],
                seed=4,
                steps=12,
                cfg=5,
                sampler_name="euler",
                scheduler="karras",
                denoise=1,
            ),
            "3": node("SaveImage", images=["2", 5]),
            "8": node(
                "CR LoRA Stack",
                switch_1="On",
                lora_name_1="s.safetensors",
                model_weight_1=0.4,
                switch_2="Off",
                lora_name_2="t.safetensors",
                model_weight_2=1,
            ),
            "9": node("ShowText|pysssss", text=["10", 0], text_0="stale"),
            "10": node("PrimitiveString", value="blurry"),
        }
    )
    assert (making.prompt, making.negative) == ("a boat", "blurry")
    assert making.checkpoint == CheckpointMention("m.safetensors")
    assert set(making.networks) == {
        Network("lora", "l.safetensors", 0.7),
        Network("lora", "s.safetensors", 0.4),
    }
    assert (making.settings.clip_skip, making.settings.width) == (2, 640)


def test_power_loras_reroutes_and_unknown_nodes() -> None:
    making = made(
        default(
            **{
                "3": ksampler(model=["30", 0], positive=["33", 0]),
                "30": node("Reroute", **{"": ["31", 0]}),
                "31": node(
                    "Power Lora Loader (rgthree)",
                    model=["4", 0],
                    clip=["4", 1],
                    PowerLoraLoaderHeaderWidget={"type": "PowerLoraLoaderHeaderWidget"},
                    lora_1={"on": True, "lora": "x.safetensors", "strength": 0.6},
                    lora_2={"on": False, "lora": "y.safetensors", "strength": 1},
                ),
                "33": node("SomethingNobodyKnows", stuff=["6", 0], amount=3),
            }
        )
    )
    assert making.networks == (Network("lora", "x.safetensors", 0.6),)
    assert making.checkpoint == CHECKPOINT
    assert making.prompt == "beautiful scenery, bottle"


def test_merged_models_are_no_checkpoint() -> None:
    making = made(
        default(
            **{
                "3": ksampler(model=["30", 0]),
                "30": node("ModelMergeSimple", model1=["4", 0], model2=["31", 0], ratio=0.5),
                "31": node("CheckpointLoaderSimple", ckpt_name="other.safetensors"),
            }
        )
    )
    assert (making.checkpoint, making.processes) == (None, {"merge"})


def test_a_switch_that_says_what_it_passes_on() -> None:
    making = made(
        default(
            **{
                "3": ksampler(model=["30", 0]),
                "30": node("ImpactSwitch", select=2, input1=["31", 0], input2=["4", 0]),
                "31": node("CheckpointLoaderSimple", ckpt_name="other.safetensors"),
            }
        )
    )
    assert making.checkpoint == CHECKPOINT


SECOND: Graph = {
    "40": node("CheckpointLoaderSimple", ckpt_name="other.safetensors"),
    "43": ksampler(model=["40", 0]),
    "48": node("VAEDecode", samples=["43", 0], vae=["40", 2]),
    "49": node("SaveImage", images=["48", 0]),
}


def test_outputs_that_disagree_leave_the_checkpoint_open() -> None:
    making = made(default(**SECOND))
    assert making.checkpoint is None
    assert making.prompt == "beautiful scenery, bottle"


def test_a_preview_does_not_save() -> None:
    preview = {**SECOND, "49": node("PreviewImage", images=["48", 0])}
    assert made(default(**preview)).checkpoint == CHECKPOINT


def test_the_size_tells_the_outputs_apart() -> None:
    both = default(
        **{
            **HIRES,
            "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
            "50": node("VAEDecode", samples=["21", 0], vae=["4", 2]),
            "51": node("SaveImage", images=["50", 0]),
        }
    )
    assert made(both, (512, 768)).processes == frozenset()
    assert made(both, (768, 1152)).processes == {"hires"}
    assert made(both).processes == {"hires"}


@pytest.mark.parametrize(
    ("locked", "checkpoint"), [(False, None), (True, CheckpointMention("sd/answer.safetensors"))]
)
def test_this_extensions_own_nodes(locked: bool, checkpoint: CheckpointMention | None) -> None:
    query = {
        "image": ["21", 0],
        "prompt": "",
        "method": "auto",
        "lock_answer": locked,
        "locked_answer": "sd/answer.safetensors",
    }
    loads = default(
        **{
            "4": node("GMI_LoadBestModel", min_probability=0, fallback="fallback.ckpt", **query),
            "21": node("LoadImage", image="a.png"),
        }
    )
    assert made(loads).checkpoint == checkpoint
    finds = default(
        **{
            "4": node("CheckpointLoaderSimple", ckpt_name=["20", 0]),
            "20": node("GMI_FindBestModel", **query),
            "21": node("LoadImage", image="a.png"),
        }
    )
    assert made(finds).checkpoint == checkpoint
    assert made(finds).processes == frozenset()


def test_a_comparison_is_no_image_of_one_checkpoint() -> None:
    compared = default(
        **{
            "20": node("GMI_CompareTopK", image=["8", 0], k=3),
            "9": node("SaveImage", images=["20", 0]),
        }
    )
    assert of_json(compared) is None


def test_circles_come_to_an_end() -> None:
    circle = default(
        **{
            "3": ksampler(model=["30", 0], latent_image=["8", 0], positive=["31", 0]),
            "30": node("ModelSamplingFlux", model=["30", 0]),
            "31": node("ConditioningCombine", conditioning_1=["31", 0], conditioning_2=["32", 0]),
            "32": node("CLIPTextEncode", text=["33", 0], clip=["4", 1]),
            "33": node("Text Concatenate", text_a=["33", 0], text_b="a cat"),
        }
    )
    making = made(circle)
    assert making.prompt == "a cat"
    assert making.checkpoint is None


def test_no_graph_no_making() -> None:
    for data in (
        None,
        [],
        {},
        {"1": 3},
        {"1": {"class_type": "LoadImage", "inputs": []}},
        {"nodes": []},
    ):
        assert of_json(data) is None
    loaded = {"1": node("LoadImage", image="x"), "2": node("SaveImage", images=["1", 0])}
    assert of_json(loaded) is None


def slot(name: str, link: int | None) -> dict[str, Any]:
    return {"name": name, "type": "*", "link": link}


WORKFLOW: Graph = {
    "last_node_id": 10,
    "nodes": [
        {"id": 3, "type": "KSampler", "mode": 0,
         "widgets_values": [42, "randomize", 20, 7, "euler", "karras", 1],
         "inputs": [slot("model", 11), slot("positive", 4), slot("negative", 6),
                    slot("latent_image", 2)]},
        {"id": 4, "type": "CheckpointLoaderSimple", "mode": 0, "widgets_values": ["m.safetensors"]},
        {"id": 10, "type": "LoraLoader", "mode": 4, "widgets_values": ["l.safetensors", 1, 1],
         "inputs": [slot("model", 1), slot("clip", None)]},
        {"id": 5, "type": "EmptyLatentImage", "mode": 0, "widgets_values": [512, 640, 1]},
        {"id": 6, "type": "CLIPTextEncode", "mode": 0, "widgets_values": ["a cat"],
         "inputs": [slot("clip", 3)]},
        {"id": 7, "type": "CLIPTextEncode", "mode": 0, "widgets_values": ["dog"],
         "inputs": [slot("clip", 5)]},
        {"id": 8, "type": "VAEDecode", "mode": 0, "inputs": [slot("samples", 7), slot("vae", 8)]},
        {"id": 9, "type": "SaveImage", "mode": 0, "widgets_values": ["x"],
         "inputs": [slot("images", 9)]},
        {"id": 11, "type": "SaveImage", "mode": 2, "inputs": [slot("images", 7)]},
    ],
    "links": [
        [1, 4, 0, 10, 0, "MODEL"], [11, 10, 0, 3, 0, "MODEL"], [2, 5, 0, 3, 3, "LATENT"],
        [3, 4, 1, 6, 0, "CLIP"], [4, 6, 0, 3, 1, "CONDITIONING"], [5, 4, 1, 7, 0, "CLIP"],
        [6, 7, 0, 3, 2, "CONDITIONING"], [7, 3, 0, 8, 0, "LATENT"], [8, 4, 2, 8, 1, "VAE"],
        [9, 8, 0, 9, 0, "IMAGE"],
    ],
}  # fmt: skip


def test_the_editors_format() -> None:
    making = made(WORKFLOW)
    assert (making.prompt, making.negative) == ("a cat", "dog")
    assert making.checkpoint == CheckpointMention("m.safetensors")
    assert making.networks == ()  # the LoRA is bypassed
    assert (making.settings.seed, making.settings.steps, making.settings.height) == (42, 20, 640)


def reopened(image: Image.Image, kind: str, **options: Any) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def test_in_a_png_as_save_image_writes_it() -> None:
    info = PngImagePlugin.PngInfo()
    # IS_CHANGED answers NaN, which is no JSON but is what is written
    info.add_text(
        "prompt", json.dumps(default()).replace('"inputs"', '"is_changed": NaN, "inputs"')
    )
    info.add_text("workflow", json.dumps(WORKFLOW))
    making = making_of(reopened(Image.new("RGB", (8, 8)), "PNG", pnginfo=info))
    assert making is not None
    assert making.checkpoint == CHECKPOINT


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_in_exif_as_comfyui_writes_it(kind: str) -> None:
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    exif[0x0110] = f"prompt:{json.dumps(default())}"
    exif[0x010F] = f"workflow:{json.dumps(WORKFLOW)}"
    making = making_of(reopened(image, kind, exif=exif))
    assert making is not None
    assert making.checkpoint == CHECKPOINT


def test_a_graph_and_the_text_that_a_node_of_it_saved() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", json.dumps(default()))
    info.add_text(
        "parameters",
        "beautiful scenery\nNegative prompt: text\nSteps: 20, Sampler: Euler, CFG scale: 8, "
        "Seed: 1, Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned-emaonly-fp16, "
        "Version: ComfyUI",
    )
    making = making_of(reopened(Image.new("RGB", (8, 8)), "PNG", pnginfo=info))
    assert making is not None
    assert making.checkpoint == CheckpointMention(CHECKPOINT.name, ("6ce0161689",))
    assert (making.settings.seed, making.processes) == (156680208700286, frozenset())


def test_civitais_generator_runs_comfyui() -> None:
    graph = default(
        **{
            "4": node(
                "CheckpointLoaderSimple", ckpt_name="urn:air:sdxl:checkpoint:civitai:101055@128078"
            )
        }
    )
    graph["3"]["inputs"]["model"] = ["11", 0]
    graph["11"] = node(
        "LoraLoader",
        lora_name="urn:air:sdxl:lora:civitai:1@22",
        strength_model=0.5,
        model=["4", 0],
        clip=["4", 1],
    )
    graph["extra"] = {"airs": []}
    graph["extraMetadata"] = json.dumps({"prompt": "asked for", "resources": []})
    making = made(graph)
    assert (making.program, making.prompt) == ("civitai", "asked for")
    assert making.checkpoint == CheckpointMention(None, (), 128078)
    assert making.networks == (Network("lora", "civitai:22", 0.5),)
