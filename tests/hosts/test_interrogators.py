"""clip-interrogator's own pipeline in real hosts, with small models of random weights.

They are stand-ins for real models: what they say makes no sense, that they are asked does. An
extension beside ours tells open_clip what the small CLIP looks like; real ones it knows.
"""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

import pytest
from comfyui_server import ComfyServer, node, query
from host_server import MINIS, HostServer, install, quick_settings
from PIL import Image
from random_models import WORDS, RandomModels, make, missing_packages
from webui_server import A1111Server, install_mini

NEEDED = ("open_clip", "transformers", "clip_interrogator")


def with_random_models(server: HostServer, program: str) -> RandomModels:
    """Models for a host, and an extension of this name that makes the CLIP known; or a skip.

    Args:
        server: not started yet.
        program: of the extension, relative to the folder of extensions.
    """
    python = os.environ[server.python_variable]
    if reason := missing_packages(python, *NEEDED):
        pytest.skip(f"no clip-interrogator in a real {server.title}: {reason}")
    models = make(python, server.folder / "random-models")
    place = server.folder / server.extensions_folder / program
    place.parent.mkdir(parents=True)
    place.write_text(models.extension())
    server.variables = models.variables()
    return models


def noise(sigma: int) -> bytes:
    buffer = io.BytesIO()
    image = Image.effect_noise((64, 64), sigma).convert("RGB")
    image.save(buffer, "PNG")
    return buffer.getvalue()


def describe(server: HostServer, image: bytes, **body: Any) -> dict[str, Any]:
    """What the route says."""
    data = base64.b64encode(image).decode()
    found: dict[str, Any] = server.gmi("describe", {"images": [data], **body})
    return found


def kept(server: HostServer) -> str:
    return (server.library / "interrogations.json").read_text()


def assert_said_by_the_models(said: dict[str, Any], mode: str) -> None:
    """A caption of the random BLIP, then phrases that the random CLIP likes."""
    assert said["notes"] == []
    assert said["prompt"]["source"] == f"clip-interrogator:{mode}"
    caption, *phrases = said["prompt"]["text"].split(", ")
    assert set(caption.split()) <= set(WORDS)
    assert len(phrases) >= 3


def test_the_web_ui_has_clip_interrogator(minis: list[Path], tmp_path: Path) -> None:
    if reason := A1111Server.missing():
        pytest.skip(reason)
    server = A1111Server(tmp_path / "host")
    install_mini(server, minis[0], MINIS[0])
    models = with_random_models(server, "random-clip-stand-in/scripts/random_clip_stand_in.py")
    image, other = noise(60), noise(20)
    with server.running():
        server.set_options(gmi_interrogators="clip-interrogator:fast, labels")

        said = describe(server, image)

        assert_said_by_the_models(said, "fast")
        assert said["prompt"]["text"] in kept(server)
        assert len(list(server.library.glob("clip-interrogator/*/*.safetensors"))) == 6
    models.weights.unlink()
    with server.running():
        assert describe(server, image) == said, "remembered: nobody can be asked any more"
        instead = describe(server, other)
        assert instead["prompt"]["source"] == "labels"
        (note,) = instead["notes"]
        assert f"GMI_CLIP_WEIGHTS={models.weights}: there is no such file." in note
    assert "Find Best Model" not in server.text(), "ours only speaks when something fails"


def test_comfyui_has_clip_interrogator_and_its_nodes_remember(
    minis: list[Path], tmp_path: Path
) -> None:
    if reason := ComfyServer.missing():
        pytest.skip(reason)
    server = ComfyServer(tmp_path / "host")
    for name, path in zip(MINIS[:2], minis, strict=False):
        install(server, path, name)
    with_random_models(server, "random_clip_stand_in/__init__.py")
    entry = server.folder / server.extensions_folder / "random_clip_stand_in" / "__init__.py"
    entry.write_text(f"{entry.read_text()}\nNODE_CLASS_MAPPINGS = {{}}\n")
    server.variables["GMI_INTERROGATORS"] = "clip-interrogator:classic, labels"
    image = noise(60)
    with server.running():
        for name in MINIS[:2]:
            quick_settings(server, name)
        server.build(4)
        graph = {
            "image": node("LoadImage", image=server.upload(image, "query.png")),
            "find": node("GMI_FindBestModel", **query(["image", 0])),
            "shown": node("PreviewAny", source=["find", 0]),
        }

        def words() -> dict[str, Any]:
            found = server.run(graph)["find"]["gmi_ranking"][0]["prompt"]
            assert isinstance(found, dict)
            return found

        assert words()["source"] == "labels", "a node does not wait for a slow one"
        said = describe(server, image)
        assert_said_by_the_models(said, "classic")
        assert describe(server, image, interrogators="labels")["prompt"]["source"] == "labels"
        server.build(8)  # a node whose inputs are as before runs again when the library has changed
        assert words() == said["prompt"], "what the slow one said is remembered"
    assert "/lib_gmi/" not in server.text(), "ours is in no traceback"
