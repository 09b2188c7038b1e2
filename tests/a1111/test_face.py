"""How the web UI is hooked in: callbacks, settings, img2img, the X/Y/Z plot."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SOURCE_ROOT, picture
from standins.webui.webui import ALPHA, BETA, GAMMA

from lib_gmi.base.errors import GMIError
from lib_gmi.records.protocols import GenerationSettings

if TYPE_CHECKING:
    from standins.webui.webui import WebUI

pytest_plugins = ["standins.webui.harness"]

CALLBACKS = ("app_started", "ui_tabs", "ui_settings", "script_unloaded", "before_ui")


def registered(webui: WebUI) -> dict[str, int]:
    """How many callbacks there are of each kind."""
    rows = webui.module("script_callbacks").callback_map
    return {name: len(rows[f"callbacks_{name}"]) for name in CALLBACKS}


def load_scripts(webui: WebUI) -> Any:
    """What the web UI does when it starts, and when its user reloads the page."""
    scripts = webui.module("scripts")
    scripts._extensions[:] = [SOURCE_ROOT]
    scripts.load_scripts()
    runner = scripts.ScriptRunner()
    runner.initialize_scripts(True)
    runner.prepare_ui()
    runner.setup_ui()
    return runner


def section(webui: WebUI) -> Any:
    """The script of img2img, set up."""
    runner = load_scripts(webui)
    assert webui.seen.reported == []
    return runner


# -- callbacks ------------------------------------------------------------------------------------


def test_the_web_ui_finds_one_script_and_everything_else_is_registered(webui: WebUI) -> None:
    runner = load_scripts(webui)
    assert webui.seen.reported == []
    assert [data.script_class.__name__ for data in webui.module("scripts").scripts_data] == [
        "BestCheckpointScript"
    ]
    assert registered(webui) == dict.fromkeys(CALLBACKS, 1)
    assert [script.title() for script in runner.scripts] == ["Find Best Model"]


def test_reloading_registers_everything_once_more_and_not_twice(webui: WebUI) -> None:
    for _ in range(3):
        load_scripts(webui)
    assert registered(webui) == dict.fromkeys(CALLBACKS, 1)
    assert len(webui.module("scripts").scripts_data) == 1
    assert webui.seen.reported == []


def test_sdnext_is_told_apart_and_gets_nothing(
    webui: WebUI, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import modules

    (tmp_path / "sd_checkpoint.py").write_text("")
    modules.__path__.append(str(tmp_path))
    load_scripts(webui)
    assert webui.seen.reported == []
    assert registered(webui) == dict.fromkeys(CALLBACKS, 0)
    assert webui.module("scripts").scripts_data == []
    (line,) = capsys.readouterr().out.splitlines()
    assert "SD.Next is not supported" in line


def test_nothing_of_ours_is_made_before_it_is_needed(webui: WebUI, monkeypatch: Any) -> None:
    webui.restart()
    library = Path(str(webui.data.parent / "library"))
    before = sorted(library.rglob("*"))
    load_scripts(webui)
    webui.module("script_callbacks").before_ui_callback()
    webui.module("script_callbacks").ui_settings_callback()
    webui.module("script_callbacks").script_unloaded_callback()
    assert importlib.import_module("lib_gmi.a1111.runtime")._runtime is None
    assert sorted(library.rglob("*")) == before


def test_the_tab_is_handed_over(webui: WebUI, monkeypatch: pytest.MonkeyPatch) -> None:
    load_scripts(webui)
    monkeypatch.setattr("lib_gmi.ui.tab.build", lambda bridge: bridge)
    ((blocks, title, elem_id),) = webui.module("script_callbacks").ui_tabs_callback()
    assert (title, elem_id) == ("Find Best Model", "gmi")
    assert blocks.program == "AUTOMATIC1111"


def test_trouble_of_ours_never_reaches_the_web_ui(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(*arguments: Any) -> Any:
        raise ValueError("trouble")

    for name in (
        "lib_gmi.ui.tab.build",
        "lib_gmi.a1111.xyz.register",
        "lib_gmi.a1111.routes.register",
        "lib_gmi.a1111.runtime.running",
        "lib_gmi.encoders.registry.images",
    ):
        monkeypatch.setattr(name, trouble)
    load_scripts(webui)
    callbacks = webui.module("script_callbacks")
    callbacks.ui_settings_callback()
    callbacks.before_ui_callback()
    assert callbacks.ui_tabs_callback() == []
    callbacks.app_started_callback(None, SimpleNamespace())
    callbacks.script_unloaded_callback()
    assert webui.seen.reported == [], "the web UI noticed nothing"
    assert caplog.text.count("Find Best Model: ") == 5, "and the log tells"


def test_routes_are_added_when_the_server_has_started(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = []
    monkeypatch.setattr(
        "lib_gmi.routes.web.register", lambda app, api, guard: added.append((app, api, guard))
    )
    load_scripts(webui)
    webui.flags.api_auth = "me:secret, you:too"
    app = SimpleNamespace()
    webui.module("script_callbacks").app_started_callback(None, app)
    ((given, api, guard),) = added
    assert given is app
    assert api() is webui.runtime.api
    assert guard.api_auth == ["me:secret", "you:too"]
    assert (guard.public, guard.tunnelled) == (False, False)


@pytest.mark.parametrize(
    ("flag", "value", "public", "tunnelled"),
    [
        ("listen", True, True, False),
        ("server_name", "0.0.0.0", True, False),
        ("share", True, True, True),
        ("ngrok", "token", True, True),
        ("cloudflared", True, True, True),
    ],
)
def test_the_flags_of_the_web_ui_say_who_can_reach_it(
    webui: WebUI, flag: str, value: Any, public: bool, tunnelled: bool
) -> None:
    from lib_gmi.a1111.routes import guard

    setattr(webui.flags, flag, value)
    found = guard(SimpleNamespace())
    assert (found.public, found.tunnelled) == (public, tunnelled)


# -- settings -------------------------------------------------------------------------------------


def test_the_settings_page_has_our_section(webui: WebUI) -> None:
    load_scripts(webui)
    webui.module("script_callbacks").ui_settings_callback()
    ours = {key: info for key, info in webui.opts.data_labels.items() if key.startswith("gmi_")}
    assert len(ours) == 15
    assert {info.section for info in ours.values()} == {("gmi", "Find Best Model")}
    assert all(webui.opts.data[key] == info.default for key, info in ours.items())
    encoder = ours["gmi_encoder"]
    assert encoder.default in encoder.component_args["choices"]
    # the settings page updates its components with these; gradio 3's list takes few of them
    assert set(encoder.component_args) == {"choices"}
    assert ours["gmi_idle_minutes"].component_args["minimum"] == 1
    assert ours["gmi_interrogators"].default == "user, metadata, host, library, labels"


def test_an_older_settings_page_without_notes_gets_the_labels(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(webui.module("shared").OptionInfo, "info")
    load_scripts(webui)
    webui.module("script_callbacks").ui_settings_callback()
    assert "gmi_blur" in webui.opts.data_labels


def test_what_is_chosen_is_read_each_time(webui: WebUI, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_gmi.a1111.options import chosen

    before = chosen()
    assert (before.library, before.prompt_set, before.idle_minutes) == (None, None, 3.0)
    assert (before.blur, before.keep_samples, before.sidecars) == (True, True, True)
    webui.opts.data.update(
        gmi_library_folder="~/elsewhere",
        gmi_prompt_set="/sets/mine.json",
        gmi_idle_minutes=10,
        gmi_blur=False,
        gmi_keep_samples=False,
        gmi_encoder=None,
    )
    after = chosen()
    assert after.library == Path("~/elsewhere").expanduser()
    assert after.prompt_set == Path("/sets/mine.json")
    assert (after.idle_minutes, after.blur, after.encoder) == (10.0, False, before.encoder)
    webui.opts.data["gmi_other_encoder"] = " pixels/32x32 "
    assert chosen().encoder == "pixels/32x32"
    assert webui.runtime.service.samples.keep() is False
    webui.opts.data.update(gmi_keep_samples=True, gmi_samples_limit=2)
    assert webui.runtime.service.samples.keep() is True
    monkeypatch.setattr(webui.runtime.service.library.samples, "size", lambda: 3 << 20)
    assert webui.runtime.service.samples.keep() is False
    webui.opts.data["gmi_pause_while_i_work"] = False
    assert chosen().idle_minutes == 0.0


def test_the_library_lies_in_the_data_folder_unless_its_place_is_named(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch, library_folder: Path
) -> None:
    from lib_gmi.a1111.runtime import library_folder as found
    from lib_gmi.base.paths import LIBRARY_VARIABLE

    assert found() == library_folder
    monkeypatch.delenv(LIBRARY_VARIABLE)
    assert found() == webui.data / "gmi"
    webui.opts.data["gmi_library_folder"] = str(webui.data / "mine")
    assert found() == webui.data / "mine"


def test_a_prompt_set_that_cannot_be_read_is_named(webui: WebUI) -> None:
    webui.restart()
    webui.opts.data["gmi_prompt_set"] = str(webui.data / "gone.json")
    with pytest.raises(GMIError, match=r"gone\.json"):
        _ = webui.runtime


def test_the_order_of_interrogators_is_read_each_time(webui: WebUI) -> None:
    webui.restart()
    order = webui.runtime.service.interrogators.order
    assert order() == ("user", "metadata", "host", "library", "labels")
    webui.opts.data["gmi_interrogators"] = "labels, none"
    assert order() == ("labels", "none")


# -- the section of img2img -----------------------------------------------------------------------


@pytest.fixture
def built(webui: WebUI) -> WebUI:
    """With specifications of all three checkpoints; the user's own is ALPHA."""
    webui.build()
    webui.seen.generated.clear()
    webui.seen.loads.clear()
    return webui


def test_the_section_is_in_img2img_only_and_off(webui: WebUI) -> None:
    runner = section(webui)
    enabled, sure, _pattern = runner.scripts[0].controls
    assert enabled.values[0] is False
    assert enabled.arguments["elem_id"] == "gmi_i2i"
    assert sure.values[:3] == (0, 100, 0)
    other = webui.module("scripts").ScriptRunner()
    other.initialize_scripts(False)
    other.setup_ui()
    assert other.scripts[0].controls == []


def test_a_web_ui_without_folds_that_can_be_ticked_gets_a_box(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "modules.ui_components", None)
    enabled = section(webui).scripts[0].controls[0]
    assert (enabled.values[0], enabled.arguments["elem_id"]) == (False, "gmi_i2i_enabled")


def test_off_means_off(built: WebUI) -> None:
    done = built.img2img(picture(2, 77, 64), section(built), False, 0, "")
    assert built.seen.generated[0]["checkpoint"] == ALPHA
    assert done.comments == ""
    assert "Best checkpoint" not in done.infotexts[0]
    assert built.runtime.service.answers.last_ranking is None


def test_the_best_checkpoint_makes_the_image_and_the_users_own_comes_back(built: WebUI) -> None:
    done = built.img2img(picture(2, 77, 64), section(built), True, 0, "")
    assert [made["checkpoint"] for made in built.seen.generated] == [BETA]
    assert done.sd_model_hash == built.info(BETA).shorthash
    assert done.comments.startswith("Find Best Model: anime/beta (")
    fields = built.module("infotext_utils").parse_generation_parameters(done.infotexts[0])
    assert fields["Best checkpoint"].startswith("anime/beta (")
    assert fields["Model hash"] == built.info(BETA).shorthash
    assert built.chosen == ALPHA
    built.txt2img()
    assert built.seen.generated[-1]["checkpoint"] == ALPHA


def test_a_threshold_that_is_not_reached_changes_nothing(built: WebUI) -> None:
    runner = section(built)
    done = built.img2img(picture(2, 77, 64), runner, True, 100, "")
    assert built.seen.generated[0]["checkpoint"] == ALPHA
    assert "anime/beta is the best, but not sure enough" in done.comments
    assert "nothing was changed" in done.comments
    assert "Best checkpoint" not in done.infotexts[0]


def test_a_pattern_narrows_the_choice(built: WebUI) -> None:
    runner = section(built)
    built.img2img(picture(2, 77, 64), runner, True, 0, "!anime/")
    assert built.seen.generated[0]["checkpoint"] != BETA
    done = built.img2img(picture(2, 77, 64), runner, True, 0, "nothing*like*it")
    assert built.seen.generated[-1]["checkpoint"] == ALPHA
    assert "No installed checkpoint passes the filter" in done.comments


def test_without_specifications_it_says_so_and_the_image_is_made(webui: WebUI) -> None:
    done = webui.img2img(picture(2, 77, 64), section(webui), True, 0, "")
    assert webui.seen.generated[0]["checkpoint"] == ALPHA
    assert "the checkpoint was not changed: No checkpoint has a specification" in done.comments
    assert webui.seen.reported == []


def test_trouble_while_ranking_changes_nothing(
    built: WebUI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(*arguments: Any, **more: Any) -> Any:
        raise ZeroDivisionError("<script>alert(1)</script>")

    monkeypatch.setattr(built.runtime.service.answers, "rank", trouble)
    done = built.img2img(picture(2, 77, 64), section(built), True, 0, "")
    assert built.seen.generated[0]["checkpoint"] == ALPHA
    assert "the log says why" in done.comments
    assert "script" not in done.comments
    assert "could not be ranked" in caplog.text


def test_programs_that_call_the_api_without_our_arguments_change_nothing(built: WebUI) -> None:
    runner = section(built)
    runner.scripts[0].args_from = runner.scripts[0].args_to = 1
    built.img2img(picture(2, 77, 64), runner)
    assert built.seen.generated[0]["checkpoint"] == ALPHA
    assert built.seen.reported == []


def test_whoever_generates_is_noticed_and_timed(webui: WebUI) -> None:
    from lib_gmi.a1111 import pace

    guess = pace.seconds_per_sample()
    assert guess == 150.0, "on a processor"
    assert webui.runtime.politeness.look() is None
    more: dict[str, Any] = {"width": 256, "height": 256, "steps": 8}
    webui.img2img(picture(2, 77, 64), section(webui), False, 0, "", **more)
    assert webui.runtime.politeness.look() is not None
    measured = pace.seconds_per_sample()
    assert measured is not None
    assert measured != guess


def test_loading_the_users_checkpoint_is_no_part_of_their_image(
    webui: WebUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_gmi.a1111 import pace

    clock = [100.0]

    def takes(seconds: float) -> Callable[[Any], None]:
        return lambda _: clock.__setitem__(0, clock[0] + seconds)

    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    webui.seen.while_loading, webui.seen.while_sampling = takes(15), takes(4)
    more: dict[str, Any] = {"width": 512, "height": 512, "steps": 20}
    title = webui.info(BETA).title
    more["override_settings"] = {"sd_model_checkpoint": title}
    webui.img2img(picture(2, 77, 64), section(webui), False, 0, "", **more)
    assert webui.seen.loads == [BETA]
    assert pace.seconds_per_sample() == pytest.approx(4)


def test_tiny_images_say_nothing_of_sampling(webui: WebUI) -> None:
    from lib_gmi.a1111 import pace

    webui.img2img(picture(2, 77, 64), section(webui), False, 0, "", width=64, height=64, steps=2)
    assert pace.seconds_per_sample() == 150.0


def test_the_guess_is_of_what_the_samples_are_made_with(webui: WebUI) -> None:
    from lib_gmi.a1111 import pace
    from lib_gmi.a1111.bridge import WebUIBridge

    small, large = GenerationSettings(64, 64, 2), GenerationSettings(512, 512, 20)
    assert pace.seconds_per_sample([large]) == 150.0
    assert pace.seconds_per_sample([small]) == 150.0 / 640
    assert pace.seconds_per_sample([small, large]) == (150.0 + 150.0 / 640) / 2
    assert WebUIBridge().seconds_per_sample() == pytest.approx(150.0 * 3 / (20 * 64))


def test_upscaling_and_unknown_machines_are_not_timed(webui: WebUI) -> None:
    from lib_gmi.a1111 import pace

    p = SimpleNamespace(steps=5, width=64, height=64, enable_hr=True)
    pace.begun(p)
    pace.ended(p)
    pace.ended(SimpleNamespace(steps=5, width=64, height=64))
    assert pace.seconds_per_sample() == 150.0
    webui.module("devices").device = SimpleNamespace(type="strange")
    assert pace.seconds_per_sample() is None


# -- the axis of the X/Y/Z plot -------------------------------------------------------------------


class AxisOption:
    """A stand-in for the plot's."""

    def __init__(
        self, label: str, type: Any, apply: Any, format_value: Any, confirm: Any, cost: float
    ) -> None:
        self.label, self.type, self.apply = label, type, apply
        self.format_value, self.confirm, self.cost = format_value, confirm, cost


@pytest.fixture
def plot(built: WebUI) -> ModuleType:
    """The module of the plot, as the web UI has loaded it."""
    module = ModuleType("xyz_grid.py")
    vars(module).update(AxisOption=AxisOption, axis_options=[SimpleNamespace(label="Seed")])
    script = type("Script", (), {"__module__": "xyz_grid.py"})
    scripts = built.module("scripts")
    load_scripts(built)
    scripts.scripts_data.append(scripts.ScriptClassData(script, "xyz_grid.py", "", module))
    return module


def axis(plot: ModuleType) -> Any:
    return next(option for option in plot.axis_options if option.label == "GMI rank")


def test_the_axis_is_added_once(built: WebUI, plot: ModuleType) -> None:
    for _ in range(3):
        built.module("script_callbacks").before_ui_callback()
    assert [option.label for option in plot.axis_options] == ["Seed", "GMI rank"]
    assert (axis(plot).type, axis(plot).cost) == (int, 1.0)
    assert built.seen.reported == []


def test_cells_are_made_with_the_checkpoint_of_their_rank(built: WebUI, plot: ModuleType) -> None:
    built.module("script_callbacks").before_ui_callback()
    option, used, captions = axis(plot), [], []
    for rank in (1, 2, 3):
        p = SimpleNamespace(init_images=[picture(2, 77, 64)], override_settings={})
        option.confirm(p, [1, 2, 3])
        option.apply(p, rank, [1, 2, 3])
        captions.append(option.format_value(p, option, rank))
        title = p.override_settings["sd_model_checkpoint"]
        used.append(built.module("sd_models").checkpoint_aliases[title].name)
    assert used[0] == BETA
    assert sorted(used) == [ALPHA, BETA, GAMMA]
    assert captions[0].startswith("1. anime/beta (")
    assert captions[0].endswith("%)")


def test_txt2img_takes_what_was_ranked_last_in_the_tab(built: WebUI, plot: ModuleType) -> None:
    built.module("script_callbacks").before_ui_callback()
    p = SimpleNamespace(override_settings={})
    with pytest.raises(RuntimeError, match="rank an image in the tab Find Best Model first"):
        axis(plot).confirm(p, [1])
    built.runtime.service.answers.rank([picture(3, 77, 64)])
    axis(plot).confirm(p, [1])
    axis(plot).apply(p, 1, [1])
    assert p.override_settings["sd_model_checkpoint"] == built.info(GAMMA).title


@pytest.mark.parametrize("rank", [0, 4, -1])
def test_ranks_that_nobody_has_are_refused_before_anything_is_generated(
    built: WebUI, plot: ModuleType, rank: int
) -> None:
    built.module("script_callbacks").before_ui_callback()
    p = SimpleNamespace(init_images=[picture(2, 77, 64)], override_settings={})
    with pytest.raises(RuntimeError, match=f"there are ranks 1 to 3, but not {rank}"):
        axis(plot).confirm(p, [1, rank])


def test_an_empty_library_is_told_before_anything_is_generated(webui: WebUI) -> None:
    from lib_gmi.a1111 import xyz

    with pytest.raises(RuntimeError, match="Build them first"):
        xyz.confirm(SimpleNamespace(init_images=[picture(2, 77, 64)]), [1])


# -- the files ------------------------------------------------------------------------------------


def test_scripts_is_no_package() -> None:
    """One stray file of that name in any extension breaks all of them."""
    assert not (SOURCE_ROOT / "scripts" / "__init__.py").exists()
    assert [path.name for path in (SOURCE_ROOT / "scripts").glob("*.py")] == ["gmi.py"]


def test_the_script_file_holds_no_logic() -> None:
    import ast

    tree = ast.parse((SOURCE_ROOT / "scripts" / "gmi.py").read_text(encoding="utf-8"))
    kinds = {type(statement).__name__ for statement in tree.body}
    assert kinds <= {"Expr", "ImportFrom", "Assign"}


def test_metadata_names_the_extension() -> None:
    import configparser

    found = configparser.ConfigParser()
    found.read(SOURCE_ROOT / "metadata.ini", encoding="utf-8")
    name = found["Extension"]["Name"]
    assert name == name.lower().strip()
    assert name == "find-best-model"
