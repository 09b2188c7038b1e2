"""What differs between AUTOMATIC1111's web UI, its forks, and its older versions."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from headers import FLUX_DEV, FLUX_REST, SD1, UNET, unet
from headers import write as write_headers
from standins.webui.webui import ALPHA, BETA, GAMMA, PATIENCE

from lib_gmi.base.errors import HostError
from lib_gmi.checkpoints.architectures import CheckpointFacts
from lib_gmi.checkpoints.header import inspect
from lib_gmi.checkpoints.presets import table
from lib_gmi.hosts import webui_forks as forks
from lib_gmi.hosts.webui_options import ChangedMeanwhileError, options_for
from lib_gmi.hosts.webui_samplers import (
    host_sampler,
    host_samplers,
    host_scheduler,
    host_schedulers,
)
from lib_gmi.records.protocols import GenerationRequest, GenerationSettings

if TYPE_CHECKING:
    from PIL import Image
    from standins.webui.webui import WebUI

pytest_plugins = ["standins.webui.harness"]

SETTINGS = GenerationSettings(64, 64, 3, 5.0, "euler", "karras")


def generate(webui: WebUI, name: str = BETA, **settings: Any) -> Image.Image:
    request = GenerationRequest("p01", "picture number 1", "", 7)
    with webui.host.session(webui.candidate(name)) as session:
        image: Image.Image = session.generate(request, replace(SETTINGS, **settings))
    return image


def module(folder: Path, name: str, text: str = "") -> None:
    """A module of a fork."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    importlib.invalidate_caches()


# -- which one it is ------------------------------------------------------------------------------


def test_the_web_ui_itself(webui: WebUI) -> None:
    assert forks.program() == "AUTOMATIC1111"
    assert not forks.loads_lazily()


def test_forge(forge: WebUI) -> None:
    assert forks.program() == "Forge"
    assert forks.loads_lazily()


def test_reforge(reforge: WebUI) -> None:
    assert forks.program() == "reForge"
    assert not forks.loads_lazily()
    generate(reforge)
    reforge.host.switch(reforge.candidate(GAMMA))
    assert reforge.loaded == GAMMA


def test_outside_of_any_web_ui_nothing_is_found() -> None:
    assert not {"modules", "modules_forge"} & sys.modules.keys()
    assert not forks.loads_lazily()


# -- Forge ----------------------------------------------------------------------------------------


def test_forge_generates_in_its_own_thread_and_loads_only_what_is_asked_for(forge: WebUI) -> None:
    threads = []
    forge.seen.while_sampling = lambda _: threads.append(threading.current_thread())
    generate(forge)
    assert threads[0] is not threading.current_thread()
    assert forge.seen.loads == [BETA]
    assert forge.chosen == ALPHA
    forge.host.put_back()
    assert forge.seen.loads == [BETA], "it loads when it is needed"
    assert forge.txt2img().sd_model_hash == forge.info(ALPHA).shorthash
    assert forge.seen.loads == [BETA, ALPHA]


def test_nothing_is_loaded_in_forge_before_the_first_image(forge: WebUI) -> None:
    assert forge.host.current_file() is None
    assert forge.host.current().name == ALPHA
    assert forge.seen.loads == []


def test_what_fails_in_forges_thread_is_not_swallowed(forge: WebUI) -> None:
    forge.seen.memory = RuntimeError("CUDA out of memory")
    with pytest.raises(HostError, match="not enough memory"):
        generate(forge)
    with pytest.raises(KeyboardInterrupt):
        forks.in_main_thread(raises(KeyboardInterrupt()))
    assert forks.in_main_thread(lambda: None) is None
    assert sys.modules["modules_forge.main_thread"].last_exception is None


def raises(error: BaseException) -> Any:
    def function() -> None:
        raise error

    return function


def with_broken(forge: WebUI) -> None:
    """There is a checkpoint that cannot be loaded, and the user's own is loaded."""
    forge.add("broken.safetensors", 5)
    forge.seen.unusable["broken.safetensors"] = ValueError("size mismatch")
    importlib.import_module("modules_forge.main_entry").refresh_model_loading_parameters()
    forge.txt2img()


def test_a_broken_checkpoint_in_forge_spoils_nothing_for_the_user(forge: WebUI) -> None:
    """Forge would take the one before it for loaded, and generate with nothing at all."""
    with_broken(forge)
    with pytest.raises(HostError, match="Forge cannot use it"):
        generate(forge, "broken.safetensors")
    assert forge.chosen == ALPHA
    assert forge.txt2img().sd_model_hash == forge.info(ALPHA).shorthash


def test_a_switch_in_forge_lasts(forge: WebUI) -> None:
    forge.host.switch(forge.candidate(BETA))
    assert (forge.chosen, forge.loaded) == (BETA, BETA)
    assert BETA in (forge.data / "config.json").read_text()
    assert forge.txt2img().sd_model_hash == forge.info(BETA).shorthash


def test_a_switch_in_forge_that_fails_leaves_the_choice_as_it_was(forge: WebUI) -> None:
    with_broken(forge)
    with pytest.raises(HostError, match="size mismatch"):
        forge.host.switch(forge.candidate("broken.safetensors"))
    assert forge.chosen == ALPHA
    assert not (forge.data / "config.json").exists()
    assert forge.txt2img().sd_model_hash == forge.info(ALPHA).shorthash


def test_a_choice_made_in_forge_meanwhile_is_kept(forge: WebUI) -> None:
    def choose(_: Any) -> None:
        forge.seen.while_sampling = lambda _: None
        main_entry = importlib.import_module("modules_forge.main_entry")
        forge.elsewhere(lambda: main_entry.checkpoint_change(GAMMA, save=False))

    forge.opts.data["CLIP_stop_at_last_layers"] = 3
    forge.seen.while_sampling = choose
    generate(forge)
    assert forge.chosen == GAMMA
    assert forge.opts.data["CLIP_stop_at_last_layers"] == 3
    assert forge.txt2img().sd_model_hash == forge.info(GAMMA).shorthash


def test_a_choice_in_forge_that_spoils_every_attempt_is_reported(forge: WebUI) -> None:
    choices = itertools.cycle((GAMMA, ALPHA))
    main_entry = importlib.import_module("modules_forge.main_entry")
    forge.seen.while_sampling = lambda _: forge.elsewhere(
        lambda: main_entry.checkpoint_change(next(choices), save=False)
    )
    with pytest.raises(ChangedMeanwhileError, match="another checkpoint was chosen"):
        generate(forge, BETA)
    assert len(forge.seen.generated) == 3
    assert forge.chosen == GAMMA


def test_forge_keeps_a_checkpoint_for_all_its_images(forge: WebUI) -> None:
    """Forge unloads what is loaded whenever it sees an option of the loader change."""
    with forge.host.session(forge.candidate(BETA)) as session:
        for seed in range(4):
            session.generate(GenerationRequest("p01", "a picture", "", seed), SETTINGS)
    assert forge.seen.loads == [BETA]
    assert forge.seen.unloads == 0


def test_what_the_user_generates_between_two_images_in_forge_is_their_own(forge: WebUI) -> None:
    with forge.host.session(forge.candidate(BETA)) as session:
        session.generate(GenerationRequest("p01", "a picture", "", 1), SETTINGS)
        assert forge.txt2img().sd_model_hash == forge.info(ALPHA).shorthash
        session.generate(GenerationRequest("p02", "a picture", "", 2), SETTINGS)
    assert [made["checkpoint"] for made in forge.seen.generated] == [BETA, ALPHA, BETA]
    assert forge.seen.loads == [BETA, ALPHA, BETA]


def test_modules_that_the_user_of_forge_has_chosen_are_in_no_profile(forge: WebUI) -> None:
    main_entry = importlib.import_module("modules_forge.main_entry")
    main_entry.module_list["other.safetensors"] = "/VAE/other.safetensors"
    main_entry.modules_change(["other.safetensors"], save=False)
    forge.opts.set("forge_unet_storage_dtype", "bnb-nf4")
    main_entry.refresh_model_loading_parameters()
    data = forge.module("sd_models").model_data
    loaded: list[tuple[list[str], str | None]] = []

    def look(_: Any) -> None:
        used = data.sd_model.loaded_with
        loaded.append((used["additional_modules"], used["unet_storage_dtype"]))

    forge.seen.while_sampling = look
    forge.txt2img()  # of the same checkpoint, with the user's own modules
    generate(forge, ALPHA)
    forge.txt2img()
    theirs = (["/VAE/other.safetensors"], "nf4")
    assert loaded == [theirs, ([], None), theirs]
    assert forge.opts.data["forge_additional_modules"] == ["/VAE/other.safetensors"]


def test_prompts_are_not_remembered_across_text_encoders(forge: WebUI) -> None:
    """Forge remembers them by checkpoint and words alone."""
    processing = forge.module("processing").StableDiffusionProcessing
    main_entry = importlib.import_module("modules_forge.main_entry")
    main_entry.module_list["other.safetensors"] = "/VAE/other.safetensors"
    main_entry.modules_change(["other.safetensors"], save=False)
    processing.cached_c = processing.cached_uc = [(), "the user's", {}]
    seen: list[Any] = []

    def look(_: Any) -> None:
        seen.append(processing.cached_uc[1])
        processing.cached_uc = [(), "ours", {}]

    forge.seen.while_sampling = look
    generate(forge, ALPHA)
    assert seen == [None]
    assert processing.cached_uc == [None, None, None]
    del processing.cached_c, processing.cached_uc


def test_a_file_without_text_encoder_keeps_what_the_user_has_chosen(
    forge: WebUI, tmp_path: Path
) -> None:
    write_headers(forge.models / "flux.safetensors", FLUX_DEV)
    chosen = {"forge_additional_modules": ["/text_encoder/t5.safetensors"]}
    assert options_for(SETTINGS) | chosen != options_for(SETTINGS)
    bare = options_for(SETTINGS, bare=True)
    assert not {"forge_additional_modules", "forge_unet_storage_dtype"} & bare.keys()
    facts = inspect(forge.models / "flux.safetensors")
    assert forks.is_bare(facts, forge.models / "flux.safetensors")


def test_what_is_saved_is_what_forges_list_holds(forge: WebUI) -> None:
    """A title with a hash is none of its entries, and would show an empty list."""
    forge.host.switch(forge.candidate(GAMMA))
    assert forge.info(GAMMA).title != GAMMA
    assert forge.opts.data["sd_model_checkpoint"] == GAMMA
    saved = json.loads((forge.data / "config.json").read_text())
    assert saved["sd_model_checkpoint"] in forge.module("sd_models").checkpoint_tiles()
    assert forge.host.title_of(BETA) == BETA
    forge.opts.data["sd_model_checkpoint"] = forge.info(GAMMA).title  # as we once saved it
    forge.host.switch(forge.candidate(GAMMA))
    assert forge.opts.data["sd_model_checkpoint"] == GAMMA


def test_short_titles_are_saved_where_the_list_holds_them(webui: WebUI) -> None:
    def tiles(use_short: bool = False) -> list[str]:
        infos = webui.module("sd_models").checkpoints_list.values()
        return [info.name_for_extra if use_short else info.title for info in infos]

    webui.module("sd_models").checkpoint_tiles = tiles
    info = webui.module("options").OptionInfo(True)
    webui.opts.add_option("sd_checkpoint_dropdown_use_short", info)
    webui.host.switch(webui.candidate(BETA))
    assert (webui.opts.data["sd_model_checkpoint"], webui.loaded) == ("beta", BETA)


def test_an_older_list_knows_no_short_titles(webui: WebUI) -> None:
    def tiles() -> list[str]:
        return [info.title for info in webui.module("sd_models").checkpoints_list.values()]

    webui.module("sd_models").checkpoint_tiles = tiles
    webui.host.switch(webui.candidate(BETA))
    assert webui.opts.data["sd_model_checkpoint"] == webui.info(BETA).title


# -- reForge --------------------------------------------------------------------------------------


def test_reforge_looks_through_scripts_without_asking_whether_there_are_any(
    reforge: WebUI,
) -> None:
    generate(reforge)
    (made,) = reforge.seen.generated
    assert made["p"].scripts.alwayson_scripts == []
    assert made["p"].script_args == []


@pytest.mark.parametrize("key", ["sd_text_encoder", "sd_vae"])
def test_what_the_user_of_reforge_has_chosen_beside_a_checkpoint_is_in_no_profile(
    reforge: WebUI, key: str
) -> None:
    """reForge takes it while it loads, and later asks only whether that file is loaded."""
    reforge.opts.data[key] = "other"
    reforge.choose(GAMMA)
    reforge.choose(ALPHA)
    reforge.seen.loads.clear()
    used: list[str] = []
    data = reforge.module("sd_models").model_data
    reforge.seen.while_sampling = lambda _: used.append(data.sd_model.loaded_with[key])
    reforge.txt2img()
    with reforge.host.session(reforge.candidate(ALPHA)) as session:
        session.prepare([], SETTINGS)
        for seed in range(2):
            session.generate(GenerationRequest("p01", "a picture", "", seed), SETTINGS)
    reforge.txt2img()
    assert used == ["other", "Automatic", "Automatic", "other"]
    assert reforge.seen.loads == [ALPHA, ALPHA], "once for us, once for the user"
    reforge.opts.data[key] = "Automatic"
    reforge.choose(GAMMA)
    generate(reforge, ALPHA)
    generate(reforge, ALPHA)
    assert reforge.seen.loads[2:] == [GAMMA, ALPHA]


def test_reforge_loads_nothing_twice_where_no_text_encoder_is_chosen(reforge: WebUI) -> None:
    generate(reforge, ALPHA)
    generate(reforge, ALPHA)
    reforge.txt2img()
    assert reforge.seen.loads == []


def test_a_choice_in_forge_that_is_gone_does_not_lose_the_other_options(forge: WebUI) -> None:
    forge.opts.data["sd_model_checkpoint"] = "gone.safetensors"
    forge.opts.data["CLIP_stop_at_last_layers"] = 3
    generate(forge)
    assert forge.opts.data["sd_model_checkpoint"] == "gone.safetensors"
    assert forge.opts.data["CLIP_stop_at_last_layers"] == 3


def test_guidance_of_flux_goes_to_forge(forge: WebUI) -> None:
    generate(forge, extra={"guidance": 2.5})
    generate(forge)
    assert [made["p"].distilled_cfg_scale for made in forge.seen.generated] == [2.5, 3.5]


def test_guidance_is_nothing_to_a_web_ui_that_has_no_such_thing(webui: WebUI) -> None:
    generate(webui, extra={"guidance": 2.5})
    assert not hasattr(webui.seen.generated[0]["p"], "distilled_cfg_scale")


# -- what it can load -----------------------------------------------------------------------------


def reason(path: Path) -> str | None:
    return forks.unsupported(inspect(path), path)


def test_files_without_text_encoder_need_forge_and_what_is_chosen_there(
    forge: WebUI, tmp_path: Path
) -> None:
    gguf = tmp_path / "flux.gguf"
    gguf.write_bytes(b"GGUF\3\0\0\0" + bytes(64))
    bare = write_headers(tmp_path / "flux.safetensors", FLUX_DEV)
    for path in (gguf, bare):
        said = reason(path)
        assert said is not None
        assert "choose them under 'VAE / Text Encoder'" in said
    forge.opts.data["forge_additional_modules"] = ["/text_encoder/clip_l.safetensors"]
    assert reason(gguf) is None
    assert reason(bare) is None


def test_gguf_is_refused_by_name_where_it_cannot_be_loaded(webui: WebUI, tmp_path: Path) -> None:
    path = tmp_path / "flux.gguf"
    path.write_bytes(b"GGUF\3\0\0\0" + bytes(64))
    assert reason(path) == "AUTOMATIC1111 cannot load GGUF files"


def test_flux_is_refused_by_the_web_ui_and_not_by_forge(webui: WebUI, tmp_path: Path) -> None:
    path = write_headers(tmp_path / "flux.safetensors", FLUX_DEV | FLUX_REST)
    assert reason(path) == "AUTOMATIC1111 cannot load checkpoints of the kind flux"
    assert reason(write_headers(tmp_path / "sd.safetensors", SD1)) is None
    assert forks.unsupported(CheckpointFacts(), tmp_path / "old.ckpt") is None


def test_flux_is_loaded_by_forge(forge: WebUI, tmp_path: Path) -> None:
    assert reason(write_headers(tmp_path / "flux.safetensors", FLUX_DEV | FLUX_REST)) is None


def test_advice_about_workflows_is_no_use_here(webui: WebUI, tmp_path: Path) -> None:
    bare = write_headers(tmp_path / "unet.safetensors", unet(768))
    said = reason(bare)
    assert said
    assert "workflow" not in said.lower()
    inpainting = write_headers(
        tmp_path / "inpaint.safetensors", SD1 | {f"{UNET}input_blocks.0.0.weight": (320, 9, 3, 3)}
    )
    said = reason(inpainting)
    assert said
    assert "workflow" not in said.lower()


def test_unsupported_files_are_listed_with_the_reason(webui: WebUI) -> None:
    webui.add("vae.safetensors", 4, "vae")
    row = webui.candidate("vae.safetensors")
    assert row.unsupported
    assert {c.name for c in webui.host.list_checkpoints() if not c.unsupported} == {
        ALPHA,
        BETA,
        GAMMA,
    }


# -- samplers and schedulers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (None, "Euler"),
        ("euler", "Euler"),
        ("euler_ancestral", "Euler a"),
        ("dpmpp_2m", "DPM++ 2M"),
        ("dpmpp_2m_sde", "DPM++ 2M SDE"),
        ("dpmpp_2m_sde_gpu", "DPM++ 2M SDE"),
        ("dpmpp_3m_sde", "DPM++ 3M SDE"),
        ("dpmpp_sde", "DPM++ SDE"),
        ("dpmpp_2s_ancestral", "DPM++ 2S a"),
        ("dpm_2_ancestral", "DPM2 a"),
        ("dpm_adaptive", "DPM adaptive"),
        ("dpm_fast", "DPM fast"),
        ("heun", "Heun"),
        ("lms", "LMS"),
        ("lcm", "LCM"),
        ("uni_pc", "UniPC"),
        ("ddim", "DDIM"),
        ("Euler a", "Euler a"),
        ("restart", "Restart"),
        ("strange", None),
    ],
)
def test_samplers_have_the_web_uis_names(webui: WebUI, name: str | None, label: str | None) -> None:
    assert host_sampler(name) == label


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (None, None),
        ("karras", "Karras"),
        ("Karras", "Karras"),
        ("sgm_uniform", "SGM Uniform"),
        ("SGM Uniform", "SGM Uniform"),
        ("ddim_uniform", "DDIM"),
        ("beta", "Beta"),
        ("strange", "Normal"),
    ],
)
def test_schedulers_have_the_web_uis_names(
    webui: WebUI, name: str | None, label: str | None
) -> None:
    assert host_scheduler(name) == label


def test_every_preset_can_be_sampled_here(webui: WebUI) -> None:
    rows = [row for group in ("architectures", "families", "predictions", "accelerations")
            for row in table()[group].values()]  # fmt: skip
    layers = [*rows, *(layer for row in rows for layer in row.get("by_architecture", {}).values())]
    samplers = {layer["sampler"] for layer in layers if layer.get("sampler")}
    assert len(samplers) > 3
    assert {name for name in samplers if host_sampler(name) is None} <= {"res_multistep"}
    schedulers = {layer["scheduler"] for layer in layers if layer.get("scheduler")}
    known = {name: host_scheduler(name) for name in schedulers}
    assert None not in known.values()
    assert known["karras"] == "Karras"


def test_an_old_web_ui_has_schedulers_in_the_names_of_samplers(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before 1.9: no module for schedulers, and no such field."""
    import modules

    samplers, processing = webui.module("sd_samplers"), webui.module("processing")
    monkeypatch.setitem(sys.modules, "modules.sd_schedulers", None)
    monkeypatch.delattr(modules, "sd_schedulers")
    for label, alias in (("DPM++ 2M Karras", "k_dpmpp_2m_ka"), ("DPM++ 2M SDE Karras", "x")):
        samplers.all_samplers.append(samplers._sampler(label, alias))
    samplers.set_samplers()
    monkeypatch.setattr(samplers, "fix_p_invalid_sampler_and_scheduler", lambda p: None)
    fields = processing.StableDiffusionProcessing.__dataclass_fields__
    monkeypatch.delitem(fields, "scheduler")
    assert host_schedulers() == ["Exponential", "Karras"]
    assert "DPM++ 2M Karras" in host_samplers()
    generate(webui, sampler="dpmpp_2m", scheduler="karras")
    generate(webui, sampler="euler", scheduler="karras")
    generate(webui, sampler="dpmpp_2m", scheduler="sgm_uniform")
    used = [made["p"].sampler_name for made in webui.seen.generated]
    assert used == ["DPM++ 2M Karras", "Euler", "DPM++ 2M"]


# -- forks that we never saw -----------------------------------------------------------------------


def test_callbacks_that_take_no_name_are_registered_as_well(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_gmi.a1111 import start

    callbacks = webui.module("script_callbacks")
    got = []
    for name in ("app_started", "ui_tabs", "ui_settings", "script_unloaded", "before_ui"):
        monkeypatch.setattr(callbacks, f"on_{name}", got.append)
    start()
    assert len(got) == 5


def test_a_fork_whose_lock_has_no_inside_is_not_taken_for_busy(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_gmi.a1111.runtime import somebody_works

    monkeypatch.setattr(webui.module("call_queue"), "queue_lock", threading.RLock())
    assert not somebody_works()
    generate(webui)


def test_a_loader_that_always_writes_the_choice_does_not_take_the_users(webui: WebUI) -> None:
    """Before 1.6 nothing kept it from that; and the title changes with the hash meanwhile."""

    class Useless:
        skip = False

        def __enter__(self) -> None:
            pass

        def __exit__(self, *raised: object) -> None:
            pass

    webui.module("sd_models").SkipWritingToConfig = Useless
    assert webui.info(BETA).shorthash is None
    generate(webui)
    assert webui.info(BETA).shorthash is not None
    assert webui.chosen == ALPHA


def test_waiting_threads_of_forge_end(forge: WebUI) -> None:
    thread = forge.in_another_thread(lambda: generate(forge))
    thread.join(PATIENCE)
    assert not thread.is_alive()
