"""A real AUTOMATIC1111 web UI with a data folder of its own, with this extension installed."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from host_server import HostServer, install, quick_settings

__all__ = ["DIR_VARIABLE", "PYTHON_VARIABLE", "A1111Server", "install_mini", "quick_settings"]

DIR_VARIABLE, PYTHON_VARIABLE = "GMI_A1111_DIR", "GMI_A1111_PYTHON"
#: On a CPU, without a network, and without installing anything.
FLAGS = (
    "--skip-torch-cuda-test --skip-prepare-environment --skip-install --skip-python-version-check "
    "--skip-version-check --use-cpu all --no-half --precision full --no-half-vae "
    "--opt-sdp-attention --no-download-sd-model --do-not-download-clip --api"
)


class A1111Server(HostServer):
    """The web UI on the CPU.

    Args:
        folder: holds extensions, outputs and settings; checkpoints lie in ``checkpoints``.
        extension: install this repository there.
        flags: further ones.
    """

    title = "AUTOMATIC1111 web UI"
    dir_variable, python_variable = DIR_VARIABLE, PYTHON_VARIABLE
    extensions_folder, checkpoints_folder = "extensions", "checkpoints"
    other_folders = ("models",)
    library_folder = "gmi"

    def __init__(self, folder: Path, extension: bool = True, flags: Sequence[str] = ()) -> None:
        super().__init__(folder, extension)
        self.flags = tuple(flags)

    def arguments(self, port: int) -> list[str]:
        folders = ["--data-dir", str(self.folder), "--ckpt-dir", str(self.checkpoints)]
        return ["-u", "launch.py", *FLAGS.split(), *self.flags, *folders, "--port", str(port)]

    def environment(self) -> dict[str, str]:
        found = super().environment()
        found |= {"SD_WEBUI_RESTARTING": "1", "HF_HUB_OFFLINE": "1"}  # opens no browser
        return found | {"TRANSFORMERS_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}

    def wait_until_started(self) -> None:
        """Wait until it says that it has, and until its first checkpoint is loaded."""
        # a request that comes too early can keep it from starting
        self.wait(lambda: self.said("Startup time:"), "the web UI did not start")
        self.wait(lambda: self.said("Model loaded in"), "no checkpoint was loaded")

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


_TINY = {"width": 64, "height": 64, "seed": 1, "sampler_name": "Euler", "scheduler": "Normal"}


def install_mini(server: A1111Server, checkpoint: Path, name: str) -> None:
    """Put a mini into the web UI's folder, with the configuration that its shape needs."""
    target = install(server, checkpoint, name)
    text = (Path(os.environ[DIR_VARIABLE]) / "configs" / "v1-inference.yaml").read_text()
    unet, rest, after = text.partition("first_stage_config:")
    for key, value in (
        ("attention_resolutions", "[ 1, 2 ]"),
        ("num_res_blocks", "1"),
        ("channel_mult", "[ 1, 1 ]"),
    ):
        unet, found = re.subn(rf"{key}: .*", f"{key}: {value}", unet)
        assert found == 1, key
    target.with_suffix(".yaml").write_text(unet + rest + after)
