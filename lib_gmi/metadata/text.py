"""Prompts as text: what in them is a prompt, and what is a program's notation."""

from __future__ import annotations

import re

from .making import Network, network
from .values import prose, real

#: Characters of a prompt, as the API takes it.
MAX_PROMPT = 5000
#: Characters that are looked at before notation is taken out of them.
_MAX_RAW = 50_000

#: LoRAs and the like are names of files, not words.
_NETWORK = re.compile(r" ?<(?:lora|lyco|hypernet):[^<>]{0,200}>", re.IGNORECASE)
_TAG = re.compile(r"<(lora|lyco|hypernet):([^<>:]{1,200})((?::[^<>:]{0,60}){0,6})>", re.IGNORECASE)
_TAG_KINDS = {"lora": "lora", "lyco": "lycoris", "hypernet": "hypernetwork"}
#: ComfyUI's way to name an embedding.
_EMBEDDING = re.compile(
    r"\( ?embedding:([^\s,:()]{1,200})(?::[\d.]{1,8})? ?\)|\bembedding:([^\s,:()]{1,200})",
    re.IGNORECASE,
)
#: AUTOMATIC1111's words between prompts, and the weight that may stand before ``AND``.
_BETWEEN = re.compile(
    r"[\s,]{0,9}(?::\s{0,2}[-+]?[\d.]{0,9}\s{0,4})?\bAND\b[\s,]{0,9}|[\s,]{0,9}\bBREAK\b[\s,]{0,9}"
)
_LAST_WEIGHT = re.compile(r"\s{0,4}:\s{0,2}[-+]?(?:\d{1,4}\.?|\d{0,4}\.\d{1,4})\s{0,4}$")

_NUMBER = re.compile(r"\s{0,4}[-+]?(?:\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})%?\s{0,4}")
#: What is left of a wildcard that nothing replaced, and NovelAI's "1.3::words::".
_WILDCARD = re.compile(r"__[\w/*.-]{1,80}?__")
_NUMBERED = re.compile(r"(?:(?<![\w.])-?\d{1,3}(?:\.\d{0,4})?)?::")
#: InvokeAI's "(words)1.3", "(words)++" and "word--".
_INVOKE = re.compile(r"(?<=\))(?:\d{1,2}\.\d{1,3}|[-+]{1,8})|(?<=\w)[-+]{1,8}(?=[\s,.)]|$)")
#: The share that stands before one choice of several, as in "{2::cat|dog}" and "{2$$a|b}".
_SHARE = re.compile(r"^\s{0,4}[\d.-]{1,8}(?:::|\$\$)")
_CLOSING = {")": "(", "]": "[", "}": "{"}


def prompt_text(text: str | None) -> str | None:
    """A prompt that any program can take: no networks, no words between prompts.

    Returns:
        At most :data:`MAX_PROMPT` characters, or ``None`` if nothing is left.
    """
    text = prose(text, _MAX_RAW)
    if text is None:
        return None
    text = _EMBEDDING.sub("", _NETWORK.sub("", text))
    joined = _BETWEEN.sub(", ", text)
    if "AND" in text and joined != text:
        joined = _LAST_WEIGHT.sub("", joined)
    lines = (line.strip() for line in joined.split("\n"))
    words = re.sub(r",[ ,]*,", ",", "\n".join(lines)).strip(" ,\n")
    return words[:MAX_PROMPT] or None


def networks_in(text: str | None) -> list[Network | None]:
    """The networks that a prompt names: ``<lora:name:0.8>``, ``embedding:name``."""
    text = (text or "")[:_MAX_RAW]
    found: list[Network | None] = []
    for kind, name, rest in _TAG.findall(text):
        positional, weight = [part for part in rest.split(":")[1:] if "=" not in part], None
        if positional:
            # the second number, if there are two, is the diffusion model's
            weight = real(positional[min(1, len(positional) - 1)], -100, 100)
        for part in rest.split(":"):
            if part.startswith("unet="):
                weight = real(part[5:], -100, 100)
        found.append(network(_TAG_KINDS[kind.lower()], name, 1.0 if weight is None else weight))
    found.extend(network("embedding", bare or alone) for bare, alone in _EMBEDDING.findall(text))
    return found


def plain_prompt(text: str) -> str:
    """A prompt as a sentence or a list of tags, for an encoder that reads words.

    Takes out networks, weights of words in the notations of AUTOMATIC1111, ComfyUI, NovelAI and
    InvokeAI, and wildcards that nothing replaced. Of AUTOMATIC1111's ``[from:to:when]`` the last
    stage stays, of ``[a|b]`` all, of ``{a|b}`` the first.
    """
    text = _WILDCARD.sub("", prompt_text(text[:_MAX_RAW]) or "")
    text = _NUMBERED.sub("", _without_brackets(_INVOKE.sub("", text)))
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.split("\n"))
    words = ", ".join(line.strip(" ,") for line in lines if line.strip(" ,"))
    words = re.sub(r" ?, ?(?:[.,] ?)*", ", ", words)
    return words.strip(" ,")


class _Group:
    """What an opening bracket began: parts between the separators of this bracket."""

    __slots__ = ("opened", "parts", "separators")

    def __init__(self, opened: str) -> None:
        self.opened = opened
        self.parts: list[list[str]] = [[]]
        self.separators = ""

    def separate(self, sign: str) -> None:
        self.separators += sign
        self.parts.append([])

    def closed(self) -> str:
        parts = ["".join(part) for part in self.parts]
        numbered = self.separators.endswith(":") and _NUMBER.fullmatch(parts[-1])
        if self.opened == "[" and numbered and len(parts) <= 3 and "|" not in self.separators:
            return parts[-2]
        if self.opened == "(" and numbered:
            parts.pop()
            self.separators = self.separators[:-1]
        if "|" in self.separators:
            options = self.rejoined(parts).split("|")
            if self.opened == "{":
                return _SHARE.sub("", options[0])
            return (" " if self.opened == "[" else "|").join(options)
        return self.rejoined(parts)

    def rejoined(self, parts: list[str]) -> str:
        signs = [*self.separators, ""]
        return "".join(part + sign for part, sign in zip(parts, signs, strict=False))


def _without_brackets(text: str) -> str:
    """In one pass, whatever is nested how deeply and whether it is closed or not."""
    groups = [_Group("")]
    at = 0
    while at < len(text):
        sign = text[at]
        if sign == "\\" and at + 1 < len(text) and text[at + 1] in "()[]{}\\":
            groups[-1].parts[-1].append(text[at + 1])
            at += 1
        elif sign in "([{":
            groups.append(_Group(sign))
        elif sign in _CLOSING:
            if groups[-1].opened == _CLOSING[sign]:
                words = groups.pop().closed()
                groups[-1].parts[-1].append(words)
        elif sign in ":|" and len(groups) > 1:
            groups[-1].separate(sign)
        else:
            groups[-1].parts[-1].append(sign)
        at += 1
    while len(groups) > 1:
        words = groups.pop().closed()
        groups[-1].parts[-1].append(words)
    return "".join(groups[0].parts[0])
