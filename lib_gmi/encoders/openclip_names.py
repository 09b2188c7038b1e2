"""Names of open_clip's models, and what can be told from a name without torch.

=====================================  =========================================================
what people type                       what goes into files
=====================================  =========================================================
``openclip/MODEL/TAG``                 ``openclip/MODEL/TAG@…``
``openclip/MODEL/file:WEIGHTS``        ``openclip/MODEL/sha256-…@…``
``openclip/file:FOLDER``               ``openclip/custom-512/sha256-…@…`` (512 numbers per image)
=====================================  =========================================================

A file is known by its content, so that it is the same encoder wherever it lies. Where it lies is
noted in a small file of this machine's (``paths.remembered_files``), written whenever somebody
names the file. Behind the ``@`` stands what the image goes through first.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..base.errors import EncoderError, GMIError
from ..base.json_file import JsonFile
from ..base.paths import remembered_files
from ..base.stamps import strict_stamp
from ..base.text import unknown
from .checksums import sha256_of

PREFIX = "openclip/"
INSTALL = "pip install open_clip_torch"
CONFIG_FILE = "open_clip_config.json"
#: In a folder, the first of these that exists holds the weights.
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

_FILE, _HASH, _CUSTOM = "file:", "sha256-", "custom-"
#: Of this process, for machines where the notes cannot be written.
_noted: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True)
class Name:
    """A name, taken apart.

    Attributes:
        model: open_clip's name of the architecture, or ``custom-<numbers per image>``.
        weights: a tag of open_clip's, or ``sha256-…``.
        preprocessing: what stood behind the ``@``, or "".
    """

    model: str
    weights: str
    preprocessing: str = ""

    @property
    def plain(self) -> str:
        """The name without the preprocessing."""
        return f"{PREFIX}{self.model}/{self.weights}"

    @property
    def local(self) -> bool:
        """Whether the weights are a file of this machine's."""
        return self.weights.startswith(_HASH)


@dataclass(frozen=True)
class Local:
    """Weights of this machine's: the file, open_clip's config, and the folder around both."""

    path: Path
    config: dict[str, Any]
    sha256: str = ""
    preprocess: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None


def parse(name: str) -> Name:
    """Take a name or id apart. A file that is named is hashed, and noted.

    Raises:
        EncoderError: the name is incomplete, or there is no such file.
    """
    rest = name.removeprefix(PREFIX)
    model, here, path = f"/{rest}".partition(f"/{_FILE}")
    if here:
        found, local = _look(model.removeprefix("/"), _absolute(path))
        _note(found, local)
        return found
    plain, _, preprocessing = rest.partition("@")
    model, _, weights = plain.partition("/")
    if not model or not weights:
        raise EncoderError(
            f"'{name}' is not complete. Write {PREFIX}MODEL/TAG (see gmi encoders --openclip), "
            f"{PREFIX}MODEL/{_FILE}WEIGHTS or {PREFIX}{_FILE}FOLDER."
        )
    if not weights.startswith(_HASH):
        weights = weights.lower().replace("-", "_")  # as open_clip does
    return Name(model, weights, preprocessing)


def dim_of(model: str) -> int:
    """Numbers per image.

    Raises:
        EncoderError: unknown model, or open_clip is not installed.
    """
    size = model.removeprefix(_CUSTOM)
    if size != model and size.isascii() and size.isdigit() and 0 < int(size) < 1 << 20:
        return int(size)
    return int(config_of(model)["embed_dim"])


def config_of(model: str) -> dict[str, Any]:
    """A copy of open_clip's config of an architecture, read without importing open_clip.

    Raises:
        EncoderError: unknown model, or open_clip is not installed.
    """
    package = importlib.util.find_spec("open_clip")
    if package is None or not package.submodule_search_locations:
        raise EncoderError(
            f"Encoders named {PREFIX}… need the package open_clip_torch, which is not installed: "
            f"{INSTALL}"
        )
    folder = Path(package.submodule_search_locations[0]) / "model_configs"
    files = {path.stem: path for path in folder.glob("*.json")}
    if model in files:
        config: dict[str, Any] = json.loads(files[model].read_text(encoding="utf-8"))
        return config
    imported: Any = sys.modules.get("open_clip")  # others may have added models to it
    added = imported.get_model_config(model) if imported is not None else None
    if isinstance(added, dict):
        return added
    raise EncoderError(unknown("model of open_clip", model, sorted(files)))


# -- files of this machine's -----------------------------------------------------------------------


def locate(name: Name) -> Local:
    """The file behind ``sha256-…``, as long as it is still the same.

    Raises:
        EncoderError: it was never named on this machine, is gone, or was replaced.
    """
    row = _notes().get(name.plain)
    custom = name.model.startswith(_CUSTOM)
    what, how = ("folder", "") if custom else ("file", f"{name.model}/")
    again = f"Name the {what} once, for instance: gmi encoders --remember {PREFIX}{how}{_FILE}…"
    if row is None:
        raise EncoderError(f"{name.plain}: these weights are not known on this machine. {again}")
    path = Path(row["path"])
    if not path.is_file():
        raise EncoderError(f"{path}: the weights of {name.plain} are no longer there. {again}")
    now, local = _look("", path.parent) if custom else _look(name.model, path)
    if now.plain != name.plain:
        raise EncoderError(
            f"{path}: was replaced; it now is {now.plain}, not {name.plain}. {again}"
        )
    _note(now, local)
    return local


def _look(model: str, path: Path) -> tuple[Name, Local]:
    """What a file of weights is; without a model, a folder that holds weights and their config."""
    if not model:
        return _look_into(path)
    config = config_of(model)
    if path.is_dir():
        raise EncoderError(
            f"{path}: is a folder. Name the file in it, or, if it holds {CONFIG_FILE}, write "
            f"{PREFIX}{_FILE}{path}"
        )
    digest = _sha256(path)
    return Name(model, _HASH + digest[:16]), Local(path, config, digest)


def _look_into(folder: Path) -> tuple[Name, Local]:
    weights = next((folder / n for n in WEIGHT_FILES if (folder / n).is_file()), None)
    if weights is None or not (folder / CONFIG_FILE).is_file():
        raise EncoderError(
            f"{folder}: needs {CONFIG_FILE} and {' or '.join(WEIGHT_FILES)} in it. Weights of a "
            f"known architecture go by themselves: {PREFIX}MODEL/{_FILE}WEIGHTS."
        )
    try:
        described = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        config = described.get("model_cfg", described)
        preprocess = described.get("preprocess_cfg", {})
        dim = int(config["embed_dim"])
        parts = (preprocess, config["vision_cfg"], config["text_cfg"])
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise EncoderError(
            f"{folder / CONFIG_FILE}: is not a config of open_clip's (embed_dim, vision_cfg and "
            "text_cfg, by themselves or under model_cfg)."
        ) from None
    digest = _sha256(weights)
    # The same weights in another network are another encoder.
    both = hashlib.sha256((digest + json.dumps(config, sort_keys=True)).encode()).hexdigest()
    name = Name(f"{_CUSTOM}{dim}", _HASH + both[:16])
    return name, Local(weights, config, digest, preprocess, folder)


def _absolute(path: str) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:  # ~somebody who does not exist
        raise EncoderError(f"{path}: there is no such home folder.") from None


def _sha256(path: Path) -> str:
    """Of a file that may have gigabytes: computed once for each version of it."""
    now = strict_stamp(path)
    for row in _notes().values():
        if now and (row["path"], row["stamp"]) == (str(path), now):
            return str(row["sha256"])
    return sha256_of(path)


def _notes() -> dict[str, dict[str, Any]]:
    """Path, stamp and sha256 of the weights of each encoder that was named here."""
    return {**_noted, **_file().cached()}


def _file() -> JsonFile[dict[str, dict[str, Any]]]:
    return JsonFile(remembered_files(), _checked, dict, indent=1)


def _checked(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: row
        for name, row in rows.items()
        if isinstance(row["path"], str) and isinstance(row["sha256"], str) and row["stamp"] != 0
    }


def _note(name: Name, local: Local) -> None:
    row = {"path": str(local.path), "stamp": strict_stamp(local.path), "sha256": local.sha256}
    _noted[name.plain] = row
    file = _file()
    if file.cached().get(name.plain) == row:
        return
    # Without the note people have to name the file again: no reason to stop now.
    with contextlib.suppress(GMIError, OSError), file.locked():
        file.write({**file.cached(), name.plain: row})


# -- preprocessing ---------------------------------------------------------------------------------

_NORMALISATIONS = {
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class Preprocess:
    """What open_clip does to an image first: resize, crop or pad, normalise."""

    size: tuple[int, int]
    resize: str = "shortest"
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = _NORMALISATIONS["clip"][0]
    std: tuple[float, ...] = _NORMALISATIONS["clip"][1]

    @classmethod
    def of(cls, config: Mapping[str, Any], wanted: Mapping[str, Any]) -> Preprocess:
        """Out of a model's config and what its weights were trained with."""
        size = config["vision_cfg"].get("image_size", 224)
        height, width = size if isinstance(size, Sequence) else (size, size)
        return cls(
            (int(height), int(width)),
            str(wanted.get("resize_mode") or cls.resize),
            str(wanted.get("interpolation") or cls.interpolation),
            _three(wanted.get("mean") or cls.mean),
            _three(wanted.get("std") or cls.std),
        )

    def __str__(self) -> str:
        height, width = self.size
        side = f"{height}" if height == width else f"{height}x{width}"
        numbers = (self.mean, self.std)
        near = [name for name, known in _NORMALISATIONS.items() if known == numbers]
        colour = near[0] if near else hashlib.sha256(repr(numbers).encode()).hexdigest()[:8]
        return f"{side}-{self.resize}-{self.interpolation}-{colour}"


def _three(values: Any) -> tuple[float, ...]:
    if isinstance(values, Sequence):
        return tuple(float(value) for value in values)
    return (float(values),) * 3
