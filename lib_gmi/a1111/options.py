"""Our section of the web UI's settings page; the web UI saves what is chosen there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..library.removed import Limits

SECTION = ("gmi", "Find Best Model")


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Attributes:
        library: the library's folder; ``None`` for the one in the web UI's data folder.
        encoder: name of the image encoder.
        device: that it runs on.
        prompt_set: a file; ``None`` for the one that comes with this program.
        idle_minutes: a build waits until nothing was generated for so long; 0 for never wait.
        blur: samples are blurred until they are pointed at.
        keep_samples: small copies of samples are kept.
        samples_limit: that they may take, in megabytes; 0 for any.
        kept_aside: what was removed or is damaged.
        sidecars: what lies beside a checkpoint's file tells which settings suit it.
        interrogators: names in the order in which they are tried, a comma list.
    """

    library: Path | None
    encoder: str
    device: str
    prompt_set: Path | None
    idle_minutes: float
    blur: bool
    keep_samples: bool
    samples_limit: int
    sidecars: bool
    interrogators: str = ""
    kept_aside: Limits = field(default_factory=Limits)


def register() -> None:
    """Add our options. The web UI calls this when it makes its settings page."""
    import gradio as gr
    from modules import shared

    from ..encoders import AUTO, registry
    from ..interrogators import DEFAULT_ORDER

    names = [AUTO, *(info.name for info in registry.images())]

    def add(key: str, default: Any, label: str, component: Any = None, **arguments: Any) -> Any:
        info = shared.OptionInfo(default, label, component, arguments or None, section=SECTION)
        shared.opts.add_option(f"gmi_{key}", info)
        return info

    def note(info: Any, text: str) -> None:
        if hasattr(info, "info"):  # an older web UI shows the label only
            info.info(text)

    note(
        add("pause_while_i_work", True, "Pause builds while I work"),
        "a build goes on when nothing was generated for the minutes below",
    )
    add(
        "idle_minutes", 3, "Minutes without a generation before a build goes on",
        gr.Slider, minimum=1, maximum=60, step=1,
    )  # fmt: skip
    add("blur", True, "Blur sample images until I point at them")
    note(
        add("keep_samples", True, "Keep sample images"),
        "small copies, about 40 kB each, 90 MB for forty checkpoints; without them, rankings show "
        "no pictures, and another encoder has to generate everything again",
    )
    note(
        add("samples_limit", 0, "Limit of sample images (MB)", gr.Number, precision=0),
        "0: none; when it is reached, builds go on and keep no more pictures",
    )
    usual = Limits()
    note(
        add("removed_days", usual.days, "Days that removed specifications are kept", gr.Number),
        "in the library's folders 'removed' and 'damaged'; 0: for ever",
    )
    note(
        add("removed_limit", usual.megabytes, "Limit of what was removed (MB)", gr.Number),
        "what was removed first goes first; 0: none",
    )
    note(
        add("sidecars", True, "Presets read the files beside a checkpoint"),
        "its .civitai.info and .json tell which settings suit it; change them in the tab",
    )
    note(
        add("library_folder", "", "Library folder"),
        "empty: the folder 'gmi' beside the web UI's outputs; takes effect after a restart",
    )
    note(
        add("prompt_set", "", "Prompt set (a JSON file)"),
        "empty: the 55 prompts that come with this extension; takes effect after a restart",
    )
    note(
        add("interrogators", ", ".join(DEFAULT_ORDER), "Interrogators, in order"),
        "of user, metadata, host, library, labels, clip-interrogator, none: the first that has "
        "something to say describes the image",
    )
    note(
        # gradio 3 knows no way to type into a list that it updates, as the settings page does
        add("encoder", AUTO, "Encoder", gr.Dropdown, choices=names),
        "auto: the most accurate of those that need no download; takes effect after a restart, and "
        "the next build lets a new one read kept samples",
    )
    note(
        add("other_encoder", "", "Another encoder, by its name"),
        "for instance openclip/ViT-B-32/file:/models/clip.safetensors, or several joined by +; "
        "empty: the one above",
    )
    note(
        add("encoder_device", "cpu", "The encoder runs on", gr.Dropdown, choices=["cpu", "cuda"]),
        "a checkpoint needs the graphics card more",
    )
    note(
        add("allowed_hosts", "", "Allowed hosts"),
        "names of a proxy or tunnel, separated by commas, where nobody logs in; takes effect after "
        "a restart",
    )


def allowed_hosts() -> str:
    """Names under which this server may be reached; see :func:`..origin.allow`."""
    from modules import shared

    return str(getattr(shared.opts, "gmi_allowed_hosts", "") or "")


def chosen() -> Options:
    """What the user chose, as it is now."""
    from modules import shared

    from ..encoders import AUTO

    def get(key: str, default: Any) -> Any:
        value = getattr(shared.opts, f"gmi_{key}", default)
        return default if value is None else value

    library, prompt_set = str(get("library_folder", "")), str(get("prompt_set", ""))
    return Options(
        library=Path(library).expanduser() if library.strip() else None,
        encoder=str(get("other_encoder", "")).strip() or str(get("encoder", AUTO)) or AUTO,
        device=str(get("encoder_device", "cpu")),
        prompt_set=Path(prompt_set).expanduser() if prompt_set.strip() else None,
        idle_minutes=float(get("idle_minutes", 3)) if get("pause_while_i_work", True) else 0.0,
        blur=bool(get("blur", True)),
        keep_samples=bool(get("keep_samples", True)),
        samples_limit=max(0, int(get("samples_limit", 0))),
        sidecars=bool(get("sidecars", True)),
        interrogators=str(get("interrogators", "")),
        kept_aside=Limits.of(get("removed_days", None), get("removed_limit", None)),
    )
