"""What this extension costs a real AUTOMATIC1111 web UI, beside what it does without it.

    GMI_A1111_DIR=… GMI_A1111_PYTHON=… python -m benchmarks.a1111 [--json OUT]

Synthetic checkpoints on the CPU, 256 pixels, 20 steps, and Chromium for what a person waits for.
``--rounds`` repeats the pairs; medians are compared, because machines are shared and noisy.

GNU's OpenMP lets the threads of whoever computes first in a process wait by spinning, and lets all
others sleep, which makes small layers up to a third slower: a build would be compared to the web
UI's own requests by who came first. So all threads sleep here, on both sides
(``OMP_WAIT_POLICY=PASSIVE``).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "hosts"))

from mini_checkpoint import write_mini
from webui_server import (
    A1111Server,
    install_mini,
    quick_settings,
)

from lib_gmi.records.prompts import default_prompt_set
from lib_gmi.submitting.recorder import BASE_SEED

from .comfyui import bare_network, picture
from .speed import Comparison, report, write_json

SIDE, STEPS, SAMPLES = 256, 20, 4
NAME, OTHER = "mini-1.safetensors", "mini-2.safetensors"
#: What a browser and a server may take on top of the ranking itself.
UI_SECONDS = 0.1


def start_up(checkpoint: Path, rounds: int) -> list[Comparison]:
    """The web UI's own figure for its start, with the extension and without it."""
    totals: dict[bool, list[float]] = {True: [], False: []}
    own = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for extension in (False, True):
                data = Path(folder) / str(extension)
                server = A1111Server(data, extension, ["--log-startup"])
                if not (server.checkpoints / NAME).exists():
                    install_mini(server, checkpoint, NAME)
                server.start()
                if number > 0:  # the first start compiles and reads from a cold disk
                    totals[extension].append(server.startup_seconds()["total"])
                    if extension:
                        own.append(_own_seconds(server.text()))
                server.stop()
                server.log.unlink()
    extra = median(totals[True]) - median(totals[False])
    return [
        Comparison("start-up with the extension, beyond without", "0.3 s", extra, 0.3, 1.0),
        Comparison(
            "its script and its routes by the web UI's figures", "0.3 s", median(own), 0.3, 1.0
        ),
    ]


def _own_seconds(log: str) -> float:
    """Loading our script, and our callback once the server runs."""
    script = re.findall(r"gmi\.py: done in ([0-9.]+)s", log)
    started = re.findall(r"app_started_callback:.*?__init__\.py: done in ([0-9.]+)s", log, re.S)
    return float(script[-1]) + float(started[-1])


def building(server: A1111Server, rounds: int) -> Comparison:
    """A build, and the same images through the web UI's API."""
    prompts = default_prompt_set().prompts[:SAMPLES]
    ours, theirs = [], []
    for number in range(rounds):
        cfg = 1.0 + number / 1000  # every round other settings, so that nothing is there yet
        settings: dict[str, Any] = {"width": SIDE, "height": SIDE, "steps": STEPS, "cfg": cfg}
        settings |= {"sampler": "euler", "scheduler": "normal"}
        row = server.gmi("settings", {"name": NAME, "settings": settings})
        started = time.perf_counter()
        for index, prompt in enumerate(prompts):
            server.generate(
                "mini-1",
                BASE_SEED + index,
                prompt=prompt.text,
                negative_prompt=row["settings"]["negative"],
                width=SIDE,
                height=SIDE,
                steps=STEPS,
                cfg_scale=cfg,
            )
        theirs.append(time.perf_counter() - started)
        started = time.perf_counter()
        server.gmi("build", {"names": [NAME], "limit": SAMPLES})
        _wait_for_build(server)
        ours.append(time.perf_counter() - started)
    return Comparison(
        f"build {SAMPLES} samples, encoder included",
        "the same images through txt2img of the API",
        median(ours),
        median(theirs),
        1.1,
    )


def _wait_for_build(server: A1111Server) -> None:
    """Ask twice a second: more often, and asking would be what is measured on two cores."""
    while server.build_state()["state"] != "idle":
        time.sleep(0.5)


#: The page's own clock: what the test tool needs to hand over a file is not ours.
_CLOCK = """() => {
  let began = 0;
  const file = document.querySelector("#gmi_file"), result = document.querySelector("#gmi_result");
  const begin = () => { began = performance.now(); };
  file.addEventListener("change", begin, { capture: true, once: true });
  window.gmiClock = new Promise((resolve) => new MutationObserver((_, observer) => {
    if (!result.querySelector("[data-gmi-card]")) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
  }).observe(result, { childList: true, subtree: true }));
}"""


def dropping(server: A1111Server, rounds: int) -> Comparison:
    """From dropping an image to the ranking on the page, warm."""
    from playwright.sync_api import sync_playwright

    taken = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-quic"]
        )
        page = browser.new_page()
        page.goto(server.address)
        page.get_by_role("button", name="Find Best Model", exact=True).first.click()
        page.wait_for_selector("#gmi_root[data-ready]")
        for number in range(rounds * 3 + 1):
            for _ in range(page.locator("[data-gmi=remove-image]").count()):
                page.locator("[data-gmi=remove-image]").first.click()
            page.wait_for_function("!document.querySelector('[data-gmi-card]')")
            data = picture(number + 1000)
            page.evaluate(_CLOCK)
            page.set_input_files(
                "#gmi_file", {"name": "q.png", "mimeType": "image/png", "buffer": data}
            )
            seconds = page.evaluate("window.gmiClock") / 1000
            if number > 0:
                taken.append(seconds)
        browser.close()
    bare = bare_network(os.environ[A1111Server.python_variable])
    allowed = 1.5 * bare + UI_SECONDS
    name = f"1.5 × the encoder's bare network ({bare * 1000:.0f} ms) + {UI_SECONDS * 1000:.0f} ms"
    return Comparison("from drop to ranking in Chromium, warm", name, median(taken), allowed, 1.0)


def measure(rounds: int) -> list[Comparison]:
    """Everything, on one machine in one run."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # see above
    with tempfile.TemporaryDirectory() as folder:
        minis = [write_mini(Path(folder) / f"{n}.safetensors", n) for n in (1, 2)]
        rows = start_up(minis[0], rounds)
        server = A1111Server(Path(folder) / "data")
        for path, name in zip(minis, (NAME, OTHER), strict=True):
            install_mini(server, path, name)
        server.start()
        try:
            server.set_options(gmi_pause_while_i_work=False)
            quick_settings(server, OTHER)
            server.build(SAMPLES, [OTHER])  # loads the encoder
            rows.append(building(server, rounds))
            rows.append(dropping(server, rounds))
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
