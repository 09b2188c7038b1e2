"""A real ComfyUI in a folder of its own, with this extension installed."""

from __future__ import annotations

import os
import urllib.error
import urllib.parse
from collections.abc import Mapping
from typing import Any

from host_server import ROOT, HostServer

__all__ = [
    "DIR_VARIABLE",
    "FRONTEND_VARIABLE",
    "PYTHON_VARIABLE",
    "ROOT",
    "ComfyServer",
    "Graph",
    "node",
    "query",
    "text_to_image",
]

DIR_VARIABLE, PYTHON_VARIABLE = "GMI_COMFYUI_DIR", "GMI_COMFYUI_PYTHON"
#: Of the static files of another front end than the host's own.
FRONTEND_VARIABLE = "GMI_COMFYUI_FRONTEND"

Graph = dict[str, dict[str, Any]]


class ComfyServer(HostServer):
    """ComfyUI on the CPU, with a base folder of its own.

    Args:
        folder: holds models, inputs, outputs, the user directory and ``custom_nodes``.
        extension: install this repository there.
    """

    title = "ComfyUI"
    dir_variable, python_variable = DIR_VARIABLE, PYTHON_VARIABLE
    extensions_folder, checkpoints_folder = "custom_nodes", "models/checkpoints"
    other_folders = ("input", "output", "temp", "user")
    library_folder = "user/gmi"

    def arguments(self, port: int) -> list[str]:
        arguments = ["main.py", "--cpu", "--port", str(port)]
        arguments += ["--base-directory", str(self.folder)]
        if frontend := os.environ.get(FRONTEND_VARIABLE):
            arguments += ["--front-end-root", frontend]
        return [*arguments, "--database-url", "sqlite:///:memory:", "--disable-api-nodes"]

    def environment(self) -> dict[str, str]:
        """Builds wait for nobody, unless a test says otherwise by its ``variables``."""
        return super().environment() | {"GMI_IDLE_MINUTES": "0"}

    def wait_until_started(self) -> None:
        """Wait until it answers."""
        self.wait(self._answers, "ComfyUI did not start")

    def _answers(self) -> bool:
        self.assert_alive()
        try:
            self.get("/system_stats")
        except OSError:
            return False
        return True

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

    def jobs(self) -> list[Any]:
        """Jobs of builds that are queued or running."""
        queue = self.get("/queue")
        rows = queue["queue_running"] + queue["queue_pending"]
        return [row for row in rows if "gmi_build" in row[2]]

    def has_jobs(self) -> bool:
        """Whether this ComfyUI has routes for jobs, which its newer queue panel asks."""
        try:
            self.get("/api/jobs?limit=1")
        except urllib.error.HTTPError:
            return False
        return True

    def cancel(self, prompt_id: str) -> None:
        """Cancel one job, queued or running, as this ComfyUI's queue panel does."""
        if self.has_jobs():
            assert self.post(f"/api/jobs/{prompt_id}/cancel", {}) == (200, {"cancelled": True})
            return
        running = [row[1] for row in self.get("/queue")["queue_running"]]
        if prompt_id in running:
            self.post("/interrupt", {"prompt_id": prompt_id})
        else:
            self.post("/queue", {"delete": [prompt_id]})

    def upload(self, image: bytes, name: str) -> str:
        """Put an image where Load Image finds it."""
        (self.folder / "input" / name).write_bytes(image)
        return name


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
