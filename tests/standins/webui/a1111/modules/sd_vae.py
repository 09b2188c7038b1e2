from modules import shared
from modules.standin import seen

vae_dict = {}
loaded_vae_file = None


def is_automatic():
    return shared.opts.sd_vae in ("Automatic", "auto")


def clear_loaded_vae():
    global loaded_vae_file  # noqa: PLW0603
    loaded_vae_file = None


def load_vae(model, vae_file=None, vae_source="from unknown source"):
    global loaded_vae_file  # noqa: PLW0603
    loaded_vae_file = vae_file
    seen.vaes.append(vae_file)


unspecified = object()


def reload_vae_weights(sd_model=None, vae_file=unspecified):
    sd_model = sd_model or shared.sd_model
    assert sd_model.sd_checkpoint_info.filename  # without a model, the real one fails here too
    wanted = vae_dict.get(shared.opts.sd_vae) if vae_file is unspecified else vae_file
    if wanted != loaded_vae_file:
        load_vae(sd_model, wanted)
