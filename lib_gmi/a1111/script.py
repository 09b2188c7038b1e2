"""A section of img2img: use the best checkpoint for the image.

Other scripts and the web UI itself apply overrides after ``before_process``: the only hook in which
a checkpoint can still be chosen.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gradio as gr
from modules import scripts

from ..base.errors import GMIError
from . import pace

if TYPE_CHECKING:
    from PIL import Image

LABEL = "Use the best checkpoint for this image"
#: In the infotext.
PARAMETER = "Best checkpoint"


class BestCheckpointScript(scripts.Script):  # type: ignore[misc]  # the web UI is untyped
    """See the module's docstring. In txt2img it only notices that somebody works."""

    def title(self) -> str:
        return "Find Best Model"

    def show(self, is_img2img: bool) -> Any:
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[Any]:
        if not is_img2img:
            return []
        with _section() as enabled, gr.Row():
            sure = gr.Slider(
                0,
                100,
                0,
                step=5,
                label="Only if it is at least so sure (%)",
                elem_id="gmi_i2i_sure",
            )
            pattern = gr.Textbox(
                label="Only checkpoints named",
                placeholder="all; for instance SDXL/, !*inpaint*",
                elem_id="gmi_i2i_pattern",
            )
        return [enabled, sure, pattern]

    def before_process(
        self, p: Any, enabled: bool = False, sure: float = 0, pattern: str = "", *_: Any
    ) -> None:
        """Choose the checkpoint; trouble is told below the image and changes nothing."""
        _seen()
        images = getattr(p, "init_images", None)
        if not enabled or not images:
            return
        try:
            said = choose(p, images[0], float(sure) / 100, pattern)
        except GMIError as error:
            said = f"the checkpoint was not changed: {error}"
        except Exception:
            logging.exception("Find Best Model: an image could not be ranked")
            said = "the checkpoint was not changed; the log says why"
        if hasattr(p, "comment"):
            p.comment(f"Find Best Model: {said}")

    def before_process_batch(self, p: Any, *_: Any, **__: Any) -> None:
        """The checkpoint is loaded, and the image begins."""
        pace.begun(p)

    def postprocess(self, p: Any, processed: Any, *_: Any) -> None:
        """Learn how long images take here."""
        pace.ended(p)
        _seen()


def choose(p: Any, image: Image.Image, threshold: float, pattern: str) -> str:
    """Let an image be made with the checkpoint that suits it.

    Args:
        p: what is about to be generated.
        image: the example.
        threshold: a probability; below it nothing is changed.
        pattern: see :class:`..service.Filter`.

    Returns:
        What was done, for people.

    Raises:
        GMIError: nothing can be ranked.
    """
    from ..service.filters import Filter
    from .runtime import runtime

    running = runtime()
    ranking = running.service.answers.rank([image], wanted=Filter(pattern=pattern))
    ranked = running.service.answers.ranked_checkpoints(ranking)
    if not ranked:
        raise GMIError("None of the ranked checkpoints is installed.")
    candidate, row = ranked[0]
    share = "" if row.probability is None else f" ({row.probability:.0%})"
    if (row.probability or 0.0) < threshold:
        return f"{candidate.title} is the best, but not sure enough{share}; nothing was changed."
    p.override_settings["sd_model_checkpoint"] = running.host.title_of(candidate.name)
    p.extra_generation_params[PARAMETER] = candidate.title + share
    return f"{candidate.title}{share}."


def _section() -> Any:
    """A fold with a checkbox in its title, where the web UI has such a thing."""
    try:
        from modules.ui_components import InputAccordion
    except ImportError:
        return _PlainSection()
    return InputAccordion(False, label=LABEL, elem_id="gmi_i2i")


class _PlainSection:
    """A fold with a checkbox in it."""

    def __enter__(self) -> Any:
        self._fold = gr.Accordion(LABEL, open=False, elem_id="gmi_i2i")
        self._fold.__enter__()
        return gr.Checkbox(False, label="Enable", elem_id="gmi_i2i_enabled")

    def __exit__(self, *raised: Any) -> None:
        self._fold.__exit__(*raised)


def _seen() -> None:
    from .runtime import running

    if (now := running()) is not None:
        now.politeness.seen()
