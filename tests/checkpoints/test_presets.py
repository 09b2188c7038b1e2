"""The table is complete, real names mean what people mean by them, and edits are never lost."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCE_ROOT
from hypothesis import HealthCheck, given
from hypothesis import settings as configure
from hypothesis import strategies as st

from lib_gmi.base.errors import GMIError, LibraryError
from lib_gmi.base.images import check_codec
from lib_gmi.checkpoints.architectures import CheckpointFacts
from lib_gmi.checkpoints.overrides import Overrides, PresetError, apply, validate
from lib_gmi.checkpoints.presets import CODEC, Preset, find, merge, split_words, table
from lib_gmi.records.prompts import default_prompt_set
from lib_gmi.records.protocols import GenerationSettings

DEV = CheckpointFacts("flux", "text-to-image", guidance_distilled=True)
UNKNOWN = CheckpointFacts()

#: Of ComfyUI; A1111 has the same under other names.
SAMPLERS = {
    "euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_sde", "lcm", "uni_pc",
    "res_multistep",
}  # fmt: skip
SCHEDULERS = {"normal", "karras", "simple", "sgm_uniform", "beta", "exponential"}


#: What a row of the table may hold.
SETTINGS = {
    "size", "steps", "cfg", "sampler", "scheduler", "clip_skip", "vae", "dialect", "prefix",
    "negative", "extra",
}  # fmt: skip


def named(name: str, architecture: str | None = None, **more: Any) -> Preset:
    """The preset of a file with this name, whose tensors say no more than the architecture."""
    facts = DEV if architecture == "flux" else CheckpointFacts(architecture, "text-to-image")
    return find(facts, Path("models") / name, **more)


# -- the table ------------------------------------------------------------------------------------


def names(group: str) -> list[str | None]:
    return [None, *table()[group]]


def test_every_combination_of_rows_is_a_complete_and_valid_setting() -> None:
    dialects = default_prompt_set().dialects
    for rows in itertools.product(
        table()["architectures"], names("families"), names("predictions"), names("accelerations")
    ):
        row = merge(*rows)
        assert SETTINGS <= set(row) <= {*SETTINGS, "steps_from_name"}, rows
        assert row["dialect"] in dialects, rows
        assert row["sampler"] in SAMPLERS, rows
        assert row["scheduler"] in SCHEDULERS, rows
        assert row["vae"] is None
        assert set(row["extra"]) <= {"guidance", "shift", "prediction"}, rows
        width, height = row["size"]
        edits = {
            "width": width,
            "height": height,
            **{key: row[key] for key in ("steps", "cfg", "sampler", "scheduler", "prefix")},
            **{key: row["extra"][key] for key in ("guidance", "shift") if key in row["extra"]},
        }
        if row["clip_skip"] is not None:
            edits["clip_skip"] = row["clip_skip"]
        validate(edits)


def test_every_architecture_states_what_has_no_default() -> None:
    for name, row in table()["architectures"].items():
        assert set(row) >= {"size", "steps", "cfg", "sampler", "scheduler"}, name


def test_rows_hold_nothing_that_nobody_reads() -> None:
    for group in ("architectures", "families", "predictions", "accelerations"):
        for name, row in table()[group].items():
            assert set(row) <= {*SETTINGS, "by_architecture", "steps_from_name"}, name
            assert set(row.get("by_architecture", {})) <= set(table()["architectures"]), name
            for layer in row.get("by_architecture", {}).values():
                assert set(layer) <= SETTINGS, name


def test_every_rule_names_a_row_and_every_row_has_a_rule() -> None:
    rules = table()["recognise"]
    keys = {"is", "words", "anywhere", "inside", "starts", "except", "architectures"}
    for group in ("architectures", "families", "predictions", "accelerations"):
        assert {rule["is"] for rule in rules[group]} <= set(table()[group])
        for rule in rules[group]:
            assert set(rule) <= keys
            assert set(rule.get("architectures", ())) <= set(table()["architectures"])
            for key in ("words", "anywhere", "inside", "starts", "except"):
                assert all(word == "".join(split_words(word)) for word in rule.get(key, ()))
    for group in ("families", "accelerations"):
        assert {rule["is"] for rule in rules[group]} == set(table()[group])


def test_without_guidance_there_is_no_negative_prompt_so_the_table_says_so_by_a_cfg_of_1() -> None:
    for name in ("sdxl-turbo", "hyper", "dmd2", "schnell"):
        assert merge("sdxl", None, None, name)["cfg"] == 1.0


def line(name: str, row: dict[str, Any]) -> str:
    """A row as docs/presets.md has it."""
    size = "{}×{}".format(*row["size"])
    extra = ", ".join(f"{key} {value:g}" for key, value in sorted(row["extra"].items()))
    cells = (name, size, row["steps"], f"{row['cfg']:g}", row["sampler"], row["scheduler"], extra)
    return "| " + " | ".join(map(str, cells)).rstrip() + " |"


def test_the_documentation_shows_the_table_as_it_is() -> None:
    page = (SOURCE_ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    rows = [(name, merge(name)) for name in table()["architectures"]]
    for acceleration, architecture in (
        ("sdxl-turbo", "sdxl"), ("turbo", "sd1"), ("turbo", "sdxl"), ("turbo", "sd3"),
        ("lightning", "sdxl"), ("hyper", "sdxl"), ("dmd2", "sdxl"), ("lcm", "sd1"),
        ("flash", "sdxl"), ("schnell", "flux"),
    ):  # fmt: skip
        row = merge(architecture, None, None, acceleration)
        rows.append((f"{acceleration}, {architecture}", row))
    for name, row in rows:
        assert line(name, row) in page, line(name, row)
    for name in (*table()["families"], *table()["accelerations"]):
        assert name in page


# -- names ----------------------------------------------------------------------------------------

SD1, SD2, SDXL, SD3, FLUX = "sd1", "sd2", "sdxl", "sd3", "flux"

#: File name, what its tensors say, and what a person would expect: family, acceleration, steps.
NAMES = [
    ("v1-5-pruned-emaonly.safetensors", SD1, None, None, 20),
    ("sd-v1-4.ckpt", SD1, None, None, 20),
    ("dreamshaper_8.safetensors", SD1, None, None, 20),
    ("realisticVisionV60B1_v51VAE.safetensors", SD1, None, None, 20),
    ("realisticVisionV60B1_v51HyperVAE.safetensors", SD1, None, "hyper", 8),
    ("epicrealism_naturalSinRC1VAE.safetensors", SD1, None, None, 20),
    ("epicphotogasm_ultimateFidelity.safetensors", SD1, None, None, 20),
    ("photon_v1.safetensors", SD1, None, None, 20),
    ("majicmixRealistic_v7.safetensors", SD1, None, None, 20),
    ("cyberrealistic_v80.safetensors", SD1, None, None, 20),
    ("deliberate_v2.safetensors", SD1, None, None, 20),
    ("hyperRealisticVision_v1.safetensors", SD1, None, None, 20),
    ("realistic_hyperrealism_v3.safetensors", SD1, None, None, 20),
    ("hyper_realism_1.2.safetensors", SD1, None, None, 20),
    ("AnythingV5_v5PrtRE.safetensors", SD1, "anime", None, 20),
    ("anything-v3-fp16-pruned.safetensors", SD1, "anime", None, 20),
    ("counterfeitV30_v30.safetensors", SD1, "anime", None, 20),
    ("meinamix_v12Final.safetensors", SD1, "anime", None, 20),
    ("AOM3A1B_orangemixs.safetensors", SD1, "anime", None, 20),
    ("revAnimated_v122.safetensors", SD1, "anime", None, 20),
    ("turbochargedAnime_v1.safetensors", SD1, "anime", None, 20),
    ("LCM_Dreamshaper_v7.safetensors", SD1, None, "lcm", 8),
    ("dreamshaper_8LCM.safetensors", SD1, None, "lcm", 8),
    ("Hyper-SD15-4steps.safetensors", SD1, None, "hyper", 4),
    ("v2-1_768-ema-pruned.safetensors", SD2, None, None, 20),
    ("v2-1_512-ema-pruned.safetensors", SD2, "sd2-512", None, 20),
    ("512-base-ema.ckpt", SD2, "sd2-512", None, 20),
    ("sd_turbo.safetensors", SD2, None, "turbo", 4),
    ("sd_xl_base_1.0.safetensors", SDXL, None, None, 25),
    ("sd_xl_base_1.0_0.9vae.safetensors", SDXL, None, None, 25),
    ("sd_xl_turbo_1.0_fp16.safetensors", SDXL, None, "sdxl-turbo", 4),
    ("Juggernaut-XL_v9_RunDiffusionPhoto.safetensors", SDXL, None, None, 25),
    ("Juggernaut_X_RunDiffusion_Hyper.safetensors", SDXL, None, "hyper", 8),
    ("juggernautXL_juggXILightningByRD.safetensors", SDXL, None, "lightning", 8),
    ("dreamshaperXL_lightningDPMSDE.safetensors", SDXL, None, "lightning", 8),
    ("dreamshaperXL_v21TurboDPMSDE.safetensors", SDXL, None, "turbo", 6),
    ("turbovisionxlSuperFastXLBasedOnNew_tvxlV431Bakedvae.safetensors", SDXL, None, "turbo", 6),
    ("dreamshaperxlturbo.safetensors", SDXL, None, "turbo", 6),
    ("TurboVisionXL_v4.safetensors", SDXL, None, "turbo", 6),
    ("realvisxlV50_v50LightningBakedvae.safetensors", SDXL, None, "lightning", 8),
    ("RealVisXL_V4.0.safetensors", SDXL, None, None, 25),
    ("sdxl_lightning_4step.safetensors", SDXL, None, "lightning", 4),
    ("sdxl_lightning_2step.safetensors", SDXL, None, "lightning", 2),
    ("Hyper-SDXL-8steps.safetensors", SDXL, None, "hyper", 8),
    ("lcmXL_v1.safetensors", SDXL, None, "lcm", 8),
    ("realismByStableYogi_v4LightningDMD2.safetensors", SDXL, None, "dmd2", 6),
    ("lustifySDXL_dmd2_4step.safetensors", SDXL, None, "dmd2", 4),
    ("sdxl-flash.safetensors", SDXL, None, "flash", 8),
    ("playground-v2.5-1024px-aesthetic.fp16.safetensors", SDXL, "playground", None, 30),
    ("ponyDiffusionV6XL_v6StartWithThisOne.safetensors", SDXL, "pony", None, 25),
    ("ponyRealism_V22MainVAE.safetensors", SDXL, "pony", None, 25),
    ("cyberrealisticPony_v85.safetensors", SDXL, "pony", None, 25),
    ("autismmixSDXL_autismmixPony.safetensors", SDXL, "pony", None, 25),
    ("waiANINSFWPONYXL_v11.safetensors", SDXL, "pony", None, 25),
    ("ponyRealism_v21Lightning4step.safetensors", SDXL, "pony", "lightning", 4),
    ("ponytailHelper_v1.safetensors", SDXL, None, None, 25),
    ("waiNSFWIllustrious_v140.safetensors", SDXL, "illustrious", None, 25),
    ("Illustrious-XL-v2.0.safetensors", SDXL, "illustrious", None, 25),
    ("novaAnimeXL_ilV90.safetensors", SDXL, "illustrious", None, 25),
    ("hassakuXLIllustrious_v31.safetensors", SDXL, "illustrious", None, 25),
    ("noobaiXLNAIXL_epsilonPred11Version.safetensors", SDXL, "noobai", None, 28),
    ("noobaiXLNAIXL_vPred10Version.safetensors", SDXL, "noobai", None, 28),
    ("NAI-XL-vpred-1.0.safetensors", SDXL, "noobai", None, 28),
    ("animagine-xl-4.0-opt.safetensors", SDXL, "animagine", None, 28),
    ("animagineXLV31_v31.safetensors", SDXL, "animagine", None, 28),
    ("bluePencilXL_v700.safetensors", SDXL, "anime", None, 25),
    ("sd3_medium_incl_clips_t5xxlfp8.safetensors", SD3, None, None, 25),
    ("sd3.5_large_fp8_scaled.safetensors", SD3, None, None, 25),
    ("sd3.5_large_turbo.safetensors", SD3, None, "turbo", 4),
    ("SD3.5-Flash.safetensors", SD3, None, "flash", 4),
    ("flux1-dev-fp8.safetensors", FLUX, None, None, 20),
    ("flux1-schnell-fp8.safetensors", FLUX, None, "schnell", 4),
    ("Hyper-FLUX.1-dev-8steps.safetensors", FLUX, None, "hyper", 8),
    ("flux-dev-de-distill.safetensors", FLUX, "flux-dedistilled", None, 20),
    ("flux1-krea-dev_fp8_scaled.safetensors", FLUX, None, None, 20),
    ("z_image_turbo_bf16.safetensors", "z-image", None, "turbo", 8),
    ("Qwen-Image-Lightning-4steps.safetensors", "qwen-image", None, "lightning", 4),
    ("hidream_i1_fast_fp8.safetensors", "hidream", "hidream-fast", None, 16),
    ("ponyV7_auraflow.safetensors", "auraflow", "pony", None, 30),
]  # fmt: skip


@pytest.mark.parametrize(("name", "architecture", "family", "acceleration", "steps"), NAMES)
def test_a_real_name_means_what_people_mean_by_it(
    name: str, architecture: str, family: str | None, acceleration: str | None, steps: int
) -> None:
    preset = named(name, architecture)
    assert preset.architecture == architecture
    assert (preset.family, preset.acceleration) == (family, acceleration)
    assert preset.settings.steps == steps
    assert preset.settings.codec == CODEC
    check_codec(CODEC)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("v1-5-pruned-emaonly.ckpt", "sd1"),
        ("v2-1_768-ema-pruned.ckpt", "sd2"),
        ("juggernautXL_v8.ckpt", "sdxl"),
        ("ponyRealism.ckpt", "sdxl"),
        ("waiIllustrious.ckpt", "sdxl"),
        ("sd3.5_medium.gguf", "sd3"),
        ("flux1-dev-Q4_K_S.gguf", "flux"),
        ("stable_cascade_stage_c.gguf", "stable-cascade"),
        ("model.ckpt", "unknown"),
        ("", "unknown"),
        ("我的模型.ckpt", "unknown"),
    ],
)
def test_a_name_tells_the_architecture_where_the_tensors_do_not(
    name: str, architecture: str
) -> None:
    assert find(UNKNOWN, Path("models") / name).architecture == architecture


def test_an_architecture_that_is_not_in_the_table_is_unknown() -> None:
    assert named("thing.safetensors", "wan").architecture == "unknown"


def test_schnell_is_told_by_its_tensors_whatever_its_name() -> None:
    preset = find(CheckpointFacts("flux", "text-to-image"), Path("mine.safetensors"))
    assert preset.acceleration == "schnell"
    assert "guidance" not in preset.settings.extra
    assert any("tensors" in reason for reason in preset.because)


def test_a_flux_without_distillation_is_not_schnell() -> None:
    facts = CheckpointFacts("flux", "text-to-image")
    preset = find(facts, Path("flux-dedistilled.safetensors"))
    assert preset.acceleration is None
    assert preset.settings.cfg == 3.5


def test_flux_dev_gets_its_guidance() -> None:
    assert named("flux1-dev.safetensors", "flux").settings.extra == {"guidance": 3.5}


def test_anime_means_clip_skip_2_on_sd1_only() -> None:
    assert named("AnythingV5.safetensors", "sd1").settings.clip_skip == 2
    assert named("dreamshaper_8.safetensors", "sd1").settings.clip_skip == 1
    assert named("ponyDiffusionV6XL.safetensors", "sdxl").settings.clip_skip is None


def test_dialects() -> None:
    for name, dialect in (
        ("ponyDiffusionV6XL", "pony"),
        ("waiNSFWIllustrious_v140", "booru"),
        ("Juggernaut-XL_v9", "natural"),
    ):
        assert named(name + ".safetensors", "sdxl").settings.dialect == dialect


def test_a_prefix_travels_in_extra() -> None:
    settings = named("ponyV7.safetensors", "auraflow").settings
    assert settings.extra["prefix"] == "score_9, "
    assert settings.dialect == "natural"


@pytest.mark.parametrize(
    "name", ["noobaiXLNAIXL_vPred10Version", "NoobAI-XL-Vpred-v1.0", "x_v-pred", "VPREDmix_vpred"]
)
def test_v_prediction_by_name(name: str) -> None:
    settings = named(name + ".safetensors", "sdxl").settings
    assert settings.extra["prediction"] == "v"
    assert settings.scheduler == "normal"


def test_v_prediction_by_the_file() -> None:
    facts = CheckpointFacts("sdxl", "text-to-image", prediction="v")
    assert find(facts, Path("a.safetensors")).settings.extra["prediction"] == "v"
    facts = CheckpointFacts("sdxl", "text-to-image", prediction="epsilon")
    assert "prediction" not in find(facts, Path("a_vpred.safetensors")).settings.extra


def test_steps_of_a_name_count_only_where_something_is_accelerated() -> None:
    assert named("trained_8_steps.safetensors", "sd1").settings.steps == 20
    for name in ("lightning_40step", "lightning_1step", "lightning_20240101step"):
        assert named(f"sdxl_{name}.safetensors", "sdxl").settings.steps == 8


def test_words() -> None:
    words = split_words("dreamshaperXL_v21TurboDPMSDE")
    assert words == ["dreamshaper", "xl", "v", "21", "turbo", "dpmsde"]
    assert split_words("SDXLTurbo v1.0") == ["sdxl", "turbo", "v", "1", "0"]


# -- evidence and its order -----------------------------------------------------------------------


def checkpoint(tmp_path: Path, suffix: str, data: Any, name: str = "mine") -> Path:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    (tmp_path / (name + suffix)).write_bytes(raw)
    return tmp_path / f"{name}.safetensors"


XL = CheckpointFacts("sdxl", "text-to-image")


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".civitai.info", {"baseModel": "Pony", "name": "v1", "model": {"name": "Mine"}}),
        (".civitai.info", {"baseModel": "SDXL 1.0", "model": {"name": "Pony Something"}}),
        (".metadata.json", {"base_model": "Pony", "model_name": "Mine"}),
        (".metadata.json", {"civitai": {"baseModel": "Pony"}}),
        (".cm-info.json", {"BaseModel": "Pony", "ModelName": "Mine"}),
        (".json", {"sd version": "Pony", "notes": ""}),
        (".json", {"baseModel": "Pony"}),
    ],
)
def test_sidecars_are_understood(tmp_path: Path, suffix: str, data: Any) -> None:
    path = checkpoint(tmp_path, suffix, data)
    preset = find(XL, path)
    assert preset.family == "pony"
    assert any(reason.startswith(f"pony: the sidecar mine{suffix}") for reason in preset.because)
    assert find(XL, path, sidecars=False).family is None


@pytest.mark.parametrize(
    ("base", "architecture", "acceleration"),
    [
        ("SD 1.5", "sd1", None),
        ("SD 1.5 LCM", "sd1", "lcm"),
        ("SD 1.5 Hyper", "sd1", "hyper"),
        ("SD 2.1 768", "sd2", None),
        ("SDXL 1.0", "sdxl", None),
        ("SDXL Lightning", "sdxl", "lightning"),
        ("SDXL Hyper", "sdxl", "hyper"),
        ("SDXL Turbo", "sdxl", "turbo"),
        ("SDXL 1.0 LCM", "sdxl", "lcm"),
        ("SD 3.5 Medium", "sd3", None),
        ("SD 3.5 Large Turbo", "sd3", "turbo"),
        ("Flux.1 D", "flux", None),
        ("Flux.1 S", "flux", "schnell"),
        ("AuraFlow", "auraflow", None),
        ("Illustrious", "sdxl", None),
        ("NoobAI", "sdxl", None),
        ("Pony", "sdxl", None),
        ("PixArt a", "pixart", None),
        ("Hunyuan 1", "hunyuan-dit", None),
        ("Lumina", "lumina2", None),
        ("Chroma", "chroma", None),
        ("HiDream", "hidream", None),
        ("Qwen", "qwen-image", None),
        ("ZImageTurbo", "z-image", "turbo"),
        ("Other", "unknown", None),
    ],
)
def test_the_base_models_of_civitai(
    tmp_path: Path, base: str, architecture: str, acceleration: str | None
) -> None:
    preset = find(UNKNOWN, checkpoint(tmp_path, ".civitai.info", {"baseModel": base}))
    assert (preset.architecture, preset.acceleration) == (architecture, acceleration)


def test_the_original_turbo_is_told_from_its_merges(tmp_path: Path) -> None:
    facts = CheckpointFacts(
        "sdxl", metadata={"modelspec.architecture": "stable-diffusion-xl-turbo-v1"}
    )
    original = find(facts, checkpoint(tmp_path, ".civitai.info", {"baseModel": "SDXL Turbo"}))
    assert (original.settings.width, original.settings.cfg) == (512, 1.0)
    merged = find(XL, tmp_path / "mine.safetensors")
    assert (merged.settings.width, merged.settings.cfg) == (768, 2.0)


def test_own_metadata_come_before_sidecars_and_those_before_the_name(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, ".civitai.info", {"baseModel": "Illustrious"}, "ponyMix")
    assert find(XL, path).family == "illustrious"
    facts = CheckpointFacts("sdxl", metadata={"modelspec.title": "Animagine XL 4.0"})
    assert find(facts, path).family == "animagine"
    assert find(XL, path, sidecars=False).family == "pony"


def test_tensors_come_before_everything(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, ".civitai.info", {"baseModel": "SD 1.5"})
    assert find(XL, path).architecture == "sdxl"


def test_what_is_said_of_all_versions_does_not_accelerate_this_one(tmp_path: Path) -> None:
    data = {"baseModel": "SDXL 1.0", "name": "v5", "model": {"name": "Foo (Turbo and Lightning)"}}
    assert find(XL, checkpoint(tmp_path, ".civitai.info", data)).acceleration is None
    data["name"] = "v5 Lightning 4 steps"
    preset = find(XL, checkpoint(tmp_path, ".civitai.info", data))
    assert preset.acceleration == "lightning"
    assert preset.settings.steps == 4


HOSTILE = {
    "nothing": b"",
    "no JSON": b"{not json",
    "no UTF-8": b"\xff\xfe\xff{}",
    "UTF-16": json.dumps({"baseModel": 3}).encode("utf-16"),
    "deep": b"[" * 500_000,
    "deep object": b'{"model":' * 100_000,
    "too large": b'{"baseModel": "Pony", "x": "' + b"x" * (1 << 20) + b'"}',
    "a list": b"[1, 2, 3]",
    "a number": b"3",
    "wrong types": b'{"baseModel": ["Pony"], "model": "Pony", "name": {"a": 1}, "civitai": [1]}',
    "huge number": b'{"baseModel": ' + b"9" * 10_000 + b"}",
    "null": b'{"baseModel": null, "model": null}',
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_sidecars_are_passed_over(tmp_path: Path, case: str) -> None:
    path = checkpoint(tmp_path, ".civitai.info", HOSTILE[case])
    for suffix in (".json", ".metadata.json", ".cm-info.json"):
        checkpoint(tmp_path, suffix, HOSTILE[case])
    assert find(XL, path) == find(XL, path, sidecars=False)


def test_a_sidecar_that_is_a_folder_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "mine.json").mkdir()
    assert find(XL, tmp_path / "mine.safetensors").family is None


def test_reasons_can_be_shown_whatever_a_sidecar_says(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, ".json", b'{"baseModel": "Pony \\ud800' + b"x" * 5000 + b'"}')
    (reason,) = [r for r in find(XL, path).because if r.startswith("pony")]
    assert len(reason) < 400
    reason.encode()
    facts = CheckpointFacts("sdxl", metadata={"modelspec.title": "Pony " + "x" * 2000})
    assert max(map(len, find(facts, Path("a.safetensors")).because)) < 400


@given(text=st.text(max_size=80))
@configure(max_examples=300)
def test_any_name_gets_settings(text: str) -> None:
    for facts in (UNKNOWN, XL):
        assert find(facts, Path("models") / (text + "x"), sidecars=False).settings.steps


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["baseModel", "model", "name", "civitai"]), inner)
    ),
    max_leaves=10,
)


@given(data=JSON)
@configure(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sidecar_gets_settings(tmp_path: Path, data: Any) -> None:
    assert find(XL, checkpoint(tmp_path, ".civitai.info", data)).settings.steps


# -- what the user changes ------------------------------------------------------------------------

EDITS = {
    "width": 640,
    "height": 960,
    "steps": 12,
    "cfg": 4,
    "sampler": "heun",
    "scheduler": "beta",
    "clip_skip": 2,
    "vae": "mine.safetensors",
    "dialect": "booru",
    "prefix": "photo of ",
    "negative": "blurry",
    "guidance": 2.5,
    "shift": 3.0,
}


def test_edits_take_the_place_of_what_suits() -> None:
    before = GenerationSettings(width=512, steps=20, extra={"guidance": 3.5, "prediction": "v"})
    after = apply(before, EDITS)
    assert after == GenerationSettings(
        width=640,
        height=960,
        steps=12,
        cfg=4.0,
        sampler="heun",
        scheduler="beta",
        clip_skip=2,
        vae="mine.safetensors",
        dialect="booru",
        negative="blurry",
        extra={"guidance": 2.5, "prediction": "v", "prefix": "photo of ", "shift": 3.0},
    )
    assert apply(before, {}) == before
    assert before.extra == {"guidance": 3.5, "prediction": "v"}


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"stepz": 3}, "no setting 'stepz'"),
        ({"codec": "png"}, "no setting 'codec'"),
        ({"\ud800": 3}, "no setting '?'"),
        ({"steps": 0}, "'steps' has to be a whole number from 1 to 150"),
        ({"steps": 151}, "1 to 150"),
        ({"steps": 3.0}, "whole number"),
        ({"steps": True}, "whole number"),
        ({"steps": "3"}, "whole number"),
        ({"steps": None}, "whole number"),
        ({"width": 500}, "'width' has to be a multiple of 8"),
        ({"height": 56}, "64 to 2048"),
        ({"height": 2056}, "64 to 2048"),
        ({"cfg": -0.1}, "0 to 30"),
        ({"cfg": float("nan")}, "0 to 30"),
        ({"cfg": float("inf")}, "0 to 30"),
        ({"cfg": 10**400}, "0 to 30"),
        ({"clip_skip": 13}, "1 to 12"),
        ({"negative": "x" * 2001}, "2000 characters"),
        ({"negative": 3}, "has to be a text"),
        ({"prefix": "\ud800"}, "has to be a text"),
        ({"sampler": " "}, "'sampler' is empty"),
        ([], "object"),
    ],
)
def test_edits_out_of_range_are_refused(tmp_path: Path, edits: Any, said: str) -> None:
    store = Overrides(tmp_path / "settings.json")
    store.set("sha256:a", {"steps": 5})
    with pytest.raises(PresetError, match=said.replace("?", r"\?")) as caught:
        validate(edits)
    assert isinstance(caught.value, GMIError)
    str(caught.value).encode()
    if edits:
        with pytest.raises(PresetError):
            store.set("sha256:a", edits)
    assert store.get("sha256:a") == {"steps": 5}


def test_edits_are_kept_by_identity(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "settings.json"
    store = Overrides(path)
    assert store.get("sha256:a") == {}
    store.set("sha256:a", EDITS)
    store.set("quick:b", {"steps": 9})
    again = Overrides(str(path))
    assert again.get("sha256:a") == EDITS
    assert again.get("quick:b") == {"steps": 9}
    assert apply(GenerationSettings(), again.get("quick:b")).steps == 9
    again.set("sha256:a", None)
    again.set("quick:b", {})
    assert json.loads(path.read_text()) == {"version": 1, "checkpoints": {}}


def test_an_empty_identity_is_refused(tmp_path: Path) -> None:
    for identity in ("", "folder:\ud800"):
        with pytest.raises(PresetError):
            Overrides(tmp_path / "settings.json").set(identity, {"steps": 3})


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"\xff", b"[" * 200_000, b"{}", b'{"version": 1}']
)
def test_a_damaged_file_is_set_aside_and_never_lost(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "settings.json"
    store = Overrides(path)
    for number in (1, 2):
        path.write_bytes(damage)
        assert store.get("sha256:a") == {}
        assert (tmp_path / f"settings.json.damaged-{number}").read_bytes() == damage
    path.write_bytes(damage)
    store.set("sha256:a", {"steps": 4})
    assert store.get("sha256:a") == {"steps": 4}
    assert (tmp_path / "settings.json.damaged-3").read_bytes() == damage


def test_one_bad_entry_names_itself_and_leaves_the_others_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(
        '{"version": 1, "checkpoints": {"a": {"steps": -1}, "b": {"steps": 2}, "c": 3}}'
    )
    store = Overrides(path)
    assert store.get("b") == {"steps": 2}
    with pytest.raises(PresetError, match=r"settings\.json: at 'a': 'steps' has to be"):
        store.get("a")
    with pytest.raises(PresetError, match="at 'c'"):
        store.get("c")
    store.set("b", {"steps": 3})
    assert json.loads(path.read_text())["checkpoints"]["a"] == {"steps": -1}


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"version": 2, "checkpoints": {}}')
    with pytest.raises(PresetError, match="newer version"):
        Overrides(path).get("a")
    with pytest.raises(PresetError, match="newer version"):
        Overrides(path).set("a", {"steps": 3})
    assert json.loads(path.read_text())["version"] == 2


def test_a_file_that_cannot_be_read_or_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "settings.json").mkdir()
    with pytest.raises(PresetError, match="cannot be read"):
        Overrides(tmp_path / "settings.json").get("a")
    (tmp_path / "file").touch()
    with pytest.raises((PresetError, LibraryError), match=r"cannot be|not writable"):
        Overrides(tmp_path / "file" / "settings.json").set("a", {"steps": 3})


def store_many(path: str, name: str) -> None:
    store = Overrides(path)
    for number in range(10):
        store.set(f"{name}{number}", {"steps": number + 1})


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=store_many, args=(str(path), name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(json.loads(path.read_text())["checkpoints"]) == 20


def test_an_empty_prefix_is_no_prefix() -> None:
    """The form sends every field; that must not count as other settings."""
    plain = GenerationSettings(extra={"guidance": 3.5})
    prefixed = GenerationSettings(extra={"prefix": "score_9, "})

    assert apply(plain, {"prefix": ""}) == plain
    assert apply(prefixed, {"prefix": ""}) == GenerationSettings()


# -- a better identity of the same file -----------------------------------------------------------


def test_settings_move_to_the_better_identity(tmp_path: Path) -> None:
    overrides = Overrides(tmp_path / "settings.json")
    overrides.set("quick:a", {"steps": 9})
    overrides.set("quick:b", {"steps": 3})
    overrides.move("quick:a", "sha256:a")
    assert overrides.get("quick:a") == {}
    assert overrides.get("sha256:a") == {"steps": 9}
    assert Overrides(overrides.path).get("sha256:a") == {"steps": 9}
    assert overrides.get("quick:b") == {"steps": 3}


def test_settings_that_the_better_identity_has_already_are_the_newer_ones(tmp_path: Path) -> None:
    overrides = Overrides(tmp_path / "settings.json")
    overrides.set("quick:a", {"steps": 9})
    overrides.set("sha256:a", {"cfg": 2.0})
    overrides.move("quick:a", "sha256:a")
    assert overrides.get("quick:a") == {}
    assert overrides.get("sha256:a") == {"cfg": 2.0}


def test_moving_nothing_writes_nothing(tmp_path: Path) -> None:
    overrides = Overrides(tmp_path / "settings.json")
    overrides.move("quick:a", "sha256:a")
    assert not overrides.path.exists()
    overrides.set("quick:b", {"steps": 3})
    before = overrides.path.stat().st_mtime_ns, overrides.path.stat().st_ino
    overrides.move("quick:a", "sha256:a")
    assert (overrides.path.stat().st_mtime_ns, overrides.path.stat().st_ino) == before


def test_what_moves_is_not_looked_at(tmp_path: Path) -> None:
    """A later version may have written settings that this one does not know."""
    overrides = Overrides(tmp_path / "settings.json")
    data = {"version": 1, "checkpoints": {"quick:a": {"of_tomorrow": 1}}}
    overrides.path.write_text(json.dumps(data), encoding="utf-8")
    overrides.move("quick:a", "sha256:a")
    written = json.loads(overrides.path.read_text(encoding="utf-8"))
    assert written["checkpoints"] == {"sha256:a": {"of_tomorrow": 1}}
