import inspect
from dataclasses import dataclass
from pathlib import Path

from modules import errors


def report_exception(c, job):
    errors.report(f"Error executing callback {job} for {c.script}", exc_info=True)


@dataclass
class ScriptCallback:
    script: str
    callback: object
    name: str = "unnamed"


callback_map = {
    f"callbacks_{name}": []
    for name in ("app_started", "ui_tabs", "ui_settings", "script_unloaded", "before_ui")
}


def add_callback(callbacks, fun, *, name=None, category="unknown", filename=None):
    filename = filename or next(f.filename for f in inspect.stack() if f.filename != __file__)
    callbacks.append(ScriptCallback(filename, fun, f"{Path(filename).name}/{category}"))


def clear_callbacks():
    for callbacks in callback_map.values():
        callbacks.clear()


def _called(category, *arguments):
    found = []
    for c in callback_map[f"callbacks_{category}"]:
        try:
            found.append(c.callback(*arguments))
        except Exception:
            report_exception(c, category)
    return found


def app_started_callback(demo, app):
    _called("app_started", demo, app)


def ui_tabs_callback():
    return [tab for tabs in _called("ui_tabs") for tab in tabs or []]


def ui_settings_callback():
    _called("ui_settings")


def script_unloaded_callback():
    _called("script_unloaded")


def before_ui_callback():
    _called("before_ui")


def on_app_started(callback, *, name=None):
    add_callback(callback_map["callbacks_app_started"], callback, name=name, category="app_started")


def on_ui_tabs(callback, *, name=None):
    add_callback(callback_map["callbacks_ui_tabs"], callback, name=name, category="ui_tabs")


def on_ui_settings(callback, *, name=None):
    add_callback(callback_map["callbacks_ui_settings"], callback, name=name, category="ui_settings")


def on_script_unloaded(callback, *, name=None):
    add_callback(callback_map["callbacks_script_unloaded"], callback, name=name)


def on_before_ui(callback, *, name=None):
    add_callback(callback_map["callbacks_before_ui"], callback, name=name, category="before_ui")
