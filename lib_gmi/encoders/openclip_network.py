"""A network of open_clip's, made for its weights, with the preprocessing they were trained with."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import json
import logging
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import EncoderError, MissingExtraError
from ..base.text import printable, unknown
from . import openclip_weights as files
from .openclip_names import INSTALL, PREFIX, Local, Name, Preprocess, config_of, locate

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..records.protocols import FloatArray

#: The most characters of a text that are looked at, for each token of the context. Words have 4 to
#: 6 for each; reading much more would only take time.
_CHARACTERS_PER_TOKEN = 16

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


@dataclass
class Network:
    """A network that is in memory. Calls are independent of each other and of the thread."""

    model: Any
    transform: Callable[[Image.Image], torch.Tensor]
    preprocess: Preprocess
    device: str
    half: bool
    context: int
    tokenizer: Callable[[], Any]  # made when the first text comes: images do without

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

        tokens = self.tokenizer()([self._cut(text)[0] for text in texts], self.context)
        with torch.inference_mode():
            return _array(self.model.encode_text(tokens.to(self.device), normalize=False))

    def overflows(self, text: str) -> bool:
        """Whether a text has more tokens than the context: then one more would be used."""
        text, shortened = self._cut(text)
        rows = self.tokenizer()([text, ""], self.context + 1)
        return shortened or bool(rows[0, -1] != rows[1, -1])

    def _cut(self, text: str) -> tuple[str, bool]:
        """A text that every tokenizer takes, and whether it was cut."""
        text = printable(text)  # halves of characters, from broken files
        limit = self.context * _CHARACTERS_PER_TOKEN
        if len(text) <= limit:
            return text, False
        text = " ".join(text.split())  # tokenizers do the same
        return text[:limit], len(text) > limit


def _array(rows: torch.Tensor) -> FloatArray:
    found: FloatArray = rows.float().cpu().numpy()
    return found


@dataclass(frozen=True)
class Source:
    """What a network is made from: names, files and sizes. Nothing is loaded yet."""

    name: Name
    config: dict[str, Any]
    preprocess: Preprocess
    place: Local | files.Download

    def weights(self, allow_download: bool | None = None) -> Path:
        """The file with the weights; downloaded only where that is allowed.

        Raises:
            MissingExtraError: not on this machine, and not allowed to be downloaded.
            EncoderError: damaged, or the download failed.
        """
        if isinstance(self.place, Local):
            return self.place.path
        found = self.place.find()
        if found is not None:
            return found
        if files.allowed(files.ALLOW_DOWNLOAD, allow_download):
            return self.place.fetch()
        raise MissingExtraError(
            f"The weights of {self.name.plain} are not on this machine ({self._size()}). Allow "
            f"their download with --download or {files.ALLOW_DOWNLOAD}=1. {self.place.how_by_hand}"
        )

    def _size(self) -> str:
        """Counted from the architecture, without making room for its numbers."""
        import torch

        with contextlib.suppress(Exception):  # some architectures cannot be made without memory
            name = _register(self.localised(allow_download=False))
            with torch.device("meta"), _quiet():
                model = package().create_model(name, device="meta", pretrained_hf=False)
            count = sum(parameter.numel() for parameter in model.parameters())
            return f"about {count * 4 / 1e6:,.0f} MB, or half as much"
        return "of unknown size; most have 0.3 to 5 GB"

    def localised(self, allow_download: bool | None = None) -> dict[str, Any]:
        """The config, with everything of the hub's in it replaced by folders of this machine's.

        Raises:
            MissingExtraError: the text tower's description is not on this machine.
            EncoderError: the image tower would come from the hub.
        """
        config = copy.deepcopy(self.config)
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
            folder = files.hub_folder(repository, "config.json", self.name.plain, download)
            text.update(hf_model_name=str(folder), hf_model_pretrained=False)
        with contextlib.suppress(MissingExtraError):  # images do without
            self._localise_tokenizer(text, download)
        return config

    def _localise_tokenizer(self, text: dict[str, Any], download: bool) -> None:
        if not text.get("hf_tokenizer_name"):
            return
        file = "tokenizer_config.json"
        folder = self.place.folder if isinstance(self.place, Local) else None
        if folder is None or not (folder / file).is_file():
            repository = str(text["hf_tokenizer_name"])
            folder = files.hub_folder(repository, file, self.name.plain, download)
        text["hf_tokenizer_name"] = str(folder)

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

        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise EncoderError(
                f"There is no device '{device}' here ({files.first_line(error)}). Use cpu, cuda "
                "or mps."
            ) from None
        path = self.weights()
        config = self.localised()
        if half is None:
            foreign = (
                "timm_model_name" in config["vision_cfg"] or "hf_model_name" in config["text_cfg"]
            )
            half = device.startswith("cuda") and not foreign
        name = _register(config)
        model, transform = self._made(name, "fp16" if half else "fp32")
        trusted = isinstance(self.place, files.Download) and self.place.trusts(path)
        files.fit(model, files.read_state(path, trusted=trusted), path, self.name.model)
        try:
            model = model.eval().requires_grad_(False).to(torch.device(device))
        except RuntimeError as error:
            raise EncoderError(
                f"{self.name.plain} cannot be put on '{device}' ({files.first_line(error)}). Let "
                "it run on the CPU, or free memory."
            ) from None
        context = int(config["text_cfg"].get("context_length", 77))
        tokenizer = cache(partial(self._tokenizer, config))
        return Network(model, transform, self.preprocess, device, half, context, tokenizer)

    def _made(self, name: str, precision: str) -> tuple[Any, Any]:
        """A network with random weights on the CPU, and its transform of images."""
        make, wanted = package().create_model_and_transforms, self.preprocess
        arguments: dict[str, Any] = {"image_mean": wanted.mean, "image_std": wanted.std}
        if "image_resize_mode" in inspect.signature(make).parameters:
            arguments["image_interpolation"] = wanted.interpolation
            arguments["image_resize_mode"] = wanted.resize
        elif (wanted.resize, wanted.interpolation) != ("shortest", "bicubic"):
            raise EncoderError(
                f"This open_clip_torch cannot prepare images as {wanted}: {INSTALL} --upgrade"
            )
        try:
            with _quiet():
                model, _, transform = make(
                    name, precision=precision, device="cpu", pretrained_hf=False, **arguments
                )
        except Exception as error:  # a config can be wrong in every way
            raise EncoderError(
                f"open_clip cannot make a network of this config ({files.first_line(error)})."
            ) from None
        return model, transform

    def _tokenizer(self, config: dict[str, Any]) -> Any:
        """Of a network with this config.

        Raises:
            MissingExtraError: its files are not on this machine.
            EncoderError: it cannot be made of them.
        """
        text, make = config["text_cfg"], package().get_tokenizer
        self._localise_tokenizer(text, files.allowed(files.ALLOW_DOWNLOAD))
        if (
            text.get("tokenizer_kwargs")
            and "context_length" not in inspect.signature(make).parameters
        ):
            raise EncoderError(
                f"{self.name.plain}: its texts need a newer open_clip_torch: {INSTALL} --upgrade"
            )
        try:
            with _quiet():
                return make(_register(config))
        except Exception as error:  # transformers and its tokenizers raise all kinds
            raise EncoderError(
                f"The tokenizer of {self.name.plain} cannot be loaded ({files.first_line(error)})."
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
        return Source(name, local.config, Preprocess.of(local.config, wanted), local)
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
    return Source(name, config, Preprocess.of(config, row), download)


def _common(open_clip: Any, model: str) -> dict[str, Any]:
    """How images go into this architecture, if all weights that open_clip knows agree."""
    keys = ("mean", "std", "interpolation", "resize_mode")
    tags = open_clip.list_pretrained_tags_by_model(model)
    rows = [open_clip.get_pretrained_cfg(model, tag) for tag in tags]
    found = [{key: row.get(key) for key in keys} for row in rows]
    return found[0] if found and all(row == found[0] for row in found) else {}


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
