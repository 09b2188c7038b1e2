"""What this extension costs a real ComfyUI, beside what ComfyUI does without it.

    GMI_COMFYUI_DIR=… GMI_COMFYUI_PYTHON=… python -m benchmarks.comfyui [--json OUT]

Synthetic checkpoints on the CPU, 256 pixels, 20 steps. ``--rounds`` repeats the pairs; medians are
compared, because machines are shared and noisy.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "hosts"))

import numpy as np
from comfyui_server import PYTHON_VARIABLE, ROOT, ComfyServer, node, query, text_to_image
from mini_checkpoint import write_mini
from PIL import Image

from lib_gmi.records.prompts import default_prompt_set
from lib_gmi.submitting.recorder import BASE_SEED

from .speed import Comparison, report, write_json

SIDE, STEPS, PASSES = 256, 20, (4, 8)
NAME = "mini-1.safetensors"


def start_up(rounds: int) -> list[Comparison]:
    """Seconds until ComfyUI answers, with the extension and without it."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    reported = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for extension in (False, True):
                server = ComfyServer(Path(folder) / str(extension), extension)
                server.log.unlink(missing_ok=True)
                started = time.perf_counter()
                server.start()
                if number > 0:  # the first start compiles and reads from a cold disk
                    seconds[extension].append(time.perf_counter() - started)
                server.stop()
                found = re.findall(r"([\d.]+) seconds: .*find-best-model", server.log.read_text())
                reported += [float(value) for value in found]
    extra = median(seconds[True]) - median(seconds[False])
    return [
        Comparison("start-up with the extension, beyond without", "0.3 s", extra, 0.3, 1.0),
        Comparison("ComfyUI's own figure for it", "0.3 s", median(reported), 0.3, 1.0),
    ]


def building(server: ComfyServer, rounds: int) -> Comparison:
    """A build's passes, and the same images through API workflows; both load once a pass."""
    ours, theirs = [], []
    for number in range(rounds):
        # every round other settings, so that nothing is there yet
        settings: dict[str, Any] = {"width": SIDE, "height": SIDE, "steps": STEPS}
        settings |= {"cfg": 1.0 + number / 1000, "sampler": "euler", "scheduler": "normal"}
        server.gmi("settings", {"name": NAME, "settings": settings})
        theirs.append(_by_workflows(server, float(settings["cfg"])))
        free(server)
        started = time.perf_counter()
        state = server.build(PASSES[-1], [NAME])
        ours.append(time.perf_counter() - started)
        assert state["done"] == PASSES[-1], state
        free(server)
    return Comparison(
        f"build {PASSES[-1]} samples in {len(PASSES)} passes, encoder included",
        "the same images through API workflows, one load a pass",
        median(ours),
        median(theirs),
        1.1,
    )


def _by_workflows(server: ComfyServer, cfg: float) -> float:
    prompts = default_prompt_set().prompts
    total = 0.0
    for first, last in zip((0, *PASSES), PASSES, strict=False):
        free(server)
        started = time.perf_counter()
        queued = []
        for number in range(first, last):
            loader = node("CheckpointLoaderSimple", ckpt_name=NAME)
            graph = text_to_image(loader, prompts[number].text, BASE_SEED + number, SIDE, STEPS)
            graph["sampler"]["inputs"]["cfg"] = cfg
            queued.append(server.queue(graph))
        for prompt_id in queued:
            server.finished(prompt_id)
        total += time.perf_counter() - started
    return total


def free(server: ComfyServer) -> None:
    """Make ComfyUI forget what it has loaded and computed."""
    server.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(1.5)


def finding(server: ComfyServer, rounds: int) -> list[Comparison]:
    """The node's execution, warm, and the encoder's bare network in the same interpreter."""
    seconds: dict[str, list[float]] = {"an image again": [], "a new image": []}
    for number in range(rounds * 5 + 1):
        name = server.upload(picture(number), f"query-{number}.png")
        shown = {
            "image": node("LoadImage", image=name),
            "look": node("PreviewImage", images=["image", 0]),
        }
        server.run(shown)  # reading the file is no part of it
        for top_k, what in ((1, "a new image"), (2, "an image again")):
            graph = {
                **shown,
                "find": node("GMI_FindBestModel", **query(["image", 0], top_k=top_k)),
            }
            taken = execution(server.finished(server.queue(graph)))
            if number > 0:
                seconds[what].append(taken)
    bare = bare_network(os.environ[PYTHON_VARIABLE])
    against = "the encoder's bare network in ComfyUI's interpreter"
    return [
        Comparison(f"the node Find Best Model, warm, {what}", against, median(values), bare, 1.5)
        for what, values in seconds.items()
    ]


def next_run(server: ComfyServer, rounds: int) -> Comparison:
    """A workflow that somebody runs once more, after a build and without one in between."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    loader = node("CheckpointLoaderSimple", ckpt_name=NAME)
    seed = 0

    def run() -> float:
        nonlocal seed
        seed += 1
        return execution(server.finished(server.queue(text_to_image(loader, seed=seed))))

    for number in range(rounds):
        settings: dict[str, Any] = {"width": 64, "height": 64, "steps": 2}
        settings |= {"cfg": 2.0 + number / 1000, "sampler": "euler", "scheduler": "normal"}
        server.gmi("settings", {"name": "mini-2.safetensors", "settings": settings})
        run()
        seconds[False].append(run())
        assert server.build(4, ["mini-2.safetensors"])["done"] == 4
        seconds[True].append(run())
    print("next run, seconds, without a build in between:", seconds[False])
    print("next run, seconds, after a build:", seconds[True])
    after, before = median(seconds[True]), median(seconds[False])
    return Comparison("a workflow's next run, after a build", "without one", after, before, 1.3)


def execution(history: dict[str, Any]) -> float:
    """Seconds that ComfyUI took for a prompt."""
    stamps = {kind: data["timestamp"] for kind, data in history["status"]["messages"]}
    return float(stamps["execution_success"] - stamps["execution_start"]) / 1000


def picture(number: int) -> bytes:
    """A smooth picture of 512 × 512 pixels: PNG and WebP find it as hard as a photograph."""
    noise = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((512, 512), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def bare_network(interpreter: str) -> float:
    """Seconds that the encoder's network alone takes for one image in a host's interpreter."""
    code = (
        "import json; from benchmarks.speed import encoding; from PIL import Image;"
        "image = Image.effect_noise((512, 512), 80).convert('RGB');"
        "print(json.dumps(encoding(image).reference))"
    )
    command = [interpreter, "-c", code]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(json.loads(answer.stdout.splitlines()[-1]))


def measure(rounds: int) -> list[Comparison]:
    """Everything, on one machine in one run."""
    rows = start_up(rounds)
    with tempfile.TemporaryDirectory() as folder:
        server = ComfyServer(Path(folder))
        for variant in (1, 2):
            write_mini(server.checkpoints / f"mini-{variant}.safetensors", variant)
        server.start()
        try:
            settings: dict[str, Any] = {"width": 64, "height": 64, "steps": 2, "cfg": 1.0}
            server.gmi("settings", {"name": "mini-2.safetensors", "settings": settings})
            server.build(4, ["mini-2.safetensors"])  # loads the encoder
            rows.append(next_run(server, rounds))
            rows.append(building(server, rounds))
            rows += finding(server, rounds)
        finally:
            server.stop()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.rounds)
    print(report(rows))
    if arguments.json:
        write_json(arguments.json, rows)


if __name__ == "__main__":
    main()
