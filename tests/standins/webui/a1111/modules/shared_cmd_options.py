from types import SimpleNamespace

from modules.paths_internal import data_path

cmd_opts = SimpleNamespace(
    api_auth=None,
    ckpt_dir=None,
    freeze_settings=False,
    freeze_specific_settings=None,
    listen=False,
    ngrok=None,
    no_hashing=False,
    no_prompt_history=False,
    server_name=None,
    share=False,
    ui_settings_file=f"{data_path}/config.json",
)
