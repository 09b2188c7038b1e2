"""A stand-in for ComfyUI's module of this name: models with changes laid over them."""

from __future__ import annotations


class ModelPatcher:
    """What nodes call MODEL."""

    def __init__(self, model, load_device, offload_device):
        self.model = model
        self.object_patches = {}
        model.current_patcher = self  # they refer to each other, as in ComfyUI

    def clone(self):
        copied = ModelPatcher(self.model, None, None)
        copied.object_patches = dict(self.object_patches)
        return copied

    def add_object_patch(self, name, obj):
        self.object_patches[name] = obj

    def get_model_object(self, name):
        return self.object_patches.get(name, getattr(self.model, name))
