"""The words that condition a sampler of a ComfyUI graph, and what else does."""

from __future__ import annotations

import re

from .graph import Graph, Link, Node
from .making import Network
from .models import PIPES
from .text import networks_in
from .values import first, whole

#: Inputs that carry a conditioning on.
_CONDITIONING = re.compile(r"(?:base_)?cond\w*[_ ]?\d{0,2}|text_embeds|.*conditioning.*|guider")
#: Linked inputs that are text, where others of a text's names carry a conditioning.
_WORDS = re.compile(
    r"(?:text|prompt|string|wildcard|populated|clip_[lg]|t5xxl|llama|caption|tags)[\w +]{0,40}"
)
_OTHERS = re.compile(
    r".*model.*|clip.*|.*vae.*|.*image.*|.*latent.*|samples|pixels|.*mask.*|.*control.*|.*noise.*"
    r"|sigmas|sampler.*|.*lora.*"
)
_REGIONS = re.compile(r"setarea|setmask|gligen|regional|couple|conditioningmask|areaconditioning")
_REFERENCES = re.compile(r"unclip|stylemodel|ipadapter|referencelatent|instantid|pulid|redux")


class Conditioning:
    """What stands behind a sampler's positive or negative conditioning.

    Attributes:
        processes: that the conditioning tells of.
        networks: that its text names, where a node reads them there.
        skip: the layers of the text encoder, as AUTOMATIC1111 counts them.
    """

    def __init__(self, graph: Graph, role: str) -> None:
        self.graph = graph
        self.role = role
        self.processes: set[str] = set()
        self.networks: list[Network | None] = []
        self.skip: int | None = None

    def of(self, sampler: Node) -> str:
        """The text of a sampler's conditioning; empty if there is none, or if it is zeroed."""
        found: list[str] = []
        for node, further in self.graph.walk(self._onward(sampler)):
            words = node.words
            if "zeroout" in words or node.kind.startswith("GMI_"):
                continue
            if "controlnet" in words or "t2iadapter" in words:
                self.processes.add("controlnet")
            if _REGIONS.search(words):
                self.processes.add("regional")
            if _REFERENCES.search(words):
                self.processes.add("extension")
            text = self._encoded(node)
            if text is None:
                further.extend(self._onward(node))
            elif text:
                found.append(text)
        return ", ".join(dict.fromkeys(found))

    def _encoded(self, node: Node) -> str | None:
        """The text that a node encodes, or ``None`` if it only passes conditionings on."""
        inputs = node.inputs
        whole_loader = "ckpt_name" in inputs
        names = [
            name
            for name in self.graph.text_inputs(node, self.role)
            if isinstance(inputs[name], str) or whole_loader or _WORDS.fullmatch(name.lower())
        ]
        if "clip" in inputs and not names and "text" in inputs:
            names = ["text"]
        if not names or (
            self.graph.link(inputs.get("conditioning")) and "encode" not in node.words
        ):
            return None
        if "populated_text" in inputs:
            names = ["populated_text"]
        texts = [self.graph.text(inputs[name]) for name in names]
        text = ", ".join(dict.fromkeys(text for text in texts if text))
        if node.kind != "CLIPTextEncode":
            self.networks += networks_in(text)
        skip = self.graph.number(inputs.get("clip_skip"))
        link = self.graph.link(inputs.get("clip"))
        skip = first(skip, self._last_layer(link) if link else None)
        if isinstance(skip, int):
            self.skip = first(self.skip, whole(-skip, 1, 24))
        return text

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
        chosen = self.graph.chosen(node)
        if chosen is not None:
            return [chosen]
        links = self.graph.links(node)
        for pattern in (re.compile(self.role), _CONDITIONING, PIPES):
            found = [link for name, link in links if pattern.fullmatch(name.lower())]
            if found:
                # a guider with one conditioning has the positive one
                single = self.role == "negative" and node.kind == "BasicGuider"
                return [] if single else found
        other = "negative" if self.role == "positive" else "positive"
        return [
            link
            for name, link in links
            if not _OTHERS.fullmatch(name.lower()) and other not in name.lower()
        ]
