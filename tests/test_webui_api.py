"""A web UI over its API: what is asked, what is believed of the answers, and what is said."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture
from safetensors.numpy import save_file

from benchmarks.own_checkpoints import main
from benchmarks.webui_api import WebUIApi
from lib_gmi.base.errors import HostError
from lib_gmi.records.protocols import GenerationRequest, GenerationSettings


class StandInWebUI:
    """Answers like A1111's API as far as this host asks; draws by checkpoint and seed."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.login: str | None = None
        self.api = True
        self.ignores: str | None = None  # generates with this one, whatever is asked
        self.interrupted = False
        self.models = []
        for name in ("alpha", "beta"):
            path = folder / f"{name}.safetensors"
            save_file({"x": np.zeros(1, np.float32)}, path)
            self.models.append(
                {"title": f"{name}.safetensors [{name[:4]}]", "model_name": name,
                 "hash": f"{name[:4]}", "sha256": None, "filename": str(path)}
            )  # fmt: skip
        self.models.append(
            {"title": "far", "model_name": "far", "hash": "ffff", "sha256": "ab" * 32,
             "filename": "/elsewhere/far.safetensors"}
        )  # fmt: skip

    def answer(self, path: str, body: Any) -> Any:
        if path == "/sdapi/v1/sd-models":
            return self.models
        if path == "/sdapi/v1/samplers":
            return [{"name": "Euler", "aliases": ["k_euler"]},
                    {"name": "DPM++ 2M", "aliases": ["k_dpmpp_2m"]}]  # fmt: skip
        if path == "/sdapi/v1/schedulers":
            return [{"name": "karras", "label": "Karras"}]
        if path.startswith("/sdapi/v1/progress"):
            return {"state": {"interrupted": self.interrupted}}
        self.asked.append(body)
        wanted = self.ignores or body["override_settings"]["sd_model_checkpoint"]
        model = next(m for m in self.models if m["title"].startswith(wanted))
        buffer = io.BytesIO()
        picture(self.models.index(model), body["seed"]).save(buffer, "PNG")
        info = {"sd_model_name": model["model_name"], "sd_model_hash": model["hash"]}
        image = base64.b64encode(buffer.getvalue()).decode()
        return {"images": [image], "info": json.dumps(info)}


@pytest.fixture
def web_ui(tmp_path: Path) -> Iterator[tuple[StandInWebUI, str]]:
    models = tmp_path / "models"
    models.mkdir()
    ui = StandInWebUI(models)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(None)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._reply(json.loads(self.rfile.read(length)))

        def _reply(self, body: Any) -> None:
            expected = ui.login and "Basic " + base64.b64encode(ui.login.encode()).decode()
            code = 200 if ui.api else 404
            if expected and self.headers.get("Authorization") != expected:
                code = 401
            content = json.dumps(ui.answer(self.path, body) if code == 200 else {}).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield ui, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


SETTINGS = GenerationSettings(
    width=64, height=96, steps=9, cfg=5.0, sampler="dpmpp_2m", scheduler="karras", clip_skip=2
)
REQUEST = GenerationRequest("cat", "a cat", "blurry", 7)


def test_an_image_is_asked_for_with_its_settings_and_leaves_nothing_behind(
    web_ui: tuple[StandInWebUI, str],
) -> None:
    ui, address = web_ui
    host = WebUIApi(address + "/")
    beta = host.list_checkpoints()[1]
    with host.session(beta) as session:
        image = session.generate(REQUEST, SETTINGS)
    assert image.tobytes() == picture(1, 7).tobytes()
    body = ui.asked[0]
    assert (body["prompt"], body["negative_prompt"], body["seed"]) == ("a cat", "blurry", 7)
    assert (body["width"], body["height"], body["steps"], body["cfg_scale"]) == (64, 96, 9, 5.0)
    assert (body["sampler_name"], body["scheduler"]) == ("DPM++ 2M", "Karras")
    assert body["override_settings"]["sd_model_checkpoint"] == "beta.safetensors [beta]"
    assert body["override_settings"]["CLIP_stop_at_last_layers"] == 2
    assert body["override_settings_restore_afterwards"]
    assert body["do_not_save_samples"]
    assert not body["save_images"]


def test_a_sampler_that_the_web_ui_lacks_is_replaced_by_euler(
    web_ui: tuple[StandInWebUI, str],
) -> None:
    ui, address = web_ui
    host = WebUIApi(address)
    with host.session(host.list_checkpoints()[0]) as session:
        session.generate(REQUEST, GenerationSettings(sampler="res_multistep", scheduler="beta"))
    assert ui.asked[0]["sampler_name"] == "Euler"
    assert "scheduler" not in ui.asked[0]


def test_another_checkpoints_image_is_not_believed(web_ui: tuple[StandInWebUI, str]) -> None:
    ui, address = web_ui
    ui.ignores = "alpha"
    host = WebUIApi(address)
    with (
        host.session(host.list_checkpoints()[1]) as session,
        pytest.raises(HostError, match="generated with 'alpha' instead"),
    ):
        session.generate(REQUEST, SETTINGS)


def test_an_interrupted_image_is_thrown_away(web_ui: tuple[StandInWebUI, str]) -> None:
    ui, address = web_ui
    ui.interrupted = True
    host = WebUIApi(address)
    with (
        host.session(host.list_checkpoints()[0]) as session,
        pytest.raises(HostError, match="interrupted"),
    ):
        session.generate(REQUEST, SETTINGS)


def test_files_elsewhere_are_unsupported_and_a_known_hash_is_the_identity(
    web_ui: tuple[StandInWebUI, str],
) -> None:
    _, address = web_ui
    far = WebUIApi(address).list_checkpoints()[2]
    assert far.identity == "sha256:" + "ab" * 32
    assert far.unsupported is not None
    assert "not on this machine" in far.unsupported


@pytest.mark.parametrize("trouble", ["no login", "no api", "nobody", "no address"])
def test_what_is_wrong_is_said(web_ui: tuple[StandInWebUI, str], trouble: str) -> None:
    ui, address = web_ui
    ui.login = "me:secret" if trouble == "no login" else None
    ui.api = trouble != "no api"
    where = {"nobody": "http://127.0.0.1:9", "no address": "localhost:7860"}.get(trouble, address)
    said = {
        "no login": "wants a login",
        "no api": "Start the web UI with --api",
        "nobody": "no web UI with --api answers there",
        "no address": "is no address",
    }
    with pytest.raises(HostError, match=said[trouble]):
        WebUIApi(where)


def test_a_login_is_sent(
    web_ui: tuple[StandInWebUI, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui, address = web_ui
    ui.login = "me:secret"
    monkeypatch.setenv("GMI_WEBUI_LOGIN", "me:secret")
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"id": f"p{i}", "prompt": f"thing {i}"} for i in range(3)]))
    queries = tmp_path / "queries.json"
    queries.write_text(json.dumps([{"id": "q", "prompt": "another"}]))
    arguments = ["create", str(tmp_path / "out"), "--host", f"webui:{address}"]
    arguments += ["--specifications", str(prompts), "--evaluation", str(queries)]
    code = main([*arguments, "--seeds", "2", "--candidates", "nothing*"])
    assert code == 2, "no candidate matches, but the web UI answered"
    ui.login = "someone:else"
    assert main(arguments) == 2
