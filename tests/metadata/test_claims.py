"""A checkpoint is claimed only if every output that can be the file comes from it.

Graphs are generated together with what a run of them would make: each link carries every picture
that it may hold, and each picture the checkpoints that drew it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib_gmi.metadata.comfyui import of_json

#: What drew a picture where no checkpoint did.
SERVICE, FILE = "a service", "a file"
SIZES = [(512, 512), (768, 768), (1024, 768)]
CHECKPOINTS = ["a.safetensors", "b.safetensors"]


@dataclass(frozen=True)
class Picture:
    """By what it was begun, and its size."""

    by: frozenset[str]
    size: tuple[int, int] | None


@dataclass
class Building:
    """A graph, and what the links of its pictures may hold."""

    draw: Any
    nodes: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, **inputs: Any) -> list[Any]:
        key = str(len(self.nodes) + 1)
        self.nodes[key] = {"class_type": kind, "inputs": inputs}
        return [key, 0]

    def pick(self, options: Any) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def model(self) -> tuple[list[Any], set[str]]:
        """A link to a model, and the checkpoints that it may be."""
        loads = [self.pick(CHECKPOINTS) for _ in range(2)]
        links = [self.add("CheckpointLoaderSimple", ckpt_name=name) for name in loads]
        shape = self.pick(["plain", "lora", "known", "unknown", "numbered", "computed", "context"])
        if shape == "plain":
            return links[0], {loads[0]}
        if shape == "lora":
            lora = self.add(
                "LoraLoaderModelOnly", model=links[0], lora_name="l.safetensors", strength_model=1
            )
            return lora, {loads[0]}
        if shape == "context":
            first = self.add("Context Big (rgthree)", model=links[0], seed=links[1])
            last = self.add("Context (rgthree)", base_ctx=first)
            return [last[0], 1], {loads[0]}
        flag = self.draw(st.booleans())
        switch: Any = flag
        if shape == "unknown":
            switch = self.add("SomethingThatDecides", text="x")
        elif shape == "known":
            switch = self.add("PrimitiveBoolean", value=flag)
        elif shape == "computed":
            switch = self.add("ComfyNotNode", value=self.add("PrimitiveBoolean", value=flag))
        if shape == "numbered":
            number = self.pick([1, 2])
            link = self.add("CR Model Input Switch", Input=number, model1=links[0], model2=links[1])
            return link, {loads[number - 1]}
        link = self.add("ComfySwitchNode", switch=switch, on_true=links[0], on_false=links[1])
        return link, {loads[0 if flag else 1]} if shape == "known" else set(loads)

    def latent(self, pictures: list[tuple[list[Any], list[Picture]]]) -> tuple[Any, list[Picture]]:
        """What a sampler begins with, and what that holds of earlier ones."""
        shape = self.pick(["empty", "empty", "before", "file"])
        if shape == "before" and pictures:
            link, before = self.pick(pictures)
            return self.add("VAEEncode", pixels=link), before
        if shape == "file":
            loaded = self.add("LoadImage", image="x.png")
            return self.add("VAEEncode", pixels=loaded), [Picture(frozenset(), None)]
        width, height = self.pick(SIZES)
        empty = self.add("EmptyLatentImage", width=width, height=height, batch_size=1)
        return empty, [Picture(frozenset(), (width, height))]

    def drawn(self, pictures: list[tuple[list[Any], list[Picture]]]) -> None:
        """One more picture."""
        shape = self.pick(
            ["sampled", "sampled", "service", "edited", "file", "both", "blend", "scaled", "switch"]
        )
        if shape == "service":
            made = self.add("OpenAIDalle3", prompt="a cat", size="1024x1024", seed=1)
            pictures.append((made, [Picture(frozenset({SERVICE}), (1024, 1024))]))
        elif shape == "file":
            made = self.add("LoadImage", image="y.png")
            pictures.append((made, [Picture(frozenset({FILE}), None)]))
        elif shape == "sampled" or not pictures:
            self.sampled(pictures)
        else:
            self.made_of(shape, pictures)

    def sampled(self, pictures: list[tuple[list[Any], list[Picture]]]) -> None:
        model, names = self.model()
        latent, before = self.latent(pictures)
        anew = self.draw(st.booleans())
        words = self.add("CLIPTextEncode", text="a cat", clip=[model[0], 1])
        sampler = self.add(
            "KSampler",
            model=model,
            positive=words,
            negative=words,
            latent_image=latent,
            seed=1,
            steps=20,
            cfg=7,
            sampler_name="euler",
            scheduler="normal",
            denoise=1 if anew else 0.5,
        )
        held = []
        for picture in before:
            checkpoints = {one for one in picture.by if one not in (SERVICE, FILE)}
            by = [checkpoints] if checkpoints and not anew else [{name} for name in names]
            held += [Picture(frozenset(one), picture.size) for one in by]
        pictures.append((self.add("VAEDecode", samples=sampler), held))

    def made_of(self, shape: str, pictures: list[tuple[list[Any], list[Picture]]]) -> None:
        """A picture of earlier ones."""
        (one, first), (two, second) = self.pick(pictures), self.pick(pictures)
        if shape == "edited":
            kind = self.pick(
                ["FluxKontextProImageNode", "GeminiImageNode", "NobodyKnowsThisEditor"]
            )
            made = self.add(kind, prompt="make it a dog", image=one)
            pictures.append((made, [Picture(frozenset({SERVICE}), None)]))
        elif shape == "scaled":
            made = self.add("ImageScale", image=one, width=512, height=512, crop="disabled")
            pictures.append((made, [Picture(picture.by, (512, 512)) for picture in first]))
        elif shape == "both":
            pictures.append((self.add("ImageBatch", image1=one, image2=two), first + second))
        elif shape == "switch":
            decides = self.add("SomethingThatDecides", text="x")
            made = self.add("ImpactSwitch", select=decides, input1=one, input2=two)
            pictures.append((made, first + second))
        else:
            made = self.add("ImageBlend", image1=one, image2=two, blend_factor=0.5)
            mixed = [Picture(a.by | b.by - {FILE}, a.size) for a in first for b in second]
            pictures.append((made, mixed[:64]))


@st.composite
def graphs(draw: Any) -> tuple[dict[str, Any], list[Picture]]:
    """A graph, and every picture that it may save."""
    building = Building(draw)
    pictures: list[tuple[list[Any], list[Picture]]] = []
    for _ in range(draw(st.integers(1, 5))):
        building.drawn(pictures)
    saved: list[Picture] = []
    for _ in range(draw(st.integers(1, 3))):
        link, held = building.pick(pictures)
        building.add(building.pick(["SaveImage", "Image Save"]), images=link)
        saved += held
    return building.nodes, saved


LARGE = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@LARGE
@given(graphs(), st.sampled_from([None, *SIZES, (1024, 1024)]))
def test_a_claim_is_true_of_every_output_that_can_be_the_file(
    made: tuple[dict[str, Any], list[Picture]], size: tuple[int, int] | None
) -> None:
    graph, saved = made
    making = of_json(graph, size)
    if making is None or making.checkpoint is None:
        return
    can_be = [one for one in saved if None in (size, one.size) or one.size == size] or saved
    claimed = frozenset({making.checkpoint.name})
    assert {one.by for one in can_be} <= {claimed}, making


@LARGE
@given(st.sampled_from(CHECKPOINTS), st.sampled_from(SIZES), st.integers(1, 4))
def test_one_checkpoint_is_claimed_however_often_it_is_saved(
    name: str, size: tuple[int, int], times: int
) -> None:
    """So that the property above is not kept by silence."""
    nodes: dict[str, Any] = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"width": size[0], "height": size[1]}},
        "3": {
            "class_type": "KSampler",
            "inputs": {"model": ["1", 0], "positive": ["5", 0], "latent_image": ["2", 0],
                       "steps": 20, "denoise": 1},
        },
        "4": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0]}},
        "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["1", 1]}},
    }  # fmt: skip
    for at in range(times):
        nodes[f"s{at}"] = {"class_type": "SaveImage", "inputs": {"images": ["4", 0]}}
    making = of_json(nodes, size)
    assert making is not None
    assert making.checkpoint is not None
    assert (making.checkpoint.name, making.processes) == (name, frozenset())


@pytest.mark.parametrize("kind", ["SaveImage", "PreviewImage"])
def test_more_outputs_than_are_looked_at_are_no_ground_for_a_claim(kind: str) -> None:
    nodes: dict[str, Any] = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.ckpt"}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512}},
        "3": {
            "class_type": "KSampler",
            "inputs": {"model": ["1", 0], "positive": ["1", 1], "latent_image": ["2", 0]},
        },
    }
    for at in range(60):
        nodes[f"s{at}"] = {"class_type": kind, "inputs": {"images": ["3", 0]}}
    making = of_json(nodes)
    assert making is not None
    assert making.checkpoint is None
