"""The sidebar in a real Chromium, against a stand-in for ComfyUI's front end and its server."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCE_ROOT, picture
from environments import chromium

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

#: What the extension takes from ComfyUI's front end; ``answers`` and ``asked`` are the test's.
API = """
export const api = {
  addEventListener() {},
  apiURL: (path) => path,
  async fetchApi(path, options = {}) {
    const name = `${options.method ?? "GET"} ${path.replace("/gmi/v1/", "")}`;
    asked.push(options.body ? `${name} ${options.body}` : name);
    return { ok: true, status: 200, json: async () => structuredClone(answers[name]) };
  },
};
"""
APP = "export const app = { extensionManager: { setting: { get: () => 'en' } } };"
PAGE = """<!doctype html><link rel="stylesheet" href="./gmi/style.css">
<div id="place"></div><script>
const answers = ANSWERS, asked = [];
</script><script type="module">
import { mountSidebar } from "./gmi/sidebar.js";
mountSidebar(document.getElementById("place"));
</script>"""
#: Of a checkpoint and of a file: whatever shows them as markup makes an element of them.
HOSTILE = "<img src=x onerror=alert(1)>"


def row(name: str, state: str, **more: Any) -> dict[str, Any]:
    known = {"title": name, "kind": "checkpoint", "reason": None, "samples": 0, "of": 55}
    known |= {"stored": 0, "harvested": 0, "previews": [], "missing": {"4": 4, "55": 55}}
    known |= {"size": 1, "architecture": "sd1", "acceleration": None, "edited": False}
    return {"name": name, "state": state, **known, **more}


def library(*rows: dict[str, Any], first_run: bool = False) -> dict[str, Any]:
    empty: dict[str, Any] = {"gone": [], "groups": [], "architectures": []}
    build = {"state": "idle", "message": "", "failed": False, "problems": [], "current": None}
    known = {"prompts": 55, "passes": [4, 55], "seconds_per_sample": None, "build": build}
    return {**empty, **known, "checkpoints": list(rows), "first_run": first_run}


def harvest(state: str, **more: Any) -> dict[str, Any]:
    counts = {"files": 0, "done": 0, "total": 0, "title": None, "message": "", "silent": 0}
    lists: dict[str, Any] = {"crops": [], "left_out": [], "foreign": [], "built": []}
    return {"state": state, **counts, **lists, **more}


FOUND = harvest(
    "ready",
    crops=[
        {"name": "alpha", "title": HOSTILE, "images": 9, "missing": 0},
        {"name": "beta", "title": "beta", "images": 3, "missing": 5},
    ],
    left_out=[{"what": "too small", "images": 4}, {"what": "a grid", "images": 2}],
    foreign=[{"what": HOSTILE, "images": 3}],
    silent=7,
)


class Handler(SimpleHTTPRequestHandler):
    """ComfyUI's addresses: its scripts, and the extension's ``web`` under ``/extensions/gmi``."""

    def do_GET(self) -> None:
        texts = {"/scripts/api.js": API, "/scripts/app.js": APP}
        if self.path in texts:
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.end_headers()
            self.wfile.write(texts[self.path].encode())
            return
        self.path = self.path.removeprefix("/extensions/gmi")
        super().do_GET()

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(SOURCE_ROOT / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")  # for longer, other tests could not run an event loop
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


class Front:
    """A page with the sidebar in it."""

    def __init__(self, browser: Any, address: str, **answers: Any) -> None:
        self.complaints: list[str] = []
        self.page = browser.new_page(viewport={"width": 420, "height": 900})
        self.page.set_default_timeout(10_000)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append("a name was run"))
        content = PAGE.replace("ANSWERS", json.dumps(answers).replace("<", "\\u003c"))
        url = f"{address}/extensions/gmi/page.html"
        self.page.route(url, lambda route: route.fulfill(body=content, content_type="text/html"))
        self.page.goto(url)
        self.page.wait_for_selector(".gmi-sidebar", state="attached")

    def answer(self, **answers: Any) -> None:
        self.page.evaluate("more => Object.assign(answers, more)", answers)

    def asked(self, name: str) -> list[str]:
        asked: list[str] = self.page.evaluate("() => asked")
        return [row for row in asked if row.startswith(name)]

    def click(self, text: str) -> None:
        self.page.click(f".gmi-sidebar button:visible:has-text('{text}')")

    def see(self, text: str) -> None:
        self.page.wait_for_selector(f".gmi-sidebar :visible >> text={text}")


def answers(**more: Any) -> dict[str, Any]:
    return {"GET library": library(row("alpha", "none")), "GET harvest": harvest("idle"), **more}


def first_run(**more: Any) -> dict[str, Any]:
    known = library(row("alpha", "none"), row("beta", "none"), first_run=True)
    return answers(**{"GET library": known, **more})


def test_the_first_run_looks_at_images_by_itself(browser: Any, address: str) -> None:
    looking = {"POST harvest/look": harvest("looking"), "GET harvest": harvest("looking")}
    front = Front(browser, address, **first_run(**looking))
    front.see("Your images are being looked at")
    front.answer(**{"GET harvest": FOUND})
    front.see("Your images already say enough for 1 of 2 checkpoints.")
    front.see("The rest are 4 images")
    assert front.asked("POST") == ['POST harvest/look {"once":true}'], "nothing else was started"

    front.answer(**{"POST harvest/start": harvest("gathering", title="alpha", total=1)})
    front.click("Use them, and build the rest")

    front.see("alpha · 1 / 1")
    (sent,) = front.asked("POST harvest/start")
    assert sent == 'POST harvest/start {"names":null,"lossy":false,"rest":4}'
    assert front.complaints == []
    front.page.close()


def test_a_first_look_can_be_stopped_and_begun_again(browser: Any, address: str) -> None:
    looking = {"POST harvest/look": harvest("looking"), "GET harvest": harvest("looking")}
    stopped = harvest("idle", message="Stopped. What was stored before is kept.")
    front = Front(browser, address, **first_run(**looking, **{"POST harvest/cancel": stopped}))

    front.click("Stop")

    front.see("Or begin with images that you already have:")
    front.answer(**{"POST harvest/look": FOUND})
    front.click("Look at them")
    front.see("images are missing: 5")
    assert front.asked("POST harvest/look")[1:] == ['POST harvest/look {"lossy":false}']
    assert front.complaints == []
    front.page.close()


def test_images_that_are_not_enough_are_said_to_be(browser: Any, address: str) -> None:
    poor = {**FOUND, "crops": FOUND["crops"][1:]}
    front = Front(browser, address, **first_run(**{"POST harvest/look": poor}))
    front.see("Your images do not say enough yet.")
    front.click("Show what they say")
    front.see("images are missing: 5")
    assert front.complaints == []
    front.page.close()


def test_images_are_looked_at_used_and_listed(browser: Any, address: str) -> None:
    front = Front(browser, address, **answers())
    front.page.get_by_role("radio", name="Checkpoints").check()
    front.see("Images often say which checkpoint made them.")
    looking = harvest("looking", files=300)
    front.answer(**{"POST harvest/look": looking, "GET harvest": looking})

    front.page.get_by_label("Also JPEGs").check()
    front.click("Look at my images")

    front.see("Images looked at: 300")
    assert front.page.locator("button:visible:has-text('Look')").count() == 0
    front.answer(**{"GET harvest": FOUND})
    front.see("Look again")
    crops = front.page.locator(".gmi-crop").all_inner_texts()
    assert [text.split("\n") for text in crops] == [
        [HOSTILE, "9", "enough"],
        ["beta", "3", "images are missing: 5"],
    ]
    front.see("Not used (6)")
    front.see("Made with checkpoints that are not installed (3)")
    front.see("Images that do not say what made them: 7")
    assert front.page.locator(".gmi-harvest img").count() == 0, "names are text"

    polls = len(front.asked("GET harvest"))
    front.page.wait_for_timeout(2500)
    assert len(front.asked("GET harvest")) == polls, "nothing goes on, so nobody asks"

    gathering = harvest("gathering", title=HOSTILE, done=0, total=1)
    done = {**FOUND, "built": [{"title": HOSTILE, "images": 9}]}
    after = library(row("alpha", "harvested", harvested=9), row("beta", "none"))
    changes = {"POST harvest/start": gathering, "GET harvest": done, "GET library": after}
    front.answer(**changes)
    front.click("Use them")
    front.see("samples: 9")
    front.see("from your images, 9")
    front.see("1 of 2 checkpoints have one")
    (sent,) = front.asked("POST harvest/start")
    assert sent == 'POST harvest/start {"names":null,"lossy":true,"rest":null}'
    assert front.page.locator("button:visible:has-text('Use them')").count() == 0
    front.page.get_by_role("radio", name="Ready").check()
    assert front.page.locator(".gmi-checkpoint").count() == 1
    front.see("1 checkpoint")
    assert front.page.get_by_label("Select alpha").is_enabled(), "it can be built as well"
    assert front.complaints == []
    front.page.close()


def test_reading_images_can_be_stopped(browser: Any, address: str) -> None:
    looking = harvest("looking", files=100)
    front = Front(browser, address, **answers(**{"GET harvest": looking}))
    front.page.get_by_role("radio", name="Checkpoints").check()
    stopped = harvest("idle", message="Stopped. What was stored before is kept.")
    front.answer(**{"POST harvest/cancel": looking})

    front.click("Stop")
    front.answer(**{"GET harvest": stopped})

    front.see("Stopped. What was stored before is kept.")
    front.see("Look at my images")
    assert front.complaints == []
    front.page.close()


def test_what_the_file_says_stands_before_the_ranking(
    browser: Any, address: str, tmp_path: Path
) -> None:
    front = Front(browser, address, **answers())
    ranking = {"verdict": "beta.", "method": "m", "reason": "r", "foreign": False, "notes": []}
    ranking |= {"candidates": [], "prompt": None, "missing": 0, "conformal": 0, "excluded": []}
    said = [{"image": n, "sentence": f"Made with {HOSTILE}.", "installed": "a"} for n in (1, 2)]
    said.append({"image": 3, "sentence": "Made with gone.", "installed": None})
    front.answer(**{"POST rank": {**ranking, "made_with": said}})
    picture(1, 1).save(tmp_path / "liked.png")

    front.page.set_input_files(".gmi-sidebar input[accept='image/*']", str(tmp_path / "liked.png"))

    front.see("beta.")
    texts = front.page.locator(".gmi-ranking > :is(.gmi-made-with, .gmi-verdict)").all_inner_texts()
    assert [text.split("\n")[0] for text in texts] == [
        f"Made with {HOSTILE}.",
        "Made with gone.",
        "beta.",
    ]
    assert front.page.locator(".gmi-made-with button").count() == 1, "only what is installed"
    assert front.page.locator(".gmi-ranking img").count() == 0
    assert front.complaints == []
    front.page.close()


# -- packs ----------------------------------------------------------------------------------------

SCRIPT = "javascript:alert(1)"


def packs(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"packs": list(rows), "writable": True, "limit": 1000, "checks": {}, **more}


def pack(**more: Any) -> dict[str, Any]:
    texts = {"title": HOSTILE, "author": HOSTILE, "licence": "CC0-1.0", "problem": None}
    counts = {"specifications": 12, "installed": 7}
    return {"id": "0" * 32, "link": "https://example.org/", **texts, **counts, **more}


def checkpoints(browser: Any, address: str, **more: Any) -> Front:
    front = Front(browser, address, **answers(**more))
    front.page.get_by_role("radio", name="Checkpoints").check()
    return front


def test_packs_are_listed_and_what_they_say_is_only_text(browser: Any, address: str) -> None:
    bad = pack(id="1" * 32, link=SCRIPT, licence="", problem=HOSTILE, specifications=1)
    front = checkpoints(browser, address, **{"GET packs": packs(pack(), bad)})
    front.see("12 specifications, 7 installed")
    front.see("licence not stated")
    assert front.page.locator(".gmi-pack img").count() == 0
    (link,) = front.page.locator(".gmi-pack a").all()
    assert link.get_attribute("href") == "https://example.org/"
    assert (link.get_attribute("rel"), link.get_attribute("target")) == (
        "noopener noreferrer",
        "_blank",
    )
    assert front.complaints == []
    front.page.close()


def test_a_pack_is_imported_and_removed(browser: Any, address: str, tmp_path: Path) -> None:
    front = checkpoints(browser, address, **{"GET packs": packs()})
    front.see("A pack holds specifications")
    new = {"title": HOSTILE, "new": True}
    front.answer(**{"POST packs/import": new, "GET packs": packs(pack())})
    (tmp_path / "a.gmipack").write_bytes(b"content")
    front.page.set_input_files("input[accept='.gmipack']", str(tmp_path / "a.gmipack"))
    front.see("imported. Files of yours")
    front.see("12 specifications")
    (sent,) = front.asked("POST packs/import")
    assert sent.endswith(',Y29udGVudA=="}')

    front.answer(**{"POST packs/remove": {}, "GET packs": packs()})
    front.page.get_by_label("Remove the pack").click()
    front.see('It is kept in the library\'s folder "removed"')
    assert front.asked("POST packs/remove") == [], "it asks first"
    front.page.locator(".gmi-pack").get_by_role("button", name="Remove", exact=True).click()
    front.see("gmi pack import brings it back")
    assert front.asked("POST packs/remove") == [f'POST packs/remove {{"name":"{"0" * 32}"}}']
    assert front.page.locator(".gmi-pack").count() == 0
    assert front.complaints == []
    front.page.close()


def test_a_large_pack_is_not_even_sent(browser: Any, address: str, tmp_path: Path) -> None:
    front = checkpoints(browser, address, **{"GET packs": packs()})
    front.see("Import a pack")
    (tmp_path / "a.gmipack").write_bytes(bytes(1001))
    front.page.set_input_files("input[accept='.gmipack']", str(tmp_path / "a.gmipack"))
    front.see("Larger ones go with the command line: gmi pack import.")
    assert front.asked("POST") == []
    front.page.close()


def test_a_library_that_is_read_only_takes_no_packs(browser: Any, address: str) -> None:
    front = checkpoints(browser, address, **{"GET packs": packs(pack(), writable=False)})
    front.see("12 specifications")
    assert front.page.locator("button:visible:has-text('Import a pack')").count() == 0
    assert front.page.get_by_label("Remove the pack").count() == 0
    front.page.close()


def test_a_packs_entry_is_checked_from_its_row(browser: Any, address: str) -> None:
    known = library(row("alpha", "imported"), row("beta", "none"))
    front = checkpoints(browser, address, **{"GET library": known, "GET packs": packs(pack())})
    front.page.get_by_label("Details of beta").click()
    assert front.page.locator("button:visible:has-text('Check the pack')").count() == 0
    front.page.get_by_label("Details of alpha").click()
    waiting = {"name": "alpha", "state": "waiting", "sentence": "", "doubtful": None}
    asked = {"POST packs/check": waiting, "GET packs": packs(pack(), checks={"alpha": waiting})}
    front.answer(**asked)
    front.click("Check the pack")
    front.see("The check waits for its turn in ComfyUI's queue.")
    assert front.page.get_by_role("button", name="Check the pack").is_disabled()
    done = {**waiting, "state": "done", "sentence": f"alpha: like {HOSTILE}.", "doubtful": True}
    front.answer(**{"GET packs": packs(pack(), checks={"alpha": done})})
    front.page.wait_for_selector(".gmi-row-checked .gmi-notice-caution >> text=alpha: like <img")
    assert front.asked("POST packs/check") == ['POST packs/check {"name":"alpha"}']
    polls = len(front.asked("GET packs"))
    front.page.wait_for_timeout(4000)
    assert len(front.asked("GET packs")) == polls, "nothing goes on, so nobody asks"
    assert front.page.locator(".gmi-row-checked img").count() == 0
    assert front.complaints == []
    front.page.close()


def test_what_is_not_installed_comes_below_the_ranking(
    browser: Any, address: str, tmp_path: Path
) -> None:
    front = Front(browser, address, **answers())
    ranking = {"verdict": "beta.", "method": "m", "reason": "r", "foreign": False, "notes": []}
    ranking |= {"candidates": [], "prompt": None, "missing": 0, "conformal": 0, "excluded": []}
    stranger = {"title": HOSTILE, "pack": HOSTILE, "author": "Ada", "score": 1.0}
    elsewhere = [{**stranger, "page": page} for page in ("https://example.org/", SCRIPT, None)]
    front.answer(**{"POST rank": {**ranking, "elsewhere": elsewhere}})
    picture(1, 1).save(tmp_path / "liked.png")
    front.page.set_input_files("input[accept='image/*']", str(tmp_path / "liked.png"))
    front.see("Not installed, but closer")
    assert front.page.locator(".gmi-elsewhere li").count() == 3
    (link,) = front.page.locator(".gmi-elsewhere a").all()
    assert link.get_attribute("rel") == "noopener noreferrer"
    assert front.page.locator(".gmi-ranking img").count() == 0
    assert front.complaints == []
    front.page.close()
