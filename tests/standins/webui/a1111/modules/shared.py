import sys
from types import ModuleType

from modules import options, shared_options, shared_state, shared_total_tqdm
from modules.shared_cmd_options import cmd_opts

OptionInfo = options.OptionInfo
config_filename = cmd_opts.ui_settings_file
options_templates = dict(shared_options.options_templates)
opts = options.Options(options_templates, set())
state = shared_state.State()
interrogator = None
total_tqdm = shared_total_tqdm.TotalTQDM()


class _Shared(ModuleType):
    """As in the real one, to ask for the model is to load it."""

    @property
    def sd_model(self):
        from modules import sd_models

        return sd_models.model_data.get_sd_model()

    @sd_model.setter
    def sd_model(self, value):
        from modules import sd_models

        sd_models.model_data.set_sd_model(value)


sys.modules[__name__].__class__ = _Shared
