"""A real ComfyUI in a folder of its own, with this extension installed."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: Machines are shared, and real checkpoints are loaded from disk.
PATIENCE = 240.0
#: Of the checkpoints that tests begin with.
MINIS = ("mini-1.safetensors", "mini-2.safetensors", "styles/mini-3.safetensors")
DIR_VARIABLE, PYTHON_VARIABLE = "GMI_COMFYUI_DIR", "GMI_COMFYUI_PYTHON"

Graph = dict[str, dict[str, Any]]


class ComfyServer:
    """ComfyUI on the CPU, with a base folder of its own.

    Args:
        base: holds models, inputs, outputs, the user directory and ``custom_nodes``.
        extension: install this repository there.
    """

    def __init__(self, base: Path, extension: bool = True) -> None:
        self.base = base
        self.log = base / "log.txt"
        self.checkpoints = base / "models" / "checkpoints"
        for folder in ("custom_nodes", "input", "output", "temp", "user"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        link = base / "custom_nodes" / "find-best-model"
        if extension and not link.exists():
            link.symlink_to(ROOT, target_is_directory=True)
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def library(self) -> Path:
        """The library's folder."""
        return self.base / "user" / "gmi"

    def start(self) -> None:
        """Start it and wait until it answers."""
        port = _free_port()
        command = [os.environ[PYTHON_VARIABLE], "main.py", "--cpu", "--port", str(port)]
        command += ["--base-directory", str(self.base)]
        command += ["--database-url", "sqlite:///:memory:", "--disable-api-nodes"]
        environment = {k: v for k, v in os.environ.items() if k != "GMI_LIBRARY"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=os.environ[DIR_VARIABLE],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self.address = f"http://127.0.0.1:{port}"
        self.wait(self._answers, "ComfyUI did not start")

    def stop(self) -> None:
        """Stop it as a user does who closes the window."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(errors="replace")[-3000:]
        try:
            self.get("/system_stats")
        except OSError:
            return False
        return True

    def wait(self, condition: Callable[[], Any], otherwise: str) -> Any:
        """Wait until something is true; returns it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        log = self.log.read_text(errors="replace")[-3000:]
        raise AssertionError(f"{otherwise} within {PATIENCE:.0f} s. The end of its log:\n{log}")

    # -- HTTP -------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """JSON of a GET request."""
        with urllib.request.urlopen(self.address + path, timeout=PATIENCE) as answer:
            return json.load(answer)

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
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else text

    def gmi(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer of a route of ours that is expected to succeed."""
        status, answer = self.post(f"/gmi/v1/{path}", body)
        assert status == 200, answer
        return answer

    # -- workflows --------------------------------------------------------------------------------

    def queue(self, graph: Graph) -> str:
        """Queue a workflow; returns its id. Every node must have been accepted."""
        status, answer = self.post("/prompt", {"prompt": graph})
        assert status == 200, answer
        assert answer["node_errors"] == {}
        return str(answer["prompt_id"])

    def finished(self, prompt_id: str) -> dict[str, Any]:
        """The history of a workflow, once it has run."""
        found: dict[str, Any] = self.wait(
            lambda: self.get(f"/history/{prompt_id}").get(prompt_id), "the workflow did not end"
        )
        return found

    def run(self, graph: Graph) -> dict[str, Any]:
        """Run a workflow to its end; returns the outputs of its nodes."""
        history = self.finished(self.queue(graph))
        assert history["status"]["status_str"] == "success", history["status"]
        outputs: dict[str, Any] = history["outputs"]
        return outputs

    def error(self, graph: Graph) -> str:
        """Run a workflow that fails; returns the message."""
        history = self.finished(self.queue(graph))
        assert history["status"]["status_str"] == "error", history["status"]
        errors = [m for kind, m in history["status"]["messages"] if kind == "execution_error"]
        return str(errors[0]["exception_message"])

    def saved(self, outputs: Mapping[str, Any], node: str) -> bytes:
        """The image that a Save Image node has written."""
        (image,) = outputs[node]["images"]
        return self.content("/view?" + urllib.parse.urlencode(image))

    # -- this extension ---------------------------------------------------------------------------

    def build_state(self) -> dict[str, Any]:
        """The build as it is now."""
        state: dict[str, Any] = self.get("/gmi/v1/build")
        return state

    def built(self, state: str = "idle") -> dict[str, Any]:
        """The build, once it is in this state and none of its jobs is left in the queue."""

        def settled() -> dict[str, Any] | None:
            now = self.build_state()
            quiet = not any(job for job in self.jobs())
            if now["state"] != state or not quiet:
                return None
            return None if self.get("/gmi/v1/library")["fitting"] else now

        found: dict[str, Any] = self.wait(settled, f"the build was not {state}")
        return found

    def build(self, limit: int, names: list[str] | None = None) -> dict[str, Any]:
        """Build to the end."""
        self.gmi("build", {"names": names, "limit": limit})
        return self.built()

    def jobs(self) -> list[Any]:
        """Jobs of builds that are queued or running."""
        queue = self.get("/queue")
        rows = queue["queue_running"] + queue["queue_pending"]
        return [row for row in rows if "gmi_build" in row[2]]

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the library says of each checkpoint, by name."""
        return {row["name"]: row for row in self.get("/gmi/v1/library")["checkpoints"]}

    def rank(self, image: bytes, **query: Any) -> dict[str, Any]:
        """The ranking for an image."""
        data = base64.b64encode(image).decode()
        ranking: dict[str, Any] = self.gmi("rank", {"images": [data], **query})
        return ranking

    def upload(self, image: bytes, name: str) -> str:
        """Put an image where Load Image finds it."""
        (self.base / "input" / name).write_bytes(image)
        return name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- checkpoints ----------------------------------------------------------------------------------


def install(server: ComfyServer, checkpoint: Path, name: str) -> None:
    """Put a checkpoint into ComfyUI's folder, without copying half a gigabyte."""
    target = server.checkpoints / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    os.link(checkpoint, target)


def quick_settings(server: ComfyServer, name: str, side: int = 64, steps: int = 2) -> None:
    """Make a checkpoint's samples small and quick, through the route that people's edits take."""
    settings: dict[str, Any] = {"width": side, "height": side, "steps": steps, "cfg": 1.0}
    settings |= {"sampler": "euler", "scheduler": "normal"}
    row = server.gmi("settings", {"name": name, "settings": settings})
    assert row["edited"]


# -- graphs ---------------------------------------------------------------------------------------


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node of a workflow."""
    return {"class_type": class_type, "inputs": inputs}


def text_to_image(
    loader: dict[str, Any],
    text: Any = "a red fox in the snow",
    seed: Any = 77,
    side: int = 64,
    steps: int = 2,
) -> Graph:
    """Loader → sampler → saved image, as ComfyUI's default workflow does it."""
    return {
        "loader": loader,
        "positive": node("CLIPTextEncode", text=text, clip=["loader", 1]),
        "negative": node("CLIPTextEncode", text="", clip=["loader", 1]),
        "latent": node("EmptyLatentImage", width=side, height=side, batch_size=1),
        "sampler": node(
            "KSampler",
            model=["loader", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=seed,
            steps=steps,
            cfg=1.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["loader", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="test"),
    }


def query(image: Any, **changes: Any) -> dict[str, Any]:
    """Inputs of a node that ranks."""
    inputs = {
        "image": image,
        "prompt": "",
        "top_k": 5,
        "method": "auto",
        "architecture": "any",
        "pattern": "",
        "lock_answer": False,
        "locked_answer": "",
    }
    return inputs | changes
