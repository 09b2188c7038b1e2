"""A real AUTOMATIC1111 web UI with a data folder of its own, with this extension installed."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: Machines are shared, and real checkpoints are loaded from disk.
PATIENCE = 240.0
MINIS = ("mini-1.safetensors", "mini-2.safetensors", "styles/mini-3.safetensors")
DIR_VARIABLE, PYTHON_VARIABLE = "GMI_A1111_DIR", "GMI_A1111_PYTHON"
#: On a CPU, without a network, and without installing anything.
FLAGS = (
    "--skip-torch-cuda-test --skip-prepare-environment --skip-install --skip-python-version-check "
    "--skip-version-check --use-cpu all --no-half --precision full --no-half-vae "
    "--opt-sdp-attention --no-download-sd-model --do-not-download-clip --api"
)


class A1111Server:
    """The web UI on the CPU.

    Args:
        data: holds extensions, outputs and settings; checkpoints lie in ``checkpoints``.
        extension: install this repository there.
        flags: further ones.
    """

    def __init__(self, data: Path, extension: bool = True, flags: Sequence[str] = ()) -> None:
        self.data = data
        self.log = data / "log.txt"
        self.checkpoints = data / "checkpoints"
        self.flags = tuple(flags)
        for folder in ("extensions", "models", "checkpoints"):
            (data / folder).mkdir(parents=True, exist_ok=True)
        link = data / "extensions" / "find-best-model"
        if extension and not link.exists():
            link.symlink_to(ROOT, target_is_directory=True)
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def library(self) -> Path:
        """The library's folder."""
        return self.data / "gmi"

    def start(self) -> None:
        """Start it, wait until it says that it has, and until its first checkpoint is loaded."""
        port = _free_port()
        command = [os.environ[PYTHON_VARIABLE], "-u", "launch.py", *FLAGS.split(), *self.flags]
        command += ["--data-dir", str(self.data), "--ckpt-dir", str(self.checkpoints)]
        command += ["--port", str(port)]
        environment = {k: v for k, v in os.environ.items() if k != "GMI_LIBRARY"}
        environment |= {"SD_WEBUI_RESTARTING": "1", "HF_HUB_OFFLINE": "1"}  # opens no browser
        environment |= {"TRANSFORMERS_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=os.environ[DIR_VARIABLE],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self.address = f"http://127.0.0.1:{port}"
        # a request that comes too early can keep it from starting
        self.wait(lambda: self._said("Startup time:", begin), "the web UI did not start")
        self.wait(lambda: self._said("Model loaded in", begin), "no checkpoint was loaded")

    def stop(self) -> None:
        """Stop it as a user does who closes the window."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None

    def text(self) -> str:
        """Everything it has logged."""
        return self.log.read_text(errors="replace")

    def startup_seconds(self) -> dict[str, float]:
        """Its own figures for its last start, and for what our callbacks and scripts took."""
        line = self.text().rpartition("Startup time: ")[2].splitlines()[0]
        found = {"total": float(line.split("s")[0])}
        found |= {name: float(s) for name, s in re.findall(r"([a-z][^:(,]*): ([0-9.]+)s", line)}
        return found

    def _said(self, text: str, begin: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.text()[-3000:]
        return text.encode() in self.log.read_bytes()[begin:]

    def wait(self, condition: Callable[[], Any], otherwise: str) -> Any:
        """Wait until something is true; returns it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(
            f"{otherwise} within {PATIENCE:.0f} s. Its log:\n{self.text()[-3000:]}"
        )

    # -- HTTP -------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """JSON of a GET request."""
        return json.loads(self.content(path))

    def content(self, path: str) -> bytes:
        """Content of a GET request."""
        with urllib.request.urlopen(self.address + path, timeout=PATIENCE) as answer:
            return bytes(answer.read())

    def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of a POST request."""
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else text

    def gmi(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer of a route of ours that is expected to succeed."""
        status, answer = self.post(f"/gmi/v1/{path}", body)
        assert status == 200, answer
        return answer

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
        found = [*self.data.glob("outputs/**/*"), *self.data.glob("params.txt")]
        return [str(path.relative_to(self.data)) for path in found if path.is_file()]

    # -- this extension ---------------------------------------------------------------------------

    def build_state(self) -> dict[str, Any]:
        """The build as it is now."""
        state: dict[str, Any] = self.get("/gmi/v1/build")
        return state

    def built(self, state: str = "idle") -> dict[str, Any]:
        """The build, once it is in this state and the answers have followed."""

        def settled() -> dict[str, Any] | None:
            now = self.build_state()
            if now["state"] != state or self.get("/gmi/v1/library")["fitting"]:
                return None
            return now

        found: dict[str, Any] = self.wait(settled, f"the build was not {state}")
        return found

    def build(self, limit: int, names: list[str] | None = None) -> dict[str, Any]:
        """Build to the end."""
        self.gmi("build", {"names": names, "limit": limit})
        return self.built()

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the library says of each checkpoint, by name."""
        return {row["name"]: row for row in self.get("/gmi/v1/library")["checkpoints"]}

    def samples(self) -> dict[str, int]:
        """Samples by checkpoint."""
        return {name: row["samples"] for name, row in self.rows().items()}

    def rank(self, image: bytes, **query: Any) -> dict[str, Any]:
        """The ranking for an image."""
        data = base64.b64encode(image).decode()
        ranking: dict[str, Any] = self.gmi("rank", {"images": [data], **query})
        return ranking


_TINY = {"width": 64, "height": 64, "seed": 1, "sampler_name": "Euler", "scheduler": "Normal"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install_mini(server: A1111Server, checkpoint: Path, name: str) -> None:
    """Put a mini into the web UI's folder, with the configuration that its shape needs."""
    target = server.checkpoints / name
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(checkpoint, target)
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


def quick_settings(server: A1111Server, name: str, side: int = 64, steps: int = 2) -> None:
    """Make a checkpoint's samples small and quick, through the route that people's edits take."""
    settings: dict[str, Any] = {"width": side, "height": side, "steps": steps, "cfg": 1.0}
    settings |= {"sampler": "euler", "scheduler": "normal"}
    assert server.gmi("settings", {"name": name, "settings": settings})["edited"]
