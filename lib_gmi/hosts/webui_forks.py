"""What differs between AUTOMATIC1111's web UI and its forks, found by looking for features.

The one place that knows about Forge, reForge and SD.Next. Nothing here compares versions.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..checkpoints import WORKFLOW_HINT
from ..errors import HostError

if TYPE_CHECKING:
    from ..checkpoints import CheckpointFacts

Result = TypeVar("Result")

#: What AUTOMATIC1111 itself can load; its forks with Forge's backend can load these as well.
_CLASSIC = frozenset({"sd1", "sd2", "sdxl", "sd3"})
_FORGE = _CLASSIC | {"flux", "chroma", "lumina2", "z-image", "qwen-image"}


def program() -> str:
    """The name that people know it by."""
    if _has("modules_forge.main_entry"):
        return "Forge"
    if _has("modules_forge"):
        return "reForge"
    return "SD.Next" if _has("modules.sd_checkpoint") else "AUTOMATIC1111"


def loads_lazily() -> bool:
    """Whether a checkpoint is only loaded when something is generated with it (Forge)."""
    return _has("modules_forge.main_entry")


def unsupported(facts: CheckpointFacts, path: Path) -> str | None:
    """Why this program cannot generate with a file that may be good elsewhere, or ``None``."""
    bare = path.suffix.lower() == ".gguf" or facts.kind == "unet-only"
    if bare and loads_lazily():
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
    known = facts.architecture is None or facts.architecture in loadable
    if known or program() == "SD.Next":
        return None
    return f"{program()} cannot load checkpoints of the kind {facts.architecture}"


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


def choose_checkpoint(title: str) -> str | None:
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
            _choose(title)
            in_main_thread(load_now)
        except Exception:
            _choose(before)
            _forget_failure()
            raise
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


def load_chosen() -> None:
    """Load what the user has chosen, if something else is loaded. The caller holds the lock."""
    if not loads_lazily():  # Forge loads it when it is needed
        load_now()


def options_left_alone() -> AbstractContextManager[Any]:
    """While a checkpoint is loaded for an image, its loader does not make it the chosen one.

    The loader would also write over what the user chooses while it reads the file.
    """
    from modules import sd_models

    found: Callable[[], AbstractContextManager[Any]] = getattr(
        sd_models, "SkipWritingToConfig", nullcontext
    )
    return found()


def set_beforehand(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Those overrides of an image that may be in force before the web UI applies them itself."""
    if not loads_lazily():
        return dict(overrides)
    # Forge only loads another checkpoint if it sees the choice change
    return {key: value for key, value in overrides.items() if key != "sd_model_checkpoint"}


def settings_stamp() -> tuple[int, int] | None:
    """Changes when the web UI's settings file is written."""
    from modules import shared

    try:
        status = Path(shared.config_filename).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def save_again(stamp: tuple[int, int] | None) -> None:
    """Write the settings file once more if somebody did since, while options were borrowed."""
    from modules import shared

    if settings_stamp() == stamp:
        return
    try:
        shared.opts.save(shared.config_filename)
    except Exception:
        logging.exception("Find Best Model: the web UI's settings could not be saved again")


def restore_options(before: Mapping[str, Any], absent: frozenset[str]) -> None:
    """Put options back, without a word to the settings file. Never raises.

    Args:
        before: what they were.
        absent: those that were not set at all.
    """
    from modules import shared

    for key in absent:
        shared.opts.data.pop(key, None)
    try:
        _follow_options(before, absent)
    except Exception:  # a VAE that is gone, for instance; the user's own next image tells them
        logging.exception("Find Best Model: what the user has chosen could not be loaded")
    finally:
        shared.opts.data.update(before)


def _follow_options(before: Mapping[str, Any], absent: frozenset[str]) -> None:
    """Let the program notice that options are as before."""
    from modules import sd_models, shared

    if loads_lazily():
        _forget_failure()
        if _has("modules.sysinfo"):
            from modules import sysinfo

            if hasattr(sysinfo, "set_config"):  # also tells Forge's loader
                sysinfo.set_config(dict(before), save_config=False)
        return
    shared.opts.data.update(before)
    chosen = sd_models.checkpoint_aliases.get(shared.opts.data.get("sd_model_checkpoint"))
    concerned = "sd_vae" in before or "sd_vae" in absent
    # another checkpoint brings its VAE along when it is loaded
    if concerned and chosen is not None and loaded_file() == str(chosen.filename):
        from modules import sd_vae

        sd_vae.reload_vae_weights()


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
