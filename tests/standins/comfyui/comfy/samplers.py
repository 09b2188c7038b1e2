"""A stand-in for ComfyUI's module of this name: the names of samplers and schedulers."""

from __future__ import annotations

SAMPLER_NAMES = [
    "euler",
    "euler_ancestral",
    "heun",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_sde",
    "lcm",
    "uni_pc",
    "res_multistep",
]
SCHEDULER_NAMES = ["normal", "karras", "simple", "sgm_uniform", "beta", "exponential"]


class KSampler:
    """Only what it offers."""

    SAMPLERS = SAMPLER_NAMES
    SCHEDULERS = SCHEDULER_NAMES
