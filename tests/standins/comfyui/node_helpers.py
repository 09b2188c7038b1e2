"""A stand-in for ComfyUI's module of this name."""

from __future__ import annotations


def conditioning_set_values(conditioning, values={}, append=False):  # noqa: B006  as in ComfyUI
    assert not append, "this extension never appends"
    return [[tensor, {**options, **values}] for tensor, options in conditioning]
