"""The settings of a checkpoint, to look at and to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import words
from .markup import Html, tag, together
from .parts import button

_NUMBERS = {
    "width": (64, 2048, 8),
    "height": (64, 2048, 8),
    "steps": (1, 150, 1),
    "cfg": (0, 30, 0.1),
    "clip_skip": (1, 12, 1),
}
_LABELS = {
    "width": "Width",
    "height": "Height",
    "steps": "Steps",
    "cfg": "CFG",
    "clip_skip": "Clip skip",
    "sampler": "Sampler",
    "scheduler": "Scheduler",
    "dialect": "Prompt dialect",
    "prefix": "Put before every prompt",
    "negative": "Negative prompt",
}


def settings_form(row: dict[str, Any], library: dict[str, Any], changeable: bool = True) -> Html:
    """The settings that a checkpoint's samples are made with.

    Args:
        row: of the checkpoint.
        library: as ``Api.library()`` says.
        changeable: not only to look at.
    """
    settings = row["settings"]
    choices = {
        "sampler": library["samplers"],
        "scheduler": library["schedulers"],
        "dialect": library["dialects"],
    }
    labels = library.get("labels", {})
    fields = [_field(key, settings[key], choices.get(key), labels) for key in _LABELS]
    because = [tag("li", None, reason) for reason in row["because"]]
    return together(
        tag("h2", None, words.elided(row["title"], row["name"])),
        tag("p", {"class": "gmi-hint"}, "Its samples are made with these settings."),
        tag(
            "form",
            {
                "class": "gmi-form",
                "id": "gmi_settings",
                "novalidate": True,
                "data-name": row["name"],
                "data-edited": bool(row["edited"]),
                "data-vae": settings.get("vae") if row["edited"] else None,
            },
            tag("fieldset", {"class": "gmi-form-grid", "disabled": not changeable}, fields),
            tag(
                "div",
                {"class": "gmi-because"},
                tag("p", {"class": "gmi-hint"}, "Recognised:"),
                tag("ul", None, because),
            )
            if because
            else None,
            tag("div", {"data-gmi-region": "settings-answer", "role": "status"}),
            tag(
                "div",
                {"class": "gmi-line"},
                button("Save", "settings-save", "gmi-button gmi-primary", row["name"]),
                button("Back to the preset", "settings-preset", name=row["name"])
                if row["edited"]
                else None,
            )
            if changeable
            else None,
        ),
    )


def _field(key: str, value: Any, choices: Sequence[str] | None, labels: Mapping[str, str]) -> Html:
    shown = "" if value is None else value
    common: dict[str, object] = {"class": "gmi-input", "name": key, "data-was": shown}
    if key in _NUMBERS:
        low, high, step = _NUMBERS[key]
        limits = {"type": "number", "min": str(low), "max": high, "step": step, "value": str(shown)}
        control = tag("input", common | limits)
    elif choices is not None:
        # what is no longer offered stays visible instead of silently becoming another one
        label = labels.get(str(shown), str(shown))
        offered = [shown if choice == label else choice for choice in choices]
        if shown not in offered:
            offered.insert(0, str(shown))
        options = [
            tag("option", {"value": o, "selected": o == shown}, label if o == shown else o)
            for o in offered
        ]
        control = tag("select", common, options)
    else:
        control = tag("textarea", common | {"rows": 2, "spellcheck": "false"}, str(shown))
    return tag(
        "label",
        {"class": f"gmi-field gmi-field-{key}"},
        tag("span", None, _LABELS[key]),
        control,
    )
