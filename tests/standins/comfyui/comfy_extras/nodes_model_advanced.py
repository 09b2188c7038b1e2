"""A stand-in for ComfyUI's module of this name: one node, which is looked up by its name."""

from __future__ import annotations

from comfy import model_sampling


class ModelSamplingDiscrete:
    """Makes a model predict something else than its file says."""

    FUNCTION = "patch"

    def patch(self, model, sampling, zsnr):
        assert (sampling, zsnr) == ("v_prediction", True), "nothing else is asked for"

        class ModelSamplingAdvanced(model_sampling.ModelSamplingDiscrete):
            """A patched one."""

        patched = model.clone()
        patched.add_object_patch("model_sampling", ModelSamplingAdvanced())
        return (patched,)


NODE_CLASS_MAPPINGS = {"ModelSamplingDiscrete": ModelSamplingDiscrete}
