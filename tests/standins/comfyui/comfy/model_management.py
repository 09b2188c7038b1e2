"""A stand-in for ComfyUI's module of this name: interruptions, and what is in memory."""

from __future__ import annotations

import threading

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


def load_models_gpu(models, memory_required=0):
    for model in models:
        if model not in current_loaded_models:
            current_loaded_models.append(model)


def unload_all_models():
    current_loaded_models.clear()


def soft_empty_cache(force=False):
    seen.emptied.append(len(seen.alive))
