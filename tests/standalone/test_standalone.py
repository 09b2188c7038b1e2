"""``gmi ui``: a folder of images, a library alone, and the page on each generation of gradio."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCE_ROOT, TINY, picture, write_image_folder
from environments import GENERATIONS, interpreter
from standins.colours import ColourSpace

from lib_gmi.base.errors import GMIError, HostError, PromptSetError
from lib_gmi.base.paths import data_folder
from lib_gmi.cli.main import main
from lib_gmi.encoders import DEFAULT
from lib_gmi.hosts.folder import FolderHost
from lib_gmi.library.catalogue import Library
from lib_gmi.search.query import Query
from lib_gmi.standalone import desktop
from lib_gmi.standalone.desktop import Desktop
from lib_gmi.submitting.submit import build
from lib_gmi.ui.bridge import Bridge

CANDIDATES = ("alpha", "beta", "gamma <b>")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "images here", CANDIDATES)


@pytest.fixture
def library(library_folder: Path) -> Library:
    return Library(library_folder)


def settled(found: Desktop) -> Desktop:
    """Wait until answers have followed the library."""
    found.api.builds.queue.join(60)  # type: ignore[attr-defined]  it is a WorkerQueue
    while found.api.library()["fitting"]:
        time.sleep(0.01)
    return found


# -- a folder of images ---------------------------------------------------------------------------


def test_a_folder_is_built_and_ranked(folder: Path, library: Library) -> None:
    found = settled(desktop.of_folder(folder, library))
    assert found.abilities.build
    rows = found.api.library()["checkpoints"]
    assert [(row["title"], row["state"], row["samples"]) for row in rows] == [
        (name, "none", 0) for name in CANDIDATES
    ]

    found.api.start_build({})
    settled(found)

    listed = found.api.library()
    assert [(r["state"], r["samples"], r["of"]) for r in listed["checkpoints"]] == [
        ("ready", 6, 6)
    ] * 3
    ranking = found.api.service.answers.rank([picture(1, 901)])
    answer = found.api.ranking_json(ranking, 3)
    assert answer["candidates"][0]["title"] == "beta"
    assert answer["missing"] == 0


def test_the_images_of_a_folder_are_shown(folder: Path, library: Library) -> None:
    """``gmi build`` keeps no copies of images that exist; the tab makes what it shows."""
    build(host := FolderHost(folder), host.prompt_set, library, DEFAULT)
    found = settled(desktop.of_folder(folder, library))
    rows = found.api.library()["checkpoints"]
    assert [len(row["previews"]) for row in rows] == [4, 4, 4]
    ranking = found.api.ranking_json(found.api.service.answers.rank([picture(1, 901)]), 3)
    pictures = [e["image"] for row in ranking["candidates"] for e in row["evidence"]]
    assert len(pictures) == 6
    for address in pictures:
        stem, file = address.rsplit("/", 2)[1:]
        path = found.api.sample(stem, file)
        assert path is not None
        assert path.read_bytes()[:4] == b"RIFF"


def test_the_images_of_a_folder_are_searched(folder: Path, library: Library) -> None:
    found = settled(desktop.of_folder(folder, library))
    found.api.start_build({})
    settled(found)
    damaged = next((folder / "images" / "beta").glob("p05.*"))
    damaged.write_bytes(b"no image any more")
    searches, query = found.api.searches, Query(images=[picture(0, 0)])
    searches.load = ColourSpace
    assert not searches.ready(query), "the first question makes small copies, and reads them"
    searches.wait(60)
    assert searches.state()["error"] is None
    assert searches.ready(query), "what cannot be copied is not tried again and again"
    hits = searches.samples(query, 50, None).hits
    assert len(hits) == 3 * 6 - 1
    assert {hit.checkpoint for hit in hits} == set(CANDIDATES)
    assert not [hit for hit in hits if Path(hit.file).is_relative_to(folder)], "copies, kept apart"


def test_what_gmi_build_began_is_gone_on_with(folder: Path, library: Library) -> None:
    host = FolderHost(folder)
    build(host, host.prompt_set, library, DEFAULT, limit=4)
    found = settled(desktop.of_folder(folder, library))
    assert {row["state"] for row in found.api.library()["checkpoints"]} == {"quick"}
    found.api.start_build({"names": ["alpha"]})
    settled(found)
    samples = {row["title"]: row["samples"] for row in found.api.library()["checkpoints"]}
    assert samples == {"alpha": 6, "beta": 4, "gamma <b>": 4}
    assert len(library.entries()) == 3


def test_a_prompt_without_an_image_is_no_failure(folder: Path, library: Library) -> None:
    (folder / "images" / "alpha" / "p05.png").unlink()
    found = settled(desktop.of_folder(folder, library))
    found.api.start_build({})
    settled(found)
    samples = {row["title"]: row["samples"] for row in found.api.library()["checkpoints"]}
    assert samples == {"alpha": 5, "beta": 6, "gamma <b>": 6}
    assert found.api.build()["state"] == "idle"


@pytest.mark.parametrize(("missing", "error"), [("images", HostError), ("", PromptSetError)])
def test_a_folder_that_is_none(
    tmp_path: Path, library: Library, missing: str, error: type[GMIError]
) -> None:
    (tmp_path / "x" / ("" if missing else "images")).mkdir(parents=True)
    with pytest.raises(error, match="x"):
        desktop.of_folder(tmp_path / "x", library)


# -- a library alone ------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("catalogue.json", ".lock")
    }


def test_an_empty_library_gives_way_to_the_models_that_ship(library: Library) -> None:
    shipped = data_folder() / "embedded"
    before = tree(shipped)
    found = desktop.of_library(library)
    assert "ship with this program" in found.about
    listed = found.api.library()
    assert len(listed["checkpoints"]) == 63
    assert not any(any(row["missing"].values()) for row in listed["checkpoints"])
    assert listed["prompts"] == 25
    assert not found.abilities.build
    answer = found.api.ranking_json(found.api.service.answers.rank([picture(1, 901)]), 3)
    assert len(answer["candidates"]) == 3
    assert answer["missing"] == 0
    assert answer["candidates"][0]["evidence"][0]["prompt"].count(" ") >= 1

    name = listed["checkpoints"][0]["name"]
    assert found.api.set_favourite({"name": name, "marked": True})["marked"]
    assert (library.folder / "favourites.json").is_file()
    for change in (
        lambda: found.api.start_build({}),
        lambda: found.api.resume_build({}),
        lambda: found.api.rebuild({"names": [name]}),
        lambda: found.api.remove({"names": [name]}),
        lambda: found.api.set_settings({"name": name, "settings": {"steps": 4}}),
    ):
        with pytest.raises(GMIError, match=r"cannot be removed|no program here"):
            change()
    assert found.api.pause_build({})["state"] == "idle"
    assert found.api.cancel_build({})["state"] == "idle"
    assert found.api.verify({})["good"] == 63
    assert tree(shipped) == before


@pytest.fixture
def own(folder: Path, library: Library) -> Library:
    """A library that somebody has built, with a prompt set and an encoder of its own."""
    host = FolderHost(folder)
    build(host, host.prompt_set, library, TINY)
    return library


def test_a_library_of_ones_own_is_ranked(own: Library) -> None:
    found = desktop.of_library(own)
    assert str(own.folder) in found.about
    listed = found.api.library()
    rows = [(row["title"], row["state"], row["samples"]) for row in listed["checkpoints"]]
    assert rows == [(name, "ready", 6) for name in CANDIDATES]
    assert (listed["prompts"], listed["gone"]) == (6, [])
    ranking = found.api.service.answers.rank([picture(1, 901)])
    assert ranking.candidates[0].candidate.title == "beta"


def test_nothing_is_lost_for_a_build_that_cannot_be(own: Library) -> None:
    found = desktop.of_library(own)
    with pytest.raises(HostError, match="gmi ui FOLDER"):
        found.api.rebuild({"names": ["alpha"]})
    assert len(own.entries()) == 3
    assert found.api.remove({"names": ["alpha"]}) == {"removed": 1}
    assert [row["title"] for row in found.api.library()["checkpoints"]] == ["beta", "gamma <b>"]


def test_a_build_of_a_program_waits_where_it_is(own: Library) -> None:
    """The library may be a program's, with a build that is paused."""
    kept = {"wanted": True, "names": None, "limit": 4, "pace": {}}
    file = own.folder / "build.json"
    file.write_text(json.dumps(kept), encoding="utf-8")
    found = desktop.of_library(own)
    assert found.api.build()["state"] == "idle"
    found.api.cancel_build({})
    assert json.loads(file.read_text(encoding="utf-8")) == kept


def test_what_there_is_no_program_for(own: Library) -> None:
    found: Bridge = desktop.of_library(own)
    image = picture(0, 0)
    assert found.current() is None
    assert not found.preferences().blur
    assert (found.waiting_for(), found.seconds_per_sample()) == (None, None)
    assert found.prompt_of(image) is None
    for ask in (
        lambda: found.load("alpha"),
        lambda: found.compare(["alpha"], "a cat", 1),
        lambda: found.make_preview("alpha"),
    ):
        with pytest.raises(HostError, match="no program"):
            ask()


# -- the command ----------------------------------------------------------------------------------


def test_without_gradio_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["ui", "--no-browser"]) == 2
    assert "pip install 'find-best-model[ui]'" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x"])
def test_ports_that_are_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ui", f"--port={port}"])
    assert "--port" in capsys.readouterr().err


def test_looking_at_the_help_loads_nothing() -> None:
    code = (
        "import sys; from lib_gmi.cli.main import main\n"
        "try: main(['ui', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'gradio', 'fastapi', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=SOURCE_ROOT, capture_output=True)


# -- the page -------------------------------------------------------------------------------------


class Running:
    """``gmi ui`` in another environment."""

    def __init__(self, generation: str, *arguments: str) -> None:
        quiet = {"PYTHONPATH": str(SOURCE_ROOT), "HF_HUB_OFFLINE": "1"}
        command = [
            str(interpreter(generation)),
            "-W",
            "ignore",
            "-u",
            "-m",
            "lib_gmi.cli",
            "ui",
        ]
        # a shell that starts tests in the background makes them deaf to it, and their children
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [*command, "--no-browser", *arguments],
                env={**os.environ, **quiet},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def wait_for_address(self) -> tuple[str, int]:
        """Host and port of the page."""
        assert self.process.stdout is not None
        late = threading.Timer(180, self.process.kill)
        late.start()
        for line in self.process.stdout:
            if line.startswith("Open "):
                late.cancel()
                host, port = line.split()[1].removeprefix("http://").rstrip("/").split(":")
                return host, int(port)
        late.cancel()
        raise AssertionError(self.process.communicate()[1])

    def end(self) -> tuple[int, str]:
        """Press Ctrl+C; returns the exit code and what was said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        said = "".join(self.process.communicate(timeout=60))
        return self.process.returncode, said


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> str:
    interpreter(request.param)
    return str(request.param)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str, headers: Any = None) -> tuple[Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_the_page_is_served_to_this_machine_only(
    generation: str, port: int, folder: Path, library: Library
) -> None:
    running = Running(generation, str(folder), f"--port={port}", f"--library={library.folder}")
    try:
        assert running.wait_for_address() == ("127.0.0.1", port)
        response, page = get(port, "/")
        assert response.status == 200
        assert b"gmi_root" in page
        listed = json.loads(get(port, "/gmi/v1/library")[1])
        assert [row["title"] for row in listed["checkpoints"]] == list(CANDIDATES)
        assert get(port, "/docs")[0].status == 200
        # no other website may read what is here
        other = {"Origin": "http://evil.example"}
        assert get(port, "/gmi/v1/library", other)[0].status == 403
        for path in ("/", "/config"):
            response, _ = get(port, path, other)
            assert response.headers.get("Access-Control-Allow-Origin") not in ("*", other["Origin"])
        # nor use or frame it, also not by another name for this machine
        rebound = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
        for path in ("/", "/config", "/gmi/v1/library"):
            assert get(port, path, rebound)[0].status == 403
            assert get(port, path, {"Sec-Fetch-Site": "cross-site"})[0].status == 403
        link = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        response, _ = get(port, "/", {"Sec-Fetch-Site": "cross-site", **link})
        assert response.status == 200
        assert response.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        for path in ("/upload", "/gradio_api/upload", "/run/predict"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", path, b"{}", other)
            assert connection.getresponse().status == 403
            connection.close()
    finally:
        code, said = running.end()
    assert code == 0, said
    assert "Traceback" not in said


def test_a_port_that_is_taken(generation: str, port: int, library: Library) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        running = Running(generation, f"--port={port}", f"--library={library.folder}")
        assert running.process.wait(180) == 2
    said = "".join(running.process.communicate())
    assert str(port) in said
    assert "Traceback" not in said
