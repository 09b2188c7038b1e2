"""A stand-in for ComfyUI's module of this name: interruptions, and what is in memory."""

from __future__ import annotations

import threading
import weakref

from standin import seen


class InterruptProcessingException(Exception):  # noqa: N818  ComfyUI's name
    """The user stopped it."""


interrupt_processing_mutex = threading.RLock()
interrupt_processing = False
#: Models whose weights are on the device; the real one holds them through weak references.
current_loaded_models = []


def interrupt_current_processing(value=True):
    global interrupt_processing  # noqa: PLW0603  as in ComfyUI
    with interrupt_processing_mutex:
        interrupt_processing = value


def processing_interrupted():
    with interrupt_processing_mutex:
        return interrupt_processing


def throw_exception_if_processing_interrupted():
    global interrupt_processing  # noqa: PLW0603  as in ComfyUI
    with interrupt_processing_mutex:
        if interrupt_processing:
            interrupt_processing = False
            raise InterruptProcessingException


def intermediate_device():
    import torch

    return torch.device("cpu")


class LoadedModel:
    """An entry of :data:`current_loaded_models`."""

    def __init__(self, model):
        self._model = weakref.ref(model)
        self.device = "the device"

    @property
    def model(self):
        return self._model()


def load_models_gpu(models, memory_required=0):
    for model in models:
        if all(loaded.model is not model for loaded in current_loaded_models):
            current_loaded_models.append(LoadedModel(model))


def get_free_memory(dev=None, torch_free_too=False):
    return seen.free


def free_memory(memory_required, device, keep_loaded=[]):  # noqa: B006  as in ComfyUI
    unloaded = [m for m in current_loaded_models if m.device == device and m not in keep_loaded]
    current_loaded_models[:] = [m for m in current_loaded_models if m not in unloaded]
    return unloaded


def unload_all_models():
    free_memory(1e30, "the device")


def soft_empty_cache(force=False):
    seen.emptied.append(len(seen.alive))
