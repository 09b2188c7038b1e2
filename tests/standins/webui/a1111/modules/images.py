from pathlib import Path

from modules import paths_internal
from modules.standin import seen


def save_image(image, path, basename, extension="png", info=None, p=None):
    folder = Path(path or paths_internal.data_path) / "outputs"
    folder.mkdir(exist_ok=True)
    file = folder / f"{len(seen.saved):05}.{extension}"
    image.save(file)
    seen.saved.append(str(file))
    return str(file), None


def read_info_from_image(image):
    items = (image.info or {}).copy()
    return items.pop("parameters", None), items
