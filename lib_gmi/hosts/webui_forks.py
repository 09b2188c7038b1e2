"""What differs between AUTOMATIC1111's web UI and its forks, found by looking for features.

The one place that knows about Forge and reForge. Nothing here compares versions.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..base.errors import HostError
from ..checkpoints.architectures import WORKFLOW_HINT

if TYPE_CHECKING:
    from ..checkpoints.architectures import CheckpointFacts

Result = TypeVar("Result")

#: What AUTOMATIC1111 itself can load; its forks with Forge's backend can load these as well.
_CLASSIC = frozenset({"sd1", "sd2", "sdxl", "sd3"})
_FORGE = _CLASSIC | {"flux", "chroma", "lumina2", "z-image", "qwen-image"}


def program() -> str:
    """The name that people know it by."""
    if _has("modules_forge.main_entry"):
        return "Forge"
    return "reForge" if _has("modules_forge") else "AUTOMATIC1111"


def loads_lazily() -> bool:
    """Whether a checkpoint is only loaded when something is generated with it (Forge)."""
    return _has("modules_forge.main_entry")


def unsupported(facts: CheckpointFacts, path: Path) -> str | None:
    """Why this program cannot generate with a file that may be good elsewhere, or ``None``."""
    if is_bare(facts, path) and loads_lazily():
        if _additional_modules():
            return None
        return (
            "it holds no text encoder and no VAE; choose them under 'VAE / Text Encoder' at the "
            "top of the page first"
        )
    if path.suffix.lower() == ".gguf":
        return f"{program()} cannot load GGUF files"
    if facts.unsupported is not None:
        return facts.unsupported.removesuffix(f"; {WORKFLOW_HINT}")
    loadable = _FORGE if loads_lazily() else _CLASSIC
    if facts.architecture is None or facts.architecture in loadable:
        return None
    return f"{program()} cannot load checkpoints of the kind {facts.architecture}"


def is_bare(facts: CheckpointFacts, path: Path) -> bool:
    """Whether a file holds neither text encoder nor VAE."""
    return path.suffix.lower() == ".gguf" or facts.kind == "unet-only"


def in_main_thread(work: Callable[[], Result]) -> Result:
    """Run something where the program wants its models to be used.

    Raises:
        BaseException: whatever ``work`` raises; Forge's own thread would swallow it.
    """
    if not _has("modules_forge.main_thread"):
        return work()
    from modules_forge import main_thread

    outcome: list[Result] = []
    trouble: list[BaseException] = []

    def caught() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            trouble.append(error)

    main_thread.run_and_wait_result(caught)
    if trouble:
        raise trouble[0]
    return outcome[0]


def loaded_file() -> str | None:
    """The file of the checkpoint that is loaded; never loads anything itself."""
    from modules import sd_models

    info = getattr(sd_models.model_data.sd_model, "sd_checkpoint_info", None)
    return None if info is None else str(info.filename)


def listed_title(info: Any) -> str:
    """What the program's own list of checkpoints holds for one; anything else would empty it."""
    from modules import sd_models, shared

    short = bool(getattr(shared.opts, "sd_checkpoint_dropdown_use_short", False))
    try:
        entries = sd_models.checkpoint_tiles(short)
    except TypeError:  # an older one has no short titles
        entries = sd_models.checkpoint_tiles()
    aliases = sd_models.checkpoint_aliases
    found = [str(entry) for entry in entries if aliases.get(entry) is info]
    return found[0] if found else str(info.title)


def choose_checkpoint(info: Any) -> str | None:
    """Make a checkpoint the chosen one, for good, and load it. Takes the program's queue lock.

    Returns:
        The file that is loaded now.

    Raises:
        HostError: the program refused.
        Exception: what the program raises when it cannot load it; the choice is as it was.
    """
    from modules import call_queue, shared

    if getattr(shared.cmd_opts, "freeze_settings", False):
        raise HostError("The web UI runs with --freeze-settings: its checkpoint cannot be changed.")
    # not the option's own callback: it does nothing where the option is right and the model is not
    with call_queue.queue_lock:
        before = shared.opts.data.get("sd_model_checkpoint")
        try:
            _choose(listed_title(info))
            in_main_thread(load_now)
        except Exception:
            _choose(before)
            _forget_failure()
            raise
        # loading may have told its hash, which is part of titles
        shared.opts.data["sd_model_checkpoint"] = listed_title(info)
        shared.opts.save(shared.config_filename)
        return loaded_file()


def _choose(title: str | None) -> None:
    from modules import shared

    if loads_lazily():
        from modules_forge import main_entry

        main_entry.checkpoint_change(title, save=False)
    else:
        shared.opts.sd_model_checkpoint = title


def load_now() -> None:
    """Load what is chosen, if something else is loaded. The caller holds the queue lock."""
    from modules import sd_models

    if loads_lazily():
        sd_models.forge_model_reload()
    else:
        sd_models.reload_model_weights()


def _forget_failure() -> None:
    """Forge takes what it failed to load for loaded, and generates with nothing at all."""
    from modules import sd_models

    data = sd_models.model_data
    if data.sd_model is None and hasattr(data, "forge_hash"):
        data.forge_hash = ""


@contextmanager
def generating_with(info: Any, theirs: Mapping[str, Any]) -> Iterator[Callable[[], bool]]:
    """A checkpoint is the chosen one for the image that is made in this block.

    Options tell which one, but each program also keeps what was chosen, or what it loaded with
    other options: here it is ours, afterwards the user's. The caller holds the queue lock, and the
    thread has options of its own.

    Args:
        info: the checkpoint.
        theirs: the user's own values of the options that the thread has.

    Yields:
        Whether the user has chosen another checkpoint meanwhile, which was then used.
    """
    if loads_lazily():
        with _forge_parameters(info) as changed:
            yield changed
        return
    if loads_anew():
        with _loaded_anew(info, theirs):
            yield lambda: False
        return
    yield lambda: False


@contextmanager
def _forge_parameters(info: Any) -> Iterator[Callable[[], bool]]:
    """Forge loads by parameters that it derives from options whenever people change those.

    It would also unload the model, and load it again, for each image that has other options than
    the one before. Ours are the same for all images of a checkpoint, and so nothing is unloaded.
    """
    from modules import processing, sd_models, shared
    from modules_forge import main_entry

    data = sd_models.model_data
    storage = getattr(main_entry, "forge_unet_storage_dtype_options", {})
    kind, _ = storage.get(getattr(shared.opts, "forge_unet_storage_dtype", None), (None, False))
    before = data.forge_loading_parameters
    ours = {
        **(before or {}),
        "checkpoint_info": info,
        "additional_modules": _additional_modules(),
        "unet_storage_dtype": kind,
    }
    unload = getattr(processing, "need_global_unload", False)
    if data.forge_hash != str(ours):
        _forget_conditioning()
    data.forge_loading_parameters, processing.need_global_unload = ours, False
    try:
        yield lambda: data.forge_loading_parameters is not ours
    finally:
        _forget_failure()
        if data.forge_loading_parameters is ours:
            data.forge_loading_parameters = before
        if str(data.forge_loading_parameters) != str(ours):
            _forget_conditioning()
        processing.need_global_unload |= unload


def _forget_conditioning() -> None:
    """Prompts are remembered by checkpoint, whatever text encoders it was loaded with."""
    from modules.processing import StableDiffusionProcessing as Processing

    for name in ("cached_c", "cached_uc"):
        if hasattr(Processing, name):
            setattr(Processing, name, [None] * len(getattr(Processing, name)))


#: Options that reForge takes when it loads a checkpoint, and never again as long as that is loaded:
#: it does change the VAE of a loaded one, but does not find the way back to the checkpoint's own.
_LOADED_WITH = ("sd_vae", "sd_vae_overrides_per_model_preferences", "sd_text_encoder")
#: On models of reForge that were loaded for us: the file and these options.
_MARK = "gmi_loaded_with"


def loads_anew() -> bool:
    """Whether another VAE or text encoder takes loading the checkpoint anew (reForge)."""
    return _has("modules_forge") and not loads_lazily()


@contextmanager
def _loaded_anew(info: Any, theirs: Mapping[str, Any]) -> Iterator[None]:
    """What the user has chosen beside the checkpoint goes before our image, and comes back later.

    reForge asks whether a *file* is loaded: so what was loaded for us has the name of none when the
    user's next image is made.
    """
    from modules import sd_models, shared

    data = sd_models.model_data
    ours = {key: getattr(shared.opts, key, None) for key in _LOADED_WITH}
    marked = getattr(data.sd_model, _MARK, None)
    if marked is None and all(theirs.get(key) == value for key, value in ours.items()):
        yield
        return
    mark = (info.filename, *ours.values())
    if marked == mark:
        data.sd_model.filename = info.filename
    elif loaded_file() == info.filename:
        sd_models.reload_model_weights(forced_reload=True)
    _forget_conditioning()
    try:
        yield
    finally:
        if loaded_file() == info.filename:
            setattr(data.sd_model, _MARK, mark)
            data.sd_model.filename = ""
        _forget_conditioning()


def reload_vae(info: Any) -> None:
    """The user's own VAE, where a sample was made of the checkpoint that they work with.

    Never raises. Another checkpoint brings its VAE along when it is loaded.
    """
    from modules import sd_models, sd_vae, shared

    chosen = sd_models.checkpoint_aliases.get(shared.opts.data.get("sd_model_checkpoint"))
    if chosen is not info or loaded_file() != str(info.filename):
        return
    try:
        sd_vae.reload_vae_weights()
    except Exception:  # it is gone, for instance; the user's own next image tells them
        logging.exception("Find Best Model: the user's own VAE could not be loaded")


def offered(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Of these options those that this program has."""
    from modules import shared

    return {key: value for key, value in wanted.items() if key in shared.opts.data_labels}


def _additional_modules() -> list[str]:
    """Text encoders and VAEs that the user of Forge has chosen."""
    from modules import shared

    chosen = getattr(shared.opts, "forge_additional_modules", None) or []
    return [os.fspath(module) for module in chosen]


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
