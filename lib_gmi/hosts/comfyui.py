"""ComfyUI as a host. The one module of the core's side that knows ComfyUI's Python API.

Everything is loaded, sampled and decoded by ComfyUI's own functions, inside its own prompt queue;
importing this module imports none of them.
"""

from __future__ import annotations

import copy
import gc
import logging
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import HostError
from ..base.paths import library_folder_in
from ..checkpoints.full_hashes import FullHashes
from ..records.protocols import Candidate, GenerationRequest, GenerationSettings
from .installed import FileHost, distinct, file_candidate, unusable

if TYPE_CHECKING:
    from PIL import Image


#: Times the size of a checkpoint's file that loading it may need.
_ROOM = 2.5


def library_folder() -> Path:
    """The library's place in ComfyUI's user directory, or ``$GMI_LIBRARY``."""
    import folder_paths

    return library_folder_in(folder_paths.get_user_directory())


class ComfyHost(FileHost):
    """The running ComfyUI.

    Args:
        folder: where settings and caches are kept: the library's folder.
    """

    name = "comfyui"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.full_hashes = FullHashes(folder / "hashes.json")
        #: Of the models that others had loaded when we needed the memory.
        self._others: list[weakref.ref[Any]] = []

    def list_checkpoints(self) -> list[Candidate]:
        """Every file of every configured checkpoint folder, files added just now included."""
        import folder_paths

        hashed, candidates = self.hashed(), []
        for name in folder_paths.get_filename_list("checkpoints"):
            path = folder_paths.get_full_path("checkpoints", name)
            found = file_candidate(self.files, name, None if path is None else Path(path))
            identity = hashed.get(found.identity, found.identity)
            candidates.append(replace(found, identity=identity))
        self.files.save()
        return distinct(candidates)

    def choices(self) -> dict[str, list[str]]:
        """ComfyUI's samplers and schedulers, those of other extensions included."""
        from comfy.samplers import KSampler

        return {"samplers": list(KSampler.SAMPLERS), "schedulers": list(KSampler.SCHEDULERS)}

    def image_folders(self) -> list[Path]:
        """See :meth:`.service.candidates.InstalledHost.image_folders`."""
        import folder_paths

        return [Path(folder_paths.get_output_directory())]

    def preview_folders(self) -> list[Path]:
        """See :meth:`.service.candidates.InstalledHost.preview_folders`."""
        import folder_paths

        return [Path(folder) for folder in folder_paths.get_folder_paths("checkpoints")]

    def hashed(self) -> dict[str, str]:
        """Better identities of the files that :attr:`full_hashes` has read; ComfyUI hashes none."""
        return self.full_hashes.known()

    @contextmanager
    def session(self, candidate: Candidate) -> Iterator[ComfySession]:
        """Load a checkpoint with ComfyUI's own loader, and free its memory afterwards.

        Models that others have loaded stay where they are, as far as there is room for them.

        Raises:
            HostError: it is gone, or ComfyUI cannot load it.
        """
        gc.collect()  # an error keeps the checkpoint it speaks of alive until it is handled
        session = None
        others = _loaded()
        known = [reference() for reference in self._others]
        patchers = [loaded.model for loaded in others if loaded.model is not None]
        self._others += [weakref.ref(p) for p in patchers if all(p is not k for k in known)]
        del known, patchers
        try:
            session = ComfySession(*_load(candidate), candidate.title)
            yield session
        finally:
            if session is not None:
                session.close()
            _free_memory(others)

    def put_back(self) -> None:
        """Load again what others had loaded before our checkpoints needed the memory."""
        import comfy.model_management as memory

        models = [model for reference in self._others if (model := reference()) is not None]
        self._others.clear()
        try:
            if models:
                memory.load_models_gpu(models)
        except Exception:  # a courtesy: the next prompt loads what it needs
            logging.exception("Find Best Model: models could not be loaded again")

    def has_room(self, name: str) -> bool:
        """Whether a checkpoint can be loaded into this machine's memory beside all that is there.

        Not a promise: weights may be stored smaller than they are used.
        """
        import comfy.model_management as memory
        import folder_paths
        import torch

        path = folder_paths.get_full_path("checkpoints", name)
        if path is None:
            return False
        try:
            size = Path(path).stat().st_size
        except OSError:
            return False
        return bool(memory.get_free_memory(torch.device("cpu")) >= _ROOM * size)

    def switch(self, candidate: Candidate) -> None:
        """Raises:
        HostError: always; in ComfyUI the workflow decides what is loaded.
        """
        raise HostError(
            "ComfyUI has no current checkpoint. Wire the answer of Find Best Model into a loader, "
            "use Load Best Model, or press 'Use in workflow' in the sidebar."
        )

    def current(self) -> Candidate | None:
        return None

    def interrupted(self) -> bool:
        import comfy.model_management as memory

        return bool(memory.processing_interrupted())


class ComfySession:
    """A checkpoint that ComfyUI has loaded."""

    def __init__(self, model: Any, clip: Any, vae: Any, title: str) -> None:
        self._model, self._clip, self._vae, self._title = model, clip, vae, title
        self._conditioning: dict[tuple[str, int | None, float | None], Any] = {}
        self._vaes: dict[str, Any] = {}
        self._patched: Any = None

    def close(self) -> None:
        """Let go of everything that keeps weights in memory."""
        self._model = self._clip = self._vae = self._patched = None
        self._conditioning.clear()
        self._vaes.clear()

    def prepare(self, requests: Sequence[GenerationRequest], settings: GenerationSettings) -> None:
        """Embed all prompts while the text encoder is loaded: then it can make room once."""
        for request in requests:
            self._encode(request.text, settings)
            self._encode(request.negative, settings)

    def generate(self, request: GenerationRequest, settings: GenerationSettings) -> Image.Image:
        """One image through ComfyUI's sampler.

        Raises:
            HostError: ComfyUI could not generate with these settings.
            InterruptProcessingException: ComfyUI's own, when the user interrupts it.
        """
        import comfy.model_management as memory
        import nodes
        import torch

        width, height = settings.width or 512, settings.height or 512
        positive = self._encode(request.text, settings)
        negative = self._encode(request.negative, settings)
        with _as_host_error(self._title):
            device = memory.intermediate_device()
            vae = self._decoder(settings.vae)
            factor = _pixels_per_latent(vae)
            shape = [1, 4, max(height // factor, 1), max(width // factor, 1)]
            empty = torch.zeros(shape, device=device)
            latent = nodes.common_ksampler(
                self._sampling(settings),
                request.seed,
                settings.steps or 20,
                7.0 if settings.cfg is None else settings.cfg,
                settings.sampler or "euler",
                settings.scheduler or "normal",
                positive,
                negative,
                {"samples": empty},
            )[0]
            image = tensor_to_images(vae.decode(latent["samples"]))[0]
        if abs(image.width - width) > 2 * factor or abs(image.height - height) > 2 * factor:
            raise HostError(
                f"{self._title}: made {image.width}×{image.height} pixels instead of "
                f"{width}×{height}. Use it through a workflow with Specification Prompt and Add to "
                "Specification."
            )
        return image

    def _encode(self, text: str, settings: GenerationSettings) -> Any:
        guidance = settings.extra.get("guidance")
        key = (text, settings.clip_skip, guidance)
        if key not in self._conditioning:
            with _as_host_error(self._title):
                clip = self._clip
                if settings.clip_skip is not None and settings.clip_skip > 1:
                    clip = clip.clone()
                    clip.clip_layer(-settings.clip_skip)
                encoded = clip.encode_from_tokens_scheduled(clip.tokenize(text))
                if guidance is not None:
                    import node_helpers

                    values = {"guidance": float(guidance)}
                    encoded = node_helpers.conditioning_set_values(encoded, values)
            self._conditioning[key] = encoded
        return self._conditioning[key]

    def _sampling(self, settings: GenerationSettings) -> Any:
        """The model, patched where the settings know better than its file how it is sampled."""
        if self._patched is None:
            self._patched = _with_sampling(self._model, settings.extra)
        return self._patched

    def _decoder(self, name: str | None) -> Any:
        if name is None:
            return self._vae
        if name not in self._vaes:
            import nodes

            self._vaes[name] = nodes.VAELoader().load_vae(name)[0]
        return self._vaes[name]


def tensor_to_images(pixels: Any) -> list[Image.Image]:
    """ComfyUI's IMAGE ``[n, height, width, 3 or 4]`` (of videos: all frames) to Pillow images."""
    import numpy as np
    from PIL import Image

    array = pixels.detach().to("cpu").float().numpy()
    array = array.reshape(-1, *array.shape[-3:])
    # a broken checkpoint makes NaN; it becomes black and is recognised as broken later
    levels = (np.nan_to_num(array).clip(0, 1) * 255.0).round().astype(np.uint8)
    return [
        Image.fromarray(level.squeeze(-1) if level.shape[-1] == 1 else level) for level in levels
    ]


def image_to_tensor(image: Image.Image) -> Any:
    """An RGB image to ComfyUI's IMAGE ``[1, height, width, 3]``."""
    import numpy as np
    import torch

    array = np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0
    return torch.from_numpy(array)[None]


def _pixels_per_latent(vae: Any) -> int:
    """How many pixels a side a latent stands for: 8 for most VAEs, but not for all."""
    measure = getattr(vae, "spacial_compression_decode", None)
    return 8 if measure is None else max(int(measure()), 1)


def _with_sampling(model: Any, extra: Mapping[str, Any]) -> Any:
    """ComfyUI reads both from the file where it can; names and users tell the rest."""
    import nodes

    own = model.get_model_object("model_sampling")
    predicts_noise = getattr(model.model.model_type, "name", "") == "EPS"
    if extra.get("prediction") == "v" and predicts_noise:
        patch = nodes.NODE_CLASS_MAPPINGS["ModelSamplingDiscrete"]()
        return patch.patch(model, "v_prediction", zsnr=True)[0]
    shift = extra.get("shift")
    if shift is not None and getattr(own, "shift", shift) != shift:
        own = copy.deepcopy(own)
        multiplier = {"multiplier": own.multiplier} if hasattr(own, "multiplier") else {}
        own.set_parameters(shift=float(shift), **multiplier)
        model = model.clone()
        model.add_object_patch("model_sampling", own)
    return model


def _loaded() -> list[Any]:
    """ComfyUI's entries for the models that are in the accelerator's memory."""
    import comfy.model_management as memory

    return list(memory.current_loaded_models)


def _free_memory(others: Sequence[Any]) -> None:
    """Unload everything but what others had loaded."""
    import comfy.model_management as memory

    # a model of ours that has been unloaded to make room is in neither list
    for device in {loaded.device for loaded in memory.current_loaded_models}:
        memory.free_memory(1e30, device, [m for m in _loaded() if _is_among(m, others)])
    gc.collect()  # models and their patchers refer to each other
    memory.soft_empty_cache()


def _is_among(loaded: Any, others: Sequence[Any]) -> bool:
    model = loaded.model
    return model is not None and any(model is other.model for other in others)


def _load(candidate: Candidate) -> tuple[Any, Any, Any]:
    import comfy.sd
    import folder_paths

    path = folder_paths.get_full_path("checkpoints", candidate.name)
    if path is None:
        raise HostError(f"{candidate.title}: is not in ComfyUI's checkpoint folders any more.")
    with _as_host_error(candidate.title):
        model, clip, vae = comfy.sd.load_checkpoint_guess_config(
            path,
            output_vae=True,
            output_clip=True,
            embedding_directory=folder_paths.get_folder_paths("embeddings"),
        )[:3]
    missing = [
        part
        for part, loaded in (("text encoder", clip), ("diffusion model", model), ("VAE", vae))
        if loaded is None
    ]
    if missing:
        raise HostError(
            f"{candidate.title}: holds no {' and no '.join(missing)}. Use it through a workflow "
            "with Specification Prompt and Add to Specification."
        )
    return model, clip, vae


@contextmanager
def _as_host_error(title: str) -> Iterator[None]:
    """A bad checkpoint can raise anything; one kind of error lets a build go on with the others."""
    import comfy.model_management as memory

    try:
        yield
    except (memory.InterruptProcessingException, HostError):
        raise
    except Exception as error:
        raise unusable(title, error, "ComfyUI") from error
