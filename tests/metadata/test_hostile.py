"""Metadata of people who mean harm, or of programs that do not know better."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from lib_gmi.metadata import (
    MAX_PROMPT,
    Making,
    a1111,
    civitai,
    comfyui,
    flat,
    invokeai,
    making_of,
    novelai,
    plain_prompt,
    prompt_in,
    prompt_of,
    read_making,
    sidecar_making,
)
from lib_gmi.metadata.exif import read_exif
from lib_gmi.metadata.reading import Texts, named_texts, texts_of
from lib_gmi.metadata.values import loads

#: Seconds of computing that no text may take; usual ones take a thousandth.
LIMIT = 5.0

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=8,
)


def words_of(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split())


KEYS = words_of(
    """
    prompt negative_prompt positive_prompt seed steps cfg_scale model loras uc sampler
    scale resources hashes civitaiResources base_model image type meta Comment Source
    v4_prompt id modelId files name weight Model modelVersionId air width height strength
    resolution model_hash model_weights controlnets refiner_model request_type
    """
)
KEYED = st.dictionaries(
    KEYS, JSON | st.dictionaries(KEYS, JSON) | st.lists(st.dictionaries(KEYS, JSON))
)


def check(making: Making | None) -> None:
    """Whatever was read is what the types say, and can be written down."""
    if making is None:
        return
    for text in (making.prompt, making.negative):
        assert text is None or 0 < len(text) <= MAX_PROMPT
        (text or "").encode()
    for found in (making.checkpoint, making.refiner):
        if found is not None:
            (found.name or "").encode()
            assert found.name or found.hashes or found.version_id
            assert all(set(sha) <= set("0123456789abcdef") for sha in found.hashes)
    for one in making.networks:
        assert one.name.encode()
        assert one.weight is None or -100 <= one.weight <= 100
    assert json.dumps(vars(making.settings), allow_nan=False)
    assert hash(making)
    plain_prompt(making.prompt or "").encode()


@given(
    st.text(max_size=400)
    | st.text(alphabet='Steps: Sm1,"\\:{}[]()<>\nNegative prompt', max_size=400)
)
def test_any_text_is_an_infotext(text: str) -> None:
    check(a1111.read(text))
    (prompt_in(text) or "").encode()
    plain_prompt(text).encode()


@given(
    st.dictionaries(st.from_regex(r"[A-Z][a-z ]{1,12}", fullmatch=True), st.text(max_size=40)), JSON
)
def test_any_settings(facts: dict[str, str], value: Any) -> None:
    line = ", ".join(f"{key}: {value}" for key, value in facts.items())
    odd = (
        f"Steps: 20, Sampler: x, Seed: 1, {line}, Civitai resources: {json.dumps(value)}, Hashes: "
    )
    check(a1111.read(f"a cat\n{odd}{json.dumps(value)}"))


@settings(max_examples=40, deadline=None)
@given(KEYED)
def test_any_object(data: dict[str, Any]) -> None:
    text = json.dumps(data)
    check(flat.SITE.read(data))
    check(civitai.version_making(data))
    check(flat.FOOOCUS.read(data))
    check(novelai.from_hidden({**data, "Comment": text}))
    for name in ("invokeai_metadata", "sd-metadata", "Dream", "Comment", "parameters", "prompt"):
        texts = Texts(named={name: text, "Software": "NovelAI"})
        for format_ in (novelai, invokeai, flat, comfyui):
            check(format_.read(texts))


@given(JSON)
def test_any_resources(value: Any) -> None:
    civitai.resources(value)
    civitai.resources([value, {"type": value, "modelVersionId": value, "air": value}])
    comfyui.of_json(value)
    comfyui.of_json({"nodes": [value, value], "links": value})


NAMES = words_of(
    """
    model positive negative latent_image samples images pixels clip vae text guider noise
    pipe ckpt_name lora_name strength_model conditioning select input1 seed steps cfg
    sampler_name a string_a string_b delimiter lora_1 loras lora_stack model1 model2
    stop_at_clip_layer
    """
)
KINDS = words_of(
    """
    KSampler VAEDecode SaveImage CLIPTextEncode CheckpointLoaderSimple LoraLoader Reroute
    Unknown EmptyLatentImage LoadImage FaceDetailer ImpactSwitch GMI_LoadBestModel
    StringConcatenate SamplerCustomAdvanced CFGGuider ModelMergeSimple
    ControlNetApplyAdvanced
    """
)
IDS = st.sampled_from("123456789")
INPUTS = st.dictionaries(NAMES, st.tuples(IDS, st.integers(-1, 3)).map(list) | JSON, max_size=8)
NODES = st.fixed_dictionaries({"class_type": KINDS, "inputs": INPUTS})


@given(st.dictionaries(IDS, NODES | JSON, max_size=9))
def test_any_graph(data: dict[str, Any]) -> None:
    check(comfyui.of_json(data))


SLOTS = st.lists(st.fixed_dictionaries({"name": NAMES, "link": JSON}))
EDITED = {
    "id": IDS.map(int),
    "type": KINDS,
    "mode": st.sampled_from([0, 2, 4]),
    "widgets_values": JSON,
    "inputs": SLOTS,
}


@given(
    st.lists(st.fixed_dictionaries({}, optional=EDITED), max_size=8),
    st.lists(st.lists(st.integers(0, 9), max_size=6)),
)
def test_any_workflow(nodes: list[Any], links: list[Any]) -> None:
    check(comfyui.of_json({"nodes": nodes, "links": links}))


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*"]))
def test_any_exif(noise: bytes, order: bytes) -> None:
    read_exif(order + noise)
    read_exif(b"Exif\0\0" + order + struct.pack("<I", 8) + noise)
    image = Image.new("RGB", (8, 8))
    image.info["exif"] = order + noise
    check(making_of(image))
    prompt_of(image)


HEADER = st.dictionaries(
    st.sampled_from(["parameters", "prompt", "Comment", "exif", "comment"]),
    st.text(max_size=50) | st.binary(max_size=50) | st.integers() | st.none(),
)


@given(HEADER)
def test_any_header(info: dict[str, Any]) -> None:
    check(None if not named_texts(info) else making_of_info(info))


def making_of_info(info: dict[str, Any]) -> Making | None:
    image = Image.new("RGB", (8, 8))
    image.info.update(info)
    return making_of(image)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["PNG", "JPEG", "WEBP"]))
def test_files_with_flipped_bytes(seed: int, kind: str) -> None:
    image = Image.new("RGBA" if kind != "JPEG" else "RGB", (32, 32))
    exif = image.getexif()
    exif[0x8769] = {0x9286: b"UNICODE\0" + "Steps: 1, Seed: 2, Size: 8x8".encode("utf-16-be")}
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler, Seed: 1", zip=True)
    file = io.BytesIO()
    options: dict[str, Any] = {"pnginfo": info} if kind == "PNG" else {}
    image.save(file, kind, exif=exif.tobytes(), **options)
    content = bytearray(file.getvalue())
    draw = random.Random(seed)
    for _ in range(draw.randrange(1, 6)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    try:
        opened = Image.open(io.BytesIO(bytes(content)))
    except Exception:  # Pillow's own errors, of which there are many kinds
        return
    check(making_of(opened))
    (prompt_of(opened) or "").encode()


DEEP = 100_000
ENDLESS = {
    "pairs": "a\n" + "Steps: 1, " * 100_000,
    "quotes": "a\nSteps: 1, Sampler: x, Seed: 1, " + 'A: "' * 200_000,
    "closed quotes": "a\nSteps: 1, Sampler: x, Seed: 1, " + 'A: "\\\\\\",' * 100_000,
    "colons": ":" * 1_000_000,
    "lines": "Negative prompt:\n" * 60_000,
    "settings lines": "Steps: 1, Seed: 2, Size: 3x3\n" * 40_000,
    "steps": "Negative prompt:" + " Steps: 1, A" * 90_000,
    "tags": "<lora:" * 200_000,
    "closed tags": "<lora:a:1>" * 100_000,
    "brackets": "(" * 500_000 + ")" * 500_000,
    "nested weights": "(" * 20_000 + "a" + ":1.1)" * 20_000,
    "schedules": "[a:b:" * 200_000,
    "wildcards": "__a" * 300_000,
    "ands": "a :1 AND " * 100_000,
    "spaces": "a\n" + " " * 1_000_000 + "Steps: 1,",
    "commas": ", " * 500_000 + "a",
    "numbers": "1.1::" * 200_000,
    "resources": "a\nSteps: 1, Seed: 1, Size: 1x1, Civitai resources: " + "[" * DEEP,
    "hashes": "a\nSteps: 1, Seed: 1, Size: 1x1, Hashes: " + '{"a":' * DEEP,
    "embeddings": "(embedding:" * 100_000,
    "inlines": "+" * 1_000_000 + ")-" * 100_000,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_texts(name: str) -> None:
    start = time.process_time()
    check(a1111.read(ENDLESS[name]))
    prompt_in(ENDLESS[name])
    plain_prompt(ENDLESS[name])
    check(invokeai.read(Texts(named={"Dream": f'"{ENDLESS[name]}" -s 5'})))
    assert time.process_time() - start < LIMIT


def entry(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def chain(count: int) -> dict[str, Any]:
    """A model that passes through many nodes, and a text that doubles in each."""
    graph: dict[str, Any] = {
        "s": entry("KSampler", model=["0", 0], positive=["t", 0], latent_image=["e", 0], steps=1),
        "t": entry("CLIPTextEncode", text=["c0", 0]),
        "e": entry("EmptyLatentImage", width=8, height=8),
        "d": entry("VAEDecode", samples=["s", 0]),
        "o": entry("SaveImage", images=["d", 0]),
        str(count): entry("CheckpointLoaderSimple", ckpt_name="m.ckpt"),
        f"c{count}": entry("PrimitiveString", value="a cat"),
    }
    for at in range(count):
        graph[str(at)] = entry("ModelSampling", model=[str(at + 1), 0])
        link = [f"c{at + 1}", 0]
        graph[f"c{at}"] = entry("StringConcatenate", string_a=link, string_b=link, string_c=link)
    return graph


def tangle(nodes: int, inputs: int) -> dict[str, Any]:
    """Everything is linked with everything, in circles, through every kind of input."""
    names = ("model", "text", "image", "cond", "lora", "pipe")
    links = {f"{n}{at}": [str(at % nodes), at % 900] for at in range(inputs) for n in names}
    base = entry("KSampler", positive=["1", 0], model=["2", 0], latent_image=["3", 0], steps=1)
    graph = {str(at): entry("Unknown", **links) for at in range(nodes)}
    graph["s"] = base
    for at in range(60):
        graph[f"o{at}"] = entry("SaveImage", images=["s" if at % 2 else str(at), 0])
    return graph


def test_long_chains_and_tangles() -> None:
    start = time.process_time()
    making = comfyui.of_json(chain(2000))
    assert making is not None
    assert making.checkpoint is not None
    comfyui.of_json(tangle(300, 80))
    comfyui.of_json(tangle(3, 60))
    comfyui.of_json(chain(20_000))
    assert time.process_time() - start < 2 * LIMIT


def test_short_texts_that_double() -> None:
    making = comfyui.of_json(chain(40))
    assert making is not None
    assert making.prompt == "a cat"


HUGE = {
    "deep list": "[" * DEEP,
    "deep and closed": "[" * DEEP + "]" * DEEP,
    "deep object": '{"a":' * DEEP,
    "long integer": "9" * 1_000_000,
    "long float": "0." + "1" * 1_000_000,
    "too long": '"' + "a" * 5_000_000 + '"',
    "surrogates": '"\\ud800"' * 10,
    "nan": '{"prompt": NaN, "base_model": Infinity}',
    "many": "[" + "[]," * 1_000_000 + "[]]",
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_json(name: str, tmp_path: Path) -> None:
    start = time.process_time()
    loads(HUGE[name])
    for key in ("prompt", "invokeai_metadata", "sd-metadata", "parameters", "Comment", "workflow"):
        image = Image.new("RGB", (8, 8))
        image.info[key] = HUGE[name]
        check(making_of(image))
    (tmp_path / "a.json").write_text(HUGE[name])
    check(sidecar_making(tmp_path / "a.png"))
    assert time.process_time() - start < 2 * LIMIT


def test_a_megabyte_of_parameters_in_a_file() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "word " * 200_000 + "\nSteps: 20, Sampler: Euler, Seed: 1")
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    image = Image.open(io.BytesIO(file.getvalue()))
    start = time.process_time()
    check(making_of(image))
    assert len(prompt_of(image) or "") <= MAX_PROMPT
    assert time.process_time() - start < LIMIT


def test_exif_that_names_the_same_megabyte_thousands_of_times() -> None:
    """Pillow would copy each."""
    entries = b"".join(struct.pack("<HHII", tag, 2, 900_000, 100) for tag in range(60_000))
    block = b"II*\0" + struct.pack("<IH", 8, 60_000) + entries + b"a:b" * 100_000
    start = time.process_time()
    read_exif(block)
    assert time.process_time() - start < LIMIT


@pytest.mark.parametrize("value", [3, b"\xff\xfe", ["a"], None, object()])
def test_headers_of_another_type(value: object) -> None:
    image = Image.new("RGB", (8, 8))
    for key in ("parameters", "prompt", "exif", "Comment", "workflow"):
        image.info[key] = value
    check(making_of(image))
    assert not texts_of(image).exif.numbered


def test_control_characters_and_halves_of_letters() -> None:
    text = "a \ud83d cat\x1b[31m\0\nSteps: 20, Sampler: \x07Euler, Seed: 1, Model: m\ud800\x00"
    making = a1111.read(text)
    assert making is not None
    assert making.prompt == "a  cat[31m"
    assert making.checkpoint is not None
    assert making.checkpoint.name == "m"
    assert making.settings.sampler == "Euler"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png", "missing.png", "."):
        assert read_making(tmp_path / name) is None
