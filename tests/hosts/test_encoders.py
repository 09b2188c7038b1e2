"""Encoders and interrogators in real hosts: open_clip from a local file, another encoder later.

One user's day in each host: a quick pass with the default encoder, then a restart with another one.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_server import ComfyServer, node, text_to_image
from host_server import HostServer, install, quick_settings
from random_models import missing_packages
from webui_server import A1111Server, install_mini

from lib_gmi.library.catalogue import Library

NAMES = ("mini-1.safetensors", "mini-2.safetensors", "styles/mini-3.safetensors")
#: Of the open_clip network that is made here; its weights are random.
CONFIG: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
STYLE = "style/efficientnet-lite0"


@pytest.fixture(scope="module")
def random_open_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small open_clip network of random weights."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what open_clip imports
        open_clip = pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("open_clip")
    described = tmp_path_factory.mktemp("config") / "gmi-random-small.json"
    described.write_text(json.dumps(CONFIG))
    open_clip.add_model_config(described)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = open_clip.create_model("gmi-random-small")
    tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    return folder


def encoder_ids(server: HostServer) -> set[str]:
    """Encoders of the specifications in a host's library."""
    return {entry.encoder_id for entry in Library(server.library, read_only=True).entries()}


def a_day(
    server: HostServer,
    put: Callable[[Any, Path, str], object],
    minis: list[Path],
    encoder: str,
    images: Callable[[Any], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, dict[str, Any]]:
    """Build with the default encoder, restart with another, build again; rankings by name."""
    for name, path in zip(NAMES, minis, strict=False):
        put(server, path, name)
    monkeypatch.delenv("GMI_ENCODER", raising=False)
    with server.running():
        if isinstance(server, A1111Server):
            server.set_options(gmi_pause_while_i_work=False)
        for name in NAMES:
            quick_settings(server, name)
        server.build(4)
        assert server.samples() == dict.fromkeys(NAMES, 4)
        queries = images(server)
    monkeypatch.setenv("GMI_ENCODER", encoder)
    with server.running():
        library = server.get("/gmi/v1/library")
        assert set(server.samples().values()) == {0}
        assert library["superseded"] == {"encoder": 3}
        assert library["kept_by_others"] == 3
        state = server.build(4)
        assert state["problems"] == []
        assert state["done"] == 0, "nothing was generated again"
        assert server.samples() == dict.fromkeys(NAMES, 4)
        return {name: server.rank(image) for name, image in queries.items()}


def test_the_web_ui_ranks_with_open_clip_beside_the_default(
    minis: list[Path],
    random_open_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if reason := A1111Server.missing():
        pytest.skip(reason)

    def images(server: A1111Server) -> dict[str, bytes]:
        return {name: server.generate(Path(name).stem) for name in NAMES}

    server = A1111Server(tmp_path / "host")
    encoder = f"{STYLE}+openclip/file:{random_open_clip}"
    rankings = a_day(server, install_mini, minis, encoder, images, monkeypatch)
    assert any(
        f"{STYLE}@" in id_ and "+openclip/custom-48/sha256-" in id_ for id_ in encoder_ids(server)
    )
    for name, ranking in rankings.items():
        assert ranking["candidates"][0]["name"] == name, ranking["verdict"]
    assert "Traceback" not in server.text()


def test_comfyui_ranks_with_open_clip_alone(
    minis: list[Path],
    random_open_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if reason := ComfyServer.missing() or missing_packages(
        os.environ[ComfyServer.python_variable], "open_clip"
    ):
        pytest.skip(reason)

    def images(server: ComfyServer) -> dict[str, bytes]:
        found = {}
        for name in NAMES:
            graph = text_to_image(node("CheckpointLoaderSimple", ckpt_name=name))
            found[name] = server.saved(server.run(graph), "save")
        return found

    server = ComfyServer(tmp_path / "host")
    encoder = f"openclip/file:{random_open_clip}"
    rankings = a_day(server, install, minis, encoder, images, monkeypatch)
    assert any(id_.startswith("openclip/custom-48/sha256-") for id_ in encoder_ids(server))
    for ranking in rankings.values():  # the weights are random: that it ranks is what counts
        assert len(ranking["candidates"]) == 3
        assert ranking["candidates"][0]["probability"] is not None
    assert "/lib_gmi/" not in server.text(), "ours is in no traceback; ComfyUI has its own"


def test_the_web_uis_order_of_interrogators_describes_an_image(
    minis: list[Path], tmp_path: Path
) -> None:
    if reason := A1111Server.missing():
        pytest.skip(reason)
    server = A1111Server(tmp_path / "host")
    for name, path in zip(NAMES, minis, strict=False):
        install_mini(server, path, name)
    with server.running():
        server.set_options(gmi_pause_while_i_work=False, gmi_interrogators="user, labels")
        for name in NAMES:
            quick_settings(server, name)
        server.build(4)
        image = server.generate("mini-2")
        said = server.rank(image)["prompt"]
        assert said["source"] == "labels"
        assert said["text"].startswith("a photo of ")
        assert 0 < said["confidence"] <= 1
        assert server.rank(image, prompt="my own words")["prompt"]["source"] == "user"
        assert server.rank(image)["prompt"] == said, "remembered"
        kept = json.loads((server.library / "interrogations.json").read_text())
        assert "a photo of" in json.dumps(kept)
