"""What a real web UI reads while a sample is made, and what others see of it meanwhile."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_server import MINIS, ROOT, quick_settings
from safetensors.numpy import load_file, save_file
from webui_server import WEB_UIS, WebUIServer, install_mini

from lib_gmi.base.images import decode_image

#: Options that a generation reads, that we do not set, and that no sample is changed by.
HARMLESS = {
    # of this machine: what a checkpoint needs to run on it
    "cross_attention_optimization": "of the machine: speed",
    "fp8_storage": "of the machine: memory",
    "cache_fp16_weight": "of the machine: memory",
    "batch_cond_uncond": "of the machine: speed",
    "pad_cond_uncond": "of the machine: speed",
    "pad_cond_uncond_v0": "of the machine: speed",
    "upcast_attn": "of the machine: precision",
    "auto_vae_precision": "of the machine: precision",
    "auto_vae_precision_bfloat16": "of the machine: precision",
    "disable_mmap_load_safetensors": "of the machine: how files are read",
    "sd_checkpoint_cache": "of the machine: memory",
    "sd_vae_checkpoint_cache": "of the machine: memory",
    "sd_checkpoints_limit": "of the machine: memory",
    "sd_checkpoints_keep_in_cpu": "of the machine: memory",
    "cond_stage_model_device_compatibility_check": "of the machine: devices",
    "forge_inference_memory": "of the machine: memory",
    "forge_async_loading": "of the machine: memory",
    "forge_pin_shared_memory": "of the machine: memory",
    "sd_sampling": "of the start: which samplers there are, decided when the program begins",
    "persistent_cond_cache": "whether prompts are remembered",
    "hide_ldm_prints": "what is logged",
    "list_hidden_files": "which files are listed",
    "enable_console_prompts": "what is logged",
    "multiple_tqdm": "a progress bar",
    # what becomes of the image, which we take as it is
    "samples_save": "nothing is saved",
    "samples_format": "nothing is saved",
    "grid_save": "nothing is saved",
    "grid_format": "nothing is saved",
    "grid_only_if_multiple": "nothing is saved",
    "return_grid": "there is one image",
    "return_mask": "img2img only",
    "return_mask_composite": "img2img only",
    "overlay_inpaint": "img2img only",
    "save_incomplete_images": "nothing is saved",
    "enable_pnginfo": "the text goes",
    "save_write_log_csv": "nothing is saved",
    "outdir_samples": "nothing is saved",
    "outdir_txt2img_samples": "nothing is saved",
    "outdir_grids": "nothing is saved",
    "outdir_txt2img_grids": "nothing is saved",
    "face_restoration_model": "we ask for none",
    "color_correction": "img2img only",
    "img2img_color_correction": "img2img only",
    "img2img_fix_steps": "img2img only",
    "enable_hr": "no second pass",
    "hires_fix_use_firstpass_conds": "no second pass",
    "use_old_hires_fix_width_height": "no second pass",
    "enable_prompt_comments": "our prompts have no comments",
    "enable_prompt_comments_def": "our prompts have no comments",
    "textual_inversion_add_hashes_to_infotext": "the text goes",
    "sd_checkpoint_dropdown_use_short": "titles",
    "hide_samplers": "which samplers are offered",
    "samplers_in_dropdown": "how samplers are offered",
    "show_progress_every_n_steps": "previews are off",
    "show_progress_type": "previews are off",
    "show_progress_grid": "previews are off",
    "live_preview_content": "previews are off",
    "live_preview_allow_lowvram_full": "previews are off",
    "live_preview_fast_interrupt": "previews are off",
    "profiling_enable": "measures time",
    "lora_add_hashes_to_infotext": "the text goes",
    "lora_functional": "a prompt of ours asks for no network",
    "lora_in_memory_limit": "of the machine: memory",
    "textual_inversion_print_at_load": "what is logged",
    "dynamic_clip_skip_schedule_values": "only where dynamic_clip_skip_enabled is on",
    "dynamic_clip_skip_start": "only where dynamic_clip_skip_enabled is on",
    "dynamic_clip_skip_use_schedule": "only where dynamic_clip_skip_enabled is on",
}
#: The text below an image, which we throw away; our own; the order of scripts: there are none.
HARMLESS_BEGINNINGS = ("add_", "infotext_", "stealth_", "gmi_", "prioritized_callbacks_")

#: Samplers and schedulers of the three checkpoints: each kind reads options of its own.
SAMPLERS = {
    MINIS[0]: ("dpmpp_2s_ancestral", "karras"),
    MINIS[1]: ("uni_pc", "sgm_uniform"),
    MINIS[2]: ("ddim", "normal"),
}


@pytest.fixture(scope="module", params=WEB_UIS.values(), ids=WEB_UIS.keys())
def recording(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebUIServer]:
    """A web UI that notes which options are read while a sample is made."""
    if reason := request.param.missing():
        pytest.skip(reason)
    minis: list[Path] = request.getfixturevalue("minis")
    server: WebUIServer = request.param(tmp_path_factory.mktemp("host"))
    scripts = server.folder / "extensions" / "option-recorder" / "scripts"
    scripts.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "option_recorder.py", scripts / "record.py")
    for name, path in zip(MINIS, minis, strict=False):
        install_mini(server, path, name)
    write_vae(minis[1], server.folder / "models" / "VAE" / "other.safetensors")
    with server.running():
        server.set_options(gmi_pause_while_i_work=False)
        yield server


def write_vae(checkpoint: Path, file: Path) -> None:
    """The VAE of a checkpoint, as a file of its own."""
    prefix = "first_stage_model."
    tensors = load_file(checkpoint)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {k.removeprefix(prefix): v.copy() for k, v in tensors.items() if k.startswith(prefix)},
        file,
    )


def ours() -> set[str]:
    """What ``options_for`` names, read off its source: the package's tables are no data files."""
    source = ast.parse((ROOT / "lib_gmi" / "hosts" / "webui_options.py").read_text())
    found: set[str] = set()
    for statement in source.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            found |= set(ast.literal_eval(statement.value))
    return found | {"sd_model_checkpoint", "sd_checkpoint_hash"}


def named_below_images(server: WebUIServer) -> set[str]:
    """Options that the web UI writes below images, all of which get their defaults."""
    from test_webui_standins import options, tree

    folder = server.checkout / "modules" / "shared_options.py"
    return {key for key, (_, infotext) in options(tree(folder)).items() if infotext}


def test_every_option_that_reaches_a_sample_is_set_or_declared_harmless(
    recording: WebUIServer,
) -> None:
    loads = recording.loads()
    for name, (sampler, scheduler) in SAMPLERS.items():
        quick_settings(recording, name)
        settings: dict[str, Any] = {"width": 64, "height": 64, "steps": 3, "cfg": 4.0}
        settings |= {"sampler": sampler, "scheduler": scheduler}
        recording.gmi("settings", {"name": name, "settings": settings})

    state = recording.build(2)

    assert state["problems"] == []
    assert recording.samples() == dict.fromkeys(MINIS, 2)
    # each checkpoint once, and the user's own at the end
    recording.wait(
        lambda: recording.loaded() == "mini-1", "the user's checkpoint did not come back"
    )
    assert recording.loads() - loads <= len(MINIS) + 1
    read = set(json.loads((recording.folder / "extensions/option-recorder/read.json").read_text()))
    assert {"CLIP_stop_at_last_layers", "sd_model_checkpoint"} <= read, "something was recorded"
    left = read - ours() - named_below_images(recording) - HARMLESS.keys()
    assert sorted(key for key in left if not key.startswith(HARMLESS_BEGINNINGS)) == []


def test_a_vae_that_the_user_has_chosen_is_in_no_profile(recording: WebUIServer) -> None:
    name = MINIS[0]

    def sample() -> bytes:
        return recording.content(recording.rows()[name]["previews"][0])

    def made() -> bytes:
        return decode_image(recording.generate(seed=3)).tobytes()

    first, plain = sample(), made()
    before = {key: recording.options().get(key) for key in recording.other_vae}
    recording.set_options(**recording.other_vae)
    try:
        theirs = made()
        assert theirs != plain, "the option does something"

        recording.gmi("rebuild", {"names": [name], "limit": 2})

        assert recording.built()["problems"] == []
        assert sample() == first
        assert made() == theirs, "the user's own is theirs again"
    finally:
        recording.set_options(**before)
