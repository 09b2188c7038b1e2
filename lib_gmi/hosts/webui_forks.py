"""What differs between AUTOMATIC1111's web UI and its forks, found by looking for features.

The one place that knows about Forge, reForge and SD.Next. Nothing here compares versions.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
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


def choose_checkpoint(title: str) -> None:
    """Make a checkpoint the chosen one, for good, and load it. Takes the program's queue lock.

    Raises:
        HostError: the program refused.
    """
    from modules import shared

    if loads_lazily():
        from modules import call_queue, sd_models
        from modules_forge import main_entry

        with call_queue.queue_lock:
            main_entry.checkpoint_change(title)
            in_main_thread(sd_models.forge_model_reload)
        return
    if getattr(shared.cmd_opts, "freeze_settings", False):
        raise HostError("The web UI runs with --freeze-settings: its checkpoint cannot be changed.")
    # what the settings page does: the option's own callback takes the lock and loads
    shared.opts.set("sd_model_checkpoint", title)
    shared.opts.save(shared.config_filename)


def load_chosen() -> None:
    """Load what the user has chosen, if something else is loaded. The caller holds the lock."""
    from modules import sd_models

    if not loads_lazily():  # Forge loads it when it is needed
        sd_models.reload_model_weights()


def restore_options(before: Mapping[str, Any], absent: frozenset[str]) -> None:
    """Put options back, without a word to the settings file.

    Args:
        before: what they were.
        absent: those that were not set at all.
    """
    from modules import shared

    for key in absent:
        shared.opts.data.pop(key, None)
    if loads_lazily() and _has("modules.sysinfo"):
        from modules import sysinfo

        if hasattr(sysinfo, "set_config"):  # also tells Forge's loader
            sysinfo.set_config(dict(before), save_config=False)
            return
    shared.opts.data.update(before)
    if "sd_vae" in before or "sd_vae" in absent:
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
