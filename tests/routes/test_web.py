"""The routes on real gradio servers of each generation: what they answer, and whom they refuse."""

from __future__ import annotations

import base64
import http.client
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from conftest import picture
from environments import GENERATIONS, Program
from pack_files import ABOUT, good_pack

from lib_gmi.routes.api import ROUTES
from lib_gmi.routes.fields import MAX_UPLOAD
from lib_gmi.routes.origin import HOSTS_VARIABLE
from lib_gmi.routes.route import MAX_BODY, PREFIX
from lib_gmi.routes.web import TAG

NAME = "gamma.safetensors"
TRACES = ("Traceback", 'File "', ".py")
JSON = {"Content-Type": "application/json"}
ROBOT = {"Authorization": "Basic " + base64.b64encode(b"robot:key:with:colons").decode()}
THROUGH_A_PROXY = {"X-Forwarded-For": "203.0.113.5"}


class Answer:
    """What came back of one request."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.content = response.read()

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"].startswith("application/json"), self.content
        return json.loads(self.content)

    @property
    def error(self) -> str:
        """The sentence of an error, which is all that it says."""
        assert set(self.json) == {"error"}, self.content
        error = str(self.json["error"])
        assert not any(trace in error for trace in TRACES), error
        return error


class Server:
    """One of the servers of ``standins/gradio_server.py``."""

    def __init__(self, port: int, routes: list[tuple[str, str]], picture: str) -> None:
        self.port = port
        self.routes = routes
        self.sample = ""
        self.picture = picture

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Any = None) -> Answer:
        """One request, with just these headers besides ``Host`` and ``Content-Length``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, headers: Any = None) -> Answer:
        return self.ask("GET", f"{PREFIX}/{path}", headers=headers)

    def post(self, path: str, body: Any, headers: Any = None) -> Answer:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", f"{PREFIX}/{path}", sent, {**JSON, **(headers or {})})

    def use(self, method: str, path: str, headers: Any = None) -> Answer:
        """A request to a route that the right person gets a good answer to."""
        name = path.removeprefix(f"{PREFIX}/")
        if method == "POST":
            return self.post(name, BODIES[name], headers)
        name = self.picture if name == "search/picture" else name
        return self.get(self.sample if "{" in name else name, headers)

    def session(self) -> dict[str, str]:
        """Log in to gradio; returns the header of the session."""
        form = urlencode({"username": "ann", "password": "secret"}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.ask("POST", "/login", form, kind)
        assert answer.status == 200, answer.content
        cookies = [cookie.partition(";")[0] for cookie in answer.headers.get_all("Set-Cookie")]
        (unsecure,) = [cookie for cookie in cookies if "unsecure" in cookie]
        return {"Cookie": unsecure}


def data_url(style: int = 2) -> str:
    """An uploaded picture."""
    file = io.BytesIO()
    picture(style, 901, 64).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def packed() -> str:
    """An uploaded pack."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.gmipack"
        good_pack(path)
        return base64.b64encode(path.read_bytes()).decode()


PACK = packed()
BODIES: dict[str, dict[str, Any]] = {
    "rank": {"images": [data_url()]},
    "search": {"tags": ["picture"]},
    "search/read": {},
    "search/cancel": {},
    "describe": {"images": [data_url()], "interrogators": "labels"},
    "build": {"names": [NAME], "limit": 6},
    "build/pause": {},
    "build/resume": {},
    "build/cancel": {},
    "settings": {"name": "beta.safetensors", "settings": {"steps": 9}},
    "load": {"name": NAME},
    "favourite": {"name": NAME, "marked": True},
    "remove": {"names": ["alpha.safetensors"]},
    "rebuild": {"names": ["beta.safetensors"], "limit": 4},
    "verify": {},
    "harvest/look": {},
    "harvest/start": {"names": [NAME]},
    "harvest/cancel": {},
    "packs/import": {"data": PACK},
    "packs/check": {"name": NAME},
    "packs/remove": {"name": ABOUT.title},
}
#: Servers, how a stranger comes to each, and what the stranger is told.
STRANGERS: dict[str, tuple[dict[str, str], int]] = {
    "api-auth": ({}, 401),
    "gradio-auth": ({}, 401),
    "both": ({}, 401),
    "share-gradio-auth": ({}, 401),
    "listen-api-auth": ({}, 401),
    "bare": ({}, 401),
    "local": (THROUGH_A_PROXY, 403),
    "listen": (THROUGH_A_PROXY, 403),
    "share": ({}, 403),
}


@pytest.fixture(scope="module", params=GENERATIONS)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Server]]:
    """Servers by the way that they were started, on one generation of gradio."""
    folder = tmp_path_factory.mktemp("servers")
    program = Program(request.param, "standins.gradio_server", str(folder))
    found = {
        name: Server(told["port"], [(m, p) for m, p in told["routes"]], program.told["picture"])
        for name, told in program.told["servers"].items()
    }
    rows = found["local"].get("library").json["checkpoints"]
    (row,) = [row for row in rows if row["name"] == NAME]
    for server in found.values():
        server.sample = row["previews"][0].removeprefix(f"{PREFIX}/")
    yield found
    program.stop()


def test_every_route_is_there_and_none_was_forgotten_here(servers: dict[str, Server]) -> None:
    expected = {(row.method, row.path) for row in ROUTES}
    assert expected >= {("GET", "samples/{folder}/{file}"), ("GET", "search/picture")}
    for server in servers.values():
        assert {(m, p.removeprefix(f"{PREFIX}/")) for m, p in server.routes} == expected
    assert BODIES.keys() == {row.path for row in ROUTES if row.method == "POST"}


@pytest.mark.parametrize("mode", STRANGERS)
def test_every_route_refuses_a_stranger(servers: dict[str, Server], mode: str) -> None:
    headers, status = STRANGERS[mode]
    server = servers[mode]
    for method, path in server.routes:
        answer = server.use(method, path, headers)
        assert (answer.status, path) == (status, path)
        assert answer.error.startswith("Log in" if status == 401 else "This server asks nobody")
        # and does not say whether there is such a thing either
        assert server.ask(method, path, b"{}", {**headers, **JSON}).status == status


@pytest.mark.parametrize("mode", ["gradio-auth", "both", "api-auth"])
def test_every_route_refuses_wrong_credentials(servers: dict[str, Server], mode: str) -> None:
    server = servers[mode]
    wrong = {
        "Authorization": "Basic " + base64.b64encode(b"robot:key").decode(),
        "Cookie": "access-token=x; access-token-unsecure=x",
    }
    for method, path in server.routes:
        assert (server.use(method, path, wrong).status, path) == (401, path)


@pytest.mark.parametrize(
    ("mode", "comes_with"),
    [
        ("local", "nothing"),
        ("listen", "nothing"),
        ("api-auth", "credentials"),
        ("listen-api-auth", "credentials"),
        ("bare", "credentials"),
        ("gradio-auth", "session"),
        ("share-gradio-auth", "session"),
        ("both", "session"),
        ("both", "credentials"),
    ],
)
def test_every_route_serves_the_rightful_one(
    servers: dict[str, Server], mode: str, comes_with: str
) -> None:
    server = servers[mode]
    headers = {"credentials": ROBOT, "nothing": {}}.get(comes_with)
    headers = server.session() if headers is None else headers
    for method, path in server.routes:
        answer = server.use(method, path, headers)
        if path.endswith("/recipe"):  # this host has none
            assert (answer.status, answer.error) == (400, "There is no workflow of that name.")
        elif path.endswith("/packs/check"):  # no pack describes what it has
            assert (answer.status, "no pack says" in answer.error) == (400, True)
        else:
            assert (answer.status, path) == (200, path), answer.content


def test_a_session_of_one_server_opens_no_other(servers: dict[str, Server]) -> None:
    session = servers["gradio-auth"].session()
    assert servers["gradio-auth"].get("library", session).status == 200
    assert servers["share-gradio-auth"].get("library", session).status == 401
    assert servers["share"].get("library", session).status == 403


def test_a_picture_of_a_folder_is_served_and_nothing_else(servers: dict[str, Server]) -> None:
    server = servers["local"]
    answer = server.get(server.picture)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/webp")
    assert answer.content[8:12] == b"WEBP"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    folder = server.picture.partition("file=")[0]
    for file in ("not-read.png", "..%2Fsecret.png", "one.png%00", "", "%2Fetc%2Fpasswd"):
        answer = server.get(f"{folder}file={file}")
        assert (answer.status, file) == (404, file)
        assert answer.error.startswith("There is no such picture")
    assert server.get("search/picture?folder=%2F&file=etc%2Fpasswd").status == 404
    assert server.get("search/picture").status == 404


def posts(server: Server) -> list[str]:
    return [path.removeprefix(f"{PREFIX}/") for method, path in server.routes if method == "POST"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ],
)
def test_a_page_of_another_website_changes_nothing(
    servers: dict[str, Server], headers: dict[str, str]
) -> None:
    for path in posts(servers["local"]):
        answer = servers["local"].post(path, BODIES[path], headers)
        assert (answer.status, path) == (403, path)
        assert answer.error


def test_a_page_of_another_website_reads_nothing(servers: dict[str, Server]) -> None:
    server = servers["local"]
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("library", "build", server.sample):
            assert server.get(path, headers).status == 403


def test_a_page_of_this_server_is_served(servers: dict[str, Server]) -> None:
    server = servers["local"]
    headers = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert server.post("build/pause", {}, headers).status == 200
    assert HOSTS_VARIABLE in server.post("build/pause", {}, {"Host": "sd.example"}).error


def test_only_json_of_known_length_is_read(servers: dict[str, Server]) -> None:
    server = servers["local"]
    for path in posts(server):
        address = f"{PREFIX}/{path}"
        form = {"Content-Type": "text/plain"}
        assert server.ask("POST", address, b"{}", form).status == 415
        assert server.ask("POST", address, b"{}").status == 415
        uploads = ("rank", "describe", "search", "packs/import")
        limit = MAX_UPLOAD * 3 // 2 if path in uploads else MAX_BODY
        # says that much, and sends nothing: it is refused before it is read
        for length in (str(limit + 1), "9" * 18):
            answer = server.ask("POST", address, None, {**JSON, "Content-Length": length})
            assert (answer.status, path, length) == (413, path, length)
            assert str(limit >> 20) in answer.error


def test_requests_of_unknown_length(servers: dict[str, Server]) -> None:
    server = servers["local"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", f"{PREFIX}/build/pause", iter([b"{}"]), JSON, encode_chunked=True)
    assert Answer(connection.getresponse()).status == 411
    connection.close()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"a": ' * 50_000]
)
def test_what_is_no_json_object_is_refused(servers: dict[str, Server], body: bytes) -> None:
    answer = servers["local"].post("rank", body)
    assert answer.status == 400
    assert "JSON" in answer.error


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("describe", {}),
        ("rank", {}),
        ("rank", {"images": ["!"]}),
        ("rank", {"images": [data_url()], "method": "<b>"}),
        ("build", {"names": ["../../etc/passwd"]}),
        ("build", {"limit": 0}),
        ("settings", {"name": NAME, "settings": {"steps": -1}}),
        ("load", {}),
        ("load", {"name": "../gamma"}),
        ("favourite", {"name": NAME}),
        ("favourite", {"name": "nobody", "marked": True}),
        ("remove", {"names": []}),
        ("packs/import", {"data": "!"}),
        ("packs/import", {"data": base64.b64encode(b"no pack").decode()}),
        ("packs/check", {"name": "nobody"}),
        ("packs/remove", {"name": "nobody"}),
        ("rebuild", {"names": ["nobody"]}),
    ],
)
def test_what_cannot_be_done_is_explained(
    servers: dict[str, Server], path: str, body: dict[str, Any]
) -> None:
    answer = servers["local"].post(path, body)
    assert answer.status == 400
    assert answer.error


def test_a_favourite_and_a_ranking(servers: dict[str, Server]) -> None:
    server = servers["local"]
    for marked in (False, True):
        answer = server.post("favourite", {"name": NAME, "marked": marked})
        assert answer.json == {"name": NAME, "marked": marked}
        rows = {row["name"]: row for row in server.get("library").json["checkpoints"]}
        assert rows[NAME]["favourite"] is marked
    found = server.post("rank", {"images": [data_url()], "favourites": True}).json
    assert [row["name"] for row in found["candidates"]] == [NAME]


def test_load(servers: dict[str, Server]) -> None:
    server = servers["local"]
    for before, name in ((None, NAME), (NAME, "beta.safetensors"), ("beta.safetensors", NAME)):
        answer = server.post("load", {"name": name}).json
        assert answer["loaded"] == name
        assert before in (None, answer["before"])


def test_a_sample_is_a_picture_and_nothing_else_is(servers: dict[str, Server]) -> None:
    server = servers["local"]
    answer = server.get(server.sample)
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.content[:4] == b"RIFF"
    folder, _, file = server.sample.removeprefix("samples/").partition("/")
    for path in (
        "samples/x/y",
        f"samples/{folder}/..%2F..%2Fbuild.json",
        f"samples/..%2Fspecifications/{folder}.safetensors",
        f"samples/{folder}/%2e%2e/{folder}/{file}",
        f"samples/{folder}/{file}%00",
    ):
        assert server.get(path).status == 404


def test_the_routes_are_documented(servers: dict[str, Server]) -> None:
    for server in (servers["local"], servers["bare"]):
        answer = server.ask("GET", "/openapi.json")
        paths = {p: v for p, v in answer.json["paths"].items() if p.startswith(PREFIX)}
        assert {(m.upper(), p) for p, v in paths.items() for m in v} == set(server.routes)
        for operations in paths.values():
            for method, operation in operations.items():
                assert operation["tags"] == [TAG]
                assert operation["summary"][0].isupper()
                assert operation["description"].endswith(".")
                assert {"200", "400", "401", "403", "500"} <= operation["responses"].keys()
                assert ("requestBody" in operation) == (method == "post")
        rank = paths[f"{PREFIX}/rank"]["post"]["requestBody"]["content"]["application/json"]
        assert set(rank["schema"]["properties"]) >= {"images", "prompt", "method", "top"}
        (name,) = paths[f"{PREFIX}/recipe"]["get"]["parameters"]
        assert name["name"] == "name"
        assert server.ask("GET", "/docs").status == 200
