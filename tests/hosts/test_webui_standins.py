"""Whatever the stand-ins for AUTOMATIC1111's web UI imitate exists in a real one, and in its forks.

Needs real web UIs; see ``conftest``. Most is read from their source, without running it; importing
it all would take a minute.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webui_server import WEB_UIS

from lib_gmi.hosts.webui_options import _OF_THE_MACHINE

STANDINS = Path(__file__).resolve().parents[1] / "standins" / "webui"
ROOT = STANDINS.parents[2]
#: Not the web UI's: what the stand-ins saw.
OWN = ("standin", "__init__")
#: What is imitated of each module, but made differently in the real one.
MADE_OTHERWISE = {
    "shared.opts": "set by shared_init",
    "shared.state": "set by shared_init",
    "shared.interrogator": "set when it is first needed",
    "shared.options_templates": "set by shared_init",
    "script_callbacks.callback_map": "names are checked on their own",
}


#: What forks make otherwise; the stand-ins in ``forge`` and ``reforge`` imitate that: names of
#: modules that have other names in them, and texts of :data:`MEANINGS` that are not there.
OTHERWISE: dict[str, frozenset[str]] = {
    "webui-a1111": frozenset(),
    "webui-forge": frozenset(
        (
            "sd_models",
            "ui_components",
            "defaults of options",
            "opts.set(k, v, is_api=True, run_callbacks=False)",
            "sd_models.reload_model_weights()",
            "if not SkipWritingToConfig.skip:",
            "shared.opts.data['sd_model_checkpoint'] = checkpoint_info.title",
            "model_data.sd_model = None",
            "load_model_weights(sd_model, current_checkpoint_info, None, timer)",
            "sd_model.sd_checkpoint_info",
            "onchange('sd_model_checkpoint', wrap_queued",
            "onchange('sd_vae', wrap_queued_call",
        )
    ),
    "webui-reforge": frozenset(
        (
            "if not SkipWritingToConfig.skip:",
            "shared.opts.data['sd_model_checkpoint'] = checkpoint_info.title",
            "model_data.sd_model = None",
            "load_model_weights(sd_model, current_checkpoint_info, None, timer)",
        )
    ),
}
#: Of the test that runs: the id of its web UI.
_running = ["webui-a1111"]


@pytest.fixture(autouse=True, params=WEB_UIS)
def web_ui(request: pytest.FixtureRequest) -> str:
    """Each test runs for each web UI."""
    _running[0] = str(request.param)
    return _running[0]


def need() -> Path:
    """The folder of the real web UI."""
    server = WEB_UIS[_running[0]]
    if reason := server.missing():
        pytest.skip(reason)
    return Path(os.environ[server.dir_variable])


def otherwise(what: str) -> bool:
    """Whether the fork that the test runs for is known to make something otherwise."""
    return what in OTHERWISE[_running[0]]


@functools.cache
def tree(path: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of what others wrote
        warnings.simplefilter("ignore", DeprecationWarning)
        return ast.parse(path.read_text(encoding="utf-8"))


def real(module: str) -> ast.Module:
    return tree(need() / "modules" / f"{module}.py")


def imitated() -> Iterator[tuple[str, ast.Module]]:
    """Each stand-in of a module of the web UI itself."""
    for path in sorted((STANDINS / "a1111" / "modules").glob("*.py")):
        if path.stem not in OWN:
            yield path.stem, tree(path)


# -- names of a module ----------------------------------------------------------------------------


def flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements, those inside of ``if``, ``try`` and ``with`` too."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from flat(statement.body)
            yield from flat(getattr(statement, "orelse", []))


#: What a module or class defines.
Names = dict[str, ast.stmt]


def named(body: list[ast.stmt]) -> Names:
    """What a module or class defines, by name; the last definition counts."""
    found: dict[str, ast.stmt] = {}
    for statement in flat(body):
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                found[alias.asname or alias.name.split(".")[0]] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = statement
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        found[name.id] = statement
    return found


def ours(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Public, and not merely imported."""
    return {
        name: statement
        for name, statement in named(body).items()
        if not name.startswith("_") and not isinstance(statement, ast.Import | ast.ImportFrom)
    }


def methods(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Also ``__enter__`` and the like, which are part of what is imitated."""
    return {
        name: statement
        for name, statement in named(body).items()
        if not name.startswith("_") or name.startswith("__")
    }


def attributes(class_: ast.ClassDef) -> set[str]:
    """Public names that a class has: fields, methods, and what is assigned to ``self``."""
    found = set(named(class_.body))
    for node in ast.walk(class_):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", class_.name)
        ):
            found.add(node.attr)
    return {name for name in found if not name.startswith("_") or name in OF_THE_LOCK}


#: Private, and looked at all the same.
OF_THE_LOCK = ("_lock", "_pending_threads")


def inherited(class_: ast.ClassDef, module: Names) -> set[str]:
    """The attributes of a class of the web UI, with those of its bases in the same module."""
    found = attributes(class_)
    for base in class_.bases:
        above = module.get(base.id) if isinstance(base, ast.Name) else None
        if isinstance(above, ast.ClassDef):
            found |= inherited(above, module)
    return found


# -- how functions are called ---------------------------------------------------------------------

Parameters = list[tuple[str, str, bool]]


def parameters(function: ast.FunctionDef) -> Parameters:
    """(name, kind, whether it has a default) of each parameter."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = len(plain) - len(arguments.defaults)
    found = [(row.arg, "plain", n >= defaults) for n, row in enumerate(plain)]
    if arguments.vararg:
        found.append((arguments.vararg.arg, "*", True))
    for row, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append((row.arg, "keyword", default is not None))
    if arguments.kwarg:
        found.append((arguments.kwarg.arg, "**", True))
    return [row for row in found if row[0] != "self"]


def differences(mine: Parameters, known: Parameters) -> list[str]:
    """What a call that suits a stand-in could trip over; the real one may take more."""
    names = [name for name, kind, _ in mine if kind in ("plain", "keyword")]
    real_names = [name for name, kind, _ in known if kind in ("plain", "keyword")]
    takes_any = any(kind == "**" for _, kind, _ in known)
    found = [f"has no '{name}'" for name in names if name not in real_names and not takes_any]
    shared = [name for name in real_names if name in names]
    if not found and shared != [name for name in names if name in real_names]:
        found.append(f"orders them {', '.join(shared)}")
    optional = {name: default for name, _, default in mine}
    for name, kind, default in known:
        if kind in ("plain", "keyword") and not default and optional.get(name, True):
            found.append(f"needs '{name}'")
    return found


def compared(name: str, mine: ast.stmt, known: ast.stmt | None, module: Names) -> Iterator[str]:
    """What is wrong about one name of a stand-in, given all names of the real module."""
    if known is None:
        yield f"{name}: does not exist"
    elif isinstance(mine, ast.FunctionDef):
        if isinstance(known, ast.FunctionDef):
            problems = differences(parameters(mine), parameters(known))
            yield from (f"{name}: {problem}" for problem in problems)
        elif isinstance(known, ast.ClassDef):
            yield f"{name}: is a class"
    elif isinstance(mine, ast.ClassDef):
        if not isinstance(known, ast.ClassDef):
            yield f"{name}: is no class"
            return
        missing = attributes(mine) - inherited(known, module)
        yield from (f"{name}: has no '{attribute}'" for attribute in sorted(missing))
        theirs = methods(known.body)
        for method, statement in methods(mine.body).items():
            if method in theirs and isinstance(statement, ast.FunctionDef):
                yield from compared(f"{name}.{method}", statement, theirs[method], module)


def test_every_module_that_is_imitated_exists() -> None:
    folder = need() / "modules"
    modules = [name for name, _ in imitated()]
    assert len(modules) > 20
    assert [name for name in modules if not (folder / f"{name}.py").is_file()] == []


@pytest.mark.parametrize("module", [name for name, _ in imitated()])
def test_every_name_that_is_imitated_exists_and_is_called_the_same_way(module: str) -> None:
    known = named(real(module).body)
    mine = ours(dict(imitated())[module].body)
    wrong = [
        problem
        for name, statement in mine.items()
        if f"{module}.{name}" not in MADE_OTHERWISE
        for problem in compared(f"{module}.{name}", statement, known.get(name), known)
    ]
    assert bool(wrong) == otherwise(module), wrong


# -- what has to mean the same --------------------------------------------------------------------


def constant(node: ast.AST | None) -> Any:
    try:
        return ast.literal_eval(node)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return "computed"


def declared(value: ast.expr | None) -> ast.Call | None:
    """The ``OptionInfo(…)`` of ``OptionInfo(…).info(…).link(…)``."""
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        value = value.func.value
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "OptionInfo":
        return value
    return None


def options(source: ast.Module) -> dict[str, tuple[Any, Any]]:
    """(default, name in the infotext) of each option that is declared in a table."""
    found = {}
    for table in [node for node in ast.walk(source) if isinstance(node, ast.Dict)]:
        for key, value in zip(table.keys, table.values, strict=True):
            info = declared(value)
            if isinstance(key, ast.Constant) and info is not None:
                labels = {word.arg: constant(word.value) for word in info.keywords}
                first = constant(info.args[0]) if info.args else None
                found[str(key.value)] = (first, labels.get("infotext"))
    return found


def test_options_have_the_web_uis_defaults_and_labels() -> None:
    known = options(real("shared_options"))
    mine = options(dict(imitated())["shared_options"])
    assert len(mine) > 20
    gone = {"enable_quantization"}  # added below a condition of its own, in some versions
    wrong = {key: (row, known.get(key)) for key, row in mine.items() if known.get(key) != row}
    found = {key: row for key, row in wrong.items() if key not in gone}
    assert bool(found) == otherwise("defaults of options"), found


#: Options that an infotext names and that no sample of ours can be changed by.
HARMLESS = {
    "face_restoration": "we ask for none",
    "tiling": "we ask for none",
    "sd_model_checkpoint": "ours",
    "hires_fix_refiner_pass": "no second pass",
    "token_merging_ratio_hr": "no second pass",
    "sd_vae_encode_method": "img2img only",
    "inpainting_mask_weight": "img2img only",
    "initial_noise_multiplier": "img2img only",
    "img2img_extra_noise": "img2img only",
    "token_merging_ratio_img2img": "img2img only",
    "refiner_switch_by_sample_steps": "no refiner",
    "fp8_storage": "belongs to the machine's memory",
    "cache_fp16_weight": "belongs to the machine's memory",
    "sd_unet": "belongs to the machine",
    "pad_cond_uncond": "belongs to the machine's speed",
    "pad_cond_uncond_v0": "belongs to the machine's speed",
    "batch_cond_uncond": "belongs to the machine's speed",
}


def neutral() -> dict[str, Any]:
    source = tree(ROOT / "lib_gmi" / "hosts" / "webui_options.py")
    statement = named(source.body)["_NEUTRAL"]
    assert isinstance(statement, ast.Assign)
    found: dict[str, Any] = ast.literal_eval(statement.value)
    return found


def test_samples_are_made_with_the_web_uis_own_defaults() -> None:
    known = options(real("shared_options"))
    found = {key: value for key, value in neutral().items() if key in known}
    assert len(found) > 12
    wrong = {key: value for key, value in found.items() if known[key][0] != value}
    # the same noise on every machine; and nobody looks at previews of samples
    assert wrong == {"randn_source": "CPU", "live_previews_enable": False}


def test_what_is_left_to_the_user_of_what_changes_images_is_harmless() -> None:
    """Everything else that the program writes below images has its default in samples."""
    known = options(real("shared_options"))
    changing = {key for key, (_, infotext) in known.items() if infotext}
    assert len(changing) > 30
    assert sorted((changing & _OF_THE_MACHINE) - HARMLESS.keys()) == []


def test_samplers_and_their_aliases_are_the_web_uis() -> None:
    known: dict[str, list[str]] = {}
    for module, table in (
        ("sd_samplers_kdiffusion", "samplers_k_diffusion"),
        ("sd_samplers_timesteps", "samplers_timesteps"),
        ("sd_samplers_lcm", "samplers_lcm"),
    ):
        statement = named(real(module).body)[table]
        assert isinstance(statement, ast.Assign)
        assert isinstance(statement.value, ast.List)
        for row in statement.value.elts:
            assert isinstance(row, ast.Tuple)
            known[constant(row.elts[0])] = constant(row.elts[2])
    mine = {
        constant(node.args[0]): [constant(alias) for alias in node.args[1:]]
        for node in ast.walk(dict(imitated())["sd_samplers"])
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_sampler"
    }
    assert len(mine) > 15
    assert {label: known.get(label) for label in mine} == mine


def test_schedulers_are_the_web_uis() -> None:
    def rows(source: ast.Module) -> dict[str, str]:
        return {
            constant(node.args[0]): constant(node.args[1])
            for node in ast.walk(source)
            if isinstance(node, ast.Call)
            and getattr(node.func, "id", "") == "Scheduler"
            and len(node.args) > 1
        }

    known, mine = rows(real("sd_schedulers")), rows(dict(imitated())["sd_schedulers"])
    assert len(mine) > 8
    assert {name: known.get(name) for name in mine} == mine


def test_callbacks_are_kept_under_the_names_that_are_imitated() -> None:
    text = (need() / "modules" / "script_callbacks.py").read_text(encoding="utf-8")
    for name in ("app_started", "ui_tabs", "ui_settings", "script_unloaded", "before_ui"):
        assert f"callbacks_{name}=[]" in text.replace(" ", "")
        assert f"def on_{name}(callback, *, name=None)" in text


def test_the_plot_is_found_where_we_look_for_it() -> None:
    source = tree(need() / "scripts" / "xyz_grid.py")
    known = named(source.body)
    assert {"AxisOption", "axis_options", "Script"} <= known.keys()
    option = known["AxisOption"]
    assert isinstance(option, ast.ClassDef)
    init = named(option.body)["__init__"]
    assert isinstance(init, ast.FunctionDef)
    names = [name for name, _, _ in parameters(init)]
    assert names[:6] == ["label", "type", "apply", "format_value", "confirm", "cost"]
    loading = (need() / "modules" / "script_loading.py").read_text(encoding="utf-8")
    assert "spec_from_file_location(os.path.basename(path), path)" in loading


def source_of(module: str, *path: str) -> str:
    """The source of a function or method."""
    body, node = real(module).body, None
    for name in path:
        node = named(body)[name]
        body = getattr(node, "body", [])
    assert node is not None
    return ast.unparse(node)


#: (module, path of a function, text in it): what the stand-ins' behaviour is taken from.
MEANINGS = [
    # an unknown title is dropped, and what is chosen generates
    ("processing", ["process_images"], "p.override_settings.pop('sd_model_checkpoint', None)"),
    ("processing", ["process_images"], "opts.set(k, v, is_api=True, run_callbacks=False)"),
    ("processing", ["process_images"], "if p.override_settings_restore_afterwards:"),
    ("processing", ["process_images"], "p.scripts.before_process(p)"),
    ("processing", ["process_images_inner"], "not cmd_opts.no_prompt_history"),
    ("processing", ["process_images_inner"], "state.interrupted or state.stopping_generation"),
    # the user's choice can still change what generates
    ("processing", ["process_images_inner"], "sd_models.reload_model_weights()"),
    ("processing", ["process_images_inner"], "if not p.disable_extra_networks:"),
    ("processing", ["process_images_inner"], "image.info['parameters'] = text"),
    ("processing", ["Processed", "__init__"], "self.sd_model_hash = p.sd_model_hash"),
    ("processing", ["StableDiffusionProcessing", "sd_model"], "pass"),
    ("processing", ["StableDiffusionProcessing", "save_samples"], "not self.do_not_save_samples"),
    # loading writes the choice, and fails halfway
    ("sd_models", ["load_model_weights"], "if not SkipWritingToConfig.skip:"),
    (
        "sd_models",
        ["load_model_weights"],
        "shared.opts.data['sd_model_checkpoint'] = checkpoint_info.title",
    ),
    ("sd_models", ["load_model"], "model_data.sd_model = None"),
    (
        "sd_models",
        ["reload_model_weights"],
        "load_model_weights(sd_model, current_checkpoint_info, None, timer)",
    ),
    ("sd_models", ["get_checkpoint_state_dict"], "checkpoint_info.calculate_shorthash()"),
    ("sd_models", ["CheckpointInfo", "calculate_shorthash"], "replace_key(checkpoints_list"),
    ("sd_models", ["CheckpointInfo", "register"], "checkpoint_aliases[id] = self"),
    ("sd_models", ["select_checkpoint"], "checkpoint_aliases.get(model_checkpoint, None)"),
    ("sd_vae", ["reload_vae_weights"], "sd_model.sd_checkpoint_info"),
    ("hashes", ["sha256"], "shared.cmd_opts.no_hashing"),
    ("hashes", ["sha256_from_cache"], "ondisk_mtime > cached_mtime"),
    ("options", ["Options", "__setattr__"], "assert not cmd_opts.freeze_settings"),
    ("options", ["Options", "save"], "assert not cmd_opts.freeze_settings"),
    ("options", ["Options", "set"], "if oldval == value:"),
    ("options", ["Options", "add_option"], "if key not in self.data"),
    ("shared_state", ["State", "begin"], "self.interrupted = False"),
    ("shared_state", ["State", "end"], "self.job = ''"),
    ("call_queue", ["wrap_gradio_gpu_call"], "shared.state.begin(job=id_task)"),
    ("call_queue", ["wrap_queued_call"], "with queue_lock:"),
    ("initialize_util", ["configure_opts_onchange"], "onchange('sd_model_checkpoint', wrap_queued"),
    ("initialize_util", ["configure_opts_onchange"], "onchange('sd_vae', wrap_queued_call"),
    ("scripts", ["load_scripts"], "sys.path = [scriptfile.basedir] + sys.path"),
    ("scripts", ["load_scripts"], "script_callbacks.clear_callbacks()"),
    ("scripts", ["ScriptRunner", "before_process"], "except Exception:"),
    ("infotext_utils", ["parse_generation_parameters"], "len(re_param.findall(lastline)) < 3"),
    ("images", ["read_info_from_image"], "items.pop('parameters', None)"),
    ("fifo_lock", ["FIFOLock", "acquire"], "self._lock.acquire(False)"),
    ("fifo_lock", ["FIFOLock", "release"], "self._pending_threads.popleft()"),
]


@pytest.mark.parametrize(("module", "path", "text"), MEANINGS)
def test_functions_do_what_the_stand_ins_do(module: str, path: list[str], text: str) -> None:
    assert (text in source_of(module, *path)) != otherwise(text)


@pytest.mark.parametrize("name", ["re_param_code", "re_imagesize"])
def test_infotexts_are_taken_apart_in_the_same_way(name: str) -> None:
    """Both texts are in front of us: the real pattern, and the stand-in's."""
    statement = named(real("infotext_utils").body)[name]
    (pattern,) = [node.value for node in ast.walk(statement) if isinstance(node, ast.Constant)]
    mine = (STANDINS / "a1111" / "modules" / "infotext_utils.py").read_text(encoding="utf-8")
    assert str(pattern) in mine


def test_the_installer_finds_what_it_calls() -> None:
    launch = tree(need() / "launch.py")
    assert {"run_pip", "is_installed", "args"} <= named(launch.body).keys()
    pip = source_of("launch_utils", "run_pip")
    assert pip.startswith("def run_pip(command, desc=None")
    assert "args.skip_install" in pip
    assert source_of("launch_utils", "is_installed").startswith("def is_installed(package)")


#: What runs without a model, and without the rest of the web UI.
RUN = """
import importlib.util, json, sys, threading, time

def load(name):
    spec = importlib.util.spec_from_file_location(name, f"modules/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

lock = load("fifo_lock").FIFOLock()
order = []

def wait(number):
    with lock:
        order.append(number)

threads = []
with lock:
    held = lock._lock.locked()
    for number in range(3):
        threads.append(threading.Thread(target=wait, args=[number]))
        threads[-1].start()
        while len(lock._pending_threads) <= number:
            time.sleep(0.001)
    refused = lock.acquire(blocking=False)
for thread in threads:
    thread.join()
print("ANSWERS" + json.dumps({"held": held, "refused": refused, "order": sorted(order),
                              "free": not lock._lock.locked()}))
"""


def test_the_real_lock_behaves_as_we_think() -> None:
    folder = need()
    python = os.environ[WEB_UIS[_running[0]].python_variable]
    done = subprocess.run(
        [python, "-c", RUN],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS")]
    answers = json.loads(line.removeprefix("ANSWERS"))
    assert answers == {"held": True, "refused": False, "order": [0, 1, 2], "free": True}


# -- the check itself -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "known", "problem"),
    [
        ("def f(a, b=1): pass", "def f(a, b=1, c=2): pass", None),
        ("def f(a, b=1): pass", "def f(a): pass", "has no 'b'"),
        ("def f(a, b=1): pass", "def f(b=1, a=2): pass", "orders them b, a"),
        ("def f(a, b=1): pass", "def f(a, b): pass", "needs 'b'"),
        ("def f(a): pass", "def f(a, *, c): pass", "needs 'c'"),
        ("def f(a): pass", "def f(a, *args, **more): pass", None),
        ("def f(a, *, name=None): pass", "def f(a, **more): pass", None),
        ("class C:\n x = 1", "class C:\n pass", "has no 'x'"),
        ("class C:\n def m(self, a): pass", "class C:\n def m(self): pass", "has no 'a'"),
        ("class C: pass", "C = 1", "is no class"),
        ("x = 1", "y = 1", "does not exist"),
    ],
)
def test_a_difference_is_noticed(mine: str, known: str, problem: str | None) -> None:
    ((name, statement),) = named(ast.parse(mine).body).items()
    theirs = named(ast.parse(known).body)
    found = list(compared(name, statement, theirs.get(name), theirs))
    assert [row.rpartition(": ")[2] for row in found] == ([] if problem is None else [problem])
