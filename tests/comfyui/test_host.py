"""ComfyUI as a host: what is listed, how it is asked to generate, and what stays in memory."""

from __future__ import annotations

import json
import math
import os
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from conftest import picture
from headers import FLUX_DEV, FLUX_REST, SD1, SDXL, VAE, unet

from lib_gmi.base.errors import HostError
from lib_gmi.base.paths import LIBRARY_VARIABLE
from lib_gmi.checkpoints.overrides import PresetError
from lib_gmi.comfyui.inputs import checkpoint_names
from lib_gmi.hosts.comfyui import image_to_tensor, library_folder, tensor_to_images
from lib_gmi.records.protocols import GenerationRequest, GenerationSettings

if TYPE_CHECKING:
    from PIL import Image
    from standins.comfyui.harness import Comfy

pytest_plugins = ["standins.comfyui.harness"]

SETTINGS = GenerationSettings(64, 64, 3, 5.0, "euler", "karras")


def request(text: str = "picture number 1", negative: str = "", seed: int = 7) -> GenerationRequest:
    return GenerationRequest("p01", text, negative, seed)


def generate(
    comfy: Comfy,
    name: str = "alpha.safetensors",
    asked: GenerationRequest | None = None,
    **settings: Any,
) -> Image.Image:
    """One image of a checkpoint; ``settings`` change :data:`SETTINGS`."""
    from dataclasses import replace

    with comfy.runtime.host.session(comfy.candidate(name)) as session:
        image: Image.Image = session.generate(asked or request(), replace(SETTINGS, **settings))
    return image


def raises(error: Exception) -> Any:
    def function(*inputs: Any, **more: Any) -> Any:
        raise error

    return function


# -- where things are -----------------------------------------------------------------------------


def test_the_library_is_in_comfyuis_user_folder_unless_its_place_is_named(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch, library_folder: Path
) -> None:
    from lib_gmi.hosts import comfyui

    assert comfyui.library_folder() == library_folder
    monkeypatch.delenv(LIBRARY_VARIABLE)
    user = Path(comfy.folder_paths.get_user_directory())
    assert comfyui.library_folder() == user / "gmi"


def test_importing_the_host_imports_nothing_of_comfyui() -> None:
    assert not {"folder_paths", "comfy", "nodes", "server"} & sys.modules.keys()
    assert callable(library_folder)


# -- what is installed ----------------------------------------------------------------------------


def test_checkpoints_of_all_folders_are_listed_with_their_facts(
    comfy: Comfy, tmp_path: Path
) -> None:
    comfy.add("alpha.safetensors", 1)
    large = comfy.add("anime/large.safetensors", 2, SDXL)
    other = tmp_path / "other disk"
    other.mkdir()
    (other / "third.safetensors").write_bytes(comfy.add("x/x.safetensors", 3).read_bytes())
    (comfy.checkpoints / "x/x.safetensors").unlink()
    (comfy.checkpoints / "notes.txt").write_text("no checkpoint")
    comfy.folder_paths.folder_names_and_paths["checkpoints"][0].append(str(other))
    found = {c.name: c for c in comfy.runtime.host.list_checkpoints()}
    assert list(found) == ["alpha.safetensors", "anime/large.safetensors", "third.safetensors"]
    second = found["anime/large.safetensors"]
    assert (second.title, second.architecture) == ("anime/large", "sdxl")
    assert (second.path, second.size) == (large, large.stat().st_size)
    assert all(c.unsupported is None for c in found.values())
    assert len({c.identity for c in found.values()}) == 3
    assert comfy.seen.loads == []


def test_a_file_that_was_added_a_moment_ago_is_listed(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    host = comfy.runtime.host
    assert [c.name for c in host.list_checkpoints()] == ["alpha.safetensors"]
    path = comfy.add("deep/in/beta.safetensors", 2)
    assert [c.title for c in host.list_checkpoints()] == ["alpha", "deep/in/beta"]
    path.unlink()
    assert [c.name for c in host.list_checkpoints()] == ["alpha.safetensors"]


def test_the_same_file_is_the_same_checkpoint_wherever_it_lies(comfy: Comfy) -> None:
    path = comfy.add("alpha.safetensors", 1)
    before = comfy.candidate("alpha.safetensors").identity
    (comfy.checkpoints / "moved").mkdir()
    path.rename(comfy.checkpoints / "moved" / "renamed.safetensors")
    assert comfy.candidate("moved/renamed.safetensors").identity == before
    comfy.add("alpha.safetensors", 2)
    assert comfy.candidate("alpha.safetensors").identity != before


def test_what_was_read_of_a_file_is_remembered_by_the_next_process(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add("alpha.safetensors", 1)
    before = comfy.candidate("alpha.safetensors")
    comfy.restart()
    read = raises(AssertionError("the file was read again"))
    monkeypatch.setattr("lib_gmi.checkpoints.file_index.quick_identity", read)
    assert comfy.candidate("alpha.safetensors") == before


def test_a_file_that_vanished_since_comfyui_looked_is_listed_as_gone(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["gone.safetensors"]
    monkeypatch.setattr(comfy.folder_paths, "get_filename_list", lambda folder_name: names)
    (candidate,) = comfy.runtime.host.list_checkpoints()
    assert candidate.unsupported == "the file is gone"
    with (
        pytest.raises(HostError, match=r"^gone: .*not in ComfyUI's checkpoint folders any more"),
        comfy.runtime.host.session(candidate),
    ):
        pytest.fail("nothing can be loaded")
    with pytest.raises(HostError, match="is not installed"):
        comfy.runtime.host.preset(candidate)


def test_files_that_cannot_generate_are_listed_with_the_reason(comfy: Comfy) -> None:
    comfy.add("inpainting.safetensors", 1, SD1 | unet(768, channels=9))
    comfy.add("no-vae.safetensors", 1, {k: v for k, v in SD1.items() if k not in VAE})
    (comfy.checkpoints / "page.safetensors").write_text("<!doctype html>")
    (comfy.checkpoints / "empty.safetensors").write_bytes(b"")
    reasons = {c.name: c.unsupported for c in comfy.runtime.host.list_checkpoints()}
    assert "inpainting" in reasons["inpainting.safetensors"]
    assert "no VAE" in reasons["no-vae.safetensors"]
    assert "web page" in reasons["page.safetensors"]
    assert reasons["empty.safetensors"] == "the file is empty (0 bytes); download it again"


def test_names_are_listed_in_natural_order(comfy: Comfy) -> None:
    names = ["v10.safetensors", "V2.safetensors", "a/x.safetensors", "v1.safetensors"]
    comfy.add_all(*names, small=False)
    ordered = ["a/x.safetensors", "v1.safetensors", "V2.safetensors", "v10.safetensors"]
    assert [c.name for c in comfy.runtime.host.list_checkpoints()] == ordered
    assert [row["name"] for row in comfy.runtime.api.library()["checkpoints"]] == ordered
    assert checkpoint_names() == ordered


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_no_text_does_not_stop_the_others(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.add(os.fsdecode(b"caf\xe9.safetensors"), 2)
    assert len(comfy.runtime.host.list_checkpoints()) == 2
    assert len(comfy.runtime.api.library()["checkpoints"]) == 2
    comfy.build(["alpha.safetensors"], limit=4)
    assert comfy.runtime.api.library()["checkpoints"][0]["samples"] == 4


def test_the_samplers_are_those_that_this_comfyui_has(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    samplers = comfy.module("comfy.samplers")
    monkeypatch.setattr(samplers.KSampler, "SAMPLERS", ["euler", "of another extension"])
    choices = comfy.runtime.host.choices()
    assert choices["samplers"] == ["euler", "of another extension"]
    assert choices["schedulers"] == samplers.SCHEDULER_NAMES


def test_comfyui_has_no_current_checkpoint_to_switch(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    assert comfy.runtime.host.current() is None
    with pytest.raises(HostError, match="no current checkpoint"):
        comfy.runtime.host.switch(comfy.candidate("alpha.safetensors"))


# -- settings -------------------------------------------------------------------------------------


def test_the_users_changes_are_laid_over_the_preset(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    host, candidate = comfy.runtime.host, comfy.candidate("alpha.safetensors")
    preset = host.preset(candidate).settings
    assert host.default_settings(candidate) == preset
    comfy.change("alpha.safetensors", steps=33, guidance=2.0)
    changed = host.default_settings(candidate)
    assert (changed.steps, changed.extra["guidance"]) == (33, 2.0)
    assert (changed.width, changed.sampler) == (preset.width, preset.sampler)
    assert host.preset(candidate).settings == preset


def test_settings_that_make_no_sense_are_refused(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    for settings in ({"width": 63}, {"steps": 0}, {"cfg": math.nan}, {"unknown": 1}):
        with pytest.raises(PresetError):
            comfy.change("alpha.safetensors", **settings)


# -- generating -----------------------------------------------------------------------------------


def test_an_image_is_what_comfyuis_sampler_and_vae_make_of_the_settings(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 2)
    image = generate(comfy, asked=request("a cat", "ugly", 123456), width=96, height=64)
    assert comfy.seen.sampled == [
        {
            "seed": 123456,
            "steps": 3,
            "cfg": 5.0,
            "sampler": "euler",
            "scheduler": "karras",
            "positive": "a cat",
            "negative": "ugly",
            "guidance": None,
            "sampling": "ModelSamplingDiscrete",
            "shift": None,
            "shape": (1, 4, 8, 12),
        }
    ]
    assert (image.mode, image.size[0]) == ("RGB", 96)
    assert comfy.seen.loads == [str(comfy.checkpoints / "alpha.safetensors")]


def test_settings_that_nobody_named_have_values_all_the_same(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 2)
    with comfy.runtime.host.session(comfy.candidate("alpha.safetensors")) as session:
        session.generate(request(), GenerationSettings())
        session.generate(request(), GenerationSettings(cfg=0.0, width=64, height=64))
    first, second = comfy.seen.sampled
    assert (first["shape"], first["sampler"]) == ((1, 4, 64, 64), "euler")
    assert first["cfg"] > 0.0
    assert second["cfg"] == 0.0


def test_images_differ_by_checkpoint_prompt_and_seed(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    comfy.add("beta.safetensors", 2)
    images = [
        generate(comfy),
        generate(comfy, "beta.safetensors"),
        generate(comfy, asked=request("another")),
        generate(comfy, asked=request(seed=8)),
    ]
    assert len({image.tobytes() for image in images}) == 4
    assert generate(comfy).tobytes() == images[0].tobytes()


@pytest.mark.parametrize(("clip_skip", "layer"), [(None, None), (1, None), (2, -2), (3, -3)])
def test_clip_skip_counts_as_people_count(
    clip_skip: int | None, layer: int | None, comfy: Comfy
) -> None:
    comfy.add("alpha.safetensors", 1)
    generate(comfy, clip_skip=clip_skip)
    assert comfy.seen.encoded == [("picture number 1", layer), ("", layer)]


def test_clip_skip_leaves_the_loaded_text_encoder_as_it_is(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    with comfy.runtime.host.session(comfy.candidate("alpha.safetensors")) as session:
        for clip_skip in (2, None):
            settings = GenerationSettings(64, 64, 3, clip_skip=clip_skip)
            session.generate(request(), settings)
    assert [layer for _, layer in comfy.seen.encoded] == [-2, -2, None, None]


def test_guidance_goes_into_the_conditioning(comfy: Comfy) -> None:
    comfy.add("flux.safetensors", 1, FLUX_DEV | FLUX_REST, model_type="FLUX")
    settings = comfy.runtime.host.default_settings(comfy.candidate("flux.safetensors"))
    generate(comfy, "flux.safetensors", extra=settings.extra)
    generate(comfy, "flux.safetensors", extra={"guidance": 2})
    generate(comfy, "flux.safetensors")
    assert [asked["guidance"] for asked in comfy.seen.sampled] == [3.5, 2.0, None]


@pytest.mark.parametrize(
    ("model_type", "extra", "sampling"),
    [
        ("EPS", {"prediction": "v"}, "ModelSamplingAdvanced"),
        ("V_PREDICTION", {"prediction": "v"}, "ModelSamplingDiscrete"),
        ("EPS", {}, "ModelSamplingDiscrete"),
    ],
)
def test_v_prediction_is_patched_where_the_file_does_not_say_it(
    model_type: str, extra: dict[str, Any], sampling: str, comfy: Comfy
) -> None:
    comfy.add("alpha.safetensors", 1, model_type=model_type)
    generate(comfy, extra=extra)
    assert [asked["sampling"] for asked in comfy.seen.sampled] == [sampling]


@pytest.mark.parametrize(("model_type", "own"), [("FLOW", 1.0), ("FLUX", 1.15), ("EPS", None)])
def test_the_shift_is_patched_where_the_model_has_one(
    model_type: str, own: float | None, comfy: Comfy
) -> None:
    comfy.add("alpha.safetensors", 1, model_type=model_type)
    generate(comfy)
    generate(comfy, extra={"shift": 3.0})
    shifts = [asked["shift"] for asked in comfy.seen.sampled]
    assert shifts == [own, None if own is None else 3.0]


def test_another_vae_is_loaded_once_a_session_and_by_its_name(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    folder = comfy.checkpoints.parent / "vae"
    folder.mkdir()
    (folder / "better.safetensors").write_bytes(b"")
    loaded = []
    load = comfy.nodes.VAELoader.load_vae
    comfy.nodes.VAELoader.load_vae = lambda self, vae_name: (
        loaded.append(vae_name) or load(self, vae_name)
    )
    settings = GenerationSettings(64, 64, 3, vae="better.safetensors")
    with comfy.runtime.host.session(comfy.candidate("alpha.safetensors")) as session:
        session.generate(request(), settings)
        session.generate(request(seed=8), settings)
    assert loaded == ["better.safetensors"]
    with pytest.raises(HostError, match=r"^alpha: .*missing.safetensors"):
        generate(comfy, vae="missing.safetensors")


def test_all_prompts_are_embedded_before_the_first_image(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    encoded = []
    comfy.seen.while_sampling = lambda begun: encoded.append(len(comfy.seen.encoded))
    comfy.build(limit=4)
    assert encoded == [5, 5, 5, 5]  # four prompts and the negative one, each once


# -- memory ---------------------------------------------------------------------------------------


def test_after_a_session_nothing_of_the_checkpoint_is_left(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors", 1)
    with comfy.runtime.host.session(comfy.candidate("alpha.safetensors")) as session:
        session.generate(request(), GenerationSettings(64, 64, 3, extra={"prediction": "v"}))
        things = [weakref.ref(thing) for thing in comfy.seen.alive]
        assert len(things) == 3
        assert len(comfy.memory.current_loaded_models) == 1
    assert [thing() for thing in things] == [None] * 3
    assert comfy.memory.current_loaded_models == []
    assert comfy.seen.emptied == [0]


def test_a_session_that_fails_or_is_interrupted_frees_its_memory(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add("alpha.safetensors", 1)
    comfy.seen.while_sampling = lambda begun: comfy.nodes.interrupt_processing(begun == 0)
    with pytest.raises(comfy.memory.InterruptProcessingException):
        generate(comfy)
    monkeypatch.setattr(comfy.sd.VAE, "decode", raises(ValueError("broken")))
    with pytest.raises(HostError):
        generate(comfy)
    assert comfy.memory.current_loaded_models == []
    assert len(comfy.seen.emptied) == 2


def test_a_build_has_one_checkpoint_in_memory_at_a_time(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors", "gamma.safetensors")
    comfy.build()
    assert len(comfy.seen.loads) == 6
    assert comfy.seen.most_models == 1
    assert len(comfy.seen.alive) == 0


def test_after_a_checkpoint_failed_the_next_one_finds_the_memory_free(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    sample = comfy.nodes.common_ksampler

    def fails_for_alpha(model: Any, *inputs: Any) -> Any:
        if model.model.diffusion_model == [1.0]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return sample(model, *inputs)

    monkeypatch.setattr(comfy.nodes, "common_ksampler", fails_for_alpha)
    state = comfy.build()
    assert [problem.title for problem in state.problems] == ["alpha"]
    assert comfy.seen.most_models == 1
    assert len(comfy.seen.alive) == 0


# -- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to …\nmore"), "not enough memory"),
        (RuntimeError("ERROR: Could not detect model type\nof it"), "ComfyUI cannot use it"),
        (KeyError("model.diffusion_model"), "ComfyUI cannot use it"),
        (MemoryError(), "out of memory"),
        (EOFError(), "the file ends too early"),
        (AssertionError(), "AssertionError"),
    ],
    ids=["out of memory", "unknown model", "missing key", "memory", "end", "without a message"],
)
def test_whatever_the_loader_raises_names_the_checkpoint(
    error: Exception, reason: str, comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add("people/alpha.safetensors", 1)
    monkeypatch.setattr(comfy.sd, "load_checkpoint_guess_config", raises(error))
    with pytest.raises(HostError, match=f"^people/alpha: .*{reason}") as raised:
        generate(comfy, "people/alpha.safetensors")
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("part", ["tokenize", "encode_from_tokens_scheduled"])
def test_a_text_encoder_that_fails_names_the_checkpoint(
    part: str, comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add("alpha.safetensors", 1)
    monkeypatch.setattr(comfy.sd.CLIP, part, raises(ValueError("too long")))
    with pytest.raises(HostError, match=r"^alpha: ComfyUI cannot use it \(too long\)"):
        generate(comfy)


@pytest.mark.parametrize(
    ("lacks", "reason"),
    [
        ("clip", "no text encoder"),
        ("vae", "no VAE"),
        ("model", "no diffusion model"),
        ("clip vae", "no text encoder and no VAE"),
    ],
)
def test_a_checkpoint_without_one_of_its_parts_is_refused(
    lacks: str, reason: str, comfy: Comfy
) -> None:
    comfy.add("alpha.safetensors", 1, lacks=lacks)
    with pytest.raises(HostError, match=f"^alpha: holds {reason}. Use it through a workflow"):
        generate(comfy)


def test_an_interruption_while_loading_is_comfyuis_own(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add("alpha.safetensors", 1)
    stopped = comfy.memory.InterruptProcessingException()
    monkeypatch.setattr(comfy.sd, "load_checkpoint_guess_config", raises(stopped))
    with pytest.raises(comfy.memory.InterruptProcessingException):
        generate(comfy)


def test_a_checkpoint_that_cannot_be_loaded_does_not_stop_a_build(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "gamma.safetensors")
    comfy.add("beta.safetensors", 2, lacks="vae")
    state = comfy.build()
    assert [(problem.title, "no VAE" in problem.reason) for problem in state.problems] == [
        ("beta", True)
    ]
    samples = {e.title: e.samples for e in comfy.runtime.service.library.entries()}
    assert samples == {"alpha": 6, "gamma": 6}
    rows = {row["title"]: row for row in comfy.runtime.api.library()["checkpoints"]}
    assert rows["beta"]["state"] == "failed"
    assert "no VAE" in rows["beta"]["reason"]


def test_interruption_is_read_from_comfyui(comfy: Comfy) -> None:
    assert comfy.runtime.host.interrupted() is False
    comfy.nodes.interrupt_processing()
    assert comfy.runtime.host.interrupted() is True


# -- pixels ---------------------------------------------------------------------------------------


def test_pictures_survive_the_way_to_comfyui_and_back() -> None:
    image = picture(2, 3)
    tensor = image_to_tensor(image)
    assert (tuple(tensor.shape), tensor.dtype) == ((1, 32, 32, 3), torch.float32)
    (back,) = tensor_to_images(tensor)
    assert np.array_equal(np.asarray(back), np.asarray(image))


def test_a_batch_is_several_images_and_a_videos_frames_are_as_well() -> None:
    frames = torch.stack([image_to_tensor(picture(1, n))[0] for n in range(6)])
    assert len(tensor_to_images(frames)) == 6
    video = frames.reshape(2, 3, 32, 32, 3)
    for image, frame in zip(tensor_to_images(video), range(6), strict=True):
        assert np.array_equal(np.asarray(image), np.asarray(picture(1, frame)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_is_understood(dtype: torch.dtype) -> None:
    (image,) = tensor_to_images(torch.full((1, 8, 8, 3), 0.5, dtype=dtype))
    assert np.asarray(image).tolist() == [[[128] * 3] * 8] * 8


def test_what_is_no_number_becomes_black() -> None:
    (image,) = tensor_to_images(torch.full((1, 8, 8, 3), math.nan))
    assert image.mode == "RGB"
    assert not np.asarray(image).any()


def test_values_out_of_range_are_cut_and_infinite_ones_as_well() -> None:
    values = torch.tensor([-1.0, 0.0, 1.0, 2.0, math.inf, -math.inf]).reshape(1, 1, 6, 1)
    (image,) = tensor_to_images(values.expand(-1, -1, -1, 3))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 255, 255, 255, 0]


def test_transparent_and_grey_images_keep_their_channels() -> None:
    assert [i.mode for i in tensor_to_images(torch.zeros(2, 8, 8, 4))] == ["RGBA", "RGBA"]
    (grey,) = tensor_to_images(torch.ones(1, 8, 8, 1))
    assert (grey.mode, np.asarray(grey).max()) == ("L", 255)


def test_the_tensor_that_was_asked_about_is_not_changed() -> None:
    tensor = torch.full((1, 8, 8, 3), math.nan, requires_grad=True)
    tensor_to_images(tensor)
    assert torch.isnan(tensor).all()


def test_a_checkpoint_that_makes_nothing_but_black_is_recognised(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add_all("alpha.safetensors")
    black = torch.full((1, 64, 64, 3), math.nan)
    monkeypatch.setattr(comfy.sd.VAE, "decode", lambda self, samples_in: black)
    comfy.build()
    (row,) = comfy.runtime.api.library()["checkpoints"]
    assert row["state"] == "suspect"
    assert "black" in row["reason"]
    assert json.dumps(row)
