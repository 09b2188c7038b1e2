"""The routes over HTTP: what they answer, and whom they refuse."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from conftest import picture
from standins.colours import ColourSpace, plain
from yarl import URL

from lib_gmi.comfyui import start
from lib_gmi.library.packs import PackAbout, with_full_hashes, write_pack
from lib_gmi.ranking import trust
from lib_gmi.routes.api import ROUTES
from lib_gmi.routes.fields import MAX_UPLOAD
from lib_gmi.routes.origin import HOSTS_VARIABLE
from lib_gmi.routes.route import MAX_BODY
from lib_gmi.search.index import FolderIndex

if TYPE_CHECKING:
    from pathlib import Path

    from standins.comfyui.harness import Comfy

pytest_plugins = ["standins.comfyui.harness"]

#: Every route that changes something, with a request that would work.
CHANGES: dict[str, dict[str, Any]] = {
    "rank": {"images": []},
    "search": {"tags": ["picture"]},
    "search/read": {},
    "search/cancel": {},
    "describe": {"images": []},
    "build": {"names": None, "limit": 4},
    "build/pause": {},
    "build/resume": {},
    "build/cancel": {},
    "harvest/look": {},
    "harvest/start": {"names": None, "lossy": False},
    "harvest/cancel": {},
    "packs/import": {"data": ""},
    "packs/check": {"name": "alpha.safetensors"},
    "packs/remove": {"name": "some"},
    "settings": {"name": "alpha.safetensors", "settings": {"steps": 9}},
    "remove": {"names": ["alpha.safetensors"]},
}
LOOKS = [row.path for row in ROUTES if row.method == "GET" and not row.missing]
UPLOADS = ("rank", "describe", "search", "packs/import")
EVERY_CHANGE = pytest.mark.parametrize("path", CHANGES)
#: Whether a text is that of a Python error.
TRACES = ("Traceback", 'File "', "Error:", ".py")


class Answer:
    """What came back of one request."""

    def __init__(self, status: int, headers: Any, content: bytes) -> None:
        self.status, self.headers, self.content = status, headers, content

    @property
    def json(self) -> Any:
        """The answer's JSON; every answer but a picture has some."""
        assert self.headers["Content-Type"].startswith("application/json"), self.content
        return json.loads(self.content)

    @property
    def error(self) -> str:
        """The sentence of an error, which is all that it says."""
        (error,) = self.json.values()
        assert self.json == {"error": error}
        assert error.endswith("."), error
        assert not any(trace in error for trace in TRACES), error
        return str(error)


def ask(comfy: Comfy, method: str, path: str, prefix: str = "/gmi/v1/", **options: Any) -> Answer:
    """One request to a server that has this extension's routes, as ComfyUI serves them."""

    async def exchange() -> Answer:
        server = comfy.server
        server.routes = web.RouteTableDef()
        start()
        app = web.Application(client_max_size=200 << 20)
        copies = web.RouteTableDef()
        for route in server.routes:
            copies.route(route.method, "/api" + route.path)(route.handler)
        app.add_routes(copies)
        app.add_routes(server.routes)
        async with TestClient(TestServer(app)) as client:
            url = client.make_url("/")
            url = URL(f"{url.scheme}://{url.authority}{prefix}{path}", encoded=True)
            async with client.session.request(method, url, **options) as response:
                return Answer(response.status, response.headers, await response.read())

    return asyncio.run(exchange())


def get(comfy: Comfy, path: str, **options: Any) -> Answer:
    return ask(comfy, "GET", path, **options)


def post(comfy: Comfy, path: str, body: Any = None, **options: Any) -> Answer:
    return ask(comfy, "POST", path, json=CHANGES[path] if body is None else body, **options)


def data_url(style: int, content: int = 901) -> str:
    """An uploaded picture."""
    file = io.BytesIO()
    picture(style, content, 64).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def rows(comfy: Comfy) -> dict[str, Any]:
    return {row["name"]: row for row in get(comfy, "library").json["checkpoints"]}


# -- looking --------------------------------------------------------------------------------------


def test_a_library_that_is_still_empty_is_shown_as_such(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    library = get(comfy, "library").json
    (row,) = library["checkpoints"]
    assert (library["prompts"], library["passes"], library["first_run"]) == (6, [4, 6], True)
    assert (row["state"], row["samples"], row["of"]) == ("none", 0, 6)
    assert (row["built"], row["previews"], row["group"], row["edited"]) == (None, [], None, False)
    assert library["seconds_per_sample"] is None
    assert library["samplers"] == comfy.module("comfy.samplers").SAMPLER_NAMES
    assert library["build"]["state"] == "idle"


def test_the_library_shows_every_checkpoint_with_its_samples(built: Comfy) -> None:
    built.add("delta.safetensors", 4)
    library = get(built, "library").json
    assert not library["first_run"]
    assert library["architectures"] == ["sd1"]
    found = {row["name"]: (row["state"], row["samples"]) for row in library["checkpoints"]}
    assert found == {
        "alpha.safetensors": ("ready", 6),
        "anime/beta.safetensors": ("ready", 6),
        "delta.safetensors": ("none", 0),
        "gamma.safetensors": ("ready", 6),
    }
    row = library["checkpoints"][0]
    assert (row["kind"], row["architecture"], row["edited"]) == ("checkpoint", "sd1", True)
    assert row["size"] == (built.checkpoints / "alpha.safetensors").stat().st_size
    assert row["settings"]["steps"] == 3
    assert len(row["previews"]) == 4


def test_specifications_of_checkpoints_that_are_gone_are_listed_apart(built: Comfy) -> None:
    identity = built.candidate("gamma.safetensors").identity
    (built.checkpoints / "gamma.safetensors").unlink()
    library = get(built, "library").json
    assert "gamma.safetensors" not in [row["name"] for row in library["checkpoints"]]
    gone = {"title": "gamma", "name": "gamma.safetensors", "identity": identity, "samples": 6}
    assert library["gone"] == [gone]


def test_a_sample_is_a_picture_that_may_be_kept(built: Comfy) -> None:
    address = rows(built)["alpha.safetensors"]["previews"][0]
    answer = ask(built, "GET", address, prefix="")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/webp")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "max-age" in answer.headers["Cache-Control"]
    assert answer.content[8:12] == b"WEBP"
    assert ask(built, "GET", address, prefix="/api").content == answer.content


@pytest.mark.parametrize(
    "path",
    [
        "samples/../build.json",
        "samples/%2e%2e/build.json",
        "samples/..%2f..%2f/etc%2fpasswd",
        "samples/{folder}/..%2f..%2fbuild.json",
        "samples/{folder}/%2e%2e%5cbuild.json",
        "samples/{folder}/p00-1000.webp%00.png",
        "samples/{folder}/p99-1000.webp",
        "samples/{folder}/secret.webp",
        "samples/{folder}/",
        "samples/" + "0" * 32 + "/p00-1000.webp",
    ],
)
def test_nothing_but_samples_can_be_read(path: str, built: Comfy) -> None:
    folder = built.runtime.service.library.folder
    stem = next((folder / "samples").iterdir()).name
    (folder / "samples" / stem / "secret.webp").write_bytes(b"secret")
    (folder / "build.json").write_bytes(b"secret")
    answer = get(built, path.format(folder=stem))
    assert answer.status == 404
    assert b"secret" not in answer.content


@pytest.mark.skipif(os.name == "nt", reason="making links needs a right that few have")
def test_a_sample_that_is_a_link_is_not_followed(built: Comfy, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = next((built.runtime.service.library.folder / "samples").iterdir())
    (folder / "p77-1.webp").symlink_to(tmp_path / "secret")
    assert get(built, f"samples/{folder.name}/p77-1.webp").status == 404
    assert get(built, f"samples/{folder.name}/p77-1.webp").error == "There is no such sample."


@pytest.mark.parametrize(
    ("file", "status"),
    [
        ("one.png", 200),
        ("not-read.png", 404),
        ("..%2Fsecret.png", 404),
        ("one.png%00", 404),
        ("%2Fetc%2Fpasswd", 404),
        ("", 404),
    ],
)
def test_pictures_of_folders_are_only_those_that_were_read(
    file: str, status: int, built: Comfy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = tmp_path / "images"
    outputs.mkdir()
    plain("red").save(outputs / "one.png")
    service = built.runtime.service
    index = FolderIndex(service.library.folder, outputs, ColourSpace.id, ColourSpace.dim)
    index.update(ColourSpace())
    plain("red").save(outputs / "not-read.png")
    plain("red").save(tmp_path / "secret.png")
    monkeypatch.setattr(service.host, "image_folders", lambda: [outputs])
    answer = get(built, f"search/picture?folder={quote(str(outputs))}&file={file}")
    assert answer.status == status
    assert (answer.content[8:12] == b"WEBP") == (status == 200)
    monkeypatch.setattr(service.host, "image_folders", list)
    assert get(built, f"search/picture?folder={quote(str(outputs))}&file={file}").status == 404


@pytest.mark.parametrize(
    "name", ["", "alpha.safetensors", "recipe:nobody's", "recipe:", "recipe:%00"]
)
def test_a_workflow_that_nobody_made_is_an_error(name: str, built: Comfy) -> None:
    answer = get(built, f"recipe?name={name}")
    assert answer.status == 400
    assert answer.error


def test_the_workflow_of_a_recipe_can_be_had(comfy: Comfy) -> None:
    from lib_gmi.service import recipes

    service = comfy.runtime.service
    wanted = recipes.next_prompt(service, "my own", "natural")
    graph = {"5": {"class_type": "KSampler", "inputs": {}}}
    recipes.add(service, wanted, picture(1, 1, 64), recipes.Workflow(graph, "fingerprint"))
    assert get(comfy, "recipe?name=recipe:my%20own").json == {"graph": graph}
    assert rows(comfy)["recipe:my own"]["kind"] == "recipe"


# -- ranking --------------------------------------------------------------------------------------


def test_an_uploaded_image_is_ranked(built: Comfy) -> None:
    answer = post(built, "rank", {"images": [data_url(2)], "top": 2})
    assert answer.status == 200
    first, second = answer.json["candidates"]
    assert (first["rank"], first["name"], first["installed"]) == (1, "anime/beta.safetensors", True)
    assert second["rank"] == 2
    assert ask(built, "GET", first["evidence"][0]["image"], prefix="").status == 200


def test_a_ranking_is_the_same_under_both_of_comfyuis_prefixes(built: Comfy) -> None:
    body = {"images": [data_url(3), data_url(3, 902)], "prompt": "picture number 1"}
    one = ask(built, "POST", "rank", json=body)
    other = ask(built, "POST", "rank", prefix="/api/gmi/v1/", json=body)
    assert one.status == 200
    assert one.json == other.json


def test_filters_and_methods_go_into_the_ranking(built: Comfy) -> None:
    body = {"images": [data_url(2)], "pattern": "!anime/", "method": "rkme-clip"}
    ranking = post(built, "rank", body).json
    assert ranking["method"] == "rkme-clip"
    assert {row["title"] for row in ranking["candidates"]} == {"alpha", "gamma"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"images": []},
        {"images": "data:image/png;base64,AAAA"},
        {"images": [1]},
        {"images": ["%%%"]},
        {"images": ["data:image/png;base64,AAAA"]},
        {"images": [""]},
        {"images": ["AAAA"] * 9},
        {"images": ["AAAA"], "top": 0},
        {"images": ["AAAA"], "top": True},
        {"images": ["AAAA"], "method": "best"},
        {"images": ["AAAA"], "method": ["auto"]},
        {"images": ["AAAA"], "prompt": 7},
        {"images": ["AAAA"], "prompt": "x" * 5001},
        {"images": ["AAAA"], "pattern": None},
    ],
)
def test_a_malformed_query_is_an_error_that_says_what_is_wrong(
    body: dict[str, Any], built: Comfy
) -> None:
    answer = post(built, "rank", body)
    assert answer.status == 400
    assert answer.error


@pytest.mark.parametrize(
    "change",
    [
        {"top": 0},
        {"top": True},
        {"top": 2.0},
        {"method": "best"},
        {"prompt": 7},
        {"prompt": "x" * 5001},
        {"pattern": "x" * 501},
        {"architecture": ["sd1"]},
        {"architecture": "flux"},
    ],
)
def test_a_good_image_does_not_excuse_a_bad_option(change: dict[str, Any], built: Comfy) -> None:
    assert post(built, "rank", {"images": [data_url(2)]}).status == 200
    answer = post(built, "rank", {"images": [data_url(2)], **change})
    assert answer.status == 400
    assert answer.error


def test_a_query_before_anything_was_built_says_what_to_do(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    answer = post(comfy, "rank", {"images": [data_url(2)]})
    assert (answer.status, "Build" in answer.error) == (400, True)


# -- changing -------------------------------------------------------------------------------------


def test_a_build_is_started_paused_resumed_and_cancelled(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    state = post(comfy, "build", {"names": ["beta.safetensors"], "limit": 4}).json
    assert (state["state"], state["total"], state["limit"]) == ("running", 4, 4)
    assert comfy.queue.get_tasks_remaining() == 1
    assert comfy.seen.loads == []
    assert post(comfy, "build/pause").json["state"] == "paused"
    assert comfy.queue.get_tasks_remaining() == 0
    assert post(comfy, "build/resume").json["state"] == "running"
    assert comfy.work() == ["beta.safetensors to 4"]
    state = get(comfy, "build").json
    assert (state["state"], state["done"], state["message"]) == ("idle", 4, "Done.")
    assert post(comfy, "build", {}).json["total"] == 6 + 2
    assert post(comfy, "build/cancel").json["state"] == "idle"
    assert comfy.work() == []


@pytest.mark.parametrize(
    "body",
    [
        {"names": ["missing.safetensors"]},
        {"names": ["../alpha.safetensors"]},
        {"names": []},
        {"names": "alpha.safetensors"},
        {"names": [1]},
        {"limit": 0},
        {"limit": 7},
        {"limit": "4"},
        {"limit": 4.0},
    ],
)
def test_a_build_that_makes_no_sense_is_not_started(body: dict[str, Any], comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    answer = post(comfy, "build", body)
    assert answer.status == 400
    assert answer.error
    assert comfy.queue.get_tasks_remaining() == 0


# -- images that exist ----------------------------------------------------------------------------


def read(comfy: Comfy) -> Any:
    """What the harvest says, once nothing is going on."""
    comfy.runtime.api.harvests.join(60)
    return get(comfy, "harvest").json


def test_images_that_exist_become_a_specification(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    comfy.add("beta.safetensors", 2)
    for number in range(9):
        comfy.save(comfy.output, f"a{number}.png", "alpha.safetensors", 1, number)
    comfy.save(comfy.output, "b.png", "beta.safetensors", 2, 20)
    comfy.save(comfy.output / "sub", "c.png", "<b>nobody</b>.safetensors", 3, 21)
    picture(3, 22, 256).save(comfy.output / "silent.png")
    assert get(comfy, "harvest").json["state"] == "idle"
    assert post(comfy, "harvest/look").json["state"] == "looking"
    found = read(comfy)
    assert [(r["name"], r["images"], r["missing"]) for r in found["crops"]] == [
        ("alpha.safetensors", 9, 0),
        ("beta.safetensors", 1, 7),
    ]
    assert found["foreign"] == [{"what": "<b>nobody</b>.safetensors", "images": 1}]
    assert (found["silent"], found["built"]) == (1, [])
    assert get(comfy, "library").json["first_run"], "looking builds nothing"
    post(comfy, "harvest/start")
    assert read(comfy)["built"] == [{"title": "alpha", "images": 9}]
    library = get(comfy, "library").json
    assert not library["first_run"]
    states = {r["name"]: (r["state"], r["harvested"], r["samples"]) for r in library["checkpoints"]}
    assert states["alpha.safetensors"] == ("harvested", 9, 0)
    assert states["beta.safetensors"] == ("none", 0, 0)
    assert comfy.seen.loads == [], "nothing is generated for it"
    answer = post(comfy, "rank", {"images": [data_url(1)]}).json
    assert [row["name"] for row in answer["candidates"]] == ["alpha.safetensors"]


def test_a_page_looks_by_itself_once_and_the_rest_is_built(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    for number in range(9):
        comfy.save(comfy.output, f"a{number}.png", "alpha.safetensors", 1, number)
    once = {"once": True}
    assert post(comfy, "harvest/start", {"rest": 4}).error.startswith("Nobody has looked")
    assert post(comfy, "harvest/look", once).json["state"] == "looking"
    looked = read(comfy)
    assert looked["state"] == "ready"
    assert post(comfy, "harvest/look", once).json == looked, "nobody looks a second time"
    post(comfy, "harvest/start", {"rest": 4})
    assert read(comfy)["built"] == [{"title": "alpha", "images": 9}]
    assert comfy.work() == ["beta.safetensors to 4"]


# -- packs ----------------------------------------------------------------------------------------


def export(comfy: Comfy, names: set[str], path: Path) -> str:
    """A pack of what was built of these, as a data URL."""
    library = comfy.runtime.service.library
    wanted = [s for s in library.snapshot().specifications if s.candidate.name in names]
    hashed = with_full_hashes(wanted, comfy.checkpoints)
    write_pack(path, hashed, PackAbout("theirs", "<b>Ada</b>", "CC0-1.0", "https://example.org/"))
    return "data:;base64," + base64.b64encode(path.read_bytes()).decode()


@pytest.fixture
def theirs(built: Comfy, tmp_path: Path) -> Comfy:
    """Beta is known by a pack only, gamma by one and not installed any more."""
    names = {"anime/beta.safetensors", "gamma.safetensors"}
    data = export(built, names, tmp_path / "theirs.gmipack")
    gamma = built.candidate("gamma.safetensors").identity
    (built.checkpoints / "gamma.safetensors").unlink()
    post(built, "remove", {"names": ["anime/beta.safetensors"]})
    post(built, "remove", {"names": [gamma], "gone": True})
    assert post(built, "packs/import", {"data": data}).json == {"title": "theirs", "new": True}
    assert post(built, "packs/import", {"data": data}).json == {"title": "theirs", "new": False}
    return built


def test_a_pack_is_listed_and_stands_in_for_what_was_not_built(theirs: Comfy) -> None:
    said = get(theirs, "packs").json
    (pack,) = said["packs"]
    assert (pack["title"], pack["author"], pack["link"]) == (
        "theirs",
        "<b>Ada</b>",
        "https://example.org/",
    )
    assert (pack["specifications"], pack["installed"], pack["problem"]) == (2, 1, None)
    assert (said["writable"], said["limit"], said["checks"]) == (True, MAX_UPLOAD, {})
    states = {name: row["state"] for name, row in rows(theirs).items()}
    assert states == {"alpha.safetensors": "ready", "anime/beta.safetensors": "imported"}


def test_what_only_a_pack_knows_comes_after_the_ranking(theirs: Comfy) -> None:
    answer = post(theirs, "rank", {"images": [data_url(3)]}).json
    assert "gamma" not in [row["title"] for row in answer["candidates"]]
    (row,) = answer["elsewhere"]
    assert (row["title"], row["pack"], row["author"]) == ("gamma", "theirs", "<b>Ada</b>")
    assert row["page"].startswith("https://")


def test_a_pack_is_removed_and_kept(theirs: Comfy) -> None:
    assert post(theirs, "packs/remove", {"name": "theirs"}).json == {}
    assert get(theirs, "packs").json["packs"] == []
    assert rows(theirs)["anime/beta.safetensors"]["state"] == "none"
    (kept,) = (theirs.runtime.service.library.folder / "removed").glob("pack-*")
    theirs.runtime.service.states.packs.import_file(kept)
    assert len(get(theirs, "packs").json["packs"]) == 1


def test_a_check_of_a_pack_goes_through_the_queue(
    theirs: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_MIN_CANDIDATES", 1)  # a library this small tells nothing
    monkeypatch.setattr(trust, "MIN_PROMPTS", 1)
    name = "anime/beta.safetensors"
    monkeypatch.setattr("lib_gmi.comfyui.runtime._apart", lambda work: work())
    theirs.restart()
    assert post(theirs, "packs/check", {"name": "alpha.safetensors"}).status == 400
    assert post(theirs, "packs/check", {"name": name}).json["state"] == "waiting"
    assert post(theirs, "packs/check", {"name": name}).json["state"] == "waiting"
    assert theirs.seen.loads == [], "nothing is generated outside of the queue"
    assert theirs.work() == [f"check of {name}"], "asked for twice and queued once"
    outcome = get(theirs, "packs").json["checks"][name]
    assert (outcome["state"], outcome["doubtful"]) == ("done", False)
    assert outcome["sentence"].startswith("beta: nothing speaks against the pack")
    assert theirs.events("gmi.check")[-1] == outcome


def test_a_check_that_is_taken_out_of_the_queue_is_over(theirs: Comfy) -> None:
    name = "anime/beta.safetensors"
    post(theirs, "packs/check", {"name": name})
    theirs.queue.wipe_queue()
    assert "taken out" in get(theirs, "packs").json["checks"][name]["sentence"]


def test_a_check_that_cannot_be_made_says_why(theirs: Comfy) -> None:
    name = "anime/beta.safetensors"
    post(theirs, "packs/check", {"name": name})
    theirs.work()
    outcome = get(theirs, "packs").json["checks"][name]
    assert outcome["state"] == "failed"
    assert "too little to compare with" in outcome["sentence"]


def test_pausing_a_build_leaves_a_check_in_the_queue(theirs: Comfy) -> None:
    theirs.add("delta.safetensors", 4)
    post(theirs, "build", {"names": ["delta.safetensors"], "limit": 4})
    post(theirs, "packs/check", {"name": "anime/beta.safetensors"})
    post(theirs, "build/pause")
    assert theirs.work() == ["check of anime/beta.safetensors"]


def test_what_an_uploaded_file_says_comes_with_the_ranking(built: Comfy) -> None:
    path = built.save(built.input, "liked.png", "gamma.safetensors", 2, 901)
    url = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    answer = post(built, "rank", {"images": [data_url(2), url]}).json
    (said,) = answer["made_with"]
    assert (said["image"], said["installed"]) == (2, "gamma.safetensors")
    assert answer["candidates"][0]["name"] == "anime/beta.safetensors"


def test_settings_are_changed_and_given_back(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    before = rows(comfy)["alpha.safetensors"]
    row = post(comfy, "settings").json
    assert (row["settings"]["steps"], row["edited"]) == (9, True)
    assert rows(comfy)["alpha.safetensors"] == row
    row = post(comfy, "settings", {"name": "alpha.safetensors", "settings": None}).json
    assert row == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": 7},
        {"name": "missing.safetensors", "settings": {}},
        {"name": "alpha.safetensors", "settings": []},
        {"name": "alpha.safetensors", "settings": {"steps": "many"}},
        {"name": "alpha.safetensors", "settings": {"width": 65}},
        {"name": "alpha.safetensors", "settings": {"codec": "source"}},
    ],
)
def test_settings_that_make_no_sense_change_nothing(body: dict[str, Any], comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    before = rows(comfy)
    answer = post(comfy, "settings", body)
    assert answer.status == 400
    assert answer.error
    assert rows(comfy) == before


def test_every_setting_that_is_shown_can_be_sent_back(comfy: Comfy) -> None:
    """A front end that edits one field and sends the whole form must not be refused."""
    comfy.add("alpha.safetensors", 1)
    shown = rows(comfy)["alpha.safetensors"]["settings"]
    sent = {key: value for key, value in shown.items() if value is not None}
    row = post(comfy, "settings", {"name": "alpha.safetensors", "settings": sent}).json
    assert row["settings"] == shown


def test_specifications_are_removed_and_kept_aside(built: Comfy) -> None:
    assert post(built, "remove").json == {"removed": 1}
    assert rows(built)["alpha.safetensors"]["state"] == "none"
    removed = built.runtime.service.library.folder / "removed"
    assert len(list(removed.glob("*.safetensors"))) == 1
    ranking = post(built, "rank", {"images": [data_url(1)]}).json
    assert "alpha" not in [row["title"] for row in ranking["candidates"]]


@pytest.mark.parametrize("names", [None, [], ["missing"], [["alpha.safetensors"]], "alpha"])
def test_removing_what_is_not_there_is_an_error(names: Any, built: Comfy) -> None:
    answer = post(built, "remove", {"names": names})
    assert answer.status == 400
    assert answer.error
    assert rows(built)["alpha.safetensors"]["samples"] == 6


# -- who is refused -------------------------------------------------------------------------------


@EVERY_CHANGE
def test_requests_of_other_websites_are_refused(path: str, built: Comfy) -> None:
    before = rows(built)
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = post(built, path, headers=headers)
        assert answer.status == 403, headers
        assert answer.error
    assert rows(built) == before
    assert built.queue.get_tasks_remaining() == 0


@pytest.mark.parametrize("path", [*LOOKS, "samples/a/b.webp", "search/picture"])
def test_nothing_is_read_by_other_websites(path: str, built: Comfy) -> None:
    for headers in (
        {"Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Host": "localhost:8188", "X-Forwarded-Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        answer = get(built, path, headers=headers)
        assert answer.status == 403, headers
        assert answer.error


@pytest.mark.parametrize("public", [False, True])
def test_any_name_will_do_where_comfyui_was_started_for_others(
    public: bool, comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = SimpleNamespace(listen="0.0.0.0,::" if public else "127.0.0.1,::1")
    monkeypatch.setitem(sys.modules, "comfy.cli_args", SimpleNamespace(args=args))  # type: ignore[arg-type]
    tunnel = {"Host": "abc.tunnel.example", "Origin": "https://abc.tunnel.example"}
    assert get(comfy, "library", headers=tunnel).status == (200 if public else 403)


@EVERY_CHANGE
def test_requests_of_the_servers_own_page_are_answered(path: str, built: Comfy) -> None:
    headers = {"Host": "localhost:8188", "Origin": "http://localhost:8188"}
    headers["Sec-Fetch-Site"] = "same-origin"
    body = {"images": [data_url(1)]} if path in ("rank", "describe") else None
    answer = post(built, path, body, headers=headers)
    if path.startswith("packs/"):  # there is none, and it is the handler that says so
        assert (answer.status, "pack" in answer.error) == (400, True)
    else:
        assert answer.status == 200


def test_the_name_of_a_proxy_can_be_allowed(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Host": "images.example", "Origin": "https://images.example"}
    answer = post(comfy, "build/pause", headers=headers)
    assert (answer.status, HOSTS_VARIABLE in answer.error) == (403, True)
    monkeypatch.setenv(HOSTS_VARIABLE, "images.example")
    assert post(comfy, "build/pause", headers=headers).status == 200


@EVERY_CHANGE
def test_nothing_but_json_is_accepted(path: str, comfy: Comfy) -> None:
    """A form on another website can send these types without asking, but not JSON."""
    data = json.dumps(CHANGES[path]).encode()
    types = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "")
    for type_ in types:
        answer = ask(comfy, "POST", path, data=data, headers={"Content-Type": type_})
        assert answer.status == 415, type_
        assert "application/json" in answer.error


@EVERY_CHANGE
def test_what_is_no_json_object_is_an_error(path: str, comfy: Comfy) -> None:
    headers = {"Content-Type": "application/json"}
    deep, long = b"[" * 100_000, b"1" * 5000
    for data in (b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", deep, long):
        answer = ask(comfy, "POST", path, data=data, headers=headers)
        assert answer.status == 400, data[:20]
        assert "JSON" in answer.error


@EVERY_CHANGE
def test_looking_at_a_change_is_not_possible(path: str, comfy: Comfy) -> None:
    answer = ask(comfy, "GET", path)
    assert answer.status == (200 if path in ("build", "search") else 405)
    assert comfy.queue.get_tasks_remaining() == 0


def raw(comfy: Comfy, *lines: str) -> int:
    """The status of a request that is written by hand and has no body."""

    async def exchange() -> int:
        comfy.server.routes = web.RouteTableDef()
        start()
        app = web.Application(client_max_size=200 << 20)
        app.add_routes(comfy.server.routes)
        async with TestServer(app) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            head = [*lines, "Host: localhost", "Content-Type: application/json", "", ""]
            writer.write("\r\n".join(head).encode())
            status = await asyncio.wait_for(reader.readline(), 10)
            writer.close()
            await writer.wait_closed()
        return int(status.split()[1])

    return asyncio.run(exchange())


@EVERY_CHANGE
def test_a_request_that_is_too_large_is_refused_before_it_is_read(path: str, comfy: Comfy) -> None:
    limit = MAX_UPLOAD * 3 // 2 if path in UPLOADS else MAX_BODY
    line = f"POST /gmi/v1/{path} HTTP/1.1"
    assert raw(comfy, line, f"Content-Length: {limit + 1}") == 413
    assert raw(comfy, line, f"Content-Length: {10**18}") == 413


@EVERY_CHANGE
def test_a_request_has_to_say_how_long_it_is(path: str, comfy: Comfy) -> None:
    assert raw(comfy, f"POST /gmi/v1/{path} HTTP/1.1", "Transfer-Encoding: chunked") == 411


# -- what goes wrong ------------------------------------------------------------------------------


def test_an_unexpected_error_is_one_sentence_and_the_rest_is_in_the_log(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*inputs: Any) -> Any:
        raise ZeroDivisionError("a secret of the machine")

    api = type(comfy.runtime.api)
    for name in ("library", "build", "rank", "start_build"):
        monkeypatch.setattr(api, name, fails)
    answers = [
        get(comfy, "library"),
        get(comfy, "build"),
        post(comfy, "rank"),
        post(comfy, "build"),
    ]
    for answer in answers:
        assert answer.status == 500
        assert "log" in answer.error
        assert "secret" not in answer.error
    logged = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [str(error) for error in logged] == ["a secret of the machine"] * len(answers)


@pytest.mark.parametrize(
    "path", ["library", "build", "recipe?name=recipe:a", f"samples/{'0' * 32}/a-1.webp"]
)
def test_a_library_that_cannot_be_used_is_said_by_every_route(
    path: str, comfy: Comfy, library_folder: Path
) -> None:
    library_folder.write_text("not a folder")
    answer = get(comfy, path)
    assert answer.status == 500
    assert "is not a folder" in answer.error


@EVERY_CHANGE
def test_a_library_that_cannot_be_used_is_said_by_every_change(
    path: str, comfy: Comfy, library_folder: Path
) -> None:
    library_folder.write_text("not a folder")
    answer = post(comfy, path)
    assert answer.status == 500
    assert "is not a folder" in answer.error


@pytest.mark.parametrize(("method", "path"), [("GET", "library"), ("POST", "build/pause")])
def test_a_slow_answer_does_not_hold_up_the_server(
    method: str, path: str, comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def works(*inputs: Any) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return {}

    for name in ("library", "pause_build"):
        monkeypatch.setattr(type(comfy.runtime.api), name, works)
    assert ask(comfy, method, path, json={}).status == 200
    assert threads
    assert threading.main_thread() not in threads  # which is the one that serves


def test_routes_do_nothing_before_the_first_request(comfy: Comfy, library_folder: Path) -> None:
    from lib_gmi.comfyui import runtime

    mappings, names = start()
    assert mappings.keys() == names.keys()
    assert runtime._runtime is None
    assert not library_folder.exists()
