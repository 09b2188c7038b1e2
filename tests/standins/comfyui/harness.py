"""Fixtures for tests of the ComfyUI face: a stand-in for ComfyUI that lasts as long as one test.

Test modules load it with ``pytest_plugins``.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import TINY, picture, prompt_set, words_encoder
from headers import SD1, Shapes, write

from lib_gmi.records.prompts import PromptSet

STANDINS = Path(__file__).resolve().parent
#: Prompts of the prompt set: two passes.
PROMPTS = 6
#: Checkpoints of the fixture ``built``, in the styles 1, 2 and 3.
BUILT = ("alpha.safetensors", "anime/beta.safetensors", "gamma.safetensors")
#: Small and quick; the presets' sizes are for real models.
SMALL = {"width": 64, "height": 64, "steps": 3}


def standin_modules() -> list[str]:
    """Names of the modules that imitate ComfyUI's."""
    paths = [path.relative_to(STANDINS).with_suffix("") for path in STANDINS.rglob("*.py")]
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    return sorted(names - {"standin", "harness"})


class Comfy:
    """The imitated ComfyUI of one test, and what tests do with it.

    Attributes:
        checkpoints: its folder of checkpoints.
        input: where Load Image finds images.
        output: where Save Image puts them.
        seen: what its functions were asked for.
        server: the web server.
        queue: the prompt queue.
        memory: ``comfy.model_management``.
        outputs: what nodes returned, by id of the prompt that ran them.
        errors: messages of what they raised, by the same ids.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.checkpoints = folder / "checkpoints"
        self.checkpoints.mkdir(parents=True)
        self.folder_paths = self.module("folder_paths")
        for kind in ("checkpoints", "vae", "embeddings"):
            extensions = self.folder_paths.supported_pt_extensions
            self.folder_paths.folder_names_and_paths[kind] = ([str(folder / kind)], extensions)
        self.folder_paths.set_user_directory(str(folder / "user"))
        self.input, self.output = folder / "input", folder / "output"
        self.folder_paths.set_input_directory(str(self.input))
        self.folder_paths.set_output_directory(str(self.output))
        self.memory = self.module("comfy.model_management")
        self.sd = self.module("comfy.sd")
        self.nodes = self.module("nodes")
        self.seen = self.module("standin").seen
        self.seen.draw = picture
        self.server = self.module("server").PromptServer(None)
        self.queue = self.server.prompt_queue
        self.outputs: dict[str, Any] = {}
        self.errors: dict[str, str] = {}

    def module(self, name: str) -> ModuleType:
        """One of the stand-ins."""
        found = importlib.import_module(name)
        assert Path(str(found.__file__)).is_relative_to(STANDINS)
        return found

    # -- checkpoints ------------------------------------------------------------------------------

    def add(self, name: str, style: int = 0, shapes: Shapes = SD1, **metadata: str) -> Path:
        """Install a checkpoint that draws pictures in a style."""
        path = self.checkpoints / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write(path, shapes, {"style": str(style), **metadata})

    def add_all(self, *names: str, small: bool = True) -> None:
        """Install checkpoints of the styles 1, 2, …, with small and quick settings."""
        for style, name in enumerate(names, 1):
            self.add(name, style)
            if small:
                self.change(name, **SMALL)

    def change(self, name: str, **settings: Any) -> None:
        """Change a checkpoint's settings as its user would."""
        host = self.runtime.host
        host.overrides.set(self.candidate(name).identity, settings)

    def candidate(self, name: str) -> Any:
        """A checkpoint as the host lists it."""
        return next(c for c in self.runtime.host.list_checkpoints() if c.name == name)

    def restart(self) -> None:
        """What a new process would know: nothing but what is on the disk."""
        self._monkeypatch.setattr("lib_gmi.comfyui.runtime._runtime", None)
        vars(self.seen).update(vars(type(self.seen)(draw=picture)))
        self.outputs.clear()

    def speak(self, prompts: PromptSet) -> None:
        """Restart with another prompt set."""
        from lib_gmi.service.service import Service

        tiny = functools.partial(Service, prompt_set=prompts, encoder=TINY.partition("@")[0])
        self._monkeypatch.setattr("lib_gmi.comfyui.runtime.Service", tiny)
        self.restart()

    # -- what runs --------------------------------------------------------------------------------

    @property
    def runtime(self) -> Any:
        """The extension's runtime, made when it is first asked for."""
        return importlib.import_module("lib_gmi.comfyui.runtime").runtime()

    def build(self, names: Sequence[str] | None = None, limit: int | None = None) -> Any:
        """Build what is missing, through the queue; the state at the end."""
        self.runtime.builds.start(names, limit)
        self.work()
        return self.runtime.builds.state()

    def put(self, number: float, prompt_id: str, prompt: dict[str, Any] | None = None) -> None:
        """Queue a prompt of somebody's, as the server does."""
        prompt = prompt or {"1": {"class_type": "SaveImage", "inputs": {}}}
        self.queue.put((number, prompt_id, prompt, {"client_id": "somebody"}, ["1"]))

    def work(self, jobs: int | None = None) -> list[str]:
        """Run prompts until the queue is empty, or so many: their checkpoints, or else their ids.

        What went wrong is among :attr:`outputs`, as in ComfyUI's history.
        """
        ran = []
        while jobs is None or len(ran) < jobs:
            found = self.queue.get(timeout=0)
            if found is None:
                break
            item, number = found
            ran.append(self._execute(*item[1:3], item[4]))
            self.queue.task_done(number, {}, "success")
        return ran

    def _execute(self, prompt_id: str, prompt: dict[str, Any], outputs: Sequence[str]) -> str:
        from lib_gmi.comfyui.nodes import NODE_CLASS_MAPPINGS

        self.nodes.interrupt_processing(False)
        name = prompt_id
        for node_id in outputs:
            node = prompt[node_id]
            found = NODE_CLASS_MAPPINGS.get(node["class_type"])
            if found is None:
                continue
            samples = node["inputs"].get("samples")
            name = node["inputs"]["checkpoint"]
            name = f"{name} to {samples}" if samples else f"check of {name}"
            try:
                self.nodes.before_node_execution()
                self.outputs[prompt_id] = getattr(found(), found.FUNCTION)(**node["inputs"])
            except Exception as error:
                self.outputs[prompt_id] = type(error).__name__
                self.errors[prompt_id] = str(error)
        return name

    # -- pictures ---------------------------------------------------------------------------------

    def image(self, style: int, *contents: int) -> Any:
        """ComfyUI's IMAGE: a batch of pictures in a style."""
        import numpy as np
        import torch

        pictures = [np.asarray(picture(style, content, 64)) for content in contents or (77,)]
        return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255)

    def save(self, folder: Path, name: str, checkpoint: str, style: int, content: int) -> Path:
        """An image file as Save Image writes it: it holds the workflow that made it."""
        from PIL import PngImagePlugin

        side = 256
        text = {"clip": ["1", 1], "text": f"picture number {content}"}
        sampler = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0]}
        sampler |= {"latent_image": ["4", 0], "seed": content, "steps": 20, "cfg": 7.0}
        sampler |= {"sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        nodes = {
            "1": ("CheckpointLoaderSimple", {"ckpt_name": checkpoint}),
            "2": ("CLIPTextEncode", text),
            "3": ("CLIPTextEncode", {**text, "text": ""}),
            "4": ("EmptyLatentImage", {"width": side, "height": side, "batch_size": 1}),
            "5": ("KSampler", sampler),
            "6": ("VAEDecode", {"samples": ["5", 0], "vae": ["1", 2]}),
            "7": ("SaveImage", {"images": ["6", 0], "filename_prefix": "ComfyUI"}),
        }
        graph = {id_: {"class_type": kind, "inputs": put} for id_, (kind, put) in nodes.items()}
        info = PngImagePlugin.PngInfo()
        info.add_text("prompt", json.dumps(graph))
        folder.mkdir(parents=True, exist_ok=True)
        picture(style, content, side).save(folder / name, pnginfo=info)
        return folder / name

    def events(self, name: str) -> list[Any]:
        """The data of every event of this name that was pushed to the front ends."""
        return [data for event, data in self.seen.sent if event == name]


@pytest.fixture
def comfy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    """An imitated ComfyUI without checkpoints, and this extension's runtime with tiny encoders."""
    from lib_gmi.comfyui import preferences, runtime
    from lib_gmi.service.service import Service

    ours = {name.partition(".")[0] for name in standin_modules()} | {"standin"}

    def loaded() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in ours]

    for name in loaded():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(STANDINS))
    tiny = functools.partial(
        Service, prompt_set=prompt_set(PROMPTS), encoder=TINY.partition("@")[0]
    )
    monkeypatch.setattr(runtime, "Service", tiny)
    monkeypatch.setattr(runtime, "_runtime", None)
    monkeypatch.setattr(runtime, "Background", lambda work: work)  # in the test's own thread
    monkeypatch.setattr(runtime, "Watch", lambda look: lambda: None)  # tests look themselves
    monkeypatch.setenv(preferences.VARIABLE, "0")
    monkeypatch.setattr("lib_gmi.service.samples.optional_text_encoder", words_encoder)
    gc.freeze()  # else every session that ends goes through all of torch
    yield Comfy(tmp_path / "comfyui", monkeypatch)
    gc.unfreeze()
    for name in loaded():
        del sys.modules[name]


@pytest.fixture(scope="session")
def built_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library of :func:`built` is kept, once the first test has built it."""
    return tmp_path_factory.mktemp("built") / "library"


@pytest.fixture
def built(comfy: Comfy, built_library: Path) -> Comfy:
    """An imitated ComfyUI with three small checkpoints of different styles, all of them built."""
    library: Path = comfy.runtime.service.library.folder
    comfy.add_all(*BUILT, small=not built_library.exists())
    if built_library.exists():  # with the small settings in it
        shutil.copytree(built_library, library, dirs_exist_ok=True)
    else:
        assert comfy.build().message == "Done."
        shutil.copytree(library, built_library)
    comfy.restart()
    return comfy
