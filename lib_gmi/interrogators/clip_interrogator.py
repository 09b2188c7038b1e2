"""The package clip-interrogator (pharmapsychotic, 0.6.0): a caption, then phrases that CLIP likes.

The package would download its models, and tables of embeddings, without asking. Here it is handed
models that were loaded from this machine, safetensors only, and its downloads are switched off.
Where its models are is told by three variables:

* ``GMI_CAPTION_MODEL``: a folder with a BLIP, BLIP-2 or GIT model as transformers keeps them, or
  one of the package's names, for instance ``blip-large``, that is in transformers' cache;
* ``GMI_CLIP_MODEL``: a name of open_clip, for instance ``ViT-L-14/openai``;
* ``GMI_CLIP_WEIGHTS``: its weights, a ``.safetensors`` file; else open_clip's cache is searched.

Before the first image the package embeds 105,000 phrases: minutes on a graphics card, hours on a
CPU. The tables are kept in the folder ``clip-interrogator`` of the library; tables for
``ViT-L-14/openai`` that its author offers can be put there by hand.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import (
    EncoderError,
    GMIError,
    InterrogationStoppedError,
    InterrogatorError,
    MissingExtraError,
)
from ..base.paths import default_library_folder
from ..encoders.checksums import sha256_of
from ..encoders.openclip_names import Local, Name, Preprocess, config_of
from ..encoders.openclip_network import Network, Source, package
from ..encoders.openclip_weights import Download
from ..records.protocols import Progress, PseudoPrompt, SilentProgress

if TYPE_CHECKING:
    from PIL import Image

NAME = "clip-interrogator"
MODES = {
    "fast": "the package clip-interrogator: a caption and the phrases that fit best",
    "classic": "the same in the order that prompts for Stable Diffusion 1 had",
    "best": "the same, phrase after phrase as long as it gets better; slow",
}
_METHODS = {"fast": "interrogate_fast", "classic": "interrogate_classic", "best": "interrogate"}
#: Roughly so many times a mode asks for embeddings of texts.
_STEPS = {"fast": 1, "classic": 1, "best": 70}
_PHRASES_AT_ONCE = 2048
_SIZES = {"blip-base": "1 GB", "blip-large": "1.9 GB", "git-large-coco": "1.6 GB"}
#: Of one process: two images at the same time would need twice the memory.
_lock = threading.Lock()


@dataclass(frozen=True)
class Models:
    """Which models the package works with; see the module's docstring."""

    caption: str = "blip-large"
    clip: str = "ViT-L-14/openai"
    weights: str = ""

    @classmethod
    def chosen(cls) -> Models:
        """What the variables of the environment say."""
        get = os.environ.get
        return cls(
            get("GMI_CAPTION_MODEL") or cls.caption,
            get("GMI_CLIP_MODEL") or cls.clip,
            get("GMI_CLIP_WEIGHTS") or cls.weights,
        )


class ClipInterrogator:
    """See the module's docstring.

    Args:
        mode: ``fast``, ``classic`` or ``best``.
        models: which; those of the environment by default.
        device: that they run on.
        tables: folder for the tables; the library's by default.
    """

    slow = True

    def __init__(
        self,
        mode: str = "fast",
        models: Models | None = None,
        device: str = "cpu",
        tables: Path | None = None,
    ) -> None:
        self.mode, self.models, self._device = mode, models or Models.chosen(), device
        self.name = f"{NAME}:{mode}"
        self._tables = tables or default_library_folder() / NAME

    @property
    def version(self) -> str:
        """Other models say other things."""
        m = self.models
        return hashlib.sha256(f"0.6.0 {m.caption} {m.clip} {m.weights}".encode()).hexdigest()[:16]

    def interrogate(
        self,
        image: Image.Image,
        progress: Progress | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> PseudoPrompt | None:
        """See :class:`..protocols.Interrogator`.

        Raises:
            MissingExtraError: the package or a model is not on this machine.
            InterrogatorError: the package does not work with what is installed.
            InterrogationStoppedError: the user asked to stop.
        """
        with _lock:
            watch = _Watch(progress or SilentProgress(), stopped or (lambda: False))
            watch.look()
            parts = _parts(self.models, self._device)
            with _explained():
                working = self._working(parts, watch)
                watch.begin("Describing", _STEPS[self.mode])
                text = getattr(working, _METHODS[self.mode])(image.convert("RGB"))
            # a model that has no caption leaves the comma after it
            return PseudoPrompt(str(text).strip(" ,"), self.name)

    def _working(self, parts: _Parts, watch: _Watch) -> Any:
        """The package's interrogator around our models; it fills its tables on the way."""
        import clip_interrogator

        config = clip_interrogator.Config(
            caption_model_name=f"{parts.kind}-given",  # it only looks at the beginning
            clip_model_name=self.models.clip,
            cache_path=str(self._tables / parts.fingerprint),
            download_cache=False,
            chunk_size=_PHRASES_AT_ONCE,
            device=self._device,
            quiet=True,
        )
        config.caption_model = _WatchedCaptions(parts.caption, watch)
        config.caption_processor = parts.processor
        config.clip_model = _WatchedClip(parts.clip, watch)
        config.clip_preprocess = parts.preprocess
        watch.begin("Embedding phrases (only the first time)", 105_000 // _PHRASES_AT_ONCE)
        return clip_interrogator.Interrogator(config)


# -- models ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parts:
    kind: str  # blip, blip2 or git
    caption: Any
    processor: Any
    clip: Any
    preprocess: Any
    fingerprint: str


@lru_cache(maxsize=1)
def _parts(models: Models, device: str) -> _Parts:
    """The models, loaded once a process."""
    for module, needed in (("clip_interrogator", NAME), ("open_clip", "open_clip_torch")):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(
                f"The interrogator {NAME} needs the package {needed}: pip install --no-deps "
                f"{needed}. Its models, about 3.6 GB, are to be placed by hand: "
                "docs/interrogators.md."
            )
    with _explained():
        weights = _weights(models)
        kind, caption, processor = _caption(models.caption)
        clip = _clip(models.clip, weights, device)
    fingerprint = sha256_of(weights)[:16]
    return _Parts(kind, caption.to(device), processor, clip.model, clip.transform, fingerprint)


def _caption(name: str) -> tuple[str, Any, Any]:
    import transformers
    from clip_interrogator.clip_interrogator import CAPTION_MODELS

    library: Any = transformers  # untyped
    place = name if Path(name).is_dir() else CAPTION_MODELS.get(name)
    if place is None:
        raise InterrogatorError(
            f"GMI_CAPTION_MODEL={name}: is neither a folder nor one of {', '.join(CAPTION_MODELS)}."
        )
    local: dict[str, Any] = {"local_files_only": True}
    try:
        kind = str(library.AutoConfig.from_pretrained(place, **local).model_type)
        loader = {
            "blip": "BlipForConditionalGeneration",
            "blip-2": "Blip2ForConditionalGeneration",
            "git": "AutoModelForCausalLM",
        }.get(kind)
        if loader is None:
            raise InterrogatorError(
                f"GMI_CAPTION_MODEL={name}: holds a model of the kind '{kind}'. Known are BLIP, "
                "BLIP-2 and GIT."
            )
        load = getattr(library, loader).from_pretrained
        model = load(place, use_safetensors=True, **local).float().eval()
        processor = library.AutoProcessor.from_pretrained(place, **local)
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise MissingExtraError(
            f"The caption model {name} ({_SIZES.get(name, '1 to 16 GB')}) is not on this machine "
            f"as safetensors ({reason}). Nothing is downloaded here: place its folder anywhere and "
            "name it in GMI_CAPTION_MODEL."
        ) from None
    return kind.replace("-", ""), model, processor


def _weights(models: Models) -> Path:
    """The file with CLIP's weights."""
    if models.weights:
        path = Path(models.weights).expanduser()
        if not path.is_file():
            raise MissingExtraError(f"GMI_CLIP_WEIGHTS={path}: there is no such file.")
        if path.suffix != ".safetensors":
            raise InterrogatorError(
                f"GMI_CLIP_WEIGHTS={path}: is no .safetensors file. Others can run programs when "
                "they are read; get the weights as safetensors."
            )
        return path
    row = package().get_pretrained_cfg(*models.clip.partition("/")[::2]) or {}
    found = Download.of(models.clip, "", row).find()
    if found is None or found.suffix != ".safetensors":
        raise MissingExtraError(
            f"CLIP's weights for {models.clip} (1.7 GB for ViT-L-14) are not on this machine as "
            "safetensors. Nothing is downloaded here: place open_clip_model.safetensors anywhere "
            "and name it in GMI_CLIP_WEIGHTS."
        )
    return found


def _clip(name: str, weights: Path, device: str) -> Network:
    architecture, _, tag = name.partition("/")
    if not tag or architecture not in package().list_models():
        raise InterrogatorError(
            f"GMI_CLIP_MODEL={name}: is no model of open_clip. It should read like ViT-L-14/openai."
        )
    config = config_of(architecture)
    if tag == "openai":
        config["quick_gelu"] = True
    place = Local(weights, config)
    source = Source(Name(architecture, tag), config, Preprocess.of(config, {}), place)
    try:
        return source.load(device, half=False)
    except EncoderError as error:
        raise InterrogatorError(str(error)) from None


# -- progress and interruption --------------------------------------------------------------------


class _Watch:
    """Looks whether to stop each time that a model is asked, and counts these times."""

    def __init__(self, progress: Progress, stopped: Callable[[], bool]) -> None:
        self._progress, self._stopped = progress, stopped
        self._title, self._done, self._total = "", 0, 1

    def begin(self, title: str, total: int) -> None:
        self._title, self._done, self._total = title, 0, max(1, total)
        self.look()

    def look(self) -> None:
        if self._stopped():
            raise InterrogationStoppedError("The description was stopped.")

    def step(self) -> None:
        self.look()
        self._done = min(self._done + 1, self._total)
        self._progress.update(self._done, self._total, self._title)


class _Watched:
    """A model that can be called off. The package sees nothing else of it."""

    def __init__(self, model: Any, watch: _Watch) -> None:
        self._model, self._watch = model, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def to(self, *where: Any) -> Any:
        self._model.to(*where)
        return self


class _WatchedClip(_Watched):
    def encode_text(self, *tokens: Any, **options: Any) -> Any:
        self._watch.step()
        return self._model.encode_text(*tokens, **options)

    def encode_image(self, *pixels: Any, **options: Any) -> Any:
        self._watch.look()
        return self._model.encode_image(*pixels, **options)


class _WatchedCaptions(_Watched):
    def generate(self, **inputs: Any) -> Any:
        from transformers import StoppingCriteriaList

        def look(tokens: Any, scores: Any, **rest: Any) -> Any:
            import torch

            self._watch.look()  # between two words
            return torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)

        return self._model.generate(**inputs, stopping_criteria=StoppingCriteriaList([look]))


@contextmanager
def _explained() -> Iterator[None]:
    """Whatever the package and what it stands on raise, people get one sentence, and no warnings.

    The package asks for CUDA's autocast in an old way, also where there is no CUDA.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*autocast", category=FutureWarning)
            warnings.filterwarnings("ignore", message=r"(?s).*CUDA is not available")
            yield
    except GMIError:
        raise
    except MemoryError:
        raise InterrogatorError(f"{NAME} needs more memory than there is.") from None
    except Exception as error:
        from importlib.metadata import PackageNotFoundError, version

        parts = []
        for name in (NAME, "transformers", "open_clip_torch", "torch"):
            try:
                parts.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                parts.append(f"no {name}")
        raise InterrogatorError(
            f"{NAME} does not work here: {type(error).__name__}: {error}. Installed: "
            f"{', '.join(parts)}. Another interrogator may serve: docs/interrogators.md."
        ) from error
