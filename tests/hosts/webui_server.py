"""Real web UIs (AUTOMATIC1111, Forge, reForge), each with a data folder of its own.

What differs between them is data: :data:`WEB_UIS` names them, and tests that take the fixture
``webui`` run in each.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from host_server import STARTING, HostServer, install, quick_settings

__all__ = [
    "WEB_UIS",
    "A1111Server",
    "ForgeServer",
    "ReForgeServer",
    "WebUIServer",
    "install_mini",
    "quick_settings",
]

#: Without a network, and without installing anything.
_ALWAYS = (
    "--skip-torch-cuda-test --skip-prepare-environment --skip-install --skip-python-version-check "
    "--api"
)
#: What is logged when a checkpoint has been loaded; reForge names it, and A1111 loads weights alone
#: into a model that is there.
_LOADED = re.compile(rb"^(?:Model|Weights) (?:.* )?loaded in ", re.MULTILINE)


class WebUIServer(HostServer):
    """A web UI on the CPU.

    Args:
        folder: holds extensions, outputs and settings; checkpoints lie in ``checkpoints``.
        extension: install this repository there.
        flags: further ones.
    """

    #: What it calls itself in our texts; see :func:`lib_gmi.hosts.webui_forks.program`.
    program: ClassVar[str]
    #: Its flags besides :data:`_ALWAYS`.
    own_flags: ClassVar[str]
    #: A checkpoint of another shape than SD 1.5's needs a configuration beside it.
    needs_yaml: ClassVar[bool] = True
    #: Whether a checkpoint is loaded at the start, rather than with the first image.
    loads_at_start: ClassVar[bool] = True
    #: Whether its list of checkpoints, and so its settings, hold titles with a hash.
    titles_with_hash: ClassVar[bool] = True
    #: Names of the tabs in its page: of txt2img and img2img.
    tabs: ClassVar[tuple[str, str]] = ("txt2img", "img2img")
    #: Where its page shows the chosen checkpoint.
    checkpoint_field: ClassVar[str] = "#setting_sd_model_checkpoint input"
    #: How one chooses ``models/VAE/other.safetensors``.
    other_vae: ClassVar[dict[str, Any]] = {"sd_vae": "other.safetensors"}
    #: Settings that it starts with the first time.
    settings: ClassVar[dict[str, Any]] = {}
    #: Ends of traces in its log that it writes without us as well, and why it does.
    noise: ClassVar[dict[str, str]] = {
        "Remote named 'origin' didn't exist": "it asks where an extension's checkout came from",
        "No module named 'joblib'": "Forge's soft inpainting wants a package of its own",
    }

    extensions_folder, checkpoints_folder = "extensions", "checkpoints"
    other_folders = ("models",)
    library_folder = "gmi"

    def __init__(self, folder: Path, extension: bool = True, flags: Sequence[str] = ()) -> None:
        super().__init__(folder, extension)
        self.flags = tuple(flags)
        config = folder / "config.json"
        if self.settings and not config.exists():
            config.write_text(json.dumps(self.settings))

    def arguments(self, port: int) -> list[str]:
        folders = ["--data-dir", str(self.folder), "--ckpt-dir", str(self.checkpoints)]
        flags = [*_ALWAYS.split(), *self.own_flags.split(), *self.flags]
        return ["-u", "launch.py", *flags, *folders, "--port", str(port)]

    def environment(self) -> dict[str, str]:
        found = super().environment()
        found |= {"SD_WEBUI_RESTARTING": "1", "HF_HUB_OFFLINE": "1"}  # opens no browser
        return found | {"TRANSFORMERS_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}

    def wait_until_started(self) -> None:
        """Wait until it says that it has, and until its first checkpoint is loaded."""
        # a request that comes too early can keep it from starting
        self.wait(lambda: self.said("Startup time:"), "the web UI did not start", STARTING)
        if self.loads_at_start:
            self.wait(self.loads, "no checkpoint was loaded", STARTING)

    @property
    def checkout(self) -> Path:
        """The folder of its source."""
        return Path(os.environ[self.dir_variable])

    def loads(self) -> int:
        """How many checkpoints it has loaded since it was started."""
        self.assert_alive()
        return len(_LOADED.findall(self.log.read_bytes()[self._begin :]))

    def traces(self) -> list[str]:
        """Traces in its log, without those that it writes without us as well."""
        found = self.text().split("Traceback (most recent call last)")[1:]
        return [trace for trace in found if not any(known in trace for known in self.noise)]

    def listed(self) -> list[str]:
        """What its own list of checkpoints holds: what its settings may name."""
        titles = [str(model["title"]) for model in self.get("/sdapi/v1/sd-models")]
        if self.titles_with_hash:
            return titles
        return [re.sub(r" \[[0-9a-f]+\]$", "", title) for title in titles]

    def startup_seconds(self) -> dict[str, float]:
        """Its own figures for its last start, and for what our callbacks and scripts took."""
        line = self.text().rpartition("Startup time: ")[2].splitlines()[0]
        found = {"total": float(line.split("s")[0])}
        found |= {name: float(s) for name, s in re.findall(r"([a-z][^:(,]*): ([0-9.]+)s", line)}
        return found

    # -- the web UI -------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        """The web UI's settings."""
        found: dict[str, Any] = self.get("/sdapi/v1/options")
        return found

    def saved_settings(self) -> dict[str, Any]:
        """What its settings file holds."""
        path = self.folder / "config.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def set_options(self, **options: Any) -> None:
        """Change settings as the settings page does."""
        status, answer = self.post("/sdapi/v1/options", options)
        assert status == 200, answer

    def generate(self, name: str | None = None, seed: int = 4242, **changes: Any) -> bytes:
        """A PNG of txt2img; with a checkpoint of this name, or with the user's own."""
        body = {"prompt": "a red fox in the snow", "seed": seed, "steps": 2, "cfg_scale": 1.0}
        body |= {"width": 64, "height": 64, "sampler_name": "Euler", "scheduler": "Normal"}
        if name is not None:
            body["override_settings"] = {"sd_model_checkpoint": name}
        status, answer = self.post("/sdapi/v1/txt2img", body | changes)
        assert status == 200, answer
        return base64.b64decode(answer["images"][0])

    def loaded(self) -> str:
        """Name of the checkpoint that generates when the user asks for an image."""
        status, answer = self.post("/sdapi/v1/txt2img", {"prompt": "", "steps": 1} | _TINY)
        assert status == 200, answer
        return str(json.loads(answer["info"])["sd_model_name"])

    def stray_files(self) -> list[str]:
        """Images, grids and prompts that the web UI has written."""
        found = [*self.folder.glob("outputs/**/*"), *self.folder.glob("params.txt")]
        return [str(path.relative_to(self.folder)) for path in found if path.is_file()]


class A1111Server(WebUIServer):
    """AUTOMATIC1111's own."""

    title, program = "AUTOMATIC1111 web UI", "AUTOMATIC1111"
    dir_variable, python_variable = "GMI_A1111_DIR", "GMI_A1111_PYTHON"
    own_flags = (
        "--skip-version-check --use-cpu all --no-half --precision full --no-half-vae "
        "--opt-sdp-attention --no-download-sd-model --do-not-download-clip"
    )


class ForgeServer(WebUIServer):
    """Forge, which knows a checkpoint's shape from the file and loads it with the first image."""

    title, program = "Forge", "Forge"
    dir_variable, python_variable = "GMI_FORGE_DIR", "GMI_FORGE_PYTHON"
    own_flags = "--always-cpu --all-in-fp32 --attention-pytorch"
    needs_yaml = loads_at_start = titles_with_hash = False
    tabs = ("Txt2img", "Img2img")
    other_vae: ClassVar[dict[str, Any]] = {"forge_additional_modules": ["other.safetensors"]}
    checkpoint_field = ".model_selection input"

    def arguments(self, port: int) -> list[str]:
        # its gradio serves the data folder alone, and the page's own scripts lie in the checkout
        return [
            *super().arguments(port),
            "--gradio-allowed-path",
            os.environ[self.dir_variable],
        ]


class ReForgeServer(WebUIServer):
    """reForge: A1111's page with Forge's first backend."""

    title, program = "reForge", "reForge"
    dir_variable, python_variable = "GMI_REFORGE_DIR", "GMI_REFORGE_PYTHON"
    own_flags = (
        "--skip-version-check --always-cpu --all-in-fp32 --attention-pytorch "
        "--no-download-sd-model --do-not-download-clip"
    )
    settings: ClassVar[dict[str, Any]] = {"show_progress_type": "Approx cheap"}  # no download


#: By the id that their tests have. "webui-" so that ``-k webui-forge`` does not mean reForge too.
WEB_UIS: dict[str, type[WebUIServer]] = {
    "webui-a1111": A1111Server,
    "webui-forge": ForgeServer,
    "webui-reforge": ReForgeServer,
}

_TINY = {"width": 64, "height": 64, "seed": 1, "sampler_name": "Euler", "scheduler": "Normal"}


def install_mini(server: WebUIServer, checkpoint: Path, name: str) -> None:
    """Put a mini into the web UI's folder, with the configuration that its shape may need."""
    target = install(server, checkpoint, name)
    if not server.needs_yaml:
        return
    text = (Path(os.environ[server.dir_variable]) / "configs" / "v1-inference.yaml").read_text()
    unet, rest, after = text.partition("first_stage_config:")
    for key, value in (
        ("attention_resolutions", "[ 1, 2 ]"),
        ("num_res_blocks", "1"),
        ("channel_mult", "[ 1, 1 ]"),
    ):
        unet, found = re.subn(rf"{key}: .*", f"{key}: {value}", unet)
        assert found == 1, key
    target.with_suffix(".yaml").write_text(unet + rest + after)
