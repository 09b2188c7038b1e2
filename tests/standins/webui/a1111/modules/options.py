import json
from pathlib import Path

from modules import errors
from modules.shared_cmd_options import cmd_opts


class OptionInfo:
    def __init__(  # noqa: PLR0913, PLR0917  as the real one
        self,
        default=None,
        label="",
        component=None,
        component_args=None,
        onchange=None,
        section=None,
        refresh=None,
        comment_before="",
        comment_after="",
        infotext=None,
    ):
        self.default = default
        self.label = label
        self.component = component
        self.component_args = component_args
        self.onchange = onchange
        self.section = section
        self.comment_after = comment_after
        self.infotext = infotext
        self.do_not_save = False

    def info(self, info):
        self.comment_after += info
        return self


options_builtin_fields = {"data_labels", "data", "restricted_opts", "typemap"}


class Options:
    def __init__(self, data_labels, restricted_opts):
        self.data_labels = data_labels
        self.data = {key: info.default for key, info in data_labels.items()}
        self.restricted_opts = restricted_opts

    def __setattr__(self, key, value):
        if key in options_builtin_fields:
            super().__setattr__(key, value)
            return
        if key in self.data or key in self.data_labels:
            assert not cmd_opts.freeze_settings, "changing settings is disabled"
            frozen = [name.strip() for name in (cmd_opts.freeze_specific_settings or "").split(",")]
            assert key not in frozen, f"not possible to set '{key}'"
            self.data[key] = value
            return
        super().__setattr__(key, value)

    def __getattr__(self, item):
        if item in options_builtin_fields:
            return super().__getattribute__(item)
        if item in self.data:
            return self.data[item]
        if item in self.data_labels:
            return self.data_labels[item].default
        return super().__getattribute__(item)

    def set(self, key, value, is_api=False, run_callbacks=True):
        before = self.data.get(key, None)
        if before == value:
            return False
        option = self.data_labels[key]
        try:
            setattr(self, key, value)
        except RuntimeError:
            return False
        if run_callbacks and option.onchange is not None:
            try:
                option.onchange()
            except Exception as error:
                errors.display(error, f"changing setting {key} to {value}")
                setattr(self, key, before)
                return False
        return True

    def get_default(self, key):
        info = self.data_labels.get(key)
        return None if info is None else info.default

    def save(self, filename):
        assert not cmd_opts.freeze_settings, "saving settings is disabled"
        Path(filename).write_text(json.dumps(self.data, indent=4), encoding="utf-8")

    def onchange(self, key, func, call=True):
        self.data_labels[key].onchange = func
        if call:
            func()

    def add_option(self, key, info):
        self.data_labels[key] = info
        if key not in self.data and not info.do_not_save:
            self.data[key] = info.default

    def cast_value(self, key, value):
        default = self.data_labels[key].default
        if value is None or default is None:
            return None
        return False if value == "False" else type(default)(value)
