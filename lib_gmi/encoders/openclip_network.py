"""A network of open_clip's, made for its weights, with the preprocessing they were trained with."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import logging
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import EncoderError, MissingExtraError
from . import openclip_weights as files
from .openclip_names import INSTALL, PREFIX, Local, Name, Preprocess, config_of, locate
from .registry import unknown

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..records.protocols import FloatArray

_making = threading.Lock()


def package() -> Any:
    """open_clip itself.

    Raises:
        EncoderError: it is not installed, or cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports
            import open_clip
    except ImportError as error:
        raise EncoderError(
            f"Encoders named {PREFIX}… need the package open_clip_torch, which cannot be used "
            f"here ({error}): {INSTALL}"
        ) from None
    return open_clip


@dataclass(frozen=True)
class Network:
    """A network that is in memory. Calls are independent of each other and of the thread."""

    model: Any
    transform: Callable[[Image.Image], torch.Tensor]
    preprocess: Preprocess
    device: str
    half: bool
    context: int
    tokenizer: Callable[[], Any]

    def images(self, images: Sequence[Image.Image]) -> FloatArray:
        """Embeddings of RGB images, not of unit length, float32 ``[n, dim]``."""
        import torch

        with torch.inference_mode():
            pixels = torch.stack([self.transform(image) for image in images]).to(self.device)
            pixels = pixels.half() if self.half else pixels
            return _array(self.model.encode_image(pixels, normalize=False))

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Embeddings of texts, not of unit length, float32 ``[n, dim]``."""
        import torch

        tokens = self.tokenizer()(list(texts), self.context)
        with torch.inference_mode():
            return _array(self.model.encode_text(tokens.to(self.device), normalize=False))

    def overflows(self, text: str) -> bool:
        """Whether a text has more tokens than the context: then one more would be used."""
        rows = self.tokenizer()([text, ""], self.context + 1)
        return bool(rows[0, -1] != rows[1, -1])


def _array(rows: torch.Tensor) -> FloatArray:
    found: FloatArray = rows.float().cpu().numpy()
    return found


@dataclass(frozen=True)
class Source:
    """Everything that is needed to make a network, before anything is loaded."""

    name: Name
    config: dict[str, Any]
    preprocess: Preprocess
    local: Local | None
    download: files.Download | None

    def weights(self, allow_download: bool | None = None) -> Path:
        """The file with the weights; downloaded only where that is allowed.

        Raises:
            MissingExtraError: not on this machine, and not allowed to be downloaded.
            EncoderError: damaged, or the download failed.
        """
        if self.local is not None:
            return self.local.path
        assert self.download is not None
        found = self.download.find()
        if found is not None:
            return found
        if files.allowed(files.ALLOW_DOWNLOAD, allow_download):
            return self.download.fetch()
        raise MissingExtraError(
            f"The weights of {self.name.plain} are not on this machine ({self._size()}). Allow "
            f"their download with --download or {files.ALLOW_DOWNLOAD}=1. "
            + self.download.how_by_hand
        )

    def _size(self) -> str:
        with contextlib.suppress(Exception):  # some architectures cannot be made without memory
            config = self.localised(allow_download=False)
            return f"about {parameters(config) * 4 / 1e6:,.0f} MB, or half as much"
        return "of unknown size; most have 0.3 to 5 GB"

    def localised(self, allow_download: bool | None = None) -> dict[str, Any]:
        """The config, with everything of the hub's in it replaced by folders of this machine's.

        Raises:
            MissingExtraError: the text tower's description is not on this machine.
            EncoderError: the image tower would come from the hub.
        """
        config: dict[str, Any] = json.loads(json.dumps(self.config))
        vision, text = config["vision_cfg"], config["text_cfg"]
        if ":" in str(vision.get("timm_model_name", "")):
            raise EncoderError(
                f"{self.name.plain}: its config takes the image tower from elsewhere "
                f"({vision['timm_model_name']}). That is not supported."
            )
        if "timm_model_name" in vision:
            vision["timm_model_pretrained"] = False
        download = files.allowed(files.ALLOW_DOWNLOAD, allow_download)
        if "hf_model_name" in text:
            repository = str(text["hf_model_name"])
            text["hf_model_name"] = str(
                files.hub_folder(repository, "config.json", self.name.plain, download)
            )
            text["hf_model_pretrained"] = False
        if text.get("hf_tokenizer_name"):
            with contextlib.suppress(MissingExtraError):  # images do without
                text["hf_tokenizer_name"] = str(self._tokenizer_folder(download))
        return config

    def _tokenizer_folder(self, download: bool) -> Path:
        repository = str(self.config["text_cfg"]["hf_tokenizer_name"])
        folder = self.local.folder if self.local is not None else None
        if folder is not None and (folder / "tokenizer_config.json").is_file():
            return folder
        return files.hub_folder(repository, "tokenizer_config.json", self.name.plain, download)

    def load(self, device: str, half: bool | None = None) -> Network:
        """Make the network and put its weights into it.

        Args:
            device: such as ``cpu``, ``cuda`` or ``mps``.
            half: half precision; by default on CUDA, for architectures that are made for it.

        Raises:
            EncoderError: no such device; damaged weights, or of another architecture.
            MissingExtraError: the weights are not on this machine.
        """
        import torch

        _check_device(device)
        path = self.weights()
        if half is None:
            half = _made_for_half(self.config) and device.startswith("cuda")
        config = self.localised()
        name, model, transform = _make(config, self.preprocess, "fp16" if half else "fp32")
        trusted = self.download is not None and len(self.download.checksum) == 64
        trusted = trusted and self.download is not None and path == self.download.url_target
        state = files.read_state(path, trusted=trusted)
        files.fit(model, state, path, self.name.model)
        del state
        try:
            model = model.eval().requires_grad_(False).to(torch.device(device))
        except RuntimeError as error:
            raise EncoderError(
                f"{self.name.plain} cannot be put on '{device}' "
                f"({str(error).strip().splitlines()[0]}). Let it run on the CPU, or free memory."
            ) from None
        return Network(
            model=model,
            transform=transform,
            preprocess=self.preprocess,
            device=device,
            half=half,
            context=int(config["text_cfg"].get("context_length", 77)),
            tokenizer=_Once(lambda: self._tokenizer(name, config)),
        )

    def _tokenizer(self, name: str, config: dict[str, Any]) -> Any:
        text = config["text_cfg"]
        if text.get("hf_tokenizer_name"):
            allowed = files.allowed(files.ALLOW_DOWNLOAD)
            text["hf_tokenizer_name"] = str(self._tokenizer_folder(allowed))
            name = _register(config)
        make = package().get_tokenizer
        if text.get("tokenizer_kwargs") and "context_length" not in _parameters(make):
            raise EncoderError(
                f"{self.name.plain}: its texts need a newer open_clip_torch: {INSTALL} --upgrade"
            )
        try:
            with _quiet():
                return make(name)
        except Exception as error:  # transformers and its tokenizers raise all kinds
            raise EncoderError(
                f"The tokenizer of {self.name.plain} cannot be loaded "
                f"({type(error).__name__}: {error})."
            ) from None


def source(name: Name) -> Source:
    """What a name stands for, without loading weights.

    Raises:
        EncoderError: unknown model or tag; no such file; open_clip is not installed.
    """
    open_clip = package()
    if name.local:
        local = locate(name)
        wanted = local.preprocess or _common(open_clip, name.model)
        return Source(name, local.config, Preprocess.of(local.config, wanted), local, None)
    config = config_of(name.model)
    row = open_clip.get_pretrained_cfg(name.model, name.weights)
    if not row:
        tags = open_clip.list_pretrained_tags_by_model(name.model)
        if not tags:
            raise EncoderError(
                f"open_clip knows no weights of {name.model}. Name a file of your own: "
                f"{PREFIX}{name.model}/file:WEIGHTS"
            )
        raise EncoderError(unknown(f"weights of {name.model}", name.weights, tags))
    by_hand = name.model
    if (row.get("quick_gelu") or name.weights == "openai") and not config.get("quick_gelu"):
        # As they were trained. Newer versions of open_clip only warn, and compute something else.
        config["quick_gelu"] = True
        by_hand = f"{name.model}-quickgelu"
    download = files.Download.of(name.plain, f"{PREFIX}{by_hand}/file:", row)
    return Source(name, config, Preprocess.of(config, row), None, download)


def _common(open_clip: Any, model: str) -> dict[str, Any]:
    """How images go into this architecture, if all weights that open_clip knows agree."""
    keys = ("mean", "std", "interpolation", "resize_mode")
    tags = open_clip.list_pretrained_tags_by_model(model)
    rows = [open_clip.get_pretrained_cfg(model, tag) for tag in tags]
    found = [{key: row.get(key) for key in keys} for row in rows]
    return found[0] if found and all(row == found[0] for row in found) else {}


def parameters(config: dict[str, Any]) -> int:
    """How many numbers a network has, counted without making room for them."""
    import torch

    with torch.device("meta"), _quiet():
        model = package().create_model(_register(config), device="meta", pretrained_hf=False)
    return sum(parameter.numel() for parameter in model.parameters())


def _made_for_half(config: dict[str, Any]) -> bool:
    return not {"timm_model_name"} & {*config["vision_cfg"]} and not {"hf_model_name"} & {
        *config["text_cfg"]
    }


def _check_device(device: str) -> None:
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise EncoderError(f"'{device}' is not a device. Use cpu, cuda or mps.") from None
    there: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if kind in there and not there[kind]():
        raise EncoderError(f"There is no device '{device}' here. Use cpu.")


def _make(config: dict[str, Any], preprocess: Preprocess, precision: str) -> tuple[str, Any, Any]:
    """A network with random weights on the CPU, and its transform of images."""
    open_clip = package()
    make = open_clip.create_model_and_transforms
    arguments: dict[str, Any] = {"image_mean": preprocess.mean, "image_std": preprocess.std}
    if "image_resize_mode" in _parameters(make):
        arguments["image_interpolation"] = preprocess.interpolation
        arguments["image_resize_mode"] = preprocess.resize
    elif (preprocess.resize, preprocess.interpolation) != ("shortest", "bicubic"):
        raise EncoderError(
            f"This open_clip_torch cannot prepare images as {preprocess}: {INSTALL} --upgrade"
        )
    name = _register(config)
    try:
        with _quiet():
            model, _, transform = make(
                name, precision=precision, device="cpu", pretrained_hf=False, **arguments
            )
    except Exception as error:  # a config can be wrong in every way
        raise EncoderError(
            f"open_clip cannot make a network of this config ({type(error).__name__}: {error})."
        ) from None
    return name, model, transform


def _register(config: dict[str, Any]) -> str:
    """Make a config known to open_clip under a name of ours. It keeps no other way of passing it.

    Built-in models get one too: so that their towers come from folders, never from the hub.
    """
    text = json.dumps(config, sort_keys=True)
    # Versions before 2.24 go by the name to tell CoCa from CLIP.
    kind = "coca-" if "multimodal_cfg" in config else ""
    name = f"gmi-{kind}{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    with _making, tempfile.TemporaryDirectory() as folder:
        if package().get_model_config(name) is None:
            path = Path(folder) / f"{name}.json"
            path.write_text(text, encoding="utf-8")
            package().add_model_config(path)
    return name


def _parameters(function: Any) -> Any:
    return inspect.signature(function).parameters


class _Once:
    """Makes something when it is first asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[Any] = []

    def __call__(self) -> Any:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without open_clip's lines in the root log, and warnings about what is meant to be so."""

    def ours(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root = logging.getLogger()
    # With no handler at all, its first line would set up logging for the whole process.
    silent = logging.NullHandler()
    root.addHandler(silent)
    root.addFilter(ours)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(ours)
        root.removeHandler(silent)
