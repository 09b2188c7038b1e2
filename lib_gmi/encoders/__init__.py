"""Encoders: image → features and text → embedding, by name. Reading the names loads nothing."""

from . import registry
from .registry import (
    AUTO,
    DEFAULT,
    JOINT_DEFAULT,
    TEXT_DEFAULT,
    VARIABLE,
    choose,
    load,
    load_joint,
    load_text,
    named,
    optional_text_encoder,
    release,
)

__all__ = [
    "AUTO",
    "DEFAULT",
    "JOINT_DEFAULT",
    "TEXT_DEFAULT",
    "VARIABLE",
    "choose",
    "load",
    "load_joint",
    "load_text",
    "named",
    "optional_text_encoder",
    "registry",
    "release",
]
