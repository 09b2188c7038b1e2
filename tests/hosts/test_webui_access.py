"""Who is served, in real web UIs that were started for others: on a network, behind a login."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from host_server import lan_address
from webui_server import WEB_UIS, WebUIServer, install_mini

from lib_gmi.routes.guard import TOKEN_HEADER

# before a host is started for nothing
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

LIBRARY = "/gmi/v1/library"
OURS = "Find Best Model"


@pytest.fixture(params=WEB_UIS.values(), ids=WEB_UIS.keys())
def host(request: pytest.FixtureRequest) -> type[WebUIServer]:
    """Each web UI that there is, not started."""
    kind: type[WebUIServer] = request.param
    if reason := kind.missing():
        pytest.skip(reason)
    return kind


@contextmanager
def started(
    host: type[WebUIServer], folder: Path, mini: Path, *flags: str
) -> Iterator[WebUIServer]:
    """A web UI with one checkpoint, started with flags."""
    server = host(folder, flags=flags)
    install_mini(server, mini, "mini-1.safetensors")
    with server.running():
        yield server


def at(server: WebUIServer, name: str) -> str:
    """The server's address under another name or address of this machine."""
    return f"http://{name}:{server.address.rpartition(':')[2]}"


def shows_the_list(page: Any) -> None:
    """The tab opens and is answered: an event of ours has been served."""
    page.locator("#tabs > .tab-nav > button", has_text=OURS).click()
    page.wait_for_selector("#gmi_root[data-ready]")
    page.click("#gmi_view_specifications")
    page.get_by_text("mini-1").locator("visible=true").first.wait_for()


def test_on_a_network_the_page_is_served_and_its_token_serves_the_routes(
    host: type[WebUIServer], tmp_path: Path, minis: list[Path], browser: Any
) -> None:
    lan = lan_address()
    if lan is None:
        pytest.skip("this machine has no address but its own")
    with started(host, tmp_path / "host", minis[0], "--listen") as server:
        address = at(server, lan)
        page = browser.new_page()
        page.set_default_timeout(150_000)
        page.goto(address)
        shows_the_list(page)
        token = {TOKEN_HEADER: str(page.get_attribute("#gmi_root", "data-token"))}
        page.close()

        assert server.status(LIBRARY, {}, address) == 403, "whoever has not the page"
        assert server.status(LIBRARY, token, address) == 200
        assert server.status(LIBRARY, {TOKEN_HEADER: "guessed"}, address) == 403
        assert server.status(LIBRARY, {}) == 200, "whoever sits at this machine"
        assert server.status(LIBRARY, {"Host": "rebound.example"}) == 403
        assert server.status(LIBRARY, token | {"Sec-Fetch-Site": "cross-site"}, address) == 403
        tunnel = {"Host": "a.tunnel.example", "X-Forwarded-For": "198.51.100.7"}
        assert server.status(LIBRARY, tunnel) == 403
        assert server.status(LIBRARY, tunnel | token) == 200


def test_behind_a_login_and_a_proxy_with_a_path(
    host: type[WebUIServer], tmp_path: Path, minis: list[Path], browser: Any
) -> None:
    flags = ("--gradio-auth", "ann:secret", "--subpath", "pictures")
    with (
        started(host, tmp_path / "host", minis[0], *flags) as server,
        proxy(server, "/pictures") as address,
    ):
        assert server.status(LIBRARY, {}) == 401
        page = browser.new_page()
        page.set_default_timeout(150_000)
        page.goto(f"{address}/pictures/")
        page.wait_for_selector("input[type=password]")
        token = page.evaluate("() => document.querySelector('#gmi_root')?.dataset.token ?? ''")
        assert token == "", "nobody sees the page without the login"
        logged_in = page.request.post(
            f"{address}/pictures/login", form={"username": "ann", "password": "secret"}
        )
        assert logged_in.ok
        page.goto(f"{address}/pictures/")
        shows_the_list(page)
        cookies = "; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies())
        page.close()

        assert server.status(LIBRARY, {"Cookie": cookies}) == 200
        assert server.status(LIBRARY, {"Cookie": cookies, "Host": "my.proxy.example"}) == 200
        assert server.status(LIBRARY, {"Cookie": cookies, "Sec-Fetch-Site": "cross-site"}) == 403


@contextmanager
def proxy(server: WebUIServer, path: str) -> Iterator[str]:
    """A reverse proxy as people write it: below a path, which it takes away."""
    behind = urlsplit(server.address).netloc

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _pass_on(self, body: bytes | None) -> None:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "accept-encoding"}
            below = self.path.removeprefix(path) or "/"
            # pages go away in the middle of an answer, and so does the server in the end
            gone = suppress(OSError, ValueError, http.client.HTTPException)
            with gone, closing(http.client.HTTPConnection(behind, timeout=600)) as connection:
                connection.request(self.command, below, body, headers)
                answer = connection.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                while part := answer.read1(1 << 16):
                    self.wfile.write(part)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
