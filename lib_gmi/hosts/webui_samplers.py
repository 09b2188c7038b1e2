"""Samplers and schedulers: the presets' words (k-diffusion's) and the web UI's labels."""

from __future__ import annotations

from typing import Any

#: Where the web UI's own aliases are not k-diffusion's names with a ``k_`` before them.
_ALIASES = {
    "dpm_2_ancestral": "k_dpm_2_a",
    "dpmpp_2s_ancestral": "k_dpmpp_2s_a",
    "dpm_adaptive": "k_dpm_ad",
    "dpmpp_sde_gpu": "k_dpmpp_sde",
    "dpmpp_2m_sde_gpu": "k_dpmpp_2m_sde",
    "euler_ancestral": "k_euler_a",
    "uni_pc": "unipc",
}
_SCHEDULERS = {"ddim_uniform": "ddim"}


def host_sampler(name: str | None) -> str | None:
    """The web UI's label of a sampler, given its k-diffusion name or that label.

    ``None`` if the web UI has no such sampler.
    """
    from modules import sd_samplers

    labels: dict[str, Any] = sd_samplers.samplers_map
    if name is None:
        return host_sampler("euler")
    for key in (_ALIASES.get(name), f"k_{name}", name):
        if key is not None and key.lower() in labels:
            return str(labels[key.lower()])
    return None


def host_scheduler(name: str | None) -> str | None:
    """The web UI's label of a scheduler; ``None`` leaves the choice to the sampler."""
    if name is None:
        return None
    known = _schedulers()
    name = _SCHEDULERS.get(name, name)
    # there is always a scheduler that makes an image, if not quite as intended
    return known.get(name) or known.get(name.lower()) or known.get("normal") or known.get("uniform")


def host_samplers() -> list[str]:
    """Labels of every sampler."""
    from modules import sd_samplers

    return [str(sampler.name) for sampler in sd_samplers.all_samplers]


def labels_of_words() -> dict[str, str]:
    """The presets' words for samplers and schedulers → the web UI's labels.

    Settings hold the words, since they mean the same in every program; people see the labels.
    """
    from modules import sd_samplers

    aliases = [name.removeprefix("k_") for name in sd_samplers.samplers_map]
    found = {name: host_scheduler(name) for name in (*_schedulers(), *_SCHEDULERS)}
    found |= {name: host_sampler(name) for name in (*aliases, *_ALIASES)}
    return {word: label for word, label in found.items() if label is not None and label != word}


def host_schedulers() -> list[str]:
    """Labels of every scheduler; none before the web UI told them from samplers."""
    return sorted(set(_schedulers().values()))


def _schedulers() -> dict[str, str]:
    try:
        from modules import sd_schedulers
    except ImportError:
        return {"karras": "Karras", "exponential": "Exponential"}
    found: dict[str, str] = {}
    for scheduler in sd_schedulers.schedulers:
        found[str(scheduler.name)] = found[str(scheduler.label)] = str(scheduler.label)
    return found
