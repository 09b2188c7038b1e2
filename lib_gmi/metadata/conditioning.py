"""The words that condition a sampler of a ComfyUI graph, and what else does."""

from __future__ import annotations

import re

from . import names
from .graph import Graph
from .making import Network
from .node import Link, Node
from .text import networks_in
from .values import first, whole

#: Of stages that unfold what another one drew: the input with its latent. The first is Stable
#: Cascade's, whose stage B adds nothing of its own; the others draw on, larger.
STAGES = {
    "StableCascade_StageB_Conditioning": ("stage_c", ""),
    "PiDConditioning": ("latent", "hires"),
    "HunyuanRefinerLatent": ("latent", "hires"),
    "HunyuanVideo15SuperResolution": ("latent", "hires"),
}
#: A text that is nothing but the name of a file.
_FILE = re.compile(
    r"[^\n,;:|<>(){}]{1,250}\.(?:txt|json|csv|ya?ml|png|jpe?g|webp|safetensors|ckpt|gguf|pth?|sft)",
    re.IGNORECASE,
)


class Conditioning:
    """What stands behind a sampler's positive or negative conditioning.

    Attributes:
        processes: that the conditioning tells of.
        networks: that its text names, where a node reads them there.
        skip: the layers of the text encoder, as AUTOMATIC1111 counts them.
        stage: the latent that this conditioning only unfolds, if it does.
    """

    def __init__(self, graph: Graph, role: str) -> None:
        self.graph = graph
        self.role = role
        self.processes: set[str] = set()
        self.networks: list[Network | None] = []
        self.skip: int | None = None
        self.stage: Link | None = None

    def of(self, sampler: Node) -> str:
        """The text of a sampler's conditioning; empty if there is none, or if it is zeroed."""
        found: list[str] = []
        unsure = False
        for node, further in self.graph.walk(self._onward(sampler)):
            words = node.words
            if "zeroout" in words or node.kind.startswith("GMI_"):
                continue
            self._note(node)
            text = self._encoded(node)
            if text is None:
                onward = self._onward(node)
                unsure = unsure or (len(onward) > 1 and self.graph.branches(node) is not None)
                further.extend(onward)
            elif text and not _FILE.fullmatch(text[:300]):
                found.append(text)
        return "" if unsure else ", ".join(dict.fromkeys(found))

    def _note(self, node: Node) -> None:
        """What a node on the way does besides."""
        words = node.words
        if node.kind in STAGES:
            name, process = STAGES[node.kind]
            self.stage = self.stage or self.graph.source(node, name)
            self.processes |= {process} if process else set()
            return
        if "controlnet" in words or "t2iadapter" in words:
            self.processes.add("controlnet")
            return
        if names.REGIONS.search(words):
            self.processes.add("regional")
        if names.REFERENCES.search(words):
            self.processes.add("extension")
        links = (name.lower() for name, _ in self.graph.links(node))
        if any(map(names.PICTURED_CONDITIONING.search, links)):
            # a picture that the words are about: edits, and pictures that move
            self.processes.add("edit" if "encode" in words or "edit" in words else "extension")

    def _encoded(self, node: Node) -> str | None:
        """The text that a node encodes, or ``None`` if it only passes conditionings on."""
        inputs = node.inputs
        whole_loader = "ckpt_name" in inputs
        held = [
            name
            for name in self.graph.text_inputs(node, self.role)
            if isinstance(inputs[name], str) or whole_loader or names.WORDS.match(name.lower())
        ]
        if "clip" in inputs and not held and "text" in inputs:
            held = ["text"]
        if not held or (not whole_loader and "encode" not in node.words and self._carries(node)):
            return None
        if "populated_text" in inputs:
            held = ["populated_text"]
        texts = [self.graph.text(inputs[name]) for name in held]
        text = ", ".join(dict.fromkeys(text for text in texts if text))
        self.networks += [
            one
            for one in networks_in(text)
            # the plain node reads nothing but embeddings
            if one is not None and (one.kind == "embedding" or node.kind != "CLIPTextEncode")
        ]
        skip = self.graph.number(inputs.get("clip_skip"))
        link = self.graph.link(inputs.get("clip"))
        skip = first(skip, self._last_layer(link) if link else None)
        if isinstance(skip, int):
            self.skip = first(self.skip, whole(-skip, 1, 24))
        return text

    def _carries(self, node: Node) -> bool:
        """Whether a node hands on a conditioning, and words of its own are about a part of it."""
        return any(
            names.CONDITIONING.search(name.lower()) and not names.WORDS.match(name.lower())
            for name, _ in self.graph.links(node)
        )

    def _last_layer(self, clip: Link) -> int | None:
        for node, further in self.graph.walk([clip]):
            layer = self.graph.number(node.inputs.get("stop_at_clip_layer"))
            if isinstance(layer, int):
                return layer
            links = self.graph.links(node)
            further.extend(link for name, link in links if "clip" in name.lower())
        return None

    def _onward(self, node: Node) -> list[Link]:
        """The links towards the text."""
        other = "negative" if self.role == "positive" else "positive"
        wanted = (self.role.__eq__, names.CONDITIONING.search, names.PIPE.search)
        if self.role == "negative" and node.kind == "BasicGuider" and self.graph.ways(node) is None:
            # a guider with one conditioning has the positive one
            linked = [name.lower() for name, _ in self.graph.links(node)]
            if any(pattern(name) for pattern in wanted for name in linked):
                return []
        return self.graph.onward(
            node, wanted, lambda name: names.NO_CONDITIONING.search(name) or other in name
        )
