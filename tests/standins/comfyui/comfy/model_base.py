"""A stand-in for ComfyUI's module of this name: the diffusion model itself."""

from __future__ import annotations

from enum import Enum

from standin import seen

from comfy import model_sampling


class ModelType(Enum):
    EPS = 1
    V_PREDICTION = 2
    FLOW = 6
    FLUX = 8


_SAMPLINGS = {
    ModelType.FLOW: model_sampling.ModelSamplingDiscreteFlow,
    ModelType.FLUX: model_sampling.ModelSamplingFlux,
}


class BaseModel:
    """Its weights are one number: the style of its pictures."""

    def __init__(self, model_config, model_type=ModelType.EPS):
        self.model_config = model_config
        self.model_type = model_type
        self.model_sampling = _SAMPLINGS.get(model_type, model_sampling.ModelSamplingDiscrete)()
        self.current_patcher = None
        self.diffusion_model = [float(model_config.get("style", 0))]
        seen.alive.add(self)
