"""ComfyUI's entry point. It does nothing unless ComfyUI itself imports the folder as a package."""

import sys

# ComfyUI has imported its own modules long before any extension; pytest, which takes the root of
# the repository for a package, has not.
if __package__ and "folder_paths" in sys.modules:
    from .lib_gmi.comfyui import start

    NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS = start()
    WEB_DIRECTORY = "./web"

    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
