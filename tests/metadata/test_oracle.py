"""Where sd-parsers reads a file at all, it reads the same; see docs/metadata.md for the rest."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from lib_gmi.metadata import making_of

from . import test_comfyui as graphs
from . import test_infotext as infotexts
from . import test_programs as programs

sd_parsers = pytest.importorskip("sd_parsers")


def edited(graph: dict[str, Any]) -> str:
    """The links of a graph in the editor's format, which sd-parsers follows."""
    kinds = {"positive": "CONDITIONING", "negative": "CONDITIONING", "clip": "CLIP"}
    links: list[list[Any]] = []
    for key, node in graph.items():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                kind = kinds.get(name, name.upper())
                links.append([len(links), int(value[0]), value[1], int(key), 0, kind])
    return json.dumps({"nodes": [], "links": links})


SAMPLES = {
    "a1111": {"parameters": f"a cat\nNegative prompt: dog\n{infotexts.A1111}"},
    "a1111 of 2022": {"parameters": f"a cat\nNegative prompt: dog\n{infotexts.OLD}"},
    "sdnext": {"parameters": f"a cat\nNegative prompt: dog\n{infotexts.SDNEXT.format('txt2img')}"},
    "comfyui": {
        "prompt": json.dumps(graphs.default()),
        "workflow": edited(graphs.default()),
    },
    "novelai": {key: str(value) for key, value in programs.NOVELAI.items()},
    "invokeai": {"invokeai_metadata": json.dumps(programs.INVOKE)},
    "fooocus": {"parameters": json.dumps(programs.FOOOCUS)},
}


@pytest.mark.parametrize("name", SAMPLES)
def test_both_read_the_same(name: str) -> None:
    info = PngImagePlugin.PngInfo()
    for key, text in SAMPLES[name].items():
        info.add_text(key, text)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    making = making_of(Image.open(file))
    theirs = sd_parsers.ParserManager().parse(Image.open(file))
    assert making is not None
    assert theirs is not None
    (sampler,) = theirs.samplers
    assert [prompt.value for prompt in sampler.prompts] == [making.prompt]
    negative = [making.negative] if making.negative else []
    assert [prompt.value for prompt in sampler.negative_prompts] == negative
    assert int(sampler.parameters["seed"]) == making.settings.seed
    assert sampler.name == making.settings.sampler
    if sampler.model is not None:  # of InvokeAI it knows the names of version 3 only
        assert making.checkpoint is not None
        assert sampler.model.name == making.checkpoint.name
        hashes = {sampler.model.hash.lower()} if sampler.model.hash else set()
        assert hashes == set(making.checkpoint.hashes)
