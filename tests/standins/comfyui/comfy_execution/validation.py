"""A stand-in for ComfyUI's module of this name: whether an output may be wired into an input."""

from __future__ import annotations


def validate_node_input(received_type, input_type, strict=False):
    if not received_type != input_type:  # noqa: SIM202  the real one relies on __ne__ as well
        return True
    if not isinstance(received_type, str) or not isinstance(input_type, str):
        return False
    received = {name.strip() for name in received_type.split(",")}
    wanted = {name.strip() for name in input_type.split(",")}
    return received <= wanted if strict else bool(received & wanted)
