"""AUTOMATIC1111's text of a prompt, a negative prompt and a line of settings, taken apart.

SD.Next, Forge, Civitai, Fooocus and several nodes of ComfyUI write it too, each in its own way.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from .values import loads_at, mapping, prose

#: Characters of a text that are looked at.
MAX_INFOTEXT = 100_000
_NEGATIVE = "Negative prompt:"
#: "Steps: 20, Sampler: Euler a, CFG scale: 7": three settings make a line of settings.
_ENOUGH = 3
_KEY = re.compile(r"[A-Z][\w \-/.()]{0,60}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
#: Settings that follow an empty negative prompt on its own line.
_INLINE = re.compile(r"(?:(?<=\s)|(?<=:))Steps: \d{1,5}, [A-Z]")
#: Lines that the settings may be followed by: what the prompt was made from.
_TEMPLATE = ("Template:", "Negative Template:", "Wildcard ")
_MAX_SETTINGS = 500
#: Values that are JSON and not quoted.
_OBJECTS = ("Civitai resources", "Civitai metadata", "Hashes", "SDCPP")
#: Settings that some programs write in another case: "CFG Scale", "model".
_NAMES = {
    name.lower(): name
    for name in (
        "Steps",
        "Sampler",
        "Scheduler",
        "Schedule type",
        "CFG scale",
        "Seed",
        "Size",
        "Model",
        "Model hash",
        "VAE",
        "Clip skip",
        "Denoising strength",
        "Version",
    )
}


@dataclass(frozen=True)
class Infotext:
    """An infotext in its parts.

    Attributes:
        facts: the settings, by their name in the text.
        objects: settings whose value is JSON.
    """

    prompt: str
    negative: str | None
    facts: dict[str, str]
    objects: dict[str, Any]

    def switched_on(self, key: str) -> bool:
        """Whether a setting is there and says that something was done."""
        return self.facts.get(key, "").strip().lower() not in ("", "false", "none", "0", "0.0")


def parse(text: str) -> Infotext:
    """Take an infotext apart; a text without settings is all prompt."""
    lines = (prose(text, MAX_INFOTEXT) or "").split("\n")
    lines, line = _settings(lines)
    prompt: list[str] = []
    negative: list[str] | None = None
    for part in map(str.strip, lines):
        if negative is not None:
            negative.append(part)
        elif part.startswith(_NEGATIVE):
            negative = [part[len(_NEGATIVE) :].strip()]
        else:
            prompt.append(part)
    joined = None if negative is None else "\n".join(negative)
    return Infotext("\n".join(prompt), joined, *_facts(line))


def _settings(lines: list[str]) -> tuple[list[str], str]:
    """The lines before the settings, and the settings as one line."""
    for at in range(len(lines) - 1, max(-1, len(lines) - 60), -1):
        if lines[at].startswith("Steps: ") and _counts(lines[at]):
            return lines[:at], _joined(lines[at], lines[at + 1 :])
    starts = [found.start() for found in _INLINE.finditer(lines[-1])]
    if _NEGATIVE in lines[-1] and starts and _counts(lines[-1][starts[-1] :]):
        return [*lines[:-1], lines[-1][: starts[-1]]], lines[-1][starts[-1] :]
    if _counts(lines[-1]):
        return lines[:-1], lines[-1]
    return lines, ""


def _joined(line: str, further: list[str]) -> str:
    """Values of extensions may go on over several lines."""
    for part in further:
        if part.startswith(_TEMPLATE):
            break
        line += ("\n" if line.count('"') % 2 else ", ") + part
    return line


def _counts(line: str) -> bool:
    """Whether a line is one of settings."""
    return len(_pairs(line[:5000])) >= _ENOUGH


def _facts(line: str) -> tuple[dict[str, str], dict[str, Any]]:
    objects: dict[str, Any] = {}
    for key in _OBJECTS:
        at = line.find(f"{key}:")
        if at < 0 or line[max(0, at - 2) : at] not in ("", ", "):
            continue
        value, end = loads_at(line, at + len(key) + 1)
        if end > at + len(key) + 1 and isinstance(value, dict | list):
            objects[key] = value
            line = line[:at] + line[end:].lstrip(" ,")
    return dict(_pairs(line)), objects


def _pairs(line: str) -> list[tuple[str, str]]:
    """Names and values; a value with commas stands in quotation marks."""
    found: list[tuple[str, str]] = []
    at, closed = 0, True
    while at < len(line) and len(found) < _MAX_SETTINGS:
        colon, comma = line.find(":", at), line.find(",", at)
        if colon < 0:
            break
        if 0 <= comma < colon:  # a flag alone, or a part of an unquoted value
            at = comma + 1
            continue
        key = line[at:colon].strip()
        at = colon + 1
        while at < len(line) and line[at] in " \t":
            at += 1
        quoted = _QUOTED.match(line, at) if closed and line[at : at + 1] == '"' else None
        if quoted is not None:
            value = _unquoted(quoted.group())
            at = quoted.end()
            comma = line.find(",", at)
        else:
            # where one quotation mark has no partner, no later one has
            closed = closed and line[at : at + 1] != '"'
            comma = line.find(",", at)
            value = line[at : comma if comma >= 0 else len(line)].strip()
        at = comma + 1 if comma >= 0 else len(line)
        key = _NAMES.get(key.lower(), key)
        if _KEY.fullmatch(key):
            found.append((key, value))
    return found


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return text[1:-1]


def hashes_in(infotext: Infotext) -> dict[str, str]:
    """``Hashes: {"model": "…", "lora:name": "…"}`` with lower-case kinds."""
    found: dict[str, str] = {}
    for key, value in list(mapping(infotext.objects.get("Hashes")).items())[:_MAX_SETTINGS]:
        if isinstance(value, str):
            kind, colon, name = key.partition(":")
            found[kind.lower() + colon + name] = value
    return found
