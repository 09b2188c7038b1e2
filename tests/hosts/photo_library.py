"""A stand-in library that is good to look at: checkpoints are filters over photographs.

Real checkpoints cannot be had offline, and random weights make noise. So each "checkpoint" here is
a filter, its samples are photographs that ship with scikit-image seen through it, and its file has
a real header and no numbers. It serves the browser test and the pictures in the documentation.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headers import SD1, SDXL, write
from standins.photo_filters import FILTERS, SIDE, Filter, as_array, as_image, crop, tinted

from lib_gmi.checkpoints.file_index import FileIndex
from lib_gmi.checkpoints.presets import find
from lib_gmi.encoders import DEFAULT, load, optional_text_encoder
from lib_gmi.library.catalogue import Library
from lib_gmi.records.prompts import default_prompt_set
from lib_gmi.records.protocols import Candidate
from lib_gmi.submitting.recorder import Recorder

PHOTOGRAPHS = (
    "astronaut.png",
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
)


def photograph(number: int) -> Image.Image:
    """A square crop of one of the photographs; the same number gives the same crop."""
    return crop(PHOTOGRAPHS[number % len(PHOTOGRAPHS)], number)


def _oil(image: Image.Image) -> Image.Image:
    smooth = image.filter(ImageFilter.ModeFilter(9)).filter(ImageFilter.SMOOTH_MORE)
    return ImageEnhance.Color(smooth).enhance(1.5)


def _comic(image: Image.Image) -> Image.Image:
    flat = ImageOps.posterize(image.filter(ImageFilter.MedianFilter(7)), 3)
    edges = ImageOps.invert(image.convert("L").filter(ImageFilter.FIND_EDGES)).point(
        lambda level: 255 if level > 215 else 0
    )
    black = Image.new("RGB", image.size)
    return Image.composite(ImageEnhance.Color(flat).enhance(1.6), black, edges)


def _neon(image: Image.Image) -> Image.Image:
    cold = as_array(tinted("#050014", "#6a1fd0", "#57f2ff")(image))
    glow = as_array(as_image(cold).filter(ImageFilter.GaussianBlur(10)))
    return as_image(1 - (1 - cold) * (1 - 0.5 * glow))


def _film(image: Image.Image) -> Image.Image:
    grain = np.random.default_rng(image.getpixel((1, 1))).normal(0, 0.07, (SIDE, SIDE, 1))
    return as_image(as_array(image) ** 1.15 * np.array([1.08, 1.0, 0.86]) + grain + 0.03)


def _pastel(image: Image.Image) -> Image.Image:
    soft = as_array(image.filter(ImageFilter.GaussianBlur(2)))
    return as_image(0.45 + 0.55 * soft**0.8)


def _pixels(image: Image.Image) -> Image.Image:
    small = image.resize((64, 64), Image.Resampling.BOX).quantize(24).convert("RGB")
    return small.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def _studio(image: Image.Image) -> Image.Image:
    return ImageEnhance.Sharpness(ImageEnhance.Contrast(image).enhance(1.25)).enhance(2.0)


def _studio_again(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(_studio(image)).enhance(1.01)


#: File name → filter, in the order in which they are built.
CHECKPOINTS: dict[str, Filter] = {
    "painterly/oilImpasto_v30.safetensors": _oil,
    "painterly/softPastel_v2.safetensors": _pastel,
    "anime/comicInk_v12.safetensors": _comic,
    "neonNoirXL_v10.safetensors": _neon,
    "analogFilm_v15.safetensors": _film,
    "cyanotypeXL.safetensors": FILTERS["cyanotype"],
    "sepiaArchive_v1.safetensors": FILTERS["sepia"],
    "pixelWorlds_v4.safetensors": _pixels,
    "cleanStudio_v5.safetensors": _studio,
    "cleanStudio_v5_pruned.safetensors": _studio_again,
    "daylightXL_base.safetensors": FILTERS["plain"],
}
#: Installed as well, and not built yet.
WITHOUT = ("nightcapXL_lightning_4step.safetensors", "anime/watercolourDreams_v7.safetensors")


def make(base: Path, samples: int = 8, without: Sequence[str] = WITHOUT) -> None:
    """Fill a ComfyUI base folder: checkpoint files, and a library in the user directory.

    Args:
        base: of the server, which need not be running.
        samples: for each checkpoint.
        without: checkpoints to install without a specification.
    """
    folder, library = base / "models" / "checkpoints", Library(base / "user" / "gmi")
    recorder = Recorder(
        default_prompt_set(), library, load(DEFAULT), text_encoder=optional_text_encoder()
    )
    index = FileIndex(library.folder / "files.json")
    for name in (*CHECKPOINTS, *without):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, SDXL if "XL" in name else SD1, {"title": name})
    for name, seen_through in CHECKPOINTS.items():
        path = folder / name
        facts = index.facts(path)
        preset = find(facts, path)
        title = str(Path(name).with_suffix(""))
        candidate = Candidate(
            title, index.identity(path), name, path, path.stat().st_size, preset.architecture
        )
        specification = recorder.empty(candidate, preset.settings)
        for number, prompt in enumerate(recorder.prompt_set.prompts[:samples]):
            picture = seen_through(photograph(number))
            specification = recorder.add(specification, prompt, picture)


def query(name: str, number: int = 30) -> Image.Image:
    """What a checkpoint makes of a photograph that no specification holds."""
    return CHECKPOINTS[name](photograph(number))
