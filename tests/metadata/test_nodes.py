"""Nodes of ComfyUI that choose, draw elsewhere, edit, unfold, or bundle."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from lib_gmi.metadata import CheckpointMention, Network, making_of
from lib_gmi.metadata.comfyui import of_json

from .test_comfyui import CHECKPOINT, Graph, default, ksampler, made, node

OTHER = node("CheckpointLoaderSimple", ckpt_name="other.safetensors")

#: Classes of ComfyUI's comfy_api_nodes (0.33 and before), and of packs.
SERVICES = """
FluxProUltraImageNode FluxKontextProImageNode FluxKontextMaxImageNode FluxProFillNode
FluxEraseNode Flux2ImageNode FluxVTONode BriaImageEditNode BriaRemoveImageBackground BriaEraser
ByteDanceImageNode ByteDanceSeedreamNodeV2 GeminiImageNode GeminiNanoBanana2 GrokImageNode
GrokImageEditNodeV2 IdeogramV3 HitPawGeneralImageEnhance KlingOmniProImageNode
KlingImageGenerationNode KlingVirtualTryOnNode Krea2ImageNode LumaImageNode LumaImageModifyNode
LumaImageEditNode2 MagnificImageRelightNode OpenAIDalle2 OpenAIDalle3 OpenAIGPTImage1
OpenAIGPTImageNodeV2 QwenImageEditApi RecraftImageToImageNode RecraftCrispUpscaleNode
RecraftRemoveBackgroundNode ReveImageEditNode RunwayTextToImageNode
StabilityStableImageUltraNode TopazImageEnhance StabilityUpscaleConservativeNode
WanImageToImageApi WavespeedImageUpscaleNode BeebleSwitchXImageEdit MidjourneyImagine
NanoBananaEdit
"""


@pytest.mark.parametrize("kind", [*SERVICES.split(), "NobodyKnowsThisEditor"])
def test_what_a_service_draws_over_a_picture_is_of_no_checkpoint(kind: str) -> None:
    graph = default(
        **{
            "10": node(kind, prompt="make it a cat", seed=5, image=["8", 0]),
            "9": node("SaveImage", images=["10", 0]),
        }
    )
    making = made(graph)
    assert (making.checkpoint, making.networks) == (None, ())
    assert "service" in making.processes
    # nor where the picture is put into another one, or saved beside it
    blended = {**graph, "11": node("ImageBlend", image1=["8", 0], image2=["10", 0])}
    blended["9"] = node("SaveImage", images=["11", 0])
    assert made(blended).checkpoint is None
    beside = {**graph, "12": node("SaveImage", images=["8", 0])}
    assert made(beside).checkpoint is None
    # a sampler that begins with it draws by itself
    begun = {
        **graph,
        "13": node("VAEEncode", pixels=["10", 0], vae=["4", 2]),
        "14": ksampler(latent_image=["13", 0], denoise=0.6),
        "15": node("VAEDecode", samples=["14", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["15", 0]),
    }
    assert (made(begun).checkpoint, made(begun).processes) == (CHECKPOINT, {"img2img"})


def test_the_size_tells_a_services_picture_from_a_samplers() -> None:
    graph = default(
        **{
            "10": node("OpenAIGPTImage1", prompt="a cat", size="1024x1024", seed=5),
            "15": node("SaveImage", images=["10", 0]),
        }
    )
    assert made(graph, (1024, 1024)).checkpoint is None
    assert made(graph, (1024, 1024)).prompt == "a cat"
    assert made(graph, (512, 768)).checkpoint == CHECKPOINT
    assert made(graph).checkpoint is None


def test_a_text_that_a_node_saved_does_not_overrule_the_graph() -> None:
    graph = default(
        **{
            "10": node("OpenAIGPTImage1", prompt="a cat", image=["8", 0]),
            "9": node("SaveImage", images=["10", 0]),
        }
    )
    text = "a cat\nSteps: 20, Sampler: Euler, CFG scale: 8, Seed: 1, Model: v1-5"
    image = Image.new("RGB", (8, 8))
    image.info |= {"prompt": json.dumps(graph), "parameters": text}
    making = making_of(image)
    assert making is not None
    assert making.checkpoint is None


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("TextEncodeQwenImageEdit", {"image": ["14", 0]}),
        ("TextEncodeQwenImageEditPlus", {"image1": ["14", 0]}),
        ("TextEncodeBooguEdit", {"images.image_1": ["14", 0]}),
        ("TextEncodeJoyImageEdit", {"images.image0": ["14", 0]}),
        ("TextEncodeMageFlowEdit", {"images.image0": ["14", 0]}),
        ("TextEncodeZImageOmni", {"image1": ["14", 0]}),
        ("SomebodysImageEditEncode", {"image": ["14", 0]}),
    ],
)
def test_edits_by_a_text_encoder(kind: str, inputs: dict[str, Any]) -> None:
    encode = node(kind, prompt="give her a hat", clip=["4", 1], vae=["4", 2], **inputs)
    photo = node("LoadImage", image="photo.png")
    making = made(default(**{"14": photo, "6": encode}))
    assert (making.prompt, making.processes) == ("give her a hat", {"edit"})
    assert making.checkpoint == CHECKPOINT
    # without a picture it is an encoder like another
    alone = node(kind, prompt="a hat", clip=["4", 1], vae=["4", 2])
    assert made(default(**{"6": alone})).processes == frozenset()


A, B = ["4", 0], ["31", 0]

SWITCHES: list[tuple[str, dict[str, Any], bool | None]] = [
    ("ComfySwitchNode", {"switch": True, "on_true": A, "on_false": B}, True),
    ("ComfySwitchNode", {"switch": False, "on_true": A, "on_false": B}, False),
    ("ComfySwitchNode", {"switch": ["40", 0], "on_true": A, "on_false": B}, True),
    ("ComfySwitchNode", {"switch": ["41", 0], "on_true": A, "on_false": B}, None),
    ("ComfySwitchNode", {"switch": ["42", 0], "on_true": A, "on_false": B}, None),
    ("ComfySoftSwitchNode", {"switch": False, "on_true": A}, True),
    ("Switch any [Crystools]", {"boolean": True, "on_true": A, "on_false": B}, True),
    ("LazySwitchKJ", {"switch": False, "on_true": B, "on_false": A}, True),
    ("ImpactConditionalBranch", {"cond": True, "tt_value": A, "ff_value": B}, True),
    ("ImpactSwitch", {"select": 2, "input1": A, "input2": B}, False),
    ("ImpactSwitch", {"select": ["41", 0], "input1": A, "input2": B}, None),
    ("ImpactSwitch", {"select": 3, "input1": A}, None),
    ("CR Model Input Switch", {"Input": 1, "model1": A, "model2": B}, True),
    ("Model Input Switch", {"boolean": True, "model_a": A, "model_b": B}, True),
    ("Model Input Switch", {"boolean_number": 0, "model_a": A, "model_b": B}, False),
    ("Any Switch (rgthree)", {"any_01": A, "any_02": B}, True),
    ("easy anythingIndexSwitch", {"index": 0, "value0": A, "value1": B}, True),
    ("easy ifElse", {"boolean": False, "on_true": B, "on_false": A}, True),
    ("LayerUtility: If ", {"if_condition": True, "when_TRUE": A, "when_FALSE": B}, True),
    ("Model Switch (JPS)", {"select": 2, "model_1": B, "model_2": A}, True),
]


@pytest.mark.parametrize(("kind", "inputs", "first"), SWITCHES)
def test_switches_of_models(kind: str, inputs: dict[str, Any], first: bool | None) -> None:
    graph = default(
        **{
            "3": ksampler(model=["30", 0]),
            "30": node(kind, **inputs),
            "31": OTHER,
            "40": node("PrimitiveBoolean", value=True),
            "41": node("SomethingThatDecides", text="x"),
            "42": node("ComfyNotNode", value=["40", 0]),
        }
    )
    other = CheckpointMention("other.safetensors")
    assert made(graph).checkpoint == {True: CHECKPOINT, False: other, None: None}[first]


@pytest.mark.parametrize(("flag", "words"), [(True, "a cat"), (False, "a dog"), (["9", 0], None)])
def test_switches_of_texts(flag: Any, words: str | None) -> None:
    graph = default(
        **{
            "30": node("ComfySwitchNode", switch=flag, on_true=["31", 0], on_false="a dog"),
            "31": node("PrimitiveStringMultiline", value="a cat"),
            "6": node("CLIPTextEncode", text=["30", 0], clip=["4", 1]),
        }
    )
    assert made(graph).prompt == words


@pytest.mark.parametrize(("number", "words"), [(1, "a cat"), (2, "a dog"), (["9", 0], None)])
def test_switches_of_conditionings_and_pictures(number: Any, words: str | None) -> None:
    graph = default(
        **{
            "30": node("CR Conditioning Input Switch", Input=number, conditioning1=["31", 0],
                       conditioning2=["32", 0]),
            "31": node("CLIPTextEncode", text="a cat", clip=["4", 1]),
            "32": node("CLIPTextEncode", text="a dog", clip=["4", 1]),
            "3": ksampler(positive=["30", 0]),
            "40": node("CR Image Input Switch", Input=number, image1=["8", 0], image2=["8", 0]),
            "9": node("SaveImage", images=["40", 0]),
        }
    )  # fmt: skip
    assert (made(graph).prompt, made(graph).checkpoint) == (words, CHECKPOINT)


@pytest.mark.parametrize(("index", "seed"), [(8, 123), (2, None)])
def test_values_in_chained_contexts(index: int, seed: int | None) -> None:
    graph = default(
        **{
            "51": node("Seed (rgthree)", seed=123),
            "52": node("Context Big (rgthree)", seed=["51", 0], model=["31", 0]),
            "53": node("Context Merge (rgthree)", ctx_01=["52", 0], ctx_02=["54", 0]),
            "54": node("Context (rgthree)", model=["4", 0]),
            "55": node("Context Switch (rgthree)", ctx_01=["53", 0], ctx_02=["52", 0]),
            "31": OTHER,
            "3": ksampler(seed=["55", index], model=["55", 1]),
        }
    )
    making = made(graph)
    assert (making.checkpoint, making.settings.seed) == (CHECKPOINT, seed)
    circle = default(**{
        "52": node("Context (rgthree)", base_ctx=["53", 0]),
        "53": node("Context (rgthree)", base_ctx=["52", 0]),
        "3": ksampler(model=["52", 1]),
    })  # fmt: skip
    assert made(circle).checkpoint is None


def test_the_stage_that_composes() -> None:
    graph = default(
        **{
            "42": OTHER,
            "34": node("StableCascade_EmptyLatentImage", width=1024, height=768),
            "3": ksampler(latent_image=["34", 0]),
            "36": node("StableCascade_StageB_Conditioning", conditioning=["40", 0],
                       stage_c=["3", 0]),
            "40": node("ConditioningZeroOut", conditioning=["6", 0]),
            "33": ksampler(model=["42", 0], positive=["36", 0], negative=["40", 0], seed=2, steps=9,
                           latent_image=["34", 1]),
            "8": node("VAEDecode", samples=["33", 0], vae=["42", 2]),
        }
    )  # fmt: skip
    making = made(graph)
    assert (making.checkpoint, making.settings.steps) == (CHECKPOINT, 20)
    assert (making.prompt, making.negative) == ("beautiful scenery, bottle", "text, watermark")


def test_a_second_sampler_that_leaves_nothing_of_the_first() -> None:
    graph = default(
        **{
            "42": OTHER,
            "33": ksampler(model=["42", 0], latent_image=["3", 0], denoise=1),
            "8": node("VAEDecode", samples=["33", 0], vae=["42", 2]),
        }
    )
    assert made(graph).checkpoint == CheckpointMention("other.safetensors")


def test_the_text_of_a_box_is_not_the_prompt() -> None:
    box = node("GLIGENTextBoxApply", text="a red buoy", conditioning_to=["6", 0], clip=["4", 1],
               gligen_textbox_model=["10", 0], width=64, height=64, x=0, y=0)  # fmt: skip
    making = made(default(**{"27": box, "3": ksampler(positive=["27", 0])}))
    assert (making.prompt, making.processes) == ("beautiful scenery, bottle", {"regional"})


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("embedding:soft, a boat", "a boat"),
        ("a boat, (embedding:soft.pt:1.2), fine", "a boat, fine"),
    ],
)
def test_embeddings_in_a_text(text: str, prompt: str) -> None:
    making = made(default(**{"6": node("CLIPTextEncode", text=f"{text}<lora:x:1>", clip=["4", 1])}))
    assert making.prompt == prompt
    assert [(one.kind, one.name.removesuffix(".pt")) for one in making.networks] == [
        ("embedding", "soft")
    ]
    assert isinstance(making.networks[0], Network)


def test_pictures_in_one_another() -> None:
    graph: Graph = default(
        **{
            "57": ksampler(seed=11),
            "60": ksampler(seed=12),
            "61": node("LatentComposite", samples_to=["57", 0], samples_from=["60", 0], x=0, y=0),
            "3": ksampler(latent_image=["61", 0], denoise=0.5),
        }
    )
    assert made(graph).processes == {"extension", "hires"}
    assert made(graph).checkpoint == CHECKPOINT
    graph["60"]["inputs"]["model"] = ["31", 0]
    graph["31"] = OTHER
    assert made(graph).checkpoint is None


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("LoadSinglePromptFromFile //Inspire", {"prompt_file": "mine/p.txt", "index": 1}),
        ("Text Load Line From File", {"file_path": "mine/p.txt", "text": "p"}),
        ("PrimitiveString", {"value": "mine/prompts 2.txt"}),
        ("UnzipPrompt //Inspire", {"zipped_prompt": ["47", 0]}),
    ],
)
def test_the_name_of_a_file_is_no_prompt(kind: str, inputs: dict[str, Any]) -> None:
    graph = default(
        **{
            "46": node(kind, **inputs),
            "47": node("LoadPromptsFromDir //Inspire", prompt_dir="mine"),
            "6": node("CLIPTextEncode", text=["46", 0], clip=["4", 1]),
        }
    )
    assert made(graph).prompt is None


def searge(**changed: Any) -> Graph:
    chain: list[tuple[str, dict[str, Any]]] = [
        ("SeargePromptAdapterV2", {"main_prompt": ["80", 0], "negative_main_prompt": ["81", 0]}),
        ("SeargeGenerationParameters", {"seed": 56, "steps": 30, "cfg": 5, "image_width": 1024,
                                        "image_height": 768, "base_vs_refiner_ratio": 0.8}),
        ("SeargeLoras", {"lora_1": "ink.safetensors", "lora_1_strength": 0.5, "lora_2": "None"}),
        ("SeargeModelSelector", {"base_checkpoint": "amber.safetensors",
                                 "refiner_checkpoint": "none", **changed}),
        ("SeargeMagicBox", {"stage": "image saving"}),
        ("SeargePipelineTerminator", {}),
    ]  # fmt: skip
    nodes = {
        "80": node("SeargeTextInputV2", prompt="a kettle"),
        "81": node("SeargeTextInputV2", prompt="rust"),
    }
    for at, (kind, inputs) in enumerate(chain, 90):
        nodes[str(at)] = node(kind, **inputs, **({"data": [str(at - 1), 0]} if at > 90 else {}))
    return nodes


def test_searges_stream() -> None:
    making = made(searge())
    assert (making.prompt, making.negative) == ("a kettle", "rust")
    assert (making.checkpoint, making.refiner) == (CheckpointMention("amber.safetensors"), None)
    assert making.networks == (Network("lora", "ink.safetensors", 0.5),)
    settings = making.settings
    assert (settings.seed, settings.steps, settings.width) == (56, 30, 1024)
    refined = made(searge(refiner_checkpoint="fine.safetensors"))
    assert (refined.refiner, refined.processes) == (
        CheckpointMention("fine.safetensors"),
        {"refiner"},
    )
    assert made({**searge(), **default()}).checkpoint is None, "either may be the file"


def test_a_subgraph_of_the_editor_hides_what_it_does() -> None:
    """An edit by a service may stand in it."""
    nodes = [
        {"id": 4, "type": "CheckpointLoaderSimple", "widgets_values": ["m.safetensors"]},
        {"id": 3, "type": "KSampler", "widgets_values": [1, "fixed", 20, 7, "euler", "normal", 1],
         "inputs": [{"name": "model", "link": 1}, {"name": "positive", "link": 2}]},
        {"id": 6, "type": "CLIPTextEncode", "widgets_values": ["a cat"]},
        {"id": 8, "type": "0ff-1ce", "inputs": [{"name": "image", "link": 3}]},
        {"id": 9, "type": "SaveImage", "inputs": [{"name": "images", "link": 4}]},
    ]  # fmt: skip
    links = [[1, 4, 0, 3, 0], [2, 6, 0, 3, 1], [3, 3, 0, 8, 0], [4, 8, 0, 9, 0]]
    flat = of_json({"nodes": nodes, "links": links})
    assert flat is not None
    assert flat.checkpoint is not None
    hidden = {"definitions": {"subgraphs": [{"id": "0ff-1ce"}]}}
    assert of_json({"nodes": nodes, "links": links, **hidden}) is None
