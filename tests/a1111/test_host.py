"""AUTOMATIC1111's web UI as a host: what is listed, how it generates, and what people keep."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import SOURCE_ROOT, picture
from standins.host import write_checkpoint
from standins.webui.webui import ALPHA, BETA, GAMMA, PATIENCE

from lib_gmi.base.errors import HostError, StoppedError
from lib_gmi.records.protocols import GenerationRequest, GenerationSettings
from lib_gmi.ui.settings_form import settings_form

if TYPE_CHECKING:
    from PIL import Image
    from standins.webui.webui import WebUI

pytest_plugins = ["standins.webui.harness"]

SETTINGS = GenerationSettings(64, 64, 3, 5.0, "euler", "karras")
#: What a user may have chosen, and what samples are made with instead.
THEIRS = {
    "sd_vae": ("soft.vae.pt", "Automatic"),
    "CLIP_stop_at_last_layers": (2, 1),
    "token_merging_ratio": (0.5, 0.0),
    "eta_noise_seed_delta": (31337, 0),
    "eta_ancestral": (0.5, 1.0),
    "s_min_uncond": (3.0, 0.0),
    "s_churn": (4.0, 0.0),
    "s_tmax": (2.0, 0.0),
    "sd_vae_decode_method": ("TAESD", "Full"),
    "sd_vae_overrides_per_model_preferences": (False, True),
    "randn_source": ("NV", "CPU"),
    "emphasis": ("None", "Original"),
    "sd_noise_schedule": ("Zero Terminal SNR", "Default"),
    "comma_padding_backtrack": (0, 20),
}


def request(text: str = "picture number 1", negative: str = "", seed: int = 7) -> GenerationRequest:
    return GenerationRequest("p01", text, negative, seed)


def generate(webui: WebUI, name: str = BETA, seed: int = 7, **settings: Any) -> Image.Image:
    """One image of a checkpoint; ``settings`` change :data:`SETTINGS`."""
    with webui.host.session(webui.candidate(name)) as session:
        image: Image.Image = session.generate(request(seed=seed), replace(SETTINGS, **settings))
    return image


def same(image: Image.Image, style: int, seed: int = 7) -> bool:
    return np.array_equal(np.asarray(image), np.asarray(picture(style, seed, 64)))


def names(webui: WebUI) -> list[str]:
    return [candidate.name for candidate in webui.host.list_checkpoints()]


# -- what is installed ----------------------------------------------------------------------------


def test_image_folders_are_those_of_the_options_also_where_they_were_never_changed(
    webui: WebUI, tmp_path: Path
) -> None:
    from modules import shared
    from modules.options import OptionInfo

    for key, folder in (("outdir_txt2img_samples", "made"), ("outdir_save", "kept")):
        shared.opts.data_labels[key] = OptionInfo(str(tmp_path / folder))
    shared.opts.data["outdir_save"] = str(tmp_path / "chosen")

    folders = webui.host.image_folders()

    assert folders == [tmp_path / "made", tmp_path / "chosen"]
    assert webui.host.preview_folders() == [webui.models, webui.models / "anime"]


def test_checkpoints_are_listed_with_their_facts(webui: WebUI) -> None:
    large = webui.add("large.safetensors", 4, "sdxl")
    found = {c.name: c for c in webui.host.list_checkpoints()}
    assert set(found) == {ALPHA, BETA, GAMMA, "large.safetensors"}
    assert found[BETA].title == "anime/beta"
    row = found["large.safetensors"]
    assert (row.title, row.path, row.size) == ("large", large, large.stat().st_size)
    assert (row.architecture, row.unsupported) == ("sdxl", None)
    assert len({c.identity for c in found.values()}) == 4


def test_the_title_stays_when_the_web_ui_knows_a_hash(webui: WebUI) -> None:
    before = webui.candidate(BETA)
    assert before.identity.startswith("quick:")
    webui.info(BETA).calculate_shorthash()
    assert webui.info(BETA).title != BETA
    after = webui.candidate(BETA)
    assert (after.title, after.name, after.path) == (before.title, before.name, before.path)
    assert after.identity == f"sha256:{webui.info(BETA).sha256}"
    assert webui.host.hashed()[before.identity] == after.identity


def test_hashing_is_the_web_uis_own(webui: WebUI) -> None:
    webui.host.calculate_hash(GAMMA)
    assert webui.candidate(GAMMA).identity == f"sha256:{webui.info(GAMMA).sha256}"
    assert webui.host.hashed()
    webui.flags.no_hashing = True
    webui.host.calculate_hash(BETA)
    assert webui.candidate(BETA).identity.startswith("quick:")


def test_a_file_that_changed_since_it_was_hashed_is_another_checkpoint(webui: WebUI) -> None:
    webui.host.calculate_hash(GAMMA)
    before = webui.candidate(GAMMA).identity
    path = webui.add(GAMMA, 9)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 10))
    after = webui.candidate(GAMMA).identity
    assert after != before
    assert after.startswith("quick:")


def test_files_that_vanished_are_listed_as_gone(webui: WebUI) -> None:
    webui.candidate(GAMMA).path.unlink()
    row = webui.candidate(GAMMA)
    assert row.unsupported is not None
    assert "gamma" in row.unsupported
    for use in (
        lambda: webui.host.calculate_hash(GAMMA),
        lambda: webui.host.switch(row),
        lambda: webui.host.title_of(GAMMA),
        lambda: generate(webui, GAMMA),
    ):
        with pytest.raises(HostError, match=r"gamma\.safetensors: is not among"):
            use()
    assert webui.chosen == webui.loaded == ALPHA


def test_equal_titles_show_their_endings(webui: WebUI) -> None:
    webui.add("alpha.ckpt", 7)
    titles = {c.name: c.title for c in webui.host.list_checkpoints()}
    assert titles[ALPHA] == ALPHA
    assert titles["alpha.ckpt"] == "alpha.ckpt"
    assert titles[GAMMA] == "gamma"


def test_of_two_files_of_one_name_the_first_is_listed_and_generates(
    webui: WebUI, tmp_path: Path
) -> None:
    webui.flags.ckpt_dir = str(tmp_path / "other disk")
    other = write_checkpoint(tmp_path / "other disk" / GAMMA, 9)
    webui.refresh()
    webui.host.calculate_hash(GAMMA)
    for info in list(webui.module("sd_models").checkpoints_list.values()):
        info.calculate_shorthash()
    webui.refresh()
    found = [c for c in webui.host.list_checkpoints() if c.name == GAMMA]
    assert len(found) == 1
    image = generate(webui, GAMMA)
    assert same(image, 9 if found[0].path == other else 3)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text here")
def test_a_name_that_is_no_text_is_listed_and_says_so(webui: WebUI) -> None:
    name = os.fsdecode(b"caf\xe9.safetensors")
    webui.add(name, 4)
    (row,) = [c for c in webui.host.list_checkpoints() if "caf" in c.name]
    assert row.unsupported == "its name is not valid text; rename the file"
    assert row.name == row.title == "caf?"
    assert {ALPHA, BETA, GAMMA} < set(names(webui))


def test_what_the_user_works_with_is_told_and_nothing_is_loaded_for_that(
    empty_webui: WebUI,
) -> None:
    empty_webui.add(ALPHA, 1)
    assert empty_webui.host.current() is None
    empty_webui.opts.data["sd_model_checkpoint"] = "gone"
    assert empty_webui.host.current() is None
    assert empty_webui.seen.loads == []
    empty_webui.choose(ALPHA)
    assert empty_webui.host.current().name == ALPHA
    assert empty_webui.seen.loads == [ALPHA]


def test_a_sample_does_not_change_what_the_user_works_with(webui: WebUI) -> None:
    current = []

    def look(_: Any) -> None:
        current.append(webui.elsewhere(lambda: webui.host.current().name))

    webui.seen.while_sampling = look
    generate(webui, BETA)
    generate(webui, ALPHA)
    current.append(webui.host.current().name)
    assert current == [ALPHA, ALPHA, ALPHA]


def test_what_the_user_chooses_while_a_sample_is_made_is_what_they_work_with(webui: WebUI) -> None:
    current = []

    def choose(_: Any) -> None:
        webui.seen.while_sampling = lambda _: None
        title = webui.info(GAMMA).title
        webui.elsewhere(lambda: webui.opts.data.update(sd_model_checkpoint=title))
        current.append(webui.elsewhere(lambda: webui.host.current().name))

    webui.seen.while_sampling = choose
    generate(webui, BETA)
    assert [*current, webui.host.current().name] == [GAMMA, GAMMA]


def test_other_peoples_samplers_and_schedulers_can_be_chosen(webui: WebUI) -> None:
    choices = webui.host.choices()
    assert {"DPM++ 2M", "Euler a", "UniPC"} <= set(choices["samplers"])
    assert {"Karras", "SGM Uniform", "Automatic"} <= set(choices["schedulers"])


def test_settings_show_the_web_uis_own_labels_each_once(webui: WebUI) -> None:
    """Settings hold words that mean the same in every program."""
    library = webui.runtime.api.library()
    row = next(row for row in library["checkpoints"] if row["name"] == BETA)
    assert (row["settings"]["sampler"], row["settings"]["scheduler"]) == ("dpmpp_2m", "karras")
    form = str(settings_form(row, library))
    for word, label in (("dpmpp_2m", "DPM++ 2M"), ("karras", "Karras")):
        shown = re.findall(r"<option[^>]*>([^<]*)</option>", form)
        assert shown.count(label) == 1
        assert word not in shown
        assert re.search(rf'<option[^>]*value="{word}"[^>]*selected', form), "unchanged when saved"


# -- generating -----------------------------------------------------------------------------------


def test_an_image_is_made_by_the_checkpoint_with_the_settings(webui: WebUI) -> None:
    image = generate(webui, BETA, seed=21)
    assert same(image, 2, 21)
    assert image.info == {}
    (made,) = webui.seen.generated
    p = made["p"]
    assert (p.prompt, p.seed, p.subseed, p.steps) == ("picture number 1", 21, 0, 3)
    assert (p.cfg_scale, p.width, p.height) == (5.0, 64, 64)
    assert (p.sampler_name, p.scheduler) == ("Euler", "Karras")
    assert (p.batch_size, p.n_iter, p.scripts.scripts) == (1, 1, [])
    assert p.disable_extra_networks
    assert made["job"] == "Find Best Model"


def test_a_cfg_of_nothing_is_not_taken_for_the_web_uis_own(webui: WebUI) -> None:
    generate(webui, cfg=0.0)
    generate(webui, cfg=None)
    assert [made["p"].cfg_scale for made in webui.seen.generated] == [0.0, 7.0]


@pytest.mark.parametrize("style_of_extra_network", ["<lora:someone:1>", "[from:to:0.5]"])
def test_a_prompt_is_only_a_prompt(webui: WebUI, style_of_extra_network: str) -> None:
    asked = request(style_of_extra_network, negative="blurry")
    with webui.host.session(webui.candidate(BETA)) as session:
        session.generate(asked, SETTINGS)
    p = webui.seen.generated[0]["p"]
    assert (p.prompt, p.negative_prompt, p.styles) == (style_of_extra_network, "blurry", [])
    assert p.disable_extra_networks


@pytest.mark.parametrize("key", THEIRS)
def test_the_users_options_do_not_leak_into_samples_and_come_back(webui: WebUI, key: str) -> None:
    theirs, neutral = THEIRS[key]
    webui.opts.data[key] = theirs
    before = dict(webui.opts.data)
    generate(webui)
    assert webui.seen.generated[0]["options"][key] == neutral
    assert webui.opts.data == before
    webui.host.put_back()
    assert chosen(webui.opts.data) == chosen(before)


def test_every_neutral_option_is_the_one_that_is_neutral(webui: WebUI) -> None:
    generate(webui)
    options = webui.seen.generated[0]["options"]
    labels = webui.opts.data_labels
    changed = {key for key in labels if options[key] != labels[key].default}
    assert changed == {"sd_model_checkpoint", "sd_checkpoint_hash", "randn_source"}
    assert options["sd_checkpoint_hash"] == webui.info(BETA).sha256


def test_what_a_fork_writes_below_images_has_its_default_in_samples(webui: WebUI) -> None:
    """It would not write there what does not change them."""
    make = webui.module("options").OptionInfo
    webui.opts.add_option("karras_rho", make(7.0, "", infotext="Karras rho"))
    webui.opts.add_option("karras_colour", make("red", ""))
    webui.opts.add_option("fp8_storage", make("Disable", "", infotext="FP8 weight"))
    theirs = {"karras_rho": 3.0, "karras_colour": "blue", "fp8_storage": "Enable"}
    webui.opts.data.update(theirs)
    generate(webui)
    used = webui.seen.generated[0]["options"]
    assert {key: used[key] for key in theirs} == {**theirs, "karras_rho": 7.0}
    assert {key: webui.opts.data[key] for key in theirs} == theirs


@pytest.mark.parametrize("name", [ALPHA, BETA])
def test_the_users_vae_is_theirs_again(webui: WebUI, name: str) -> None:
    """Also where the sample is one of the very checkpoint that they work with."""
    webui.module("sd_vae").vae_dict["soft.vae.pt"] = "/vae/soft.vae.pt"
    webui.opts.set("sd_vae", "soft.vae.pt")
    webui.seen.vaes.clear()
    generate(webui, name)
    generate(webui, name)
    assert [made["vae"] for made in webui.seen.generated] == [None, None]
    if name == BETA:
        assert webui.seen.vaes == [None], "the user's is not loaded for nothing"
    webui.txt2img()
    assert webui.seen.generated[-1]["vae"] == "/vae/soft.vae.pt"
    webui.host.put_back()
    assert (webui.loaded, webui.opts.data["sd_vae"]) == (ALPHA, "soft.vae.pt")
    assert webui.module("sd_vae").loaded_vae_file == "/vae/soft.vae.pt"


def test_a_vae_of_the_users_that_is_gone_spoils_nothing(webui: WebUI) -> None:
    sd_vae = webui.module("sd_vae")
    sd_vae.vae_dict["gone.pt"] = "/vae/gone.pt"
    webui.opts.data["sd_vae"] = "gone.pt"

    def load_vae(model: Any, vae_file: Any = None, vae_source: str = "") -> None:
        assert vae_file is None, "VAE doesn't exist"

    sd_vae.load_vae = load_vae
    assert same(generate(webui), 2)
    assert webui.opts.data["sd_vae"] == "gone.pt"


def test_the_users_settings_of_a_checkpoint_are_used(webui: WebUI) -> None:
    webui.module("sd_vae").vae_dict["own.pt"] = "/vae/own.pt"
    generate(webui, vae="own.pt", clip_skip=2)
    made = webui.seen.generated[0]
    assert made["vae"] == "/vae/own.pt"
    assert made["options"]["CLIP_stop_at_last_layers"] == 2


def test_token_merging_is_off_while_a_sample_is_made(webui: WebUI) -> None:
    webui.opts.data["token_merging_ratio"] = 0.5
    webui.txt2img()
    generate(webui)
    assert [made["token_merging"] for made in webui.seen.generated] == [0.5, 0.0]


def test_v_prediction_changes_the_noise_schedule_of_that_image_only(webui: WebUI) -> None:
    generate(webui, extra={"prediction": "v"})
    generate(webui)
    schedules = [made["options"]["sd_noise_schedule"] for made in webui.seen.generated]
    assert schedules == ["Zero Terminal SNR", "Default"]
    assert webui.opts.data["sd_noise_schedule"] == "Default"


def test_options_that_were_never_saved_are_absent_again(webui: WebUI) -> None:
    for key in ("token_merging_ratio", "randn_source", "sd_vae"):
        del webui.opts.data[key]
    generate(webui)
    assert webui.seen.generated[0]["options"]["randn_source"] == "CPU"
    assert not {"token_merging_ratio", "randn_source", "sd_vae"} & webui.opts.data.keys()


def test_an_older_web_ui_without_some_options_is_asked_for_those_it_has(webui: WebUI) -> None:
    for key in ("emphasis", "sd_noise_schedule", "skip_early_cond"):
        del webui.opts.data_labels[key]
        webui.opts.data.pop(key)
    assert same(generate(webui, extra={"prediction": "v"}), 2)
    assert "emphasis" not in webui.seen.generated[0]["options"]


def chosen(options: dict[str, Any]) -> dict[str, Any]:
    """Options without the one that the web UI itself sets with each checkpoint that it loads."""
    return {key: value for key, value in options.items() if key != "sd_checkpoint_hash"}


def test_samples_need_no_leave_to_change_settings_but_loading_does(webui: WebUI) -> None:
    webui.flags.freeze_settings = True
    before = dict(webui.opts.data)
    assert same(generate(webui), 2)
    assert chosen(webui.opts.data) == chosen(before)
    with pytest.raises(HostError, match="--freeze-settings"):
        webui.host.switch(webui.candidate(BETA))
    assert chosen(webui.opts.data) == chosen(before)


def test_settings_that_are_saved_meanwhile_are_the_users_own(webui: WebUI) -> None:
    path = Path(webui.module("shared").config_filename)
    webui.opts.CLIP_stop_at_last_layers = 2
    webui.opts.save(path)
    before = json.loads(path.read_text())
    webui.seen.while_sampling = lambda _: webui.elsewhere(lambda: webui.opts.save(path) or True)

    generate(webui)

    assert chosen(json.loads(path.read_text())) == chosen(before)


#: How others look at an option: the settings page, the API, whoever copies or prints all of them.
LOOKS = {
    "page": lambda webui, key: webui.module("ui_settings").get_value_for_setting(key)["value"],
    "attribute": lambda webui, key: getattr(webui.opts, key),
    "get": lambda webui, key: webui.opts.data.get(key),
    "copy": lambda webui, key: copy.deepcopy(webui.opts.data)[key],
    "json": lambda webui, key: json.loads(json.dumps(webui.opts.data, indent=4))[key],
    "compact": lambda webui, key: json.loads(json.dumps(webui.opts.data))[key],
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("moment", ["while_loading", "while_sampling"])
def test_what_a_sample_is_made_with_is_never_visible_outside(
    webui: WebUI, look: str, moment: str
) -> None:
    """A page that is opened just then would show our values, and save them with the next click."""
    theirs = {"CLIP_stop_at_last_layers": 2, "sd_vae": "soft.vae.pt"}
    webui.opts.data.update(theirs)
    theirs["sd_model_checkpoint"] = webui.info(ALPHA).title
    theirs["sd_checkpoint_hash"] = webui.opts.sd_checkpoint_hash
    shown: list[dict[str, Any]] = []

    def watch(_: Any) -> None:
        see = LOOKS[look]
        shown.append(webui.elsewhere(lambda: {key: see(webui, key) for key in theirs}))

    setattr(webui.seen, moment, watch)
    generate(webui)

    assert shown == [theirs]
    made = webui.seen.generated[0]["options"]
    assert [made[key] for key in ("CLIP_stop_at_last_layers", "sd_vae")] == [1, "Automatic"]


def test_options_that_nobody_has_set_are_seen_by_the_sample_alone(webui: WebUI) -> None:
    del webui.opts.data["randn_source"]
    seen: list[bool] = []
    webui.seen.while_sampling = lambda _: seen.extend(
        ("randn_source" in webui.opts.data, webui.elsewhere(lambda: [*webui.opts.data])
         .count("randn_source") == 0)
    )  # fmt: skip
    generate(webui)
    assert seen == [True, True]


def test_the_bar_for_all_jobs_does_not_go_on_counting(webui: WebUI) -> None:
    bar = webui.module("shared").total_tqdm
    counted: list[int] = []
    webui.seen.while_sampling = lambda _: counted.append(bar._steps)
    generate(webui)
    generate(webui)
    assert counted == [1, 1]
    assert bar._steps == 0


def test_trouble_is_in_the_log_once_with_its_trace(
    webui: WebUI, caplog: pytest.LogCaptureFixture
) -> None:
    webui.seen.memory = ValueError("shapes differ")
    with pytest.raises(HostError, match="shapes differ"):
        generate(webui)
    (record,) = [r for r in caplog.records if "Find Best Model" in r.getMessage()]
    assert "anime/beta" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is webui.seen.memory


def test_time_that_goes_to_people_is_told_from_sampling(webui: WebUI) -> None:
    host = webui.host
    with host.session(webui.candidate(BETA)) as session:
        session.prepare([request()], SETTINGS)
        assert webui.seen.loads == [BETA], "not with the first sample"
        before = host.waited
        session.generate(request(), SETTINGS)
        assert host.waited - before < 0.05
        webui.txt2img()  # which takes another checkpoint
        webui.seen.while_loading = lambda _: threading.Event().wait(0.2)
        host.before_image = lambda: threading.Event().wait(0.2)
        before = host.waited
        session.generate(request(), SETTINGS)
        assert 0.4 <= host.waited - before < 5


# -- nothing is left behind -----------------------------------------------------------------------


def test_no_sample_is_saved_and_the_users_last_prompt_stays(webui: WebUI) -> None:
    webui.txt2img("mine", 5)
    assert len(webui.seen.saved) == 1
    params = webui.data / "params.txt"
    before = params.read_text()
    assert before.startswith("mine")
    files = sorted(webui.data.rglob("*"))
    generate(webui)
    webui.host.put_back()
    assert params.read_text() == before
    assert sorted(webui.data.rglob("*")) == files
    assert len(webui.seen.saved) == 1
    webui.txt2img("mine again", 5)
    assert params.read_text().startswith("mine again")


def test_the_settings_file_is_not_touched_by_samples(webui: WebUI) -> None:
    config = webui.data / "config.json"
    before = config.read_bytes()
    generate(webui)
    webui.host.put_back()
    assert config.read_bytes() == before


def test_the_users_checkpoint_comes_back(webui: WebUI) -> None:
    generate(webui, BETA)
    generate(webui, GAMMA)
    assert webui.chosen == ALPHA
    assert webui.loaded == GAMMA
    webui.host.put_back()
    assert webui.loaded == ALPHA
    assert webui.seen.loads == [BETA, GAMMA, ALPHA]
    webui.host.put_back()
    assert webui.seen.loads == [BETA, GAMMA, ALPHA]


def test_who_has_nothing_to_put_back_does_not_wait_for_the_queue(webui: WebUI) -> None:
    with webui.lock:
        webui.host.put_back()
    generate(webui, BETA)
    webui.host.put_back()
    with webui.lock:
        thread = webui.in_another_thread(webui.host.put_back)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_user_who_generates_between_two_samples_gets_their_own_checkpoint(webui: WebUI) -> None:
    generate(webui, BETA)
    assert same(webui.txt2img(seed=5, width=64, height=64).images[0], 1, 5)


# -- what people do meanwhile ---------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["while_loading", "while_sampling"])
def test_a_checkpoint_that_the_user_chooses_meanwhile_is_theirs(webui: WebUI, moment: str) -> None:
    """They choose it in the list; the web UI loads it when it is their turn."""
    threads = []

    def choose(_: Any) -> None:
        setattr(webui.seen, moment, lambda _: None)
        threads.append(webui.in_another_thread(lambda: webui.choose(GAMMA)))
        while webui.elsewhere(lambda: webui.chosen) != GAMMA:
            threading.Event().wait(0.001)

    setattr(webui.seen, moment, choose)
    image = generate(webui, BETA)
    threads[0].join(PATIENCE)
    assert same(image, 2), "not what they chose"
    assert webui.chosen == GAMMA
    webui.host.put_back()
    assert webui.loaded == GAMMA


def test_an_option_that_the_user_changes_meanwhile_is_theirs_and_costs_no_image(
    webui: WebUI,
) -> None:
    webui.opts.data["CLIP_stop_at_last_layers"] = 2
    webui.seen.while_sampling = lambda _: webui.elsewhere(
        lambda: webui.opts.set("CLIP_stop_at_last_layers", 4)
    )
    assert same(generate(webui, BETA), 2)
    assert webui.opts.data["CLIP_stop_at_last_layers"] == 4
    assert webui.chosen == ALPHA
    (made,) = webui.seen.generated
    assert made["options"]["CLIP_stop_at_last_layers"] == 1


def test_an_option_that_has_nothing_to_do_with_it_does_not_cost_an_image(webui: WebUI) -> None:
    webui.seen.while_sampling = lambda _: webui.opts.set("samples_save", False)
    generate(webui)
    assert len(webui.seen.generated) == 1
    assert webui.opts.data["samples_save"] is False


def test_between_two_images_others_have_their_turn(webui: WebUI) -> None:
    """Another thread that waits for the queue gets it after one image, not after all of them."""
    waiting, got = threading.Event(), []

    def theirs() -> None:
        with webui.lock:
            got.append(len(webui.seen.generated))

    def wait(_: Any) -> None:
        if not waiting.is_set():
            thread = webui.in_another_thread(theirs)
            while not webui.lock._pending_threads:
                threading.Event().wait(0.001)
            waiting.set()
            got.append(thread)

    webui.seen.while_sampling = wait
    with webui.host.session(webui.candidate(BETA)) as session:
        for seed in (1, 2):
            session.generate(request(seed=seed), SETTINGS)
    got[0].join(PATIENCE)
    assert got[1] == 1
    assert not webui.lock._lock.locked()


def test_the_lock_is_free_after_every_kind_of_end(webui: WebUI) -> None:
    generate(webui)
    webui.seen.memory = RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
    with pytest.raises(HostError):
        generate(webui)
    webui.seen.memory = None
    with pytest.raises(StoppedError):
        webui.host.generate(webui.candidate(BETA), request(), SETTINGS, lambda: False)
    assert len(webui.seen.jobs) == 2
    assert not webui.lock._lock.locked()
    assert (webui.state.job, webui.host.working) == ("", False)


# -- interruptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("button", ["interrupt", "skip", "stop_generating"])
def test_an_interrupted_image_is_discarded(webui: WebUI, button: str) -> None:
    webui.seen.while_sampling = lambda _: getattr(webui.state, button)()
    with pytest.raises(StoppedError):
        generate(webui)
    assert webui.chosen == ALPHA
    webui.seen.while_sampling = lambda _: None
    assert same(generate(webui), 2), "the next one is not interrupted by it"


def test_an_interruption_while_a_checkpoint_is_loaded_gives_no_image(webui: WebUI) -> None:
    webui.seen.while_loading = lambda _: webui.state.interrupt()
    with pytest.raises(StoppedError):
        generate(webui)
    assert webui.seen.generated == []


def test_we_only_interrupt_our_own_work(webui: WebUI) -> None:
    webui.state.begin(job="task(theirs)")
    webui.host.interrupt()
    assert not webui.state.interrupted
    webui.state.begin(job="Find Best Model")
    webui.host.interrupt()
    assert webui.state.interrupted
    assert webui.host.interrupted()
    webui.host.begin()
    assert not webui.host.interrupted()


# -- what can go wrong ----------------------------------------------------------------------------


def test_a_title_that_the_web_ui_does_not_know_is_not_taken_for_an_answer(webui: WebUI) -> None:
    """It ignores the override without a word, and the current checkpoint generates."""
    aliases = webui.module("sd_models").checkpoint_aliases
    for key in [key for key, info in aliases.items() if info.name == BETA]:
        del aliases[key]
    with pytest.raises(HostError, match=r"beta: 'alpha\.safetensors' generated instead of it"):
        generate(webui, BETA)
    assert [made["checkpoint"] for made in webui.seen.generated] == [ALPHA]
    assert webui.chosen == ALPHA


def test_a_result_of_another_hash_is_refused(webui: WebUI) -> None:
    webui.host.calculate_hash(BETA)

    inner = webui.module("processing").process_images_inner
    processing = webui.module("processing")

    def process(p: Any) -> Any:
        result = inner(p)
        result.sd_model_hash = "0000000000"
        return result

    processing.process_images_inner = process
    with pytest.raises(HostError, match="generated instead of it"):
        generate(webui, BETA)


@pytest.mark.parametrize("architecture", ["sd1", "sdxl"])
@pytest.mark.parametrize("stage", ["unreadable", "unusable"])
def test_a_checkpoint_that_cannot_be_loaded_costs_the_user_nothing(
    webui: WebUI, architecture: str, stage: str
) -> None:
    """One of another architecture takes the loaded model with it; the user's comes back."""
    webui.add("broken.safetensors", 5, architecture)
    webui.opts.data["sd_vae"] = "soft.vae.pt"
    getattr(webui.seen, stage)["broken.safetensors"] = ValueError("header\nis broken")
    generate(webui, BETA)
    with pytest.raises(HostError) as caught:
        generate(webui, "broken.safetensors")
    assert str(caught.value) == "broken: AUTOMATIC1111 cannot use it (header)."
    assert (webui.chosen, webui.opts.data["sd_vae"]) == (ALPHA, "soft.vae.pt")
    assert same(generate(webui, GAMMA), 3)
    webui.host.put_back()
    assert webui.loaded == ALPHA


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA out of memory."), type("OutOfMemoryError", (Exception,), {})("x")]
)
def test_too_little_memory_says_what_to_do(webui: WebUI, error: Exception) -> None:
    webui.seen.memory = error
    with pytest.raises(HostError, match="choose a smaller size in its settings"):
        generate(webui)


def test_a_sampler_that_is_gone_is_named(webui: WebUI) -> None:
    with pytest.raises(HostError, match="has no sampler 'Strange'"):
        generate(webui, sampler="Strange")
    assert webui.seen.generated == []


def test_a_preset_whose_sampler_this_program_lacks_takes_a_relative(webui: WebUI) -> None:
    samplers = webui.module("sd_samplers")
    candidate = webui.candidate(BETA)
    wanted = webui.host.preset(candidate).settings.sampler
    assert wanted != "euler"
    for name in [n for n, label in samplers.samplers_map.items() if n not in ("euler", "k_euler")]:
        del samplers.samplers_map[name]
    preset = webui.host.preset(candidate)
    assert preset.settings.sampler == "euler"
    assert preset.because[-1] == (f"Euler instead of {wanted}: AUTOMATIC1111 has no such sampler")


# -- switching ------------------------------------------------------------------------------------


def test_a_switch_lasts(webui: WebUI) -> None:
    webui.host.switch(webui.candidate(BETA))
    assert (webui.chosen, webui.loaded) == (BETA, BETA)
    assert webui.info(BETA).title in (webui.data / "config.json").read_text()
    webui.host.put_back()
    assert webui.loaded == BETA


def test_a_switch_to_what_is_chosen_but_not_loaded_loads_it(webui: WebUI) -> None:
    """As between two images of a build."""
    generate(webui, BETA)
    assert (webui.chosen, webui.loaded) == (ALPHA, BETA)
    webui.host.switch(webui.candidate(ALPHA))
    assert (webui.chosen, webui.loaded) == (ALPHA, ALPHA)


def test_a_switch_to_the_checkpoint_that_is_generating_lasts(webui: WebUI) -> None:
    """While its image is made it is both chosen and loaded, but only borrowed."""
    threads = []

    def switch(_: Any) -> None:
        candidate = webui.candidate(BETA)
        threads.append(webui.in_another_thread(lambda: webui.host.switch(candidate)))
        while not webui.lock._pending_threads:
            threading.Event().wait(0.001)

    webui.seen.while_sampling = switch
    generate(webui, BETA)
    threads[0].join(PATIENCE)
    webui.host.put_back()
    assert (webui.chosen, webui.loaded) == (BETA, BETA)


@pytest.mark.parametrize("architecture", ["sd1", "sdxl"])
def test_a_switch_that_fails_leaves_the_choice_as_it_was(webui: WebUI, architecture: str) -> None:
    webui.add("broken.safetensors", 5, architecture)
    webui.seen.unusable["broken.safetensors"] = ValueError("size mismatch")
    with pytest.raises(HostError, match=r"broken: cannot be loaded \(size mismatch\)"):
        webui.host.switch(webui.candidate("broken.safetensors"))
    assert webui.chosen == ALPHA
    assert "broken" not in (webui.data / "config.json").read_text()
    assert same(webui.txt2img(seed=5, width=64, height=64).images[0], 1, 5)


def test_a_switch_that_loads_something_else_is_noticed(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webui.module("sd_models"), "reload_model_weights", lambda: None)
    with pytest.raises(HostError, match=r"could not be loaded; 'alpha\.safetensors' is loaded"):
        webui.host.switch(webui.candidate(BETA))


# -- importing ------------------------------------------------------------------------------------


def test_importing_the_face_imports_nothing_heavy_and_nothing_of_the_web_ui() -> None:
    code = """
import sys
import lib_gmi.a1111, lib_gmi.a1111.bridge, lib_gmi.a1111.options, lib_gmi.a1111.pace
import lib_gmi.a1111.routes, lib_gmi.a1111.runtime, lib_gmi.a1111.xyz, lib_gmi.hosts.a1111
import lib_gmi.checkpoints.previews
names = {name.split(".")[0] for name in sys.modules}
print(sorted(names & {"torch", "gradio", "PIL", "modules", "modules_forge", "transformers"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=SOURCE_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
