"""A stand-in for the part of ComfyUI's package of this name that is used."""
