"""A stand-in for ComfyUI's module of this name: how a model is sampled."""

from __future__ import annotations


class ModelSamplingDiscrete:
    """Of Stable Diffusion 1, 2 and XL."""


class ModelSamplingDiscreteFlow:
    """Of Stable Diffusion 3 and its kin."""

    def __init__(self, model_config=None):
        self.set_parameters()

    def set_parameters(self, shift=1.0, timesteps=1000, multiplier=1000):
        self.shift = shift
        self.multiplier = multiplier


class ModelSamplingFlux:
    """Of Flux: it has no multiplier."""

    def __init__(self, model_config=None):
        self.set_parameters()

    def set_parameters(self, shift=1.15, timesteps=10000):
        self.shift = shift
