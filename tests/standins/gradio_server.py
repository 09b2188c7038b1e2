"""Real gradio servers, one for each way of starting one, with our routes and a stand-in host.

Runs in an environment that has gradio: ``python -m standins.gradio_server FOLDER`` with ``tests/``
on the path. Prints one line of JSON, and serves until it is ended.
"""

from __future__ import annotations

import inspect
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr
import uvicorn
from fastapi import FastAPI

from lib_gmi.routes.guard import Guard
from lib_gmi.routes.route import PREFIX
from lib_gmi.routes.web import register
from lib_gmi.search.index import FolderIndex
from standins.colours import ColourSpace, plain
from standins.host import Running, start

GRADIO_AUTH = [("ann", "secret"), ("bob", "zebra")]
API_AUTH = ("robot:key:with:colons", "other:clé")
#: Name → whether gradio asks for a login, and how the guard is set up.
MODES: dict[str, tuple[bool, dict[str, Any]]] = {
    "local": (False, {}),
    "api-auth": (False, {"api_auth": API_AUTH}),
    "gradio-auth": (True, {}),
    "both": (True, {"api_auth": API_AUTH}),
    "listen": (False, {"public": True}),
    "share": (False, {"public": True, "tunnelled": True}),
    "share-gradio-auth": (True, {"public": True, "tunnelled": True}),
    "listen-api-auth": (False, {"public": True, "api_auth": API_AUTH}),
}


def serve(running: Running, name: str) -> dict[str, Any]:
    """Start one; the routes are added to a server that is running, as AUTOMATIC1111 does it."""
    login, options = MODES[name]
    with gr.Blocks() as demo:
        gr.Markdown("A page")
    wanted = {"ssr_mode": False, "show_api": False}
    known = inspect.signature(demo.launch).parameters
    app, _, _ = demo.launch(
        auth=GRADIO_AUTH if login else None,
        prevent_thread_lock=True,
        quiet=True,
        server_name="127.0.0.1",
        server_port=free_port(),
        app_kwargs={"docs_url": "/docs"},
        **{key: value for key, value in wanted.items() if key in known},
    )
    register(app, lambda: running.api, Guard(gradio_app=app, **options))
    return {"port": demo.server_port, "routes": ours(app)}


def serve_bare(running: Running) -> dict[str, Any]:
    """A server without a page: AUTOMATIC1111 with ``--nowebui``."""
    app = FastAPI()
    register(app, lambda: running.api, Guard(gradio_app=app, api_auth=API_AUTH))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    return {"port": port, "routes": ours(app)}


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route that we added."""
    found = []
    for route in app.routes:
        path = getattr(route, "path", "")
        if path.startswith(PREFIX):
            found += [(method, path) for method in sorted(route.methods - {"HEAD", "OPTIONS"})]
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    running = start(folder / "models", folder / "library")
    for style, name in enumerate(("alpha", "beta", "gamma")):
        running.install(f"{name}.safetensors", style)
    running.build(limit=4)
    outputs = folder / "outputs"
    outputs.mkdir()
    plain("red").save(outputs / "one.png")
    FolderIndex(running.service.library.folder, outputs, ColourSpace.id, ColourSpace.dim).update(
        ColourSpace()
    )
    plain("red").save(outputs / "not-read.png")
    plain("red").save(folder / "secret.png")
    running.host.image_folders = lambda: [outputs]
    query = urlencode({"folder": str(outputs), "file": "one.png"})
    loaded: list[Any] = []  # this host can load as well
    running.host.switch = loaded.append
    running.host.current = lambda: loaded[-1] if loaded else None
    told = {name: serve(running, name) for name in MODES}
    told["bare"] = serve_bare(running)
    picture = f"search/picture?{query}"
    print(json.dumps({"gradio": gr.__version__, "servers": told, "picture": picture}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
