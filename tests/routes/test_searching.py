"""The search routes' handlers in a host: what they read, answer, and refuse."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from conftest import picture, words_encoder
from PIL import Image
from standins.colours import ColourSpace, plain
from standins.host import Running, start

from lib_gmi.base.errors import GMIError, RequestError, SearchError
from lib_gmi.routes.api import Api
from lib_gmi.service import samples

ALPHA, BETA = "alpha.safetensors", "beta.safetensors"


@pytest.fixture
def running(tmp_path: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Two checkpoints with all their six samples."""
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)
    running = start(tmp_path / "models", library_folder)
    for style, name in enumerate((ALPHA, BETA)):
        running.install(name, style)
    running.build()
    return running


@pytest.fixture
def api(running: Running) -> Api:
    api = Api(running.service, running.builds)
    api.searches.load = ColourSpace
    return api


def uploaded(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def ask(api: Api, **body: Any) -> dict[str, Any]:
    """Ask until everything has been read."""
    answer = api.search(body)
    while answer["reading"] is not None or answer["error"] is not None:
        assert answer["error"] is None
        api.searches.wait(60)
        answer = api.search(body)
    return answer


def test_the_first_question_reads_the_samples(api: Api) -> None:
    query = {"images": [uploaded(plain("red"))], "weights": {"image": 1}}
    first = api.search(query)
    assert (first["checkpoints"], first["hits"]) == ([], [])
    api.searches.wait(60)
    answer = api.search(query)
    assert {row["title"] for row in answer["checkpoints"]} == {"alpha", "beta"}
    best = answer["checkpoints"][0]
    assert set(best["parts"]) == {"image", "style"}
    folder, file = best["evidence"][0].split("/")[-2:]
    assert api.sample(folder, file) is not None


def ready(api: Api) -> None:
    api.searches.read(lines=True)
    api.searches.wait(60)


def test_samples_come_with_pictures_and_without_paths(api: Api) -> None:
    ready(api)
    answer = ask(api, kind="samples", images=[uploaded(picture(0, 3))], top=3)
    assert len(answer["hits"]) == 3
    hit = answer["hits"][0]
    assert api.sample(*hit["image"].split("/")[-2:]) is not None
    assert "/" not in hit["file"]
    assert sum(row["hits"] for row in answer["checkpoints"]) == 3


def test_more_like_this_one_and_a_sketch(api: Api) -> None:
    ready(api)
    assert [row["title"] for row in ask(api, like=ALPHA)["checkpoints"]] == ["beta"]
    assert len(ask(api, sketches=[uploaded(plain("red"))])["checkpoints"]) == 2


def test_only_what_is_installed_and_passes_is_found(api: Api) -> None:
    ready(api)
    assert len(ask(api, text="red")["checkpoints"]) == 2
    assert [row["title"] for row in ask(api, text="red", pattern="bet*")["checkpoints"]] == ["beta"]
    with pytest.raises(SearchError, match="filter"):
        ask(api, text="red", pattern="nobody")


def test_folders_are_only_those_that_the_host_names(
    api: Api, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    plain("blue").save(outputs / "one.png")
    monkeypatch.setattr(running.host, "image_folders", lambda: [outputs])
    with pytest.raises(SearchError, match="is not a folder that this program"):
        api.read_for_search({"folders": [str(tmp_path)]})
    api.read_for_search({"folders": [str(outputs)]})
    api.searches.wait(60)
    assert api.searches.state()["folders"] == [{"folder": str(outputs), "images": 1}]
    hit = ask(api, kind="samples", images=[uploaded(plain("blue"))], top=1)["hits"][0]
    assert hit["file"] == "one.png"
    query = dict(parse_qsl(hit["image"].partition("?")[2]))
    assert api.search_picture(query) is not None
    # a folder that the configuration does not name any more is not searched any more
    monkeypatch.setattr(running.host, "image_folders", lambda: [])
    hit = ask(api, kind="samples", images=[uploaded(plain("blue"))], top=1)["hits"][0]
    assert hit["source"] == "library"


def test_trouble_while_reading_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(images: object) -> object:
        raise SearchError("The encoder is out of order.")

    monkeypatch.setattr(api.searches.searcher().joint, "encode_images", broken)
    api.search({"text": "red"})
    api.searches.wait(60)
    assert api.searches.state()["error"] == "The encoder is out of order."


def test_a_cancelled_reading_goes_on_when_asked_again(api: Api) -> None:
    api.searches.read()
    api.searches.cancel()
    api.searches.wait(60)
    assert api.searches.state()["reading"] is None
    ready(api)
    assert len(ask(api, text="red")["checkpoints"]) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": 3},
        {"text": "x" * 5001},
        {"text": "red", "kind": "both"},
        {"text": "red", "top": 0},
        {"text": "red", "top": True},
        {"tags": "red"},
        {"tags": [1]},
        {"images": ["no base64"]},
        {"images": [uploaded(plain("red"))] * 9},
        {"images": [base64.b64encode(b"nothing").decode()]},
        {"text": "red", "weights": [1]},
        {"text": "red", "weights": {"text": "2"}},
        {"text": "red", "weights": {"text": float("nan")}},
        {"text": "red", "all": 1},
        {"text": "red", "score": "best"},
    ],
)
def test_malformed_requests_say_what_is_wrong(api: Api, body: dict[str, Any]) -> None:
    with pytest.raises(GMIError) as told:
        api.search(body)
    assert str(told.value).endswith(".")


def test_malformed_folders_are_refused(api: Api) -> None:
    with pytest.raises(RequestError):
        api.read_for_search({"folders": "all"})
