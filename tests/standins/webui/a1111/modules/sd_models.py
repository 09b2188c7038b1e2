import os
from pathlib import Path

from modules import hashes, paths_internal, sd_vae, shared
from modules.standin import header, seen

model_path = str(Path(paths_internal.models_path) / "Stable-diffusion")
checkpoints_list = {}
checkpoint_aliases = {}


class CheckpointInfo:
    def __init__(self, filename):
        self.filename = filename
        name = filename
        for folder in (shared.cmd_opts.ckpt_dir, model_path):
            if folder and filename.startswith(str(folder)):
                name = filename[len(str(folder)) :].lstrip("/\\")
                break
        self.name = name
        self.name_for_extra = Path(filename).stem
        self.sha256 = hashes.sha256_from_cache(filename, f"checkpoint/{name}")
        self.shorthash = self.sha256[:10] if self.sha256 else None
        self.title = name if self.shorthash is None else f"{name} [{self.shorthash}]"
        self.ids = [self.title, name, self.name_for_extra]
        if self.shorthash:
            self.ids += [self.shorthash, self.sha256]

    def register(self):
        checkpoints_list[self.title] = self
        for id in self.ids:
            checkpoint_aliases[id] = self

    def calculate_shorthash(self):
        self.sha256 = hashes.sha256(self.filename, f"checkpoint/{self.name}")
        if self.sha256 is None:
            return None
        if self.shorthash == self.sha256[:10]:
            return self.shorthash
        before = self.title
        self.shorthash = self.sha256[:10]
        self.title = f"{self.name} [{self.shorthash}]"
        self.ids += [self.shorthash, self.sha256, self.title]
        replace_key(checkpoints_list, before, self.title, self)
        self.register()
        return self.shorthash


def replace_key(d, key, new_key, value):
    renamed = {new_key if k == key else k: value if k == key else v for k, v in d.items()}
    d.clear()
    d.update(renamed)
    d[new_key] = value
    return d


def checkpoint_tiles(use_short=False):
    return [info.title for info in checkpoints_list.values()]


def list_models():
    checkpoints_list.clear()
    checkpoint_aliases.clear()
    for folder in (model_path, shared.cmd_opts.ckpt_dir):
        for path in sorted(Path(folder).rglob("*") if folder else ()):
            if path.suffix in (".safetensors", ".ckpt"):
                CheckpointInfo(os.fspath(path)).register()


def get_closet_checkpoint_match(search_string):
    return checkpoint_aliases.get(search_string)


def select_checkpoint():
    found = checkpoint_aliases.get(shared.opts.sd_model_checkpoint)
    if found is not None:
        return found
    if not checkpoints_list:
        raise FileNotFoundError("No checkpoints found.")
    return next(iter(checkpoints_list.values()))


class SkipWritingToConfig:
    skip = False
    previous = None

    def __enter__(self):
        self.previous = SkipWritingToConfig.skip
        SkipWritingToConfig.skip = True
        return self

    def __exit__(self, exc_type, exc_value, exc_traceback):
        SkipWritingToConfig.skip = self.previous


class _Model:
    """What a file's weights become: the style of its pictures."""

    applied_token_merged_ratio = 0

    def __init__(self):
        self.sd_checkpoint_info = self.sd_model_checkpoint = self.sd_model_hash = None
        self._style = self._kind = None


class SdModelData:
    def __init__(self):
        self.sd_model = None
        self.was_loaded_at_least_once = False

    def get_sd_model(self):
        if not self.was_loaded_at_least_once and self.sd_model is None:
            try:
                load_model()
            except Exception as error:
                seen.reported.append(error)
                self.sd_model = None
        return self.sd_model

    def set_sd_model(self, v, already_loaded=False):
        self.sd_model = v


model_data = SdModelData()


def get_checkpoint_state_dict(checkpoint_info, timer):
    checkpoint_info.calculate_shorthash()
    seen.while_loading(checkpoint_info.name)
    if checkpoint_info.name in seen.unreadable:
        raise seen.unreadable[checkpoint_info.name]
    return header(checkpoint_info.filename)


def load_model_weights(model, checkpoint_info, state_dict, timer):
    if not SkipWritingToConfig.skip:
        shared.opts.data["sd_model_checkpoint"] = checkpoint_info.title
    if state_dict is None:
        state_dict = get_checkpoint_state_dict(checkpoint_info, timer)
    if checkpoint_info.name in seen.unusable:
        raise seen.unusable[checkpoint_info.name]
    seen.loads.append(checkpoint_info.name)
    model.sd_model_hash = checkpoint_info.calculate_shorthash()
    model.sd_model_checkpoint = checkpoint_info.filename
    model.sd_checkpoint_info = checkpoint_info
    model._style, model._kind = int(state_dict["__metadata__"]["style"]), _kind(state_dict)
    shared.opts.data["sd_checkpoint_hash"] = checkpoint_info.sha256
    sd_vae.clear_loaded_vae()
    sd_vae.load_vae(model, sd_vae.vae_dict.get(shared.opts.sd_vae))


def _kind(state_dict):
    """Models of one kind can take each other's weights."""
    return sorted((name, str(row)) for name, row in state_dict.items() if name != "__metadata__")


def load_model(checkpoint_info=None, already_loaded_state_dict=None):
    checkpoint_info = checkpoint_info or select_checkpoint()
    model_data.sd_model = None
    state_dict = already_loaded_state_dict or get_checkpoint_state_dict(checkpoint_info, None)
    model = _Model()
    load_model_weights(model, checkpoint_info, state_dict, None)
    model_data.set_sd_model(model)
    model_data.was_loaded_at_least_once = True
    return model


def reload_model_weights(sd_model=None, info=None, forced_reload=False):
    checkpoint_info = info or select_checkpoint()
    sd_model = sd_model or model_data.sd_model
    if sd_model is not None and sd_model.sd_model_checkpoint == checkpoint_info.filename:
        return sd_model
    state_dict = get_checkpoint_state_dict(checkpoint_info, None)
    if sd_model is None or sd_model._kind != _kind(state_dict):
        return load_model(checkpoint_info, already_loaded_state_dict=state_dict)
    before = sd_model.sd_checkpoint_info
    try:
        load_model_weights(sd_model, checkpoint_info, state_dict, None)
    except Exception:
        load_model_weights(sd_model, before, None, None)
        raise
    model_data.set_sd_model(sd_model)
    return sd_model


def apply_token_merging(sd_model, token_merging_ratio):
    if getattr(sd_model, "applied_token_merged_ratio", 0) != token_merging_ratio:
        sd_model.applied_token_merged_ratio = token_merging_ratio
