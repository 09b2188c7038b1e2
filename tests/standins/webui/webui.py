"""The imitated web UI as its users see it."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import picture
from standins.host import write_checkpoint

#: Small and quick; the presets' sizes are for real models.
SMALL = {"width": 64, "height": 64, "steps": 3}
#: Checkpoints that most tests have, in the styles 1, 2 and 3; the first one is the user's.
ALPHA, BETA, GAMMA = "alpha.safetensors", "anime/beta.safetensors", "gamma.safetensors"
#: Seconds that a thread of a test may take; none should need more than a few.
PATIENCE = 60.0


class WebUI:
    """The imitated web UI of one test, and what tests do with it.

    Attributes:
        models: its folder of checkpoints.
        data: its data folder.
    """

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.data = data
        self.models = data / "models" / "Stable-diffusion"
        self.models.mkdir(parents=True)
        self.seen.draw = picture
        from modules import call_queue, sd_models, sd_vae

        for key, load in (
            # looked up when it is called: forks have others
            ("sd_model_checkpoint", lambda: sd_models.reload_model_weights()),  # noqa: PLW0108
            ("sd_vae", sd_vae.reload_vae_weights),
        ):
            self.opts.onchange(key, call_queue.wrap_queued_call(load), call=False)

    def module(self, name: str) -> ModuleType:
        """One of the stand-ins: ``"sd_models"`` for ``modules.sd_models``."""
        return importlib.import_module(f"modules.{name}")

    @property
    def seen(self) -> Any:
        """What the stand-ins saw."""
        return self.module("standin").seen

    @property
    def opts(self) -> Any:
        """The web UI's options."""
        return self.module("shared").opts

    @property
    def flags(self) -> Any:
        """What the web UI was started with."""
        return self.module("shared").cmd_opts

    @property
    def state(self) -> Any:
        """The state of the job that runs."""
        return self.module("shared").state

    @property
    def lock(self) -> Any:
        """The queue's lock."""
        return self.module("call_queue").queue_lock

    # -- checkpoints ------------------------------------------------------------------------------

    def add(self, name: str, style: int = 0, architecture: str = "sd1") -> Path:
        """Install a checkpoint that draws pictures in a style, and press the refresh button."""
        path = write_checkpoint(self.models / name, style, architecture)
        self.refresh()
        return path

    def refresh(self) -> None:
        """The user presses the button beside the list of checkpoints."""
        self.module("sd_models").list_models()

    def info(self, name: str) -> Any:
        """The web UI's own entry."""
        infos = self.module("sd_models").checkpoints_list.values()
        return next(info for info in infos if info.name == name)

    def choose(self, name: str) -> None:
        """The user chooses a checkpoint in the list; the web UI loads it, and keeps that."""
        self.opts.set("sd_model_checkpoint", self.info(name).title)
        self.opts.save(self.module("shared").config_filename)

    @property
    def chosen(self) -> str:
        """Name of what the user has chosen."""
        aliases = self.module("sd_models").checkpoint_aliases
        return str(aliases[self.opts.data["sd_model_checkpoint"]].name)

    @property
    def loaded(self) -> str | None:
        """Name of the checkpoint that is loaded."""
        model = self.module("sd_models").model_data.sd_model
        info = getattr(model, "sd_checkpoint_info", None)
        return None if info is None else str(info.name)

    # -- what people do ---------------------------------------------------------------------------

    def txt2img(self, prompt: str = "a cat", seed: int = 99, **more: Any) -> Any:
        """The user generates an image with what they have chosen."""
        processing = self.module("processing")
        p = processing.StableDiffusionProcessingTxt2Img(prompt=prompt, seed=seed, subseed=1, **more)
        p.scripts, p.script_args = self.module("scripts").ScriptRunner(), []
        return self._queued(p)

    def img2img(self, image: Any, scripts: Any = None, *arguments: Any, **more: Any) -> Any:
        """The user generates from an image, with scripts and their arguments."""
        processing = self.module("processing")
        more = {"prompt": "a cat", "seed": 99, "subseed": 1, "init_images": [image], **more}
        p = processing.StableDiffusionProcessingImg2Img(**more)
        p.scripts, p.script_args = scripts, [None, *arguments]
        return self._queued(p)

    def _queued(self, p: Any) -> Any:
        def work(task: str) -> Any:
            with closing(p):
                return self.module("processing").process_images(p)

        return self.module("call_queue").wrap_gradio_gpu_call(work)("task(theirs)")

    def in_another_thread(self, work: Callable[[], Any]) -> threading.Thread:
        """What somebody else does meanwhile."""
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def elsewhere(self, work: Callable[[], Any]) -> Any:
        """What somebody else's page or request does and gets, while another thread generates."""
        got: list[Any] = []
        thread = self.in_another_thread(lambda: got.append(work()))
        thread.join(PATIENCE)
        assert got, "it failed, or did not end"
        return got[0]

    # -- ours -------------------------------------------------------------------------------------

    @property
    def runtime(self) -> Any:
        """The extension's runtime, made when it is first asked for."""
        return importlib.import_module("lib_gmi.a1111.runtime").runtime()

    @property
    def host(self) -> Any:
        """The host."""
        return self.runtime.host

    def candidate(self, name: str) -> Any:
        """A checkpoint as the host lists it."""
        return next(c for c in self.host.list_checkpoints() if c.name == name)

    def change(self, name: str, **settings: Any) -> None:
        """Change a checkpoint's settings as its user would."""
        self.host.overrides.set(self.candidate(name).identity, settings)

    def build(self, names: Sequence[str] | None = None, limit: int | None = None) -> Any:
        """Build what is missing, to the end; the state then."""
        self.runtime.builds.start(names, limit)
        return self.finish()

    def finish(self) -> Any:
        """Wait until the queue has become empty."""
        self.runtime.queue.join(PATIENCE)
        assert self.runtime.queue.pending() == 0
        return self.runtime.builds.state()

    def samples(self) -> dict[str, int]:
        """Number of samples by name."""
        return {s.candidate.name: s.samples for s in self.runtime.service.states.all()}

    def restart(self) -> None:
        """What a new process would know of our work: what is on the disk."""
        self._monkeypatch.setattr("lib_gmi.a1111.runtime._runtime", None)
