"""A stand-in for ComfyUI's module of this name: where models and the user's files are."""

from __future__ import annotations

import os
from pathlib import Path

supported_pt_extensions = {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}
base_path = str(Path(__file__).resolve().parent)
models_dir = str(Path(base_path, "models"))
output_directory = str(Path(base_path, "output"))
temp_directory = str(Path(base_path, "temp"))
input_directory = str(Path(base_path, "input"))
user_directory = str(Path(base_path, "user"))
folder_names_and_paths = {
    "checkpoints": ([str(Path(models_dir, "checkpoints"))], supported_pt_extensions),
    "vae": ([str(Path(models_dir, "vae"))], supported_pt_extensions),
    "embeddings": ([str(Path(models_dir, "embeddings"))], supported_pt_extensions),
}


def get_output_directory():
    return output_directory


def set_output_directory(output_dir):
    global output_directory  # noqa: PLW0603  as in ComfyUI
    output_directory = output_dir


def get_temp_directory():
    return temp_directory


def get_input_directory():
    return input_directory


def set_input_directory(input_dir):
    global input_directory  # noqa: PLW0603  as in ComfyUI
    input_directory = input_dir


def annotated_filepath(name):
    kinds = {
        "[output]": get_output_directory,
        "[input]": get_input_directory,
        "[temp]": get_temp_directory,
    }
    for mark, folder in kinds.items():
        if name.endswith(mark):
            return name[: -len(mark) - 1], folder()
    return name, None


def get_annotated_filepath(name, default_dir=None):
    name, base_dir = annotated_filepath(name)
    return str(Path(base_dir or default_dir or get_input_directory(), name))


def get_user_directory():
    return user_directory


def set_user_directory(user_dir):
    global user_directory  # noqa: PLW0603  as in ComfyUI
    user_directory = user_dir


def get_folder_paths(folder_name):
    return folder_names_and_paths[folder_name][0][:]


def get_filename_list(folder_name):
    """Without the real one's cache, which looks at the folders' times of change."""
    folders, extensions = folder_names_and_paths[folder_name]
    found = set()
    for folder in folders:
        for path, _, files in os.walk(folder, followlinks=True):
            found.update(str(Path(path, file).relative_to(folder)) for file in files)
    return sorted(name for name in found if Path(name).suffix.lower() in extensions)


def get_full_path(folder_name, filename):
    relative = os.path.relpath(Path("/", filename), "/")  # nothing outside of the folder
    for folder in folder_names_and_paths[folder_name][0]:
        if Path(folder, relative).is_file():
            return str(Path(folder, relative))
    return None


def get_full_path_or_raise(folder_name, filename):
    full_path = get_full_path(folder_name, filename)
    if full_path is None:
        raise FileNotFoundError(
            f"Model in folder '{folder_name}' with filename '{filename}' not found."
        )
    return full_path
