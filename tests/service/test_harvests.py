"""A page looks by itself at the images that are there, and only where there is something."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins.host import Running, start
from submitting.test_harvest import made

from lib_gmi.service.harvests import IDLE, LOOKING, READY


@pytest.fixture
def running(tmp_path: Path) -> Running:
    found = start(tmp_path / "models", tmp_path / "library")
    found.install("alpha.safetensors", 1)
    return found


def with_folders(running: Running, folder: Path) -> None:
    running.host.image_folders = lambda: [folder]  # type: ignore[method-assign]


def test_one_look_in_a_process(running: Running, tmp_path: Path) -> None:
    with_folders(running, tmp_path)
    harvests = running.api.harvests
    assert harvests.look_once().state == LOOKING
    harvests.join(60)
    assert harvests.look_once().state == READY
    assert harvests.look().state == LOOKING, "people look as often as they like"
    harvests.join(60)


def test_images_that_were_made_since_are_found(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib_gmi.service.harvests._PAUSE", 0.0)
    monkeypatch.setattr("lib_gmi.service.harvests._AGAIN", 0.0)
    folder = tmp_path / "images"
    folder.mkdir()
    with_folders(running, folder)
    harvests = running.api.harvests
    harvests.look_once()
    harvests.join(60)
    for number in range(9):
        made(folder, number, "Model: alpha")

    harvests.look_once()
    harvests.join(60)

    survey = harvests.state().survey
    assert survey is not None
    assert [crop.candidate.title for crop in survey.enough] == ["alpha"]
    made(folder, 9, "Model: alpha")
    assert harvests.look_once().state == READY, "what was found is kept until somebody asks again"


def test_whoever_looked_needs_no_look(running: Running, tmp_path: Path) -> None:
    with_folders(running, tmp_path)
    running.api.harvests.look()
    running.api.harvests.join(60)
    assert running.api.harvests.look_once().state == READY


def test_without_folders_nobody_looks(running: Running, tmp_path: Path) -> None:
    assert running.api.harvests.look_once().state == IDLE
    with_folders(running, tmp_path)
    assert running.api.harvests.look_once().state == LOOKING, "they may be named later"
    running.api.harvests.join(60)


def test_asking_for_the_library_looks_at_nothing(running: Running, tmp_path: Path) -> None:
    with_folders(running, tmp_path)
    running.api.library()
    assert running.api.harvest()["state"] == IDLE
